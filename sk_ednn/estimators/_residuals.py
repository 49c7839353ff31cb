"""The problem that solvers see: residuals of the baseline, with weights."""

from __future__ import annotations

import numpy as np
from sklearn.base import clone

from ..solvers import LossWeights, SumProblem
from ..tile_models._baseline import baseline_totals, fit_baselines
from ._targets import per_site

# Residuals of the baseline below this, relative to y, are round-off.
_ROUND_OFF = 1e-14


def residual_problem(estimator, terms, admitted, start, random_state) -> SumProblem:
    """Return the fit of the residuals of the baseline.

    Parameters
    ----------
    estimator : EDNNRegressor
    terms : list of Term
    admitted : Admitted
    start : list of AbstractTileModel or None
        Tile models to continue from, whose baselines are kept.
    random_state : RandomState

    Returns
    -------
    SumProblem
    """
    systems, y, tilings = admitted.systems, admitted.y, [term.tiling for term in terms]
    sample_weight = admitted.sample_weight
    if estimator.weighting == "site":
        shared = all(tiling.shares_sites for tiling in tilings)
        counted = tilings[:1] if shared else tilings
        sizes = np.sum([tiling.counts(systems) for tiling in counted], axis=0)
        sample_weight = per_site(sizes, sample_weight)
    loss_weights = None
    if isinstance(estimator.weighting, LossWeights):
        loss_weights = clone(estimator.weighting)
    if start is None:
        baselines, totals = fit_baselines(estimator.baseline, tilings, systems, y, sample_weight)
    else:
        baselines = [tile_model.baseline for tile_model in start]
        totals = baseline_totals(baselines, tilings, systems, y)
    residuals = y - totals
    # Solvers scale targets and would fit the round-off of y.
    residuals[np.abs(residuals) <= _ROUND_OFF * np.abs(y)] = 0.0
    return SumProblem(
        terms=terms,
        systems=systems,
        y=residuals,
        sample_weight=sample_weight,
        groups=admitted.groups,
        loss_weights=loss_weights,
        start=start,
        baselines=baselines,
        gradient=admitted.gradient,
        random_state=random_state,
        n_jobs=estimator.n_jobs,
        verbose=estimator.verbose,
    )
