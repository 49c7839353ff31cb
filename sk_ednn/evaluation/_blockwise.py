"""Base class of evaluations that distribute blocks to joblib's workers."""

from __future__ import annotations

from abc import abstractmethod
from numbers import Integral, Real

import numpy as np
from sklearn.utils._param_validation import Interval

from .._parallel.workers import map_blocks
from ._base import AbstractEvaluation


class BlockwiseEvaluation(AbstractEvaluation):
    """Evaluate each block independently, by static methods that run in workers."""

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

    @staticmethod
    @abstractmethod
    def contributions_of(tile_model, tiling, systems, block) -> np.ndarray:
        """Return the contributions of a block, (n_tiles, n_outputs)."""

    @staticmethod
    @abstractmethod
    def totals_of(tile_model, tiling, systems, block) -> np.ndarray:
        """Return the totals of a block, (n_samples, n_outputs)."""

    def block_contributions(self, tile_model, tiling, systems, blocks=None):
        """Yield each block with its contributions; see `AbstractEvaluation`."""
        return self._map(self.contributions_of, tile_model, tiling, systems, blocks)

    def block_totals(self, tile_model, tiling, systems, blocks=None):
        """Yield each block with its totals; see `AbstractEvaluation`."""
        return self._map(self.totals_of, tile_model, tiling, systems, blocks)

    def _map(self, function, tile_model, tiling, systems, blocks):
        plan = self.plan(tile_model, tiling, systems) if blocks is None else blocks
        return map_blocks(
            function, plan, tile_model, tiling, systems, n_jobs=self.n_jobs, verbose=self.verbose
        )
