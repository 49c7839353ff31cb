"""Errors of extensive quantities, per system and per site, and comparisons with a constant."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np
from sklearn.utils import check_consistent_length

from .fields._fields import require_numbers
from .fields._in_memory import as_array

__all__ = ["ExtensiveErrors", "Verdict", "extensive_errors", "judge"]

# Errors relative to those of a constant, above which a model is called poor or hardly better.
_POOR = 0.5
_HARDLY_BETTER = 0.9
# Totals that are exact, as computed energies are, are learned to less than the first share of their
# spread; from the second on, something is missing in any case. Between them it may be noise.
EXACT, SIZEABLE = 0.01, 0.2
# The least size that errors are divided by.
_TINY = float(np.finfo(float).tiny)
# Errors below this, relative to the spread of totals, may be round-off and are not printed.
_ROUND_OFF = 1e-6
# Errors of systems of the fit, relative to those of others, from which on both are alike; far
# smaller ones show a model that has more unknowns than the systems determine.
_ALIKE = 0.5
# Sites of more different values than this have numbers, which are not encoded one by one.
_FEW_VALUES = 16


@dataclass(frozen=True)
class ExtensiveErrors:
    """Summary of ``predicted - true``, in units of y, or per site if sizes were passed.

    Attributes
    ----------
    median : float
        Median absolute error, the "MAE" of the Ising models of Mills et al.
    mean : float
        Mean absolute error.
    rmse : float
        Root mean square error.
    bias : float
        Mean error. It grows in proportion to the size of a system, while random errors cancel.
    """

    median: float
    mean: float
    rmse: float
    bias: float

    def as_dict(self) -> dict[str, float]:
        """Return the numbers by name."""
        return asdict(self)

    def __str__(self) -> str:
        """Return the numbers in words."""
        numbers = ", ".join(f"{name} {value:.4g}" for name, value in asdict(self).items())
        return f"errors: {numbers}"


def extensive_errors(y_true, y_pred, sizes=None) -> ExtensiveErrors:
    """Summarise the errors of totals.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_samples,)
        Totals.
    sizes : array-like of shape (n_samples,) or float, default=None
        Divisors of the errors, such as numbers of sites or atoms, or areas.

    Returns
    -------
    ExtensiveErrors

    Examples
    --------
    >>> from sk_ednn.metrics import extensive_errors
    >>> extensive_errors([1.0, 2.0, 3.0], [1.5, 2.0, 5.5])
    ExtensiveErrors(median=0.5, mean=1.0, rmse=1.4719601443879744, bias=1.0)
    """
    y_true, y_pred = _numbers(y_true, "y_true"), _numbers(y_pred, "y_pred")
    check_consistent_length(y_true, y_pred)
    if y_true.shape != y_pred.shape or y_true.ndim != 1:
        raise ValueError(
            "extensive_errors expects two arrays of shape (n_samples,), got "
            f"{y_true.shape} and {y_pred.shape}."
        )
    if not len(y_true):
        raise ValueError("extensive_errors expects at least one system, got none.")
    errors = (y_pred - y_true) / (1.0 if sizes is None else _sizes(sizes, len(y_true), _TINY))
    return ExtensiveErrors(
        median=float(np.median(np.abs(errors))),
        mean=float(np.mean(np.abs(errors))),
        rmse=float(np.sqrt(np.mean(errors**2))),
        bias=float(np.mean(errors)),
    )


def _sizes(sizes, n_systems, least=0.0) -> np.ndarray:
    """Return a size for each system, or for all; a bag without instances has size 0."""
    sizes = _numbers(sizes, "sizes")
    if sizes.ndim == 0:
        sizes = np.full(n_systems, sizes)
    if sizes.shape != (n_systems,) or not ((sizes >= least) & np.isfinite(sizes)).all():
        raise ValueError(
            f"sizes must be {n_systems} numbers {'above' if least else 'not below'} 0, one for "
            f"each system, or one for all; got shape {sizes.shape}"
            + (f" with minimum {sizes.min()}." if sizes.size else ".")
        )
    return sizes


def _numbers(values, name) -> np.ndarray:
    require_numbers(values, name)
    return as_array(values, name, float)


@dataclass(frozen=True)
class Verdict:
    """Comparison of a model's errors with those of constant predictions.

    Attributes
    ----------
    n_systems : int
    r2 : float
        Coefficient of determination; NaN if the totals do not vary.
    over_spread : float
        Root mean square error divided by the standard deviation of the totals, which is the error
        of predicting their mean; NaN if the totals do not vary.
    over_size : float or None
        Root mean square error divided by that of the best constant times the size of a system;
        None without sizes, or if all are equal.
    held_back : bool
        Whether the systems were held back from the fit.
    fit_share : float or None
        Root mean square error of the systems of the fit, divided by that of these systems; None if
        those of the fit were not passed.
    n_values : int or None
        Number of different values of a site; None without fields.
    """

    n_systems: int
    r2: float
    over_spread: float
    over_size: float | None = None
    held_back: bool = True
    fit_share: float | None = None
    n_values: int | None = None

    @property
    def doubts(self) -> str:
        """Warnings in plain words; empty if the model is at least twice as good as a constant."""
        sentences = []
        if math.isnan(self.over_spread):
            reason = "There is one system" if self.n_systems < 2 else "All totals are equal"
            sentences.append(f"{reason}, so the model cannot be compared with a constant.")
        else:
            references = [(self.over_spread, "predicting the mean of the totals")]
            if self.over_size is not None:
                references.append((self.over_size, "a constant times the size of the system"))
            error, reference = max(references)
            if error >= _POOR:
                sentences.append(f"The model is {compared(error)} than {reference}.")
        if not self.held_back:
            sentences.append(
                "The model was fitted to these systems. Errors on other systems are unknown, "
                "since none were held back."
            )
        return " ".join(sentences)

    @property
    def advice(self) -> str:
        """What the error says of exact totals; empty if it is small or systems were fitted to."""
        if not self.held_back or not self.over_spread >= EXACT:
            return ""
        few = (
            "the model has more unknowns than the systems of the fit determine: add systems, "
            "symmetries of the lattice (SymmetricFeatures), or try a simpler tile model"
        )
        if self.fit_share is not None and self.fit_share < _ALIKE:
            share = f"{self.fit_share:.2g}" if self.fit_share >= EXACT else f"less than {EXACT:g}"
            return (
                f"Errors of the systems of the fit are {share} of these, so {few}.{self._encoding}"
            )
        if self.over_spread >= SIZEABLE:
            return (
                "If the totals vary more than their noise, a term is missing in the model."
                f"{self._encoding}"
            )
        causes = ["noise of the totals", "a term that is missing in the model"]
        if self.fit_share is None:
            causes.insert(1, "too few systems for the unknowns of the model")
        return (
            "Exact totals of local interactions are usually learned to less than "
            f"{EXACT:g} of their spread: this is {', '.join(causes[:-1])}, or {causes[-1]}."
            f"{self._encoding}"
        )

    @property
    def _encoding(self) -> str:
        if self.n_values is None or not 2 < self.n_values <= _FEW_VALUES:
            return ""
        return (
            f" Sites have {self.n_values} values: if the model takes them as numbers, try a "
            "channel for each value (OneHotFields)."
        )

    @property
    def words(self) -> str:
        """All numbers and `doubts`, as one paragraph."""
        text = f"on {self.n_systems:,} systems {'held back' if self.held_back else 'fitted to'}"
        if not math.isnan(self.over_spread):
            text += (
                f": R² {self.r2:.4g}, RMSE {as_ratio(self.over_spread)} times the spread of totals"
            )
            if self.over_size is not None and math.isfinite(self.over_size):
                text += f", {as_ratio(self.over_size)} times the RMSE of a constant times the size"
        return f"{text}. {self.doubts}".rstrip()

    def __str__(self) -> str:
        """Return `words` and `advice`."""
        return f"{self.words} {self.advice}".rstrip()

    def as_dict(self) -> dict[str, float | int | bool | str | None]:
        """Return the numbers and `words` by name; numbers that are not finite are None."""
        values = asdict(self)
        for key in ("r2", "over_spread", "over_size"):
            if values[key] is not None and not math.isfinite(values[key]):
                values[key] = None
        for key in ("fit_share", "n_values"):
            if values[key] is None:
                del values[key]
        return {**values, "words": self.words}


def as_ratio(error) -> str:
    """Return an error relative to that of a constant, without the digits of round-off."""
    return f"{error:.2g}" if error >= _ROUND_OFF else f"less than {_ROUND_OFF:f}"


def compared(error) -> str:
    """Return how much better than a constant a model with such a relative error is."""
    if error >= 1.0:
        return "no better"
    if error >= _HARDLY_BETTER:
        return "hardly better"
    return "better by less than a factor of two"


def judge(y_true, y_pred, sizes=None, *, held_back=True, fitted=None, fields=None) -> Verdict:
    """Compare the errors of totals with those of constant predictions.

    The constants are the best ones for these systems: the mean of their totals and, if systems
    differ in size, the least-squares total per unit of size. A model that is no better than these
    has learned nothing about these systems.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_systems,)
        Totals.
    sizes : array-like of shape (n_systems,), default=None
        Number of sites, instances or atoms of each system.
    held_back : bool, default=True
        Whether these systems were held back from the fit.
    fitted : tuple of two array-like of shape (n_fitted,), default=None
        True and predicted totals of the systems of the fit. Where their errors are far smaller,
        the systems are too few for the unknowns of the model.
    fields : array-like of shape (n_systems, *grid), or list of fields, default=None
        Fields of numbers without channels, whose different values are counted: if they are few,
        the advice names the encoding for them.

    Returns
    -------
    Verdict

    Raises
    ------
    ValueError
        If totals are not finite, or not one for each system.

    Examples
    --------
    A model that predicts the mean, and a good one:

    >>> from sk_ednn.metrics import judge
    >>> judge([3.0, 5.0, 7.0, 9.0], [6.0, 6.1, 5.9, 6.0]).doubts
    'The model is no better than predicting the mean of the totals.'
    >>> print(judge([3.0, 5.0, 7.0, 9.0], [3.1, 5.2, 6.9, 8.8]))
    on 4 systems held back: R² 0.995, RMSE 0.071 times the spread of totals. Exact totals of local
    interactions are usually learned to less than 0.01 of their spread: this is noise of the totals,
    too few systems for the unknowns of the model, or a term that is missing in the model.

    With the totals of the systems of the fit, it is known which of them:

    >>> fitted = [2.0, 4.0, 8.0], [2.0, 4.0, 8.0]
    >>> print(judge([3.0, 5.0, 7.0, 9.0], [3.1, 5.2, 6.9, 8.8], fitted=fitted).advice)
    Errors of the systems of the fit are less than 0.01 of these, so the model has more unknowns
    than the systems of the fit determine: add systems, symmetries of the lattice
    (SymmetricFeatures), or try a simpler tile model.

    If systems differ in size, their sizes alone explain much of the variance:

    >>> verdict = judge([9.0, 21.0, 39.0, 81.0], [11.0, 21.0, 39.0, 80.0], [1, 2, 4, 8])
    >>> print(verdict.words)
    on 4 systems held back: R² 0.9983, RMSE 0.041 times the spread of totals, 1.2 times the RMSE of
    a constant times the size. The model is no better than a constant times the size of the system.
    """
    y_true, y_pred = _numbers(y_true, "y_true"), _numbers(y_pred, "y_pred")
    error = extensive_errors(y_true, y_pred).rmse
    if not math.isfinite(error):
        raise ValueError(
            "judge expects finite totals, got NaN or infinity. Leave these systems out."
        )
    spread = float(y_true.std())
    # The mean of equal numbers may differ from them by round-off.
    if spread <= 1e-14 * float(np.abs(y_true).max()):
        return Verdict(len(y_true), math.nan, math.nan, None, held_back)
    over_size = None
    if sizes is not None and np.ptp(sizes := _sizes(sizes, len(y_true))) > 0:
        residuals = y_true - sizes * (sizes @ y_true / (sizes @ sizes))
        reference = float(np.sqrt(np.mean(residuals**2)))
        # No model is better if sizes explain the totals exactly.
        over_size = error / reference if reference > 1e-14 * spread else math.inf
    over_spread = error / spread
    fit_share = None
    if fitted is not None:
        fit_error = extensive_errors(*fitted).rmse
        fit_share = fit_error / error if error > 0 else math.nan
    n_values = None
    if fields is not None:
        n_values = len(np.unique(np.concatenate([np.unique(field) for field in fields])))
    return Verdict(
        len(y_true), 1.0 - over_spread**2, over_spread, over_size, held_back, fit_share, n_values
    )
