"""Evaluation of each distinct tile once, with a cache of contributions."""

from __future__ import annotations

from numbers import Integral, Real
from weakref import WeakKeyDictionary

import numpy as np
from sklearn.utils._param_validation import Interval

from .._parallel.workers import map_blocks
from .._utils.stored import stored
from ..tiling._equal_tiles import distinct
from ._base import AbstractEvaluation

# With fewer tiles than this, looking up each is faster than searching for equal tiles.
_MIN_TILES = 64


@stored("Unique")
class Unique(AbstractEvaluation):
    """Evaluate each distinct tile once.

    This suits fields whose tiles repeat, such as spins, occupancies and images with vacuum.
    Contributions are cached in a table for later calls, so that Monte Carlo simulations soon
    evaluate no tiles at all.

    Parameters
    ----------
    n_jobs : int or None, default=None
        Number of workers that search for equal tiles. None for 1, -1 for all cores.
    max_tiles : int or None, default=None
        Maximum number of tiles of a block. None to derive it from `max_bytes`.
    max_bytes : int, default=2**26
        Approximate memory of the tiles of a block, per worker.
    table_size : int, default=2**20
        Maximum number of cached contributions per tile model; 0 disables the cache.
    verbose : int or None, default=None
        Whether to show a progress bar (0: never; 1: after two seconds).

    Examples
    --------
    >>> from sk_ednn import EDNNRegressor
    >>> from sk_ednn.datasets import make_ising
    >>> from sk_ednn.evaluation import Unique
    >>> X, y = make_ising(200, (8, 8), random_state=0, return_X_y=True)
    >>> model = EDNNRegressor(evaluation=Unique()).fit(X, y)
    >>> totals = model.predict(X)
    >>> model.evaluation_.table_length(model.tile_model_) <= 512  # states of 3 x 3 spins
    True
    """

    _parameter_constraints = {
        "n_jobs": [Integral, None],
        "max_tiles": [Interval(Integral, 1, None, closed="left"), None],
        "max_bytes": [Interval(Real, 1, None, closed="left")],
        "table_size": [Interval(Integral, 0, None, closed="left")],
        "verbose": ["verbose", None],
    }

    def __init__(
        self, n_jobs=None, *, max_tiles=None, max_bytes=2**26, table_size=2**20, verbose=None
    ):
        self.n_jobs = n_jobs
        self.max_tiles = max_tiles
        self.max_bytes = max_bytes
        self.table_size = table_size
        self.verbose = verbose

    def table_length(self, tile_model) -> int:
        """Return the number of cached contributions of a tile model."""
        return len(self._tables().get(tile_model, ()))

    def tiles_per_block(self, tile_model, tiling, fields):
        """Return the maximum number of tiles of a block; see `AbstractEvaluation`."""
        self._validate_params()
        per_tile = 8 + int(np.prod(tile_model.tile_shape)) * fields.dtype.itemsize
        return self.max_tiles or max(1, int(self.max_bytes) // per_tile)

    def tile_contributions(self, tile_model, tiles):
        """Return the contributions of single tiles; see `AbstractEvaluation`."""
        if len(tiles) < _MIN_TILES:
            return self._look_up(tile_model, tiles)
        first, inverse = distinct(tiles, tiles.ndim - 1)
        return self._look_up(tile_model, tiles[first])[inverse]

    def block_contributions(self, tile_model, tiling, fields, blocks=None):
        """Yield each block with its contributions; see `AbstractEvaluation`."""
        for block, tiles, inverse, _ in self._distinct_tiles(tile_model, tiling, fields, blocks):
            yield block, self._look_up(tile_model, tiles)[inverse]

    def block_totals(self, tile_model, tiling, fields, blocks=None):
        """Yield each block with its totals; see `AbstractEvaluation`."""
        for block, tiles, inverse, sums in self._distinct_tiles(tile_model, tiling, fields, blocks):
            contributions = self._look_up(tile_model, tiles)
            if block.n_samples == 1:
                counts = np.bincount(inverse, minlength=len(tiles))[None]
                yield block, counts @ contributions
            else:
                yield block, sums @ contributions[inverse]

    def _distinct_tiles(self, tile_model, tiling, fields, blocks):
        """Yield blocks, in order, with distinct tiles, the inverse index, and the sum matrix."""
        plan = self.plan(tile_model, tiling, fields) if blocks is None else blocks
        results = map_blocks(
            _distinct, plan, tiling, fields, n_jobs=self.n_jobs, verbose=self.verbose
        )
        for block, (tiles, inverse, sums) in results:
            yield block, tiles, inverse, sums

    def _look_up(self, tile_model, tiles) -> np.ndarray:
        """Return the contributions of distinct tiles; evaluate and cache those that are new."""
        if self.table_size == 0:
            return tile_model.predict(tiles)
        table = self._tables().setdefault(tile_model, {})
        rows = np.ascontiguousarray(tiles).reshape(len(tiles), -1)
        if rows.dtype.kind == "f":
            rows = rows + rows.dtype.type(0)  # -0.0 becomes 0.0, which is equal in other bytes
        keys = [rows.dtype.str.encode() + row.tobytes() for row in rows]
        new = [index for index, key in enumerate(keys) if key not in table]
        if not new:
            return np.array([table[key] for key in keys])
        fresh = tile_model.predict(tiles[new])
        if len(new) == len(keys):
            contributions = fresh
        else:
            contributions = np.empty((len(keys), tile_model.n_outputs))
            contributions[new] = fresh
            for index, key in enumerate(keys):
                if key in table:
                    contributions[index] = table[key]
        for index in new[: max(0, self.table_size - len(table))]:
            # A copy, because the caller may modify the result.
            table[keys[index]] = contributions[index].copy()
        return contributions

    def _tables(self):
        return self.__dict__.setdefault("_cache", WeakKeyDictionary())

    def __getstate__(self):
        """Return the state without the cache, whose weak keys cannot be pickled."""
        state = dict(super().__getstate__())
        state.pop("_cache", None)
        return state


def _distinct(tiling, fields, block):
    tiles = tiling.block_tiles(fields, block)
    first, inverse = distinct(tiles.values, len(tiles.tile_shape))
    return tiles.array(first), inverse, tiles.sum_matrix
