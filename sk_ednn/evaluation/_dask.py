"""Evaluate block by block with Dask: past one machine, and past memory."""

from __future__ import annotations

from collections import defaultdict
from itertools import product
from numbers import Integral

import dask
import dask.array as da
import numpy as np
from dask.highlevelgraph import HighLevelGraph
from sklearn.base import clone
from sklearn.utils._param_validation import Interval

from .._digest import digest
from .._fields import Fields, Stack
from .._sources import ArraySource, OneField, source_identity
from ..tiling._base import box_sides, cut
from ._auto import AutoEvaluation
from ._base import AbstractEvaluation
from ._exact import ExactTotals
from ._groups import (
    HELD_BYTES,
    Group,
    Term,
    group_contributions,
    group_sites,
    group_totals,
)  # fmt: skip
from ._packed import pack

# Sums that one task adds up.
_FAN_IN = 64
# Tasks below which groups are made smaller, so that there is work for many workers.
_LEAST_TASKS = 64


class DaskBlocks(AbstractEvaluation):
    """Evaluate groups of blocks as tasks of Dask, wherever these run.

    Parameters
    ----------
    evaluation : AbstractEvaluation or None, default=None
        What runs in the blocks: `Direct`, `Unique` or `Network`. None for `AutoEvaluation`.
    blocks_per_task : int, default=64
        Most blocks of a task.
    verbose : int or None, default=None
        Whether to show a progress bar.
    """

    _parameter_constraints = {
        "evaluation": [AbstractEvaluation, None],
        "blocks_per_task": [Interval(Integral, 1, None, closed="left")],
        "verbose": ["verbose", None],
    }

    def __init__(self, evaluation=None, *, blocks_per_task=64, verbose=None):
        self.evaluation = evaluation
        self.blocks_per_task = blocks_per_task
        self.verbose = verbose

    def tiles_per_block(self, tile_model, tiling, fields):
        """Return the most tiles of a block; see `AbstractEvaluation`."""
        return self._inner(tile_model, tiling, fields).tiles_per_block(tile_model, tiling, fields)

    def block_contributions(self, tile_model, tiling, fields, blocks=None):
        """Yield each block with its contributions, without Dask; see `AbstractEvaluation`."""
        inner = self._inner(tile_model, tiling, fields)
        return inner.block_contributions(tile_model, tiling, fields, blocks)

    def block_totals(self, tile_model, tiling, fields, blocks=None):
        """Yield each block with its totals, without Dask; see `AbstractEvaluation`."""
        inner = self._inner(tile_model, tiling, fields)
        return inner.block_totals(tile_model, tiling, fields, blocks)

    def totals(self, tile_model, tiling, fields):
        """Return the totals of fields; see `AbstractEvaluation`.

        Returns
        -------
        dask.array.Array or ndarray of shape (n_samples, n_outputs), float64
            An ndarray where the fields are in memory.
        """
        work = _Work(self, tile_model, tiling, fields)
        parts = [work.totals(index) for index in range(len(work.fields.stacks))]
        totals = parts[0]
        if len(parts) > 1:
            order = np.concatenate([stack.samples for stack in fields.stacks])
            totals = da.concatenate(parts)[np.argsort(order)]
        return totals if fields.lazy else totals.compute()

    def contributions(self, tile_model, tiling, fields):
        """Return what each tile holds, per stack of the fields; see `AbstractEvaluation`."""
        work = _Work(self, tile_model, tiling, fields)
        maps = [work.contributions(index) for index in range(len(work.fields.stacks))]
        return maps if fields.lazy else list(dask.compute(*maps))

    def _inner(self, tile_model, tiling, fields) -> AbstractEvaluation:
        self._validate_params()
        inner = AutoEvaluation() if self.evaluation is None else self.evaluation
        if isinstance(inner, AutoEvaluation):
            inner = inner.select(tile_model, tiling, fields)
        return clone(inner).set_params(n_jobs=1, verbose=0)


class _Work:
    """One term over all fields, as graphs."""

    def __init__(self, blocks: DaskBlocks, tile_model, tiling, fields: Fields):
        self.blocks = blocks
        self.fields = _as_sources(fields)
        evaluation = blocks._inner(tile_model, tiling, self.fields)
        self.term = Term(evaluation, tile_model, tiling)
        self.max_tiles = evaluation.tiles_per_block(tile_model, tiling, self.fields)
        self.identity = digest(
            (tile_model.identity(), tiling.get_params(), type(evaluation), evaluation.get_params())
        )

    def totals(self, index) -> da.Array:
        """Return the totals of a stack, (n_samples, n_outputs)."""
        graph = self._graph(index, "totals")
        sums = defaultdict(list)
        sizes = {}
        for place, group in graph.groups:
            sums[place[0]].append(graph.add("group", place, _totals, group))
            sizes[place[0]] = group.box[0].stop - group.box[0].start
        for first, keys in sums.items():
            level = 0
            while len(keys) > _FAN_IN:
                level += 1
                parts = [keys[k : k + _FAN_IN] for k in range(0, len(keys), _FAN_IN)]
                keys = [(f"{graph.name}-sum-{level}", first, k) for k in range(len(parts))]
                graph.tasks.update(
                    (key, (_merged, part)) for key, part in zip(keys, parts, strict=True)
                )
            graph.tasks[graph.name, first, 0] = (_rounded, keys, sizes[first])
        return graph.array((tuple(sizes.values()), (self.term.tile_model.n_outputs,)))

    def contributions(self, index) -> da.Array:
        """Return the contributions of a stack, (n_samples, *tile_grid, n_outputs)."""
        graph = self._graph(index, "contributions")
        ndim = len(graph.groups[0][0])
        sizes = [{} for _ in range(ndim)]
        for place, group in graph.groups:
            graph.add("", (*place, 0), _contributions, group)
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

    def __init__(self, work: _Work, index, what, groups):
        self.groups = groups
        self.tiling = work.term.tiling
        source = work.fields.stacks[index].values
        self.name = "-".join(
            ["sk-ednn", what, dask.base.tokenize(work.identity, source_identity(source), groups)]
        )
        self.term = f"sk-ednn-term-{work.identity}"
        packed = pack(work.term, work.identity, "tile model")
        # A task and not a value, so that it is computed again wherever it was lost.
        self.tasks = {self.term: (_handed, packed)}
        self.inputs = []
        self.chunked = _dask_array(source)
        if self.chunked is None:
            identity = source_identity(source)
            self.source = f"sk-ednn-source-{digest(identity)}"
            self.tasks[self.source] = (_handed, pack(source, identity, "source of the fields"))
        else:
            self.inputs.append(self.chunked)

    def add(self, part, place, function, group):
        """Add the task of a group and return its key."""
        key = (f"{self.name}-{part}" if part else self.name, *place)
        if self.chunked is None:
            self.tasks[key] = (function, self.term, self.source, None, group)
        else:
            layout, keys = _chunks_seen(self.chunked, self.tiling, group)
            self.tasks[key] = (function, self.term, layout, keys, group)
        return key

    def array(self, chunks) -> da.Array:
        """Return the array of these chunks."""
        graph = HighLevelGraph.from_collections(self.name, self.tasks, dependencies=self.inputs)
        return da.Array(graph, self.name, chunks, dtype=np.float64)


# --- what tasks do --------------------------------------------------------------------------------


def _handed(packed):
    return packed


def _totals(term, source, chunks, group):
    return group_totals(term.open(), _opened(source, chunks), group, {})


def _contributions(term, source, chunks, group):
    return group_contributions(term.open(), _opened(source, chunks), group)


def _merged(totals) -> ExactTotals:
    merged = ExactTotals(totals[0].n_outputs)
    for part in totals:
        merged.merge(part)
    return merged.condensed()


def _rounded(totals, n_samples) -> np.ndarray:
    return _merged(totals).rounded(n_samples)


def _opened(source, chunks):
    return source.open() if chunks is None else source.of(chunks)


# --- where blocks are and what they see -----------------------------------------------------------


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
    """Return the same fields, those in memory as dask arrays."""
    stacks = tuple(
        Stack(stack.samples, ArraySource(da.from_array(stack.values)))
        if isinstance(stack.values, np.ndarray)
        else stack
        for stack in fields.stacks
    )
    return Fields(stacks, fields.n_samples, fields.ragged)


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
    return _Layout(array.shape, array.dtype, bounds, indices), [(array.name, *i) for i in indices]


class _Layout:
    """How some chunks lie in an array."""

    def __init__(self, shape, dtype, bounds, indices):
        self.shape = shape
        self.dtype = dtype
        self.bounds = bounds
        self.indices = indices

    def of(self, chunks) -> _Chunks:
        """Return the source that these chunks make."""
        return _Chunks(self, chunks)


class _Chunks:
    """Some chunks of an array that are at hand, read by the places of the array."""

    spacing = None

    def __init__(self, layout, chunks):
        self.shape = layout.shape
        self.dtype = layout.dtype
        self.bounds = layout.bounds
        self.held = dict(zip(layout.indices, chunks, strict=True))

    def read(self, slices) -> np.ndarray:
        """Return the box of these slices."""
        out = np.empty([part.stop - part.start for part in slices], dtype=self.dtype)
        ranges = [
            range(
                int(np.searchsorted(ends, part.start, side="right")) - 1,
                int(np.searchsorted(ends, part.stop, side="left")),
            )
            for ends, part in zip(self.bounds, slices, strict=True)
        ]
        for index in product(*ranges):
            chunk = np.asarray(self.held[index])
            if len(index) == sum(len(r) == 1 for r in ranges):
                offsets = [ends[k] for ends, k in zip(self.bounds, index, strict=True)]
                box = (slice(p.start - o, p.stop - o) for p, o in zip(slices, offsets, strict=True))
                return chunk[tuple(box)]
            here, there = [], []
            for ends, k, part in zip(self.bounds, index, slices, strict=True):
                start, stop = max(part.start, ends[k]), min(part.stop, ends[k + 1])
                here.append(slice(start - ends[k], stop - ends[k]))
                there.append(slice(start - part.start, stop - part.start))
            out[tuple(there)] = chunk[tuple(here)]
        return out
