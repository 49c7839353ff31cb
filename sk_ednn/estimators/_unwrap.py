"""Find the regressors, terms and steps inside Pipelines, searches, committees and guards."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

from .._utils.wording import with_article
from ..exceptions import TileModelError
from ..tile_models import AbstractTileModel
from ..tiling import AbstractTiling

# Attributes in which a fitted estimator keeps the one it wraps: searches, transformers of targets,
# guards and averages.
_INNER = ("best_estimator_", "regressor_", "estimator_")


class FittedTerm(NamedTuple):
    """One term of a fitted regressor, and checked systems to evaluate it on.

    Attributes
    ----------
    regressor : EDNNRegressor
    tile_model : AbstractTileModel
    tiling : AbstractTiling
    systems : Systems
    X : what the regressor predicts
    """

    regressor: Any
    tile_model: AbstractTileModel
    tiling: AbstractTiling
    systems: Any
    X: Any


def unwrap_search(estimator):
    """Return the best estimator of a search, also of a frozen or nested one, else the argument."""
    while True:
        # A FrozenEstimator has all attributes of the estimator inside it.
        if isinstance(estimator, FrozenEstimator):
            estimator = estimator.estimator
        elif hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        else:
            return estimator


def unwrap(estimator, X=None):
    """Return the model inside Pipelines, searches and guards, and the systems it sees.

    Parameters
    ----------
    estimator : EDNNRegressor, EDNNCommittee, ShiftAveraged, or any of these inside a Pipeline, \
            a search or a NoveltyGuard; fitted
    X : what the estimator predicts, default=None

    Returns
    -------
    model : EDNNRegressor, EDNNCommittee or ShiftAveraged
    X : what the model predicts
        Transformed by the steps before the model.

    Raises
    ------
    TileModelError
        If there is no such model.
    NotFittedError
    """
    while True:
        estimator = unwrap_search(estimator)
        if hasattr(estimator, "_takes_systems"):
            check_is_fitted(estimator)
            return estimator, X
        if hasattr(estimator, "steps"):
            X = X if X is None else estimator[:-1].transform(X)
            estimator = estimator.steps[-1][1]
        elif hasattr(estimator, "reference_"):  # a NoveltyGuard
            estimator = estimator.estimator_
        else:
            raise TileModelError(
                "Expected a fitted EDNNRegressor, a Pipeline that ends in one, or a search over "
                f"either; got {with_article(type(estimator).__name__)}.{_part_of(estimator)}"
            )


def _part_of(estimator) -> str:
    """Return a sentence that names a part of an estimator which can be passed instead of it."""
    places = ("estimators_.0", "potential_.regressor", "potential_.pipeline")
    for place in places:
        part = estimator
        for name in place.split("."):
            if name == "0":
                part = part[0] if isinstance(part, list) and part else None
            else:
                part = vars(part).get(name) if hasattr(part, "__dict__") else None
        if hasattr(part, "predict"):
            return f" Pass a part of it, {place.replace('.0', '[0]')}."
    return ""


def estimators_in(estimator) -> Iterator[Any]:
    """Yield a fitted estimator and the estimators that it contains, the outermost first.

    Steps of Pipelines, best estimators of searches, members of ensembles, and the estimators
    inside guards, shift averages and transformers of targets. Tile models are not included.
    """
    while isinstance(estimator, FrozenEstimator):
        estimator = estimator.estimator
    yield estimator
    for _, step in getattr(estimator, "steps", ()):
        yield from estimators_in(step)
    for name in _INNER:
        if hasattr(estimator, name):
            yield from estimators_in(getattr(estimator, name))
            return
    for member in getattr(estimator, "estimators_", ()):
        if hasattr(member, "predict"):
            yield from estimators_in(member)


def regressors_in(estimator) -> list:
    """Return the fitted EDNNRegressors in an estimator, in the order of `estimators_in`."""
    return [inner for inner in estimators_in(estimator) if hasattr(inner, "tile_model_")]


def terms_in(estimator) -> list[tuple[AbstractTileModel, AbstractTiling]]:
    """Return (tile model, tiling) of every term of every regressor in a fitted estimator."""
    return [term for regressor in regressors_in(estimator) for term in regressor.fitted_terms()]


def fitted_term(estimator, X, term=None) -> FittedTerm:
    """Return one term of the regressor in an estimator, and the systems it sees.

    Parameters
    ----------
    estimator : EDNNRegressor, Pipeline that ends in one, or search over either; fitted
    X : what the estimator predicts
    term : str, default=None
        Name of the term; needed if there are several.

    Raises
    ------
    TileModelError
        If there is no single regressor, or no term of that name.
    """
    model, X = unwrap(estimator, X)
    if hasattr(model, "estimators_"):
        raise TileModelError(
            "Each member of a committee has its own tile model. Pass one member, such as "
            "committee.estimators_[0]."
        )
    if not hasattr(model, "fitted_terms"):
        raise TileModelError(
            f"Expected a fitted EDNNRegressor, got {type(model).__name__}. Pass the estimator "
            "inside it, `estimator_`."
        )
    tile_model, tiling = term_of(model, term)
    return FittedTerm(model, tile_model, tiling, tiling.check(X), X)


def term_of(model, term):
    """Return the tile model and the tiling of a term, by name or of the only one.

    Parameters
    ----------
    model : EDNNRegressor
        Fitted.
    term : str or None

    Returns
    -------
    tile_model : AbstractTileModel
    tiling : AbstractTiling

    Raises
    ------
    TileModelError
        If there is no term of that name, or several and no name.
    """
    terms = model._terms_by_name()
    if term is None and len(terms) == 1:
        (term,) = terms
    if term not in terms:
        raise TileModelError(
            f"The model has the terms {list(terms)}: name one of them with `term`, got {term!r}."
        )
    return terms[term]
