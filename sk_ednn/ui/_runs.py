"""Rows, settings and data of runs in words, for the pages."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from ._run_results import error_of
from ._words import duration, in_words, kind_in_words, readable, size

# Folder of uploaded files, in the folder of the runs.
UPLOADS = "uploads"
_MOST_LINES = 400  # of a log that is followed


@dataclass(frozen=True)
class Row:
    """A run in the table.

    Attributes
    ----------
    id, kind, status, message, data, model, tags : str
    progress, error, started, seconds : float or None
    """

    id: str
    kind: str
    status: str
    message: str
    data: str
    model: str
    progress: float | None
    error: float | None
    started: float | None
    seconds: float
    tags: tuple[str, ...]

    def cells(self) -> dict[str, Any]:
        """Return cells for the table in the browser: numbers to sort by, texts to show."""
        progress = "" if self.progress is None else f"{100 * self.progress:.0f} %"
        began = "–" if self.started is None else _local(self.started)
        return {
            "id": self.id,
            "kind": kind_in_words(self.kind),
            "status": self.status,
            "message": readable(self.message),
            "data": readable(self.data),
            "model": readable(self.model),
            "progress": progress if self.status != "finished" else "",
            "error": self.error,
            "error_shown": "" if self.error is None else f"{self.error:.4g}",
            "started": self.started or 0.0,
            "started_shown": began,
            "seconds": round(self.seconds, 1),
            "seconds_shown": duration(self.seconds),
            "tags": ", ".join(self.tags),
        }


def row_of(run) -> Row:
    """Return what the table shows of a run, whatever is in its files."""
    settings, status = run.settings, run.status
    model = settings.get("model")
    return Row(
        id=run.id,
        kind=run.kind,
        status=status,
        message=run.message if status != "finished" else "",
        data=data_of(run),
        model=Path(model).name if isinstance(model, str) else "",
        progress=run.progress,
        error=error_of(run.result),
        started=_seconds(run.started),
        seconds=run.duration,
        tags=tuple(run.tags),
    )


def title_of(row) -> str:
    """Return the title of the page of a run: its kind, and its data.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> from sk_ednn.ui._runs import title_of
    >>> title_of(SimpleNamespace(kind="count-predict", data="photos"))
    'Count: photos'
    """
    kind = kind_in_words(row.kind)
    kind = f"{kind[:1].upper()}{kind[1:]}"
    return f"{kind}: {row.data}" if row.data else kind


def data_of(run) -> str:
    """Return the name of the data of a run."""
    # Folders of pictures that were dropped are called by the time.
    first = ("totals",) if run.kind == "count-fit" else ()
    for name in (*first, "fields", "pictures", "composition", "settings", "structures"):
        value = run.settings.get(name)
        if isinstance(value, str) and value:
            path, mark, key = value.partition("::")
            if Path(path).parent.name == UPLOADS:  # the name of the folder is a time
                return _dropped(run.data.get(name))
            return Path(path).name + mark + key
    for value in run.data.values():
        path = value.get("path") if isinstance(value, dict) else None
        if isinstance(path, str):
            return Path(path).name
    return ""


def _dropped(data) -> str:
    n = data.get("n_files") if isinstance(data, dict) else None
    if not isinstance(n, int):
        return "dropped files"
    return f"{n} dropped file{'' if n == 1 else 's'}"


def given_of(run) -> tuple[dict, dict]:
    """Return the settings that the command of a run names, and the others, which are defaults.

    Parameters
    ----------
    run : Run
        One that was started in Python has no command: all its settings were given.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> from sk_ednn.ui._runs import given_of
    >>> settings = {"pictures": "photos", "minutes": 5.0, "missing_chunks": "error"}
    >>> run = SimpleNamespace(settings=settings, argv=["count", "fit", "photos", "--minutes", "5"])
    >>> given_of(run)
    ({'pictures': 'photos', 'minutes': 5.0}, {'missing_chunks': 'error'})
    """
    settings = run.settings
    if not run.argv:
        return settings, {}
    words = {word.partition("=")[0] for word in run.argv} | set(run.argv)

    def is_given(name, value):
        return f"--{name.replace('_', '-')}" in words or str(value) in words

    given = {name: value for name, value in settings.items() if is_given(name, value)}
    return given, {name: value for name, value in settings.items() if name not in given}


def identity_of(data) -> str:
    """Return what identifies data, for reading: file, shapes, size, and the beginning of its hash.

    Examples
    --------
    >>> from sk_ednn.ui._runs import identity_of
    >>> identity_of({"path": "a.npz", "bytes": 2500, "sha256": "0123456789abcdef", "shapes": {}})
    'a.npz, 2.5 kB, sha256 0123456789ab…'
    """
    if not isinstance(data, dict):
        return str(data)
    shapes = data.get("shapes")
    parts = [str(data.get("path", data.get("type", "")))]
    if isinstance(shapes, dict):
        parts += [f"{name} {' × '.join(map(str, shape))}".strip() for name, shape in shapes.items()]
    if isinstance(data.get("n_files"), int):
        parts.append(f"{data['n_files']} files")
    if isinstance(data.get("bytes"), int):
        parts.append(size(data["bytes"]))
    if isinstance(data.get("sha256"), str):
        parts.append(f"sha256 {data['sha256'][:12]}…")
    return ", ".join(parts)


def log_of(run) -> str:
    """Return the end of the log, as it is followed."""
    return run.log(tail=_MOST_LINES)


def flat(value, name="") -> list[tuple[str, str]]:
    """Return nested results as names and values for reading.

    Examples
    --------
    >>> from sk_ednn.ui._runs import flat
    >>> flat({"test": {"mean": 0.25, "rmse": 0.5}, "n_test": 100})
    [('test · mean', '0.25'), ('test · rmse', '0.5'), ('n test', '100')]
    """
    if isinstance(value, dict):
        return [
            pair
            for key, inner in value.items()
            for pair in flat(inner, f"{name} · {in_words(key)}" if name else in_words(key))
        ]
    if isinstance(value, list) and len(value) > 6:
        return [(name, f"{len(value)} values")]
    if isinstance(value, list):
        return [(name, ", ".join(_shown(each) for each in value))]
    return [(name, _shown(value))]


def _shown(value) -> str:
    if value is None:
        return "–"
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def _seconds(time) -> float | None:
    try:
        return datetime.fromisoformat(time).timestamp()
    except (TypeError, ValueError, OverflowError, OSError):
        return None


def _local(seconds) -> str:
    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M:%S")
