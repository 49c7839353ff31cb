"""Stores that a dask array reads from: their missing chunks and marks, which Dask ignores."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import numpy as np

from .._utils.optional import is_from
from ._xarray import store_within

# Layers of Dask that only move numbers, or change their type.
_MOVES = frozenset(
    (
        "getitem", "getitem_variadic", "blocks", "partitions", "vindex-merge", "shuffle",
        "rechunk-merge", "rechunk-split", "transpose", "swapaxes", "reshape", "broadcast_to",
        "concatenate", "stack", "repeat", "overlap", "astype", "asarray", "asanyarray", "real",
    )
)  # fmt: skip
# Functions with which Dask reads a block of a store.
_READS = ("getter", "getter_nofancy", "getter_inline", "getitem")


def with_checked_stores(array: Any, source_of) -> Any:
    """Return a dask array that reads its HDF5 datasets and zarr arrays through sources.

    Parameters
    ----------
    array : dask.array.Array
        Looked at are the stores that `dask.array.from_array` and `from_zarr` put into its graph.
        Objects of xarray that decode a zarr array read it themselves, after a check of its chunks.
    source_of : function
        Called with a store and whether `array` is what is in it, nothing computed from it yet.
        Returns the `FieldSource` to read in its place.

    Returns
    -------
    dask.array.Array
        An array of the same name and keys; `array` itself where it reads from no store.
    """
    layers = getattr(array.dask, "layers", None)
    if layers is None:
        return array
    unchanged = _unchanged_layers(array.dask, array.name)
    changed = {}
    for name, layer in layers.items():
        new = _checked_layer(
            layer, partial(_checked, source_of=source_of, unchanged=name in unchanged)
        )
        if new is not None:
            changed[name] = new
    if not changed:
        return array
    graph = type(array.dask)({**layers, **changed}, array.dask.dependencies)
    return type(array)(graph, array.name, array.chunks, meta=array._meta)


def _unchanged_layers(graph, name) -> set[str]:
    """Return the layers whose numbers are those of an array, in another place at most."""
    layers, left = set(), [name]
    while left:
        layer = left.pop()
        below = graph.dependencies.get(layer, ())
        layers.add(layer)
        if layer.rpartition("-")[0] in _MOVES:  # names end in a token
            left.extend(below)
        else:  # what is computed from a store has the layer that reads it in between
            layers.update(name for name in below if _stored(graph.layers[name]) is not None)
    return layers


def _checked_layer(layer, checked):
    """Return a layer with checked stores in place of its stores, None where it contains none."""
    if hasattr(layer, "indices"):  # computed block by block, the store one of the arguments
        if not any(_is_store(value) for value, _ in layer.indices):
            return None
        new = copy.copy(layer)
        new.indices = tuple(
            (checked(value) if _is_store(value) else value, index) for value, index in layer.indices
        )
        vars(new).pop("_cached_dict", None)  # what was built from the former arguments
        return new
    if not _only_reads(layer):
        checked = partial(checked, unchanged=False)
    changed = {key: _checked_node(node, checked) for key, node in _nodes(layer)}
    changed = {key: node for key, node in changed.items() if node is not None}
    return type(layer)({**layer, **changed}) if changed else None


def _checked_node(node, checked):
    """Return a node of a graph with checked stores in place of its stores, None without any."""
    content = getattr(node, "value", node)  # some versions of Dask wrap data
    if _is_store(content):
        return checked(content)
    if isinstance(content, dict):  # tasks that `dask.optimize` made one of
        parts = {key: _checked_node(part, checked) for key, part in content.items()}
        changed = {key: part for key, part in parts.items() if part is not None}
        return {**content, **changed} if changed else None
    if not hasattr(node, "func"):
        return None
    args = [_checked_node(part, checked) for part in node.args]
    if all(part is None for part in args):
        return None
    args = [old if new is None else new for old, new in zip(node.args, args, strict=True)]
    return type(node)(node.key, node.func, *args, **node.kwargs)


def _nodes(layer):
    """Return the nodes of a layer that is written out; others are built from their arguments."""
    return layer.items() if hasattr(layer, "mapping") else ()


def _stored(layer):
    """Return the store that a layer contains and nothing else, or None."""
    if hasattr(layer, "indices") or len(layer) != 1:
        return None
    (node,) = layer.values()
    value = getattr(node, "value", node)
    return value if _is_store(value) else None


def _only_reads(layer) -> bool:
    """Return True if a layer that is written out, as by `dask.optimize`, computes nothing."""
    functions = (getattr(node, "func", None) for _, node in _nodes(layer))
    return all(
        function is None or getattr(function, "__name__", "") in _READS for function in functions
    )


def _is_store(value) -> bool:
    if is_from(value, "xarray"):
        return store_within(value) is not None
    if not (is_from(value, "h5py") or is_from(value, "zarr")):
        return False
    return hasattr(value, "shape") and hasattr(value, "dtype")


def _checked(store, source_of, unchanged):
    if not is_from(store, "xarray"):
        return _Checked(source_of(store, unchanged))
    array, sites = store_within(store)
    return _CheckedBefore(store, source_of(array, False), sites)


class _Checked:
    """Stand-in for a store, which Dask slices.

    Parameters
    ----------
    source : FieldSource
    """

    def __init__(self, source):
        self.source = source
        self.shape, self.dtype, self.ndim = source.shape, source.dtype, len(source.shape)

    def __getitem__(self, index):
        box, within = _box_of(index, self.shape)
        return self.source.read(box)[within]


class _CheckedBefore:
    """Stand-in for an array of xarray that decodes a store, whose chunks are checked first.

    Parameters
    ----------
    lazy : object of xarray
    source : ArraySource
        The store.
    sites : list or None
        See `store_within`.
    """

    def __init__(self, lazy, source, sites):
        self.lazy, self.source, self.sites = lazy, source, sites
        self.shape, self.dtype, self.ndim = lazy.shape, lazy.dtype, len(lazy.shape)

    def __getitem__(self, index):
        self.source.require_stored(self._box_of(index))
        return self.lazy[index]

    def _box_of(self, index):
        """Return the box of the store that an index needs."""
        if self.sites is None:
            return tuple(slice(0, n) for n in self.source.shape)
        left, box = list(_box_of(index, self.shape)[0]), []
        for sites in self.sites:
            part = np.atleast_1d(sites)[left.pop(0)] if np.ndim(sites) else np.array([sites])
            box.append(slice(int(part.min()), int(part.max()) + 1) if part.size else slice(0, 0))
        return tuple(box)


def _box_of(index, shape):
    """Return the slices of the box that an index lies in, and the index within the box."""
    parts = list(index) if isinstance(index, tuple) else [index]
    if Ellipsis in [part for part in parts if not isinstance(part, np.ndarray)]:
        at = [part is Ellipsis for part in parts].index(True)
        missing = len(shape) - (len(parts) - 1)
        parts[at : at + 1] = [slice(None)] * missing
    parts += [slice(None)] * (len(shape) - len(parts))
    box, within = [], []
    for part, n in zip(parts, shape, strict=True):
        sites = np.arange(n)[part]
        low, high = (int(sites.min()), int(sites.max()) + 1) if sites.size else (0, 0)
        box.append(slice(low, high))
        if isinstance(part, slice):
            start, stop, step = part.indices(n)
            stop = None if stop - low < 0 else stop - low
            within.append(slice(start - low, stop, step) if sites.size else slice(0, 0))
        else:
            within.append(sites - low)
    return tuple(box), tuple(within)
