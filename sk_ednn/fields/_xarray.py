"""Arrays of xarray, without importing it: values without labels, in memory or in dask arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._utils.optional import is_from


def is_in_memory(labelled) -> bool:
    """Return True if an xarray.DataArray or Variable contains its numbers."""
    # Asking for the numbers would read them, and xarray has no other word for it.
    # A DataArray has its numbers in a Variable, which users may have, too.
    variable = getattr(labelled, "variable", labelled)
    return labelled.chunks is None and getattr(variable, "_in_memory", True)


def without_labels(x):
    """Return what an xarray.DataArray wraps, as a dask array where it is not in memory."""
    if not is_from(x, "xarray"):
        return x
    if x.chunks is None:
        x = x if is_in_memory(x) else x.chunk("auto")
    return x.data


def store_within(lazy) -> tuple | None:
    """Return the zarr array that a lazily indexed array of xarray reads and decodes, and its sites.

    Parameters
    ----------
    lazy : object
        As xarray puts it into the graph of Dask.

    Returns
    -------
    (zarr.Array, list) or None
        The list has the sites of each axis of the store: an array for an axis of `lazy`, in order,
        and a number for an axis that was dropped. None in place of the list if sites are chosen
        point by point. None if `lazy` reads no store, or only part of its layers are known.
    """
    layers = []
    while is_from(lazy, "xarray"):
        layers.append(lazy)
        lazy = getattr(lazy, "array", getattr(lazy, "_array", None))
    store: Any = lazy
    if not layers or not is_from(store, "zarr") or not hasattr(store, "chunks"):
        return None
    sites: list | None = [np.arange(n) for n in store.shape]
    for layer in reversed(layers):
        key = getattr(layer, "key", None)
        if key is not None and sites is not None:
            sites = _indexed(sites, getattr(key, "tuple", None), layer)
    return store, sites


def _indexed(sites, key, layer) -> list | None:
    if key is None or "Vectorized" in type(layer).__name__:
        return None
    left = list(key)
    return [part if np.ndim(part) == 0 else part[left.pop(0)] for part in sites]
