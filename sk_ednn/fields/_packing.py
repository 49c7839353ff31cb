"""Packed numbers and marks of missing values, as attributes of netCDF-like arrays declare them.

Libraries that do not know these attributes read packed data as the integers in the file, and a
mark such as -9999 as a number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._utils.optional import is_from
from ._xarray import is_in_memory

_PACKED = ("scale_factor", "add_offset")
_MISSING = ("_FillValue", "missing_value")


@dataclass(frozen=True)
class Packing:
    """Attributes that declare values of an array to be packed or missing.

    Attributes
    ----------
    missing : tuple of float
        Values that mark a missing one.
    valid : tuple of float
        Least and largest valid value.
    """

    missing: tuple[float, ...]
    valid: tuple[float, float]

    @classmethod
    def of(cls, array, name="X") -> Packing | None:
        """Return the packing of an array, or None where it has none.

        Parameters
        ----------
        array : object
            Attributes are looked for in ``array.attrs``, as h5py, zarr and xarray have them.
        name : str, default="X"
            For messages.

        Raises
        ------
        ValueError
            If the numbers are packed: ``scale_factor``, ``add_offset`` or ``_Unsigned``.
        """
        attributes = _attributes(array)
        if not attributes:
            return None
        packed = {key: _numbers(attributes.get(key)) for key in _PACKED}
        trivial = {"scale_factor": 1.0, "add_offset": 0.0}
        wrong = [
            f"{key}={values[0]:g}"
            for key, values in packed.items()
            if values and any(value != trivial[key] for value in values)
        ]
        unsigned = str(_plain(attributes.get("_Unsigned", ""))).lower()
        kind = np.dtype(getattr(array, "dtype", float)).kind
        if (unsigned, kind) in {("true", "i"), ("false", "u")}:
            wrong.append(f"_Unsigned={unsigned}")
        if wrong:
            raise ValueError(
                f"{name} is packed: its attribute(s) {', '.join(wrong)} say that the numbers in "
                "the file are not the values. Open the file with xarray.open_dataset, which "
                "decodes them, or decode them as values * scale_factor + add_offset."
            )
        missing = [value for key in _MISSING for value in _numbers(attributes.get(key))]
        valid = _numbers(attributes.get("valid_range"))
        least, largest = (valid[0], valid[1]) if len(valid) == 2 else (-np.inf, np.inf)
        least = max([least, *_numbers(attributes.get("valid_min"))[:1]])
        largest = min([largest, *_numbers(attributes.get("valid_max"))[:1]])
        if not missing and not np.isfinite([least, largest]).any():
            return None
        return cls(tuple(missing), (least, largest))

    def require_values(self, values, name="X") -> None:
        """Raise if values that were read mark missing ones."""
        values = np.asarray(values)
        if values.dtype.kind not in "biuf":
            return
        marks = np.zeros(values.shape, dtype=bool)
        for missing in self.missing:
            # In the type of the values: a mark of 1e20 in the text of an attribute is the float32
            # nearest to it in the data.
            with np.errstate(all="ignore"):
                mark = np.asarray(missing).astype(values.dtype, copy=False)
            if values.dtype.kind != "f" and not _may_be(mark, missing):
                continue  # NaN, say, which no integer is
            marks |= values == mark
        marks |= (values < self.valid[0]) | (values > self.valid[1])
        if marks.any():
            place = tuple(int(k) for k in np.argwhere(marks)[0])
            raise ValueError(
                f"{name} contains {values[place]} at {list(place)} of what was read, one of "
                f"{int(marks.sum())} values that its attributes (_FillValue, missing_value, "
                "valid_range) mark as missing. Sums over tiles need all values: leave these "
                "samples out, or fill in what is missing."
            )


def _may_be(mark, missing) -> bool:
    """Return True if a mark kept its value, or its bits, as an integer."""
    if not np.isfinite(missing) or missing != int(missing):
        return False
    n_bits = 8 * mark.dtype.itemsize
    return (int(mark) - int(missing)) % 2**n_bits == 0 and abs(int(missing)) < 2**n_bits


def require_unpacked(values, name="X") -> None:
    """Raise if an array in memory is packed, or contains marks of missing values.

    Parameters
    ----------
    values : object
        Checked if it has attributes; data that are read in pieces are checked by their source.
    name : str, default="X"
    """
    if not hasattr(values, "attrs") or not hasattr(values, "dtype"):
        return
    packing = Packing.of(values, name)
    if packing is not None and is_from(values, "xarray") and is_in_memory(values):
        packing.require_values(values.data, name)


def _attributes(array) -> dict[str, Any]:
    attrs: Any = getattr(array, "attrs", None)
    if not isinstance(attrs, Mapping) and not hasattr(attrs, "keys"):
        return {}
    names = (*_PACKED, *_MISSING, "_Unsigned", "valid_range", "valid_min", "valid_max")
    try:
        return {name: attrs[name] for name in names if name in attrs}
    except (RuntimeError, ValueError, OSError):  # of a closed file, which is reported elsewhere
        return {}


def _plain(value):
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.ndarray) and value.size == 1:
        return _plain(value.ravel()[0])
    return value


def _numbers(value) -> list[float]:
    """Return the numbers of an attribute, however it is spelled."""
    value = _plain(value)
    if value is None or isinstance(value, bool):
        return []
    parts = value if isinstance(value, (list, tuple, np.ndarray)) else [value]
    try:
        return [_number(_plain(part)) for part in parts]
    except (TypeError, ValueError):
        return []


def _number(part) -> float:
    # Whole numbers stay whole: 2**63 - 1, the mark of 64-bit integers, is not a float64.
    if isinstance(part, str):
        part = int(part) if part.strip().lstrip("+-").isdecimal() else float(part)
    whole = isinstance(part, (int, np.integer)) and abs(int(part)) < 2**63
    return int(part) if whole else float(part)
