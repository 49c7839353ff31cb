"""Read places of a field, those beyond its ends included, in as few copies as there can be."""

from __future__ import annotations

from itertools import accumulate, product

import numpy as np

from ._windows import FEW_RUNS, OUTSIDE, runs


def gather(values, places) -> np.ndarray:
    """Return the sites behind places along the axes after the first, zero where they are `OUTSIDE`.

    Parameters
    ----------
    values : ndarray of shape (n_samples, *grid[, n_channels])
    places : list of ndarray of int
        For each axis of the grid.

    Returns
    -------
    ndarray of shape (n_samples, *lengths of places[, n_channels])
        A view where the places of every axis follow each other.
    """
    pieces = [runs(along) for along in places]
    if all(len(along) == 1 and along[0][0] != OUTSIDE for along in pieces):
        return values[(slice(None), *(slice(start, start + n) for ((start, n),) in pieces))]
    if all(len(along) <= FEW_RUNS for along in pieces):
        return _in_boxes(values, pieces)
    for axis, (along, few) in enumerate(zip(places, pieces, strict=True), start=1):
        if len(few) == 1 and few[0][0] != OUTSIDE:
            values = values[(*[slice(None)] * axis, slice(few[0][0], sum(few[0])))]
        else:
            values = _take(values, along, axis)
    return values


def wraps_partly(places, length) -> bool:
    """Tell whether places of a part of an axis reach over its ends."""
    inside = places[places != OUTSIDE]
    return len(places) > inside[-1] - inside[0] + 1 and len(np.unique(inside)) < length


def _in_boxes(values, pieces):
    """Copy each box of sites that follow each other to where it is wanted: every number once."""
    n_axes = len(pieces)
    lengths = [sum(n for _, n in along) for along in pieces]
    beyond = any(start == OUTSIDE for along in pieces for start, _ in along)
    shape = (len(values), *lengths, *values.shape[1 + n_axes :])
    out = (np.zeros if beyond else np.empty)(shape, dtype=values.dtype)
    starts = [[0, *accumulate(n for _, n in along)] for along in pieces]
    for box in product(*(range(len(along)) for along in pieces)):
        chosen = [along[k] for along, k in zip(pieces, box, strict=True)]
        if all(start != OUTSIDE for start, _ in chosen):
            there = (slice(at[k], at[k + 1]) for at, k in zip(starts, box, strict=True))
            here = (slice(start, start + n) for start, n in chosen)
            out[(slice(None), *there)] = values[(slice(None), *here)]
    return out


def _take(values, places, axis):
    taken = np.take(values, places, axis=axis)
    outside = np.flatnonzero(places == OUTSIDE)
    if len(outside):
        index = [slice(None)] * values.ndim
        index[axis] = outside
        taken[tuple(index)] = 0
    return taken
