"""Fields and targets from files, and results back into them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..exceptions import MissingExtraError


def split_name(name: str) -> tuple[Path, str | None]:
    """Split ``file.npz::key`` into the file and the key."""
    path, _, key = name.partition("::")
    return Path(path), key or None


def read_array(name: str, default_keys: tuple[str, ...]) -> np.ndarray:
    """Read an array from .npy, .npz, .h5/.hdf5 or .zarr.

    Parameters
    ----------
    name : str
        A path; where the file holds several arrays, followed by ``::`` and a name.
    default_keys : tuple of str
        Names looked for where none is given.

    Raises
    ------
    ValueError, FileNotFoundError
        Saying what the file holds.
    """
    path, key = split_name(name)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist.")
    if path.suffix == ".npy":
        return np.load(path, mmap_mode="r")
    if path.suffix == ".npz":
        with np.load(path) as archive:
            return archive[_choose(path, key, list(archive.files), default_keys)]
    if path.suffix in {".h5", ".hdf5", ".hdf"}:
        h5py = _optional("h5py", "hdf5")
        with h5py.File(path, "r") as file:
            names: list[str] = []
            file.visititems(lambda n, o: names.append(n) if hasattr(o, "shape") else None)
            return file[_choose(path, key, names, default_keys)][...]
    if path.suffix == ".zarr":
        zarr = _optional("zarr", "zarr")
        node = zarr.open(str(path), mode="r")
        if hasattr(node, "shape"):
            return node[...]
        return node[_choose(path, key, list(node.array_keys()), default_keys)][...]
    raise ValueError(
        f"{path}: expected a file that ends in .npy, .npz, .h5, .hdf5 or .zarr, got "
        f"{path.suffix or 'no ending'!r}."
    )


def _choose(path, key, names, default_keys) -> str:
    if key is not None:
        if key in names:
            return key
        raise ValueError(f"{path} holds no array {key!r}; it holds {', '.join(names) or 'none'}.")
    found = [name for name in default_keys if name in names]
    if found:
        return found[0]
    raise ValueError(
        f"{path} holds the arrays {', '.join(names) or '(none)'}: say which one is meant, as "
        f"{path}::{names[0] if names else 'NAME'}."
    )


def _optional(module: str, extra: str):
    from importlib import import_module

    try:
        return import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f"Reading this file needs {module}: pip install 'sk-ednn[{extra}]'"
        ) from error
