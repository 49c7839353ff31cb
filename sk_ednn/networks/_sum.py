"""Batches of tiles and their sums, in torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from .._tile_model import channels_first
from .._tiles import Tiles

# A table of counts (samples by distinct tiles) is kept dense up to this many bytes: rows of it
# are ready to multiply with, where rows of a sparse one must be filled in at every step.
_DENSE_BYTES = 1 << 29


@dataclass
class TileBatch:
    """The tiles of some samples, and how they add up to them.

    Attributes
    ----------
    tiles : Tensor of shape (n_tiles, ...)
        What the network sees.
    sums : Tensor, or tuple of three
        Counts of shape (n_samples, n_tiles), or (samples, tiles, counts) of those not zero.
    n_samples : int
    weights : Tensor of shape (n_samples, 1) or None
        Sample weights.
    """

    tiles: torch.Tensor
    sums: Any
    n_samples: int
    weights: torch.Tensor | None = None

    def __len__(self):
        return self.n_samples

    def to(self, device) -> TileBatch:
        """Return the batch on a device."""
        sums = self.sums
        return TileBatch(
            self.tiles.to(device),
            tuple(part.to(device) for part in sums) if isinstance(sums, tuple) else sums.to(device),
            self.n_samples,
            None if self.weights is None else self.weights.to(device),
        )

    def total(self, contributions: torch.Tensor) -> torch.Tensor:
        """Sum contributions (n_tiles, n_outputs) over the samples: (n_samples, n_outputs)."""
        if isinstance(self.sums, torch.Tensor):
            return self.sums.to(contributions.dtype) @ contributions
        samples, tiles, counts = self.sums
        parts = contributions[tiles] * counts.to(contributions.dtype)[:, None]
        totals = contributions.new_zeros(self.n_samples, contributions.shape[1])
        return totals.index_add(0, samples, parts)


class TileSums(Dataset):
    """Samples as sums over tiles, served in batches.

    Equal tiles are evaluated once: where the distinct tiles of all samples are no more than those
    of one batch they are all evaluated at every step, from a tensor that is made once.

    Parameters
    ----------
    tiles : Tiles
        Of all samples, already condensed.
    prepare : function
        Turns an array of tiles into the input of the network.
    y : ndarray of shape (n_samples, n_outputs)
    sample_weight : ndarray of shape (n_samples,) or None
    batch_size : int
        Samples of a batch, to see whether a table pays.
    dtype : torch.dtype
    """

    def __init__(self, tiles: Tiles, prepare, y, sample_weight, batch_size, dtype=torch.float32):
        self.tiles, self.prepare, self.dtype = tiles, prepare, dtype
        self.y = torch.as_tensor(y, dtype=dtype)
        self.weights = (
            None if sample_weight is None else torch.as_tensor(sample_weight, dtype=dtype)[:, None]
        )
        self.sum_matrix = tiles.sum_matrix
        n_samples, n_tiles = self.sum_matrix.shape
        self._table = self._counts = None
        if n_tiles <= batch_size * self.sum_matrix.nnz / max(n_samples, 1):
            self._table = prepare(tiles.array())
            narrow = np.uint8 if self.sum_matrix.data.max(initial=0) < 256 else np.float32
            if n_samples * n_tiles * np.dtype(narrow).itemsize <= _DENSE_BYTES:
                self._counts = torch.from_numpy(self.sum_matrix.astype(narrow).toarray())

    def __len__(self):
        return len(self.y)

    def __getitem__(self, samples):
        """Return (TileBatch, y) of one sample, or of a list of samples."""
        index = np.atleast_1d(np.asarray(samples))
        rows = torch.from_numpy(index)
        tiles, sums = self._tiles_and_sums(index, rows)
        weights = None if self.weights is None else self.weights.index_select(0, rows)
        return TileBatch(tiles, sums, len(index), weights), self.y.index_select(0, rows)

    def _tiles_and_sums(self, index, rows):
        if self._counts is not None:
            return self._table, self._counts.index_select(0, rows).to(self.dtype)
        part = self.sum_matrix[index]
        owners = torch.from_numpy(np.repeat(np.arange(len(index)), np.diff(part.indptr)))
        counts = torch.as_tensor(part.data, dtype=self.dtype)
        if self._table is not None:
            return self._table, (owners, torch.as_tensor(part.indices, dtype=torch.long), counts)
        used, local = np.unique(part.indices, return_inverse=True)
        tiles = self.prepare(self.tiles.array(used))
        return tiles, (owners, torch.as_tensor(local, dtype=torch.long), counts)


def network_input(tiles, has_channels, dtype=torch.float32) -> torch.Tensor:
    """Return tiles (n, *tile_shape) as a tensor (n, n_channels or 1, *window)."""
    return torch.from_numpy(channels_first(tiles, has_channels)).to(dtype)
