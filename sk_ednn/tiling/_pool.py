"""Averages over blocks of a tile, so that a wide window has few features."""

from __future__ import annotations

from math import prod
from numbers import Integral

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted, validate_data

from .._utils.stored import stored
from ..exceptions import TileModelError


@stored("TilePool")
class TilePool(TransformerMixin, BaseEstimator):
    """Average the sites of a tile over blocks, so that a wide window has few features.

    A window of ``size * n`` sites along an axis becomes one of n. It is the first step of a
    Pipeline that is used as a tile model; `multiscale` puts it there.

    Parameters
    ----------
    size : int or tuple of int with one per axis, default=2
        Sites of a block along each axis. The window of the tiling must be a multiple of it.
    window : tuple of int, default=None
        Shape of the window, without channels. None for that of the tiling, which `EDNNRegressor`
        passes before it fits the tile model.
    n_channels : int, default=1
        Number of channels of a site, the last axis of a tile. Used only if `window` is set.

    Attributes
    ----------
    window_ : tuple of int
    n_channels_ : int
    n_features_in_ : int
        ``prod(window_) * n_channels_``

    See Also
    --------
    multiscale : Terms of several scales.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ednn.tiling import TilePool
    >>> tile = np.arange(16.0).reshape(1, 16)  # a window of 4 x 4
    >>> TilePool(2, window=(4, 4)).fit_transform(tile)
    array([[ 2.5,  4.5, 10.5, 12.5]])
    """

    _parameter_constraints = {
        "size": [Interval(Integral, 1, None, closed="left"), tuple],
        "window": [tuple, None],
        "n_channels": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(self, size=2, *, window=None, n_channels=1):
        self.size = size
        self.window = window
        self.n_channels = n_channels

    def check_tiles(self, window, n_channels, focus=None):
        """Take the shape of the tiles that `fit` gets.

        Parameters
        ----------
        window : tuple of int
            Shape of a tile without channels.
        n_channels : int
        focus : tuple of int, default=None
            Ignored.

        Raises
        ------
        TileModelError
            If the window is not a multiple of `size`, or not the parameter `window`.
        """
        self._validate_params()
        if self.window is not None and (tuple(self.window), self.n_channels) != (
            tuple(window), n_channels,
        ):  # fmt: skip
            raise TileModelError(
                f"TilePool expects a window of {tuple(self.window)} with {self.n_channels} "
                f"channel(s), the tiling has {tuple(window)} with {n_channels}. Leave out window."
            )
        self._given = tuple(int(length) for length in window), int(n_channels)
        self._factors()

    def _factors(self) -> tuple[int, ...]:
        """Return the sizes of a block along each axis."""
        window = self._given[0]
        sizes = self.size if isinstance(self.size, tuple) else (self.size,) * len(window)
        if len(sizes) != len(window) or any(
            size < 1 or length % size for length, size in zip(window, sizes, strict=False)
        ):
            raise TileModelError(
                f"TilePool(size={self.size}) needs a window with lengths that are multiples of "
                f"its size, got {window}. Choose focus and context as multiples of the size."
            )
        return tuple(int(size) for size in sizes)

    def fit(self, X, y=None):
        """Check tiles; nothing is learned from their values.

        Parameters
        ----------
        X : array-like of shape (n_tiles, n_sites * n_channels)
        y : None
            Ignored.

        Returns
        -------
        self
        """
        if self.window is not None:
            self.check_tiles(self.window, self.n_channels)
        if not hasattr(self, "_given"):
            raise TileModelError(
                "TilePool does not know the shape of the window. Set window=..., or use it as the "
                "first step of the tile model of an EDNNRegressor with a GridTiling."
            )
        X = validate_data(self, X)
        window, n_channels = self._given
        if X.shape[1] != prod(window) * n_channels:
            raise TileModelError(
                f"Tiles of {X.shape[1]} features do not have a window of {window} with "
                f"{n_channels} channel(s)."
            )
        self.window_, self.n_channels_ = window, n_channels
        self.size_ = self._factors()
        return self

    def partial_fit(self, X, y=None):
        """Check tiles, see `fit`; tiles that are read in pieces are checked piece by piece."""
        return self.fit(X)

    def transform(self, X):
        """Average tiles over blocks.

        Parameters
        ----------
        X : array-like of shape (n_tiles, n_sites * n_channels)

        Returns
        -------
        ndarray of shape (n_tiles, n_blocks * n_channels)
            float32 for float32 tiles, else float64.
        """
        check_is_fitted(self)
        X = validate_data(self, X, reset=False)
        return self._averaged(X)

    def pull(self, X, gradient):
        """Pull gradients back from the output of `transform` to the tiles `X`.

        This is the vector-Jacobian product described in `sk_ednn.tile_models._gradients`.
        """
        blocks = self._blocks()
        wide = gradient.reshape(
            -1, *(1 if k % 2 else n for k, n in enumerate(blocks)), self.n_channels_
        )
        wide = np.broadcast_to(wide, (len(wide), *blocks, self.n_channels_))
        return wide.reshape(len(wide), -1) / prod(self.size_)

    def push(self, X, tangent):
        """Push tangents forward from the tiles `X` to the output of `transform`.

        This is the Jacobian-vector product described in `sk_ednn.tile_models._gradients`.
        """
        return self._averaged(tangent)

    def _blocks(self) -> tuple[int, ...]:
        """Return the number of blocks and the sites of a block for each axis, alternating."""
        pairs = zip(self.window_, self.size_, strict=True)
        return tuple(n for length, size in pairs for n in (length // size, size))

    def _averaged(self, rows):
        blocks = self._blocks()
        dtype = rows.dtype if rows.dtype == np.float32 else np.float64
        tiles = rows.reshape(len(rows), *blocks, self.n_channels_)
        axes = tuple(range(2, 2 + len(blocks), 2))
        return tiles.mean(axis=axes, dtype=dtype).reshape(len(rows), -1)
