"""Rows, curves, errors, and pairs of true and predicted totals of runs, for the pages."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from .._utils.wording import plain, rough_interval, rounded
from ._words import duration, kind_in_words, size

# Columns of metrics that are no curves.
_NO_CURVES = {"step", "time", "progress", "seconds", "minutes", "epoch"}
_ENDING = re.compile(r"_(\d+)$")  # of the second of several networks
# Curves that are drawn together, by words in their names; the first that suits.
_GROUPS = (
    ("Loss", ("loss",)),
    ("Error of energies (meV/atom)", ("energy_mae", "energy_rmse")),
    ("Error of forces (meV/Å)", ("force_mae", "force_rmse")),
    ("Error of stresses (GPa)", ("stress_mae", "stress_rmse")),
    ("Error", ("error", "rmse", "mae", "median", "mean")),
    ("Learning rate", ("lr", "learning_rate")),
)
# What the names of curves mean in a fit of counts.
_OF_COUNTS = {"train_error": "pictures learned from", "error": "pictures not seen"}
# The table that a fit leaves of the totals it was judged on.
PREDICTIONS = "predictions.csv"
_MOST_LINES = 400  # of a log that is followed
STATES = {
    "running": "running",
    "finished": "finished",
    "failed": "failed",
    "stopped": "stopped",
    "killed": "killed",
}


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
            "message": self.message,
            "data": self.data,
            "model": self.model,
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


def data_of(run) -> str:
    """Return the name of the data of a run."""
    # Folders of pictures that were dropped are called by the time.
    first = ("totals",) if run.kind == "count-fit" else ()
    for name in (*first, "fields", "pictures", "composition", "settings", "structures"):
        value = run.settings.get(name)
        if isinstance(value, str) and value:
            path, mark, key = value.partition("::")
            return Path(path).name + mark + key
    for value in run.data.values():
        path = value.get("path") if isinstance(value, dict) else None
        if isinstance(path, str):
            return Path(path).name
    return ""


def error_of(result) -> float | None:
    """Return the error by which runs are compared: the mean over held-out systems.

    Examples
    --------
    >>> from sk_ednn.ui._runs import error_of
    >>> error_of({"train": {"mean": 0.1}, "test": {"median": 0.2, "mean": 0.3}})
    0.3
    >>> error_of({"test": {"energy_mae": 4.0, "force_mae": 70.0}}), error_of(None)
    (4.0, None)
    """
    if not isinstance(result, dict):
        return None
    for name in ("error", "test", "errors", "train"):
        value = result.get(name)
        while isinstance(value, (dict, list)) and value:
            if isinstance(value, list):
                value = value[0]
            else:
                value = next((value[key] for key in ("mean", "mae", "energy_mae", "test", "median")
                              if key in value), None)  # fmt: skip
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value)
    return None


def unit_of(settings, result) -> str:
    """Return the unit of `error_of`; empty if it is unknown.

    Examples
    --------
    >>> from sk_ednn.ui._runs import unit_of
    >>> unit_of({"unit": "J"}, {"test": {"mean": 0.3}}), unit_of({}, {"test": {"energy_mae": 4.0}})
    ('J', 'meV/atom')
    """
    if _is_of_potential(_parts(result)):
        return "meV/atom"
    units = (each.get("unit") for each in (result, settings) if isinstance(each, dict))
    return next((unit for unit in units if isinstance(unit, str)), "")


def errors_of(settings, result) -> list[list]:
    """Return the table of errors that a fit prints, header first; empty for other results.

    Examples
    --------
    >>> from sk_ednn.ui._runs import errors_of
    >>> for row in errors_of({"unit": "J"}, {"train": {"mean": 0.1}, "test": {"mean": 0.3}}):
    ...     print(row)
    ['errors of totals (J)', 'mean']
    ['train', 0.1]
    ['test', 0.3]
    """
    parts = _parts(result)
    if not parts:
        return []
    if _is_of_potential(parts):
        from ..atoms._potential_errors import table_of

        spreads = result.get("spreads")
        return table_of(parts, _numbers_by_part(spreads if isinstance(spreads, dict) else {}))
    names = list(dict.fromkeys(name for values in parts.values() for name in values))
    unit = unit_of(settings, result)
    title = f"errors of totals ({unit})" if unit else "errors of totals"
    rows = [[part, *(values.get(name) for name in names)] for part, values in parts.items()]
    return [[title, *names], *rows]


def _parts(result) -> dict[str, dict]:
    if not isinstance(result, dict):
        return {}
    return _numbers_by_part({part: result.get(part) for part in ("train", "test")})


def _numbers_by_part(parts) -> dict[str, dict]:
    """Return what contains numbers alone: files of a run may contain anything."""
    return {
        part: values for part, values in parts.items()
        if isinstance(values, dict) and all(isinstance(v, (int, float)) for v in values.values())
    }  # fmt: skip


def _is_of_potential(parts) -> bool:
    return any("energy_mae" in values or "force_mae" in values for values in parts.values())


def verdict_in(result) -> str | None:
    """Return the verdict on a model in a result; None if there is none."""
    verdict = result.get("verdict") if isinstance(result, dict) else None
    words = verdict.get("words") if isinstance(verdict, dict) else None
    return words if isinstance(words, str) else None


def counting_of(result) -> list[str]:
    """Return sentences on the errors of a fit of counts, beside its verdict; none for other runs.

    Examples
    --------
    >>> from sk_ednn.ui._runs import counting_of
    >>> cells = {"mean": 19.77, "error": 3.733, "error_of_mean": 8.553, "half_width": 8.95}
    >>> print(*counting_of({"held_back": 12, "totals": {"cells": cells}}))
    cells: the error is 19 % of a typical number; of pictures with such a number nine of ten are
    within ± 8.9, and of fuller ones within more
    The intervals are estimated from 12 held-back pictures only, and are rough themselves: other
    pictures could make them clearly wider or narrower.
    """
    totals, n = result.get("totals"), result.get("held_back")
    if not isinstance(totals, dict) or not isinstance(n, int) or not n:
        return []
    lines = []
    for name, one in totals.items():
        if not isinstance(one, dict):
            continue
        if not all(isinstance(one.get(each), (int, float)) for each in _OF_A_TOTAL):
            continue
        share = ""
        if one["mean"] > 0:
            percent = plain(100 * one["error"] / one["mean"], 2)
            share = f"the error is {percent} % of a typical number; "
        lines.append(
            f"{name}: {share}of pictures with {'such a' if share else 'a typical'} number nine of "
            "ten are within ± "
            f"{plain(one['half_width'], 2)}, and of fuller ones within more"
        )
    return lines + roughness_of(n) + _end_of(result) if lines else []


def _end_of(result) -> list[str]:
    """Return a sentence on why the training of a model of counts ended."""
    passes, minutes, needed = (result.get(key) for key in ("passes", "minutes", "minutes_needed"))
    if not (isinstance(passes, int) and isinstance(minutes, (int, float))):
        return []
    seen = f"every picture was seen {passes:,} times"
    if result.get("in_time"):
        return [f"The training ended by itself after {minutes:.1f} minutes: {seen}."]
    words = f"The training ended after {minutes:.1f} minutes, when {seen}."
    if isinstance(needed, (int, float)):
        words += f" With about {plain(needed, 2)} minutes it would have ended by itself."
    return [words]


def furthest_of(result) -> list[tuple]:
    """Return the pictures not seen that a model of counts is furthest off, as rows of a table.

    Examples
    --------
    >>> from sk_ednn.ui._runs import furthest_of
    >>> worst = [{"name": "025.png", "true": 315.0, "predicted": 298.447}]
    >>> furthest_of({"totals": {"cells": {"worst": worst}}})
    [('cells', '025.png', '315', '298.4')]
    """
    totals = result.get("totals")
    rows = []
    for column, one in totals.items() if isinstance(totals, dict) else ():
        worst = one.get("worst") if isinstance(one, dict) else None
        for each in worst if isinstance(worst, list) else ():
            try:
                true, predicted = float(each["true"]), float(each["predicted"])
                rows.append((str(column), str(each["name"]), plain(true), plain(predicted)))
            except (KeyError, TypeError, ValueError):  # changed by hand
                continue
    return rows


_OF_A_TOTAL = ("mean", "error", "half_width")


def counts_in_words(one) -> list[str]:
    """Return the count of a picture and the ends of its interval, with the digits that it leaves.

    Examples
    --------
    >>> from sk_ednn.ui._runs import counts_in_words
    >>> counts_in_words({"total": 2.1923, "low": 0.5779, "high": 3.8051})
    ['2.2', '0.6', '3.8']
    >>> counts_in_words({"total": [20.314, 7.0], "low": None, "high": None})
    ['20.31, 7', '–', '–']
    """
    columns = [np.ravel(one.get(key)).tolist() for key in ("total", "low", "high")]
    _, low, high = columns
    widths = [None] * len(columns[0])
    if len(low) == len(high) == len(widths) and None not in low + high:
        widths = [float(b) - float(a) for a, b in zip(low, high, strict=True)]
    return [
        ", ".join(
            "–" if value is None else rounded(float(value), width)
            for value, width in zip(values, [*widths, *[None] * len(values)], strict=False)
        )
        for values in columns
    ]


def roughness_of(n_held_back) -> list[str]:
    """Return a sentence on intervals from few pictures, if there are few."""
    rough = rough_interval(n_held_back) if isinstance(n_held_back, int) else ""
    if not rough:
        return []
    why = "other pictures could make them clearly wider or narrower"
    return [f"{rough[0].upper()}{rough[1:]}: {why}."]


def curves_of(run, x="step") -> dict[str, dict[str, tuple]]:
    """Return the curves of a run, by groups that are drawn together.

    Parameters
    ----------
    run : Run
    x : {"step", "time"}, default="step"

    Returns
    -------
    dict of str to dict
        Series by name, by the title of their group, which contains the unit where it is known.
    """
    columns = run.metrics()
    along = columns.get(x)
    counting = run.kind == "count-fit"
    error = f"Error per picture{_in_columns(run)}" if counting else "Error"
    several = any(_ENDING.search(name) for name in columns)
    curves: dict[str, dict[str, tuple]] = {}
    for name, values in sorted(columns.items(), key=lambda pair: _network_of(pair[0])):
        plain_name = _ENDING.sub("", name)
        if plain_name in _NO_CURVES or values.dtype == object or along is None:
            continue
        finite = np.isfinite(values)
        if not finite.any():
            continue
        group = next((title for title, words in _GROUPS
                      if any(word in name.lower() for word in words)), None)  # fmt: skip
        group = error if group == "Error" else group or _words(plain_name).capitalize()
        shown = _OF_COUNTS.get(plain_name) if counting else None
        shown = _words(plain_name) if shown is None else shown
        if several:
            shown += f", network {_network_of(name)}"
        curves.setdefault(group, {})[shown] = (along[finite], values[finite])
    return curves


def _network_of(name) -> int:
    ending = _ENDING.search(name)
    return int(ending[1]) if ending else 1


def _in_columns(run) -> str:
    """Return the names of the totals of a fit of counts, which are the units of their errors."""
    totals = run.result.get("totals") if isinstance(run.result, dict) else None
    names = list(totals) if isinstance(totals, dict) else []
    column = run.settings.get("column")
    if not names and isinstance(column, str):
        names = [name.strip() for name in column.split(",") if name.strip()]
    if not names:
        return ""
    return f" ({names[0]})" if len(names) == 1 else " (mean over columns)"


def seconds_left(run) -> float | None:
    """Return the seconds until a run will end, from its pace so far; None if it is unknown.

    The first half of the progress does not count: a run may have read data, or been paused.

    Parameters
    ----------
    run : Run
    """
    if run.status != "running" or run.paused:
        return None
    columns = run.metrics()
    time, progress = columns.get("time"), columns.get("progress")
    if time is None or progress is None or progress.dtype == object or time.dtype == object:
        return None
    known = np.isfinite(progress) & np.isfinite(time)
    time, progress = time[known], progress[known]
    # What follows a complete training is not known.
    if not len(time) or not 0 < progress[-1] < 1:
        return None
    start = int(np.searchsorted(progress, 0.5 * progress[-1]))
    done, took = progress[-1] - progress[start], time[-1] - time[start]
    if done <= 0:  # a single point
        done, took = progress[-1], time[-1]
    # Time passes since the last record, too.
    elapsed = max(0.0, run.duration - float(time[-1]))
    return max(0.0, float(took / done * (1 - progress[-1])) - elapsed)


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


def resources_of(run) -> dict[str, dict[str, tuple]]:
    """Return the resources of a run as curves over the time in s."""
    columns = run.resources()
    time = columns.get("time")
    if time is None or len(time) < 2:
        return {}
    curves = {}
    for name, title, scale in (
        ("cpu_percent", "Processor / %", 1.0),
        ("rss_bytes", "Memory / MB", 1e-6),
        ("gpu_bytes", "GPU memory / MB", 1e-6),
    ):
        values = columns.get(name)
        if values is not None and np.isfinite(values).any():
            curves[title] = {title: (time, values * scale)}
    return curves


@dataclass(frozen=True)
class Totals:
    """True and predicted totals of a part of the data.

    Attributes
    ----------
    true, predicted : ndarray of shape (n,)
    sizes : ndarray of shape (n,) or None
        Sites or atoms.
    """

    true: np.ndarray
    predicted: np.ndarray
    sizes: np.ndarray | None


def totals_of(run) -> dict[str, Totals]:
    """Return the totals that a fit was judged on, by the part of the data; empty where none are."""
    try:
        path = run.file(PREDICTIONS)
        with open(path, encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        parts = dict.fromkeys(row["part"] for row in rows)
        return {part: _totals([row for row in rows if row["part"] == part]) for part in parts}
    except (FileNotFoundError, KeyError, ValueError, TypeError, UnicodeDecodeError, csv.Error):
        return {}


def _totals(rows) -> Totals:
    sizes = None
    if rows[0].get("size"):
        sizes = np.array([float(row["size"]) for row in rows])
    return Totals(
        np.array([float(row["true"]) for row in rows]),
        np.array([float(row["predicted"]) for row in rows]),
        sizes,
    )


def predicted_of(run) -> tuple[list[str], list[list[str]]]:
    """Return the table of totals that a prediction wrote, numbers shortened; empty for others."""
    if run.kind != "predict":
        return [], []
    for name in ("totals.csv", PREDICTIONS):
        try:
            with open(run.file(name), encoding="utf-8", newline="") as file:
                header, *rows = csv.reader(file)
        except (FileNotFoundError, ValueError, UnicodeDecodeError, csv.Error):
            continue
        digits = [2 if "plus or minus" in name else 6 for name in header]
        return header, [[_number(*cell) for cell in zip(row, digits, strict=False)] for row in rows]
    return [], []


def _number(cell, digits) -> str:
    try:
        return f"{float(cell):.{digits}g}"
    except ValueError:
        return cell


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
            for pair in flat(inner, f"{name} · {_words(key)}" if name else _words(key))
        ]
    if isinstance(value, list) and len(value) > 6:
        return [(name, f"{len(value)} values")]
    if isinstance(value, list):
        return [(name, ", ".join(_shown(each) for each in value))]
    return [(name, _shown(value))]


def _words(key) -> str:
    return str(key).replace("_", " ")


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
