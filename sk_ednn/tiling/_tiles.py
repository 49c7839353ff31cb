"""The tiles of a batch of fields, and the operator that sums over them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array, eye_array

from ._unique import distinct, in_order

# Tiles looked at before all are compared: enough to see repetition, quick to skip where none is.
_PROBED = 2048
# Places of a tile looked at first.
_PLACES = 32
# With more distinct tiles than this, a row of the sum matrix no longer stays in the caches.
_WIDE = 1 << 15


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

    def adjoint(self, residuals) -> np.ndarray:
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

    def unique(self, admit=None) -> tuple[Tiles, np.ndarray]:
        """Merge equal tiles into one that counts as often as they did.

        Parameters
        ----------
        admit : callable, default=None
            Called with the number of distinct tiles before they are copied; it may raise, for
            instance where they would not fit into memory.

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
        if admit is not None:
            admit(len(first))
        if 2 * len(first) > self.n_tiles:
            # Most are kept: one pass through the field, then rows in order, is the faster way.
            kept = np.take(self.array(), first, axis=0)
        else:
            kept = self.array(first)
        return Tiles(kept, self._renamed(inverse, len(first)), self.tile_shape), inverse

    def _renamed(self, inverse, n_distinct) -> csr_array:
        """Return the sum matrix with the tiles renamed, and entries of the same tile added up."""
        old = self.sum_matrix
        shape = (self.n_samples, n_distinct)
        columns = inverse[old.indices]
        if n_distinct <= _WIDE:
            # A product adds entries up without sorting them, as sum_duplicates would.
            renamed = csr_array((old.data, columns, old.indptr), shape=shape)
            renamed = renamed @ eye_array(n_distinct, format="csr")
            renamed.sort_indices()
            return renamed
        rows = np.repeat(np.arange(self.n_samples), np.diff(old.indptr))
        keys, starts, order = in_order(rows * n_distinct + columns)
        data = np.add.reduceat(old.data[order], starts)
        rows, columns = np.divmod(keys, n_distinct)
        indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=self.n_samples))])
        return csr_array((data, columns, indptr), shape=shape)

    def repeats(self, times=2.0) -> bool:
        """Tell whether there are at least `times` as many tiles as distinct ones.

        Where some thousand tiles, spread over all, differ from each other, none of them is taken
        to repeat: of n distinct tiles that are equally frequent, 2 million / n pairs would be
        equal. Otherwise the distinct tiles are counted.
        """
        n_probed = min(self.n_tiles, _PROBED)
        if n_probed < 2:
            return False
        probed = np.arange(n_probed) * (self.n_tiles // n_probed)
        n_places = int(np.prod(self.tile_shape))
        if n_places > _PLACES:
            # Tiles that differ at a few places differ: there is no need to read the others.
            batch = self.values.shape[: self.values.ndim - len(self.tile_shape)]
            few = np.unravel_index(
                np.linspace(0, n_places - 1, _PLACES).astype(int), self.tile_shape
            )
            at = np.unravel_index(probed[:, None], batch)
            first, _ = distinct(self.values[(*at, *few)], 1)
            if len(first) == n_probed:
                return False
        first, _ = distinct(self.array(probed), len(self.tile_shape))
        if len(first) == n_probed < self.n_tiles:
            return False
        if n_probed < self.n_tiles:
            first, _ = distinct(self.values, len(self.tile_shape))
        return times * len(first) <= self.n_tiles

    def condensed(self) -> Tiles:
        """Return the distinct tiles where merging pays, else the tiles as they are.

        For speed alone: whatever reports or decides by the number of distinct tiles takes `unique`.
        """
        return self.unique()[0] if self.repeats() else self
