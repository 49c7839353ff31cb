"""Tile models by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import comb, prod
from typing import Any

# No heavy imports here, since the help contains the names.

# Least number of systems and largest number of operations (about ten seconds) for which the
# penalty is cross-validated.
_MIN_SYSTEMS = 10
_MAX_OPERATIONS = 1e11


def _kernel(n_systems, n_numbers):
    from sklearn.kernel_ridge import KernelRidge

    # The mean squared distance of standardised tiles of n numbers is 2 n: the default of gamma,
    # 1 / n, suits it.
    return KernelRidge(kernel="rbf", alpha=1e-6)


def _polynomial(degree, n_systems, n_numbers):
    import numpy as np
    from sklearn.linear_model import Ridge, RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import PolynomialFeatures

    penalties, folds = np.logspace(-6, 8, 15), 5
    n_features = comb(n_numbers + degree, degree)
    least = min(n_systems, n_features)
    work = len(penalties) * folds * least**2 * (n_systems + n_features)
    if n_systems < _MIN_SYSTEMS or work > _MAX_OPERATIONS:
        ridge = Ridge(penalties[0])
    else:
        # Contiguous folds, for systems in random order. The score is R², which is 1 if only
        # rounding errors are left, so that the smallest such penalty is chosen on every processor.
        ridge = RidgeCV(penalties, cv=folds)
    return make_pipeline(PolynomialFeatures(degree), ridge)


def _forest(n_systems, n_numbers):
    from sklearn.ensemble import RandomForestRegressor

    return RandomForestRegressor(30)


def _boosting(n_systems, n_numbers):
    from sklearn.ensemble import HistGradientBoostingRegressor

    return HistGradientBoostingRegressor(max_iter=50)


def _neighbors(n_systems, n_numbers):
    from sklearn.neighbors import KNeighborsRegressor

    return KNeighborsRegressor()


def _perceptron(n_systems, n_numbers):
    from sklearn.neural_network import MLPRegressor

    return MLPRegressor(hidden_layer_sizes=(64, 64))


def _dense(n_systems, n_numbers):
    from ..networks import PaperDenseNet

    return PaperDenseNet


TILE_MODELS: dict[str, tuple[Callable[[int, int], Any], str]] = {
    "kernel": (_kernel, "kernel ridge, for up to some thousand systems or unique tiles"),
    "quadratic": (
        partial(_polynomial, 2),
        "ridge on products of two sites, with a cross-validated penalty",
    ),
    "cubic": (
        partial(_polynomial, 3),
        "ridge on products of up to three sites, with a cross-validated penalty",
    ),
    "forest": (_forest, "random forests, boosted on the sum"),
    "boosting": (_boosting, "gradient-boosted trees, boosted on the sum"),
    "neighbors": (_neighbors, "nearest neighbours, boosted on the sum"),
    "perceptron": (_perceptron, "the multilayer perceptron of scikit-learn"),
    "dense": (_dense, "the dense network of Mills et al."),
}
# Models that standardise their inputs.
_OWN_SCALE = ("dense",)


def tile_model(name: str, tiling, shape: tuple[int, ...], symmetries=None):
    """Return a tile model behind a scaler, since fields may have any scale.

    Parameters
    ----------
    name : str
        One of `TILE_MODELS`.
    tiling : GridTiling
    shape : tuple of int
        Shape of the fields that it is fitted to, (n_samples, *field_shape).
    symmetries : sequence of str, default=None
        Parameter of `SymmetricFeatures`, for polynomials. The solver of networks has one, too.
    """
    tile_shape = tiling.tile_shape(shape[1:])
    made = TILE_MODELS[name][0](shape[0], prod(tile_shape))
    if name in _OWN_SCALE:
        return made
    from sklearn.pipeline import Pipeline

    from ..tile_models import SymmetricFeatures
    from ..tiling import ChannelScaler

    n_channels = 1 if tiling.channel_axis is None else tile_shape[-1]
    steps = made.steps if hasattr(made, "steps") else [(type(made).__name__.lower(), made)]
    if symmetries is None:
        return Pipeline([("channelscaler", ChannelScaler(n_channels)), *steps])
    (_, products), *steps = steps
    steps = [("symmetricfeatures", SymmetricFeatures(products, symmetries)), *steps]
    # A scaler would move the zero, about which the sign is changed, and scale channels by turns.
    if {"flip", "reverse"} & set(symmetries):
        return Pipeline(steps)
    return Pipeline([("channelscaler", ChannelScaler(n_channels)), *steps])
