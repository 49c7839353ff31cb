"""Tile models by name, for those who do not write Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def _kernel():
    from sklearn.kernel_ridge import KernelRidge

    return KernelRidge(kernel="rbf", alpha=1e-6)


def _quadratic():
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import PolynomialFeatures, StandardScaler

    return make_pipeline(StandardScaler(), PolynomialFeatures(2), Ridge(1e-6))


def _forest():
    from sklearn.ensemble import RandomForestRegressor

    return RandomForestRegressor(30)


def _boosting():
    from sklearn.ensemble import HistGradientBoostingRegressor

    return HistGradientBoostingRegressor(max_iter=50)


def _neighbors():
    from sklearn.neighbors import KNeighborsRegressor

    return KNeighborsRegressor()


def _perceptron():
    from sklearn.neural_network import MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), MLPRegressor(hidden_layer_sizes=(64, 64)))


def _dense():
    from ..networks import PaperDenseNet

    return PaperDenseNet


TILE_MODELS: dict[str, tuple[Callable[[], Any], str]] = {
    "kernel": (_kernel, "kernel ridge, exact; some thousand systems or distinct tiles"),
    "quadratic": (_quadratic, "ridge on products of pairs of sites, exact"),
    "forest": (_forest, "random forest, boosted on the sum"),
    "boosting": (_boosting, "gradient-boosted trees, boosted on the sum"),
    "neighbors": (_neighbors, "nearest neighbours, boosted on the sum"),
    "perceptron": (_perceptron, "scikit-learn's MLPRegressor"),
    "dense": (_dense, "the dense network of Mills et al."),
}
