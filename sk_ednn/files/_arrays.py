"""Arrays in the layout of safetensors, read one by one from within a larger file.

The format (https://huggingface.co/docs/safetensors) is 8 bytes of length, a JSON header with the
type, shape and place of each array, and their bytes. The library of that name reads whole files or
copies of them; here an array is read straight into its own memory.
"""

from __future__ import annotations

import json
from math import prod

import numpy as np

from ..exceptions import ModelFileError
from ._container import read_json

_DTYPES = {
    "BOOL": "?", "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4",
    "U64": "<u8", "I64": "<i8", "F16": "<f2", "F32": "<f4", "F64": "<f8",
}  # fmt: skip
_NAMES = {np.dtype(code): name for name, code in _DTYPES.items()}
_MOST_AXES = 32


def storable(array) -> bool:
    """Tell whether an array is of a type that can be written."""
    return array.dtype.newbyteorder("<") in _NAMES and array.ndim <= _MOST_AXES


def writer(arrays):
    """Return a function that writes arrays, by name, to a binary file."""
    header, start = {}, 0
    for name, array in arrays.items():
        stop = start + array.nbytes
        header[name] = {
            "dtype": _NAMES[array.dtype.newbyteorder("<")],
            "shape": list(array.shape),
            "data_offsets": [start, stop],
        }
        start = stop
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)

    def write(file):
        file.write(len(text).to_bytes(8, "little") + text)
        for array in arrays.values():
            plain = np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")
            file.write(plain.tobytes())

    return write


def read(container, name) -> dict[str, np.ndarray]:
    """Return the arrays of a part.

    Raises
    ------
    ModelFileError
        Where the header and the bytes do not agree.
    """
    size = container.parts[name]["size"]
    with container.part(name) as part:
        length = int.from_bytes(part.read(8), "little")
        if length + 8 > size:
            raise _wrong(container, name, f"its header of {length} bytes is longer than it is")
        with container.budget.held(length, name):
            header = read_json(part.read(length), name, container.budget)
        if not isinstance(header, dict):
            raise _wrong(container, name, "its header is no mapping")
        header.pop("__metadata__", None)
        arrays, at = {}, 0
        for key, about in header.items():
            dtype, shape, at = _checked(container, name, key, about, at, size - 8 - length)
            container.budget.take(dtype.itemsize * prod(shape), f"the array {key!r}")
            arrays[key] = np.empty(shape, dtype)
            flat = arrays[key].reshape(-1).view(np.uint8)
            if part.readinto(flat) != flat.nbytes:
                raise _wrong(container, name, f"the array {key!r} is cut off")
    if at != size - 8 - length:
        raise _wrong(container, name, "it holds bytes that belong to no array")
    return arrays


def _checked(container, name, key, about, at, end):
    """Return the type and shape of an array that lies at `at`, and where the next one does."""
    try:
        dtype, shape = np.dtype(_DTYPES[about["dtype"]]), about["shape"]
        start, stop = about["data_offsets"]
        whole = all(type(n) is int and n >= 0 for n in [*shape, start, stop])
        fits = whole and len(shape) <= _MOST_AXES and start == at and stop <= end
        fits = fits and stop - start == dtype.itemsize * prod(shape)
        # An array without elements may not be large either, along its other axes.
        fits = fits and max(shape, default=0) < 1 << 48
    except (KeyError, TypeError, ValueError) as error:
        raise _wrong(container, name, f"{key!r} is not described as an array") from error
    if not fits:
        raise _wrong(container, name, f"the array {key!r} is not where it is said to be")
    return dtype, tuple(shape), stop


def _wrong(container, name, why):
    return ModelFileError(f"{container.path} cannot be read: {name}: {why}.")
