"""Read and write arrays in the safetensors format, as part of a larger file.

The format (https://huggingface.co/docs/safetensors) is 8 bytes with the length of a JSON header,
the header with type, shape and offsets of each array, and the bytes of the arrays. The safetensors
library reads whole files or copies of them; here arrays are read directly into their memory.
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
_MAX_AXES = 32


def storable(array) -> bool:
    """Return whether the type of an array can be written."""
    return array.dtype.newbyteorder("<") in _NAMES and array.ndim <= _MAX_AXES


def writer(arrays):
    """Return a function that writes named arrays to a binary file."""
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
            array = np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")
            file.write(array.tobytes())

    return write


def read(container, name) -> dict[str, np.ndarray]:
    """Return the arrays of a part.

    Raises
    ------
    ModelFileError
        If header and bytes do not agree.
    """
    size = container.parts[name]["size"]
    with container.part(name) as part:
        length = int.from_bytes(part.read(8), "little")
        if length + 8 > size:
            raise _wrong(container, name, f"its header of {length} bytes exceeds its size")
        with container.budget.reserved(length, name):
            header = read_json(part.read(length), name, container.budget)
        if not isinstance(header, dict):
            raise _wrong(container, name, "its header is not a mapping")
        header.pop("__metadata__", None)
        arrays, offset = {}, 0
        for key, entry in header.items():
            dtype, shape, offset = _checked(container, name, key, entry, offset, size - 8 - length)
            container.budget.take(dtype.itemsize * prod(shape), f"the array {key!r}")
            arrays[key] = np.empty(shape, dtype)
            flat = arrays[key].reshape(-1).view(np.uint8)
            if part.readinto(flat) != flat.nbytes:
                raise _wrong(container, name, f"the array {key!r} is truncated")
    if offset != size - 8 - length:
        raise _wrong(container, name, "it contains bytes that belong to no array")
    return arrays


def _checked(container, name, key, entry, offset, end):
    """Return the type and shape of the array at an offset, and the offset of the next array."""
    try:
        dtype, shape = np.dtype(_DTYPES[entry["dtype"]]), entry["shape"]
        start, stop = entry["data_offsets"]
        integers = all(type(n) is int and n >= 0 for n in [*shape, start, stop])
        fits = integers and len(shape) <= _MAX_AXES and start == offset and stop <= end
        fits = fits and stop - start == dtype.itemsize * prod(shape)
        # The other axes of an empty array must not be long either.
        fits = fits and max(shape, default=0) < 1 << 48
    except (KeyError, TypeError, ValueError) as error:
        raise _wrong(container, name, f"the entry {key!r} describes no array") from error
    if not fits:
        raise _wrong(container, name, f"the offsets of the array {key!r} are wrong")
    return dtype, tuple(shape), stop


def _wrong(container, name, why):
    return ModelFileError(f"{container.path} cannot be read: {name}: {why}.")
