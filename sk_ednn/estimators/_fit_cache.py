"""Fits that are kept, so that what was fitted once is not fitted again."""

from __future__ import annotations

import copy
from importlib.metadata import version
from os import PathLike

from sklearn.utils.validation import check_memory

from .._utils.hashing import fit_key
from ..fields._sources import is_read_in_pieces

# What a fitted model does not depend on.
_WITHOUT_EFFECT = {"memory": None, "verbose": 0, "n_jobs": None}


def remembered(estimator, X, y, known) -> dict:
    """Return the fitted attributes of an estimator, from its `memory` or by fitting it.

    Parameters
    ----------
    estimator : EDNNRegressor
        It is left as it is.
    X, y : as in `fit`
    known : dict
        What else `fit` is given.

    Raises
    ------
    ValueError
        Where `X` is read piece by piece, so that what it holds is not known beforehand.
    TileModelError
        Where a parameter cannot be told from others, being a lambda, say.
    """
    if any(map(is_read_in_pieces, X if isinstance(X, (list, tuple)) else [X])):
        raise ValueError(
            "memory keeps fits of arrays, by what they hold; X is read piece by piece. Set "
            "memory=None (GradientSolver(checkpoint=...) keeps trainings on such data)."
        )
    bare = copy.copy(estimator).set_params(memory=None)
    told = copy.copy(estimator).set_params(**_WITHOUT_EFFECT)
    if not estimator.warm_start:
        told = told.get_params(deep=False)
    depends_on = version("sk-ednn"), told, X, y, known
    key = fit_key(depends_on, "memory keeps each fit", "Or set memory=None.")
    memory = estimator.memory
    memory = check_memory(str(memory) if isinstance(memory, PathLike) else memory)
    fit = memory.cache(_fitted, ignore=["estimator", "X", "y", "known"])
    return fit(key, bare, X, y, known)


def _fitted(key, estimator, X, y, known):
    estimator.fit(X, y, **known)
    params = estimator.get_params(deep=False)
    return {name: value for name, value in vars(estimator).items() if name not in params}
