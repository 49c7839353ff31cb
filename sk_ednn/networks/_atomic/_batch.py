"""Atoms and their neighbours as tensors: a table of all structures, and batches cut from it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...structures import Environments

# Where a row of a padded table has no neighbour. The vector is finite, so that nothing divides by
# zero; the mask removes it.
_NOWHERE = (1.0, 0.0, 0.0)


@dataclass(eq=False)
class AtomicBatch:
    """Some atoms with their neighbours, in rows padded to equal length.

    Rows are sorted by the species of the centre, so that each species is one slice.

    Attributes
    ----------
    numbers : Tensor of shape (n_centers,)
        Atomic numbers of the centres, ascending.
    owners : Tensor of shape (n_centers,)
        Structure of each centre, from 0.
    n_structures : int
    sizes : Tensor of shape (n_structures,)
        Number of all atoms of each structure, even if the batch contains only some.
    atoms : Tensor of shape (n_centers,)
        Row of each centre in the table of the batch.
    centers : Tensor of shape (n_centers,)
        Row of each centre among the targets, the atoms that gradients are summed over.
    neighbors : Tensor of shape (n_centers, n_neighbors)
        The same for the neighbours; padded with 0.
    neighbor_numbers : Tensor of shape (n_centers, n_neighbors)
        Padded with 0.
    pairs : Tensor of shape (n_centers, n_neighbors)
        Row of each pair in the table; padded with its last.
    vectors : Tensor of shape (n_centers, n_neighbors, 3)
        From the centre to the neighbour, in Å.
    mask : Tensor of shape (n_centers, n_neighbors), bool
        False for padding.
    targets : Tensor of shape (n_targets,)
        Row in the table of each of these atoms.
    volumes : Tensor of shape (n_structures,), float64
        In Å³; 0 for structures without a volume.
    table : NeighborTable
        Table from which the batch was taken.
    """

    numbers: Tensor
    owners: Tensor
    n_structures: int
    sizes: Tensor
    atoms: Tensor
    centers: Tensor
    neighbors: Tensor
    neighbor_numbers: Tensor
    pairs: Tensor
    vectors: Tensor
    mask: Tensor
    targets: Tensor
    volumes: Tensor
    table: NeighborTable

    def __len__(self):
        return len(self.numbers)

    @cached_property
    def species(self) -> list[tuple[int, slice]]:
        """Each atomic number with the slice of its centres."""
        present, counts = torch.unique_consecutive(self.numbers, return_counts=True)
        stops = np.cumsum(counts.tolist())
        starts = stops - np.asarray(counts.tolist(), dtype=stops.dtype)
        return [
            (number, slice(int(start), int(stop)))
            for number, start, stop in zip(present.tolist(), starts, stops, strict=True)
        ]

    def without_neighbors(self) -> AtomicBatch:
        """Return the centres alone, which need little memory."""
        neighbors, pairs = self.neighbors[:, :0], self.vectors[:, :0]
        return replace(
            self,
            neighbors=neighbors,
            neighbor_numbers=neighbors,
            pairs=neighbors,
            vectors=pairs,
            mask=neighbors,
        )

    @cached_property
    def environments(self) -> Environments:
        """The same atoms and neighbours in numpy, for descriptors that are not written in torch."""
        return self.table.environments.restricted(self.atoms.cpu().numpy())

    def totals(self, contributions: Tensor) -> Tensor:
        """Add up the contributions of the centres of each structure, in float64.

        Parameters
        ----------
        contributions : Tensor of shape (n_centers, ...)

        Returns
        -------
        Tensor of shape (n_structures, ...), float64
        """
        shape = (self.n_structures, *contributions.shape[1:])
        zeros = contributions.new_zeros(shape, dtype=torch.float64)
        return zeros.index_add(0, self.owners, contributions.double())

    def position_gradient(self, gradients: Tensor) -> Tensor:
        """Sum gradients with respect to the vectors to those with respect to the positions.

        Parameters
        ----------
        gradients : Tensor of shape (n_centers, n_neighbors, 3)
            Zero where rows are padded.

        Returns
        -------
        Tensor of shape (n_targets, 3)
        """
        zeros = gradients.new_zeros(len(self.targets), 3)
        ends = zeros.index_add(0, self.neighbors.reshape(-1), gradients.reshape(-1, 3))
        return ends.index_add(0, self.centers, -gradients.sum(1))

    def strain_gradient(self, gradients: Tensor) -> Tensor:
        """Sum gradients with respect to the vectors to those with respect to a strain.

        Parameters
        ----------
        gradients : Tensor of shape (n_centers, n_neighbors, 3)
            Zero where rows are padded.

        Returns
        -------
        Tensor of shape (n_structures, 3, 3)
            Symmetric; in eV where gradients are in eV/Å.
        """
        outer = torch.bmm(self.vectors.to(gradients.dtype).transpose(1, 2), gradients)
        total = outer.new_zeros(self.n_structures, 3, 3).index_add(0, self.owners, outer)
        return (total + total.transpose(1, 2)) / 2


class NeighborTable:
    """Neighbours of all atoms of many structures, from which batches are taken.

    Parameters
    ----------
    environments : Environments
        Pairs of all structures, sorted by centre.
    dtype : torch.dtype, default=torch.float32
        Type of the vectors.
    device : str or torch.device, default="cpu"
    cache_bytes : int, default=0
        Memory for data that batches need repeatedly and that do not depend on weights, such as
        values of descriptors.
    """

    def __init__(self, environments, dtype=torch.float32, device="cpu", cache_bytes=0):
        if environments.n_centers != environments.structures.n_atoms:
            raise ValueError(
                f"A table needs the neighbours of all {environments.structures.n_atoms} atoms, got "
                f"those of {environments.n_centers}: take what neighbor_pairs returns."
            )
        self.environments = environments
        self.cache_bytes = cache_bytes
        self._cache: dict[Any, Any] = {}
        n_atoms = len(environments.center_numbers)

        def index(array):
            return torch.as_tensor(np.asarray(array, dtype=np.int64), device=device)

        self.numbers = index(environments.center_numbers)
        owners = np.asarray(environments.owners)
        self.owners = index(owners)
        self.sizes = index(np.bincount(owners, minlength=environments.n_structures))
        self.starts = index(np.concatenate([[0], np.cumsum(self.sizes.cpu().numpy())]))
        counts = np.bincount(environments.centers, minlength=n_atoms)
        self.counts = index(counts)
        self.first = index(np.cumsum(counts) - counts)
        # One row more than pairs, for the padding.
        padded = np.concatenate([environments.vectors, [_NOWHERE]])
        self.vectors = torch.as_tensor(padded, dtype=dtype, device=device)
        # Four bytes: with the vectors this is most of the memory of a data set.
        self.neighbors = index(np.append(environments.neighbors, 0)).int()
        volumes = np.asarray(environments.volumes, dtype=np.float64)
        self.volumes = torch.as_tensor(volumes, device=device)
        # The same as numpy, to plan with: first pair of each atom, first atom of each structure.
        self._ends = np.concatenate([[0], np.cumsum(counts)])
        self._starts = self.starts.cpu().numpy()
        # Scratch: row in the batch of each atom of the table.
        self._everyone = torch.arange(n_atoms, device=device)
        self._rows = torch.zeros(n_atoms, dtype=torch.int64, device=device)

    def __len__(self):
        return len(self.sizes)

    def cached(self, key, n_bytes, compute) -> Any:
        """Return the cached value of a key, computed at first use, or None if it does not fit.

        Parameters
        ----------
        key : hashable
        n_bytes : int
            Memory of the value.
        compute : callable
            Returns the value.
        """
        if key not in self._cache:
            fits = n_bytes <= self.cache_bytes
            if fits:
                self.cache_bytes -= n_bytes
            self._cache[key] = compute() if fits else None
        return self._cache[key]

    def numbers_of(self, structure: int) -> list[int]:
        """Return the atomic numbers of a structure."""
        start, stop = self._starts[structure : structure + 2]
        return self.numbers[start:stop].tolist()

    def batch(self, structures) -> AtomicBatch:
        """Return whole structures as a batch.

        Parameters
        ----------
        structures : sequence of int

        Returns
        -------
        AtomicBatch
            Gradients are summed over its atoms, in its order.
        """
        device = self.numbers.device
        ks = torch.as_tensor(structures, dtype=torch.int64, device=device)
        sizes = self.sizes[ks]
        owners = torch.repeat_interleave(torch.arange(len(ks), device=device), sizes)
        within = torch.arange(len(owners), device=device) - (sizes.cumsum(0) - sizes)[owners]
        atoms = self.starts[ks][owners] + within
        order = torch.argsort(self.numbers[atoms], stable=True)
        atoms = atoms[order]
        centers = torch.arange(len(atoms), device=device)
        self._rows[atoms] = centers
        return self._cut(atoms, owners[order], centers, ks, self._rows, atoms)

    def n_pairs(self, structure: int) -> int:
        """Return the number of neighbours of the atoms of a structure."""
        start, stop = self._starts[structure : structure + 2]
        return int(self._ends[stop] - self._ends[start])

    def packed(self, n_pairs: int) -> list[tuple[int, int]]:
        """Return ranges of structures with at most `n_pairs` pairs, or of one structure.

        Parameters
        ----------
        n_pairs : int

        Returns
        -------
        list of (start, stop)
        """
        ends, ranges, start = self._ends[self._starts], [], 0
        while start < len(self):
            stop = int(np.searchsorted(ends, ends[start] + n_pairs, side="right")) - 1
            ranges.append((start, min(len(self), max(stop, start + 1))))
            start = ranges[-1][1]
        return ranges

    def blocks(self, structure: int, n_pairs: int) -> list[tuple[int, int]]:
        """Return ranges of atoms of a structure with at most `n_pairs` pairs, or of one atom."""
        start, last = self._starts[structure : structure + 2].tolist()
        ranges = []
        while start < last:
            stop = int(np.searchsorted(self._ends, self._ends[start] + n_pairs, side="right")) - 1
            ranges.append((start, min(last, max(stop, start + 1))))
            start = ranges[-1][1]
        return ranges

    def block(self, structure: int, start: int, stop: int) -> AtomicBatch:
        """Return consecutive atoms of one structure as a batch.

        Parameters
        ----------
        structure : int
        start, stop : int
            Atoms of the table.

        Returns
        -------
        AtomicBatch
            Gradients are summed over all atoms of the table.
        """
        device = self.numbers.device
        atoms = torch.arange(start, stop, device=device)
        atoms = atoms[torch.argsort(self.numbers[atoms], stable=True)]
        owners = torch.zeros_like(atoms)
        ks = torch.tensor([structure], device=device)
        return self._cut(atoms, owners, atoms, ks, None, self._everyone)

    def _cut(self, atoms, owners, centers, structures, rows, targets):
        counts = self.counts[atoms]
        longest = max(1, int(counts.max())) if len(atoms) else 1
        slot = torch.arange(longest, device=atoms.device)
        mask = slot < counts[:, None]
        pairs = torch.where(mask, self.first[atoms][:, None] + slot, len(self.vectors) - 1)
        neighbors = self.neighbors[pairs].long()
        return AtomicBatch(
            numbers=self.numbers[atoms],
            owners=owners,
            n_structures=len(structures),
            sizes=self.sizes[structures],
            atoms=atoms,
            centers=centers,
            neighbors=neighbors if rows is None else torch.where(mask, rows[neighbors], 0),
            neighbor_numbers=torch.where(mask, self.numbers[neighbors], 0),
            pairs=pairs,
            vectors=self.vectors[pairs],
            mask=mask,
            targets=targets,
            volumes=self.volumes[structures],
            table=self,
        )
