"""The problem that solvers solve: terms of a sum, counts of their tiles, and totals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from sklearn.utils import check_random_state

from ..tile_models import AbstractTileModel, TileModel
from ..tile_models._baseline import Baseline


class Term(NamedTuple):
    """A term of the sum: an unfitted tile model and its tiling.

    Attributes
    ----------
    name : str
    tile_model : estimator
        A clone that the solver may fit in place.
    tiling : AbstractTiling or None
        May be None in calls of `AbstractSolver.suits`.
    """

    name: str
    tile_model: Any
    tiling: Any


@dataclass(frozen=True)
class SumProblem:
    """The problem that a solver solves: ``sum_k S_k c_k(T_k) = y``.

    Attributes
    ----------
    terms : list of Term
    systems : Systems
        The systems checked by the tilings: fields, bags or structures.
    y : ndarray of shape (n_samples, n_outputs), float64
        Totals less the baseline.
    sample_weight : ndarray of shape (n_samples,) or None
        Weights of the squared errors.
    groups : ndarray of shape (n_samples,) or None
        Groups of samples that are held out together.
    loss_weights : LossWeights or None
        Weights by the last errors of samples, which multiply `sample_weight`; for solvers whose
        `reweights` is True.
    start : list of AbstractTileModel or None
        Fitted models to start from.
    baselines : list of Baseline or None
        Baseline of each term that was subtracted from y.
    gradient : list or None
        Target gradient of each total: ``values``, an array, with ``pull(gradient)``, which pulls
        the gradient with respect to the field back to one of the kind of `values`, and possibly
        its adjoint ``push(tangent)``; see `sk_ednn.tile_models._gradients`.
    random_state : int, RandomState or None
    n_jobs : int or None
    verbose : int
    """

    terms: list[Term]
    systems: Any
    y: np.ndarray
    sample_weight: np.ndarray | None = None
    groups: np.ndarray | None = None
    loss_weights: Any = None
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
        """Indices of the terms whose tiles are counted separately.

        If all tilings partition the same sites, only the first term is counted.
        """
        shared = all(term.tiling.shares_sites for term in self.terms)
        return [0] if shared else list(range(len(self.terms)))

    def counts(self) -> np.ndarray:
        """Return the number of tiles of each sample and counted term, (n_samples, n_counted)."""
        counts = [self.terms[k].tiling.counts(self.systems) for k in self.counted]
        return np.stack(counts, axis=1)

    @property
    def baseline(self) -> Baseline | None:
        """The first baseline of a term, None if no term has one."""
        return next((baseline for baseline in self.baselines or () if baseline is not None), None)

    def rng(self, random_state) -> np.random.RandomState:
        """Return the random generator of a solver's `random_state`, or of the problem's if None."""
        return check_random_state(self.random_state if random_state is None else random_state)

    def tile_model(self, term: Term, estimator, scale=1.0, kind=TileModel, **params):
        """Return the tile model of a term with a fitted estimator, of a class with parameters."""
        return kind(
            estimator=estimator,
            tile_shape=self.tile_shape(term),
            n_outputs=self.n_outputs,
            has_channels=term.tiling.has_channels,
            scale=scale,
            **params,
        )

    def tile_shape(self, term: Term) -> tuple[int, ...]:
        """Return the shape of the tiles of a term."""
        return term.tiling.shape_of_tiles(self.systems)
