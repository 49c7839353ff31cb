"""The contract of a tiling: where the tiles are, block by block."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator, TransformerMixin

from .._fields import Fields
from .._tiles import Tiles


@dataclass(frozen=True)
class Block:
    """A piece of the work: some samples of one stack, and a region of their tile grids.

    Attributes
    ----------
    stack : int
        Which stack of the fields.
    samples : slice
        Which of the stack's fields.
    region : tuple of slice
        Which tiles of each field, per axis of the tile grid.
    """

    stack: int
    samples: slice
    region: tuple[slice, ...]

    @property
    def n_samples(self) -> int:
        """Number of fields."""
        return self.samples.stop - self.samples.start

    @property
    def grid(self) -> tuple[int, ...]:
        """Shape of the region, in tiles."""
        return tuple(part.stop - part.start for part in self.region)


class AbstractTiling(TransformerMixin, BaseEstimator, ABC):
    """Where the tiles of a field are.

    A tiling holds no data. It answers four questions about shapes (`check`, `tile_grid`,
    `tile_shape`, `focus_sites`) and reads one block of tiles (`read`); the rest follows here.
    Blocks depend on the shapes, on the tiling and on `max_tiles` alone: never on who works on
    them. That keeps totals the same to the last bit for any number of workers.
    """

    @abstractmethod
    def check(self, X) -> Fields:
        """Check fields for this tiling and return them grouped by shape.

        Raises
        ------
        TilingError
            Saying which axis of which field does not fit, and what would.
        """

    @abstractmethod
    def tile_grid(self, field_shape) -> tuple[int, ...]:
        """Return how many tiles a field of this shape has along each axis."""

    @abstractmethod
    def tile_shape(self, field_shape) -> tuple[int, ...]:
        """Return the shape of one tile, ``(*window[, n_channels])``."""

    @abstractmethod
    def focus_sites(self, tile_shape) -> tuple[slice, ...]:
        """Return the slices that cut the focus out of a tile of this shape."""

    @abstractmethod
    def affected(self, field_shape, changed) -> np.ndarray:
        """Return the tiles that see any of the sites `changed`; see `GridTiling.affected`."""

    @abstractmethod
    def read(self, fields: Fields, block: Block) -> np.ndarray:
        """Return what the tiles of a block see: (n_samples, *block.grid, *tile_shape).

        Only the region and its context are read from the fields.
        """

    def plan(self, fields: Fields, max_tiles: int) -> list[Block]:
        """Divide the tiles of all fields into blocks of at most `max_tiles`.

        A field with more tiles than that is divided along its leading axes. At least one tile
        stands in a block.
        """
        blocks = []
        for index, stack in enumerate(fields.stacks):
            grid = self.tile_grid(stack.values.shape[1:])
            n_tiles = int(np.prod(grid))
            boxes = list(regions(grid, max_tiles))
            step = max(1, max_tiles // max(n_tiles, 1))
            for start in range(0, len(stack.samples), step):
                samples = slice(start, min(start + step, len(stack.samples)))
                blocks.extend(Block(index, samples, region) for region in boxes)
        return blocks

    def tiles(self, X) -> Tiles:
        """Return all tiles of a batch of fields, as a view where there is one stack.

        Parameters
        ----------
        X : array-like of shape (n_samples, *field_shape), or list of such fields

        Returns
        -------
        Tiles
        """
        fields = self.check(X)
        parts = [self.read(fields, block) for block in self.plan(fields, np.iinfo(np.intp).max)]
        tile_shape = self.tile_shape(fields.stacks[0].values.shape[1:])
        owners = np.concatenate(
            [
                np.repeat(stack.samples, values[0].size // int(np.prod(tile_shape)))
                for stack, values in zip(fields.stacks, parts, strict=True)
            ]
        )
        values = (
            parts[0]
            if len(parts) == 1
            else np.concatenate([part.reshape(-1, *tile_shape) for part in parts])
        )
        return Tiles(values, _sum_matrix(owners, fields.n_samples), tile_shape)

    def blocks(self, X, max_tiles: int) -> Iterator[Tiles]:
        """Yield the tiles in blocks of at most `max_tiles`; their totals add up to the whole.

        Parameters
        ----------
        X : array-like of shape (n_samples, *field_shape), or list of such fields
        max_tiles : int

        Yields
        ------
        Tiles
            With a `sum_matrix` over all samples of `X`.
        """
        fields = self.check(X)
        for block in self.plan(fields, max_tiles):
            values = self.read(fields, block)
            owners = np.repeat(
                fields.stacks[block.stack].samples[block.samples], int(np.prod(block.grid))
            )
            tile_shape = values.shape[1 + len(block.grid) :]
            yield Tiles(values, _sum_matrix(owners, fields.n_samples), tile_shape)

    def block_tiles(self, fields: Fields, block: Block) -> Tiles:
        """Return the tiles of one block, with a `sum_matrix` over the block's own samples."""
        values = self.read(fields, block)
        owners = np.repeat(np.arange(block.n_samples), int(np.prod(block.grid)))
        tile_shape = values.shape[1 + len(block.grid) :]
        return Tiles(values, _sum_matrix(owners, block.n_samples), tile_shape)

    def counts(self, fields: Fields) -> np.ndarray:
        """Return the number of tiles of each field, shape (n_samples,), as floats."""
        counts = np.empty(fields.n_samples)
        for stack in fields.stacks:
            counts[stack.samples] = np.prod(self.tile_grid(stack.values.shape[1:]))
        return counts


def regions(grid, max_tiles) -> Iterator[tuple[slice, ...]]:
    """Cut a tile grid into boxes of at most `max_tiles`, whole along the trailing axes."""
    if not grid:
        yield ()
        return
    inner = int(np.prod(grid[1:]))
    step = max(1, max_tiles // max(inner, 1))
    for start in range(0, grid[0], step):
        first = slice(start, min(start + step, grid[0]))
        if inner <= max_tiles:
            yield (first, *(slice(0, n) for n in grid[1:]))
        else:
            for rest in regions(grid[1:], max_tiles):
                yield (first, *rest)


def _sum_matrix(owners, n_samples) -> csr_array:
    """Return S for tiles that each belong, once, to the sample named in `owners`."""
    n_tiles = len(owners)
    indptr = np.zeros(n_samples + 1, dtype=np.intp)
    np.cumsum(np.bincount(owners, minlength=n_samples), out=indptr[1:])
    ordered = np.arange(n_tiles) if _sorted(owners) else np.argsort(owners, kind="stable")
    return csr_array((np.ones(n_tiles), ordered, indptr), shape=(n_samples, n_tiles))


def _sorted(owners) -> bool:
    return len(owners) < 2 or bool(np.all(owners[1:] >= owners[:-1]))
