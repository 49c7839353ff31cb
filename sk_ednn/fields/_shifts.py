"""Shifts of tiles below a focus, and the positions of shifted tiles."""

from __future__ import annotations

from numbers import Integral

import numpy as np


def chosen(period, n_shifts, selection, random_state) -> np.ndarray:
    """Return shifts below a period.

    Parameters
    ----------
    period : tuple of int
    n_shifts : int, "all" or sequence of int
        How many; or, for each axis, how many.
    selection : {"even", "random"}
    random_state : RandomState

    Returns
    -------
    ndarray of int of shape (n_shifts, n_axes)
    """
    if isinstance(n_shifts, (tuple, list)):
        whole = all(isinstance(n, Integral) for n in n_shifts)
        if len(n_shifts) != len(period) or not whole or not _within(n_shifts, period):
            raise ValueError(
                f"n_shifts={n_shifts!r} must have a number for each of {len(period)} grid "
                f"axis/axes, at least 1 and at most the focus, {period}."
            )
        along = [
            np.sort(random_state.permutation(most)[:n])
            if selection == "random"
            else np.arange(n) * most // n
            for n, most in zip(n_shifts, period, strict=True)
        ]
        return _product(along)
    shifts = _product([np.arange(most) for most in period])
    if n_shifts == "all" or n_shifts >= len(shifts):
        return shifts
    if selection == "random":
        return shifts[np.sort(random_state.permutation(len(shifts))[:n_shifts])]
    return shifts[_spread(shifts / period, n_shifts)]


def _within(n_shifts, period) -> bool:
    return all(1 <= n <= most for n, most in zip(n_shifts, period, strict=True))


def _product(along) -> np.ndarray:
    return np.stack(np.meshgrid(*along, indexing="ij"), axis=-1).reshape(-1, len(along))


def _spread(positions, n) -> list[int]:
    """Return which of some positions in a periodic unit cell are as far apart as possible.

    One after the other, each furthest from those before it; the first is position 0.
    """
    chosen, nearest = [0], np.full(len(positions), np.inf)
    while len(chosen) < n:
        away = positions - positions[chosen[-1]]
        away -= np.round(away)
        # Rounded, so that of equal distances the first is taken.
        nearest = np.minimum(nearest, np.round((away**2).sum(axis=1), 9))
        chosen.append(int(nearest.argmax()))
    return chosen


def shared(values, shift, focus, lead=0):
    """Return contributions of shifted tiles, shared between the tiles in place that they overlap.

    Parameters
    ----------
    values : array of shape (*lead, *tile_grid, ...)
    shift : sequence of int, one for each grid axis
    focus : sequence of int
    lead : int, default=0
        Axes before those of the tile grid.
    """
    for axis, (by, length) in enumerate(zip(shift, focus, strict=True), start=lead):
        whole, rest = divmod(by, length)
        values = np.roll(values, whole, axis) if whole else values
        if rest:
            share = rest / length
            values = (1 - share) * values + share * np.roll(values, 1, axis)
    return values
