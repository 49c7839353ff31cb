"""Least squares with a penalty from the normal equations of rows, added up block by block.

The coefficients w that minimise ``|A w - b|² + penalty |w|²`` solve::

    (A.T A + penalty) w = A.T b

Both sides are sums over rows, so memory does not grow with the number of rows. scikit-learn's
``Ridge(solver="cholesky")`` solves the same equations with all rows in memory.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve
from scipy.linalg.blas import dsyrk

# Rows and columns of a tile of a matrix that is copied from one triangle to the other.
_TILE = 1024


class NormalEquations:
    """Sums of products of rows and targets, in float64.

    Parameters
    ----------
    n_features : int
    block_bytes : int, default=2**26
        Memory of a block of rows whose products are added at once.

    Attributes
    ----------
    block_rows : int
        Number of rows of a block.
    left : ndarray of shape (n_features, n_features)
        The lower triangle of ``A.T @ A``.
    right : ndarray of shape (n_features,)
        ``A.T @ b``.
    """

    def __init__(self, n_features: int, block_bytes: int = 2**26):
        self.block_rows = max(1, block_bytes // (8 * max(1, n_features)))
        # BLAS updates matrices in Fortran order in place.
        self.left = np.zeros((n_features, n_features), order="F")
        self.right = np.zeros(n_features)

    def add(self, rows, targets, weights=None) -> None:
        """Add rows and their targets.

        Parameters
        ----------
        rows : ndarray of shape (n, n_features), float64
        targets : ndarray of shape (n,)
        weights : ndarray of shape (n,) or None
            Weights of the squared errors.
        """
        for start in range(0, len(rows), self.block_rows):
            some = slice(start, start + self.block_rows)
            block, of_block = rows[some], targets[some]
            if weights is not None:
                roots = np.sqrt(weights[some])
                block, of_block = block * roots[:, None], of_block * roots
            # A block in C order is its transpose in Fortran order, which BLAS does not copy.
            self.left = dsyrk(1.0, block.T, beta=1.0, c=self.left, lower=1, overwrite_c=1)
            self.right += of_block @ block

    def solve(self, penalty: float) -> np.ndarray:
        """Return the coefficients, those of least norm if they are not unique.

        The matrix is overwritten.
        """
        left, diagonal = self.left, self.left.diagonal().copy() + penalty
        _copy_lower_to_upper(left)
        np.fill_diagonal(left, diagonal)
        try:
            factor = cho_factor(left, lower=True, overwrite_a=True, check_finite=False)
            return cho_solve(factor, self.right, check_finite=False)
        except LinAlgError:
            # Only the lower triangle has been overwritten.
            upper = np.triu(left, 1)
            matrix = upper + upper.T
            np.fill_diagonal(matrix, diagonal)
            return np.linalg.lstsq(matrix, self.right, rcond=None)[0]


def _copy_lower_to_upper(matrix) -> None:
    n = len(matrix)
    for first in range(0, n, _TILE):
        rows = slice(first, min(first + _TILE, n))
        square = matrix[rows, rows]
        square += np.tril(square, -1).T - np.triu(square, 1)
        matrix[rows, rows.stop :] = matrix[rows.stop :, rows].T
