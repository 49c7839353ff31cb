"""Gradients of scikit-learn models with respect to their features.

A Pipeline is differentiated by reverse accumulation. The last step returns the gradient of its
prediction with respect to its features, and every transformer before it, in reverse order, pulls
the gradient back from its output to its input.

Transformers, descriptors and gradients of labelled data offer up to two methods for this, with J
the Jacobian of their output with respect to their input X:

``pull(X, gradient)``
    The vector-Jacobian product: pull the gradient of a scalar with respect to the output back to
    one with respect to X. Each row is ``J.T @ gradient``. Needed by predictions of gradients, and
    by networks that learn from them.
``push(X, tangent)``
    The Jacobian-vector product: push a change of X forward to the change of the output. Each row
    is ``J @ tangent``. Needed by linear models that learn from gradients.

The two are adjoint: ``(gradient * push(X, tangent)).sum() == (pull(X, gradient) * tangent).sum()``.
Users' transformers may implement both; arguments are passed by position.
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
from sklearn.utils import get_tags

from .._utils.steps import as_arrays, dense, front_and_last
from ..exceptions import TileModelError
from ._kernel_gradients import named_kernel_gradient

_SCALERS = (StandardScaler, MinMaxScaler, MaxAbsScaler, RobustScaler)
# Derivative of each activation function, as a function of its value.
_ACTIVATION_DERIVATIVES = {
    "identity": np.ones_like,
    "tanh": lambda a: 1 - a**2,
    "logistic": lambda a: a * (1 - a),
    "relu": lambda a: (a > 0).astype(float),
}
_SUPPORTED = (
    "Supported are linear models, KernelRidge (linear, poly, rbf, sigmoid), Gaussian processes and "
    "MLPRegressor, behind scalers, PCA, Nystroem, PolynomialFeatures and transformers with a "
    "method pull(X, gradient), such as LocalInvariants; and torch networks."
)


def prediction_gradient(estimator, rows) -> np.ndarray:
    """Return the gradient of a fitted regressor's predictions with respect to its features.

    Parameters
    ----------
    estimator : linear model, kernel model, MLPRegressor, or a Pipeline that ends in one
        With one output.
    rows : ndarray of shape (n, n_features)

    Returns
    -------
    ndarray of shape (n, n_features), float64

    Raises
    ------
    TileModelError
        If the gradient of a step is not implemented.
    """
    transformers, regressor = front_and_last(estimator)
    rows = np.asarray(rows, dtype=rows.dtype if _pulls_float32(transformers, rows) else np.float64)
    inputs = []
    linear = isinstance(regressor, (LinearModel, linear_model.SGDRegressor))
    with as_arrays():
        for transformer in transformers:
            # The first step may pull float32; `dense` returns float64.
            inputs.append(rows if transformer is transformers[0] else dense(rows))
            # The gradient of a linear model is the same everywhere: its features are not needed.
            if not (linear and transformer is transformers[-1]):
                rows = transformer.transform(rows)
    if linear:
        coefficients = np.ravel(regressor.coef_).astype(np.float64)
        gradient = np.broadcast_to(coefficients, (len(rows), len(coefficients)))
    else:
        gradient = _of_regressor(regressor, dense(rows))
    for transformer, X in zip(reversed(transformers), reversed(inputs), strict=True):
        gradient = _pulled(transformer, X, gradient)
    return gradient


def _pulls_float32(transformers, rows) -> bool:
    """Return True if the first step takes float32 and returns gradients with respect to it."""
    if not transformers or rows.dtype != np.float32 or not hasattr(transformers[0], "pull"):
        return False
    return "float32" in get_tags(transformers[0]).transformer_tags.preserves_dtype


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
    raise TileModelError(f"The gradient of {type(model).__name__} is not implemented. {_SUPPORTED}")


def _of_perceptron(model, rows):
    activations = [rows]
    for weights, bias in zip(model.coefs_[:-1], model.intercepts_[:-1], strict=True):
        before = activations[-1] @ weights + bias
        activations.append(_activated(model.activation, before))
    gradient = np.broadcast_to(model.coefs_[-1][:, 0], activations[-1].shape)
    derivative = _ACTIVATION_DERIVATIVES[model.activation]
    for weights, after in zip(reversed(model.coefs_[:-1]), reversed(activations[1:]), strict=True):
        gradient = (gradient * derivative(after)) @ weights.T
    return np.asarray(gradient, dtype=np.float64)


def _activated(name, x):
    if name == "logistic":
        return 0.5 * (1 + np.tanh(0.5 * x))
    return {"identity": lambda x: x, "tanh": np.tanh, "relu": lambda x: np.maximum(x, 0)}[name](x)


def _pulled(transformer, X, gradient):
    """Pull a gradient back from the output of a transformer to its input X."""
    if isinstance(transformer, _SCALERS):
        if getattr(transformer, "clip", False):
            raise TileModelError(
                "MinMaxScaler(clip=True) is not differentiable where it clips. Use clip=False."
            )
        scale = transformer.scale_ if getattr(transformer, "scale_", None) is not None else 1.0
        # MinMaxScaler multiplies by its scale_, the others divide.
        return gradient * scale if isinstance(transformer, MinMaxScaler) else gradient / scale
    if isinstance(transformer, PCA):
        components = transformer.components_
        if transformer.whiten:
            components = components / np.sqrt(transformer.explained_variance_)[:, None]
        return gradient @ components
    if isinstance(transformer, Nystroem):
        return named_kernel_gradient(
            transformer, transformer.kernel, transformer.gamma, transformer.degree,
            transformer.coef0, transformer.components_, X, gradient @ transformer.normalization_,
        )  # fmt: skip
    if isinstance(transformer, PolynomialFeatures):
        return _pulled_through_monomials(transformer.powers_, X, gradient)
    if hasattr(transformer, "pull"):
        return transformer.pull(X, gradient)
    raise TileModelError(
        f"The gradient of {type(transformer).__name__} is not implemented. {_SUPPORTED}"
    )


def _pulled_through_monomials(powers, X, gradient):
    """Pull a gradient back from the monomials with exponents `powers` to their factors X."""
    n_inputs = X.shape[1]
    # Each monomial as a list of the columns of its factors, padded with a column of ones.
    factors = np.full((len(powers), max(1, int(powers.sum(axis=1).max(initial=0)))), n_inputs)
    for row, exponents in zip(factors, powers, strict=True):
        columns = np.repeat(np.arange(n_inputs), exponents)
        row[: len(columns)] = columns
    values = np.column_stack([X, np.ones(len(X))])
    out = np.zeros(values.shape)
    for k in range(factors.shape[1]):
        others = gradient.copy()
        for other in range(factors.shape[1]):
            if other != k:
                others *= values[:, factors[:, other]]
        indptr = np.arange(len(factors) + 1)
        shape = len(factors), n_inputs + 1
        out += others @ csr_array((np.ones(len(factors)), factors[:, k], indptr), shape=shape)
    return out[:, :-1]
