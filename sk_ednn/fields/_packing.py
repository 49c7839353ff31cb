"""Packed numbers and marks of missing values, as attributes of netCDF-like arrays declare them.

Libraries that do not know these attributes read packed data as the integers in the file, and a
mark such as -9999 as a number.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._utils.optional import is_from
from .._utils.stacklevel import outside_package
from ..exceptions import DataWarning
from ._chunks import FILL
from ._hdf5 import virtual_sources
from ._sources import is_read_in_pieces

# Names of attributes in lower case, without underscores: HDF-EOS, say, has ScaleFactor.
_PACKED = ("scalefactor", "addoffset", "scalingfactor", "bscale", "bzero")
_MISSING = ("fillvalue", "missingvalue", "codemissingvalue", "nodata", "nodatavalue")
_OTHERS = ("offset", "unsigned", "validrange", "validmin", "validmax")
# Factors and offsets that declare packed numbers together. One of them alone is only a hint, since
# a slope may also be a property of what is shown, and a scale the size of a pixel.
_PAIRS = (("slope", "intercept"), ("rescaleslope", "rescaleintercept"))
# Of integers, and each one number: three are the size of a voxel and the place of a corner.
_PAIRS_OF_INTEGERS = (
    ("scale", "offset"), ("gain", "offset"), ("multiplier", "offset"), ("slope", "offset"),
    ("gain", "bias"),
)  # fmt: skip
_ALL_PAIRS = (*_PAIRS, *_PAIRS_OF_INTEGERS)
_OF_PAIRS = tuple({name: None for pair in _ALL_PAIRS for name in pair})
_FACTORS = ("scalefactor", "scalingfactor", "bscale", *(factor for factor, _ in _ALL_PAIRS))
_SPELLED = {
    "scalefactor": "scale_factor", "addoffset": "add_offset", "scalingfactor": "scaling_factor",
    "bscale": "BSCALE", "bzero": "BZERO",
}  # fmt: skip
# Fill values up to this size are those of arrays of zeros or ones, so they say nothing.
_USUAL_FILL = 1


@dataclass(frozen=True)
class Packing:
    """Attributes that declare values of an array to be packed or missing.

    Attributes
    ----------
    missing : tuple of float
        Values that mark a missing one.
    valid : tuple of float
        Least and largest valid value.
    unwritten : tuple of float
        Fill value of a store, which is read where a part of a chunk was not written.
    """

    missing: tuple[float, ...]
    valid: tuple[float, float]
    unwritten: tuple[float, ...] = ()

    @classmethod
    def of(cls, array, name="X", holes=True) -> Packing | None:
        """Return the packing of an array, or None where it has none.

        Parameters
        ----------
        array : object
            Attributes are looked for in ``array.attrs``, as h5py, zarr and xarray have them.
        name : str, default="X"
            For messages.
        holes : bool, default=True
            Whether the fill value of a store marks values that were not written.

        Raises
        ------
        ValueError
            If the numbers are packed: ``scale_factor``, ``add_offset`` or ``_Unsigned``.

        Warns
        -----
        DataWarning
            If integers have an attribute such as ``scale`` or ``gain``, which may say so.
        """
        attributes = _attributes(array)
        packed = {key: _numbers(attributes.get(key)) for key in _PACKED}
        if packed["scalefactor"]:  # alone, an offset is that of a position, say
            packed["offset"] = _numbers(attributes.get("offset"))
        for pair in _PAIRS:
            numbers = {key: _numbers(attributes.get(key)) for key in pair}
            packed |= numbers if all(numbers.values()) else {}
        kind = getattr(getattr(array, "dtype", None), "kind", "f")
        for pair in _PAIRS_OF_INTEGERS if kind in "iu" else ():
            numbers = {key: _numbers(attributes.get(key)) for key in pair}
            packed |= numbers if all(len(each) == 1 for each in numbers.values()) else {}
        wrong = [
            f"{_SPELLED.get(key, key)}={values[0]:g}"
            for key, values in packed.items()
            if values and any(value != (key in _FACTORS) for value in values)
        ]
        unsigned = str(_plain(attributes.get("unsigned", ""))).lower()
        if (unsigned, kind) in {("true", "i"), ("false", "u")}:
            wrong.append(f"_Unsigned={unsigned}")
        if wrong:
            raise ValueError(
                f"{name} is packed: its attribute(s) {', '.join(wrong)} say that the numbers in "
                "the file are not the values. Open the file with xarray.open_dataset, which "
                "decodes them, or decode them as values * scale_factor + add_offset."
            )
        if kind in "iu":
            _warn_of_hints(attributes, packed, name)
        missing = [value for key in _MISSING for value in _numbers(attributes.get(key))]
        valid = _numbers(attributes.get("validrange"))
        least, largest = (valid[0], valid[1]) if len(valid) == 2 else (-np.inf, np.inf)
        least = max([least, *_numbers(attributes.get("validmin"))[:1]])
        largest = min([largest, *_numbers(attributes.get("validmax"))[:1]])
        fill, is_mark = _fill_value(array)
        if is_mark:
            missing += fill
        unwritten = fill if holes and not is_mark else []
        if is_from(array, "h5py") and array:  # also of what a virtual dataset is composed of
            parts = [cls.of(source, name, holes) for source in virtual_sources(array)]
            for part in filter(None, parts):
                missing += part.missing
                least, largest = max(least, part.valid[0]), min(largest, part.valid[1])
                unwritten = [*unwritten, *part.unwritten]
        if not missing and not unwritten and not np.isfinite([least, largest]).any():
            return None
        return cls(tuple(missing), (least, largest), tuple(unwritten))

    def require_values(self, values, name="X") -> None:
        """Raise if values that were read mark missing ones."""
        values = np.asarray(values)
        if values.dtype.kind not in "biuf":
            return
        marks = _equal_to(values, self.missing)
        marks |= (values < self.valid[0]) | (values > self.valid[1])
        if marks.any():
            raise ValueError(
                f"{name} contains {_first(values, marks)} values that its attributes (_FillValue, "
                "missing_value, valid_range) mark as missing. Sums over tiles need all values: "
                "leave these samples out, or fill in what is missing."
            )
        marks = _equal_to(values, self.unwritten)
        if marks.any():
            raise ValueError(
                f"{name} contains {_first(values, marks)} values that are the fill value of the "
                "store, which is read where nothing was written. If they were written, or are "
                f"meant, {FILL}."
            )


def _warn_of_hints(attributes, known, name) -> None:
    """Warn of attributes of integers that may be a factor or an offset."""
    hints = {key: _numbers(attributes.get(key)) for key in _OF_PAIRS if key not in known}
    told = [
        f"{key}={values[0]:g}"
        for key, values in hints.items()
        if len(values) == 1 and values[0] != (key in _FACTORS)
    ]
    if told:
        warnings.warn(
            f"{name} contains integers, and its attribute(s) {', '.join(told)} may say that these "
            "are packed. The numbers are used as they are in the file. If they are packed, decode "
            "them; if not, leave the attribute out.",
            DataWarning,
            stacklevel=outside_package(),
        )


def _first(values, marks) -> str:
    place = tuple(int(k) for k in np.argwhere(marks)[0])
    return f"{values[place]} at {list(place)} of what was read, one of {int(marks.sum())}"


def _equal_to(values, numbers) -> np.ndarray:
    """Return which values are one of some numbers, in the type of the values.

    A mark of 1e20 in the text of an attribute is the float32 nearest to it in the data.
    """
    marks = np.zeros(values.shape, dtype=bool)
    for number in numbers:
        with np.errstate(all="ignore"):
            mark = np.asarray(number).astype(values.dtype, copy=False)
        if values.dtype.kind == "f" or _may_be(mark, number):  # NaN, say, is no integer
            marks |= values == mark
    return marks


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
    if packing is not None and not is_read_in_pieces(values):
        packing.require_values(values, name)


def _attributes(array) -> dict[str, Any]:
    """Return the attributes that matter, by their names in lower case without underscores."""
    attrs: Any = getattr(array, "attrs", None)
    if not isinstance(attrs, Mapping) and not hasattr(attrs, "keys"):
        return {}
    try:
        names = {str(name).lower().replace("_", ""): name for name in attrs}
        return {
            plain: attrs[names[plain]]
            for plain in (*_PACKED, *_MISSING, *_OTHERS, *_OF_PAIRS)
            if plain in names
        }
    except (RuntimeError, ValueError, OSError):  # of a closed file, which is reported elsewhere
        return {}


def _fill_value(array) -> tuple[list[float], bool]:
    """Return the fill value of a store, and whether it marks missing values by convention.

    xarray and GDAL write ``_FillValue`` as the fill value of zarr arrays of format 2, and the names
    of their axes as an attribute. Elsewhere a fill value is only what is read of sites that were
    not written; of unsigned integers, such as pictures with a white background, it says nothing.
    """
    if getattr(getattr(array, "dtype", None), "kind", "O") not in "biuf":
        return [], False  # which is reported elsewhere
    if is_from(array, "zarr") and hasattr(array, "metadata"):
        fill = _numbers(array.fill_value)
        if array.metadata.zarr_format == 2 and "_ARRAY_DIMENSIONS" in array.attrs:
            return fill, True
    elif is_from(array, "h5py") and hasattr(array, "fillvalue"):
        fill = _numbers(array.fillvalue)
    else:
        return [], False
    unusual = [value for value in fill if np.isfinite(value) and abs(value) > _USUAL_FILL]
    return (unusual if array.dtype.kind in "if" else []), False


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
