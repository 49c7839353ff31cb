"""Groups of blocks, the work of one task of a cluster."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product

import numpy as np

from ..exceptions import BlockError, EDNNError
from ..fields._fields import Fields, Stack
from ..fields._sources import Window, read_sites
from ..tile_models import AbstractTileModel
from ..tiling import AbstractTiling, Block
from ._base import AbstractEvaluation
from ._exact import ExactTotals

# Maximum memory of the part of a field that a group reads.
GROUP_BYTES = 1 << 28


@dataclass(frozen=True)
class EvaluatedTerm:
    """A fitted term and its evaluation, which all groups share."""

    evaluation: AbstractEvaluation
    tile_model: AbstractTileModel
    tiling: AbstractTiling

    def prepare(self) -> None:
        """Initialise what is not thread-safe; see `AbstractEvaluation.prepare`."""
        self.evaluation.prepare(self.tile_model, self.tiling)


@dataclass(frozen=True)
class Group:
    """A box of adjacent blocks.

    Attributes
    ----------
    stack : int
        Index of the stack of fields.
    cuts : tuple of tuple of slice
        Slices of the blocks along the samples and along each axis of the tile grid.
    """

    stack: int
    cuts: tuple[tuple[slice, ...], ...]

    @property
    def box(self) -> tuple[slice, ...]:
        """Slices of the samples and of the tiles along each axis."""
        return tuple(slice(along[0].start, along[-1].stop) for along in self.cuts)

    def __len__(self) -> int:
        return int(np.prod([len(along) for along in self.cuts]))

    def blocks(self) -> Iterator[Block]:
        """Yield the blocks, as blocks of stack 0."""
        for samples, *region in product(*self.cuts):
            yield Block(0, samples, tuple(region))


def key_of(stack, block) -> tuple[int, ...]:
    """Return the stack, the samples and the region of a block as integers."""
    ends = ((part.start, part.stop) for part in (block.samples, *block.region))
    return (stack, *(end for pair in ends for end in pair))


def group_totals(
    term: EvaluatedTerm, source, group: Group, done: dict, finished=None
) -> ExactTotals:
    """Return the exact totals of the samples of a group, indexed from its first sample.

    Parameters
    ----------
    term : EvaluatedTerm
    source : FieldSource
        Read for the blocks that are not in `done`.
    group : Group
    done : dict of tuple to ndarray
        Totals of finished blocks, by `key_of`.
    finished : callable or None
        Called with the key and the totals of each evaluated block.
    """
    totals = ExactTotals(term.tile_model.n_outputs)
    grid = term.tiling.tile_grid(tuple(source.shape[1:]))
    first = group.box[0].start

    def add(block, block_totals):
        samples = np.arange(block.samples.start - first, block.samples.stop - first)
        totals.add(samples, block_totals, block.grid == tuple(grid))

    missing = []
    for block in group.blocks():
        key = key_of(group.stack, block)
        if key in done:
            add(block, done[key])
        else:
            missing.append(block)
    if missing:
        fields = _fields(term, source, group)
        function = term.evaluation.block_totals
        for block, block_totals in _evaluated(
            function, _joined_totals, term, fields, group, missing
        ):
            add(block, block_totals)
            if finished is not None:
                finished(key_of(group.stack, block), block_totals)
    return totals.condensed()


def group_contributions(term: EvaluatedTerm, source, group: Group) -> np.ndarray:
    """Return the contributions of the tiles of a group, (n_samples, *grid of box, n_outputs)."""
    fields = _fields(term, source, group)
    box = group.box
    out = np.empty((*(part.stop - part.start for part in box), term.tile_model.n_outputs))
    for block, values in _evaluated(
        term.evaluation.block_contributions,
        _joined_contributions,
        term,
        fields,
        group,
        list(group.blocks()),
    ):
        index = tuple(
            slice(part.start - whole.start, part.stop - whole.start)
            for part, whole in zip((block.samples, *block.region), box, strict=True)
        )
        out[index] = values.reshape(out[index].shape)
    return out


def _fields(term, source, group) -> Fields:
    """Return the fields of a group; those stored in chunks are read at once."""
    if getattr(source, "chunks", None) is not None:
        sites = group_sites(term.tiling, source.shape, group)
        n_bytes = np.prod([float(len(along)) for along in sites]) * source.dtype.itemsize
        # Otherwise each of the blocks that share a chunk would decompress it.
        if n_bytes <= GROUP_BYTES:
            with _located_errors(group, None):
                source = Window(source.shape, sites, read_sites(source, sites))
    return Fields((Stack(np.arange(source.shape[0]), source),), source.shape[0], False)


def group_sites(tiling, shape, group) -> list[np.ndarray]:
    """Return the samples and sites that a group sees, per axis of a source of this shape."""
    samples, *region = group.box
    return [np.arange(samples.start, samples.stop), *tiling.sites(shape[1:], tuple(region))]


def _evaluated(function, join, term, fields, group, blocks):
    """Yield the results of a method of an evaluation for each block, with located errors.

    A block that exceeds the memory is evaluated in parts, whose results are joined by `join`.
    """

    def evaluated(blocks):
        return iter(function(term.tile_model, term.tiling, fields, blocks))

    def in_parts(block, error):
        halves = _halves(block)
        if halves is None:
            raise error
        axis, parts = halves
        values = []
        for part in parts:
            try:
                values.append(next(evaluated([part]))[1])
            except Exception as part_error:
                if not _is_memory_error(part_error):
                    raise
                values.append(in_parts(part, part_error))
        return join(values, parts, axis)

    results = evaluated(blocks)
    for number, block in enumerate(blocks):
        with _located_errors(group, block):
            try:
                pair = next(results)
            except Exception as error:
                if not _is_memory_error(error):
                    raise
                pair = block, in_parts(block, error)
                results = evaluated(blocks[number + 1 :])
            yield pair


def _is_memory_error(error) -> bool:
    # torch raises other types, and may not be installed.
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "can't allocate memory" in str(error)
    )


def _halves(block) -> tuple[int, list[Block]] | None:
    """Return the longest axis of a block and its halves along it, or None for a single tile."""
    box = (block.samples, *block.region)
    lengths = [part.stop - part.start for part in box]
    axis = int(np.argmax(lengths))
    if lengths[axis] == 1:
        return None
    middle = box[axis].start + lengths[axis] // 2
    halves = []
    for ends in ((box[axis].start, middle), (middle, box[axis].stop)):
        half = (*box[:axis], slice(*ends), *box[axis + 1 :])
        halves.append(Block(block.stack, half[0], half[1:]))
    return axis, halves


def _joined_totals(values, parts, axis) -> np.ndarray:
    return np.concatenate(values) if axis == 0 else values[0] + values[1]


def _joined_contributions(values, parts, axis) -> np.ndarray:
    values = [
        part.reshape(block.n_samples, *block.grid, -1)
        for part, block in zip(values, parts, strict=True)
    ]
    return np.concatenate(values, axis=axis).reshape(-1, values[0].shape[-1])


@contextmanager
def _located_errors(group, block):
    """Add the block, or the group if `block` is None, to the messages of errors."""
    try:
        yield
    except (MemoryError, BlockError):
        raise
    except Exception as error:
        box = group.box if block is None else (block.samples, *block.region)
        samples, *region = (f"{part.start}:{part.stop}" for part in box)
        where = (
            f"The block of tiles [{', '.join(region)}] of sample(s) {samples} of stack "
            f"{group.stack} failed in process {os.getpid()} on {socket.gethostname()}: "
        )
        if isinstance(error, EDNNError):
            raise type(error)(f"{where}{error}") from error
        advice = "Check the data there"
        if isinstance(error, OSError):
            advice = (
                "Check that the file or chunk is complete and readable on every worker, and write "
                "it again if it is not"
            )
        raise BlockError(
            f"{where}{type(error).__name__}: {str(error).rstrip('.')}. {advice}. With a journal, "
            "DaskBlocks(journal=...), only failed blocks are computed again."
        ) from error
