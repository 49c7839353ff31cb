"""Tile models by name, and the choice among them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from math import comb, inf, prod
from typing import Any

# No heavy imports here, since the help contains the names.

# Tiles in the first count; unique tiles for which several fits of kernel ridge take 15 seconds; and
# products of sites of all tiles that take a minute.
_FIRST_TILES = 20_000
_FEW_TILES = 20_000
_MAX_PRODUCTS = 4e9
_FOLDS = 3
# Cross-validation errors below this, relative to the spread of totals, count as equal, since their
# order depends on rounding. Among errors within a twentieth of the least, the simplest model is
# chosen.
_NEGLIGIBLE = 1e-4
_TOLERANCE = 1.05
_SIMPLEST_FIRST = ("quadratic", "cubic", "kernel")


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


def tile_model(name: str, tiling, shape: tuple[int, ...]):
    """Return a tile model behind a scaler, since fields may have any scale.

    Parameters
    ----------
    name : str
        One of `TILE_MODELS`.
    tiling : GridTiling
    shape : tuple of int
        Shape of the fields that it is fitted to, (n_samples, *field_shape).
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


def suited(
    tiling, X, y, baseline="size", say=lambda text: None, *,
    first_tiles=_FIRST_TILES, few_tiles=_FEW_TILES, max_products=_MAX_PRODUCTS,
) -> tuple[str, str]:  # fmt: skip
    """Return the name of a tile model for some data, and the reason.

    Parameters
    ----------
    tiling : GridTiling
    X : ndarray of shape (n_samples, *field_shape)
    y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
    baseline : str or None
        Parameter of `EDNNRegressor`.
    say : function, default=None
        Called with a line of text before a long computation.
    first_tiles, few_tiles, max_products : int or float
        Tiles in the first count, unique tiles for kernel ridge at most, and products of sites for
        polynomials at most.
    """
    tiling.check(X[:1])
    shape = X.shape[1:]
    n_tiles, n_numbers = len(X) * prod(tiling.tile_grid(shape)), prod(tiling.tile_shape(shape))
    n_unique, all_counted = _count_unique(tiling, X, first_tiles, few_tiles)
    few = all_counted and n_unique <= few_tiles
    counted = f"{'' if all_counted else 'at least '}{n_unique:,} unique tiles"
    counted += "" if few else ", too many for kernel ridge"
    # Cubic features are fitted several times in cross-validation.
    costs = {"quadratic": comb(n_numbers + 2, 2), "cubic": 2 * _FOLDS * comb(n_numbers + 3, 3)}
    names = ["kernel"] if few else []
    names += [name for name, cost in costs.items() if n_tiles * cost <= max_products]
    if not names:
        has_torch = all(find_spec(name) is not None for name in ("torch", "skorch"))
        return (
            "dense" if has_torch else "perceptron",
            f"{counted}, and {n_tiles:,} tiles of {n_numbers:,} numbers have too many pairs",
        )
    if len(names) == 1:
        return names[0], f"{counted}; products of more sites would take too long"
    if len(X) < 2 * _FOLDS:
        return names[0], f"{counted}; {len(X)} systems are too few to compare tile models"
    say(f"{counted}; comparing {', '.join(names)} in cross-validation")
    errors = {name: _cross_validated(name, tiling, X, y, baseline) for name in names}
    best, shown = simplest(errors)
    return best, f"{counted}; cross-validation errors relative to the spread of totals: {shown}"


def simplest(errors: dict[str, float]) -> tuple[str, str]:
    """Return the simplest tile model with about the smallest error, and the errors as text.

    Parameters
    ----------
    errors : dict of str to float
        Errors by name, relative to the spread of totals; infinite for a model that does not fit in
        memory.
    """
    most = _TOLERANCE * max(min(errors.values()), _NEGLIGIBLE)
    best = next(name for name in _SIMPLEST_FIRST if errors.get(name, inf) <= most)
    return best, ", ".join(f"{name} {_percent(error)}" for name, error in errors.items())


def _percent(error) -> str:
    if error == inf:
        return "does not fit in memory"
    return f"{100 * error:.2g} %" if error > _NEGLIGIBLE else f"less than {100 * _NEGLIGIBLE:.2g} %"


def _count_unique(tiling, X, first_tiles, few_tiles) -> tuple[int, bool]:
    """Count the unique tiles of some fields; also return whether all fields were counted.

    The number of fields grows until all are counted, or there are too many tiles for kernel ridge.
    """
    from ..tiling._equal_tiles import distinct

    tiles_of_one = prod(tiling.tile_grid(X.shape[1:]))
    n = min(len(X), -(-first_tiles // tiles_of_one))
    while True:
        tiles = tiling.tiles(X[:n])
        n_unique = len(distinct(tiles.values, len(tiles.tile_shape))[0])
        if n == len(X) or n_unique > few_tiles:
            return n_unique, n == len(X)
        n = min(len(X), 4 * n)


def _cross_validated(name, tiling, X, y, baseline) -> float:
    """Return the root mean square error relative to the spread of totals, averaged over outputs."""
    import warnings

    import numpy as np
    from sklearn.model_selection import KFold, cross_val_predict

    from ..estimators._regressor import EDNNRegressor
    from ..exceptions import TileMemoryError

    model = EDNNRegressor(tile_model(name, tiling, X.shape), tiling, baseline=baseline)
    folds = KFold(_FOLDS, shuffle=True, random_state=0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # fits are discarded; only errors matter
            errors = cross_val_predict(model, X, y, cv=folds) - y
    except TileMemoryError:
        return inf
    spread = y.std(axis=0)
    return float(np.mean(np.sqrt((errors**2).mean(axis=0)) / np.where(spread > 0, spread, 1.0)))
