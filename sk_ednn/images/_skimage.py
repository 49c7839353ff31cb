"""Local features of pictures by scikit-image: the quick alternative to a network."""

from __future__ import annotations

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from .._utils.optional import needing
from .._utils.stored import stored
from ._arrays import as_picture
from ._checks import require_picture
from ._readers import read_pictures


@stored("LocalFeatures")
class LocalFeatures(TransformerMixin, BaseEstimator):
    """Describe each square of a picture by smoothed levels, edges and textures at several scales.

    Followed by an `EDNNRegressor` with a `BagTiling`, any regressor of scikit-learn learns totals
    of pictures from these features in seconds. This is less accurate than `CountRegressor`, and
    needs no torch.

    Parameters
    ----------
    focus : int, default=8
        Side of a square in pixels. The last one of an axis may be smaller.
    sigma_min, sigma_max : float, default=1.0, 8.0
        Smallest and largest scale in pixels; each scale is twice the previous one.

    See Also
    --------
    sk_ednn.tiling.BagTiling : Sums over the rows.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import RidgeCV
    >>> from sklearn.pipeline import make_pipeline
    >>> from sk_ednn import EDNNRegressor
    >>> from sk_ednn.datasets import make_pictures
    >>> from sk_ednn.images import LocalFeatures
    >>> from sk_ednn.tiling import BagTiling
    >>> train, test = (make_pictures(60, (64, 64), random_state=seed) for seed in (0, 1))
    >>> ridge = RidgeCV(np.logspace(-3, 3, 13))
    >>> model = make_pipeline(LocalFeatures(), EDNNRegressor(ridge, BagTiling()))
    >>> model = model.fit(train.pictures, train.totals)
    >>> error = np.abs(model.predict(test.pictures) - test.totals).mean()
    >>> bool(error < 0.6 * np.abs(test.totals - train.totals.mean()).mean())
    True
    """

    def __init__(self, focus=8, *, sigma_min=1.0, sigma_max=8.0):
        self.focus = focus
        self.sigma_min = sigma_min
        self.sigma_max = sigma_max

    def fit(self, X, y=None):
        """Learn the mean and spread of the levels of each channel.

        Parameters
        ----------
        X : str, path-like, Picture, sequence of them, or array
            As for `CountRegressor.fit`.
        y : ignored

        Returns
        -------
        self
        """
        pictures = self._pictures(X)
        channels = [picture.array().reshape(-1, picture.n_channels) for picture in pictures]
        levels = np.concatenate([each.astype(np.float64) for each in channels])
        spread = levels.std(axis=0)
        self.mean_, self.scale_ = levels.mean(axis=0), np.where(spread > 0, spread, 1.0)
        return self

    def transform(self, X):
        """Return the features of the squares of each picture.

        Parameters
        ----------
        X : as for `fit`

        Returns
        -------
        list of ndarray of shape (n_squares, n_features), float64
            For each picture, its squares row by row. Each feature gives two columns: its mean over
            the square and the logarithm of its spread there.
        """
        return [self._of(picture) for picture in self._pictures(X)]

    def _pictures(self, X):
        if isinstance(X, np.ndarray) and X.ndim >= 3:
            X = [as_picture(each, f"picture {k}") for k, each in enumerate(X)]
        pictures = read_pictures(X)
        for picture in pictures:
            require_picture(picture)
            if len(picture.grid) != 2:
                raise ValueError(f"{picture.name}: LocalFeatures are of single planes.")
        return pictures

    def _of(self, picture) -> np.ndarray:
        with needing("LocalFeatures", extra="images"):
            from skimage.feature import multiscale_basic_features
        values = (picture.array().astype(np.float64) - self.mean_) / self.scale_
        features = multiscale_basic_features(
            values.astype(np.float32),
            channel_axis=-1,
            sigma_min=self.sigma_min,
            sigma_max=self.sigma_max,
        ).astype(np.float64)
        edges = [np.arange(0, n, self.focus) for n in picture.grid]

        def summed(array):
            return np.add.reduceat(np.add.reduceat(array, edges[0], axis=0), edges[1], axis=1)

        pixels = summed(np.ones((*picture.grid, 1)))
        mean = summed(features) / pixels
        spread = np.sqrt(np.maximum(summed(features**2) / pixels - mean**2, 0.0))
        rows = np.concatenate([mean, np.log(spread + 1e-3)], axis=-1)
        return rows.reshape(-1, rows.shape[-1])
