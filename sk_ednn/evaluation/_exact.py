"""Sums that do not depend on their order, nor on how they were divided."""

from __future__ import annotations

import math

import numpy as np

# Totals of blocks that are kept before they are condensed into the few numbers they add up to.
_KEPT = 4096


def exact_parts(values) -> list[float]:
    """Return a few floats whose exact sum is that of `values`.

    Their sum by `math.fsum`, together with any others, is the one that all the values would have
    given.

    Parameters
    ----------
    values : list of float

    Returns
    -------
    list of float
        Falling in magnitude; empty where the sum is 0.

    Examples
    --------
    >>> from sk_ednn.evaluation._exact import exact_parts
    >>> exact_parts([1e16, 1.0, 1.0, 1.0])
    [1.0000000000000004e+16, -1.0]
    """
    parts: list[float] = []
    rest = list(values)
    # What is left is a multiple of the smallest float, so that it is 0 or rounds to something.
    while part := math.fsum(rest):
        parts.append(part)
        rest.append(-part)
    return parts


class ExactTotals:
    """Totals of samples, to which those of blocks are added in any order.

    Parameters
    ----------
    n_outputs : int
    """

    def __init__(self, n_outputs):
        self.n_outputs = n_outputs
        self._whole: list[tuple[np.ndarray, np.ndarray]] = []
        self._parts: dict[int, list[list[float]]] = {}

    def add(self, samples, totals, whole) -> None:
        """Add what a block gives its samples.

        Parameters
        ----------
        samples : ndarray of int of shape (n,)
        totals : ndarray of shape (n, n_outputs)
        whole : bool
            Whether the block holds all tiles of its samples.
        """
        if whole:
            self._whole.append((samples, totals))
            return
        for sample, row in zip(samples.tolist(), totals.tolist(), strict=True):
            columns = self._parts.setdefault(sample, [[] for _ in range(self.n_outputs)])
            for column, value in zip(columns, row, strict=True):
                column.append(value)
                if len(column) >= _KEPT:
                    column[:] = exact_parts(column)

    def merge(self, other: ExactTotals) -> ExactTotals:
        """Add what another one holds, and return this one."""
        self._whole.extend(other._whole)
        for sample, columns in other._parts.items():
            own = self._parts.setdefault(sample, [[] for _ in range(self.n_outputs)])
            for column, values in zip(own, columns, strict=True):
                column.extend(values)
        return self

    def condensed(self) -> ExactTotals:
        """Return the same sums in as few numbers as hold them exactly."""
        condensed = ExactTotals(self.n_outputs)
        condensed._whole = self._whole
        for sample, columns in self._parts.items():
            condensed._parts[sample] = [exact_parts(column) for column in columns]
        return condensed

    def rounded(self, n_samples) -> np.ndarray:
        """Return the totals of samples 0 to n_samples, rounded once: (n_samples, n_outputs)."""
        totals = np.zeros((n_samples, self.n_outputs))
        for samples, values in self._whole:
            totals[samples] = values
        for sample, columns in self._parts.items():
            totals[sample] = [math.fsum(column) for column in columns]
        return totals
