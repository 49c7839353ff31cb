"""The contract of a tiling: where the tiles are, block by block."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator, TransformerMixin

from ..exceptions import TilingError
from ..fields._fields import Fields
from ._tiles import Tiles


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

    __module__ = "sk_ednn.tiling"  # the name that messages give

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

    def sites(self, field_shape, region) -> list[np.ndarray]:
        """Return the sites that the tiles of a region see: per axis of the field, sorted.

        They see no site beyond the product of these. Unless a tiling says it better, all sites.
        """
        return [np.arange(length) for length in field_shape]

    def cuts(self, n_samples, field_shape, max_tiles: int) -> tuple[tuple[slice, ...], ...]:
        """Return where the blocks of equal fields are cut: along the samples, then along each axis.

        The blocks are the product of these. Each has at most `max_tiles` tiles and at least one;
        a field with more is cut into boxes as near to cubes as it goes, which share the least
        context.
        """
        grid = self.tile_grid(field_shape)
        step = max(1, max_tiles // max(int(np.prod(grid)), 1))
        return (cut(n_samples, step), *map(cut, grid, box_sides(grid, max_tiles)))

    def plan(self, fields: Fields, max_tiles: int) -> list[Block]:
        """Divide the tiles of all fields into blocks of at most `max_tiles`; see `cuts`."""
        blocks = []
        for index, stack in enumerate(fields.stacks):
            cuts = self.cuts(len(stack.samples), stack.values.shape[1:], max_tiles)
            blocks.extend(
                Block(index, samples, tuple(region)) for samples, *region in product(*cuts)
            )
        return blocks

    def tiles(self, X) -> Tiles:
        """Return all tiles of a batch of fields, as a view where there is one stack.

        Parameters
        ----------
        X : array-like of shape (n_samples, *field_shape), or list of such fields

        Returns
        -------
        Tiles

        Raises
        ------
        TilingError
            Where `X` is read piece by piece: it may be larger than memory.
        """
        fields = self.check(X)
        if fields.lazy:
            sizes = [np.prod([float(n) for n in stack.values.shape]) for stack in fields.stacks]
            gib = sum(sizes) * fields.dtype.itemsize / 2**30
            raise TilingError(
                "All tiles at once were asked for, of fields that are read piece by piece "
                f"({gib:.3g} GiB in all). Read block by block are linear models, Pipelines of "
                "transformers with partial_fit that end in one, and torch networks that see the "
                "tiles themselves. For all others, read the fields into memory first, such as by "
                "X.compute() or X[...]."
            )
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


def box_sides(grid, max_tiles) -> list[int]:
    """Return how long boxes of at most `max_tiles` cells may be along each axis of a grid."""
    sides = [1] * len(grid)
    left = max_tiles
    # The shortest axis first: what it does not need is left to the others.
    for n_open, axis in zip(range(len(grid), 0, -1), np.argsort(grid, kind="stable"), strict=True):
        side = int(left ** (1 / n_open)) + 1
        while side > 1 and side**n_open > left:
            side -= 1
        sides[axis] = min(grid[axis], side)
        left //= sides[axis]
    return sides


def boxes(grid, max_tiles) -> list[tuple[slice, ...]]:
    """Cut a tile grid into boxes of at most `max_tiles`, as near to cubes as it goes."""
    return list(product(*map(cut, grid, box_sides(grid, max_tiles))))


def cut(length, side) -> tuple[slice, ...]:
    """Cut an axis into the fewest equal parts that are no longer than `side`, the last shorter."""
    n_parts = -(-length // side)
    step = max(1, -(-length // max(1, n_parts)))
    return tuple(slice(start, min(start + step, length)) for start in range(0, length, step))


def _sum_matrix(owners, n_samples) -> csr_array:
    """Return S for tiles that each belong, once, to the sample named in `owners`."""
    n_tiles = len(owners)
    indptr = np.zeros(n_samples + 1, dtype=np.intp)
    np.cumsum(np.bincount(owners, minlength=n_samples), out=indptr[1:])
    ordered = np.arange(n_tiles) if _sorted(owners) else np.argsort(owners, kind="stable")
    return csr_array((np.ones(n_tiles), ordered, indptr), shape=(n_samples, n_tiles))


def _sorted(owners) -> bool:
    return len(owners) < 2 or bool(np.all(owners[1:] >= owners[:-1]))
