"""Fields and targets from files, and results back into them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import typer

from .._optional import needing
from .._utils.writing import replacing
from ._tables import read_columns

# What numpy, h5py and zarr raise where a file is cut off, or is not what its name says.
_UNREADABLE = (ValueError, OSError, EOFError, KeyError, BadZipFile)
_MOST_NAMES = 20  # in a message


def read_array(name: str, default_keys: tuple[str, ...]) -> np.ndarray:
    """Read an array from .npy, .npz, .h5/.hdf5, .zarr, or columns from .csv, .tsv or .txt.

    Parameters
    ----------
    name : str
        A path; where the file holds several arrays, followed by ``::`` and a name.
    default_keys : tuple of str
        Names looked for where none is given.

    Raises
    ------
    FileNotFoundError, ValueError
        Saying what the file holds.
    MissingExtraError
        Where the library that reads it is not installed.
    """
    path, key = check_array_file(name)
    return _READERS[path.suffix.lower()](path, key, default_keys)


def check_array_file(name: str) -> tuple[Path, str | None]:
    """Return the file and the key of a name; raise where it cannot be one of arrays.

    Nothing is read: a mistake in a name is answered before anything is imported.

    Raises
    ------
    OSError, ValueError
    """
    path, key = split_name(name)
    if path.suffix.lower() not in _READERS and path.exists():
        raise ValueError(
            f"{path}: expected a name that ends in {', '.join(_READERS)}, got "
            f"{path.suffix or 'no ending'!r}."
        )
    check_readable(path, may_be_folder=path.suffix.lower() == ".zarr")
    return path, key


def check_readable(path: Path, may_be_folder=False) -> None:
    """Raise where there is no such file, or none that may be read.

    Raises
    ------
    OSError
    """
    if not path.exists():
        link = " (it is a link to what is gone)" if path.is_symlink() else ""
        raise FileNotFoundError(f"{path} does not exist{link}.")
    if path.is_dir() and not may_be_folder:
        raise IsADirectoryError(f"{path} is a folder; give the name of a file.")
    if not os.access(path, os.R_OK):
        raise PermissionError(f"{path} cannot be read: permission denied.")


def split_name(name: str) -> tuple[Path, str | None]:
    """Split ``file.npz::key`` into the file and the key."""
    path, _, key = name.partition("::")
    return Path(path), key or None


def note(text: str) -> None:
    """Say how something was understood, since it may be wrong."""
    typer.echo(f"note: {text}", err=True)


def write_arrays(path: Path, arrays: dict[str, Any]) -> None:
    """Write arrays into an .npz file, or the first of them into an .npy file."""
    with replacing(path) as file:
        if path.suffix == ".npz":
            np.savez(file, **arrays)
        else:
            np.save(file, next(iter(arrays.values())))


# --- formats ----------------------------------------------------------------------------------


def _npy(path, key, default_keys) -> np.ndarray:
    if key is not None:
        raise ValueError(f"{path} holds a single array, without a name: leave out ::{key}.")
    with path.open("rb") as file:
        if file.read(6) != b"\x93NUMPY":
            raise ValueError(f"{path} is not an .npy file, whatever its name.")
    return _attempt(path, lambda: np.load(path, mmap_mode="r", allow_pickle=False))


def _npz(path, key, default_keys) -> np.ndarray:
    archive = _attempt(path, lambda: np.load(path, allow_pickle=False))
    if not hasattr(archive, "files"):
        raise ValueError(f"{path} is not an .npz file: it holds a single array. Call it .npy.")
    with archive:
        name = _choose(path, key, archive.files, default_keys)
        return _attempt(path, lambda: archive[name])


def _hdf5(path, key, default_keys) -> np.ndarray:
    with needing(f"Reading {path}"):
        import h5py
    with _attempt(path, lambda: h5py.File(path, "r")) as file:
        names: list[str] = []
        file.visititems(lambda n, item: names.append(n) if hasattr(item, "shape") else None)
        name = _choose(path, key, names, default_keys)
        return _attempt(path, lambda: file[name][...])


def _zarr(path, key, default_keys) -> np.ndarray:
    with needing(f"Reading {path}"):
        import zarr
    node = _attempt(path, lambda: zarr.open(str(path), mode="r"))
    if hasattr(node, "shape"):
        if key is not None:
            raise ValueError(f"{path} holds a single array, without a name: leave out ::{key}.")
        return _attempt(path, lambda: node[...])
    name = _choose(path, key, sorted(node.array_keys()), default_keys)
    return _attempt(path, lambda: node[name][...])


def _text(path, key, default_keys) -> np.ndarray:
    def choose(names, numeric):
        return _choose(path, key, names, default_keys, numeric, "columns")

    return read_columns(path, key, choose)


_READERS: dict[str, Callable[..., np.ndarray]] = {
    ".npy": _npy,
    ".npz": _npz,
    ".h5": _hdf5,
    ".hdf5": _hdf5,
    ".hdf": _hdf5,
    ".zarr": _zarr,
    ".csv": _text,
    ".tsv": _text,
    ".txt": _text,
}


def _attempt(path, read):
    try:
        return read()
    except _UNREADABLE as error:
        why = str(error).partition("\n")[0] or type(error).__name__
        if "pickle" in why or "Python objects" in why:
            why = (
                "it holds Python objects, or is no file of arrays. Arrays are of numbers; fields "
                "of different sizes are fitted from Python, as a list"
            )
        raise ValueError(f"{path} cannot be read: {why}") from error


def _choose(path, key, names, default_keys, suitable=(), what="arrays") -> str:
    """Return the name of the array to take: the one asked for, a usual one, or the only one.

    Raises
    ------
    ValueError
        Listing what there is.
    """
    if key is not None:
        if key in names:
            return key
        raise ValueError(f"{path} has no {what[:-1]} {key!r}; it has {_listed(names)}.")
    found = [name for name in default_keys if name in names]
    if found:
        return found[0]
    if len(suitable) == 1:
        note(f"{path}::{suitable[0]} is taken, the only one of its {what} that can be meant.")
        return suitable[0]
    if not names:
        raise ValueError(f"{path} has no {what}.")
    raise ValueError(
        f"{path} has the {what} {_listed(names)}, none of them called {', '.join(default_keys)}: "
        f"say which one is meant, as {path}::NAME."
    )


def _listed(names) -> str:
    """Return names in a line; a file may have thousands, and of any characters."""
    shown = [name if name.isprintable() else repr(name) for name in names[:_MOST_NAMES]]
    more = len(names) - len(shown)
    return (", ".join(shown) or "none") + (f" and {more} more" if more else "")
