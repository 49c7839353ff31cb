"""Exact sums, which do not depend on order or grouping."""

from __future__ import annotations

import math

import numpy as np

# Number of block totals per sample above which they are condensed; see `exact_parts`.
_MAX_PARTS = 4096


def exact_parts(values) -> list[float]:
    """Return a few floats with the same exact sum as `values`.

    In a sum by `math.fsum`, they can replace `values`, also with further terms.

    Parameters
    ----------
    values : list of float

    Returns
    -------
    list of float
        Numbers of decreasing magnitude; empty if the sum is 0.

    Examples
    --------
    >>> from sk_ednn.evaluation._exact import exact_parts
    >>> exact_parts([1e16, 1.0, 1.0, 1.0])
    [1.0000000000000004e+16, -1.0]
    """
    parts: list[float] = []
    rest = list(values)
    # The remainder is a multiple of the smallest float, so that it is 0 or rounds to another value.
    while part := math.fsum(rest):
        parts.append(part)
        rest.append(-part)
    return parts


class ExactTotals:
    """Totals of samples, to which totals of blocks are added exactly, in any order.

    Parameters
    ----------
    n_outputs : int
    """

    def __init__(self, n_outputs):
        self.n_outputs = n_outputs
        self._whole: list[tuple[np.ndarray, np.ndarray]] = []
        self._parts: dict[int, list[list[float]]] = {}

    def add(self, samples, totals, whole) -> None:
        """Add the totals of a block.

        Parameters
        ----------
        samples : ndarray of int of shape (n,)
        totals : ndarray of shape (n, n_outputs)
        whole : bool
            Whether the block contains all tiles of its samples.
        """
        if whole:
            self._whole.append((samples, totals))
            return
        for sample, row in zip(samples.tolist(), totals.tolist(), strict=True):
            columns = self._parts.setdefault(sample, [[] for _ in range(self.n_outputs)])
            for column, value in zip(columns, row, strict=True):
                column.append(value)
                if len(column) >= _MAX_PARTS:
                    column[:] = exact_parts(column)

    def merge(self, other: ExactTotals) -> ExactTotals:
        """Add the totals of another instance and return this one."""
        self._whole.extend(other._whole)
        for sample, columns in other._parts.items():
            merged = self._parts.setdefault(sample, [[] for _ in range(self.n_outputs)])
            for column, values in zip(merged, columns, strict=True):
                column.extend(values)
        return self

    def condensed(self) -> ExactTotals:
        """Return the same sums, each represented by a few numbers; see `exact_parts`."""
        condensed = ExactTotals(self.n_outputs)
        condensed._whole = self._whole
        for sample, columns in self._parts.items():
            condensed._parts[sample] = [exact_parts(column) for column in columns]
        return condensed

    def rounded(self, n_samples) -> np.ndarray:
        """Return the correctly rounded totals, of shape (n_samples, n_outputs)."""
        totals = np.zeros((n_samples, self.n_outputs))
        for samples, values in self._whole:
            totals[samples] = values
        for sample, columns in self._parts.items():
            totals[sample] = [math.fsum(column) for column in columns]
        return totals
