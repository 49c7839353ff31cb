"""The tiles of a batch of fields, and the operator that sums over them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array, eye_array

from ._distinct import distinct

# Tiles looked at before all are compared: enough to see repetition, quick to skip where none is.
_PROBED = 2048


@dataclass(frozen=True)
class Tiles:
    """Tiles and the sum operator S of ``y = S c(T)``.

    Attributes
    ----------
    values : ndarray of shape (*batch, *tile_shape)
        What each tile sees, window axes first, then the channels where there are any. Often a
        strided view of overlapping windows: read-only, and copied out only block by block.
        The tiles are counted along the batch axes in C order.
    sum_matrix : csr_array of shape (n_samples, n_tiles)
        How often each tile belongs to each sample.
    tile_shape : tuple of int
        Shape of one tile, ``(*window[, n_channels])``.
    """

    values: np.ndarray
    sum_matrix: csr_array
    tile_shape: tuple[int, ...]

    @property
    def n_samples(self) -> int:
        """Number of samples the tiles belong to."""
        return self.sum_matrix.shape[0]

    @property
    def n_tiles(self) -> int:
        """Number of tiles."""
        return self.sum_matrix.shape[1]

    def total(self, contributions) -> np.ndarray:
        """Sum tile contributions of shape (n_tiles, ...) over each sample, in float64."""
        contributions = np.asarray(contributions, dtype=np.float64)
        return self.sum_matrix @ contributions

    def spread(self, residuals) -> np.ndarray:
        """Hand values of shape (n_samples, ...) down to the tiles: the adjoint of `total`."""
        return self.sum_matrix.T @ np.asarray(residuals, dtype=np.float64)

    def counts(self) -> np.ndarray:
        """Return how many tiles each sample has, repetitions counted; shape (n_samples,)."""
        return self.total(np.ones(self.n_tiles))

    def array(self, index=slice(None)) -> np.ndarray:
        """Return the tiles at `index` as an array of shape (n, *tile_shape)."""
        batch = self.values.shape[: self.values.ndim - len(self.tile_shape)]
        if len(batch) == 1:
            return self.values[index]
        if isinstance(index, slice):
            if index == slice(None):
                return self.values.reshape(-1, *self.tile_shape)
            index = np.arange(*index.indices(self.n_tiles))
        return self.values[np.unravel_index(np.asarray(index), batch)]

    def unique(self) -> tuple[Tiles, np.ndarray]:
        """Merge equal tiles into one that counts as often as they did.

        Returns
        -------
        tiles : Tiles
            The distinct tiles, in an order that depends on their values only.
        inverse : ndarray of int of shape (n_tiles,)
            Which distinct tile each tile is.

        Examples
        --------
        >>> import numpy as np
        >>> from sk_ednn import GridTiling
        >>> spins = np.random.default_rng(0).choice([-1, 1], size=(1000, 8, 8)).astype(np.int8)
        >>> tiles = GridTiling(focus=1, context=1).tiles(spins)
        >>> distinct, inverse = tiles.unique()
        >>> tiles.n_tiles, distinct.n_tiles  # 3 x 3 spins have 512 states
        (64000, 512)
        """
        first, inverse = distinct(self.values, len(self.tile_shape))
        renamed = csr_array(
            (self.sum_matrix.data, inverse[self.sum_matrix.indices], self.sum_matrix.indptr),
            shape=(self.n_samples, len(first)),
        )
        # A product adds entries of the same tile up without sorting them, as sum_duplicates would.
        merged = renamed @ eye_array(len(first), format="csr")
        merged.sort_indices()
        return Tiles(self.array(first), merged, self.tile_shape), inverse

    def repeats(self) -> bool:
        """Tell from a sample of the tiles whether merging equal ones would pay."""
        n_probed = min(self.n_tiles, _PROBED)
        if n_probed < 2:
            return False
        step = self.n_tiles // n_probed
        probe = self.array(np.arange(0, n_probed * step, step))
        first, _ = distinct(probe, len(self.tile_shape))
        return 2 * len(first) <= n_probed

    def condensed(self) -> Tiles:
        """Return the distinct tiles where many are equal, else the tiles as they are."""
        return self.unique()[0] if self.repeats() else self
