"""The interface of evaluations, which apply a fitted tile model to all tiles of systems."""

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
    """Interface of evaluations, which compute the contributions of all tiles and their sums.

    All evaluations give the same numbers. Each call evaluates one term, for systems that were
    checked by its tiling.
    """

    __module__ = "sk_ednn.evaluation"  # shown in error messages
    reads_pieces = False  # whether lazy systems are read block by block

    @abstractmethod
    def tiles_per_block(
        self, tile_model: AbstractTileModel, tiling: AbstractTiling, systems
    ) -> int:
        """Return the maximum number of tiles of a block, which depends on parameters and dtypes."""

    def plan(self, tile_model, tiling, systems) -> list:
        """Divide the tiles of the systems into blocks."""
        return tiling.plan(systems, self.tiles_per_block(tile_model, tiling, systems))

    @abstractmethod
    def block_contributions(
        self, tile_model: AbstractTileModel, tiling: AbstractTiling, systems, blocks=None
    ) -> Iterable[tuple[Any, np.ndarray]]:
        """Yield each block with its contributions, (n_tiles, n_outputs), in order.

        `blocks` are some of the blocks of `plan`; None for all.
        """

    @abstractmethod
    def block_totals(
        self, tile_model: AbstractTileModel, tiling: AbstractTiling, systems, blocks=None
    ) -> Iterable[tuple[Any, np.ndarray]]:
        """Yield each block with the totals of its samples, (n_samples, n_outputs), in order."""

    def prepare(self, tile_model: AbstractTileModel, tiling: AbstractTiling) -> None:
        """Initialise a tile model once, if that is not thread-safe. The default does nothing."""

    def tile_contributions(self, tile_model, tiles) -> np.ndarray:
        """Return the contributions of tiles.

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
        systems : Systems
            As returned by ``tiling.check(X)``.

        Returns
        -------
        ndarray of shape (n_samples, n_outputs), float64
            The correctly rounded sums of the totals of blocks.
        """
        totals = ExactTotals(tile_model.n_outputs)
        for block, block_totals in self.block_totals(tile_model, tiling, systems):
            samples = tiling.samples(systems, block)
            totals.add(samples, block_totals, tiling.covers(systems, block))
        return totals.rounded(systems.n_samples)

    def contributions(self, tile_model, tiling, systems) -> list[np.ndarray]:
        """Return the contribution of each tile, per stack of the systems.

        Returns
        -------
        list of ndarray of shape (n_samples, *tile_grid, n_outputs)
            One for each stack; without a grid as returned by `AbstractTiling.empty`.
        """
        out = tiling.empty(systems, tile_model.n_outputs)
        for block, values in self.block_contributions(tile_model, tiling, systems):
            tiling.place(out, systems, block, values)
        return out
