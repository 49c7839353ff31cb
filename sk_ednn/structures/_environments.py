"""Environments of the atoms of a batch, in groups of structures or regions that fit in memory."""

from __future__ import annotations

import numpy as np

from ._batch import Structures
from ._bins import surroundings
from ._neighbors import Environments, neighbor_pairs


def environments_of(systems, atoms, cutoff):
    """Yield the environments of atoms in groups that fit in memory.

    Parameters
    ----------
    systems : AtomSystems
    atoms : ndarray of int
        Packed atoms that are centers.
    cutoff : float, in Å

    Yields
    ------
    rows : ndarray of int
        Indices into `atoms` of the centers of the environments.
    environments : Environments
    origin : tuple of ndarray of int
        Indices in the whole batch of the atoms and the structures of the environments.
    """
    structures = systems.structures
    cutoff = float(cutoff)
    owners = structures.owners[atoms]
    max_atoms = systems.max_atoms
    for group in _groups(owners, structures.sizes, max_atoms):
        rows = (
            np.flatnonzero(np.isin(owners, group))
            if len(group) < len(structures)
            else np.arange(len(atoms))
        )
        if len(rows) == 0:
            continue
        centers = atoms[rows]
        if len(group) == 1 and structures.sizes[group[0]] > max_atoms:
            for start in range(0, len(centers), max_atoms):
                part = slice(start, start + max_atoms)
                yield rows[part], *_local(systems, int(group[0]), centers[part], cutoff)
            continue
        index = np.concatenate(
            [np.arange(structures.offsets[k], structures.offsets[k + 1]) for k in group]
        )
        index_in_group = np.full(structures.n_atoms, -1)
        index_in_group[index] = np.arange(len(index))
        environments: Environments = neighbor_pairs(structures.take(group), cutoff)
        environments = environments.restricted(index_in_group[centers])
        yield rows, environments, (index, np.asarray(group))


def _local(systems, k, atoms, cutoff):
    """Return the environments of some atoms of a large structure, and their origin."""
    region, index = cluster_of(systems, k, atoms, cutoff)
    environments = neighbor_pairs(region, cutoff).restricted(np.arange(len(atoms)))
    return environments, (index, np.array([k]))


def cluster_of(systems, k, atoms, cutoff):
    """Return some atoms of structure `k` with all neighbours, as a structure, and their indices."""
    first = systems.structures.offsets[k]
    structure = systems.structure(k)
    local, positions = surroundings(structure, systems.bins(k, cutoff), atoms - first)
    cluster = Structures(
        structure.numbers[local], positions, np.zeros((1, 3, 3)),
        np.zeros((1, 3), dtype=bool), np.array([0, len(local)]),
    )  # fmt: skip
    return cluster, first + local


def _groups(owners, sizes, max_atoms) -> list[np.ndarray]:
    """Return the structures of atoms in groups of at most `max_atoms`, or of one structure."""
    groups: list[list[int]] = [[]]
    n_atoms = 0
    for k in np.unique(owners).tolist():
        if groups[-1] and n_atoms + sizes[k] > max_atoms:
            groups.append([])
            n_atoms = 0
        groups[-1].append(k)
        n_atoms += int(sizes[k])
    return [np.array(group) for group in groups if group]
