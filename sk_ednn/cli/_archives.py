"""Reading of ``.npy`` and ``.npz`` files."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple
from zipfile import ZipFile

import numpy as np

from .._utils.memory import require_memory
from ._wanted import Unreadable, Wanted, nbytes, note_mask, reading, require_numbers

_MAGIC = b"\x93NUMPY"
_READ_HEADER = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
    (
        3,
        0,
    ): np.lib.format.read_array_header_2_0,  # differs for structured arrays
}
_ONE_NUMBER_BYTES = 1024  # of a part with one number, and its header
_ADVICE = "Write the array to an .npy file, which is mapped into memory."


class _Header(NamedTuple):
    shape: tuple[int, ...]
    dtype: np.dtype
    n_bytes: int  # of the header


def read_npy(path: Path, wanted: Wanted) -> np.ndarray:
    """Map the array of an ``.npy`` file into memory."""
    from ..fields._array_source import ArraySource

    if wanted.key is not None:
        raise ValueError(
            f"{path} contains a single array without a name. Leave out ::{wanted.key}."
        )
    with reading(path):
        if not _begins(path, _MAGIC):
            raise Unreadable(f"{path} is not an .npy file, despite its name.")
        with path.open("rb") as file:
            header = _header(path, file)
        _require_size(str(path), header, path.stat().st_size)
        if not nbytes(header.shape, header.dtype):  # an empty array cannot be mapped
            return np.empty(header.shape, header.dtype)
        return ArraySource(path).array


def read_npz(path: Path, wanted: Wanted) -> np.ndarray:
    """Read an array of an ``.npz`` file."""
    with reading(path):
        if _begins(path, _MAGIC):
            raise Unreadable(f"{path} is an .npy file, despite its name. Rename it to .npy.")
        with ZipFile(path) as archive:
            return _read_part(path, archive, wanted)


def _read_part(path, archive, wanted) -> np.ndarray:
    parts = [name for name in archive.namelist() if name.endswith(".npy")]
    names = [name.removesuffix(".npy") for name in parts]
    is_usual = wanted.key is not None or any(name in names for name in wanted.usual)
    suitable = [] if is_usual else [name for name in names if _suits(archive, name, wanted)]
    name = wanted.choose(path, names, suitable)
    if names.count(name) > 1:
        raise Unreadable(f"{path} has {names.count(name)} arrays called {name!r}.")
    note_mask(path, name, names.__contains__)
    where, part = f"{path}::{name}", archive.getinfo(f"{name}.npy")
    with archive.open(part) as file:
        header = _header(where, file)
        _require_size(where, header, part.file_size)
        # Compressed arrays may be a thousand times larger in memory.
        require_memory(nbytes(header.shape, header.dtype), f"Reading {where}", _ADVICE)
    packing = _packing(archive, names, name, header, where)
    with archive.open(part) as file:
        values = np.lib.format.read_array(file, allow_pickle=False)
        file.read(1)  # at the end of a part, its checksum is compared
    if packing is not None:
        packing.require_values(values, where)
    return values


def _packing(archive, names, name, header, where):
    """Return the packing of integers, or None; an archive has numbers in place of attributes.

    Raises
    ------
    ValueError
        If the integers are packed.
    """
    if header.dtype.kind not in "iu":
        return None
    attributes = {}
    for other in names:
        if other == name or archive.getinfo(f"{other}.npy").file_size > _ONE_NUMBER_BYTES:
            continue
        with archive.open(f"{other}.npy") as file:
            one = _header(other, file)
            if one.dtype.kind not in "biuf" or np.prod(one.shape, dtype=int) != 1:
                continue
        with archive.open(f"{other}.npy") as file:
            value = np.lib.format.read_array(file, allow_pickle=False)
        attributes[other.removeprefix(f"{name}_")] = value.item()
    from ..fields._packing import Packing

    return Packing.of(SimpleNamespace(attrs=attributes, dtype=header.dtype), where)


def _suits(archive, name, wanted) -> bool:
    with archive.open(f"{name}.npy") as file:
        header = _header(name, file)
    return wanted.suits(name, header.shape, header.dtype)


def _header(where, file) -> _Header:
    version = np.lib.format.read_magic(file)
    if version not in _READ_HEADER:
        raise Unreadable(
            f"{where} has version {version} of the .npy format, which is not supported."
        )
    shape, _, dtype = _READ_HEADER[version](file)
    return _Header(shape, dtype, file.tell())


def _require_size(where, header, n_bytes) -> None:
    """Raise if the size of an array does not agree with its file, or if it has no numbers."""
    require_numbers(where, header.dtype)
    expected = nbytes(header.shape, header.dtype)
    if min(header.shape, default=0) < 0 or expected != n_bytes - header.n_bytes:
        raise Unreadable(
            f"{where} is damaged: according to its header it is an array of shape {header.shape} "
            f"and type {header.dtype}, {expected} bytes, but there are {n_bytes - header.n_bytes}."
        )


def _begins(path, magic) -> bool:
    with path.open("rb") as file:
        return file.read(len(magic)) == magic
