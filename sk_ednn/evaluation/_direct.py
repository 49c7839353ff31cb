"""Evaluate every tile, block by block, with joblib's workers."""

from __future__ import annotations

import numpy as np

from .._utils.stored import stored
from ._block_size import block_size
from ._blockwise import BlockwiseEvaluation


@stored("Direct")
class Direct(BlockwiseEvaluation):
    """Evaluate every tile.

    joblib distributes blocks of tiles to threads, or to other workers set by
    `joblib.parallel_config` (``"loky"`` processes, ``"dask"``). With several workers, the threads
    of each (BLAS, OpenMP) are limited so that their total number does not exceed that of cores.

    Parameters
    ----------
    n_jobs : int or None, default=None
        Number of workers. None for 1, or as set by `joblib.parallel_config`; -1 for all cores.
    max_tiles : int or None, default=None
        Maximum number of tiles of a block. None to derive it from `max_bytes`.
    max_bytes : int, default=2**26
        Approximate memory of the tiles of a block and their evaluation, per worker.
    verbose : int or None, default=None
        Whether to show a progress bar (0: never; 1: after two seconds).

    Examples
    --------
    >>> from sk_ednn.evaluation import Direct
    >>> Direct(n_jobs=2, max_tiles=4096)
    Direct(max_tiles=4096, n_jobs=2)
    """

    def tiles_per_block(self, tile_model, tiling, systems):
        """Return the maximum number of tiles of a block; see `AbstractEvaluation`."""
        self._validate_params()
        return block_size(self.max_tiles, self.max_bytes, tile_model)

    @staticmethod
    def contributions_of(tile_model, tiling, systems, block) -> np.ndarray:
        """Return the contributions of a block; see `BlockwiseEvaluation`."""
        tiles = tiling.block_tiles(systems, block)
        return tile_model.predict(tiles.array())

    @staticmethod
    def totals_of(tile_model, tiling, systems, block) -> np.ndarray:
        """Return the totals of a block; see `BlockwiseEvaluation`."""
        tiles = tiling.block_tiles(systems, block)
        return tiles.total(tile_model.predict(tiles.array()))
