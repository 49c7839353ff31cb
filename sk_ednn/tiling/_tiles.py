"""The tiles of a batch of systems, and the operator that sums over them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array, eye_array

from ._equal_tiles import distinct, in_order

# Tiles compared before all are: enough to detect repetition, and cheap if there is none.
_PROBED = 2048
# Elements of a tile compared first.
_PROBED_ELEMENTS = 32
# With more distinct tiles than this, a row of the sum matrix exceeds the processor's caches.
_WIDE = 1 << 15


@dataclass(frozen=True)
class Tiles:
    """Tiles T and the sum operator S of ``y = S c(T)``.

    Attributes
    ----------
    values : ndarray of shape (*batch, *tile_shape)
        The tiles, in C order along the batch axes. Window axes come first, then channels, if any.
        Often a read-only strided view of overlapping windows, copied only block by block.
    sum_matrix : csr_array of shape (n_samples, n_tiles)
        Number of times each tile occurs in each sample.
    tile_shape : tuple of int
        Shape of a tile, ``(*window[, n_channels])``.
    """

    values: np.ndarray
    sum_matrix: csr_array
    tile_shape: tuple[int, ...]

    @property
    def n_samples(self) -> int:
        """Number of samples."""
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
        """Return the value of its sample, of shape (n_samples, ...), for each tile.

        This is the adjoint of `total`.
        """
        return self.sum_matrix.T @ np.asarray(residuals, dtype=np.float64)

    def counts(self) -> np.ndarray:
        """Return the number of tiles of each sample, with repetitions, shape (n_samples,)."""
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
        """Merge equal tiles and count their occurrences in the sum matrix.

        Parameters
        ----------
        admit : callable, default=None
            Called with the number of distinct tiles before they are copied. It may raise, for
            example if they do not fit in memory.

        Returns
        -------
        tiles : Tiles
            The distinct tiles, in an order that depends only on their values.
        inverse : ndarray of int of shape (n_tiles,)
            Index of the distinct tile equal to each tile.

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
            # Most are kept: it is faster to read the field once and then take rows in order.
            kept = np.take(self.array(), first, axis=0)
        else:
            kept = self.array(first)
        return Tiles(kept, self._renamed(inverse, len(first)), self.tile_shape), inverse

    def _renamed(self, inverse, n_distinct) -> csr_array:
        """Return the sum matrix over distinct tiles, with the entries of equal tiles added up."""
        old = self.sum_matrix
        shape = (self.n_samples, n_distinct)
        columns = inverse[old.indices]
        if n_distinct <= _WIDE:
            # A matrix product adds up entries without the sort of sum_duplicates.
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
        """Return True if there are at least `times` as many tiles as distinct tiles.

        If two thousand tiles, drawn at random, differ from each other, tiles are assumed not to
        repeat: among n equally frequent distinct tiles, about 2 million / n pairs of these would
        be equal. Otherwise the distinct tiles are counted.
        """
        n_probed = min(self.n_tiles, _PROBED)
        if n_probed < 2:
            return False
        probed = np.arange(n_probed)
        if n_probed < self.n_tiles:
            # At random: tiles at regular intervals would miss regular copies, as in supercells.
            probed = np.unique(np.random.default_rng(0).integers(self.n_tiles, size=n_probed))
            n_probed = len(probed)
        n_elements = int(np.prod(self.tile_shape))
        if n_elements > _PROBED_ELEMENTS:
            # Tiles that differ in a few elements differ, whatever the others are.
            batch = self.values.shape[: self.values.ndim - len(self.tile_shape)]
            few = np.unravel_index(
                np.linspace(0, n_elements - 1, _PROBED_ELEMENTS).astype(int), self.tile_shape
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
        """Return the distinct tiles if merging saves work, else the tiles unchanged.

        This only affects speed. To report or compare the number of distinct tiles use `unique`.
        """
        return self.unique()[0] if self.repeats() else self
