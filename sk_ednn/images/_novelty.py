"""Pictures unlike those of the fit: another magnification, inverted contrast, other light."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.covariance import LedoitWolf

from .._utils.stored import stored

# Windows of a picture that are compared, and their side in pixels.
_WINDOWS, _SIDE = 9, 512
_LAGS = (1, 2, 4, 8)
# Integers in which differences of pixels are exact.
_WIDER = {np.dtype(np.uint8): np.int16, np.dtype(np.uint16): np.int32}
_QUANTILES = (0.02, 0.25, 0.5, 0.75, 0.98)
# How far beyond the farthest training picture a new one is taken for unlike.
_MARGIN = 1.5
# Pictures of one series are more alike than others will be: spreads are at least this much of the
# spread of the pixels, and of the logarithms of roughness.
_LEAST_SPREAD = 0.05


@stored("PictureNovelty")
@dataclass(frozen=True)
class PictureNovelty:
    """Distance of a picture from those of the fit, in the levels and scales of its pixels.

    Attributes
    ----------
    mean, scale : ndarray of shape (n_channels,)
        Mean and scale of the pixels of the fit.
    centre, spread : ndarray of shape (n_features,)
    precision : ndarray of shape (n_features, n_features)
        Inverse covariance of the features, each over its spread.
    threshold : float
        The distance beyond which a picture is called unlike.
    """

    mean: np.ndarray
    scale: np.ndarray
    centre: np.ndarray
    spread: np.ndarray
    precision: np.ndarray
    threshold: float

    @classmethod
    def of(cls, pictures, mean, scale) -> PictureNovelty:
        """Learn from the pictures of a fit.

        Parameters
        ----------
        pictures : list of Picture
        mean, scale : ndarray of shape (n_channels,)
        """
        features = np.stack([picture_features(picture, mean, scale) for picture in pictures])
        centre = np.median(features, axis=0)
        spread = np.maximum(features.std(axis=0), _LEAST_SPREAD)
        unit = (features - centre) / spread
        if len(unit) > 2:
            precision = np.linalg.inv(LedoitWolf(assume_centered=True).fit(unit).covariance_
                                      + 0.1 * np.eye(unit.shape[1]))  # fmt: skip
        else:
            precision = np.eye(unit.shape[1])
        farthest = _distances(unit, precision).max()
        return cls(mean, scale, centre, spread, precision, float(max(farthest, 1.0) * _MARGIN))

    def distance(self, picture) -> float:
        """Return the distance of a picture from those of the fit, relative to the threshold.

        Parameters
        ----------
        picture : Picture
        """
        features = picture_features(picture, self.mean, self.scale)
        unit = ((features - self.centre) / self.spread)[None]
        return float(_distances(unit, self.precision)[0] / self.threshold)


def _distances(unit, precision) -> np.ndarray:
    return np.sqrt(np.einsum("nf,fg,ng->n", unit, precision, unit) / unit.shape[1])


def picture_features(picture, mean, scale) -> np.ndarray:
    """Return levels of the pixels of each channel, and its roughness at some distances.

    Parameters
    ----------
    picture : Picture
    mean, scale : ndarray of shape (n_channels,)

    Returns
    -------
    ndarray of shape (n_channels * 9,)
    """
    rows = []
    for values in _windows(picture):
        # Of differences and quantiles, and not of the pixels: these are many.
        values = values.astype(_WIDER.get(values.dtype, np.float64), copy=False)
        flat = values.reshape(-1, values.shape[-1])
        levels = (np.quantile(flat, _QUANTILES, axis=0) - mean) / scale
        rough = []
        for lag in _LAGS:
            steps = [
                np.abs(values[lag:] - values[:-lag]),
                np.abs(values[:, lag:] - values[:, :-lag]),
            ]
            sizes = sum(step.mean(axis=(0, 1), dtype=np.float64) for step in steps if step.size)
            rough.append(np.log(sizes / scale / 2 + 1e-3))
        rows.append(np.concatenate([levels, np.stack(rough)]).ravel())
    return np.mean(rows, axis=0)


def _windows(picture):
    """Yield windows (height, width, n_channels) on a regular grid, the middle plane of a stack."""
    *planes, height, width = picture.grid
    plane = tuple(slice(n // 2, n // 2 + 1) for n in planes)
    if height <= 2 * _SIDE and width <= 2 * _SIDE:
        starts = [(0, 0)]
        side = 2 * _SIDE
    else:
        side, n = _SIDE, int(np.sqrt(_WINDOWS))
        starts = [
            (int(i), int(j))
            for i in np.linspace(0, max(height - side, 0), n)
            for j in np.linspace(0, max(width - side, 0), n)
        ]
    for i, j in starts:
        box = (slice(i, min(i + side, height)), slice(j, min(j + side, width)))
        values = picture.read((*plane, *box, slice(0, picture.n_channels)))
        yield values.reshape(values.shape[-3:])
