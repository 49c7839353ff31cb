"""Intervals of predicted totals, from the errors of held-out pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from .._utils.stored import stored

# With fewer errors their quantile is unknown, and a normal distribution is fitted to them. No more
# than so many times the announced share of new totals is outside, but for this share of all fits.
_ENOUGH = 40
_OUTSIDE, _UNLUCKY = 1.5, 0.025
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
        Fewer errors may all be small by chance. They are assumed to be Gaussian, and the interval
        is a tolerance interval: in 39 of 40 fits, at most 1.5 times as many totals are outside as
        announced. It is no smaller than the quantile of the errors, or the largest one where there
        are too few for the requested share.

        Parameters
        ----------
        predicted : ndarray of shape (n_samples, n_outputs)
        confidence : float
        """
        n = len(self.errors)
        if n == 0:
            return np.full(np.shape(predicted), np.nan)
        rank = int(np.ceil((n + 1) * confidence))
        quantile = np.sort(self.errors, axis=0)[min(rank, n) - 1]
        if n < _ENOUGH or rank > n:
            spread = np.sqrt((self.errors**2).mean(axis=0))
            quantile = np.maximum(quantile, spread * _factor(n, confidence))
        return quantile * unit(predicted, self.typical)


def _factor(n, confidence) -> float:
    """Return half the width of an interval over the root mean square of n Gaussian errors.

    Parameters
    ----------
    n : int
    confidence : float

    Returns
    -------
    float
        The larger factor of a prediction interval (Student's t), which contains the requested share
        on average over fits, and of a tolerance interval (Howe 1969), which does so in most fits.

    Examples
    --------
    >>> from sk_ednn.images._interval import _factor
    >>> [round(_factor(n, 0.9), 2) for n in (2, 4, 8, 20, 39, 1000)]
    [9.05, 4.14, 2.76, 2.08, 1.85, 1.65]
    """
    # Student's t takes the requested share on average over fits: of those whose errors were small
    # by chance, much less is inside.
    on_average = stats.t.ppf(0.5 + confidence / 2, n) * np.sqrt(1 + 1 / n)
    outside = min(_OUTSIDE * (1 - confidence), 1.0)
    in_most = stats.norm.isf(outside / 2) * np.sqrt(n / stats.chi2.ppf(_UNLUCKY, n))
    return float(max(on_average, in_most))


def unit(predicted, typical) -> np.ndarray:
    """Return the unit of errors: the square root of the total, or of a least total."""
    return np.sqrt(np.maximum(np.abs(predicted) / typical, _LEAST_SHARE))
