"""The degree of a fitted model as a polynomial of its features, where its steps have one."""

from __future__ import annotations

from sklearn import linear_model
from sklearn.decomposition import PCA
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model._base import LinearModel
from sklearn.preprocessing import (
    MaxAbsScaler,
    MinMaxScaler,
    PolynomialFeatures,
    RobustScaler,
    StandardScaler,
)

from .._utils.steps import front_and_last
from ..tiling import ChannelScaler
from ._symmetric_features import SymmetricFeatures

_AFFINE = (StandardScaler, MinMaxScaler, MaxAbsScaler, RobustScaler, PCA, ChannelScaler)


def polynomial_degree(estimator) -> int | None:
    """Return the degree of predictions as polynomials of the features; None if they are none.

    Only classes whose formula is known count; subclasses may compute something else.

    Parameters
    ----------
    estimator : fitted regressor, or Pipeline that ends in one

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import PolynomialFeatures, StandardScaler
    >>> from sklearn.tree import DecisionTreeRegressor
    >>> from sk_ednn.tile_models._degree import polynomial_degree
    >>> polynomial_degree(make_pipeline(StandardScaler(), PolynomialFeatures(2), Ridge()))
    2
    >>> print(polynomial_degree(DecisionTreeRegressor()))
    None
    """
    transformers, regressor = front_and_last(estimator)
    degree = _of_regressor(regressor)
    for transformer in transformers:
        own = _of_transformer(transformer)
        if degree is None or own is None:
            return None
        degree *= own
    return degree


def _of_transformer(transformer) -> int | None:
    if type(transformer) is PolynomialFeatures:
        degree = transformer.degree
        return max(degree) if isinstance(degree, tuple) else degree
    if type(transformer) is SymmetricFeatures:
        return transformer.degree
    if type(transformer) in _AFFINE and not getattr(transformer, "clip", False):
        return 1
    return None


def _of_regressor(regressor) -> int | None:
    own = type(regressor).__module__.startswith("sklearn.")
    if own and isinstance(regressor, (LinearModel, linear_model.SGDRegressor)):
        return 1
    if type(regressor) is not KernelRidge:
        return None
    degree = {"linear": 1, "poly": regressor.degree}.get(regressor.kernel)
    return int(degree) if degree is not None and float(degree).is_integer() else None
