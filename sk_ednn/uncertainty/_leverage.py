"""How far a sample sticks out of the training data, in a linear model's own measure."""

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

# Tiles whose features are computed at a time.
_BLOCK = 4096
# Squared singular values below this, relative to the largest, are rounding errors of a Gram matrix.
_ROUNDING = 1e-12


def leverage(estimator, X_train, X, *, term=None):
    """Measure how much the training data leave a ridge model's totals open.

    With Φ the features of the training samples, summed over their tiles, φ those of a sample, and
    α the penalty of the ridge, the leverage is::

        h = φ (ΦᵀΦ + α)⁻¹ φᵀ

    Noise of variance σ² in the training totals and a prior to match make the variance of a
    prediction σ² h. It grows with what a sample has that the training data have not, in proportion
    to how freely the model may count it, and as the square of the number of copies of a sample.

    Parameters
    ----------
    estimator : EDNNRegressor or EDNNCommittee, Pipeline that ends in one, or search; fitted
        Its tile model is a `Ridge`, `RidgeCV` or `BayesianRidge`, or a Pipeline that ends in one.
        Of a committee, the first member says what features are.
    X_train : what the estimator was fitted to, with equal weights
    X : what the estimator predicts
    term : str, default=None
        Which term to look at, where the estimator has several.

    Returns
    -------
    ndarray of shape (n_samples,)

    Raises
    ------
    TileModelError
        Where the tile model is not such a one.

    Notes
    -----
    The intercept counts tiles, is not penalised, and is taken into account; a baseline is not.
    The cost is that of the features, and of the eigenvalues of a matrix with as many rows as there
    are training samples or features, whichever are fewer.

    References
    ----------
    C. E. Rasmussen, C. K. I. Williams, "Gaussian Processes for Machine Learning", MIT Press 2006,
    eq. 2.9.

    Examples
    --------
    Spins as in the training data, two copies of them, and all spins up, which they never are:

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
    return KnownSums(inner, X_train, term=term).leverage(X)


class KnownSums:
    """The summed features of training data, and which of their directions are known how well.

    Parameters
    ----------
    inner : EDNNRegressor or EDNNCommittee, fitted
    X_train : what it was given
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
        # Regress on the counts what they explain: the intercept is free to (Frisch and Waugh).
        self.weight = counts @ counts if final.fit_intercept else np.inf
        self.per_tile = counts @ sums / self.weight
        sums -= np.outer(counts, self.per_tile)
        wide = sums.shape[1] > sums.shape[0]
        squares, vectors = eigh(sums @ sums.T if wide else sums.T @ sums)
        known = squares > _ROUNDING * max(squares[-1], np.finfo(float).tiny)
        squares, vectors = squares[known], vectors[:, known]
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
        for tiles in self.tiling.blocks(fields, _BLOCK):
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
            "Leverages are those of a Ridge, RidgeCV or BayesianRidge with one positive penalty; "
            f"got {final!r}. Gaussian processes and committees have standard deviations, and every "
            "model has a novelty."
        )
    return float(alpha)
