"""Bags of instances: samples that are sets of rows of features, of any number each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from sklearn.utils import check_array

from ..exceptions import TilingError
from ._array_like import as_array_like
from ._fields import require_finite, require_numbers
from ._sources import is_read_in_pieces


@dataclass(frozen=True)
class Bags:
    """A checked batch of bags, packed one after the other.

    Attributes
    ----------
    values : ndarray of shape (n_instances, n_features)
    offsets : ndarray of int of shape (n_samples + 1,)
        Bag i has the rows from ``offsets[i]`` to ``offsets[i + 1]``; it may have none.
    feature_names : tuple of str, default=()
        Names of the columns of tables; empty for arrays.
    """

    values: np.ndarray
    offsets: np.ndarray
    feature_names: tuple[str, ...] = ()
    _chosen: dict = field(default_factory=dict, repr=False, compare=False)

    lazy = False
    fixed_width = False

    @property
    def n_samples(self) -> int:
        """Number of bags."""
        return len(self.offsets) - 1

    @property
    def dtype(self) -> np.dtype:
        """Type of the features."""
        return self.values.dtype

    @property
    def arrays(self) -> list[np.ndarray]:
        """The memory of the batch."""
        return [self.values]

    @property
    def sizes(self) -> np.ndarray:
        """Number of instances of each bag, shape (n_samples,), as floats."""
        return np.diff(self.offsets).astype(float)

    def take(self, indices) -> Bags:
        """Return the batch of the bags at `indices`, in that order."""
        indices = np.asarray(indices)
        sizes = np.diff(self.offsets)[indices]
        offsets = _offsets(sizes)
        rows = np.repeat(self.offsets[indices] - offsets[:-1], sizes) + np.arange(offsets[-1])
        return Bags(self.values[rows], offsets, self.feature_names)

    def chosen(self, column, kind) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows with `kind` in a column, and where each bag's begin among them.

        Returns
        -------
        rows : ndarray of int of shape (n_chosen,)
        offsets : ndarray of int of shape (n_samples + 1,)
        """
        key = column, kind
        if key not in self._chosen:
            rows = np.flatnonzero(self.values[:, column] == kind)
            self._chosen[key] = rows, np.searchsorted(rows, self.offsets)
        return self._chosen[key]

    def __getstate__(self):
        """Return the state without what can be recomputed."""
        return {**self.__dict__, "_chosen": {}}


def check_bags(X, *, caller="sk_ednn") -> Bags:
    """Check bags given by a user and pack them.

    Parameters
    ----------
    X : list of array-like of shape (n_instances, n_features), or one of shape \
            (n_samples, n_instances, n_features)
        Finite numbers. Bags may be empty, of shape ``(0, n_features)``. Tables, such as DataFrames,
        must have the same names of columns in the same order.
    caller : str or estimator
        Name of the caller, for messages.

    Raises
    ------
    ValueError, TilingError
        If `X` is empty, or a bag is not a table of finite numbers with the columns of the others.
    """
    if isinstance(X, Bags):
        return X
    X = as_array_like(X)
    if is_read_in_pieces(X) or (isinstance(X, (list, tuple)) and any(map(is_read_in_pieces, X))):
        raise TilingError(
            "Bags must be in memory, and these are read piece by piece. Read them first, as by "
            "X.compute() or X[...]."
        )
    is_array = hasattr(X, "__array__") and hasattr(X, "shape")
    if len(X.shape) == 2 if is_array else not isinstance(X, Sequence):
        what = f"an array of shape {X.shape}" if is_array else type(X).__name__
        raise TilingError(
            "X must be a list of bags, arrays of shape (n_instances, n_features) each; got "
            f"{what}. If all instances are in one table with a column for the sample of each, "
            "use BagTiling.bags(X, groups)."
        )
    if len(X) == 0:
        raise ValueError("Found array with 0 sample(s): expected at least one bag in the list.")
    bags = [_check_bag(bag, index, caller) for index, bag in enumerate(X)]
    widths = [bag.shape[1] for bag in bags]
    if len(set(widths)) > 1:
        other = next(index for index, width in enumerate(widths) if width != widths[0])
        raise TilingError(
            f"All bags must have the same features: X[0] has {widths[0]} column(s), X[{other}] "
            f"has {widths[other]}."
        )
    return Bags(np.concatenate(bags), _offsets([len(bag) for bag in bags]), _common_names(X))


def _check_bag(bag, index, caller) -> np.ndarray:
    name = f"X[{index}]"
    require_numbers(bag, name)
    try:
        ndim = np.ndim(bag)
    except ValueError:  # rows of unequal length
        ndim = None
    if ndim != 2:
        what = f"{ndim} dimension(s)" if ndim is not None else "rows of unequal length"
        raise TilingError(
            f"{name} must be an array of shape (n_instances, n_features), got {what}. A bag "
            "without instances has shape (0, n_features)."
        )
    values = check_array(
        bag, dtype="numeric", ensure_all_finite=False, ensure_min_samples=0,
        input_name=name, estimator=caller,
    )  # fmt: skip
    if values.dtype.kind not in "biuf":
        raise TilingError(f"{name} must be real numbers, got dtype {values.dtype}.")
    require_finite(values, name)
    return values


def _common_names(X) -> tuple[str, ...]:
    """Return the names of the columns of bags; raise if they differ."""
    first: tuple[int, tuple[str, ...]] | None = None
    for index, bag in enumerate(X):
        names = _names_of(bag)
        if not names:
            continue
        first = first or (index, names)
        if names != first[1]:
            raise TilingError(
                f"All bags must have the same columns in the same order: X[{first[0]}] has "
                f"{', '.join(first[1])}, X[{index}] has {', '.join(names)}."
            )
    return first[1] if first else ()


def _names_of(bag) -> tuple[str, ...]:
    # As in scikit-learn, labels that are no texts are no names.
    columns = getattr(bag, "columns", ())
    names = tuple(columns) if np.ndim(columns) == 1 else ()
    return names if all(isinstance(name, str) for name in names) else ()


def _offsets(sizes) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(sizes, dtype=np.intp)]).astype(np.intp)
