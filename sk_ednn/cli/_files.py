"""Reading and writing of arrays in files."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .._utils.writing import kind_of, replacing
from ._archives import read_npy, read_npz
from ._stores import read_hdf5, read_zarr
from ._tables import read_columns
from ._wanted import Wanted


def read_array(
    name: str,
    default_keys: tuple[str, ...],
    n_axes=range(65),
    not_called=(),
    unit=None,
    named=None,
    argument=None,
) -> np.ndarray:
    """Read an array from .npy, .npz, .h5/.hdf5, .zarr, or columns from .csv, .tsv or .txt.

    Parameters
    ----------
    name : str
        A path, followed by ``::`` and a name if the file contains several arrays.
    default_keys : tuple of str
        Names to look for if none is given. If there are none of these, the only suitable array is
        used, with a note.
    n_axes : range
        Valid numbers of axes.
    not_called : tuple of str
        Names of arrays that are not suitable.
    unit : str or None
        Unit of the array, if it is known. HDF5 and zarr may name another.
    named : list of str, default=None
        Receives the unit that the file names.
    argument : str, default=None
        Argument of the command that names the file, for messages.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such file or array. The message lists the arrays.
    TileMemoryError
        If the array does not fit in memory.
    MissingExtraError
        If a library for reading it is not installed.
    """
    path, key = check_array_file(name)
    read = _READERS[path.suffix.lower()]
    named = [] if named is None else named
    return read(path, Wanted(key, default_keys, n_axes, tuple(not_called), unit, named, argument))


def check_array_file(name: str) -> tuple[Path, str | None]:
    """Return the file and the key of a name; raise if it cannot be a file of arrays.

    The file is not read, so that a wrong name causes an error before anything is imported.

    Raises
    ------
    OSError, ValueError
    """
    path, key = split_name(name)
    if path.suffix.lower() in _NETCDF and path.is_file():
        raise ValueError(
            f"{path}: netCDF is not read, since its scales and marks of missing values have to be "
            "decoded. Write a variable to an .npy file: numpy.save('X.npy', "
            f"xarray.open_dataset({path.name!r})['NAME'])."
        )
    if path.suffix.lower() not in _READERS and path.is_file():
        raise ValueError(
            f"{path}: expected a name that ends in {', '.join(_READERS)}, got "
            f"{path.suffix or 'no ending'!r}."
        )
    check_readable(path, may_be_folder=path.suffix.lower() == ".zarr")
    return path, key


def check_readable(path: Path, may_be_folder=False) -> None:
    """Raise if a path is not a readable file.

    Pipes and devices are rejected, since reading them may never end.

    Raises
    ------
    OSError
    """
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):
        link = " (it is a broken link)" if path.is_symlink() else ""
        raise FileNotFoundError(f"{path} does not exist{link}.") from None
    except OSError as error:  # circular links, long names, folders without permission
        raise type(error)(f"{path} cannot be read: {error.strerror}.") from error
    if not (stat.S_ISREG(mode) or (may_be_folder and stat.S_ISDIR(mode))):
        error = IsADirectoryError if stat.S_ISDIR(mode) else OSError
        raise error(f"{path} is {kind_of(mode)}. Expected the name of a file.")
    if not os.access(path, os.R_OK | (os.X_OK if stat.S_ISDIR(mode) else 0)):
        raise PermissionError(f"{path} cannot be read: permission denied.")


def split_name(name: str) -> tuple[Path, str | None]:
    """Split ``file.npz::key`` into the file and the key."""
    path, _, key = name.partition("::")
    return Path(path), key or None


def write_arrays(path: Path, arrays: dict[str, Any]) -> None:
    """Write arrays to an .npz file, or the first of them to an .npy file."""
    with replacing(path) as file:
        if path.suffix == ".npz":
            np.savez(file, **arrays)
        else:
            np.save(file, next(iter(arrays.values())))


def _read_table(path: Path, wanted: Wanted) -> np.ndarray:
    def choose(names, numeric):
        suitable = [name for name in numeric if name not in wanted.not_called]
        return wanted.choose(path, names, suitable, "columns")

    return read_columns(path, wanted.key, choose)


_NETCDF = (".nc", ".nc4", ".cdf")
_READERS: dict[str, Callable[[Path, Wanted], np.ndarray]] = {
    ".npy": read_npy,
    ".npz": read_npz,
    ".h5": read_hdf5,
    ".hdf5": read_hdf5,
    ".hdf": read_hdf5,
    ".zarr": read_zarr,
    ".csv": _read_table,
    ".tsv": _read_table,
    ".txt": _read_table,
}
