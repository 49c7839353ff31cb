"""Products of features of tiles with the averages at their end."""

from __future__ import annotations

from numbers import Integral

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted, validate_data

from .._utils.stored import stored


@stored("ContextProducts")
class ContextProducts(TransformerMixin, BaseEstimator):
    """Multiply the features of a tile by the intensive context at its end.

    ``[x, g]`` becomes ``[x, g, x ⊗ g]``. Summed over the N tiles of a sample, the products are
    ``Σx_a · Σh_b / N`` where ``g = Σh / N``: homogeneous of degree one, so that a linear model of
    them is exactly extensive.

    Parameters
    ----------
    n_context : int
        Columns at the end that are averages, see `AtomTiling.n_contexts`.

    Attributes
    ----------
    n_features_in_ : int

    See Also
    --------
    IntensiveContext : Averages of fields as channels.
    sk_ednn.tiling.AtomTiling : Averages of a descriptor, by its parameter `context`.

    Notes
    -----
    Scale the features before: products of features far from 0 are nearly multiples of these
    features.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ednn.encoders import ContextProducts
    >>> ContextProducts(1).fit_transform(np.array([[1.0, 2.0, 10.0], [3.0, 4.0, 10.0]]))
    array([[ 1.,  2., 10., 10., 20.],
           [ 3.,  4., 10., 30., 40.]])

    An energy that depends on the mean distance of a chain's atoms, which no neighbourhood contains:

    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.pipeline import make_pipeline
    >>> from sk_ednn import EDNNRegressor
    >>> from sk_ednn.descriptors import SymmetryFunctions
    >>> from sk_ednn.tiling import AtomTiling
    >>> def chain(rng, n):
    ...     x = 2.0 * np.arange(n) + rng.uniform(-0.3, 0.3, n)
    ...     positions = np.column_stack([x, np.zeros((n, 2))])
    ...     return {
    ...         "numbers": [1] * n,
    ...         "positions": positions,
    ...         "cell": [2.0 * n, 9, 9],
    ...         "pbc": True,
    ...     }
    >>> rng = np.random.default_rng(0)
    >>> chains = [chain(rng, 4 + k % 6) for k in range(80)]
    >>> pairs = SymmetryFunctions(3.0, radial=[(2.0, 2.0)], angular=[])
    >>> tiling = AtomTiling(pairs, context=pairs)
    >>> tiles = [tiling.tiles(tiling.check([each])).array() for each in chains]
    >>> y = np.array([rows[:, 0].sum() ** 2 / len(rows) for rows in tiles])
    >>> local = EDNNRegressor(Ridge(1e-9), AtomTiling(pairs))
    >>> shared = EDNNRegressor(make_pipeline(ContextProducts(1), Ridge(1e-9)), tiling)
    >>> scores = [
    ...     1 - np.var(each.fit(chains, y).predict(chains) - y) / np.var(y - y.mean())
    ...     for each in (local, shared)
    ... ]
    >>> bool(scores[0] < scores[1]), bool(scores[1] > 1 - 1e-9)
    (True, True)
    """

    _parameter_constraints = {"n_context": [Interval(Integral, 1, None, closed="left")]}

    def __init__(self, n_context):
        self.n_context = n_context

    def fit(self, X, y=None):
        """Check the number of columns.

        Parameters
        ----------
        X : array-like of shape (n_tiles, n_features)
        y : None
            Ignored.

        Returns
        -------
        self
        """
        self._validate_params()
        X = validate_data(self, X, dtype=np.float64)
        if X.shape[1] <= self.n_context:
            raise ValueError(
                f"Tiles have {X.shape[1]} features, of which n_context={self.n_context} are "
                "averages: nothing is left to multiply by them."
            )
        return self

    def partial_fit(self, X, y=None):
        """Check the number of columns of a part of the tiles; see `fit`."""
        return self.fit(X, y)

    def transform(self, X):
        """Append products.

        Parameters
        ----------
        X : array-like of shape (n_tiles, n_features)

        Returns
        -------
        ndarray of shape (n_tiles, n_features + (n_features - n_context) * n_context)
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        features, context = self._split(X)
        return np.hstack([X, self._products(features, context)])

    def pull(self, X, gradient):
        """Pull gradients with respect to the output back to the features.

        Parameters
        ----------
        X : ndarray of shape (n_tiles, n_features)
        gradient : ndarray of shape (n_tiles, n_outputs)

        Returns
        -------
        ndarray of shape (n_tiles, n_features)
        """
        features, context = self._split(X)
        plain, products = np.split(gradient, [X.shape[1]], axis=1)
        products = products.reshape(len(X), features.shape[1], context.shape[1])
        by_features = np.einsum("nab,nb->na", products, context)
        by_context = np.einsum("nab,na->nb", products, features)
        return plain + np.hstack([by_features, by_context])

    def push(self, X, tangent):
        """Push changes of the features to those of the output.

        Parameters
        ----------
        X, tangent : ndarray of shape (n_tiles, n_features)

        Returns
        -------
        ndarray of shape (n_tiles, n_outputs)
        """
        features, context = self._split(X)
        moved, moved_context = self._split(tangent)
        changes = self._products(moved, context) + self._products(features, moved_context)
        return np.hstack([tangent, changes])

    def _split(self, X):
        return np.split(X, [X.shape[1] - self.n_context], axis=1)

    @staticmethod
    def _products(features, context):
        return (features[:, :, None] * context[:, None, :]).reshape(len(features), -1)
