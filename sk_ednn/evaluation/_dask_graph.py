"""Graphs of Dask: the blocks of one term over lazy fields, in groups, and what each reads."""

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
from ..fields._fields import Fields, Stack
from ..fields._sources import ArraySource, source_identity
from ..fields._views import OneField
from ..tiling._grid_base import box_sides, cut
from . import _dask_tasks as tasks
from ._chunks import Layout
from ._dask_record import Record
from ._groups import HELD_BYTES, EvaluatedTerm, Group, group_sites, group_totals

# Goes into the names of runs: another number where records of old journals no longer hold.
_FORMAT = 2
# From a warning here up to whoever called `EDNNRegressor.predict`.
_CALLER = 8
# Sums that one task adds up.
_FAN_IN = 64
# Tasks below which groups are made smaller, so that there is work for many workers.
_LEAST_TASKS = 64


class Work:
    """One term over all fields, as graphs."""

    def __init__(self, blocks: Any, tile_model, tiling, fields: Fields):
        self.blocks = blocks
        evaluation = blocks._inner(tile_model, tiling, fields)
        self.fields = _as_sources(fields)
        self.term = EvaluatedTerm(evaluation, tile_model, tiling)
        self.max_tiles = evaluation.tiles_per_block(tile_model, tiling, fields)
        how = type(evaluation), evaluation.get_params()
        self.identity = blocks._named(
            lambda: (tile_model.identity(), tiling.get_params(), how), "model"
        )

    def totals(self, index) -> da.Array:
        """Return the totals of a stack, (n_samples, n_outputs)."""
        graph = self._graph(index, "totals")
        sums = defaultdict(list)
        sizes = {}
        record = Record.of(self.blocks, graph)
        for place, group in graph.groups:
            sums[place[0]].append(graph.add("group", place, tasks.totals_of_group, group, record))
            sizes[place[0]] = group.box[0].stop - group.box[0].start
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

    def contributions(self, index) -> da.Array:
        """Return the contributions of a stack, (n_samples, *tile_grid, n_outputs)."""
        graph = self._graph(index, "contributions")
        ndim = len(graph.groups[0][0])
        sizes = [{} for _ in range(ndim)]
        for place, group in graph.groups:
            graph.add("", (*place, 0), tasks.contributions_of_group, group)
            for along, k, part in zip(sizes, place, group.box, strict=True):
                along[k] = part.stop - part.start
        chunks = tuple(tuple(along.values()) for along in sizes)
        return graph.array((*chunks, (self.term.tile_model.n_outputs,)))

    def _graph(self, index, what) -> _Graph:
        stack = self.fields.stacks[index]
        groups = _groups(
            index, self.term.tiling, stack.values, self.max_tiles, self.blocks.blocks_per_task
        )
        return _Graph(self, index, what, groups)


class _Graph:
    """The tasks of one stack."""

    def __init__(self, work: Work, index, what, groups):
        self.groups = groups
        self.fields = work.fields
        self.term = work.term
        source = work.fields.stacks[index].values
        most = work.blocks.blocks_per_task
        identity = work.blocks._named(lambda: source_identity(source), "source")
        self.run = digest((_FORMAT, work.identity, identity))
        self.name = f"sk-ednn-{what}-{digest((self.run, source.shape, work.max_tiles, most))}"
        self.term_key = f"sk-ednn-term-{work.identity}"
        packed = pack(work.term, work.identity, "tile model")
        # A task and not a value, so that it is computed again wherever it was lost.
        self.tasks: dict = {self.term_key: (tasks.handed, packed)}
        self.inputs = []
        self.chunked = _dask_array(source)
        if self.chunked is None:
            self.source = f"sk-ednn-source-{digest(identity)}"
            self.tasks[self.source] = (tasks.handed, pack(source, identity, "source of the fields"))
        else:
            self.inputs.append(self.chunked)
            _note_small_chunks(self.chunked, work.term.tiling, groups[0][1])

    def add(self, part, place, function, group, record=None):
        """Add the task of a group and return its key."""
        key = (f"{self.name}-{part}" if part else self.name, *place)
        done = {} if record is None else record.known(group)
        channel_axis = getattr(self.term.tiling, "channel_axis", None)
        job = tasks.Job(group, done, record, self.fields.known_range, channel_axis)
        if len(done) == len(group):
            # Nothing to read: not the chunks of a dask array either.
            values = self.fields.stacks[group.stack].values
            self.tasks[key] = (tasks.handed, group_totals(self.term, values, group, done))
        elif self.chunked is None:
            self.tasks[key] = (function, self.term_key, self.source, None, job)
        else:
            layout, keys = _chunks_seen(self.chunked, self.term.tiling, group)
            self.tasks[key] = (function, self.term_key, layout, keys, job)
        return key

    def array(self, chunks) -> da.Array:
        """Return the array of these chunks."""
        graph = HighLevelGraph.from_collections(self.name, self.tasks, dependencies=self.inputs)
        return da.Array(graph, self.name, chunks, dtype=np.float64)


def _groups(index, tiling, source, max_tiles, most) -> list[tuple[tuple[int, ...], Group]]:
    """Return the groups of a stack, each with its place among them."""
    n_samples, *field_shape = source.shape
    cuts = tiling.cuts(n_samples, tuple(field_shape), max_tiles)
    counts = [len(along) for along in cuts]
    n_blocks = int(np.prod(counts))
    n_bytes = float(np.prod([float(n) for n in source.shape])) * source.dtype.itemsize
    most = min(most, n_blocks // _LEAST_TASKS, int(HELD_BYTES // (n_bytes / n_blocks)))
    parts = [
        [along[part] for part in cut(n, side)]
        for along, n, side in zip(cuts, counts, box_sides(counts, max(1, most)), strict=True)
    ]
    return [
        (place, Group(index, tuple(along[k] for along, k in zip(parts, place, strict=True))))
        for place in product(*(range(len(along)) for along in parts))
    ]


def _as_sources(fields: Fields) -> Fields:
    """Return the same fields, those in memory as dask arrays, which are sent chunk by chunk."""
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
    """Return the dask array behind a source, as a batch, or None."""
    if isinstance(source, OneField):
        array = _dask_array(source.source)
        return None if array is None else array[None]
    array = getattr(source, "array", None)
    return array if isinstance(array, da.Array) else None


def _chunks_seen(array, tiling, group):
    """Return which chunks of a dask array a group sees: how they lie, and their keys."""
    sites = group_sites(tiling, array.shape, group)
    bounds = [np.concatenate([[0], np.cumsum(along)]) for along in array.chunks]
    seen = [
        np.unique(np.searchsorted(ends, along, side="right") - 1).tolist()
        for ends, along in zip(bounds, sites, strict=True)
    ]
    indices = list(product(*seen))
    return Layout(array.shape, array.dtype, bounds, indices), [(array.name, *i) for i in indices]


def _note_small_chunks(array, tiling, group) -> None:
    """Say so where chunks are smaller than what lies around a focus."""
    shape = array.shape
    one = Group(group.stack, tuple((slice(0, 1),) for _ in group.cuts))
    seen = [len(along) for along in group_sites(tiling, shape, one)]
    pairs = zip(shape, seen, array.chunksize, strict=True)
    if any(2 * chunk < around - 1 < length for length, around, chunk in pairs):
        warnings.warn(
            f"Chunks of {array.chunksize} are smaller than the context around a tile, which sees "
            f"{tuple(seen)}: totals are right, but each chunk is sent to many tasks. A larger "
            "chunk, by rechunk(), is faster.",
            PerformanceWarning,
            stacklevel=_CALLER,
        )
