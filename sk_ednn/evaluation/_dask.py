"""Evaluate block by block with Dask: past one machine, and past memory."""

from __future__ import annotations

import os
import sys
import uuid
import warnings
from collections import defaultdict
from dataclasses import dataclass, field, replace
from itertools import product
from numbers import Integral
from pathlib import Path

import dask
import dask.array as da
import numpy as np
from dask.array import PerformanceWarning
from dask.highlevelgraph import HighLevelGraph
from sklearn.base import clone
from sklearn.utils._param_validation import Interval
from tqdm.auto import tqdm

from .._parallel.journal import Journal
from .._parallel.payloads import pack
from .._parallel.progress import ProgressBar
from .._utils.hashing import digest, told_apart
from .._utils.stored import stored
from ..exceptions import NoveltyWarning, TileModelError
from ..fields._fields import Fields, Stack
from ..fields._range import InputRange, WatchedSource
from ..fields._sources import ArraySource, source_identity
from ..fields._views import OneField
from ..tiling._base import box_sides, cut
from ._auto import AutoEvaluation
from ._base import AbstractEvaluation
from ._chunks import Layout
from ._exact import ExactTotals
from ._groups import (  # fmt: skip
    HELD_BYTES,
    Group,
    Term,
    group_contributions,
    group_sites,
    group_totals,
    key_of,
)
from ._unique import Unique

# Goes into the names of runs: another number where records of old journals no longer hold.
_FORMAT = 2
_TOPIC = "sk-ednn-blocks"
# From a warning here up to whoever called `EDNNRegressor.predict`.
_CALLER = 8
# Sums that one task adds up.
_FAN_IN = 64
# Tasks below which groups are made smaller, so that there is work for many workers.
_LEAST_TASKS = 64


@stored("DaskBlocks")
class DaskBlocks(AbstractEvaluation):
    """Evaluate groups of blocks as tasks of Dask, wherever these run.

    `EDNNRegressor.predict` takes it for fields that are read piece by piece: dask arrays and
    sources (`ArraySource`, `sk_ednn.atoms.AtomsSource`). It then returns a dask array; what is
    active when that is computed does the work: threads where nothing is, processes, or a
    `distributed.Client`. Fields in memory are evaluated at once. Totals are the same to the last
    bit for any scheduler, any number of workers, any chunks and any groups, and equal to those of
    `evaluation` without Dask.

    Parameters
    ----------
    evaluation : AbstractEvaluation or None, default=None
        What runs in the blocks: `Direct`, `Unique` or `Network`. None for `AutoEvaluation`.
    blocks_per_task : int, default=64
        Most neighbouring blocks of a task. It takes fewer where there are few blocks, or where
        they hold more than 256 MiB of the field.
    journal : str, path or None, default=None
        A folder that all workers see. Each total of a block is recorded there; when the same
        totals are asked for again, by another process too, only blocks that are not recorded are
        computed. Records are found by a digest of the model, the tiling, the evaluation and the
        source, whose files are known by their path, size and time. All of them must be such that
        they can be told from others: no lambda, and no class defined in a function.
    verbose : int or None, default=None
        Whether to show a progress bar while totals are computed, and with a `distributed.Client`
        the address of its dashboard.

    Notes
    -----
    A task reads what its blocks see and no more, so that memory does not grow with the field. The
    model is a task of the graph, known by its content: workers that are lost, all of them too,
    cost the groups whose sums they held, and with a journal only those they were at. Lambdas and
    classes without a name travel with it; what cannot travel at all, such as a lock, is evaluated
    by the threads of one process. `Unique`
    remembers nothing from block to block here: totals are to the last bit those of
    ``Unique(table_size=0)``.

    References
    ----------
    K. Mills et al., Chem. Sci. 2019, 10, 4129, section 3.4: tiles are independent, so that the
    evaluation of large systems is divided among machines.

    Examples
    --------
    >>> import dask.array as da
    >>> import numpy as np
    >>> from sk_ednn import EDNNRegressor
    >>> from sk_ednn.datasets import make_ising
    >>> small = make_ising(300, (8, 8), random_state=0)
    >>> model = EDNNRegressor().fit(small.fields, small.energies)
    >>> spins = da.random.default_rng(0).integers(0, 2, (1, 1024, 1024), chunks=300) * 2 - 1
    >>> lazy = model.predict(spins.astype(np.int8))
    >>> lazy.shape, lazy.dtype
    ((1,), dtype('float64'))
    >>> bool(lazy.compute()[0] == model.predict(spins.astype(np.int8).compute())[0])
    True
    """

    _parameter_constraints = {
        "evaluation": [AbstractEvaluation, None],
        "blocks_per_task": [Interval(Integral, 1, None, closed="left")],
        "journal": [str, Path, None],
        "verbose": ["verbose", None],
    }

    def __init__(self, evaluation=None, *, blocks_per_task=64, journal=None, verbose=None):
        self.evaluation = evaluation
        self.blocks_per_task = blocks_per_task
        self.journal = journal
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
        inner = clone(inner).set_params(n_jobs=1, verbose=0)
        if isinstance(inner, Unique):
            # A table would make batches, and so last digits, depend on which blocks came before.
            inner.set_params(table_size=0)
        return inner

    def _named(self, content, what) -> str:
        """Return a name that differs where the content does, the same in every process.

        What has no such name, being a lambda, say, gets one that nothing else has. A journal
        cannot do with that.
        """
        keeper = f"journal={str(self.journal)!r} finds totals again: it knows the {what}"
        try:
            with told_apart(keeper, "Or set journal=None."):
                return digest(content())
        except TileModelError:
            if self.journal is not None:
                raise
            return uuid.uuid4().hex


class _Work:
    """One term over all fields, as graphs."""

    def __init__(self, blocks: DaskBlocks, tile_model, tiling, fields: Fields):
        self.blocks = blocks
        evaluation = blocks._inner(tile_model, tiling, fields)
        self.fields = _as_sources(fields)
        self.term = Term(evaluation, tile_model, tiling)
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
        record = _Record.of(self.blocks, graph)
        for place, group in graph.groups:
            sums[place[0]].append(graph.add("group", place, _totals, group, record))
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
        self.tasks: dict = {self.term_key: (_handed, packed)}
        self.inputs = []
        self.chunked = _dask_array(source)
        if self.chunked is None:
            self.source = f"sk-ednn-source-{digest(identity)}"
            self.tasks[self.source] = (_handed, pack(source, identity, "source of the fields"))
        else:
            self.inputs.append(self.chunked)
            _note_small_chunks(self.chunked, work.term.tiling, groups[0][1])

    def add(self, part, place, function, group, record=None):
        """Add the task of a group and return its key."""
        key = (f"{self.name}-{part}" if part else self.name, *place)
        done = {} if record is None else record.known(group)
        channel_axis = getattr(self.term.tiling, "channel_axis", None)
        job = _Job(group, done, record, self.fields.known_range, channel_axis)
        if len(done) == len(group):
            # Nothing to read: not the chunks of a dask array either.
            values = self.fields.stacks[group.stack].values
            self.tasks[key] = (_handed, group_totals(self.term, values, group, done))
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


@dataclass(frozen=True)
class _Record:
    """What a task tells of the blocks it has done: a journal, a progress bar."""

    journal: str | None
    run: str
    n_outputs: int
    verbose: bool
    _known: dict = field(default_factory=dict)

    @classmethod
    def of(cls, blocks: DaskBlocks, graph: _Graph) -> _Record | None:
        """Return the record of a run, or None where nothing is to be told."""
        if blocks.journal is None and not blocks.verbose:
            return None
        folder = None if blocks.journal is None else os.path.abspath(blocks.journal)
        n_outputs = graph.term.tile_model.n_outputs
        known = {} if folder is None else Journal.read(folder, graph.run, n_outputs)
        record = cls(folder, graph.run, n_outputs, bool(blocks.verbose), known)
        if record.verbose:
            n_done = sum(len(record.known(group)) for _, group in graph.groups)
            n_blocks = sum(len(group) for _, group in graph.groups)
            ProgressBar(graph.run, n_blocks, n_done)
            _listen()
        return record

    def known(self, group) -> dict:
        """Return what is recorded of a group's blocks."""
        if not self._known:
            return {}
        keys = (key_of(group.stack, block) for block in group.blocks())
        return {key: self._known[key] for key in keys if key in self._known}

    def found(self, group, done) -> dict:
        """Return what this process finds recorded of a group's blocks, beside what is known."""
        if self.journal is None:
            return {}
        found = self._file().found
        keys = (key_of(group.stack, block) for block in group.blocks()) if found else ()
        found = {key: found[key] for key in keys if key in found and key not in done}
        for key in found:
            self._count(key)
        return found

    def finished(self, block, totals) -> None:
        """Record a block."""
        if self.journal is not None:
            self._file().write(block, totals)
        self._count(block)

    def _count(self, block) -> None:
        bar = ProgressBar.of(self.run) if self.verbose else None
        if bar is not None:
            bar.report(block)

    def end(self, finished) -> None:
        """Put what was recorded on the disk, and tell the client of the blocks of a group."""
        if self.journal is not None and finished:
            self._file().sync()
        distributed = sys.modules.get("distributed")
        if self.verbose and distributed is not None and ProgressBar.of(self.run) is None:
            try:
                worker = distributed.get_worker()
            except ValueError:
                return  # a process of another scheduler, which has no way to say it
            worker.log_event(_TOPIC, {"run": self.run, "blocks": finished})

    def _file(self) -> Journal:
        return Journal.of_process(self.journal, self.run, self.n_outputs)

    def __reduce__(self):
        # Without what other groups have done.
        return _Record, (self.journal, self.run, self.n_outputs, self.verbose)


def _listen() -> None:
    """Have the client of a cluster, if there is one, hear of blocks; say where its dashboard is."""
    distributed = sys.modules.get("distributed")
    if distributed is None:
        return
    try:
        client = distributed.get_client()
    except ValueError:
        return
    client.subscribe_topic(_TOPIC, _heard)
    if "dashboard" in client.scheduler_info(n_workers=0)["services"]:
        tqdm.write(f"Dashboard: {client.dashboard_link}", file=sys.stderr)


def _heard(event):
    _, message = event
    bar = ProgressBar.of(message["run"])
    if bar is not None:
        for block in message["blocks"]:
            bar.report(tuple(block))


# --- what tasks do --------------------------------------------------------------------------------


def _handed(packed):
    return packed


@dataclass(frozen=True)
class _Job:
    """A group, what is known of it already, and whom to tell: one object, opaque to Dask."""

    group: Group
    done: dict
    record: _Record | None
    known_range: InputRange | None
    channel_axis: int | None

    def watched(self, source):
        """Return a source that is compared with the range of the fit, where that is known."""
        return source if self.known_range is None else WatchedSource(source, self.channel_axis)

    def compare(self, source) -> None:
        """Warn whoever computes of values far outside what the model was fitted to."""
        if self.known_range is None:
            return
        doubt = source.doubt(self.known_range)
        if doubt is not None:
            # distributed hands it on to the client; it is loaded where its workers run.
            distributed = sys.modules.get("distributed")
            warn = warnings.warn if distributed is None else distributed.warn
            warn(doubt, NoveltyWarning)


def _totals(term, source, chunks, job):
    source, record = job.watched(_opened(source, chunks)), job.record
    if record is None:
        totals = group_totals(term.open(), source, job.group, job.done)
        job.compare(source)
        return totals
    found = record.found(job.group, job.done)
    finished = list(found)

    def tell(block, block_totals):
        record.finished(block, block_totals)
        finished.append(block)

    done = {**job.done, **found}
    totals = group_totals(term.open(), source, job.group, done, tell)
    record.end(finished)
    job.compare(source)
    return totals


def _contributions(term, source, chunks, job):
    source = job.watched(_opened(source, chunks))
    values = group_contributions(term.open(), source, job.group)
    job.compare(source)
    return values


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
