"""Leverage of samples on linear models."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
from scipy.linalg import eigh
from sklearn.linear_model import BayesianRidge, Ridge, RidgeCV

from ..estimators._committee import EDNNCommittee
from ..estimators._unwrap import fitted_term, unwrap
from ..exceptions import TileModelError
from ..solvers._base import last_step
from ._novelty import tile_features

# Number of tiles whose features are computed at once.
_BLOCK_TILES = 4096
# Squared singular values below this, relative to the largest, are round-off of the Gram matrix.
_ROUND_OFF = 1e-12


def leverage(estimator, X_train, X, *, term=None):
    """Compute the leverage of samples: how weakly the training data constrain their totals.

    With Φ the features of the training samples, summed over their tiles, φ those of a sample, and
    α the penalty of the ridge, the leverage is::

        h = φ (ΦᵀΦ + α)⁻¹ φᵀ

    If the training totals have noise of variance σ² and the prior matches the penalty, a
    prediction has the variance σ² h, and the standard error σ√h. It covers that noise only, and no
    error of a term that the model lacks. Features that the training data lack increase h in
    inverse proportion to α. It grows as the square of the number of copies of a sample.

    Parameters
    ----------
    estimator : EDNNRegressor or EDNNCommittee, Pipeline that ends in one, or search; fitted
        The tile model must be a `Ridge`, `RidgeCV` or `BayesianRidge`, or a Pipeline that ends in
        one. The features are those of the first member of a committee.
    X_train : training samples, fitted with equal weights
    X : samples to predict
    term : str, default=None
        Which term to examine, if the estimator has several.

    Returns
    -------
    ndarray of shape (n_samples,)

    Raises
    ------
    TileModelError
        If the tile model is none of these, or its penalty is not positive.

    Notes
    -----
    The intercept, an unpenalised feature that counts tiles, is included; a baseline is not. The
    cost is that of the features and of one eigendecomposition, of a matrix with as many rows as
    training samples or features, whichever are fewer.

    References
    ----------
    C. E. Rasmussen, C. K. I. Williams, "Gaussian Processes for Machine Learning", MIT Press 2006,
    eq. 2.9.

    Examples
    --------
    A training sample, two copies of it, and all spins up, which no training sample has:

    >>> import numpy as np
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import PolynomialFeatures
    >>> from sk_ednn import EDNNRegressor, GridTiling
    >>> from sk_ednn.uncertainty import leverage
    >>> X = np.random.default_rng(0).choice([-1.0, 1.0], size=(300, 12))
    >>> pairs = make_pipeline(PolynomialFeatures(2), Ridge(0.1))
    >>> model = EDNNRegressor(pairs, GridTiling(1, 1)).fit(X, -(X * np.roll(X, 1, 1)).sum(axis=1))
    >>> leverage(model, X, [X[0], np.tile(X[0], 2), np.ones(12)]).round(3)
    array([0.028, 0.112, 0.112])
    """
    inner, X_train = unwrap(estimator, X_train)
    _, X = unwrap(estimator, X)
    return TrainingSums(inner, X_train, term=term).leverage(X)


class TrainingSums:
    """Eigendecomposition of the summed features of the training data.

    Parameters
    ----------
    inner : EDNNRegressor or EDNNCommittee, fitted
    X_train : its training samples
    term : as for `leverage`
    """

    def __init__(self, inner, X_train, *, term=None):
        member = inner.estimators_[0] if isinstance(inner, EDNNCommittee) else inner
        fitted = fitted_term(member, X_train, term)
        final = last_step(fitted.tile_model.estimator)
        self.alpha = _penalty(final)
        self.tiling = fitted.tiling
        self.features, _ = tile_features(fitted.tile_model, "auto")
        sums, counts = self._summed(fitted.systems)
        # An unpenalised intercept removes what the counts explain (Frisch-Waugh theorem).
        self.weight = counts @ counts if final.fit_intercept else np.inf
        self.per_tile = counts @ sums / self.weight
        sums -= np.outer(counts, self.per_tile)
        wide = sums.shape[1] > sums.shape[0]
        squares, vectors = eigh(sums @ sums.T if wide else sums.T @ sums)
        nonzero = squares > _ROUND_OFF * max(squares[-1], np.finfo(float).tiny)
        squares, vectors = squares[nonzero], vectors[:, nonzero]
        self.directions = (sums.T @ vectors) / np.sqrt(squares) if wide else vectors
        self.squares = squares

    def leverage(self, X) -> np.ndarray:
        """Return the leverage of each sample."""
        sums, counts = self._summed(self.tiling.check(X))
        sums -= np.outer(counts, self.per_tile)
        along = sums @ self.directions
        beyond = sums - along @ self.directions.T
        return (
            (along**2 / (self.squares + self.alpha)).sum(axis=1)
            + (beyond**2).sum(axis=1) / self.alpha
            + counts**2 / self.weight
        )

    def _summed(self, fields) -> tuple[np.ndarray, np.ndarray]:
        sums = 0.0
        for tiles in self.tiling.blocks(fields, _BLOCK_TILES):
            merged, inverse = tiles.unique()
            sums = sums + tiles.total(self.features(np.array(merged.array()))[inverse])
        return np.asarray(sums), self.tiling.counts(fields)


def _penalty(final) -> float:
    alpha: Any = None
    if isinstance(final, BayesianRidge):
        alpha = final.lambda_ / final.alpha_
    elif isinstance(final, RidgeCV):
        alpha = final.alpha_
    elif isinstance(final, Ridge):
        alpha = final.alpha
    if not isinstance(alpha, Real) or not float(alpha) > 0:
        raise TileModelError(
            "leverage needs a Ridge, RidgeCV or BayesianRidge with one positive penalty; got "
            f"{final!r}. For Gaussian processes and committees use predict(X, return_std=True), "
            "for other models novelty."
        )
    return float(alpha)
