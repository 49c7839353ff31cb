"""Tile models by name, for those who do not write Python."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from math import ceil, prod
from typing import Any

# What `suited` looks at: tiles of the first fields, distinct tiles that kernel ridge takes in
# seconds, and products of pairs of sites, of all tiles together, that take a minute.
_PROBED = 20_000
_FEW_TILES = 10_000
_MOST_PRODUCTS = 4e9


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


def suited(tiling, X) -> tuple[str, str]:
    """Return the name of the tile model to begin with, and why.

    Parameters
    ----------
    tiling : GridTiling
    X : ndarray of shape (n_samples, *field_shape)
    """
    tiling.check(X[:1])
    shape = X.shape[1:]
    n_probed = ceil(_PROBED / prod(tiling.tile_grid(shape)))
    for n in (min(n_probed, len(X)), len(X)):
        n_distinct = tiling.tiles(X[:n]).condensed().n_tiles
        if n_distinct > _FEW_TILES:
            break
    else:
        return "kernel", f"{n_distinct:,} distinct tiles are few"
    more = "" if n == len(X) else "more than "
    many = f"{more}{n_distinct:,} distinct tiles are many for kernel ridge"
    n_tiles = len(X) * prod(tiling.tile_grid(shape))
    n_numbers = prod(tiling.tile_shape(shape))
    if n_tiles * n_numbers**2 / 2 <= _MOST_PRODUCTS:
        return "quadratic", many
    has_torch = all(find_spec(name) is not None for name in ("torch", "skorch"))
    return (
        "dense" if has_torch else "perceptron",
        f"{many}, and {n_tiles:,} tiles of {n_numbers:,} numbers have too many pairs",
    )
