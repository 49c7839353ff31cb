"""Cross-validation of linear tile models, in one pass over the tiles."""

from __future__ import annotations

import numpy as np
from sklearn.base import clone

from ..tile_models._baseline import baseline_totals, fit_baselines
from ._features import TileFeatures
from ._linear import _fit_summed
from ._problem import Term


def held_out_totals(tile_model, tiling, X, y, baseline, folds) -> np.ndarray:
    """Predict the totals of each system by a linear tile model that was not fitted to it.

    The sums of features are computed once, for all folds, which takes nearly all of the time; only
    the fit to the sums is repeated. Transformers see the tiles of all systems, but no total.

    Parameters
    ----------
    tile_model : estimator
        A model that `LinearSolver` fits.
    tiling : AbstractTiling
    X : ndarray of shape (n_samples, *field_shape)
    y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
    baseline : {"size", "content"} or None
    folds : iterable of (ndarray of int, ndarray of int)
        Samples of the fit, and samples that are predicted; each is predicted once.

    Returns
    -------
    ndarray of the shape of y

    Raises
    ------
    TileMemoryError
        If memory does not suffice.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.model_selection import KFold
    >>> from sk_ednn import GridTiling
    >>> from sk_ednn.solvers._held_out import held_out_totals
    >>> X = np.random.default_rng(0).normal(size=(30, 6, 6))
    >>> y = X.sum(axis=(1, 2))
    >>> totals = held_out_totals(Ridge(1e-6), GridTiling(1, 0), X, y, "size", KFold(3).split(X))
    >>> bool(np.abs(totals - y).max() < 1e-4)
    True
    """
    columns = y.reshape(len(y), -1).astype(np.float64)
    systems = tiling.check(X)
    features = TileFeatures(Term("tiles", clone(tile_model), tiling), systems)
    sums, counts = features.summed(systems), tiling.counts(systems)[:, None]
    predicted = np.empty_like(columns)
    for train, test in folds:
        known, unknown = tiling.check(X[train]), tiling.check(X[test])
        baselines, totals = fit_baselines(baseline, [tiling], known, columns[train], None)
        coefficients, intercept = _fit_summed(
            clone(features.final), sums[train], counts[train], columns[train] - totals, None
        )
        rest = sums[test] @ np.transpose(coefficients) + counts[test] @ intercept
        totals = baseline_totals(baselines, [tiling], unknown, columns[test])
        predicted[test] = totals + rest.reshape(totals.shape)
    return predicted.reshape(y.shape)
