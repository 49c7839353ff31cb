"""Intervals of predicted totals, from errors of systems that were held out of the fit."""

from __future__ import annotations

import numpy as np

from ..estimators._committee import EDNNCommittee
from ..estimators._held_out_errors import HeldOutErrors
from ..estimators._sizes import sizes_of
from ..estimators._unwrap import unwrap
from ..fields._in_memory import as_array


def calibrate(estimator, X, y, *, sizes=None):
    """Measure the errors of systems that were held out of the fit, and keep them in the model.

    They go to the attribute ``held_out_`` of the model, and with it into its file, so that
    `predict_interval` and ``sk-ednn predict`` know how large errors are. A new fit removes them.

    An `EDNNCommittee` knows them from its fit if it resamples: each sample is unseen by about a
    third of the members, whose errors are somewhat larger than those of all. For potentials see
    `EDNNPotential.calibrate`.

    Parameters
    ----------
    estimator : EDNNRegressor, EDNNCommittee or ShiftAveraged, also inside a Pipeline; fitted
    X : systems that the model was not fitted to
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Their totals.
    sizes : array-like of shape (n_samples,), default=None
        Sites or atoms of the systems; None to count them.

    Returns
    -------
    estimator

    See Also
    --------
    HeldOutErrors : What is kept, and how intervals follow.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ednn import EDNNRegressor
    >>> from sk_ednn.uncertainty import calibrate, predict_interval
    >>> rng = np.random.default_rng(0)
    >>> fields = rng.normal(size=(80, 6, 6))
    >>> totals = fields.sum(axis=(1, 2)) + rng.normal(size=80)  # measured with an error of 1
    >>> model = EDNNRegressor().fit(fields[:40], totals[:40])
    >>> model = calibrate(model, fields[40:], totals[40:])
    >>> y, half_width = predict_interval(model, fields[:1])
    >>> bool(1.0 < half_width[0] < 4.0)
    True
    """
    inner, _ = unwrap(estimator)
    predicted, std = _predicted(estimator, inner, X)
    y = as_array(y, "y", float)
    if y.shape != predicted.shape:
        raise ValueError(
            f"y must have the shape of the predicted totals, {predicted.shape}; got {y.shape}."
        )
    sizes = sizes_of(estimator, X) if sizes is None else sizes
    inner.held_out_ = HeldOutErrors.of(y, predicted, sizes, std=std)
    return estimator


def predict_interval(estimator, X, *, level=0.9):
    """Predict totals, and half the width of the intervals that contain most of the true ones.

    Parameters
    ----------
    estimator : EDNNRegressor, EDNNCommittee or ShiftAveraged, also inside a Pipeline
        Fitted, and with errors of systems held out: see `calibrate`.
    X : systems
        Like those held out, of any size.
    level : float, default=0.9
        Share of the true totals that is to be inside.

    Returns
    -------
    y, half_width : ndarray of shape (n_samples,) or (n_samples, n_outputs)

    Raises
    ------
    ValueError
        If no errors are known, or too few.
    """
    inner, _ = unwrap(estimator)
    held_out = held_out_of(inner)
    if held_out is None:
        raise ValueError(
            f"The {type(inner).__name__} has no errors of systems held out of its fit. Measure "
            "them: sk_ednn.uncertainty.calibrate(model, X_held_out, y_held_out)."
        )
    y, std = _predicted(estimator, inner, X)
    half = held_out.half_width(sizes_of(estimator, X), std=std, level=level)
    return y, half.reshape(y.shape)


def half_width_of(estimator, X, held_out, level) -> np.ndarray:
    """Return half the width of intervals of totals, (n_samples, n_outputs).

    Parameters
    ----------
    estimator : fitted estimator
    X : systems
    held_out : HeldOutErrors
        Of the estimator; they suffice.
    level : float
    """
    std = None
    if held_out.std is not None:  # only a committee needs its predictions for it
        _, std = _predicted(estimator, unwrap(estimator)[0], X)
    return held_out.half_width(sizes_of(estimator, X), std=std, level=level)


def held_out_of(estimator) -> HeldOutErrors | None:
    """Return the errors of systems held out that a model knows, or None.

    Parameters
    ----------
    estimator : fitted estimator
        Also one that has no intervals, such as a regressor of scikit-learn.
    """
    while hasattr(estimator, "steps"):
        estimator = estimator.steps[-1][1]
    return vars(estimator).get("held_out_")


def _predicted(estimator, inner, X):
    """Return predictions, and the spread of several models or None."""
    if isinstance(inner, EDNNCommittee):
        _, X = unwrap(estimator, X)
        return inner.predict(X, return_std=True)
    return np.asarray(estimator.predict(X)), None
