"""Arrays that are needed whole, such as totals, weights, labels and groups."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._utils.masks import require_unmasked, unmasked
from .._utils.optional import is_from
from ._array_like import require_array_like
from ._array_source import ArraySource, read_checked, with_checks
from ._exact_integers import require_doubles_among_floats
from ._hdf5 import check_hdf5
from ._packing import Packing, require_unpacked
from ._sources import is_read_in_pieces, read_box
from ._xarray import without_labels
from ._zarr import check_zarr

_PER_SAMPLE = "an array with something for each sample"
# Types of values that need no checks.
_NUMBERS = {int, float}


def in_memory(values, name, *, expected=_PER_SAMPLE) -> Any:
    """Return values that are needed whole, such as totals, read under the rule of `ArraySource`.

    Parameters
    ----------
    values : array-like
        HDF5 datasets and zarr arrays are read, dask arrays computed, also where they are in a list;
        what is in memory is returned as it is.
    name : str
        For messages.
    expected : str, optional
        Description of the expected values, for messages.

    Raises
    ------
    ValueError, FileNotFoundError
        If entries are masked or called missing, numbers are packed, or chunks were never
        written or got lost.
    """
    if values is None or (type(values) is np.ndarray and values.dtype.names is None):
        return values
    if type(values) in (list, tuple) and (kinds := set(map(type, values))) <= _NUMBERS:
        if len(kinds) > 1:
            require_doubles_among_floats(values, name)
        return values  # the checks below take longer than a local update
    if isinstance(values, ArraySource):
        return values.read_all()
    require_array_like(values, name, expected)
    if isinstance(values, (list, tuple)) and any(map(_may_be_stored, values)):
        values = [
            in_memory(value, f"{name}[{k}]", expected=expected) for k, value in enumerate(values)
        ]
        require_doubles_among_floats(values, name)
        return values
    if not is_read_in_pieces(values):
        require_unmasked(values, name)
        require_unpacked(values, name)
        require_doubles_among_floats(values, name)
        return values
    if is_from(values, "h5py"):
        check_hdf5(values, False, name)
    elif is_from(values, "zarr"):
        check_zarr(values, False)
    packing = Packing.of(values, name)
    array = without_labels(values)
    if hasattr(array, "__dask_graph__"):
        # Computed first: its shape may not be known before.
        array = unmasked(with_checks(array, "error", False), name)
    elif not hasattr(array, "__getitem__"):
        return read_box(array, tuple(slice(0, n) for n in array.shape))
    box = tuple(slice(0, n) for n in array.shape)
    return read_checked(array, box, packing, True, name)


def as_array(values, name, dtype=None, expected="an array of numbers") -> np.ndarray:
    """Return a user's values as an array in memory: `numpy.asarray` under the same rule.

    Whatever is not given as fields goes through here: numpy would drop masks, and read what was
    lost from a store as zeros.

    Parameters
    ----------
    values : array-like
        See `in_memory`.
    name : str
        For messages.
    dtype : dtype, default=None
    expected : str, optional
        Description of the expected values, for messages.

    Raises
    ------
    ValueError, FileNotFoundError
        As `in_memory` does, and where there are no values.
    """
    if values is None:
        require_array_like(values, name, expected)
    return np.asarray(in_memory(values, name, expected=expected), dtype=dtype)


def as_groups(groups, name="groups") -> np.ndarray:
    """Return the group of each sample as an array; each must be known.

    numpy would make one group of all that are masked, NaN or None, or one of each.

    Parameters
    ----------
    groups : array-like of shape (n_samples,)
        Numbers or names.
    name : str, default="groups"
        For messages.

    Raises
    ------
    ValueError, FileNotFoundError
        As `as_array` does, and where a group is missing.
    """
    array = as_array(groups, name, expected="a group for each sample")
    missing = [k for k, group in enumerate(array.ravel().tolist()) if _is_missing(group)]
    if missing:
        raise ValueError(
            f"The group of entry {missing[0]} of {name} is missing, one of {len(missing)}. "
            "Give each sample a group; a sample without others is a group by itself."
        )
    return array


def _is_missing(value) -> bool:
    try:
        return value is None or value is np.ma.masked or bool(value != value)
    except TypeError:  # pandas.NA compares to nothing
        return True


def _may_be_stored(value) -> bool:
    return hasattr(value, "shape") and type(value) is not np.ndarray
