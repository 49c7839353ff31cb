"""Groups of blocks: what one task of a cluster does."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from ..exceptions import BlockError, EDNNError
from ..fields._fields import Fields, Stack
from ..fields._sources import Window, read_sites
from ..tile_models import AbstractTileModel
from ..tiling import AbstractTiling, Block
from ._base import AbstractEvaluation
from ._exact import ExactTotals

# What a group may hold of its field while its blocks are evaluated.
HELD_BYTES = 1 << 28


@dataclass(frozen=True)
class EvaluatedTerm:
    """A fitted term and how it is evaluated: what all groups share."""

    evaluation: AbstractEvaluation
    tile_model: AbstractTileModel
    tiling: AbstractTiling

    def prepare(self) -> None:
        """Do what several threads must not do at the same time."""
        self.evaluation.prepare(self.tile_model, self.tiling)


@dataclass(frozen=True)
class Group:
    """A box of neighbouring blocks.

    Attributes
    ----------
    stack : int
        Which stack of the fields.
    cuts : tuple of tuple of slice
        Where its blocks are cut, along the samples and along each axis of the tile grid.
    """

    stack: int
    cuts: tuple[tuple[slice, ...], ...]

    @property
    def box(self) -> tuple[slice, ...]:
        """The samples, and the tiles along each axis, from the first to the last."""
        return tuple(slice(along[0].start, along[-1].stop) for along in self.cuts)

    def __len__(self) -> int:
        return int(np.prod([len(along) for along in self.cuts]))

    def blocks(self) -> Iterator[Block]:
        """Yield the blocks, of stack 0."""
        for samples, *region in product(*self.cuts):
            yield Block(0, samples, tuple(region))


def key_of(stack, block) -> tuple[int, ...]:
    """Return a block as integers: its stack, its samples and its region."""
    ends = ((part.start, part.stop) for part in (block.samples, *block.region))
    return (stack, *(end for pair in ends for end in pair))


def group_totals(
    term: EvaluatedTerm, source, group: Group, done: dict, finished=None
) -> ExactTotals:
    """Return the exact totals of the samples of a group, counted from its first.

    Parameters
    ----------
    term : EvaluatedTerm
    source : FieldSource
        Read for the blocks that are not known.
    group : Group
    done : dict of tuple to ndarray
        Totals of blocks that are known, by `key_of`.
    finished : callable or None
        Told of each block that was evaluated, with its totals.
    """
    totals = ExactTotals(term.tile_model.n_outputs)
    grid = term.tiling.tile_grid(tuple(source.shape[1:]))
    first = group.box[0].start

    def add(block, block_totals):
        samples = np.arange(block.samples.start - first, block.samples.stop - first)
        totals.add(samples, block_totals, block.grid == tuple(grid))

    unknown = []
    for block in group.blocks():
        key = key_of(group.stack, block)
        if key in done:
            add(block, done[key])
        else:
            unknown.append(block)
    if unknown:
        fields = _fields(term, source, group)
        function = term.evaluation.block_totals
        for block, block_totals in _evaluated(
            function, _joined_totals, term, fields, group, unknown
        ):
            add(block, block_totals)
            if finished is not None:
                finished(key_of(group.stack, block), block_totals)
    return totals.condensed()


def group_contributions(term: EvaluatedTerm, source, group: Group) -> np.ndarray:
    """Return the contributions of a group's tiles: (n_samples, *tiles of the box, n_outputs)."""
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
        place = tuple(
            slice(part.start - whole.start, part.stop - whole.start)
            for part, whole in zip((block.samples, *block.region), box, strict=True)
        )
        out[place] = values.reshape(out[place].shape)
    return out


def _fields(term, source, group) -> Fields:
    """Return fields to read a group's blocks from, what is stored in chunks read already."""
    if getattr(source, "chunks", None) is not None:
        sites = group_sites(term.tiling, source.shape, group)
        n_bytes = np.prod([float(len(along)) for along in sites]) * source.dtype.itemsize
        # Blocks that share a chunk would each decompress it.
        if n_bytes <= HELD_BYTES:
            with _Placed(group, None):
                source = Window(source.shape, sites, read_sites(source, sites))
    return Fields((Stack(np.arange(source.shape[0]), source),), source.shape[0], False)


def group_sites(tiling, shape, group) -> list[np.ndarray]:
    """Return the samples and the sites that a group sees, per axis of a source of this shape."""
    samples, *region = group.box
    return [np.arange(samples.start, samples.stop), *tiling.sites(shape[1:], tuple(region))]


def _evaluated(function, join, term, fields, group, blocks):
    """Yield what a function of an evaluation does, saying where it went wrong if it does.

    A block that does not fit into memory is evaluated in parts, which `join` puts together.
    """

    def evaluated(some):
        return iter(function(term.tile_model, term.tiling, fields, some))

    def in_parts(block, error):
        halves = _halves(block)
        if halves is None:
            raise error
        axis, parts = halves
        values = []
        for part in parts:
            try:
                values.append(next(evaluated([part]))[1])
            except Exception as lack:
                if not _is_lack_of_memory(lack):
                    raise
                values.append(in_parts(part, lack))
        return join(values, parts, axis)

    found = evaluated(blocks)
    for number, block in enumerate(blocks):
        with _Placed(group, block):
            try:
                pair = next(found)
            except Exception as error:
                if not _is_lack_of_memory(error):
                    raise
                pair = block, in_parts(block, error)
                found = evaluated(blocks[number + 1 :])
            yield pair


def _is_lack_of_memory(error) -> bool:
    # torch's have types of their own, and torch may not be there to ask.
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "can't allocate memory" in str(error)
    )


def _halves(block) -> tuple[int, list[Block]] | None:
    """Return two halves of a block and the axis they are cut along, None where it is one tile."""
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


class _Placed:
    """Say which block an error belongs to."""

    def __init__(self, group, block):
        self.group = group
        self.block = block

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback) -> Any:
        if not isinstance(error, Exception) or isinstance(error, (MemoryError, BlockError)):
            return False
        box = self.group.box if self.block is None else (self.block.samples, *self.block.region)
        samples, *region = (f"{part.start}:{part.stop}" for part in box)
        where = (
            f"The block of tiles [{', '.join(region)}] of sample(s) {samples} of stack "
            f"{self.group.stack} failed in process {os.getpid()} on {socket.gethostname()}: "
        )
        if isinstance(error, EDNNError):
            raise type(error)(f"{where}{error}") from error
        advice = "Look at the data there"
        if isinstance(error, OSError):
            advice = (
                "See whether the file or chunk is whole and can be read on every worker, and write "
                "it again where it is not"
            )
        raise BlockError(
            f"{where}{type(error).__name__}: {str(error).rstrip('.')}. {advice}. With a journal, "
            "DaskBlocks(journal=...), only the blocks that failed are computed again."
        ) from error
