"""Check that the predictions of an estimator are extensive."""

from __future__ import annotations

import pickle

import numpy as np
from sklearn.base import clone
from sklearn.utils import check_random_state

from ..fields._channels import grid_axes
from ..tiling import GridTiling
from ._require import require, require_equal


def check_extensive_estimator(
    estimator, X=None, y=None, *, focus=None, channel_axis=None, rtol=1e-9, random_state=0
):
    """Check that the predictions of an estimator are extensive.

    A clone of the estimator is fitted and predicts periodic fields of other sizes. The laws are:

    ========== ==================================================================================
    output     `fit` returns the estimator; `predict` one finite float64 per sample (and output)
    purity     neither `fit` nor `predict` changes the fields or the totals
    copies     a field doubled along an axis has twice the total
    shift      a field shifted by a focus has the same total
    batch      the total of a sample does not depend on the other samples of a batch
    additivity ``predict_contributions``, if there is one, adds up to ``predict``
    refit      a second fit with the same random state, and a pickled copy, predict the same
    ========== ==================================================================================

    Parameters
    ----------
    estimator : estimator
        Accepts fields as `EDNNRegressor` does: arrays of shape (n_samples, *field_shape), and
        lists of arrays for fields of different sizes. Not fitted, since it is cloned.
    X : array-like of shape (n_samples, *field_shape), default=None
        Training fields, treated as periodic. None for 60 fields of 8 x 8 spins.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
        Totals, required if `X` is passed. None for the energies of the spins.
    focus : int or tuple with one per grid axis, default=None
        Shift that must not change totals. None for the focus of the estimator's tiling (1 if it
        has none).
    channel_axis : int, default=None
        Channel axis of a field.
    rtol : float, default=1e-9
        Tolerance for round-off, relative to the largest total. Networks in float32 need 1e-5.
    random_state : int, RandomState or None, default=0

    Raises
    ------
    AssertionError
        The message names the violated law, the sample and the difference.

    Examples
    --------
    A constant added to each total is not extensive:

    >>> from sk_ednn import EDNNRegressor
    >>> from sk_ednn.testing import check_extensive_estimator
    >>> check_extensive_estimator(EDNNRegressor())
    >>> class Shifted(EDNNRegressor):
    ...     def predict(self, X):
    ...         return super().predict(X) + 1.0
    >>> check_extensive_estimator(Shifted())
    Traceback (most recent call last):
        ...
    AssertionError: copies: ...
    """
    rng = check_random_state(random_state)
    X, y = _data(X, y, rng)
    axes = grid_axes(channel_axis, X.ndim - 1)
    focus = _focus(estimator, focus, len(axes))
    estimator = clone(estimator)
    if "random_state" in estimator.get_params() and estimator.random_state is None:
        estimator.set_params(random_state=0)

    before = X.copy(), y.copy()
    fitted = estimator.fit(X, y)
    require(fitted is estimator, "output: fit must return the estimator itself")
    samples = list(X[: min(6, len(X))])
    total = _totals(estimator, X, y)[: len(samples)]
    require(
        np.array_equal(X, before[0]) and np.array_equal(y, before[1]),
        "purity: fit or predict changed its arguments; work on a copy",
    )
    scale = max(float(np.abs(total).max()), np.finfo(float).tiny)

    _check_batch(estimator, samples, total, rtol * scale)
    for number, axis in enumerate(axes):
        doubled = _predict(estimator, [np.concatenate([x, x], axis=axis) for x in samples])
        require_equal(
            doubled, 2 * total, rtol * scale,
            f"copies: a periodic field doubled along axis {axis} must have twice the total",
        )  # fmt: skip
        shifted = _predict(estimator, [np.roll(x, focus[number], axis=axis) for x in samples])
        require_equal(
            shifted, total, rtol * scale,
            f"shift: a periodic field shifted by {focus[number]} (its focus) along axis {axis} "
            "must have the same total",
        )  # fmt: skip
    if hasattr(estimator, "predict_contributions"):
        _check_additivity(estimator, samples, total, rtol * scale)
    again = _predict(clone(estimator).fit(X, y), samples)
    require_equal(again, total, rtol * scale, "refit: a second fit must predict the same")
    try:
        copied = pickle.loads(pickle.dumps(estimator))
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise AssertionError(f"refit: the fitted estimator cannot be pickled: {error}") from error
    require_equal(
        _predict(copied, samples), total, rtol * scale,
        "refit: a pickled copy must predict the same",
    )  # fmt: skip


def _data(X, y, rng):
    if X is None:
        X = rng.choice(np.array([-1.0, 1.0]), size=(60, 8, 8))
        X[:20] = np.where(rng.uniform(size=(20, 8, 8)) < 0.8, 1.0, -1.0)
        y = -sum(X * np.roll(X, 1, axis=axis) for axis in (1, 2)).sum(axis=(1, 2))
    elif y is None:
        raise ValueError("Pass the totals y of the fields X.")
    return np.array(X), np.array(y, dtype=float)


def _focus(estimator, focus, n_axes) -> tuple[int, ...]:
    if focus is None:
        focus = 1
        params = estimator.get_params(deep=True)
        for name, value in sorted(params.items()):
            if name.rpartition("__")[2] == "tiling" and isinstance(value, GridTiling):
                focus = value.focus
    return tuple(np.broadcast_to(focus, (n_axes,)).tolist())


def _totals(estimator, X, y) -> np.ndarray:
    total = estimator.predict(X)
    require(
        isinstance(total, np.ndarray) and total.shape == y.shape and total.dtype == np.float64,
        f"output: predict must return float64 of shape {y.shape}, got "
        f"{getattr(total, 'dtype', type(total).__name__)} of shape {np.shape(total)}",
    )
    require(np.isfinite(total).all(), "output: predict returned NaN or infinity")
    return total


def _predict(estimator, samples) -> np.ndarray:
    # A list, since scikit-learn requires 2-D arrays to keep their width.
    return np.asarray(estimator.predict(samples), dtype=float)


def _check_batch(estimator, samples, total, atol):
    alone = np.concatenate([_predict(estimator, [x]) for x in samples])
    require_equal(alone, total, atol, "batch: a field alone must have the total it has in a batch")
    require_equal(
        _predict(estimator, samples[::-1])[::-1], total, atol,
        "batch: the order of the samples must not matter",
    )  # fmt: skip
    axis = samples[0].ndim - 1
    wide = np.concatenate([samples[0]] * 2, axis=0 if axis else axis)
    mixed = _predict(estimator, [wide, *samples[1:]])[1:]
    require_equal(
        mixed, total[1:], atol, "batch: a field of another size beside it must not change a total"
    )


def _check_additivity(estimator, samples, total, atol):
    maps = estimator.predict_contributions(samples)
    trailing = total.ndim - 1
    summed = 0.0
    for of_term in maps.values() if isinstance(maps, dict) else [maps]:
        summed = summed + np.array(
            [values.sum(axis=tuple(range(values.ndim - trailing))) for values in of_term]
        )
    require_equal(summed, total, atol, "additivity: contributions must add up to predictions")
