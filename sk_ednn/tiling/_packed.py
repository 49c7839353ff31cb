"""Tilings whose tiles are numbered sample by sample, those of bags and of atoms."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import numpy as np

from ..exceptions import TileModelError
from ._base import AbstractTiling, sum_matrix
from ._tiles import Tiles


@dataclass(frozen=True)
class PackedBlock:
    """A range of tiles, in the order of their samples.

    Attributes
    ----------
    start, stop : int
        Range of tiles, numbered over all samples.
    first, last : int
        First and last sample, inclusive.
    """

    start: int
    stop: int
    first: int
    last: int

    @property
    def n_samples(self) -> int:
        """Number of samples."""
        return self.last - self.first + 1

    @property
    def n_tiles(self) -> int:
        """Number of tiles."""
        return self.stop - self.start


class AbstractPackedTiling(AbstractTiling):
    """Base class of tilings whose tiles are numbered sample by sample.

    A subclass implements `tile_offsets`, the first tile of each sample, and `read`, which returns
    a range of tiles.
    """

    __module__ = "sk_ednn.tiling"

    @abstractmethod
    def tile_offsets(self, systems) -> np.ndarray:
        """Return the index of the first tile of each sample, int of shape (n_samples + 1,)."""

    @abstractmethod
    def read(self, systems, start, stop) -> np.ndarray:
        """Return the tiles from `start` to `stop`, (stop - start, *tile_shape)."""

    def counts(self, systems) -> np.ndarray:
        """Return the number of tiles of each sample, shape (n_samples,), as floats."""
        return np.diff(self.tile_offsets(systems)).astype(float)

    def plan(self, systems, max_tiles: int) -> list[PackedBlock]:
        """Divide all tiles into blocks of whole samples; larger samples are cut into several."""
        offsets = self.tile_offsets(systems)
        blocks: list[PackedBlock] = []
        start = first = 0
        for sample, stop in enumerate(offsets[1:].tolist()):
            begin = int(offsets[sample])
            if stop - start > max_tiles and begin > start:
                blocks.append(PackedBlock(start, begin, first, sample - 1))
                start, first = begin, sample
            if stop - begin > max_tiles:
                for part in range(begin, stop, max_tiles):
                    end = min(part + max_tiles, stop)
                    blocks.append(PackedBlock(part, end, sample, sample))
                start, first = stop, sample + 1
        if offsets[-1] > start:
            blocks.append(PackedBlock(start, int(offsets[-1]), first, len(offsets) - 2))
        return blocks

    def samples(self, systems, block: PackedBlock) -> np.ndarray:
        """Return the indices of the samples of a block; see `AbstractTiling`."""
        return np.arange(block.first, block.last + 1)

    def covers(self, systems, block: PackedBlock) -> bool:
        """Return True if a block contains all tiles of its samples."""
        offsets = self.tile_offsets(systems)
        return offsets[block.first] == block.start and offsets[block.last + 1] == block.stop

    def block_tiles(self, systems, block: PackedBlock) -> Tiles:
        """Return the tiles of a block, with a `sum_matrix` over the samples of the block."""
        values = self.read(systems, block.start, block.stop)
        offsets = self.tile_offsets(systems)[block.first : block.last + 2]
        sizes = np.diff(np.clip(offsets, block.start, block.stop))
        owners = np.repeat(np.arange(block.n_samples), sizes)
        return Tiles(values, sum_matrix(owners, block.n_samples), self.shape_of_tiles(systems))

    def empty(self, systems, n_outputs) -> list[np.ndarray]:
        """Return one uninitialised array with a row for each tile."""
        return [np.empty((int(self.tile_offsets(systems)[-1]), n_outputs))]

    def place(self, out, systems, block: PackedBlock, values) -> None:
        """Write the contributions of a block to the arrays of `empty`."""
        out[0][block.start : block.stop] = values

    def by_sample(self, systems, out) -> list[np.ndarray]:
        """Return a list of arrays, one for each sample."""
        return np.split(out[0], self.tile_offsets(systems)[1:-1])


def checked_gradient(values, shape, name) -> np.ndarray | None:
    """Check a target gradient and return it as a flat array, or None if it is None.

    Raises
    ------
    TileModelError
        If it is not an array of finite numbers of this shape.
    """
    if values is None:
        return None
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise TileModelError(f"{name} must be an array of shape {shape}: {error}") from error
    if array.shape != shape:
        raise TileModelError(f"{name} must be an array of shape {shape}, got shape {array.shape}.")
    if not np.isfinite(array).all():
        raise TileModelError(
            f"{name} contains NaN or infinity. Give None for a gradient that is not known."
        )
    return array.ravel()
