"""The contract of an evaluation: a fitted tile model over all tiles of some fields."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable

import numpy as np
from sklearn.base import BaseEstimator

from ..fields._fields import Fields
from ..tile_models._tile_model import TileModel
from ..tiling import AbstractTiling, Block
from ._exact import ExactTotals


class AbstractEvaluation(BaseEstimator, ABC):
    """How the contributions of all tiles are computed and added up.

    All evaluations give the same numbers. One takes one term at a time; what it is handed has
    been checked.
    """

    __module__ = "sk_ednn.evaluation"  # the name that messages give

    @abstractmethod
    def tiles_per_block(self, tile_model: TileModel, tiling: AbstractTiling, fields: Fields) -> int:
        """Return the most tiles of a block; it depends on parameters and types alone."""

    def plan(self, tile_model, tiling, fields) -> list[Block]:
        """Return the blocks of the fields."""
        return tiling.plan(fields, self.tiles_per_block(tile_model, tiling, fields))

    @abstractmethod
    def block_contributions(
        self, tile_model: TileModel, tiling: AbstractTiling, fields: Fields, blocks=None
    ) -> Iterable[tuple[Block, np.ndarray]]:
        """Yield each block with its contributions, (n_samples * n_tiles, n_outputs), in order.

        `blocks` are some of the plan's, None for all.
        """

    @abstractmethod
    def block_totals(
        self, tile_model: TileModel, tiling: AbstractTiling, fields: Fields, blocks=None
    ) -> Iterable[tuple[Block, np.ndarray]]:
        """Yield each block with the totals of its samples, (n_samples, n_outputs), in order."""

    def prepare(self, tile_model: TileModel, tiling: AbstractTiling) -> None:
        """Do once what several threads must not do at the same time; most have nothing to do."""

    def tile_contributions(self, tile_model, tiles) -> np.ndarray:
        """Return the contributions of single tiles, wherever they come from.

        Parameters
        ----------
        tile_model : TileModel
        tiles : ndarray of shape (n_tiles, *tile_shape)

        Returns
        -------
        ndarray of shape (n_tiles, n_outputs), float64
        """
        return tile_model.predict(tiles)

    def totals(self, tile_model, tiling, fields) -> np.ndarray:
        """Return the totals of fields.

        Parameters
        ----------
        tile_model : TileModel
        tiling : AbstractTiling
        fields : Fields
            As ``tiling.check(X)`` returns them.

        Returns
        -------
        ndarray of shape (n_samples, n_outputs), float64
            The correctly rounded sum of the totals of the blocks.
        """
        totals = ExactTotals(tile_model.n_outputs)
        for block, block_totals in self.block_totals(tile_model, tiling, fields):
            samples = fields.stacks[block.stack].samples[block.samples]
            totals.add(samples, block_totals, _covers(block, tiling, fields))
        return totals.rounded(fields.n_samples)

    def contributions(self, tile_model, tiling, fields) -> list[np.ndarray]:
        """Return what each tile holds, per stack of the fields.

        Returns
        -------
        list of ndarray of shape (n_samples, *tile_grid, n_outputs), one for each stack
        """
        out = [
            np.empty(
                (
                    len(stack.samples),
                    *tiling.tile_grid(stack.values.shape[1:]),
                    tile_model.n_outputs,
                )
            )
            for stack in fields.stacks
        ]
        for block, values in self.block_contributions(tile_model, tiling, fields):
            shape = (block.n_samples, *block.grid, tile_model.n_outputs)
            out[block.stack][(block.samples, *block.region)] = values.reshape(shape)
        return out


def _covers(block: Block, tiling, fields) -> bool:
    """Tell whether a block holds all tiles of its samples."""
    return block.grid == tuple(tiling.tile_grid(fields.stacks[block.stack].values.shape[1:]))


def block_size(max_tiles, max_bytes, tile_model: TileModel) -> int:
    """Return the most tiles of a block, by count or by what the tile model needs for one."""
    if max_tiles is not None:
        return int(max_tiles)
    return max(1, int(max_bytes) // tile_model.bytes_per_tile)
