"""Tiles on one scale: each channel with mean 0 and spread 1."""

from __future__ import annotations

from numbers import Integral

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.preprocessing import StandardScaler
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted, validate_data

from .._utils.stored import stored
from ..exceptions import TileModelError


@stored("ChannelScaler")
class ChannelScaler(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Standardise tiles channel by channel, before a tile model that minds the scale.

    The sites of a tile are places of one quantity, not quantities that differ: one mean and one
    spread for each channel. A `StandardScaler` would take one for each place, and then blow up a
    place that was constant in the fit, and tell apart tiles that are as far from one another.

    Parameters
    ----------
    n_channels : int, default=1
        How many channels a site has; they are last in a tile.

    Attributes
    ----------
    scaler_ : StandardScaler
        Of the channels: ``scaler_.mean_`` and ``scaler_.scale_`` have shape (n_channels,). A
        channel that does not vary keeps its scale.
    n_features_in_ : int
        Numbers of a tile.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.pipeline import make_pipeline
    >>> from sk_ednn import EDNNRegressor, GridTiling
    >>> from sk_ednn.tiling import ChannelScaler
    >>> X = 4000 + 8 * np.random.default_rng(0).normal(size=(50, 16, 16))
    >>> model = EDNNRegressor(make_pipeline(ChannelScaler(), Ridge()), GridTiling(1, 1))
    >>> scaler = model.fit(X, X.sum(axis=(1, 2))).tile_model_.estimator[0].scaler_
    >>> print(f"{scaler.mean_[0]:.0f} ± {scaler.scale_[0]:.0f}")
    4000 ± 8
    """

    _parameter_constraints = {"n_channels": [Interval(Integral, 1, None, closed="left")]}

    def __init__(self, n_channels=1):
        self.n_channels = n_channels

    def fit(self, X, y=None):
        """Learn the mean and the spread of each channel.

        Parameters
        ----------
        X : array-like of shape (n_tiles, n_sites * n_channels)
        y : None
            Ignored.

        Returns
        -------
        self
        """
        return self._fit(X, _scaler(), reset=True)

    def partial_fit(self, X, y=None):
        """Learn from more tiles; see `fit`."""
        first = not hasattr(self, "scaler_")
        return self._fit(X, _scaler() if first else self.scaler_, reset=first)

    def _fit(self, X, scaler, reset):
        self._validate_params()
        X = validate_data(self, X, reset=reset)
        if X.shape[1] % self.n_channels:
            raise TileModelError(
                f"Tiles of {X.shape[1]} numbers cannot have n_channels={self.n_channels} at every "
                "site: give the number of channels of the fields."
            )
        self.scaler_ = scaler.partial_fit(self._by_channel(X))
        return self

    def transform(self, X):
        """Return tiles in units of the spread, from the mean.

        Parameters
        ----------
        X : array-like of shape (n_tiles, n_sites * n_channels)

        Returns
        -------
        ndarray of shape (n_tiles, n_sites * n_channels)
        """
        check_is_fitted(self)
        X = validate_data(self, X, reset=False)
        return self.scaler_.transform(self._by_channel(X)).reshape(X.shape)

    def inverse_transform(self, X):
        """Return tiles in their own units."""
        check_is_fitted(self)
        X = np.asarray(X)
        return self.scaler_.inverse_transform(self._by_channel(X)).reshape(X.shape)

    def pull(self, X, slope):
        """Turn the derivative with respect to what `transform` returns into one of the tiles."""
        return (self._by_channel(slope) / self.scaler_.scale_).reshape(slope.shape)

    def push(self, X, direction):
        """Return how what `transform` returns changes when tiles change along a direction."""
        return (self._by_channel(direction) / self.scaler_.scale_).reshape(direction.shape)

    def _by_channel(self, rows):
        return rows.reshape(-1, self.n_channels)


def _scaler() -> StandardScaler:
    # Arrays, whatever scikit-learn is set to return: they are reshaped.
    return StandardScaler().set_output(transform="default")
