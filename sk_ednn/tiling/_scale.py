"""Standardisation of tiles: mean 0 and standard deviation 1 for each channel."""

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
    """Standardise tiles channel by channel, for tile models that depend on the scale.

    All sites of a tile contain the same quantity and share one mean and one standard deviation for
    each channel. A `StandardScaler` would estimate these for each site separately. It would
    amplify noise at sites that were constant in the fit, and distort distances between tiles.

    Parameters
    ----------
    n_channels : int, default=1
        Number of channels of a site. Channels are the last axis of a tile.

    Attributes
    ----------
    scaler_ : StandardScaler
        Scaler of the channels: ``scaler_.mean_`` and ``scaler_.scale_`` have shape (n_channels,).
        Constant channels are centred but not scaled.
    n_features_in_ : int
        Number of features of a tile, ``n_sites * n_channels``.

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
        """Compute the mean and the standard deviation of each channel.

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
        """Update the mean and the standard deviation with more tiles; see `fit`."""
        first = not hasattr(self, "scaler_")
        return self._fit(X, _scaler() if first else self.scaler_, reset=first)

    def _fit(self, X, scaler, reset):
        self._validate_params()
        X = validate_data(self, X, reset=reset)
        if X.shape[1] % self.n_channels:
            raise TileModelError(
                f"The number of features of a tile, {X.shape[1]}, is not a multiple of "
                f"n_channels={self.n_channels}. Set n_channels to the number of channels of the "
                "fields."
            )
        self.scaler_ = scaler.partial_fit(self._by_channel(X))
        return self

    def transform(self, X):
        """Standardise tiles.

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
        """Undo the standardisation."""
        check_is_fitted(self)
        X = np.asarray(X)
        return self.scaler_.inverse_transform(self._by_channel(X)).reshape(X.shape)

    def pull(self, X, gradient):
        """Pull gradients back from the output of `transform` to the tiles `X`.

        This is the vector-Jacobian product described in `sk_ednn.tile_models._gradients`.
        """
        return (self._by_channel(gradient) / self.scaler_.scale_).reshape(gradient.shape)

    def push(self, X, tangent):
        """Push tangents forward from the tiles `X` to the output of `transform`.

        This is the Jacobian-vector product described in `sk_ednn.tile_models._gradients`.
        """
        return (self._by_channel(tangent) / self.scaler_.scale_).reshape(tangent.shape)

    def _by_channel(self, rows):
        return rows.reshape(-1, self.n_channels)


def _scaler() -> StandardScaler:
    # Arrays, regardless of scikit-learn's global configuration, because they are reshaped.
    return StandardScaler().set_output(transform="default")
