"""Reading of arrays in HDF5 files and zarr stores."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from .._utils.optional import needing
from ._wanted import Unreadable, Wanted, in_full, note_mask, reading

_MAX_LINKS = 32  # that are followed before they count as circular


def read_hdf5(path: Path, wanted: Wanted) -> np.ndarray:
    """Read a dataset of an HDF5 file by its name or that of a link in the file."""
    with needing(f"Reading {path}"):
        import h5py
    with reading(path), h5py.File(path, "r") as file:
        name, dataset = _chosen(
            path, wanted, lambda name: _find(path, file, name), lambda: _datasets(file)
        )
        wanted.require_unit(f"{path}::{name}", dataset)
        return in_full(path, name, dataset)


def read_zarr(path: Path, wanted: Wanted) -> np.ndarray:
    """Read an array of a zarr group, or a zarr array."""
    with needing(f"Reading {path}"):
        import zarr
    from ..fields._zarr import (
        require_plain_files,
    )  # after checks of names, since the import takes time

    with reading(path):
        if not path.is_dir():
            raise Unreadable(f"{path} is a file, but a zarr store is a folder.")
        # Before zarr opens it, since its metadata may be pipes.
        require_plain_files(path)
        store = zarr.open(str(path), mode="r")
        if hasattr(store, "shape"):
            if wanted.key is not None:
                raise Unreadable(
                    f"{path} contains a single array without a name. Leave out ::{wanted.key}."
                )
            wanted.require_unit(str(path), store)
            return in_full(path, "", store)
        name, array = _chosen(path, wanted, lambda name: _node(store, name), lambda: _arrays(store))
        wanted.require_unit(f"{path}::{name}", array)
        return in_full(path, name, array)


def _chosen(path, wanted, find, all_arrays) -> tuple:
    """Return the name and the requested array; print a note if there is a mask beside it."""
    name, array = _found(path, wanted, find, all_arrays)
    note_mask(path, name, lambda mask: hasattr(find(mask), "shape"))
    return name, array


def _found(path, wanted, find, all_arrays) -> tuple:
    """Return the name and the requested array.

    Names are looked up first, since that follows links; then all arrays are listed.
    """
    given = _plain(wanted.key or "")
    node = find(given)
    if hasattr(node, "shape"):
        return given, node
    arrays = all_arrays()
    if node is not None:  # a group that contains the array
        for usual in wanted.usual:
            name = f"{given}/{usual}" if given else usual
            node = find(name)
            if hasattr(node, "shape"):
                return name, node
        arrays = {
            name: each for name, each in arrays.items() if name.startswith(given and f"{given}/")
        }
        wanted = replace(wanted, key=None)
    suitable = [name for name, each in arrays.items() if wanted.suits(name, each.shape, each.dtype)]
    name = wanted.choose(path, list(arrays), suitable)
    return name, arrays[name]


def _plain(name: str) -> str:
    """Return a name without redundant slashes: /a//b is a/b."""
    return "/".join(part for part in name.split("/") if part not in ("", "."))


# --- HDF5 -------------------------------------------------------------------------------------


def _datasets(file) -> dict:
    datasets = {}

    def visit(name, item):
        if hasattr(item, "shape"):
            datasets[name] = item

    file.visititems(visit)
    return datasets


def _find(path, file, name):
    """Return the object of a name, or None; links to other files are not followed."""
    from h5py import Group, h5l

    node, parts, n_links = file, name.split("/") if name else [], 0
    while parts:
        part, *parts = parts
        key = part.encode("utf-8", "surrogateescape")
        if not isinstance(node, Group) or not node.id.links.exists(key):
            return None
        kind = node.id.links.get_info(key).type
        if kind == h5l.TYPE_HARD:
            node = node[part]
            continue
        n_links += 1
        goal = node.id.links.get_val(key)
        if kind != h5l.TYPE_SOFT:
            other = os.fsdecode(goal[0]) if isinstance(goal, tuple) else "of another kind"
            raise Unreadable(
                f"{path}::{name} is a link to another file, {other}, which is not followed. Pass "
                "that file."
            )
        if n_links > _MAX_LINKS:
            raise Unreadable(f"{path}::{name} is a circular link.")
        goal = goal.decode("utf-8", "surrogateescape")
        node = file if goal.startswith("/") else node
        parts = _plain(goal).split("/") + parts
    return node


# --- zarr -------------------------------------------------------------------------------------


def _node(group, name):
    if ".." in name.split("/"):  # would be a path out of the store
        return None
    return group.get(name) if name else group


def _arrays(group) -> dict:
    members = group.members(max_depth=None)
    return {name: each for name, each in sorted(members, key=_first) if hasattr(each, "shape")}


def _first(pair):
    return pair[0]
