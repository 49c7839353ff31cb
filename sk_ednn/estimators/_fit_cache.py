"""Cache fitted models on disk (the `memory` parameter)."""

from __future__ import annotations

import copy
from os import PathLike

from sklearn.utils.validation import check_memory

from .._utils.hashing import fit_key
from .._utils.versions import package_version
from ..fields._sources import is_read_in_pieces

# Parameters that do not affect the fitted model, left out of the cache key.
_WITHOUT_EFFECT = {"memory": None, "verbose": 0, "n_jobs": None}


def fit_cached(estimator, X, y, fit_params) -> dict:
    """Return the fitted attributes of an estimator, from its cache or by fitting a copy.

    Parameters
    ----------
    estimator : EDNNRegressor
        Not changed.
    X, y : as in `fit`
    fit_params : dict
        Further keyword arguments of `fit`.

    Raises
    ------
    ValueError
        If `X` is read piece by piece, so that its contents cannot be hashed.
    TileModelError
        If a parameter cannot be hashed, such as a lambda.
    """
    if any(map(is_read_in_pieces, X if isinstance(X, (list, tuple)) else [X])):
        raise ValueError(
            "memory caches fits by a hash of X, which must be in memory; this X is read piece by "
            "piece. Set memory=None. To resume training on such data use "
            "GradientSolver(checkpoint=...)."
        )
    uncached = copy.copy(estimator).set_params(memory=None)
    params = copy.copy(estimator).set_params(**_WITHOUT_EFFECT)
    if not estimator.warm_start:
        params = params.get_params(deep=False)
    depends_on = package_version(), params, X, y, fit_params
    key = fit_key(depends_on, "memory caches each fit", "Or set memory=None.")
    memory = estimator.memory
    memory = check_memory(str(memory) if isinstance(memory, PathLike) else memory)
    fit = memory.cache(_fitted, ignore=["estimator", "X", "y", "fit_params"])
    return fit(key, uncached, X, y, fit_params)


def _fitted(key, estimator, X, y, fit_params):
    estimator.fit(X, y, **fit_params)
    params = estimator.get_params(deep=False)
    return {name: value for name, value in vars(estimator).items() if name not in params}
