"""Batches of tiles and their sums, in torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_array
from torch.utils.data import Dataset

from ..tile_models._base import channels_first_tiles, module_input
from ..tiling._tiles import Tiles

NUMPY = {torch.float32: np.float32, torch.float64: np.float64}


class _SparseSum(torch.autograd.Function):
    """A product with a sparse matrix of scipy on the CPU, twice as fast as a dense one."""

    @staticmethod
    def forward(ctx, contributions, matrix):
        ctx.matrix = matrix
        return torch.from_numpy(matrix @ contributions.detach().numpy())

    @staticmethod
    def backward(ctx, gradient):
        return _SparseSum.apply(gradient.contiguous(), ctx.matrix.T), None


@dataclass
class TileBatch:
    """The tiles of a batch of samples, and their sum matrix.

    Attributes
    ----------
    tiles : Tensor of shape (n_tiles, ...)
        Input of the network.
    sums : csr_array of shape (n_samples, n_tiles), or tuple of Tensor
        Number of times each tile occurs in each sample. On a device, the tuple (samples, tiles,
        counts) of the nonzero entries.
    n_samples : int
    weights : Tensor of shape (n_samples, 1) or None
        Sample weights.
    samples : ndarray of int of shape (n_samples,) or None
        Which samples of the data set these are.
    """

    tiles: torch.Tensor
    sums: Any
    n_samples: int
    weights: torch.Tensor | None = None
    samples: np.ndarray | None = None

    def __len__(self):
        return self.n_samples

    def to(self, device) -> TileBatch:
        """Return the batch on a device."""
        sums = self.sums
        if torch.device(device).type != "cpu" and not isinstance(sums, tuple):
            sums = sums.tocoo()
            sums = tuple(torch.as_tensor(part) for part in (sums.row, sums.col, sums.data))
        if isinstance(sums, tuple):
            sums = tuple(part.to(device) for part in sums)
        weights = None if self.weights is None else self.weights.to(device)
        return TileBatch(self.tiles.to(device), sums, self.n_samples, weights)

    def total(self, contributions: torch.Tensor) -> torch.Tensor:
        """Sum contributions (n_tiles, n_outputs) over each sample, (n_samples, n_outputs)."""
        if not isinstance(self.sums, tuple):
            return _SparseSum.apply(contributions, self.sums)
        samples, tiles, counts = self.sums
        parts = contributions[tiles] * counts[:, None]
        totals = contributions.new_zeros(self.n_samples, contributions.shape[1])
        return totals.index_add(0, samples, parts)


class TileSums(Dataset):
    """Samples as sums over tiles, in batches.

    Equal tiles are evaluated once. If there are no more distinct tiles in all samples than tiles in
    a batch, all of them are evaluated at every step, from a tensor that is created once.

    Parameters
    ----------
    tiles : Tiles
        Tiles of all samples, already condensed.
    prepare : function
        Converts an array of tiles to the input of the network.
    y : ndarray of shape (n_samples, n_outputs)
    sample_weight : ndarray of shape (n_samples,) or None
    batch_size : int
        Number of samples of a batch.
    dtype : torch.dtype
    """

    def __init__(self, tiles: Tiles, prepare, y, sample_weight, batch_size, dtype=torch.float32):
        self.tiles, self.prepare, self.dtype = tiles, prepare, dtype
        self.y = torch.as_tensor(y, dtype=dtype)
        self.weights = (
            None if sample_weight is None else torch.as_tensor(sample_weight, dtype=dtype)[:, None]
        )
        matrix = tiles.sum_matrix
        self.sum_matrix = csr_array(
            (matrix.data.astype(NUMPY[dtype]), *_narrow(matrix)),
            shape=matrix.shape,
        )
        n_samples, n_tiles = matrix.shape
        self._table = None
        if n_tiles <= batch_size * matrix.nnz / max(n_samples, 1):
            self._table = prepare(tiles.array())

    def __len__(self):
        return len(self.y)

    def __getitem__(self, samples):
        """Return the TileBatch and y of one sample or of an array of samples."""
        index = np.atleast_1d(np.asarray(samples))
        rows = torch.from_numpy(index)
        tiles, sums = self._tiles_and_sums(index)
        weights = None if self.weights is None else self.weights.index_select(0, rows)
        return TileBatch(tiles, sums, len(index), weights), self.y.index_select(0, rows)

    def _tiles_and_sums(self, index):
        part = self.sum_matrix[index]
        if self._table is not None:
            return self._table, part
        used, local = np.unique(part.indices, return_inverse=True)
        tiles = self.prepare(self.tiles.array(used))
        return tiles, csr_array((part.data, local, part.indptr), shape=(len(index), len(used)))


@dataclass
class BranchBatch:
    """The tiles of a batch of samples for each of several networks.

    Attributes
    ----------
    branches : list of TileBatch
        One for each network, of the same samples.
    samples : ndarray of int of shape (n_samples,) or None
        Which samples of the data set these are.
    """

    branches: list[TileBatch]
    samples: np.ndarray | None = None

    def __len__(self):
        return len(self.branches[0])

    @property
    def weights(self) -> torch.Tensor | None:
        """Sample weights, (n_samples, 1), or None."""
        return self.branches[0].weights

    def to(self, device) -> BranchBatch:
        """Return the batch on a device."""
        return BranchBatch([branch.to(device) for branch in self.branches])


class BranchSums(Dataset):
    """Samples as sums over the tiles of several terms, in batches.

    Parameters
    ----------
    branches : list of TileSums
        One for each term, of the same samples.
    """

    def __init__(self, branches):
        self.branches = branches

    def __len__(self):
        return len(self.branches[0])

    @property
    def weights(self) -> torch.Tensor | None:
        """Sample weights, (n_samples, 1), or None."""
        return self.branches[0].weights

    def __getitem__(self, samples):
        """Return the BranchBatch and y of one sample or of an array of samples."""
        pairs = [branch[samples] for branch in self.branches]
        return BranchBatch([batch for batch, _ in pairs]), pairs[0][1]


def _narrow(matrix):
    """Return the indices of a sparse matrix, in 32 bits if possible, to reduce memory traffic."""
    fits = max(*matrix.shape, matrix.nnz) <= np.iinfo(np.int32).max
    dtype = np.int32 if fits else np.int64
    return matrix.indices.astype(dtype), matrix.indptr.astype(dtype)


def network_input(tiles, has_channels, dtype=torch.float32, standardization=None) -> torch.Tensor:
    """Return tiles (n, *tile_shape) as a tensor (n, n_channels or 1, *window).

    Tiles that are not windows, for which `has_channels` is None, keep their shape.
    """
    if standardization is None:
        return torch.from_numpy(module_input(tiles, has_channels, NUMPY[dtype]))
    tiles = channels_first_tiles(tiles, has_channels)
    return torch.from_numpy(standardization(tiles).astype(NUMPY[dtype], order="C"))
