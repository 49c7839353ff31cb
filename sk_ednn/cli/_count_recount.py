"""Which pictures to count by hand first."""

from __future__ import annotations

import numpy as np

from .._utils.wording import plain

# Flagged pictures that are named, and pictures in all where fewer are flagged.
_MOST_FLAGGED, _NAMED = 5, 3
# An interval stands out if it is so many times as wide, relative to the total, as their median.
_STANDS_OUT = 1.5
# Models that are averaged differ, if by so much of the width of the interval.
_DIFFER = 0.5


def recount_first(rows) -> str:
    """Return which pictures to count by hand first, and why: the flagged ones, then the least sure.

    Of those that are not flagged only pictures are named that stand out: whose averaged models
    differ, or whose interval is much wider, relative to the total, than that of most.

    Parameters
    ----------
    rows : list of dict
        Of `CountRegressor.count`.

    Returns
    -------
    str
        Empty if there is no reason to prefer any: without flags and intervals, for a single picture
        without a flag, or for pictures that are all alike.

    Examples
    --------
    >>> from sk_ednn.cli._count_recount import recount_first
    >>> row = {"total": 20.0, "low": 16.4, "high": 23.6, "spread": 0.5, "flag": "", "novelty": 0.4}
    >>> full = {**row, "name": "a.png", "total": 123.0, "low": 115.0, "high": 131.0}
    >>> rows = [{**row, "name": "b.png"}, {**full, "flag": "range", "beyond": "more"}, full]
    >>> recount_first(rows)
    'recount first: a.png (fuller than all pictures of the fit), b.png (interval ± 18 %)'
    >>> recount_first(rows[:1]), recount_first(rows[2:] * 5)
    ('', '')
    """
    flagged = sorted((row for row in rows if row["flag"]), key=_doubt)
    others = sorted((row for row in rows if not row["flag"]), key=_doubt)
    widths = [width for row in rows if np.isfinite(width := relative_width(row))]
    wide = _STANDS_OUT * float(np.median(widths)) if widths else np.inf
    others = [row for row in others if relative_width(row) >= wide or _differ(row)]
    others = others if len(rows) > 1 else []
    kept = flagged[:_MOST_FLAGGED]
    kept += others[: max(0, _NAMED - len(kept))]
    if not kept:
        return ""
    more = len(flagged) - _MOST_FLAGGED
    also = f", and {more} more that are flagged" if more > 0 else ""
    named = ", ".join(f"{row['name']} ({_why(row)})" for row in kept)
    return f"recount first: {named}{also}"


def relative_width(row) -> float:
    """Return half the width of the interval of a row over its total, the largest of several."""
    total, low, high = (
        np.array([np.nan if each is None else each for each in np.ravel(row[key])], dtype=float)
        for key in ("total", "low", "high")
    )
    # That of an empty picture is large, and not infinite.
    half = np.maximum(high - total, total - low) / np.maximum(np.abs(total), 1.0)
    return float(half.max()) if np.isfinite(half).all() else np.nan


def _differ(row) -> bool:
    spread, low, high = (np.ravel(row[key]) for key in ("spread", "low", "high"))
    if any(each is None for each in [*low, *high]):
        return False
    width = np.asarray(high, dtype=float) - np.asarray(low, dtype=float)
    return bool((np.asarray(spread, dtype=float) >= _DIFFER * width).any())


def _doubt(row) -> tuple:
    """Return a key by which doubtful pictures come first."""
    novelty = -row["novelty"] if row["flag"] == "unlike" else 0.0
    return row["flag"] != "unlike", novelty, not _differ(row), -relative_width(row)


def _why(row) -> str:
    reasons = ["unlike the pictures of the fit"] if row["flag"] == "unlike" else []
    beyond = {"more": "fuller", "less": "emptier"}.get(row.get("beyond", ""))
    reasons += [f"{beyond} than all pictures of the fit"] if beyond else []
    reasons += ["the averaged models differ"] if _differ(row) else []
    width = relative_width(row)
    if not reasons and np.isfinite(width):
        reasons = [f"interval ± {plain(100 * width, 2)} %"]
    return ", ".join(reasons) or "outside the range of the fit"
