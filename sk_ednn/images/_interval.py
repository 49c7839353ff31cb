"""Intervals of predicted totals, from the errors of held-out pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from .._utils.stored import stored

# With fewer errors their quantile is unknown, and a normal distribution is fitted to them.
_ENOUGH = 40
# Errors of empty pictures are taken for those of pictures with this share of the mean total.
_LEAST_SHARE = 0.05


@stored("PictureInterval")
@dataclass(frozen=True)
class PictureInterval:
    """Errors of predictions, in units that grow with the square root of the total.

    Attributes
    ----------
    errors : ndarray of shape (n_held_back, n_outputs)
        Absolute errors of pictures held back, each over its `unit`.
    typical : ndarray of shape (n_outputs,)
        Mean absolute total.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ednn.images._interval import PictureInterval
    >>> true = np.full((200, 1), 100.0)
    >>> predicted = true + np.random.default_rng(0).normal(scale=5, size=true.shape)
    >>> interval = PictureInterval.of(predicted, true)
    >>> width = interval.half_width(np.array([[100.0], [400.0]]), 0.9)
    >>> bool(7 < width[0, 0] < 9), float(round(width[1, 0] / width[0, 0], 6))
    (True, 2.0)
    """

    errors: np.ndarray
    typical: np.ndarray

    @classmethod
    def of(cls, predicted, true) -> PictureInterval:
        """Return the intervals from the errors of held-out pictures."""
        typical = np.abs(true).mean(axis=0) if len(true) else np.ones(true.shape[1])
        typical = np.where(typical > 0, typical, 1.0)
        return cls(np.abs(predicted - true) / unit(predicted, typical), typical)

    def half_width(self, predicted, confidence) -> np.ndarray:
        """Return half the width of the intervals that contain this share of new pictures.

        If many pictures were held out, this is a quantile of their errors, chosen such that a new
        picture of their kind is inside with the requested probability (split conformal prediction).
        For fewer pictures the errors are assumed to be Gaussian.

        Parameters
        ----------
        predicted : ndarray of shape (n_samples, n_outputs)
        confidence : float
        """
        n = len(self.errors)
        if n == 0:
            return np.full(np.shape(predicted), np.nan)
        rank = int(np.ceil((n + 1) * confidence))
        if n >= _ENOUGH and rank <= n:
            quantile = np.sort(self.errors, axis=0)[rank - 1]
        else:
            spread = np.sqrt((self.errors**2).mean(axis=0))
            quantile = spread * stats.t.ppf(0.5 + confidence / 2, n) * np.sqrt(1 + 1 / n)
        return quantile * unit(predicted, self.typical)


def unit(predicted, typical) -> np.ndarray:
    """Return the unit of errors: the square root of the total, or of a least total."""
    return np.sqrt(np.maximum(np.abs(predicted) / typical, _LEAST_SHARE))
