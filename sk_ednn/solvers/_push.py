"""Pushing tangents of tiles through fitted transformers to their features."""

from __future__ import annotations

import numpy as np
from scipy.sparse import issparse

from .._utils.steps import as_arrays, as_floats, dense, plain, with_values
from ..exceptions import TileModelError

# Step of central differences in float64, in units of the spread of the varied numbers. Round-off
# and third-order errors are then similar, about 1e-10.
_STEP = np.finfo(np.float64).eps ** (1 / 3)
# A column whose spread is below this fraction of the overall spread is regarded as constant.
_CONSTANT = 1e-4
# A feature that a small step changes by this fraction of its size may be discontinuous.
_JUMP = 0.05


def features_along(steps, rows, tangents) -> list:
    """Push tangents through fitted transformers; return the derivatives of the features.

    Parameters
    ----------
    steps : list of transformers
        Those without a method ``push(X, tangent)`` are differentiated numerically, in float64.
    rows : ndarray of shape (n, n_inputs)
    tangents : list of ndarray of shape (n, n_inputs)

    Returns
    -------
    list of ndarray or sparse array of shape (n, n_features)
    """
    rows = as_floats(rows)
    with as_arrays():
        for step in steps:
            pushed = [_pushed_through(step, rows, tangent) for tangent in tangents]
            if step is not steps[-1]:
                rows = step.transform(rows)
            tangents = pushed
    return tangents


def _pushed_through(step, X, tangent):
    if hasattr(step, "push"):
        return step.push(plain(X), tangent)
    rows, tangent = dense(X), dense(tangent)
    # The step size moves every column by at most a small fraction of its spread.
    overall = rows.std() or np.abs(rows).max() or 1.0
    spread = np.maximum(rows.std(axis=0), _CONSTANT * overall)
    h = _STEP / max(float((np.abs(tangent).max(axis=0) / spread).max()), np.finfo(float).tiny)
    if not tangent.any():
        h = 1.0

    def central_difference(h):
        try:
            ends = [
                plain(step.transform(with_values(X, rows + sign * h * tangent))) for sign in (1, -1)
            ]
        except (TypeError, ValueError) as error:
            raise TileModelError(
                f"{type(step).__name__} cannot be differentiated, because it rejects tiles that "
                f"differ slightly from those it was fitted to: {error}"
            ) from error
        return ends[0], ends[0] - ends[1]

    end, difference = central_difference(h)
    derivative = difference / (2 * h)
    jumps = np.flatnonzero(_column_maxima(difference) > _JUMP * _column_maxima(end))
    if jumps.size:
        wider = dense(central_difference(2 * h)[1][:, jumps]) / (4 * h)
        narrow = dense(derivative[:, jumps])
        if (np.abs(wider - narrow) > 0.1 * np.abs(narrow).max(axis=0)).any():
            raise TileModelError(
                f"The features of {type(step).__name__} jump as a tile changes, so that they have "
                "no gradients to learn. Use smooth features, or leave out gradient."
            )
    return derivative


def _column_maxima(values):
    maxima = abs(values).max(axis=0)
    return dense(maxima).ravel() if issparse(maxima) else np.asarray(maxima).ravel()
