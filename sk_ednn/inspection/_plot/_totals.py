"""Base class of displays of predicted and true totals."""

from __future__ import annotations

import numpy as np

from ...fields._in_memory import as_array


class TotalsDisplay:
    """Base class of displays of predicted and true totals.

    Parameters
    ----------
    y_true, y_pred : ndarray of shape (n_samples,)
        Totals.
    sizes : ndarray of shape (n_samples,) or None, default=None
        Numbers of sites or atoms, or areas.
    groups : array-like of shape (n_samples,) or None, default=None
        Labels; each group has its own colour.
    """

    def __init__(self, y_true, y_pred, *, sizes=None, groups=None):
        self.y_true = y_true
        self.y_pred = y_pred
        self.sizes = sizes
        self.groups = groups

    @classmethod
    def from_estimator(cls, estimator, X, y, **options):
        """Predict totals and draw them.

        Parameters
        ----------
        estimator : fitted estimator
        X : samples to predict
        y : array-like of shape (n_samples,)
        **options : keywords of `from_predictions`

        Returns
        -------
        display : an instance of this class
        """
        return cls.from_predictions(y, estimator.predict(X), **options)

    @classmethod
    def from_predictions(cls, y_true, y_pred, *, sizes=None, groups=None, ax=None, **options):
        """Draw predicted totals.

        Parameters
        ----------
        y_true, y_pred : array-like of shape (n_samples,)
        sizes, groups : as for the class
        ax : matplotlib Axes, default=None
        **options : keywords of `plot`

        Returns
        -------
        display : an instance of this class

        Raises
        ------
        ValueError
            If there is not one total, size and group for each system, or a size is not positive.
        """
        y_true, y_pred, sizes = _checked(y_true=y_true, y_pred=y_pred, sizes=sizes)
        return cls(y_true, y_pred, sizes=sizes, groups=groups).plot(ax, **options)

    def plot(self, ax=None, **options):
        """Draw the figure."""
        raise NotImplementedError


def _checked(*, y_true, y_pred, sizes=None):
    """Return true and predicted totals, and sizes, as floats of shape (n_samples,).

    Raises
    ------
    ValueError
        If they have other shapes, or a size is not positive.
    """
    y_true, y_pred = as_array(y_true, "y_true", float), as_array(y_pred, "y_pred", float)
    if y_true.ndim != 1 or y_true.shape != y_pred.shape or len(y_true) == 0:
        raise ValueError(
            "Expected true and predicted totals of shape (n_samples,), got "
            f"{y_true.shape} and {y_pred.shape}. Draw outputs one at a time."
        )
    if sizes is None:
        return y_true, y_pred, None
    sizes = as_array(sizes, "sizes", float)
    if sizes.shape != y_true.shape or not (sizes > 0).all():
        raise ValueError(
            f"sizes must be positive, one for each of {len(y_true)} systems; got shape "
            f"{sizes.shape} with minimum {sizes.min(initial=np.inf)}."
        )
    return y_true, y_pred, sizes
