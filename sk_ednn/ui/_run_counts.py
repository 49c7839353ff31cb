"""Results of models that count in pictures, in words for the pages."""

from __future__ import annotations

import math

import numpy as np

from .._utils.wording import (
    about,
    averaged_pixels,
    note_on_differences,
    note_on_trend,
    plain,
    rough_interval,
    rounded,
)
from ._words import duration

# Options that limit a training, or replay its clock.
_OF_TIME = ("--minutes", "--clock", "--epochs")
# A longer training is offered up to so many minutes, with so much more than it should need.
_LONGEST, _MARGIN = 600, 1.1
# A time that is no longer than another one by this factor may be the same as rounded.
_CLEARLY = 1.05
_OF_A_TOTAL = ("mean", "error", "half_width")


def counting_of(result) -> list[str]:
    """Return sentences on the errors of a fit of counts, beside its verdict; none for other runs.

    Examples
    --------
    >>> from sk_ednn.ui._run_counts import counting_of
    >>> cells = {"mean": 19.77, "error": 3.733, "error_of_mean": 8.553, "half_width": 8.95}
    >>> print(*counting_of({"held_back": 12, "totals": {"cells": cells}}))
    cells: the error is 19 % of a typical number; of pictures with such a number nine of ten are
    within ± 8.9, and of fuller ones within more
    The intervals are estimated from 12 held-back pictures only, and are wider for that. A fit of
    more networks (“More settings” of its form), or of more pictures, holds back more of them.
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
    return lines + roughness_of(n) + _seen_by(result) + _end_of(result) if lines else []


def _seen_by(result) -> list[str]:
    """Return a sentence on how pixels were averaged, and how to change it."""
    reduction = result.get("reduction")
    if type(reduction) is not int or not reduction > 0:
        return []
    words = averaged_pixels(reduction)
    return [f"{words[0].upper()}{words[1:]}; \u201cMore settings\u201d of a new fit change it."]


def _end_of(result) -> list[str]:
    """Return a sentence on why the training of a model of counts ended.

    All times are those of the training alone, see `sk_ednn.images.CountRegressor`. Runs of before
    wrote that of the whole fit: a limit that is no longer than it is not said.
    """
    passes, minutes, needed = (result.get(key) for key in ("passes", "minutes", "minutes_needed"))
    if not (isinstance(passes, int) and isinstance(minutes, (int, float))):
        return []
    networks = result.get("networks")
    several = isinstance(networks, int) and networks > 1
    times = "once" if passes == 1 else f"{passes:,} times"
    seen = f"every picture was seen {'at least ' if several else ''}{times}"
    took = duration(60 * minutes)
    if result.get("in_time"):
        return [f"The training ended by itself after {took}: {seen}."]
    words = f"The training was stopped after {took}, when {seen}."
    if isinstance(needed, (int, float)) and _CLEARLY * minutes < needed < math.inf:
        words += f" It would end by itself after {about(60 * needed)}."
    return [words]


def small_differences_of(result) -> list[str]:
    """Return sentences on totals whose differences are off, in a fit or a prediction.

    Examples
    --------
    >>> from sk_ednn.ui._run_counts import small_differences_of
    >>> cells = {"spread": 30.0, "spread_predicted": 12.0}
    >>> print(*small_differences_of({"totals": {"cells": cells}, "held_back": 9}))
    differences of cells come out too small: counts of 9 pictures not seen have a standard deviation
    of 12, their numbers in the table of 30; high ones are counted too low and low ones too high
    >>> small_differences_of({"notes": ["as said by the prediction"]})
    ['as said by the prediction']
    """
    notes, totals, n = (result.get(key) for key in ("notes", "totals", "held_back"))
    if isinstance(notes, list):
        return [note for note in notes if isinstance(note, str)]
    if not isinstance(totals, dict) or not isinstance(n, int):
        return []
    lines = []
    for name, one in totals.items():
        if not isinstance(one, dict):
            continue
        true, predicted = one.get("spread"), one.get("spread_predicted")
        if isinstance(true, (int, float)) and isinstance(predicted, (int, float)):
            note, trend = note_on_differences(str(name), true, predicted, n), one.get("trend")
            if not note and isinstance(trend, list) and len(trend) == 2:
                if all(isinstance(each, (int, float)) for each in trend):
                    note = note_on_trend(str(name), trend[0], trend[1], n)
            lines.append(note)
    return [line for line in lines if line]


def recount_of(result) -> list[str]:
    """Return a sentence on the pictures to count by hand first, of a prediction of counts.

    Examples
    --------
    >>> from sk_ednn.ui._run_counts import recount_of
    >>> recount_of({"recount": "recount first: a.png (interval ± 18 %)"}), recount_of({})
    (['Recount first: a.png (interval ± 18 %).'], [])
    """
    said = (result.get(key) for key in ("recount", "recount_parts"))
    return [f"{words[0].upper()}{words[1:]}." for words in said if isinstance(words, str) and words]


def longer_fit(run) -> tuple[int, list[str]] | None:
    """Return the minutes in which a training that its limit ended would end by itself.

    They are always more than the limit of the run. A run that was stopped by hand has none: it is
    resumed, and keeps what it has learned.

    Parameters
    ----------
    run : Run

    Returns
    -------
    minutes : int
    argv : list of str
        The command with this limit.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> from sk_ednn.ui._run_counts import longer_fit
    >>> result = {"in_time": False, "minutes": 12.2, "minutes_needed": 33.1}
    >>> argv = ["count", "fit", "--clock", "clock.npz", "photos", "t.csv", "--minutes", "12"]
    >>> run = SimpleNamespace(kind="count-fit", result=result, repeat_argv=argv)
    >>> run.status, run.settings = "finished", {"minutes": 12.0}
    >>> longer_fit(run)
    (37, ['count', 'fit', 'photos', 't.csv', '--minutes', '37'])
    """
    result, argv = run.result, run.repeat_argv
    if run.kind != "count-fit" or run.status != "finished":
        return None
    if not isinstance(result, dict) or not argv:
        return None
    needed, minutes = result.get("minutes_needed"), result.get("minutes")
    if result.get("in_time", True) or not isinstance(needed, (int, float)):
        return None
    if not (isinstance(minutes, (int, float)) and minutes < needed < _LONGEST):
        return None
    limit = math.ceil(_MARGIN * needed)  # the pace varies with what else runs
    own = run.settings.get("minutes")
    if isinstance(own, (int, float)) and limit <= own:
        return None
    kept, skip = [], False
    for word in argv:
        name, has_value, _ = word.partition("=")
        if not skip and name not in _OF_TIME:
            kept.append(word)
        skip = not skip and name in _OF_TIME and not has_value
    return limit, [*kept, "--minutes", str(limit)]


def furthest_of(result) -> list[tuple]:
    """Return the pictures not seen that a model of counts is furthest off, as rows of a table.

    Examples
    --------
    >>> from sk_ednn.ui._run_counts import furthest_of
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


def counts_in_words(one) -> list[str]:
    """Return the count of a picture and the ends of its interval, with the digits that it leaves.

    Examples
    --------
    >>> from sk_ednn.ui._run_counts import counts_in_words
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
    return [
        f"{rough[0].upper()}{rough[1:]}. A fit of more networks (“More settings” of its form), "
        "or of more pictures, holds back more of them."
    ]
