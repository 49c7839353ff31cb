"""The contract of an evaluation: a fitted tile model over all tiles of some systems."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from ..tile_models import AbstractTileModel
from ..tiling import AbstractTiling
from ._exact import ExactTotals


class AbstractEvaluation(BaseEstimator, ABC):
    """How the contributions of all tiles are computed and added up.

    All evaluations give the same numbers. One takes one term at a time; what it is handed has
    been checked.
    """

    __module__ = "sk_ednn.evaluation"  # the name that messages give
    reads_pieces = False  # whether systems may be lazy

    @abstractmethod
    def tiles_per_block(
        self, tile_model: AbstractTileModel, tiling: AbstractTiling, systems
    ) -> int:
        """Return the most tiles of a block; it depends on parameters and types alone."""

    def plan(self, tile_model, tiling, systems) -> list:
        """Return the blocks of the systems."""
        return tiling.plan(systems, self.tiles_per_block(tile_model, tiling, systems))

    @abstractmethod
    def block_contributions(
        self, tile_model: AbstractTileModel, tiling: AbstractTiling, systems, blocks=None
    ) -> Iterable[tuple[Any, np.ndarray]]:
        """Yield each block with its contributions, (n_samples * n_tiles, n_outputs), in order.

        `blocks` are some of the plan's, None for all.
        """

    @abstractmethod
    def block_totals(
        self, tile_model: AbstractTileModel, tiling: AbstractTiling, systems, blocks=None
    ) -> Iterable[tuple[Any, np.ndarray]]:
        """Yield each block with the totals of its samples, (n_samples, n_outputs), in order."""

    def prepare(self, tile_model: AbstractTileModel, tiling: AbstractTiling) -> None:
        """Do once what several threads must not do at the same time; most have nothing to do."""

    def tile_contributions(self, tile_model, tiles) -> np.ndarray:
        """Return the contributions of single tiles, wherever they come from.

        Parameters
        ----------
        tile_model : AbstractTileModel
        tiles : ndarray of shape (n_tiles, *tile_shape)

        Returns
        -------
        ndarray of shape (n_tiles, n_outputs), float64
        """
        return tile_model.predict(tiles)

    def totals(self, tile_model, tiling, systems) -> np.ndarray:
        """Return the totals of systems.

        Parameters
        ----------
        tile_model : AbstractTileModel
        tiling : AbstractTiling
        systems : Fields
            As ``tiling.check(X)`` returns them.

        Returns
        -------
        ndarray of shape (n_samples, n_outputs), float64
            The correctly rounded sum of the totals of the blocks.
        """
        totals = ExactTotals(tile_model.n_outputs)
        for block, block_totals in self.block_totals(tile_model, tiling, systems):
            samples = tiling.samples(systems, block)
            totals.add(samples, block_totals, tiling.covers(systems, block))
        return totals.rounded(systems.n_samples)

    def contributions(self, tile_model, tiling, systems) -> list[np.ndarray]:
        """Return what each tile holds, per stack of the systems.

        Returns
        -------
        list of ndarray of shape (n_samples, *tile_grid, n_outputs), one for each stack
        """
        out = tiling.empty(systems, tile_model.n_outputs)
        for block, values in self.block_contributions(tile_model, tiling, systems):
            tiling.place(out, systems, block, values)
        return out


def block_size(max_tiles, max_bytes, tile_model: AbstractTileModel) -> int:
    """Return the most tiles of a block, by count or by what the tile model needs for one."""
    if max_tiles is not None:
        return int(max_tiles)
    return max(1, int(max_bytes) // tile_model.bytes_per_tile)
