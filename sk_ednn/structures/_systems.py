"""Structures as a tiling of atoms admits them: their species, and which atoms count."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from ._batch import Structures
from ._bins import bins_of, spatial_order


@dataclass(frozen=True, eq=False)
class AtomSystems:
    """A checked batch of structures.

    Attributes
    ----------
    structures : Structures
    species : tuple of int
        Atomic numbers that are known, ascending. The structures have no others.
    centers : ndarray of int of shape (n_centers,), or None
        Packed atoms that are tiles, by structure; None for all atoms. Others are neighbours only.
    averages : dict of str to ndarray of shape (n_samples, n_contexts)
        Averages over whole structures, for pieces of them, by the descriptor that is averaged.
    described, cached : dict
        Descriptors of all atoms, and other results, kept for the next call.
    max_atoms : int
        Structures of more atoms are cut into regions of space, so that no neighbour list is longer.
    """

    structures: Structures
    species: tuple[int, ...]
    centers: np.ndarray | None = None
    averages: dict = field(default_factory=dict, repr=False)
    described: dict = field(default_factory=dict, repr=False)
    cached: dict = field(default_factory=dict, repr=False)
    max_atoms: int = 8192

    lazy = False
    fixed_width = False
    arrays = ()
    dtype = np.dtype(np.float64)

    @property
    def n_samples(self) -> int:
        """Number of structures."""
        return len(self.structures)

    @property
    def sizes(self) -> np.ndarray:
        """Number of atoms of each structure, shape (n_samples,), as floats."""
        return self.structures.sizes.astype(float)

    def take(self, indices) -> AtomSystems:
        """Return the batch of the structures at `indices`, in that order."""
        if self.centers is not None:
            raise ValueError("A piece of structures has no samples to choose from.")
        structures = self.structures.take(np.asarray(indices, dtype=np.intp))
        taken = AtomSystems(structures, self.species, max_atoms=self.max_atoms)
        if len(indices) == 1:
            # Descriptors of a single structure are kept, since solvers read one by one.
            start, stop = self.structures.offsets[indices[0] : indices[0] + 2]
            for key, values in self.described.items():
                if stop - start <= self.max_atoms:
                    taken.described[key] = values[start:stop]
        return taken

    @cached_property
    def order(self) -> np.ndarray:
        """The packed atoms in the order of their tiles: as they are, large structures by space."""
        if self.centers is not None:
            return self.centers
        offsets = self.structures.offsets
        order = np.arange(offsets[-1])
        for k in np.flatnonzero(self.structures.sizes > self.max_atoms):
            atoms = slice(offsets[k], offsets[k + 1])
            order[atoms] = offsets[k] + spatial_order(self.structure(k))
        return order

    def tiles(self, number) -> tuple[np.ndarray, np.ndarray]:
        """Return the atoms of one species in the order of tiles, and where each sample's begin.

        Parameters
        ----------
        number : int or None
            Atomic number; None for all atoms.

        Returns
        -------
        atoms : ndarray of int of shape (n_tiles,)
        offsets : ndarray of int of shape (n_samples + 1,)
        """
        key = "tiles", number
        if key not in self.cached:
            order = self.order
            if number is not None:
                order = order[self.structures.numbers[order] == number]
            owners = self.structures.owners[order]
            self.cached[key] = order, np.searchsorted(owners, np.arange(self.n_samples + 1))
        return self.cached[key]

    def bins(self, k, cutoff):
        """Return the atoms of one structure sorted into boxes that are as wide as a cutoff."""
        key = "bins", k, cutoff
        if key not in self.cached:
            self.cached[key] = bins_of(self.structure(k), cutoff)
        return self.cached[key]

    def structure(self, k):
        """Return one structure."""
        return next(iter(self.structures.take([k])))

    def __getstate__(self):
        """Return the state without what can be computed again."""
        parts = self.structures
        return {
            "parts": (parts.numbers, parts.positions, parts.cells, parts.pbc, parts.offsets),
            "species": self.species,
            "centers": self.centers,
            "max_atoms": self.max_atoms,
            "averages": self.averages,
        }

    def __setstate__(self, state):
        """Restore what `__getstate__` kept."""
        self.__dict__.update(
            structures=Structures(*state["parts"]), species=state["species"],
            centers=state["centers"], averages=state["averages"], described={}, cached={},
            max_atoms=state["max_atoms"],
        )  # fmt: skip
