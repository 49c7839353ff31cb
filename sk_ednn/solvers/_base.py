"""The contract of a strategy that fits tile models to sums."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator, is_classifier

from .._utils.steps import front_and_last
from ..exceptions import TileModelError
from ..tile_models import AbstractTileModel, TileModel
from ..tile_models._baseline import Baseline


class Term(NamedTuple):
    """One term of the sum: an unfitted tile model and the tiling it sees the field through.

    Attributes
    ----------
    name : str
    tile_model : estimator
        A clone that the strategy may fit.
    tiling : AbstractTiling or None
        None only where a strategy is asked whether it suits.
    """

    name: str
    tile_model: Any
    tiling: Any


@dataclass(frozen=True)
class SumProblem:
    """What a strategy is to fit: ``sum_k S_k c_k(T_k) = y``.

    Attributes
    ----------
    terms : list of Term
    systems : Systems
        What the tilings checked: fields, bags, structures.
    y : ndarray of shape (n_samples, n_outputs), float64
        The totals less the baseline.
    sample_weight : ndarray of shape (n_samples,) or None
        Weights of the squared errors.
    groups : ndarray of shape (n_samples,) or None
        Samples that must stay together where some are held back.
    start : list of AbstractTileModel or None
        Models to go on from.
    baselines : list of Baseline or None
        What was taken off y, for each term.
    gradient : list or None
        For each sample, what is known of the derivative of its total: ``values``, an array, and
        ``pull(slope)``, which turns the derivative with respect to the field into one of that
        kind, and perhaps its adjoint ``push(direction)``, how the field changes along a direction.
    random_state : int, RandomState or None
    n_jobs : int or None
    verbose : int
    """

    terms: list[Term]
    systems: Any
    y: np.ndarray
    sample_weight: np.ndarray | None = None
    groups: np.ndarray | None = None
    start: list[AbstractTileModel] | None = None
    baselines: list[Baseline | None] | None = None
    gradient: list[Any] | None = None
    random_state: Any = None
    n_jobs: int | None = None
    verbose: int = 0

    @property
    def n_outputs(self) -> int:
        """Number of totals per sample."""
        return self.y.shape[1]

    @property
    def counted(self) -> list[int]:
        """The terms whose tiles are counted each for itself.

        Where all tilings partition the same sites, one number counts them, that of the first term.
        """
        alike = all(term.tiling.shares_sites for term in self.terms)
        return [0] if alike else list(range(len(self.terms)))

    def counts(self) -> np.ndarray:
        """Return the tiles of each sample and counted term, (n_samples, n_counted)."""
        counts = [self.terms[k].tiling.counts(self.systems) for k in self.counted]
        return np.stack(counts, axis=1)

    @property
    def baseline(self) -> Baseline | None:
        """The baseline of the first term that has one."""
        return next((each for each in self.baselines or () if each is not None), None)

    def tile_model(self, term: Term, estimator, scale=1.0, kind=TileModel):
        """Return the tile model of a term, once its estimator is fitted."""
        return kind(
            estimator=estimator,
            tile_shape=self.tile_shape(term),
            n_outputs=self.n_outputs,
            has_channels=term.tiling.has_channels,
            scale=scale,
        )

    def tile_shape(self, term: Term) -> tuple[int, ...]:
        """Return the shape of the tiles of a term."""
        return term.tiling.shape_of_tiles(self.systems)


class AbstractSolver(BaseEstimator, ABC):
    """How tile models are fitted when only the sums over their tiles are known.

    Whatever the strategy, what it leaves is the same: fitted tile models with ``predict(tiles)``.
    Evaluation knows nothing about fitting.
    """

    __module__ = "sk_ednn.solvers"  # the name that messages give

    learns_gradients = False  # whether `fit` takes derivatives of y

    @abstractmethod
    def suits(self, terms: list[Term]) -> bool:
        """Tell whether this strategy can fit these terms."""

    @abstractmethod
    def fit(self, problem: SumProblem) -> list[Any]:
        """Fit the terms and return one `AbstractTileModel` for each.

        Raises
        ------
        TileModelError
            Where the terms do not suit the strategy.
        """

    def _require_suited(self, terms) -> None:
        if not self.suits(terms):
            names = ", ".join(type(term.tile_model).__name__ for term in terms)
            raise TileModelError(
                f"{type(self).__name__} cannot fit {names}. Leave `solver` at None to have a "
                "strategy chosen, or ask AutoSolver().select(tile_model) which one suits."
            )


def is_regressor_object(model) -> bool:
    """Tell whether a model can be fitted and predicts numbers; a class is none yet."""
    if isinstance(model, type) or not (hasattr(model, "fit") and hasattr(model, "predict")):
        return False
    return not (hasattr(model, "__sklearn_tags__") and is_classifier(model))


def last_step(tile_model):
    """Return the last step of a Pipeline, or the estimator itself: what decides the strategy."""
    return front_and_last(tile_model)[1]
