"""Curves of runs over their steps or the time, for the pages."""

from __future__ import annotations

import re

import numpy as np

from ._words import in_words

# Columns of metrics that are no curves.
_NO_CURVES = {"step", "time", "progress", "seconds", "minutes", "minutes_left", "epoch"}
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
        group = error if group == "Error" else group or in_words(plain_name).capitalize()
        shown = _OF_COUNTS.get(plain_name) if counting else None
        shown = in_words(plain_name) if shown is None else shown
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
    """Return the seconds until a run will end; None if they are unknown.

    They are those that the run itself has estimated last, as its log says; of other runs, they
    follow from the pace so far. The first half of the progress then does not count: a run may have
    read data, or been paused. What was recorded before a run was resumed says nothing of how long
    it was interrupted, and does not count.

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
    known = np.isfinite(progress) & np.isfinite(time) & (time >= run.resumed_after)
    said = columns.get("minutes_left")
    time, progress = time[known], progress[known]
    if not len(time) or not 0 < progress[-1] <= 1:
        return None
    # Time passes since the last record, too.
    elapsed = max(0.0, run.elapsed - float(time[-1]))
    if said is not None and said.dtype != object and np.isfinite(said[known][-1]):
        left = 60 * float(said[known][-1]) - elapsed
        # What follows a complete training took longer than was estimated.
        return max(0.0, left) if progress[-1] < 1 or left > 0 else None
    # Without an estimate, what follows a complete training is not known.
    if progress[-1] == 1:
        return None
    start = int(np.searchsorted(progress, 0.5 * progress[-1]))
    done, took = progress[-1] - progress[start], time[-1] - time[start]
    if done <= 0 and run.resumed_after:
        return None
    if done <= 0:  # a single point
        done, took = progress[-1], time[-1]
    return max(0.0, float(took / done * (1 - progress[-1])) - elapsed)


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
