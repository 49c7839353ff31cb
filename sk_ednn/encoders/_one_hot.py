"""Labels: a channel for each."""

from __future__ import annotations

import numpy as np
from sklearn.utils._param_validation import StrOptions

from .._utils.pair_functions import of_labels
from .._utils.stored import stored
from ..fields._fields import require_finite, require_numbers
from ._base import AbstractFieldEncoder

# More different values than this are not labels.
_MOST = 256
_NAMED = 8


@stored("OneHotFields")
class OneHotFields(AbstractFieldEncoder):
    """Replace labels by one channel per label: 1 at sites with this label, 0 elsewhere.

    For values that are names rather than amounts: the states of a Potts model, phases of an alloy,
    classes of pixels. As a number, label 2 would be between 1 and 3, and twice as much as 1. It is
    followed by an `EDNNRegressor` whose tiling has ``channel_axis=-1``.

    Parameters
    ----------
    categories : "auto" or array-like of shape (n_categories,), default="auto"
        The labels, as numbers, in the order of the channels. "auto" for the labels in the fields of
        the fit, in ascending order.

    Attributes
    ----------
    categories_ : ndarray of shape (n_categories,)

    See Also
    --------
    AngleFields : For angles.
    sklearn.preprocessing.OneHotEncoder : The same for the columns of a table.

    Notes
    -----
    Beyond a boundary of zeros no channel is 1: there is no label. Totals have no derivative with
    respect to labels; the derivatives with respect to channels are the changes of a total, in first
    order, if a site had another label.

    Examples
    --------
    Energies of Potts spins are linear in products of two channels, and nothing of the kind in the
    labels:

    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import PolynomialFeatures
    >>> from sk_ednn import EDNNRegressor, GridTiling
    >>> from sk_ednn.datasets import make_potts
    >>> from sk_ednn.encoders import OneHotFields
    >>> X, y = make_potts(4, 400, (6, 6), random_state=0, return_X_y=True)
    >>> pairs = make_pipeline(PolynomialFeatures(2), Ridge(1e-3))
    >>> labels = EDNNRegressor(pairs, GridTiling(1, 1)).fit(X[:300], y[:300])
    >>> tiling = GridTiling(1, 1, channel_axis=-1)
    >>> one_hot = make_pipeline(OneHotFields(), EDNNRegressor(pairs, tiling)).fit(X[:300], y[:300])
    >>> bool(labels.score(X[300:], y[300:]) < 0.99 < 0.9999 < one_hot.score(X[300:], y[300:]))
    True
    """

    _parameter_constraints = {"categories": [StrOptions({"auto"}), "array-like"]}

    def __init__(self, categories="auto"):
        self.categories = categories

    def _learn(self, fields):
        self._validate_params()
        if not isinstance(self.categories, str):
            self.categories_ = _checked(self.categories)
            for stack in fields.stacks:
                if isinstance(stack.values, np.ndarray):
                    self._codes(stack.values)
            return
        if fields.lazy:
            raise ValueError(
                "categories='auto' reads all values, and these fields are read piece by piece: "
                "set the labels, such as OneHotFields(categories=[0, 1, 2])."
            )
        values = np.unique(np.concatenate([np.unique(stack.values) for stack in fields.stacks]))
        if len(values) > _MOST:
            raise ValueError(
                f"The fields have {len(values):,} different values, from {values[0]} to "
                f"{values[-1]}: labels are at most {_MOST}. Pass other numbers without an "
                "encoder, and angles with AngleFields."
            )
        self.categories_ = values

    def _channels(self, values, place=None):
        codes = self._codes(values, place)
        return (codes[..., None] == np.arange(len(self.categories_))).astype(np.int8)

    def _sums_of_values(self, counts):
        return counts @ self.categories_.astype(np.float64)

    def _pair_basis(self):
        return self.categories_, of_labels(self.categories_)

    def _codes(self, values, place=None):
        """Return which category each value is."""
        order = np.argsort(self.categories_, kind="stable")
        categories = self.categories_[order]
        index = np.minimum(np.searchsorted(categories, values), len(categories) - 1)
        wrong = categories[index] != values
        if wrong.any():
            first = np.argwhere(wrong)[0]
            first = first if place is None else first + np.asarray(place)
            unknown = np.unique(values[wrong])
            raise ValueError(
                f"The fields contain {_listed(unknown)}, not among the categories "
                f"{_listed(self.categories_)}, at {np.sum(wrong):,} site(s), the first at "
                f"{first.tolist()}. Fit to fields that contain every label, or list them all "
                "in OneHotFields(categories=...)."
            )
        return order[index]

    @property
    def _known_value(self):
        return self.categories_[0]

    def _try_stored(self):
        if not isinstance(self.categories_, np.ndarray):
            raise TypeError("expected an array of categories")
        _checked(self.categories_)
        super()._try_stored()

    @property
    def _n_channels(self):
        return len(self.categories_)

    def _dtype_of(self, dtype):
        return np.dtype(np.int8)

    def _described(self):
        return f"one-hot {self.categories_.tolist()}"


def _checked(categories) -> np.ndarray:
    values = np.array(categories)
    require_numbers(values, "categories")
    if values.ndim != 1 or values.dtype.kind not in "biuf" or not 1 <= len(values) <= _MOST:
        raise ValueError(
            f"categories must be from 1 to {_MOST} numbers, the labels; got shape {values.shape} "
            f"of type {values.dtype}."
        )
    require_finite(values, "categories")
    if len(np.unique(values)) < len(values):
        raise ValueError(f"categories must differ from each other, got {values.tolist()}.")
    return values


def _listed(values) -> str:
    named = ", ".join(str(value) for value in values[:_NAMED].tolist())
    return named if len(values) <= _NAMED else f"{named} and {len(values) - _NAMED} more"
