"""Averages over whole structures, which tiles of atoms may contain as their context."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..descriptors import AbstractDescriptor
from ..structures._environments import environments_of


@dataclass(frozen=True)
class StructureAverages:
    """The composition of a structure, if it can vary, and averages of a descriptor by element.

    Attributes
    ----------
    descriptor : AbstractDescriptor
    """

    descriptor: AbstractDescriptor

    def n_values(self, systems) -> int:
        """Return the number of averages of a structure."""
        n_species = len(systems.species)
        return n_species * self._width(systems) + (n_species if n_species > 1 else 0)

    def values(self, systems) -> np.ndarray:
        """Return the composition, if it can vary, and averages by element, of each structure."""
        key = repr(self.descriptor)
        if key in systems.averages:
            return systems.averages[key]
        if ("averages", key) not in systems.cached:
            structures, descriptor = systems.structures, self._fitted(systems)
            sums = np.zeros((len(structures), len(systems.species), self._width(systems)))
            columns = np.searchsorted(systems.species, structures.numbers)
            atoms = np.arange(structures.n_atoms)
            for rows, environments, _ in environments_of(systems, atoms, self.descriptor.cutoff):
                values = descriptor.values(environments).reshape(len(rows), -1)
                np.add.at(sums, (structures.owners[rows], columns[rows]), values)
            counts = np.zeros(sums.shape[:2])
            np.add.at(counts, (structures.owners, columns), 1.0)
            parts = [counts] if len(systems.species) > 1 else []
            parts.append(sums.reshape(len(structures), -1))
            averages = np.concatenate(parts, axis=1) / systems.sizes[:, None]
            systems.cached["averages", key] = averages
        return systems.cached["averages", key]

    def pull(self, systems, by_contexts, positions, strain):
        """Add the gradients of totals through the averages."""
        structures, descriptor = systems.structures, self._fitted(systems)
        columns = np.searchsorted(systems.species, structures.numbers)
        by_sums = self._by_species(systems, by_contexts) / systems.sizes[:, None, None]
        atoms = np.arange(structures.n_atoms)
        for rows, environments, (index, samples) in environments_of(
            systems, atoms, self.descriptor.cutoff
        ):
            gradients = by_sums[structures.owners[rows], columns[rows]]
            by_pairs = descriptor.pull(
                environments, gradients.reshape(len(rows), *descriptor.tile_shape)
            )
            by_positions, by_strain = environments.gradient(by_pairs)
            np.add.at(positions, index, by_positions)
            np.add.at(strain, samples, by_strain)

    def push(self, systems, samples, tangents) -> list[np.ndarray]:
        """Return the changes of the averages along tangents; 0 for structures not in `samples`."""
        structures, descriptor = systems.structures, self._fitted(systems)
        columns = np.searchsorted(systems.species, structures.numbers)
        shape = len(structures), len(systems.species), self._width(systems)
        sums = [np.zeros(shape) for _ in tangents]
        atoms = np.flatnonzero(np.isin(structures.owners, samples))
        for rows, environments, (index, owners) in environments_of(
            systems, atoms, self.descriptor.cutoff
        ):
            chosen = atoms[rows]
            for change, (positions, strain) in zip(sums, tangents, strict=True):
                vectors = environments.displace(positions[index], strain[owners])
                pushed = descriptor.push(environments, vectors).reshape(len(rows), -1)
                np.add.at(change, (structures.owners[chosen], columns[chosen]), pushed)
        n_fractions = self.n_values(systems) - int(np.prod(shape[1:]))
        return [
            np.pad(
                change.reshape(len(structures), -1) / systems.sizes[:, None],
                ((0, 0), (n_fractions, 0)),
            )
            for change in sums
        ]

    def _by_species(self, systems, values) -> np.ndarray:
        """Return the part of contexts that is of the descriptor, (n, n_species, size)."""
        n_species = len(systems.species)
        size = self._width(systems)
        return values[:, values.shape[1] - n_species * size :].reshape(-1, n_species, size)

    def _fitted(self, systems):
        key = "context", repr(self.descriptor)
        if key not in systems.cached:
            systems.cached[key] = self.descriptor.with_species(np.array(systems.species))
        return systems.cached[key]

    def _width(self, systems) -> int:
        return int(np.prod(self._fitted(systems).tile_shape))
