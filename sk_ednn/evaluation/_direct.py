"""Evaluate every tile, block by block, with joblib's workers."""

from __future__ import annotations

import numpy as np

from .._utils.stored import stored
from ._base import block_size
from ._blockwise import BlockwiseEvaluation


@stored("Direct")
class Direct(BlockwiseEvaluation):
    """Evaluate every tile.

    Blocks of tiles are handed to joblib: threads unless a `joblib.parallel_config` says otherwise
    (``"loky"`` processes, ``"dask"``). While several workers run, the threads of each (BLAS,
    OpenMP) are limited so that there are no more in all than cores.

    Parameters
    ----------
    n_jobs : int or None, default=None
        Workers. None for 1, or what `joblib.parallel_config` says; -1 for all cores.
    max_tiles : int or None, default=None
        Most tiles of a block. None to follow from `max_bytes`.
    max_bytes : int, default=2**26
        What the tiles of a block and their evaluation may take, roughly, for each worker.
    verbose : int or None, default=None
        Whether to show a progress bar (0: no; 1: where it takes more than two seconds).

    Examples
    --------
    >>> from sk_ednn.evaluation import Direct
    >>> Direct(n_jobs=2, max_tiles=4096)
    Direct(max_tiles=4096, n_jobs=2)
    """

    def tiles_per_block(self, tile_model, tiling, systems):
        """Return the most tiles of a block; see `AbstractEvaluation`."""
        self._validate_params()
        return block_size(self.max_tiles, self.max_bytes, tile_model)

    @staticmethod
    def contributions_of(tile_model, tiling, systems, block) -> np.ndarray:
        """Return the contributions of one block; see `BlockwiseEvaluation`."""
        tiles = tiling.block_tiles(systems, block)
        return tile_model.predict(tiles.array())

    @staticmethod
    def totals_of(tile_model, tiling, systems, block) -> np.ndarray:
        """Return the totals of one block; see `BlockwiseEvaluation`."""
        tiles = tiling.block_tiles(systems, block)
        return tiles.total(tile_model.predict(tiles.array()))
