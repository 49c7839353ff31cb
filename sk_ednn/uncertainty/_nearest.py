"""Distances from rows of numbers to the nearest of some others."""

from __future__ import annotations

import numpy as np
from sklearn.neighbors import NearestNeighbors

# Rows of at most so many numbers are found in a tree. In more dimensions it visits all of them.
_IN_TREE = 15
# Products in hand at a time, so that they stay in the caches.
_IN_HAND = 1 << 22
# Squared distances below this multiple of their error in float32 are searched again in float64.
_DOUBTFUL = 1e5


class NearestRows:
    """Distances to the nearest of some rows, by products of matrices in float32.

    The nearest row is looked up in float32, which takes half the time of float64, and the distance
    from it is computed in float64 from differences. Rows that are so near that float32 cannot tell
    which is nearest are looked up in float64, so that the distance of equal rows is zero.

    Parameters
    ----------
    rows : ndarray of shape (n, n_numbers), float64
        With a spread of about 1 in each column.
    """

    def __init__(self, rows):
        self._tree = None
        if rows.shape[1] <= _IN_TREE:
            self._tree = NearestNeighbors(n_neighbors=1).fit(rows)
            return
        self._mean = rows.mean(axis=0)
        self._rows = rows - self._mean
        self._single = self._rows.astype(np.float32)
        self._half_squares = (self._rows**2).sum(axis=1) / 2

    def distances(self, rows) -> np.ndarray:
        """Return the Euclidean distance of each of some rows from the nearest one."""
        if self._tree is not None:
            return self._tree.kneighbors(rows)[0][:, 0]
        return self._distances(rows - self._mean)

    def distances_between(self) -> np.ndarray:
        """Return the distance of each of the rows from the nearest of the others."""
        if self._tree is not None:
            # Called without arguments, kneighbors does not count a row as its own neighbour.
            return self._tree.kneighbors()[0][:, 0]
        return self._distances(self._rows, apart=True)

    def _distances(self, rows, apart=False):
        out = np.empty(len(rows))
        step = max(1, _IN_HAND // len(self._rows))
        reach = np.sqrt(2 * self._half_squares.max(initial=0.0))
        for start in range(0, len(rows), step):
            some = rows[start : start + step]
            itself = np.arange(start, start + len(some)) if apart else None
            squares = self._squares(some, self._single, itself)
            lengths = np.sqrt((some**2).sum(axis=1))
            error = 4 * np.finfo(np.float32).eps * reach * (lengths + reach)
            near = np.flatnonzero(squares < _DOUBTFUL * error)
            if len(near):
                itself = None if itself is None else itself[near]
                squares[near] = self._squares(some[near], self._rows, itself)
            out[start : start + step] = np.sqrt(squares)
        return out

    def _squares(self, rows, others, itself):
        """Return squared distances from the nearest row, found in the precision of `others`."""
        # Rows that are infinite in float32 are about as far from all.
        with np.errstate(over="ignore", invalid="ignore"):
            products = rows.astype(others.dtype) @ others.T
            products -= self._half_squares.astype(others.dtype)
        if itself is not None:
            products[np.arange(len(rows)), itself] = -np.inf
        nearest = products.argmax(axis=1)
        return ((rows - self._rows[nearest]) ** 2).sum(axis=1)
