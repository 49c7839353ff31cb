"""Errors of an extensive quantity, per system and per site."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from sklearn.utils import check_consistent_length

from ._utils.masks import unmasked

__all__ = ["ExtensiveErrors", "extensive_errors"]


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
    y_true, y_pred = unmasked(y_true, "y_true", float), unmasked(y_pred, "y_pred", float)
    check_consistent_length(y_true, y_pred)
    if y_true.shape != y_pred.shape or y_true.ndim != 1:
        raise ValueError(
            "extensive_errors expects two arrays of shape (n_samples,), got "
            f"{y_true.shape} and {y_pred.shape}."
        )
    errors = (y_pred - y_true) / (1.0 if sizes is None else unmasked(sizes, "sizes", float))
    return ExtensiveErrors(
        median=float(np.median(np.abs(errors))),
        mean=float(np.mean(np.abs(errors))),
        rmse=float(np.sqrt(np.mean(errors**2))),
        bias=float(np.mean(errors)),
    )
