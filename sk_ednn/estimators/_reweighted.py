"""Fit with weights that follow from the errors of an earlier fit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from sklearn.base import clone

from .. import evaluation as evaluations


def fit_reweighted(solver, problem, evaluation) -> list:
    """Fit a problem; with `loss_weights`, weight samples by their errors.

    A solver that updates weights while it trains gets the problem as it is. For other solvers the
    errors are those of the fit that `problem.start` contains, or of a first fit without
    `loss_weights`.

    Parameters
    ----------
    solver : AbstractSolver
    problem : SumProblem
    evaluation : AbstractEvaluation
        Evaluates the earlier fit on the training systems.

    Returns
    -------
    list of AbstractTileModel
        One for each term.
    """
    if problem.loss_weights is None or solver.reweights:
        return solver.fit(problem)
    earlier = problem.start
    if earlier is None:
        # Solvers may fit tile models in place.
        terms = [
            term._replace(tile_model=clone(term.tile_model, safe=False)) for term in problem.terms
        ]
        earlier = clone(solver).fit(replace(problem, terms=terms, loss_weights=None))
    errors = problem.y - _totals(earlier, problem, evaluation)
    spread = np.sqrt(np.mean(problem.y**2, axis=0))
    errors = np.sqrt(np.mean((errors / np.where(spread > 0, spread, 1.0)) ** 2, axis=1))
    weights = problem.loss_weights(errors, sizes=problem.counts().sum(axis=1))
    if problem.sample_weight is not None:
        weights = weights * problem.sample_weight
    return solver.fit(replace(problem, sample_weight=weights, loss_weights=None))


def _totals(tile_models, problem, evaluation) -> np.ndarray:
    """Return the totals of fitted terms less their baselines, (n_samples, n_outputs)."""
    systems = problem.systems
    if systems.lazy and not evaluation.reads_pieces:
        evaluation = evaluations.DaskBlocks(evaluation)
    totals = np.zeros_like(problem.y)
    for tile_model, term in zip(tile_models, problem.terms, strict=True):
        part = evaluation.totals(tile_model.with_baseline(None), term.tiling, systems)
        totals += np.asarray(part)
    return totals
