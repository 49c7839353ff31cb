"""The interface of tilings of grids, whose tiles depend only on the shape of a field."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from sklearn.base import TransformerMixin

from ..exceptions import TilingError
from ..fields._fields import Fields
from ..fields._range import InputRange, warn_of_range
from ._base import AbstractTiling, sum_matrix
from ._grid_gradient import add_tiles
from ._tiles import Tiles


@dataclass(frozen=True)
class Block:
    """A region of the tile grid of some samples of a stack.

    Attributes
    ----------
    stack : int
        Index of the stack.
    samples : slice
        Samples of the stack.
    region : tuple of slice
        Tiles of each field, per axis of the tile grid.
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

    @property
    def n_tiles(self) -> int:
        """Number of tiles."""
        return self.n_samples * int(np.prod(self.grid))


class AbstractGridTiling(TransformerMixin, AbstractTiling):
    """Base class of tilings of fields on a grid.

    Subclasses derive shapes (`tile_grid`, `tile_shape`, `focus_sites`, `sites`, `affected`) and
    read a block of tiles (`read`). The interface of `AbstractTiling` is implemented on top of
    these.

    Attributes
    ----------
    channel_axis : int or None
        Axis of one field that has channels.
    boundary : str or None
        "periodic" if windows continue at the opposite edge of a field.
    remainder : str
        "error" if the foci of all tiles cover the sites of a field exactly.
    """

    __module__ = "sk_ednn.tiling"

    channel_axis: int | None = None
    boundary: str | None = None
    remainder = "error"
    shares_sites = True
    is_grid = True
    has_gradient = True

    @property
    def has_channels(self) -> bool:  # type: ignore[override]
        """True if the last axis of a tile is a channel axis."""
        return self.channel_axis is not None

    @abstractmethod
    def tile_grid(self, field_shape) -> tuple[int, ...]:
        """Return the number of tiles of a field of this shape along each axis."""

    @abstractmethod
    def tile_shape(self, field_shape) -> tuple[int, ...]:
        """Return the shape of a tile, ``(*window[, n_channels])``."""

    @abstractmethod
    def affected(self, field_shape, changed) -> np.ndarray:
        """Return the tiles that see any of the sites `changed`; see `GridTiling.affected`."""

    @abstractmethod
    def read(self, fields: Fields, block: Block) -> np.ndarray:
        """Return the tiles of a block, (n_samples, *block.grid, *tile_shape).

        Only the region and its context are read from the fields.
        """

    def sites(self, field_shape, region) -> list[np.ndarray]:
        """Return the sites that the tiles of a region see, sorted, per axis of the field.

        The tiles see no site outside the product of these. The default is all sites.
        """
        return [np.arange(length) for length in field_shape]

    def cuts(self, n_samples, field_shape, max_tiles: int) -> tuple[tuple[slice, ...], ...]:
        """Return the slices of blocks of equal fields along the samples and along each axis.

        The blocks are the product of these and have 1 to `max_tiles` tiles each. A field with
        more tiles is cut into boxes as close to cubes as possible, which share the least context.
        """
        grid = self.tile_grid(field_shape)
        step = max(1, max_tiles // max(int(np.prod(grid)), 1))
        return (cut(n_samples, step), *map(cut, grid, box_sides(grid, max_tiles)))

    # --- the interface of AbstractTiling ----------------------------------------------------

    def shape_of_tiles(self, fields: Fields) -> tuple[int, ...]:
        """Return the shape of a tile; see `AbstractTiling`."""
        return self.tile_shape(fields.stacks[0].values.shape[1:])

    def counts(self, fields: Fields) -> np.ndarray:
        """Return the number of tiles of each field, shape (n_samples,), as floats."""
        counts = np.empty(fields.n_samples)
        for stack in fields.stacks:
            counts[stack.samples] = np.prod(self.tile_grid(stack.values.shape[1:]))
        return counts

    def plan(self, fields: Fields, max_tiles: int) -> list[Block]:
        """Divide the tiles of all fields into blocks of at most `max_tiles`; see `cuts`."""
        blocks = []
        for index, stack in enumerate(fields.stacks):
            cuts = self.cuts(len(stack.samples), stack.values.shape[1:], max_tiles)
            blocks.extend(
                Block(index, samples, tuple(region)) for samples, *region in product(*cuts)
            )
        return blocks

    def samples(self, fields: Fields, block: Block) -> np.ndarray:
        """Return the indices of the samples of a block; see `AbstractTiling`."""
        return fields.stacks[block.stack].samples[block.samples]

    def covers(self, fields: Fields, block: Block) -> bool:
        """Return True if a block contains all tiles of its samples."""
        shape = fields.stacks[block.stack].values.shape[1:]
        return block.grid == tuple(self.tile_grid(shape))

    def block_tiles(self, fields: Fields, block: Block) -> Tiles:
        """Return the tiles of a block, with a `sum_matrix` over the samples of the block."""
        values = self.read(fields, block)
        owners = np.repeat(np.arange(block.n_samples), int(np.prod(block.grid)))
        tile_shape = values.shape[1 + len(block.grid) :]
        return Tiles(values, sum_matrix(owners, block.n_samples), tile_shape)

    def tiles(self, X) -> Tiles:
        """Return all tiles of a batch of fields, as a view if all fields have one shape.

        Parameters
        ----------
        X : array-like of shape (n_samples, *field_shape), or list of such fields

        Returns
        -------
        Tiles

        Raises
        ------
        TilingError
            If `X` is lazy, because its tiles may exceed the memory.
        """
        fields = self.check(X)
        if fields.lazy:
            sizes = [np.prod([float(n) for n in stack.values.shape]) for stack in fields.stacks]
            gib = sum(sizes) * fields.dtype.itemsize / 2**30
            raise TilingError(
                "Cannot return all tiles of fields that are read lazily "
                f"({gib:.3g} GiB of fields). Linear models, Pipelines that end in one behind "
                "transformers with partial_fit, and torch networks without transformers read "
                "tiles block by block. For other models load the fields into memory first, for "
                "example with X.compute() or X[...]."
            )
        return super().tiles(fields)

    def probe(self, fields: Fields, n_tiles: int) -> Tiles:
        """Return about `n_tiles` adjacent tiles of the first stack."""
        stack = fields.stacks[0]
        cuts = self.cuts(len(stack.samples), stack.values.shape[1:], n_tiles)
        samples, *region = (along[0] for along in cuts)
        return self.block_tiles(fields, Block(0, samples, tuple(region)))

    def describe(self, fields: Fields) -> int:
        """Return the number of axes of a field, channels included."""
        return fields.ndim

    def check_model(self, fields: Fields, tile_model) -> None:
        """Raise TileModelError if a fitted tile model does not accept the tiles of fields."""
        for stack in fields.stacks:
            tile_model.check_shape(self.tile_shape(stack.values.shape[1:]))

    def n_contents(self, fields: Fields) -> int:
        """Return the number of channels, whose sums over a focus the baseline may use."""
        return self.shape_of_tiles(fields)[-1] if self.has_channels else 1

    def empty(self, fields: Fields, n_outputs) -> list[np.ndarray]:
        """Return an uninitialised array (n_samples, *tile_grid, n_outputs) for each stack."""
        return [
            np.empty((len(stack.samples), *self.tile_grid(stack.values.shape[1:]), n_outputs))
            for stack in fields.stacks
        ]

    def place(self, out, fields: Fields, block: Block, values) -> None:
        """Write the contributions of a block to the arrays of `empty`."""
        shape = (block.n_samples, *block.grid, values.shape[-1])
        out[block.stack][(block.samples, *block.region)] = values.reshape(shape)

    def by_sample(self, fields: Fields, out):
        """Return an array, or a list of arrays without a sample axis for a list of fields."""
        return fields.by_sample(out)

    def gradient_of(self, fields: Fields, tile_gradients, max_tiles) -> list[np.ndarray]:
        """Return the gradients of totals, one array for each stack; see `AbstractTiling`."""
        parts = [np.zeros(stack.values.shape) for stack in fields.stacks]
        for block in self.plan(fields, max_tiles):
            tiles = self.read(fields, block)
            tile_shape = tiles.shape[1 + len(block.grid) :]
            gradient = tile_gradients(tiles.reshape(-1, *tile_shape)).reshape(tiles.shape)
            add_tiles(parts[block.stack][block.samples], self, block.region, gradient)
        return parts

    def gradient_by_sample(self, fields: Fields, parts):
        """Return gradients in the order of the samples."""
        return fields.by_sample(parts)

    def range_of(self, fields: Fields) -> InputRange:
        """Return the range of each channel."""
        return InputRange.of(fields, self.channel_axis)

    def compare_range(self, fields: Fields, values) -> Fields:
        """Warn of fields far outside a stored range; lazy fields are compared as they are read."""
        fitted = InputRange.from_array(values)
        warn_of_range(fitted, fields, self.channel_axis)
        return replace(fields, known_range=fitted) if fields.lazy else fields


def box_sides(grid, max_tiles) -> list[int]:
    """Return the largest length along each axis of boxes of at most `max_tiles` cells."""
    sides = [1] * len(grid)
    left = max_tiles
    # The shortest axis first, so that the others get the share it does not need.
    for n_open, axis in zip(range(len(grid), 0, -1), np.argsort(grid, kind="stable"), strict=True):
        side = int(left ** (1 / n_open)) + 1
        while side > 1 and side**n_open > left:
            side -= 1
        sides[axis] = min(grid[axis], side)
        left //= sides[axis]
    return sides


def boxes(grid, max_tiles) -> list[tuple[slice, ...]]:
    """Cut a tile grid into boxes of at most `max_tiles`, as close to cubes as possible."""
    return list(product(*map(cut, grid, box_sides(grid, max_tiles))))


def cut(length, side) -> tuple[slice, ...]:
    """Cut an axis into as few parts of at most `side` as possible, equal except for the last."""
    n_parts = -(-length // side)
    step = max(1, -(-length // max(1, n_parts)))
    return tuple(slice(start, min(start + step, length)) for start in range(0, length, step))
