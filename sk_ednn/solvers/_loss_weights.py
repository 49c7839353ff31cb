"""Weights of samples by their last errors."""

from __future__ import annotations

import numpy as np
from sklearn.base import BaseEstimator

from .._utils.stored import stored


@stored("LossWeights")
class LossWeights(BaseEstimator):
    """Weight samples by a power of their last error, w ∝ error^δ, without letting few dominate.

    Errors are those per atom (or site), at least `floor` and at most `cap` times their median. The
    exponent is lowered until the effective sample, (Σw)² / (n Σw²), is `min_effective`. Weights
    have the mean 1 over the samples that are not flagged.

    Pass it as ``weighting`` to `EDNNRegressor` or `PotentialTrainer`. Networks then update the
    weights after each epoch, from the errors that samples had when they were last seen. Other
    models are fitted twice: the errors of the first fit, or of the fitted model with
    ``warm_start=True``, give the weights of the second.

    Parameters
    ----------
    exponent : float, default=1.0
        δ.
    floor : float, default=0.3
    cap : float, default=20.0
    min_effective : float, default=0.2

    Attributes
    ----------
    exponent_ : float
        The exponent of the last call.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ednn.solvers import LossWeights
    >>> weights = LossWeights(1.0)
    >>> weights([1.0, 1.0, 1.0, 3.0])
    array([0.66666667, 0.66666667, 0.66666667, 2.        ])

    A steep power of errors with a long tail is lowered:

    >>> errors = np.random.default_rng(0).lognormal(sigma=1.5, size=1000)
    >>> w = LossWeights(3.0)(errors)
    >>> round(float(w.sum() ** 2 / (w**2).sum() / 1000), 3)
    0.2

    A linear model that is fitted more closely where it was wrong:

    >>> from sklearn.linear_model import Ridge
    >>> from sk_ednn import EDNNRegressor, GridTiling
    >>> X = np.random.default_rng(0).uniform(-1, 1, size=(200, 8))
    >>> y = np.exp(2 * X).sum(axis=1)
    >>> tiling = GridTiling(focus=1, context=0)
    >>> errors = [
    ...     np.abs(EDNNRegressor(Ridge(), tiling, weighting=weighting).fit(X, y).predict(X) - y)
    ...     for weighting in ("total", LossWeights(1.0))
    ... ]
    >>> bool(errors[1].max() < errors[0].max())
    True
    """

    def __init__(self, exponent=1.0, *, floor=0.3, cap=20.0, min_effective=0.2):
        self.exponent = exponent
        self.floor = floor
        self.cap = cap
        self.min_effective = min_effective

    def __call__(self, errors, sizes=None, flagged=None):
        """Return the weights of samples, for ``sample_weight``.

        Parameters
        ----------
        errors : array-like of shape (n_samples,)
            Errors of totals; signs do not matter. NaN, where a sample has none yet, counts as the
            median.
        sizes : array-like of shape (n_samples,), default=None
            Atoms or sites of each sample. None where errors are per atom.
        flagged : array-like of bool of shape (n_samples,), default=None
            Samples whose labels are doubtful: their weight is 0.

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        if self.exponent < 0 or not 0 < self.min_effective <= 1:
            raise ValueError(
                "Expected exponent >= 0 and min_effective in (0, 1], got "
                f"{self.exponent} and {self.min_effective}."
            )
        errors = np.abs(np.asarray(errors, dtype=float))
        if np.isinf(errors).any():
            raise ValueError("Expected finite errors; flag samples without a sound label.")
        if sizes is not None:
            errors = errors / np.asarray(sizes, dtype=float)
        used = np.ones(len(errors), bool) if flagged is None else ~np.asarray(flagged, bool)
        weights = np.zeros(len(errors))
        if not used.any():
            raise ValueError("All samples are flagged: there is nothing to weigh.")
        finite = errors[used & np.isfinite(errors)]
        median = float(np.median(finite)) if len(finite) else 0.0
        if median == 0.0:
            weights[used] = 1.0
            self.exponent_ = 0.0
            return weights
        ratios = np.where(np.isfinite(errors), errors, median)[used] / median
        logs = np.log(np.clip(ratios, self.floor, self.cap))
        self.exponent_ = self._lowered(logs)
        powers = np.exp(self.exponent_ * logs)
        weights[used] = powers / powers.mean()
        return weights

    def _lowered(self, logs) -> float:
        if _effective(self.exponent, logs) >= self.min_effective:
            return float(self.exponent)
        low, high = 0.0, float(self.exponent)
        for _ in range(60):
            middle = (low + high) / 2
            if _effective(middle, logs) >= self.min_effective:
                low = middle
            else:
                high = middle
        return low


def _effective(exponent, logs) -> float:
    powers = np.exp(exponent * (logs - logs.max()))
    return float(powers.sum() ** 2 / (powers**2).sum() / len(powers))
