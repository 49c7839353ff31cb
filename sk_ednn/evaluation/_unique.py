"""Evaluate each distinct tile once, and remember it."""

from __future__ import annotations

from numbers import Integral, Real
from weakref import WeakKeyDictionary

import numpy as np
from sklearn.utils._param_validation import Interval

from .._parallel.workers import map_blocks
from .._utils.stored import stored
from ..tiling._unique import distinct
from ._base import AbstractEvaluation

# Fewer tiles than this are looked up one by one sooner than they are compared.
_FEW = 64


@stored("Unique")
class Unique(AbstractEvaluation):
    """Evaluate each distinct tile once.

    For fields whose tiles repeat: spins, occupancies, images with much vacuum. What was evaluated
    is kept in a table for later calls, so that a Monte Carlo run soon evaluates nothing at all.

    Parameters
    ----------
    n_jobs : int or None, default=None
        Workers that look for equal tiles. None for 1, -1 for all cores.
    max_tiles : int or None, default=None
        Most tiles looked at together. None to follow from `max_bytes`.
    max_bytes : int, default=2**26
        What the tiles of a block may take, roughly, for each worker.
    table_size : int, default=2**20
        Most contributions to remember for each tile model; 0 to remember none.
    verbose : int or None, default=None
        Whether to show a progress bar (0: no; 1: where it takes more than two seconds).

    Examples
    --------
    >>> from sk_ednn import EDNNRegressor
    >>> from sk_ednn.datasets import make_ising
    >>> from sk_ednn.evaluation import Unique
    >>> X, y = make_ising(200, (8, 8), random_state=0, return_X_y=True)
    >>> model = EDNNRegressor(evaluation=Unique()).fit(X, y)
    >>> totals = model.predict(X)
    >>> model.evaluation_.table_length(model.tile_model_) <= 512  # all that 3 x 3 spins can be
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
        """Return how many contributions of a tile model are remembered."""
        return len(self._tables().get(tile_model, ()))

    def tiles_per_block(self, tile_model, tiling, fields):
        """Return the most tiles of a block; see `AbstractEvaluation`."""
        self._validate_params()
        per_tile = 8 + int(np.prod(tile_model.tile_shape)) * fields.dtype.itemsize
        return self.max_tiles or max(1, int(self.max_bytes) // per_tile)

    def tile_contributions(self, tile_model, tiles):
        """Return the contributions of single tiles; see `AbstractEvaluation`."""
        if len(tiles) < _FEW:
            return self._look_up(tile_model, tiles)
        first, inverse = distinct(tiles, tiles.ndim - 1)
        return self._look_up(tile_model, tiles[first])[inverse]

    def block_contributions(self, tile_model, tiling, fields, blocks=None):
        """Yield each block with its contributions; see `AbstractEvaluation`."""
        for block, kinds, inverse, _ in self._distinct_tiles(tile_model, tiling, fields, blocks):
            yield block, self._look_up(tile_model, kinds)[inverse]

    def block_totals(self, tile_model, tiling, fields, blocks=None):
        """Yield each block with its totals; see `AbstractEvaluation`."""
        for block, kinds, inverse, sums in self._distinct_tiles(tile_model, tiling, fields, blocks):
            contributions = self._look_up(tile_model, kinds)
            if block.n_samples == 1:
                counts = np.bincount(inverse, minlength=len(kinds))[None]
                yield block, counts @ contributions
            else:
                yield block, sums @ contributions[inverse]

    def _distinct_tiles(self, tile_model, tiling, fields, blocks):
        """Yield (block, distinct tiles, which of them each tile is, sum matrix), in order."""
        plan = self.plan(tile_model, tiling, fields) if blocks is None else blocks
        found = map_blocks(
            _distinct, plan, tiling, fields, n_jobs=self.n_jobs, verbose=self.verbose
        )
        for block, (kinds, inverse, sums) in found:
            yield block, kinds, inverse, sums

    def _look_up(self, tile_model, kinds) -> np.ndarray:
        """Return the contributions of distinct tiles, evaluating those that are new."""
        if self.table_size == 0:
            return tile_model.predict(kinds)
        table = self._tables().setdefault(tile_model, {})
        rows = np.ascontiguousarray(kinds).reshape(len(kinds), -1)
        if rows.dtype.kind == "f":
            rows = rows + rows.dtype.type(0)  # -0.0 becomes 0.0, the same value in other bytes
        keys = [rows.dtype.str.encode() + row.tobytes() for row in rows]
        new = [index for index, key in enumerate(keys) if key not in table]
        if not new:
            return np.array([table[key] for key in keys])
        fresh = tile_model.predict(kinds[new])
        if len(new) == len(keys):
            contributions = fresh
        else:
            contributions = np.empty((len(keys), tile_model.n_outputs))
            contributions[new] = fresh
            for index, key in enumerate(keys):
                if key in table:
                    contributions[index] = table[key]
        for index in new[: max(0, self.table_size - len(table))]:
            # A copy: what is returned belongs to whoever asked.
            table[keys[index]] = contributions[index].copy()
        return contributions

    def _tables(self):
        if "_remembered" not in self.__dict__:
            self._remembered = WeakKeyDictionary()
        return self._remembered

    def __getstate__(self):
        """Leave out what can be evaluated again, and keys that do not survive."""
        state = dict(super().__getstate__())
        state.pop("_remembered", None)
        return state


def _distinct(tiling, fields, block):
    tiles = tiling.block_tiles(fields, block)
    first, inverse = distinct(tiles.values, len(tiles.tile_shape))
    return tiles.array(first), inverse, tiles.sum_matrix
