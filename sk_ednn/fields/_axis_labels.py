"""Labels of the axes of fields: models compare those of later fields with those of the fit.

numpy has no names of axes, so a transposed array of xarray, or one whose coordinates run the other
way, is another field without a word. So is a table of pandas with its columns in another order;
scikit-learn compares columns only if all their names are texts.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .._utils.optional import is_from
from .._utils.stacklevel import outside_package
from ..exceptions import DataWarning, TilingError
from ._units import keep_unit, unit_of_fields, warn_of_unit

# Channels have names, sites have coordinates. More names than this are of no channels.
_MAX_NAMES = 1000
# Names of the axes of tables, which have none of their own.
_ROWS, _COLUMNS = "rows", "columns"
# Of names in a message.
_SHOWN = 12


@dataclass(frozen=True)
class _Axis:
    """An axis with a name.

    Attributes
    ----------
    name : str
    direction : int
        1 if the coordinates increase, -1 if they decrease, 0 if neither is known.
    names : tuple of str
        Coordinates that are texts, such as names of channels.
    """

    name: str
    direction: int = 0
    names: tuple[str, ...] = ()


def axis_labels(X) -> list | None:
    """Return what labelled fields say about their axes, in a form that model files contain.

    Parameters
    ----------
    X : object
        As users pass fields.

    Returns
    -------
    list of [name, direction, names] or None
        One for each axis: of the samples and of the fields of an array, of the fields of a list.
        None for anything but arrays of xarray, and tables and rows of pandas.

    Raises
    ------
    TilingError
        If the fields of a list contradict each other.
    """
    first = _axes_of(X) if not _is_row(X) else None  # a Series may contain whole fields
    if first is not None:
        return _plain(first)
    if not isinstance(X, (list, tuple)):
        return None
    labelled = [(k, axes) for k, axes in enumerate(map(_axes_of, X)) if axes is not None]
    if not labelled:
        return None
    start, axes = labelled[0]
    for k, other in labelled[1:]:
        difference = _difference(axes, other)
        if difference is not None:
            raise TilingError(f"{difference[0]} in X[{start}], but {difference[1]} in X[{k}]. "
                              f"{difference[2]}")  # fmt: skip
    return _plain(axes)


def keep_labels_and_unit(estimator, labels, X) -> None:
    """Set or remove ``axis_labels_`` and ``field_unit_`` of a fitted estimator.

    Parameters
    ----------
    estimator : fitted estimator
    labels : list or None
        Result of `axis_labels` for `X`, from before the fit.
    X : object
        As users pass fields.
    """
    keep_unit(estimator, unit_of_fields(X))
    if labels is None:
        vars(estimator).pop("axis_labels_", None)
    else:
        estimator.axis_labels_ = labels


def compare_labels_and_unit(estimator, X) -> None:
    """Compare axes and unit of fields with those of the fit.

    Parameters
    ----------
    estimator : fitted estimator
        With ``axis_labels_`` if it was fitted to labelled fields, ``field_unit_`` if to fields with
        a unit.
    X : object
        As users pass fields.

    Raises
    ------
    TilingError
        If the axes are those of the fit in another order.

    Warns
    -----
    DataWarning
        If the unit is another one.
    """
    warn_of_unit(estimator, unit_of_fields(X))
    fitted = getattr(estimator, "axis_labels_", None)
    if fitted is None or (hasattr(estimator, "feature_names_in_") and _has_names(X)):
        return  # which the estimator compares, names that are new included
    given = axis_labels(X)
    if given is None:
        return
    before = [_Axis(name, direction, tuple(names)) for name, direction, names in fitted]
    now = [_Axis(name, direction, tuple(names)) for name, direction, names in given]
    # Arrays have an axis of samples, the fields of a list have none.
    if abs(len(before) - len(now)) == 1:
        shared = min(len(before), len(now))
        before, now = before[-shared:], now[-shared:]
    difference = _difference(before, now)
    if difference is not None:
        raise TilingError(
            f"{difference[0]} in the fields of the fit, but {difference[1]} in X. {difference[2]}"
        )


def warn_of_order(X, **others) -> None:
    """Warn of totals, weights or groups whose labels are those of the samples in another order.

    They are matched by position, as in scikit-learn.

    Parameters
    ----------
    X : object
        As users pass fields.
    **others : object
        By name.
    """
    for name, values in others.items():
        samples, own = _sample_labels(X, values)
        if samples is None or own is None or len(samples) != len(own):
            continue
        if samples.equals(own) or not samples.is_unique or not own.is_unique:
            continue
        if own.isin(samples).all():
            warnings.warn(
                f"{name} has the labels of X in another order, but samples are matched by their "
                f"position. If the labels are right, sort {name} as X: {name} = "
                f"{name}.reindex(...) of pandas or xarray; if not, pass {name}.to_numpy().",
                DataWarning,
                stacklevel=outside_package(),
            )


def _sample_labels(X, values) -> tuple[Any, Any]:
    """Return the labels of samples of two objects, None where they have none to compare."""
    if is_from(X, "pandas") and is_from(values, "pandas"):
        return getattr(X, "index", None), getattr(values, "index", None)
    if is_from(X, "xarray") and is_from(values, "xarray") and X.dims and values.dims:
        name = X.dims[0]
        if values.dims[0] == name:
            return getattr(X, "indexes", {}).get(name), getattr(values, "indexes", {}).get(name)
    return None, None


def _plain(axes) -> list:
    return [[axis.name, axis.direction, list(axis.names)] for axis in axes]


def _axes_of(x) -> list[_Axis] | None:
    if is_from(x, "pandas"):
        if _is_row(x):
            return [_of_columns(x.index)]
        columns = getattr(x, "columns", None)
        return None if columns is None else [_Axis(_ROWS), _of_columns(columns)]
    if not is_from(x, "xarray") or not hasattr(x, "dims"):
        return None
    indexes = getattr(x, "indexes", {})  # a Variable has none
    return [_axis(str(name), indexes.get(name)) for name in x.dims]


def _has_names(X) -> bool:
    """Return True for a table, or a list of them, whose columns have texts as names."""
    tables = X if isinstance(X, (list, tuple)) else [X]
    return all(
        is_from(table, "pandas")
        and hasattr(table, "columns")
        and all(isinstance(name, str) for name in table.columns)
        for table in tables
    )


def _is_row(x) -> bool:
    """Return True for a Series, which as an item of a list is a row of a table."""
    return is_from(x, "pandas") and hasattr(x, "index") and not hasattr(x, "columns")


def _of_columns(index) -> _Axis:
    """Return the axis of the columns of a table; names that occur twice say nothing."""
    if len(index) > _MAX_NAMES or not index.is_unique:
        return _axis(_COLUMNS, index)
    return _Axis(_COLUMNS, names=tuple(map(str, index)))


def _axis(name, index) -> _Axis:
    if index is None or len(index) < 2 or not hasattr(index, "is_monotonic_increasing"):
        return _Axis(name)
    if len(index) <= _MAX_NAMES and all(isinstance(label, str) for label in index):
        return _Axis(name, names=tuple(map(str, index)))
    if getattr(index.dtype, "kind", "O") not in "iufmM" or not index.is_unique:
        return _Axis(name)
    return _Axis(name, int(index.is_monotonic_increasing) - int(index.is_monotonic_decreasing))


def _difference(before: Sequence[_Axis], now: Sequence[_Axis]) -> tuple[str, str, str] | None:
    """Return how axes differ: what they were, what they are, and the remedy."""
    names, others = [axis.name for axis in before], [axis.name for axis in now]
    if names != others:
        if sorted(names) != sorted(others):
            return None  # other names may mean the same
        order = ", ".join(map(repr, names))
        return (
            f"The axes are {', '.join(names)}", ", ".join(others), f"Use X.transpose({order})."
        )  # fmt: skip
    for axis, other in zip(before, now, strict=True):
        if axis.direction * other.direction == -1:
            ways = {1: "increase", -1: "decrease"}
            return (
                f"The coordinates along {axis.name} {ways[axis.direction]}",
                f"they {ways[other.direction]}",
                f"Use X.sortby({axis.name!r}, ascending={axis.direction == 1}).",
            )
        if axis.names != other.names and sorted(axis.names) == sorted(other.names):
            remedy = f"Use X.sel({axis.name}={list(axis.names)})."
            if axis.name == _COLUMNS:
                remedy = "Use the columns in that order, X[columns]."
            return (
                f"The entries along {axis.name} are {_listed(axis.names)}",
                _listed(other.names),
                remedy,
            )
    return None


def _listed(names) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
