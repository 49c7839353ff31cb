"""Tile models by name, for those who do not write Python."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from math import comb, inf, prod
from typing import Any

# Nothing heavy is imported here: the names are part of the help.

# Tiles looked at first; distinct tiles that kernel ridge is fitted to several times over in a
# quarter of a minute; and products of sites, of all tiles together, that take a minute.
_PROBED = 20_000
_FEW_TILES = 20_000
_MOST_PRODUCTS = 4e9
_FOLDS = 3
# Errors in cross-validation below this, over the spread of totals, are as good as none: which of
# two such is smaller, rounding decides. Of errors that are within a twentieth of the least, that of
# the simplest is taken.
_NONE = 1e-4
_AS_GOOD = 1.05
_SIMPLEST_FIRST = ("quadratic", "cubic", "kernel")


# Systems below which none are spared to choose a penalty, and operations above which it is not
# chosen: so many take some ten seconds.
_LEAST_SYSTEMS = 10
_MOST_WORK = 1e11


def _kernel(n_systems, n_numbers):
    from sklearn.kernel_ridge import KernelRidge

    # Tiles of n numbers with spread 1 are 2 n apart in the mean, squared: gamma is left at 1 / n,
    # so that the kernel falls over the distances that there are.
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
    if n_systems < _LEAST_SYSTEMS or work > _MOST_WORK:
        ridge = Ridge(penalties[0])
    else:
        # Folds are of neighbours in the order of the systems, which should be a random one. They
        # are judged by R², which is 1 for all penalties that leave rounding errors alone: the
        # smallest of them is taken, on every processor.
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
    "kernel": (_kernel, "kernel ridge, exact; some thousand systems or distinct tiles"),
    "quadratic": (
        partial(_polynomial, 2),
        "ridge on products of pairs of sites, its penalty cross-validated",
    ),
    "cubic": (
        partial(_polynomial, 3),
        "ridge on products of up to three sites, its penalty likewise",
    ),
    "forest": (_forest, "random forest, boosted on the sum"),
    "boosting": (_boosting, "gradient-boosted trees, boosted on the sum"),
    "neighbors": (_neighbors, "nearest neighbours, boosted on the sum"),
    "perceptron": (_perceptron, "scikit-learn's MLPRegressor"),
    "dense": (_dense, "the dense network of Mills et al."),
}
# These standardise what they see themselves.
_OWN_SCALE = ("dense",)


def tile_model(name: str, tiling, shape: tuple[int, ...]):
    """Return a tile model, behind a scaler: what files hold may be on any scale.

    Parameters
    ----------
    name : str
        One of `TILE_MODELS`.
    tiling : GridTiling
    shape : tuple of int
        Of the fields that it is fitted to, (n_samples, *field_shape).
    """
    tile_shape = tiling.tile_shape(shape[1:])
    made = TILE_MODELS[name][0](shape[0], prod(tile_shape))
    if name in _OWN_SCALE:
        return made
    from sklearn.pipeline import Pipeline

    from ..tiling import ChannelScaler

    n_channels = 1 if tiling.channel_axis is None else tile_shape[-1]
    steps = made.steps if hasattr(made, "steps") else [(type(made).__name__.lower(), made)]
    return Pipeline([("channelscaler", ChannelScaler(n_channels)), *steps])


def suited(tiling, X, y, baseline="size", say=lambda text: None) -> tuple[str, str]:
    """Return the name of the tile model to begin with, and why.

    Parameters
    ----------
    tiling : GridTiling
    X : ndarray of shape (n_samples, *field_shape)
    y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
    baseline : str or None
        Of `EDNNRegressor`.
    say : function, default=None
        Called with a line on what takes long, before it does.
    """
    tiling.check(X[:1])
    shape = X.shape[1:]
    n_tiles, n_numbers = len(X) * prod(tiling.tile_grid(shape)), prod(tiling.tile_shape(shape))
    n_distinct, all_counted = _count_distinct(tiling, X)
    few = all_counted and n_distinct <= _FEW_TILES
    counted = f"{'' if all_counted else 'at least '}{n_distinct:,} distinct tiles"
    counted += "" if few else " are many for kernel ridge"
    # Cubic features are fitted several times over, to compare them.
    costs = {"quadratic": comb(n_numbers + 2, 2), "cubic": 2 * _FOLDS * comb(n_numbers + 3, 3)}
    names = ["kernel"] if few else []
    names += [name for name, cost in costs.items() if n_tiles * cost <= _MOST_PRODUCTS]
    if not names:
        has_torch = all(find_spec(name) is not None for name in ("torch", "skorch"))
        return (
            "dense" if has_torch else "perceptron",
            f"{counted}, and {n_tiles:,} tiles of {n_numbers:,} numbers have too many pairs",
        )
    if len(names) == 1:
        return names[0], f"{counted}; products of more sites would take long"
    if len(X) < 2 * _FOLDS:
        return names[0], f"{counted}; {len(X)} systems are too few to compare tile models on"
    say(f"{counted}; comparing {', '.join(names)} in cross-validation")
    errors = {name: _cross_validated(name, tiling, X, y, baseline) for name in names}
    shown = ", ".join(f"{name} {_percent(error)}" for name, error in errors.items())
    most = _AS_GOOD * max(min(errors.values()), _NONE)
    best = next(name for name in _SIMPLEST_FIRST if errors.get(name, inf) <= most)
    return best, f"{counted}; errors in cross-validation over the spread of totals: {shown}"


def _percent(error) -> str:
    if error == inf:
        return "too large for the memory"
    return f"{100 * error:.2g} %" if error > _NONE else f"less than {100 * _NONE:.2g} %"


def _count_distinct(tiling, X) -> tuple[int, bool]:
    """Count the distinct tiles of some fields, and tell whether those are all.

    Of more and more fields, until all are counted or there are too many for kernel ridge.
    """
    from ..tiling._unique import distinct

    tiles_of_one = prod(tiling.tile_grid(X.shape[1:]))
    n = min(len(X), -(-_PROBED // tiles_of_one))
    while True:
        tiles = tiling.tiles(X[:n])
        n_distinct = len(distinct(tiles.values, len(tiles.tile_shape))[0])
        if n == len(X) or n_distinct > _FEW_TILES:
            return n_distinct, n == len(X)
        n = min(len(X), 4 * n)


def _cross_validated(name, tiling, X, y, baseline) -> float:
    """Return the root mean squared error over the spread of totals, the mean over outputs."""
    import warnings

    import numpy as np
    from sklearn.model_selection import KFold, cross_val_predict

    from ..estimators._regressor import EDNNRegressor
    from ..exceptions import TileMemoryError

    model = EDNNRegressor(tile_model(name, tiling, X.shape), tiling, baseline=baseline)
    folds = KFold(_FOLDS, shuffle=True, random_state=0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a fit that is thrown away; its error counts
            errors = cross_val_predict(model, X, y, cv=folds) - y
    except TileMemoryError:
        return inf
    spread = y.std(axis=0)
    return float(np.mean(np.sqrt((errors**2).mean(axis=0)) / np.where(spread > 0, spread, 1.0)))
