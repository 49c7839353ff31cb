"""Distinct values of fields that have few, such as spins, and a warning where others have more.

A model of spins -1 and 1 accepts 0 and 1 without a word: they are within its range, and mean
something else. So do labels that are counted from 0 in one file and from 1 in another.
"""

from __future__ import annotations

import warnings

import numpy as np

from .._utils.stacklevel import outside_package
from ..exceptions import NoveltyWarning

# More distinct values are amounts, of which larger fields have others.
_MAX_LEVELS = 12
# Sites that are looked at, spread over all.
_MAX_SITES = 1 << 22
# Part of the sites with other values: rare ones are expected where values are amounts.
_MIN_PART = 0.05
# Sites for each value at least: numbers that are all different are few only because there are few.
_SITES_PER_LEVEL = 20
# Relative to the range, above round-off of float32.
_TOLERANCE = 1e-5


def levels_of(fields) -> np.ndarray | None:
    """Return the distinct values of fields, None if they are one, many, or not in memory.

    Parameters
    ----------
    fields : Fields
        Without channels.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ednn.fields._fields import check_fields
    >>> from sk_ednn.fields._levels import levels_of
    >>> levels_of(check_fields(np.tile([1, -1, 1, 1], (5, 4))))
    array([-1.,  1.])
    """
    if fields.lazy:
        return None
    levels, n_sites = np.zeros(0), 0
    for stack in fields.stacks:
        n_sites += stack.values.size
        values = np.ravel(stack.values)
        # Most fields of many values show it at once.
        for part in (values[: 1 << 12], values):
            if len(np.unique(part[:: max(1, len(part) >> 16)])) > _MAX_LEVELS:
                return None
        levels = np.union1d(levels, np.unique(values).astype(np.float64))
        if len(levels) > _MAX_LEVELS:
            return None
    return levels if len(levels) > 1 and n_sites >= _SITES_PER_LEVEL * len(levels) else None


def joined(before, levels) -> np.ndarray | None:
    """Return the values of two sets of fields, each with few or None, if together they have few."""
    if before is None or levels is None:
        return None
    both = np.union1d(before, levels)
    return both if len(both) <= _MAX_LEVELS else None


def warn_of_levels(levels, fields) -> None:
    """Warn if many sites have values that no field of the fit had.

    Parameters
    ----------
    levels : ndarray
        Result of `levels_of` for the fields of the fit.
    fields : Fields
        Without channels; those that are not in memory are not looked at.
    """
    levels = np.asarray(levels, dtype=np.float64)
    if levels.ndim != 1 or not 1 < len(levels) <= _MAX_LEVELS or not np.isfinite(levels).all():
        raise ValueError("input_levels_ are not the values of fields that have few")
    for stack in fields.stacks:
        if not isinstance(stack.values, np.ndarray):
            continue
        values = np.ravel(stack.values)
        values = values[:: -(-len(values) // _MAX_SITES)]
        tolerance = _TOLERANCE * np.ptp(levels)
        known = np.zeros(values.shape, dtype=bool)
        for level in levels:
            known |= np.abs(values - level) <= tolerance
        part = 1 - known.mean()
        if part < _MIN_PART:
            continue
        others = np.unique(values[~known][: 1 << 12])
        shown = ", ".join(f"{value:.6g}" for value in others[:_MAX_LEVELS])
        warnings.warn(
            f"{100 * part:.3g} % of the values of the fields are {shown}"
            f"{', ...' if len(others) > _MAX_LEVELS else ''}, but those of the fit were only "
            f"{', '.join(f'{level:.6g}' for level in levels)}. Check that spins or labels are "
            "written as in the training.",
            NoveltyWarning,
            stacklevel=outside_package(),
        )
        return
