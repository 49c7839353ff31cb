"""Tile models by name, for those who do not write Python."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from math import ceil, comb, prod
from typing import Any

import numpy as np

# What `suited` looks at: tiles of the first fields, distinct tiles that kernel ridge takes in
# seconds, and products of sites, of all tiles together, that take a minute.
_PROBED = 20_000
_FEW_TILES = 10_000
_MOST_PRODUCTS = 4e9
_FOLDS = 3


def _kernel():
    from sklearn.kernel_ridge import KernelRidge

    return KernelRidge(kernel="rbf", alpha=1e-6)


def _polynomial(degree):
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import PolynomialFeatures, StandardScaler

    return make_pipeline(StandardScaler(), PolynomialFeatures(degree), Ridge(1e-6))


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
    "quadratic": (partial(_polynomial, 2), "ridge on products of pairs of sites, exact"),
    "cubic": (partial(_polynomial, 3), "ridge on products of up to three sites, exact"),
    "forest": (_forest, "random forest, boosted on the sum"),
    "boosting": (_boosting, "gradient-boosted trees, boosted on the sum"),
    "neighbors": (_neighbors, "nearest neighbours, boosted on the sum"),
    "perceptron": (_perceptron, "scikit-learn's MLPRegressor"),
    "dense": (_dense, "the dense network of Mills et al."),
}


def suited(tiling, X, y, baseline="size") -> tuple[str, str]:
    """Return the name of the tile model to begin with, and why.

    Parameters
    ----------
    tiling : GridTiling
    X : ndarray of shape (n_samples, *field_shape)
    y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
    baseline : str or None
        Of `EDNNRegressor`.
    """
    tiling.check(X[:1])
    shape = X.shape[1:]
    n_tiles = len(X) * prod(tiling.tile_grid(shape))
    n_probed = ceil(_PROBED * len(X) / n_tiles)
    for n in (min(n_probed, len(X)), len(X)):
        n_distinct = tiling.tiles(X[:n]).unique()[0].n_tiles
        if n_distinct > _FEW_TILES:
            break
    else:
        return "kernel", f"{n_distinct:,} distinct tiles are few"
    more = "" if n == len(X) else "more than "
    many = f"{more}{n_distinct:,} distinct tiles are many for kernel ridge"
    n_numbers = prod(tiling.tile_shape(shape))
    # Cubic features are fitted several times over, to compare them.
    costs = {"quadratic": comb(n_numbers + 2, 2), "cubic": 2 * _FOLDS * comb(n_numbers + 3, 3)}
    names = [name for name, cost in costs.items() if n_tiles * cost <= _MOST_PRODUCTS]
    if not names:
        has_torch = all(find_spec(name) is not None for name in ("torch", "skorch"))
        return (
            "dense" if has_torch else "perceptron",
            f"{many}, and {n_tiles:,} tiles of {n_numbers:,} numbers have too many pairs",
        )
    if len(names) == 1 or len(X) < 2 * _FOLDS:
        return names[0], many
    errors = {name: _cross_validated(name, tiling, X, y, baseline) for name in names}
    shown = ", ".join(f"{name} {100 * error:.2g} %" for name, error in errors.items())
    best = min(errors, key=errors.__getitem__)
    return best, f"{many}; errors in cross-validation over the spread of totals: {shown}"


def _cross_validated(name, tiling, X, y, baseline) -> float:
    """Return the root mean squared error over the spread of totals, the mean over outputs."""
    from sklearn.model_selection import KFold, cross_val_predict

    from .._regressor import EDNNRegressor

    model = EDNNRegressor(TILE_MODELS[name][0](), tiling, baseline=baseline)
    folds = KFold(_FOLDS, shuffle=True, random_state=0)
    errors = cross_val_predict(model, X, y, cv=folds) - y
    spread = y.std(axis=0)
    return float(np.mean(np.sqrt((errors**2).mean(axis=0)) / np.where(spread > 0, spread, 1.0)))
