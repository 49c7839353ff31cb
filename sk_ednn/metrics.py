"""Errors of an extensive quantity, per system and per site, and a verdict on them."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np
from sklearn.utils import check_consistent_length

from .fields._sources import as_array

__all__ = ["ExtensiveErrors", "Verdict", "extensive_errors", "judge"]

# Errors over those of a constant from which on a model is worth little, and hardly anything.
_HALF = 0.5
_HARDLY = 0.9
# Below this, relative to their spread, errors are rounding: their digits differ by processor.
_ROUNDING = 1e-6


@dataclass(frozen=True)
class ExtensiveErrors:
    """Summary of ``predicted - true``, in the units of y (per site, where sizes were given).

    Attributes
    ----------
    median : float
        Median absolute error. What Mills et al. call MAE of their Ising models.
    mean : float
        Mean absolute error.
    rmse : float
        Root mean square error.
    bias : float
        Mean error. It grows with the size of a system, where random errors of its parts cancel.
    """

    median: float
    mean: float
    rmse: float
    bias: float

    def as_dict(self) -> dict[str, float]:
        """Return the numbers by name."""
        return asdict(self)


def extensive_errors(y_true, y_pred, sizes=None) -> ExtensiveErrors:
    """Summarise the errors of totals.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_samples,)
        Totals.
    sizes : array-like of shape (n_samples,) or float, default=None
        Divide each error by this first: the number of sites, atoms, or an area.

    Returns
    -------
    ExtensiveErrors

    Examples
    --------
    >>> from sk_ednn.metrics import extensive_errors
    >>> extensive_errors([1.0, 2.0, 3.0], [1.5, 2.0, 5.5])
    ExtensiveErrors(median=0.5, mean=1.0, rmse=1.4719601443879744, bias=1.0)
    """
    y_true, y_pred = as_array(y_true, "y_true", float), as_array(y_pred, "y_pred", float)
    check_consistent_length(y_true, y_pred)
    if y_true.shape != y_pred.shape or y_true.ndim != 1:
        raise ValueError(
            "extensive_errors expects two arrays of shape (n_samples,), got "
            f"{y_true.shape} and {y_pred.shape}."
        )
    errors = (y_pred - y_true) / (1.0 if sizes is None else as_array(sizes, "sizes", float))
    return ExtensiveErrors(
        median=float(np.median(np.abs(errors))),
        mean=float(np.mean(np.abs(errors))),
        rmse=float(np.sqrt(np.mean(errors**2))),
        bias=float(np.mean(errors)),
    )


@dataclass(frozen=True)
class Verdict:
    """How much a model knows, compared with what anyone could say without it.

    Attributes
    ----------
    n_systems : int
    r2 : float
        The share of the variance of the totals that is explained; NaN where they do not vary.
    over_spread : float
        Root mean square error over the standard deviation of the totals, which is the error of
        predicting their mean; NaN where they do not vary.
    over_size : float or None
        The same over the error of the best constant times the size of a system; None where sizes
        were not given or are all equal, and that is the mean.
    held_back : bool
        Whether the model had not seen the systems.
    """

    n_systems: int
    r2: float
    over_spread: float
    over_size: float | None = None
    held_back: bool = True

    @property
    def doubts(self) -> str:
        """What is wrong, in plain words; empty where the model is at least twice as good."""
        found = []
        if math.isnan(self.over_spread):
            why = "there is one system" if self.n_systems < 2 else "all of their totals are equal"
            found.append(f"{why[0].upper()}{why[1:]}, so that nothing can be said of the model.")
        else:
            references = [(self.over_spread, "predicting the mean of the totals")]
            if self.over_size is not None:
                references.append((self.over_size, "a constant times the number of sites"))
            error, reference = max(references)
            if error >= _HALF:
                found.append(f"The model is {_compared(error)} than {reference}.")
        if not self.held_back:
            found.append(
                "The model was fitted to these systems: how well it predicts others was not "
                "measured, as none were held back."
            )
        return " ".join(found)

    @property
    def words(self) -> str:
        """The verdict in one paragraph."""
        said = f"on {self.n_systems:,} systems {'held back' if self.held_back else 'fitted to'}"
        if not math.isnan(self.over_spread):
            said += f": R² {self.r2:.4g}, errors {_share(self.over_spread)} of the spread of totals"
            if self.over_size is not None and math.isfinite(self.over_size):
                said += f", and {_share(self.over_size)} of those of a constant times the sites"
        return f"{said}. {self.doubts}".rstrip()

    def as_dict(self) -> dict[str, float | int | bool | str | None]:
        """Return the numbers by name, and the words; None for what is not defined."""
        values = asdict(self)
        for key in ("r2", "over_spread", "over_size"):
            if values[key] is not None and not math.isfinite(values[key]):
                values[key] = None
        return {**values, "words": self.words}


def _share(error) -> str:
    return f"{error:.2g}" if error >= _ROUNDING else f"less than {_ROUNDING:f}"


def _compared(error) -> str:
    if error >= 1.0:
        return "no better"
    return "hardly better" if error >= _HARDLY else "better by less than a factor of two"


def judge(y_true, y_pred, sizes=None, *, held_back=True) -> Verdict:
    """Compare the errors of totals with those of a constant.

    The constants are the best there are for these very systems: the mean of their totals and,
    where systems differ in size, the total per site that fits best. What is no better than those
    has learned nothing, however small its errors on other systems are.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_systems,)
        Totals.
    sizes : array-like of shape (n_systems,), default=None
        The number of sites of each system.
    held_back : bool, default=True
        Whether the model has not seen these systems.

    Returns
    -------
    Verdict

    Raises
    ------
    ValueError
        Where totals are not finite, or not one for each system.

    Examples
    --------
    A model that says the mean, and one that says more:

    >>> from sk_ednn.metrics import judge
    >>> judge([3.0, 5.0, 7.0, 9.0], [6.0, 6.1, 5.9, 6.0]).doubts
    'The model is no better than predicting the mean of the totals.'
    >>> print(judge([3.0, 5.0, 7.0, 9.0], [3.1, 5.2, 6.9, 8.8]).words)
    on 4 systems held back: R² 0.995, errors 0.071 of the spread of totals.

    Where systems differ in size, much of R² is that of their sizes:

    >>> verdict = judge([9.0, 21.0, 39.0, 81.0], [11.0, 21.0, 39.0, 80.0], [1, 2, 4, 8])
    >>> print(verdict.words)
    on 4 systems held back: R² 0.9983, errors 0.041 of the spread of totals, and 1.2 of those of a
    constant times the sites. The model is no better than a constant times the number of sites.
    """
    y_true, y_pred = as_array(y_true, "y_true", float), as_array(y_pred, "y_pred", float)
    error = extensive_errors(y_true, y_pred).rmse
    if not math.isfinite(error):
        raise ValueError("judge expects finite totals, got NaN or infinity among them.")
    spread = float(y_true.std())
    # The mean of equal numbers may differ from them by a rounding error.
    if spread <= 1e-14 * float(np.abs(y_true).max()):
        return Verdict(len(y_true), math.nan, math.nan, None, held_back)
    over_size = None
    if sizes is not None and np.ptp(sizes := as_array(sizes, "sizes", float)) > 0:
        left = y_true - sizes * (sizes @ y_true / (sizes @ sizes))
        of_size = float(np.sqrt(np.mean(left**2)))
        # Totals that the sizes alone say need no model, and none is better.
        over_size = error / of_size if of_size > 1e-14 * spread else math.inf
    over_spread = error / spread
    return Verdict(len(y_true), 1.0 - over_spread**2, over_spread, over_size, held_back)
