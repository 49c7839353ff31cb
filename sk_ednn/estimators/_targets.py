"""Check totals, weights and groups: one for each sample."""

from __future__ import annotations

from numbers import Real

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils import check_array

from ..fields._fields import require_finite, require_numbers
from ..fields._in_memory import as_groups, in_memory
from ._data_warnings import warn_of_means, warn_of_standardised
from ._overflow import require_moderate


def check_targets(caller, fields, y, sample_weight, groups):
    """Check totals, weights and groups; return totals of shape (n_samples, n_outputs)."""
    y, sample_weight, groups = require_targets(caller, y, sample_weight, groups)
    y = np.asarray(y, dtype=np.float64).reshape(len(y), -1)
    check_length("y", y, fields)
    if isinstance(sample_weight, Real):
        sample_weight = np.full(fields.n_samples, float(sample_weight))
    if sample_weight is not None:
        check_length("sample_weight", sample_weight, fields)
    if groups is not None:
        check_length("groups", groups, fields)
    warn_of_standardised(y)
    warn_of_means(y, fields)
    return y, sample_weight, groups


def require_targets(caller, y, sample_weight=None, groups=None):
    """Raise unless all totals, weights and groups are known; return them as arrays.

    Whoever draws samples checks all of them first: those that are not drawn may be bad, too.

    Parameters
    ----------
    caller : estimator
        Named in messages.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
    sample_weight : array-like of shape (n_samples,) or number, default=None
    groups : array-like of shape (n_samples,), default=None

    Returns
    -------
    y : ndarray
    sample_weight : ndarray, number or None
    groups : ndarray or None
    """
    name = type(caller).__name__
    if y is None:
        raise ValueError(
            f"This {name} estimator requires y to be passed, but the target y is None."
        )
    y = in_memory(y, "y")  # check_array would drop masks and read missing chunks as zeros
    require_numbers(y, "y")
    if isinstance(y, Real) or getattr(y, "ndim", 1) == 0:
        raise ValueError(
            "y must contain a total for each sample, shape (n_samples,); got the number "
            f"{y}. For a single field pass X[None] and [y]."
        )
    y = check_array(
        y, ensure_2d=False, allow_nd=True, dtype="numeric", ensure_all_finite=False,
        input_name="y", estimator=caller,
    )  # fmt: skip
    if y.ndim > 2:
        raise ValueError(
            "y must contain a total, or a row of totals, for each sample: shape (n_samples,) or "
            f"(n_samples, n_outputs); got shape {y.shape}. Sum values per site over each field."
        )
    require_finite(y, "y")
    require_moderate(y, "y")
    if sample_weight is not None and not isinstance(sample_weight, Real):
        sample_weight = in_memory(sample_weight, "sample_weight")
        require_numbers(sample_weight, "sample_weight")
        sample_weight = check_array(
            sample_weight,
            ensure_2d=False,
            dtype=np.float64,
            input_name="sample_weight",
        )
    weights = np.atleast_1d(np.asarray(0.0 if sample_weight is None else sample_weight, float))
    if sample_weight is not None and (
        weights.ndim != 1 or not (weights >= 0).all() or not weights.any()
    ):
        raise ValueError(
            "Sample weights must be 1D array or scalar, not negative and not all zero; got "
            f"shape {np.shape(sample_weight)} with minimum {weights.min()}. To ignore a sample "
            "give it weight 0."
        )
    return y, sample_weight, None if groups is None else as_groups(groups)


def check_length(name, values, fields):
    """Raise ValueError unless there is one value for each sample."""
    if not hasattr(values, "__len__"):
        raise ValueError(
            f"{name} must contain one entry for each of the {fields.n_samples} samples, "
            f"got {values!r}."
        )
    if len(values) != fields.n_samples:
        single = " Pass a single field as X[None]." if len(values) == 1 else ""
        raise ValueError(
            "Found input variables with inconsistent numbers of samples: "
            f"X has {fields.n_samples}, {name} has {len(values)}.{single}"
        )


def per_site(counts, sample_weight):
    """Return weights for squared errors per site; they are 1 if all sizes are equal."""
    weights = (counts.mean() / counts) ** 2
    return weights if sample_weight is None else weights * sample_weight


class ScoredByTotals(RegressorMixin):
    """Mixin with a `score` that rejects masked totals and missing chunks.

    scikit-learn's metrics would use the values under the mask and the fill value.
    """

    def score(self, X, y, sample_weight=None):
        """Return the coefficient of determination, R², of the predicted totals.

        Parameters
        ----------
        X : as for `predict`
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        float
        """
        y = in_memory(y, "y")
        require_numbers(y, "y")
        if sample_weight is not None:
            sample_weight = in_memory(sample_weight, "sample_weight")
            require_numbers(sample_weight, "sample_weight")
        return super().score(X, y, sample_weight)
