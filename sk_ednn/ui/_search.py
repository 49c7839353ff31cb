"""Numbers and structures from the file of a search, for its page."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .._utils.optional import needing
from .._utils.settings import load_plain
from ._security import Refused

_BEST = 6
_FRESH_STORE = "search.db"
_MOST_TASKS = 60


@dataclass
class Progress:
    """The present state of a search.

    Attributes
    ----------
    counts : dict of str to int
    energies, lowest : ndarray of shape (n_labelled,), in eV per atom
        In the order of the calls, and the lowest so far.
    calls : ndarray of shape (n_labelled,)
    volumes : ndarray of shape (n_labelled,), in Å³ per atom
    best : list of (number, structure, energy per atom)
    failures : list of (number, why)
    tasks : list of (kind, state, seconds, result)
    models : list of (number, n_labels, median error)
    paused : bool
    """

    counts: dict[str, int]
    energies: np.ndarray
    lowest: np.ndarray
    calls: np.ndarray
    volumes: np.ndarray
    best: list = field(default_factory=list)
    failures: list = field(default_factory=list)
    tasks: list = field(default_factory=list)
    models: list = field(default_factory=list)
    paused: bool = False


def progress(path) -> Progress:
    """Read the file of a search.

    Parameters
    ----------
    path : Path
    """
    from ..search import SearchStore

    with SearchStore(path) as store:
        rows = store.structures()
        tasks, models, events = store.tasks(), store.models(), store.events()
        counts = store.counts()
    labelled = [row for row in rows if row["label"] is not None]
    sizes = [len(row["structure"].numbers) for row in labelled]
    energies = np.array([row["label"].energy / n for row, n in zip(labelled, sizes, strict=True)])
    volumes = np.array([abs(np.linalg.det(row["structure"].cell)) / n
                        for row, n in zip(labelled, sizes, strict=True)])  # fmt: skip
    order = np.argsort(energies, kind="stable")[:_BEST]
    commands = [text for _, kind, text in events if kind == "command"]
    paused = [text for text in commands if text in ("pause", "resume")][-1:] == ["pause"]
    now = time.time()
    return Progress(
        counts=counts,
        energies=energies,
        lowest=np.minimum.accumulate(energies) if len(energies) else energies,
        calls=np.array([row["id"] for row in labelled], dtype=float),
        volumes=volumes,
        best=[(labelled[k]["id"], labelled[k]["structure"], float(energies[k])) for k in order],
        failures=[(row["id"], row["why"] or "") for row in rows if row["state"] == "failed"],
        tasks=[
            (
                kind,
                "running" if finished is None else "done",
                (finished or now) - started if seconds is None else seconds,
                result or "",
            )
            for kind, started, finished, seconds, result in tasks[-_MOST_TASKS:][::-1]
        ],
        models=[
            (k, n, errors[1] if isinstance(errors, list) and len(errors) > 1 else None)
            for k, n, errors in models
        ],
        paused=paused,
    )


def lower_hull(x, y) -> np.ndarray:
    """Return the points of the lower convex hull, from left to right.

    Parameters
    ----------
    x, y : ndarray of shape (n,)

    Returns
    -------
    ndarray of int

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ednn.ui._search import lower_hull
    >>> lower_hull(np.array([0.0, 1.0, 2.0, 1.0]), np.array([1.0, 0.9, 1.0, -1.0]))
    array([0, 3, 2])
    """
    kept: list[int] = []
    for k in np.lexsort((y, x)):
        if kept and x[k] == x[kept[-1]]:  # the lower one came first
            continue
        while len(kept) > 1:
            a, b = kept[-2], kept[-1]
            if (x[b] - x[a]) * (y[k] - y[a]) > (y[b] - y[a]) * (x[k] - x[a]):
                break
            kept.pop()
        kept.append(int(k))
    return np.array(kept, dtype=int)


def store_of(site, run) -> Path:
    """Return the file of a search, in an opened folder.

    Parameters
    ----------
    site : Site
    run : Run
    """
    if run.settings.get("fresh") is True:
        return site.path(run.file(_FRESH_STORE))
    settings = run.settings.get("settings")
    if not isinstance(settings, str) and run.argv and len(run.argv) > 2:
        settings = run.argv[2]
    path = _opened(site, settings)
    return _opened(site, path.parent / str(settings_of(path)["store"]))


def _opened(site, path) -> Path:
    try:
        return site.path(str(path))
    except Refused as refused:
        raise Refused(
            refused.status,
            f"{path} does not exist, or is not in a folder that is open. To follow this search, "
            f"start the pages with --data {Path(str(path)).parent}",
        ) from None


def settings_of(path) -> dict[str, Any]:
    """Return the settings of a search from its file.

    Raises
    ------
    ValueError
        If they are none.
    """
    with needing("Files of settings"):
        import yaml
    try:
        settings = load_plain(Path(path).read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    if not isinstance(settings, dict) or "store" not in settings:
        raise ValueError(f"{path} has no settings of a search.")
    return settings


def write_settings(path, settings) -> None:
    """Write the file of settings of a search."""
    with needing("Files of settings"):
        import yaml
    from .._utils.writing import replacing

    with replacing(path, "w", encoding="utf-8") as file:
        yaml.safe_dump(settings, file, sort_keys=False)


def hull_series(progress: Progress) -> dict[str, Sequence]:
    """Return energies over volumes, and the lower hull of them, as series of a chart."""
    picked = lower_hull(progress.volumes, progress.energies)
    return {
        "structures": (progress.volumes, progress.energies),
        "hull": (progress.volumes[picked], progress.energies[picked]),
    }
