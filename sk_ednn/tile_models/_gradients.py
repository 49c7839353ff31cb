"""Derivatives of scikit-learn's models with respect to their features, where they are known.

A Pipeline is differentiated from its end: the last step says how its prediction changes with each
feature, and every transformer before it turns that into how it changes with what it was given. A
transformer of one's own does so in a method ``pull(X, slope)``.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array
from sklearn import linear_model
from sklearn.decomposition import PCA
from sklearn.kernel_approximation import Nystroem
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model._base import LinearModel
from sklearn.neural_network import MLPRegressor
from sklearn.preprocessing import (
    MaxAbsScaler,
    MinMaxScaler,
    PolynomialFeatures,
    RobustScaler,
    StandardScaler,
)

from .._utils.steps import as_arrays, dense, front_and_last
from ..exceptions import TileModelError
from ._kernel_gradients import named_kernel_gradient

_SCALERS = (StandardScaler, MinMaxScaler, MaxAbsScaler, RobustScaler)
# What an activation's derivative is, from the activation itself.
_ACTIVATIONS = {
    "identity": np.ones_like,
    "tanh": lambda a: 1 - a**2,
    "logistic": lambda a: a * (1 - a),
    "relu": lambda a: (a > 0).astype(float),
}
_KNOWN = (
    "Known are linear models, KernelRidge (linear, poly, rbf, sigmoid), Gaussian processes and "
    "MLPRegressor, behind scalers, PCA, Nystroem, PolynomialFeatures and transformers with a "
    "method pull(X, slope), as LocalInvariants has, and torch networks."
)


def prediction_gradient(estimator, rows) -> np.ndarray:
    """Return how a fitted regressor's predictions change with their features.

    Parameters
    ----------
    estimator : a linear model, kernel model, MLPRegressor, or a Pipeline that ends in one
        With a single output.
    rows : ndarray of shape (n, n_features)

    Returns
    -------
    ndarray of shape (n, n_features), float64

    Raises
    ------
    TileModelError
        Where the derivative of a step is not known.
    """
    rows = np.asarray(rows, dtype=np.float64)
    front, last = front_and_last(estimator)
    seen = []
    with as_arrays():
        for step in front:
            seen.append(dense(rows))
            rows = step.transform(rows)
    slope = _of_regressor(last, dense(rows))
    for step, given in zip(reversed(front), reversed(seen), strict=True):
        slope = _through(step, given, slope)
    return slope


def _of_regressor(model, rows):
    if isinstance(model, KernelRidge):
        weights = np.ravel(model.dual_coef_)[None]
        gamma, degree, coef0 = model.gamma, model.degree, model.coef0
        return named_kernel_gradient(
            model, model.kernel, gamma, degree, coef0, model.X_fit_, rows, weights
        )
    if hasattr(model, "prediction_gradient"):
        return model.prediction_gradient(rows)
    if isinstance(model, MLPRegressor):
        return _of_perceptron(model, rows)
    if isinstance(model, (LinearModel, linear_model.SGDRegressor)):
        return np.broadcast_to(np.ravel(model.coef_).astype(np.float64), rows.shape)
    raise TileModelError(f"The derivative of {type(model).__name__} is not known. {_KNOWN}")


def _of_perceptron(model, rows):
    activations = [rows]
    for weights, bias in zip(model.coefs_[:-1], model.intercepts_[:-1], strict=True):
        before = activations[-1] @ weights + bias
        activations.append(_activated(model.activation, before))
    slope = np.broadcast_to(model.coefs_[-1][:, 0], activations[-1].shape)
    derivative = _ACTIVATIONS[model.activation]
    for weights, after in zip(reversed(model.coefs_[:-1]), reversed(activations[1:]), strict=True):
        slope = (slope * derivative(after)) @ weights.T
    return np.asarray(slope, dtype=np.float64)


def _activated(name, x):
    if name == "logistic":
        return 0.5 * (1 + np.tanh(0.5 * x))
    return {"identity": lambda x: x, "tanh": np.tanh, "relu": lambda x: np.maximum(x, 0)}[name](x)


def _through(step, given, slope):
    """Return the slope with respect to what a transformer was given."""
    if isinstance(step, _SCALERS):
        if getattr(step, "clip", False):
            raise TileModelError("MinMaxScaler(clip=True) has no derivative where it clips.")
        scale = step.scale_ if getattr(step, "scale_", None) is not None else 1.0
        # MinMaxScaler multiplies by its scale_, the others divide.
        return slope * scale if isinstance(step, MinMaxScaler) else slope / scale
    if isinstance(step, PCA):
        components = step.components_
        if step.whiten:
            components = components / np.sqrt(step.explained_variance_)[:, None]
        return slope @ components
    if isinstance(step, Nystroem):
        return named_kernel_gradient(
            step, step.kernel, step.gamma, step.degree, step.coef0, step.components_, given,
            slope @ step.normalization_,
        )  # fmt: skip
    if isinstance(step, PolynomialFeatures):
        return _through_monomials(step.powers_, given, slope)
    if hasattr(step, "pull"):
        return step.pull(given, slope)
    raise TileModelError(f"The derivative of {type(step).__name__} is not known. {_KNOWN}")


def _through_monomials(powers, rows, slope):
    """Return the slope with respect to the factors of products, ``rows ** powers``."""
    n_inputs = rows.shape[1]
    # Each monomial as a list of its factors, filled up with ones.
    factors = np.full((len(powers), max(1, int(powers.sum(axis=1).max(initial=0)))), n_inputs)
    for own, exponents in zip(factors, powers, strict=True):
        named = np.repeat(np.arange(n_inputs), exponents)
        own[: len(named)] = named
    values = np.column_stack([rows, np.ones(len(rows))])
    out = np.zeros(values.shape)
    for place in range(factors.shape[1]):
        others = slope.copy()
        for other in range(factors.shape[1]):
            if other != place:
                others *= values[:, factors[:, other]]
        ends = np.arange(len(factors) + 1)
        shape = len(factors), n_inputs + 1
        out += others @ csr_array((np.ones(len(factors)), factors[:, place], ends), shape=shape)
    return out[:, :-1]
