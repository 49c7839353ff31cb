"""Dask graphs of a term over lazy fields, with one task for each group of blocks."""

from __future__ import annotations

import warnings
from collections import defaultdict
from dataclasses import replace
from itertools import product
from typing import Any

import dask.array as da
import numpy as np
from dask.array import PerformanceWarning
from dask.highlevelgraph import HighLevelGraph

from .._parallel.payloads import pack
from .._utils.hashing import digest
from .._utils.stacklevel import outside_package
from ..fields._array_source import ArraySource
from ..fields._fields import Fields, Stack
from ..fields._sources import source_identity
from ..fields._views import OneField
from ..tiling._grid_base import box_sides, cut
from . import _dask_tasks as tasks
from ._chunks import Layout
from ._dask_record import Record
from ._groups import GROUP_BYTES, EvaluatedTerm, Group, group_sites, group_totals

# Part of the hash of runs. Increase it when records of old journals become invalid.
_FORMAT = 2
# Number of sums that one task adds up.
_FAN_IN = 64
# With fewer tasks than this, groups are made smaller to occupy more workers.
_MIN_TASKS = 64


class Work:
    """The graphs of a term over all fields."""

    def __init__(self, blocks: Any, tile_model, tiling, fields: Fields):
        self.blocks = blocks
        evaluation = blocks._inner(tile_model, tiling, fields)
        self.fields = _as_sources(fields)
        self.term = EvaluatedTerm(evaluation, tile_model, tiling)
        self.max_tiles = evaluation.tiles_per_block(tile_model, tiling, fields)
        params = type(evaluation), evaluation.get_params()
        self.identity = blocks._hash(
            lambda: (tile_model.identity(), tiling.get_params(), params), "model"
        )

    def totals(self, stack) -> da.Array:
        """Return the totals of a stack, (n_samples, n_outputs)."""
        graph = self._graph(stack, "totals")
        sums = defaultdict(list)
        sizes = {}
        record = Record.of(self.blocks, graph)
        for index, group in graph.groups:
            key = graph.add("group", index, tasks.totals_of_group, group, record)
            sums[index[0]].append(key)
            sizes[index[0]] = group.box[0].stop - group.box[0].start
        for first, keys in sums.items():
            level = 0
            while len(keys) > _FAN_IN:
                level += 1
                parts = [keys[k : k + _FAN_IN] for k in range(0, len(keys), _FAN_IN)]
                keys = [(f"{graph.name}-sum-{level}", first, k) for k in range(len(parts))]
                graph.tasks.update(
                    (key, (tasks.merged_totals, part))
                    for key, part in zip(keys, parts, strict=True)
                )
            graph.tasks[graph.name, first, 0] = (tasks.rounded_totals, keys, sizes[first])
        return graph.array((tuple(sizes.values()), (self.term.tile_model.n_outputs,)))

    def contributions(self, stack) -> da.Array:
        """Return the contributions of a stack, (n_samples, *tile_grid, n_outputs)."""
        graph = self._graph(stack, "contributions")
        ndim = len(graph.groups[0][0])
        sizes = [{} for _ in range(ndim)]
        for index, group in graph.groups:
            graph.add("", (*index, 0), tasks.contributions_of_group, group)
            for along, k, part in zip(sizes, index, group.box, strict=True):
                along[k] = part.stop - part.start
        chunks = tuple(tuple(along.values()) for along in sizes)
        return graph.array((*chunks, (self.term.tile_model.n_outputs,)))

    def _graph(self, stack, result) -> _Graph:
        groups = _groups(
            stack, self.term.tiling, self.fields.stacks[stack].values, self.max_tiles,
            self.blocks.blocks_per_task,
        )  # fmt: skip
        return _Graph(self, stack, result, groups)


class _Graph:
    """The tasks of a stack, which compute its totals or contributions."""

    def __init__(self, work: Work, stack, result, groups):
        self.groups = groups
        self.fields = work.fields
        self.term = work.term
        source = work.fields.stacks[stack].values
        identity = work.blocks._hash(lambda: source_identity(source), "source")
        self.run = digest((_FORMAT, work.identity, identity))
        layout = source.shape, work.max_tiles, work.blocks.blocks_per_task
        self.name = f"sk-ednn-{result}-{digest((self.run, *layout))}"
        self.term_key = f"sk-ednn-term-{work.identity}"
        packed = pack(work.term, work.identity, "tile model")
        # A task rather than a value, so that it is computed again if a worker is lost.
        self.tasks: dict = {self.term_key: (tasks.identity, packed)}
        self.inputs = []
        self.chunked = _dask_array(source)
        if self.chunked is None:
            self.source = f"sk-ednn-source-{digest(identity)}"
            self.tasks[self.source] = (
                tasks.identity,
                pack(source, identity, "source of the fields"),
            )
        else:
            self.inputs.append(self.chunked)
            _warn_of_small_chunks(self.chunked, work.term.tiling, groups[0][1])

    def add(self, part, index, function, group, record=None):
        """Add the task of a group and return its key."""
        key = (f"{self.name}-{part}" if part else self.name, *index)
        done = {} if record is None else record.recorded(group)
        channel_axis = self.term.tiling.channel_axis
        job = tasks.Job(group, done, record, self.fields.known_range, channel_axis)
        if len(done) == len(group):
            # All blocks are recorded, so that no chunks are read.
            values = self.fields.stacks[group.stack].values
            self.tasks[key] = (tasks.identity, group_totals(self.term, values, group, done))
        elif self.chunked is None:
            self.tasks[key] = (function, self.term_key, self.source, None, job)
        else:
            layout, keys = _chunks_seen(self.chunked, self.term.tiling, group)
            self.tasks[key] = (function, self.term_key, layout, keys, job)
        return key

    def array(self, chunks) -> da.Array:
        """Return the dask array with these chunks."""
        graph = HighLevelGraph.from_collections(self.name, self.tasks, dependencies=self.inputs)
        return da.Array(graph, self.name, chunks, dtype=np.float64)


def _groups(stack, tiling, source, max_tiles, max_blocks) -> list[tuple[tuple[int, ...], Group]]:
    """Return the groups of a stack, each with its index along the samples and each axis."""
    n_samples, *field_shape = source.shape
    cuts = tiling.cuts(n_samples, tuple(field_shape), max_tiles)
    counts = [len(along) for along in cuts]
    n_blocks = int(np.prod(counts))
    n_bytes = float(np.prod([float(n) for n in source.shape])) * source.dtype.itemsize
    fitting = int(GROUP_BYTES // (n_bytes / n_blocks))
    sides = box_sides(counts, max(1, min(max_blocks, n_blocks // _MIN_TASKS, fitting)))
    parts = [
        [along[part] for part in cut(n, side)]
        for along, n, side in zip(cuts, counts, sides, strict=True)
    ]
    return [
        (index, Group(stack, tuple(along[k] for along, k in zip(parts, index, strict=True))))
        for index in product(*(range(len(along)) for along in parts))
    ]


def _as_sources(fields: Fields) -> Fields:
    """Return the fields with those in memory as dask arrays, which are sent chunk by chunk."""
    stacks = []
    for stack in fields.stacks:
        values = stack.values
        if isinstance(values, ArraySource) and values.in_memory:
            values = values.array
        if isinstance(values, np.ndarray):
            values = ArraySource(da.from_array(values))
        stacks.append(Stack(stack.samples, values))
    return replace(fields, stacks=tuple(stacks))


def _dask_array(source) -> da.Array | None:
    """Return the dask array of a source, with a sample axis, or None."""
    if isinstance(source, OneField):
        array = _dask_array(source.source)
        return None if array is None else array[None]
    array = getattr(source, "array", None)
    return array if isinstance(array, da.Array) else None


def _chunks_seen(array, tiling, group):
    """Return the layout and the keys of the chunks of a dask array that a group sees."""
    sites = group_sites(tiling, array.shape, group)
    bounds = [np.concatenate([[0], np.cumsum(along)]) for along in array.chunks]
    by_axis = [
        np.unique(np.searchsorted(ends, along, side="right") - 1).tolist()
        for ends, along in zip(bounds, sites, strict=True)
    ]
    indices = list(product(*by_axis))
    return Layout(array.shape, array.dtype, bounds, indices), [(array.name, *i) for i in indices]


def _warn_of_small_chunks(array, tiling, group) -> None:
    """Warn if chunks are smaller than the context of a tile."""
    tile = Group(group.stack, tuple((slice(0, 1),) for _ in group.cuts))
    window = [len(along) for along in group_sites(tiling, array.shape, tile)]
    sizes = zip(array.shape, window, array.chunksize, strict=True)
    if any(2 * chunk < n_seen - 1 < length for length, n_seen, chunk in sizes):
        warnings.warn(
            f"Chunks of {array.chunksize} are smaller than the context of a tile, which sees "
            f"{tuple(window)}. Totals are correct, but each chunk is sent to many tasks. Larger "
            "chunks, from rechunk(), are faster.",
            PerformanceWarning,
            stacklevel=outside_package(),
        )
