"""Models that runs have left."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ._runs import row_of


@dataclass(frozen=True)
class Model:
    """A model file of a run.

    Attributes
    ----------
    path : Path
    run : str
        Its id.
    words : str
        For a list of them.
    """

    path: Path
    run: str
    words: str


def models_of(site, kinds) -> list[Model]:
    """Return the models of all runs of some kinds, the newest first.

    Parameters
    ----------
    site : Site
    kinds : collection of str
    """
    found = []
    for run in site.runs():
        if run.kind not in kinds or run.status == "running":
            continue
        name = next((name for name in run.files() if name.endswith(".ednn")), None)
        if name is None:
            continue
        row = row_of(run)
        error = "" if row.error is None else f", error {row.error:.3g}"
        when = run.started.replace("T", " ")[:16]
        found.append(
            Model(
                run.file(name), run.id, f"{row.data}: {row.model or run.kind}{error} ({when} UTC)"
            )
        )
    return found
