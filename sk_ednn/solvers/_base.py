"""The interface of solvers, which fit tile models to sums."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from sklearn.base import BaseEstimator, is_classifier

from .._utils.steps import front_and_last
from ..exceptions import TileModelError
from ._problem import SumProblem, Term


class AbstractSolver(BaseEstimator, ABC):
    """Interface of solvers, which fit tile models when only sums over tiles are known.

    All solvers return fitted tile models with ``predict(tiles)``. Evaluations do not depend on the
    solver.
    """

    __module__ = "sk_ednn.solvers"  # shown in error messages

    learns_gradients = False  # whether `fit` uses the gradients of a problem
    learns_system_gradients = False  # whether also those of bags and structures
    reweights = False  # whether `fit` updates weights by the last errors of samples

    @abstractmethod
    def suits(self, terms: list[Term]) -> bool:
        """Return True if this solver can fit these terms."""

    @abstractmethod
    def fit(self, problem: SumProblem) -> list[Any]:
        """Fit the terms and return an `AbstractTileModel` for each.

        Raises
        ------
        TileModelError
            If the solver cannot fit the terms.
        """

    def _require_suited(self, terms) -> None:
        if not self.suits(terms):
            names = ", ".join(type(term.tile_model).__name__ for term in terms)
            raise TileModelError(
                f"{type(self).__name__} cannot fit {names}. Leave `solver` at None for an "
                "automatic choice, which AutoSolver().select(tile_model) shows."
            )


def is_regressor_object(model) -> bool:
    """Return True for an estimator, not a class, that can be fitted and predicts numbers."""
    if isinstance(model, type) or not (hasattr(model, "fit") and hasattr(model, "predict")):
        return False
    return not (hasattr(model, "__sklearn_tags__") and is_classifier(model))


def last_step(tile_model):
    """Return the last step of a Pipeline, or the estimator itself."""
    return front_and_last(tile_model)[1]
