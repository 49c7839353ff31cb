"""Batches of fields: checked once, then stacked by shape.

A field is one system on a grid: spins, an image of atoms, a density. Users hand over arrays of
equal fields, lists or object arrays of fields of different sizes; the layers below see `Fields`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from numbers import Real
from typing import Any

import numpy as np
from sklearn.utils import check_array

from .._utils.masks import require_unmasked
from .._utils.wording import with_article
from ..exceptions import TilingError
from ._array_like import as_array_like
from ._array_source import ArraySource
from ._exact_integers import (
    require_double_objects,
    require_doubles,
    require_doubles_among_floats,
)
from ._packing import require_unpacked
from ._samples import ChosenSamples
from ._sources import FieldSource, is_read_in_pieces
from ._views import OneField

# Fields of a list are copied next to each other only while they are small: a stack saves a
# Python step per field, which no longer matters where one field contains this many bytes.
_STACKED_BYTES = 1 << 20
# numpy converts some of these without a word; of others, its error names no place.
_NO_NUMBERS = (
    complex, np.complexfloating, np.datetime64, np.timedelta64, date, timedelta, str, bytes,
)  # fmt: skip
# Of an object in a message.
_SHOWN_CHARACTERS = 60


@dataclass(frozen=True)
class Stack:
    """Fields of one shape.

    Attributes
    ----------
    samples : ndarray of int of shape (n,)
        Position of each field in the batch.
    values : ndarray or FieldSource of shape (n, *field_shape)
    """

    samples: np.ndarray
    values: Any


@dataclass(frozen=True)
class Fields:
    """A checked batch of fields, grouped by shape.

    Attributes
    ----------
    stacks : tuple of Stack
    n_samples : int
    ragged : bool
        Whether the batch came as a list of fields, each with its own size.
    known_range : InputRange or None
        Range of the fields that a model was fitted to. Fields that are read piece by piece are
        compared with it when they are read.
    """

    stacks: tuple[Stack, ...]
    n_samples: int
    ragged: bool
    known_range: Any = None

    @property
    def ndim(self) -> int:
        """Number of axes of one field, channel axis included."""
        return len(self.stacks[0].values.shape) - 1

    @property
    def dtype(self) -> np.dtype:
        """The type that represents every value of the batch."""
        return np.result_type(*(stack.values.dtype for stack in self.stacks))

    @property
    def lazy(self) -> bool:
        """True if fields are read piece by piece, from sources."""
        return not all(isinstance(stack.values, np.ndarray) for stack in self.stacks)

    @property
    def fixed_width(self) -> bool:
        """True if the fields are rows of a table, whose width scikit-learn keeps."""
        return self.ndim == 1 and not self.ragged

    @property
    def arrays(self) -> list[np.ndarray]:
        """The memory of fields that are not lazy."""
        return [stack.values for stack in self.stacks if isinstance(stack.values, np.ndarray)]

    @property
    def sizes(self) -> np.ndarray:
        """Number of values of each field, shape (n_samples,), as floats."""
        sizes = np.empty(self.n_samples)
        for stack in self.stacks:
            sizes[stack.samples] = np.prod(stack.values.shape[1:], dtype=float)
        return sizes

    def by_sample(self, stacks):
        """Return what belongs to each stack in the order of the samples.

        Returns
        -------
        array, or list of arrays where the batch came as a list of fields
        """
        if not self.ragged:
            return stacks[0]
        samples = [None] * self.n_samples
        for stack, values in zip(self.stacks, stacks, strict=True):
            for place, value in zip(stack.samples, values, strict=True):
                samples[place] = value
        return samples

    def unstacked(self) -> list:
        """Return the fields one by one, in the order of the samples."""
        return list(self.by_sample([stack.values for stack in self.stacks]))

    def take(self, indices) -> Fields:
        """Return the batch of the samples at `indices`, in that order."""
        indices = np.asarray(indices)
        place = np.full(self.n_samples, -1)
        place[indices] = np.arange(len(indices))
        stacks = []
        for stack in self.stacks:
            kept = np.flatnonzero(place[stack.samples] >= 0)
            if len(kept):
                values = stack.values
                if isinstance(values, np.ndarray):
                    values = values[kept]
                elif len(kept) < len(stack.samples):
                    values = ChosenSamples(values, kept)
                stacks.append(Stack(place[stack.samples[kept]], values))
        return Fields(tuple(stacks), len(indices), self.ragged)


def is_list_of_fields(X) -> bool:
    """Return True if `X` is a list of separate fields rather than one array of equal ones.

    A list (or 1-D object array) of arrays is a list of fields, whatever their lengths; a list of
    lists of numbers is an array, as everywhere in scikit-learn.
    """
    if isinstance(X, np.ndarray):
        return X.dtype == object and X.ndim == 1 and len(X) > 0 and _is_field(X[0])
    return isinstance(X, (list, tuple)) and len(X) > 0 and _is_field(X[0])


def _is_field(x) -> bool:
    if is_read_in_pieces(x):
        return True
    return getattr(x, "ndim", 0) >= 1 and hasattr(x, "__array__")


def check_fields(X, *, caller="sk_ednn") -> Fields:
    """Check fields given by a user and group them by shape.

    Parameters
    ----------
    X : array-like of shape (n_samples, *field_shape) or list of arrays of shape field_shape
        Numbers, all finite. Fields of a list may differ in size, not in dimension.
    caller : str or estimator
        Name of the caller, for messages.

    Returns
    -------
    Fields

    Raises
    ------
    ValueError
        If `X` is empty, contains NaN, infinity or something that is not a number, or if the
        fields of a list differ in dimension.
    """
    if isinstance(X, Fields):
        return X
    X = as_array_like(X)
    if isinstance(X, (list, tuple)) and len(X) == 0:
        raise ValueError("Found array with 0 sample(s): expected at least one field in the list.")
    if is_read_in_pieces(X):
        source = _check_source(X, "X")
        if source.shape[0] == 0:
            raise ValueError("Found array with 0 sample(s): expected at least one field.")
        return Fields((Stack(np.arange(source.shape[0]), source),), source.shape[0], False)
    if is_list_of_fields(X) and any(is_read_in_pieces(field) for field in X):
        sources = [OneField(_check_source(field, f"X[{i}]")) for i, field in enumerate(X)]
        _check_dimensions(sources, 1)
        stacks = tuple(Stack(np.array([i]), source) for i, source in enumerate(sources))
        return Fields(stacks, len(sources), True)
    if not is_list_of_fields(X):
        _require_real(X)
        _require_axes(() if isinstance(X, Real) else getattr(X, "shape", None))
        values = check_array(
            X, ensure_2d=False, allow_nd=True, dtype="numeric", ensure_all_finite=False,
            estimator=caller,
        )  # fmt: skip
        _require_axes(values.shape)
        require_finite(values, "X")
        return Fields((Stack(np.arange(len(values)), values),), len(values), False)

    arrays = [_check_field(field, index, caller) for index, field in enumerate(X)]
    _check_dimensions(arrays, 0)
    indices_by_kind: dict[tuple, list[int]] = {}
    for index, array in enumerate(arrays):
        key = (array.shape, array.dtype.str)
        if array.nbytes > _STACKED_BYTES:
            key += (index,)
        indices_by_kind.setdefault(key, []).append(index)
    stacks = tuple(
        Stack(
            np.array(indices),
            arrays[indices[0]][None]
            if len(indices) == 1
            else np.stack([arrays[index] for index in indices]),
        )
        for indices in indices_by_kind.values()
    )
    return Fields(stacks, len(arrays), True)


def _require_axes(shape) -> None:
    if isinstance(shape, tuple) and len(shape) < 2:
        raise ValueError(
            f"X must be fields, an array of shape (n_samples, *field_shape); got shape {shape}. "
            "Reshape your data: for a single field pass X[None]. Did you swap X and y?"
        )


def check_ndim(fields, fitted) -> None:
    """Raise TilingError if fields do not have as many axes as those of the fit."""
    if fields.ndim != fitted:
        single = " Give a single field as field[None]." if fields.ndim == fitted - 1 else ""
        raise TilingError(
            f"The model was fitted to fields of {fitted} dimension(s), X has fields of shape "
            f"{fields.stacks[0].values.shape[1:]}. X is (n_samples, *field_shape).{single}"
        )


def require_numbers(values, name) -> None:
    """Reject masked entries, packed data, dates and strings, before numpy makes numbers of them."""
    require_unmasked(values, name)
    require_unpacked(values, name)
    dtype = getattr(values, "dtype", None)
    if getattr(dtype, "kind", None) in ("m", "M", "S", "U"):
        raise ValueError(
            f"{name} must be real numbers, got dtype {dtype}. Convert it, as by "
            f"{name}.astype(float)."
        )
    if isinstance(values, (list, tuple)) or getattr(dtype, "kind", "O") in ("O", "c"):
        _require_number_objects(values, name)


def _require_number_objects(values, name) -> None:
    """Reject dates, texts, complex numbers, pandas.NA and integers that are no doubles."""
    given = values
    try:
        values = np.asarray(values)
    except ValueError:  # of unequal lengths, which is reported elsewhere
        return
    if values.dtype.kind in "US":  # numpy makes texts of all entries of a list that has one
        values = np.asarray(given, dtype=object)
    if values.dtype.kind in "mMc":
        kinds = {values.dtype.type}
    elif values.dtype.kind == "O":
        kinds = set(map(type, values.ravel()))
    else:
        require_doubles_among_floats(given, name, values)
        return
    wrong = {kind for kind in kinds if issubclass(kind, _NO_NUMBERS) or kind.__name__ == "NAType"}
    if not wrong:
        if any(issubclass(kind, int) for kind in kinds):
            require_double_objects(values, name)
        return
    # numpy makes all entries of a list complex that has one.
    found = (
        values.imag != 0 if values.dtype.kind == "c" else [type(v) in wrong for v in values.flat]
    )
    place = np.unravel_index(int(np.argmax(found)), values.shape)
    value, where = values[place], f"at {[int(k) for k in place]}"
    if type(value).__name__ == "NAType":
        raise ValueError(
            f"Input {name} contains a missing value (pandas.NA) {where}. Sums over tiles need all "
            "values: leave these samples out, or fill in what is missing."
        )
    shown = repr(value)
    shown = shown if len(shown) <= _SHOWN_CHARACTERS else f"{shown[:_SHOWN_CHARACTERS]}..."
    unsupported = (
        "Complex data not supported: " if isinstance(value, (complex, np.complexfloating)) else ""
    )
    raise ValueError(
        f"{unsupported}{name} must be real numbers, but {where} is {shown}, "
        f"{with_article(type(value).__name__)}."
    )


def _require_real(X) -> None:
    if getattr(getattr(X, "dtype", None), "kind", None) == "c":
        raise ValueError(
            f"Complex data not supported: X must be real numbers, got dtype {X.dtype}. Give real "
            "and imaginary parts as two channels, numpy.stack([X.real, X.imag], axis=-1), with "
            "GridTiling(channel_axis=-1)."
        )
    require_numbers(X, "X")


def _check_dimensions(arrays, n_leading) -> None:
    if len({array.ndim for array in arrays}) > 1:
        first = next(i for i, array in enumerate(arrays) if array.ndim != arrays[0].ndim)
        raise TilingError(
            f"The fields of a list must have one dimension: X[0] has shape "
            f"{arrays[0].shape[n_leading:]}, X[{first}] has shape "
            f"{arrays[first].shape[n_leading:]}."
        )


def _check_source(x, name):
    source = x if isinstance(x, FieldSource) else ArraySource(x)
    kind = np.dtype(source.dtype).kind
    if kind not in "biuf":
        raise ValueError(
            f"{name} must be numbers: booleans, integers or floats; got dtype {source.dtype}."
        )
    if len(source.shape) < (2 if name == "X" else 1):
        _require_axes(tuple(source.shape))
    if not all(n == n for n in source.shape):
        raise TilingError(
            f"{name} has an unknown shape, {tuple(source.shape)}, but the shape determines "
            "the tiles. Call compute_chunk_sizes() on the dask array first."
        )
    return source


def _check_field(field, index, caller) -> np.ndarray:
    if not _is_field(field):
        raise TilingError(
            f"A list of fields must be arrays only: X[0] is an array, X[{index}] is "
            f"{type(field).__name__}. Convert it with numpy.asarray."
        )
    require_unmasked(field, f"X[{index}]")
    require_unpacked(field, f"X[{index}]")
    if getattr(getattr(field, "dtype", None), "kind", "") == "O":
        _require_number_objects(field, f"X[{index}]")
    values = check_array(
        field,
        allow_nd=True,
        ensure_2d=False,
        dtype="numeric",
        ensure_all_finite=False,
        estimator=caller,
    )
    require_finite(values, f"X[{index}]")
    return values


def require_finite(values, name) -> None:
    """Raise ValueError if an array contains NaN, infinity, or integers that are no doubles.

    The message has the place of the first one.
    """
    # Summing is several times faster than asking each value, in their own type most of all; it
    # overflows only where some are huge.
    if values.dtype.kind != "f":
        require_doubles(values, name)
        return
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(np.sum(values)):
            return
    bad = ~np.isfinite(values)
    if not bad.any():
        return
    place = tuple(int(k) for k in np.argwhere(bad)[0])
    what = "NaN" if np.isnan(values[place]) else "infinity"
    raise ValueError(
        f"Input {name} contains {what} at {list(place)}, one of {int(bad.sum())} values that are "
        "not finite numbers. All of them are needed: leave these samples out, or fill in what is "
        "missing."
    )
