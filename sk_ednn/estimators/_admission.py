"""Check the data of a fit: systems, totals, weights, groups and gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .._utils.masks import require_unmasked
from ..exceptions import TilingError
from ..fields._axis_labels import warn_of_order
from ..fields._in_memory import in_memory
from ._data_warnings import warn_of_channels, warn_of_marks, warn_of_wide_context
from ._targets import check_length, check_targets


@dataclass(frozen=True)
class Admitted:
    """Checked data of a fit, without samples of weight 0.

    Attributes
    ----------
    systems : Systems
    y : ndarray of shape (n_samples, n_outputs), float64
    y_ndim : int
        Number of axes of y as passed to `fit`.
    sample_weight : ndarray of shape (n_samples,) or None
    groups : ndarray of shape (n_samples,) or None
    gradient : list or None
    """

    systems: Any
    y: np.ndarray
    y_ndim: int
    sample_weight: np.ndarray | None
    groups: np.ndarray | None
    gradient: Any


def admit(estimator, terms, X, y, sample_weight, groups, gradient) -> Admitted:
    """Check the data of a fit; see `EDNNRegressor.fit`.

    Parameters
    ----------
    estimator : EDNNRegressor
        Named in messages.
    terms : list of Term
    X, y, sample_weight, groups, gradient
        As passed to `fit`.
    """
    systems = X
    for term in terms:
        systems = term.tiling.check(systems)
    for term in terms:
        if term.tiling.is_grid:
            warn_of_channels(term.tiling, systems)
            if estimator.tiling is not None or isinstance(estimator.tile_model, list):
                # Who has set no context, as for fields of one site, has nothing to change.
                warn_of_wide_context(term.tiling, systems)
    warn_of_order(X, y=y, sample_weight=sample_weight, groups=groups)
    y = in_memory(y, "y")
    y_ndim = np.asarray(y).ndim
    y, sample_weight, groups = check_targets(estimator, systems, y, sample_weight, groups)
    tiling = terms[0].tiling
    warn_of_marks(systems, y, tiling.channel_axis if tiling.is_grid else None)
    if gradient is not None:
        gradient = in_memory(gradient, "gradient")
        check_length("gradient", gradient, systems)
        require_unmasked(list(gradient), "gradient")
    if sample_weight is not None and (sample_weight == 0).any():
        kept = np.flatnonzero(sample_weight)
        systems, y, sample_weight = systems.take(kept), y[kept], sample_weight[kept]
        groups = None if groups is None else groups[kept]
        gradient = None if gradient is None else [gradient[k] for k in kept]
    for term in terms:
        if not term.tiling.counts(systems).any():
            raise TilingError(
                f"No sample has a tile of the term {term.name!r} ({term.tiling!r}), so it cannot "
                "be fitted. Remove the term, or add samples that have such tiles."
            )
    return Admitted(systems, y, y_ndim, sample_weight, groups, gradient)
