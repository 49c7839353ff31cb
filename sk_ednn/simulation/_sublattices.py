"""Moves that may be made all at once: no tile sees sites of two of them.

A tile is the product of one window of each axis. So if moves are coloured along each axis such that
those of one colour share no window there, two moves of the same colours along all axes share no
tile: they differ along some axis. What one of them costs does not depend on what becomes of the
others, and updating them together is the same as updating them one by one.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from ..tiling._windows import OUTSIDE, seen_by


@dataclass(frozen=True, eq=False)
class Sublattice:
    """Moves at all combinations of some positions along each axis.

    Attributes
    ----------
    grid : tuple of int
        Sites of the field along each axis.
    positions : tuple of ndarray of int of shape (n_sites, n_along_axis)
        For each axis, where the sites of a move are.
    """

    grid: tuple[int, ...]
    positions: tuple[np.ndarray, ...]

    @property
    def n_moves(self) -> int:
        """Number of moves."""
        return int(np.prod([along.shape[1] for along in self.positions]))

    def sites(self) -> np.ndarray:
        """Return the sites of each move, counted in C order, (n_sites, n_moves)."""
        flat = np.zeros((len(self.positions[0]), 1), dtype=np.intp)
        for length, along in zip(self.grid, self.positions, strict=True):
            flat = (flat[:, :, None] * length + along[:, None, :]).reshape(len(along), -1)
        return flat

    def parts(self, n_most):
        """Cut along the first axis into pieces of at most `n_most` moves, or of one layer."""
        first, *rest = self.positions
        layer = int(np.prod([along.shape[1] for along in rest]))
        step = max(1, n_most // layer)
        return [
            Sublattice(self.grid, (first[:, start : start + step], *rest))
            for start in range(0, first.shape[1], step)
        ]


def changes(windows, grid) -> list[Sublattice]:
    """Return sublattices that contain each site once, as moves of one site.

    Parameters
    ----------
    windows : list of list of ndarray of int of shape (n_windows, width)
        For each term and each axis, the sites that each window sees.
    grid : tuple of int
    """
    return _sublattices(windows, grid, [np.arange(length)[None] for length in grid])


def exchanges(windows, grid, periodic) -> list[Sublattice]:
    """Return sublattices that contain each pair of neighbours once, as moves of two sites."""
    sublattices = []
    for direction, length in enumerate(grid):
        # Around a ring of two there is one pair, not two.
        n_pairs = length if periodic and length > 2 else length - 1
        if n_pairs == 0:
            continue
        along = [np.tile(np.arange(n), (2, 1)) for n in grid]
        first = np.arange(n_pairs)
        along[direction] = np.stack([first, (first + 1) % length])
        sublattices += _sublattices(windows, grid, along)
    return sublattices


def _sublattices(windows, grid, positions) -> list[Sublattice]:
    groups = []
    for axis, along in enumerate(positions):
        seen = [union(seen_by(term[axis], grid[axis]), along) for term in windows]
        colours = _colours(seen)
        groups.append([along[:, colours == c] for c in range(colours.max() + 1)])
    return [Sublattice(tuple(grid), combination) for combination in product(*groups)]


def union(table, along) -> np.ndarray:
    """Return the windows that see any site of each move along an axis, filled up with -1.

    Parameters
    ----------
    table : ndarray of int of shape (length, n_most)
        As `seen_by` returns it.
    along : ndarray of int of shape (n_sites, n_along_axis)

    Returns
    -------
    ndarray of int of shape (n_along_axis, n_most_of_union)
    """
    seen = np.concatenate(list(table[along]), axis=1)
    seen.sort(axis=1)
    seen[:, 1:][seen[:, 1:] == seen[:, :-1]] = -1
    seen = -np.sort(-seen, axis=1)
    return seen[:, : (seen >= 0).sum(axis=1).max()]


def _colours(seen) -> np.ndarray:
    """Colour moves along an axis greedily, so that no window sees a colour twice.

    `seen` has an array of shape (n_along_axis, n_most) for each term. Around a ring with windows
    of a constant reach this takes the fewest colours, and one or a few more where they do not
    divide its length.
    """
    taken: dict[tuple[int, int], set[int]] = {}
    colours = np.empty(len(seen[0]), dtype=np.intp)
    for move in range(len(colours)):
        keys = [(term, int(w)) for term, table in enumerate(seen) for w in table[move] if w >= 0]
        used = set().union(*(taken.setdefault(key, set()) for key in keys))
        colour = next(c for c in range(len(used) + 1) if c not in used)
        for key in keys:
            taken[key].add(colour)
        colours[move] = colour
    return colours


def sees_outside(windows) -> bool:
    """Return True if any window reaches beyond a "zero" boundary."""
    return any((along == OUTSIDE).any() for term in windows for along in term)
