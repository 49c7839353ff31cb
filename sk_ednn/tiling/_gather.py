"""Gather the sites at padded positions of a field, with as few copies as possible."""

from __future__ import annotations

from itertools import accumulate, product

import numpy as np

from ._windows import FEW_RUNS, OUTSIDE, runs


def gather(values, positions) -> np.ndarray:
    """Return the values at positions along the axes after the first, zero at `OUTSIDE`.

    Parameters
    ----------
    values : ndarray of shape (n_samples, *grid[, n_channels])
    positions : list of ndarray of int
        Sites along each axis of the grid; see `_windows.axis_positions`.

    Returns
    -------
    ndarray of shape (n_samples, *lengths of positions[, n_channels])
        A view if the positions along every axis are consecutive sites.
    """
    pieces = [runs(along) for along in positions]
    if all(len(along) == 1 and along[0][0] != OUTSIDE for along in pieces):
        return values[(slice(None), *(slice(start, start + n) for ((start, n),) in pieces))]
    if all(len(along) <= FEW_RUNS for along in pieces):
        return _in_boxes(values, pieces)
    for axis, (along, few) in enumerate(zip(positions, pieces, strict=True), start=1):
        if len(few) == 1 and few[0][0] != OUTSIDE:
            values = values[(*[slice(None)] * axis, slice(few[0][0], sum(few[0])))]
        else:
            values = _take(values, along, axis)
    return values


def wraps_partly(positions, length) -> bool:
    """Return True if the positions of a part of an axis extend beyond its ends."""
    inside = positions[positions != OUTSIDE]
    return len(positions) > inside[-1] - inside[0] + 1 and len(np.unique(inside)) < length


def _in_boxes(values, pieces):
    """Copy each box of consecutive sites to its position, every number once."""
    n_axes = len(pieces)
    lengths = [sum(n for _, n in along) for along in pieces]
    beyond = any(start == OUTSIDE for along in pieces for start, _ in along)
    shape = (len(values), *lengths, *values.shape[1 + n_axes :])
    out = (np.zeros if beyond else np.empty)(shape, dtype=values.dtype)
    starts = [[0, *accumulate(n for _, n in along)] for along in pieces]
    for box in product(*(range(len(along)) for along in pieces)):
        chosen = [along[k] for along, k in zip(pieces, box, strict=True)]
        if all(start != OUTSIDE for start, _ in chosen):
            target = (slice(at[k], at[k + 1]) for at, k in zip(starts, box, strict=True))
            source = (slice(start, start + n) for start, n in chosen)
            out[(slice(None), *target)] = values[(slice(None), *source)]
    return out


def _take(values, positions, axis):
    taken = np.take(values, positions, axis=axis)
    outside = np.flatnonzero(positions == OUTSIDE)
    if len(outside):
        index = [slice(None)] * values.ndim
        index[axis] = outside
        taken[tuple(index)] = 0
    return taken
