"""Evaluate every tile, block by block, with joblib's workers."""

from __future__ import annotations

from numbers import Integral, Real

import numpy as np
from sklearn.utils._param_validation import Interval

from ._base import AbstractEvaluation, block_size
from ._workers import map_blocks


class Direct(AbstractEvaluation):
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

    _parameter_constraints = {
        "n_jobs": [Integral, None],
        "max_tiles": [Interval(Integral, 1, None, closed="left"), None],
        "max_bytes": [Interval(Real, 1, None, closed="left")],
        "verbose": ["verbose", None],
    }

    def __init__(self, n_jobs=None, *, max_tiles=None, max_bytes=2**26, verbose=None):
        self.n_jobs = n_jobs
        self.max_tiles = max_tiles
        self.max_bytes = max_bytes
        self.verbose = verbose

    def tiles_per_block(self, tile_model, tiling, fields):
        """Return the most tiles of a block; see `AbstractEvaluation`."""
        self._validate_params()
        return block_size(self.max_tiles, self.max_bytes, tile_model)

    def block_contributions(self, tile_model, tiling, fields, blocks=None):
        """Yield each block with its contributions; see `AbstractEvaluation`."""
        return self._map(_contributions, tile_model, tiling, fields, blocks)

    def block_totals(self, tile_model, tiling, fields, blocks=None):
        """Yield each block with its totals; see `AbstractEvaluation`."""
        return self._map(_totals, tile_model, tiling, fields, blocks)

    def _map(self, function, tile_model, tiling, fields, blocks):
        plan = self.plan(tile_model, tiling, fields) if blocks is None else blocks
        return map_blocks(
            function, plan, tile_model, tiling, fields, n_jobs=self.n_jobs, verbose=self.verbose
        )


def _contributions(tile_model, tiling, fields, block) -> np.ndarray:
    tiles = tiling.block_tiles(fields, block)
    return tile_model.predict(tiles.array())


def _totals(tile_model, tiling, fields, block) -> np.ndarray:
    tiles = tiling.block_tiles(fields, block)
    return tiles.total(tile_model.predict(tiles.array()))
