"""Compare energies and stresses with those of a pair potential fitted to the forces only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..descriptors._radial import polynomial_cutoff
from ..structures import neighbor_pairs
from ..structures._stress import VOIGT

_CUTOFF = 6.0  # Å
_FUNCTIONS = 8  # of the distance, for each pair of species
_RIDGE = 1e-6  # of the mean square of a column
# Maximum numbers of structures and atoms that are checked, enough to detect a factor of two.
_STRUCTURES, _ATOMS = 100, 3000
# Structures at least, and rows for each coefficient at least.
_LEAST, _ROWS = 8, 8
# The least part of the variance of forces that a pair potential must explain.
_EXPLAINED = 0.5


@dataclass(frozen=True)
class Compared:
    """Labels, and the same quantity of a pair potential fitted to the forces.

    Attributes
    ----------
    pair, labels : ndarray
        Less their means over structures of one composition; empty where there are too few data, or
        where the forces are not those of pairs.
    volume : float, default=0.0
        Mean volume of the structures, of stresses.
    """

    pair: np.ndarray
    labels: np.ndarray
    volume: float = 0.0


def compared_with_pairs(data) -> tuple[Compared, Compared]:
    """Compare energies and stresses with those of a pair potential fitted to the forces only.

    Differences between structures of one composition are compared, since forces do not show the
    energies of atoms, nor what depends on the volume alone. No trajectory is needed.

    Parameters
    ----------
    data : LabelledStructures

    Returns
    -------
    energies, stresses : Compared
        Energies in eV per atom.
    """
    nothing = Compared(np.zeros(0), np.zeros(0))
    chosen = _chosen(data)
    has_energy = ~np.isnan(data.energies[chosen])
    has_stress = ~np.isnan(data.stress[chosen]).any(axis=1)
    if max(has_energy.sum(), has_stress.sum()) < _LEAST:
        return nothing, nothing
    structures = data.structures.take(chosen)
    forces = np.concatenate([data.forces_of(k) for k in chosen]).ravel()
    totals, gradients, virials = _design(structures)
    if len(forces) < _ROWS * gradients.shape[1]:
        return nothing, nothing
    scale = np.sqrt(np.mean(gradients**2, axis=0))
    seen = scale > 0
    columns = gradients[:, seen] / scale[seen]
    gram = columns.T @ columns
    gram.flat[:: len(gram) + 1] += _RIDGE * len(columns)
    solution = np.linalg.solve(gram, -(columns.T @ forces))
    rest = forces + columns @ solution
    if rest @ rest > (1 - _EXPLAINED) * (forces @ forces):
        return nothing, nothing
    weights = solution / scale[seen]
    sizes, volumes = structures.sizes, structures.volumes
    has_stress &= volumes > 0
    volumes = np.where(has_stress, volumes, 1.0)
    energies, stresses = totals[:, seen] @ weights, virials[..., seen] @ weights
    parts = []
    for known, pair, labels in (
        (has_energy, energies / sizes, data.energies[chosen] / sizes),
        (has_stress, stresses / volumes[:, None], data.stress[chosen]),
    ):
        if known.sum() < _LEAST:
            parts.append(nothing)
            continue
        _, groups = _compositions(structures.take(np.flatnonzero(known)))
        of_pairs, of_labels = (_deviations(values[known], groups) for values in (pair, labels))
        parts.append(Compared(of_pairs, of_labels, float(volumes[known].mean())))
    return parts[0], parts[1]


def _deviations(values, groups) -> np.ndarray:
    """Return values less their means over groups."""
    rows = values.reshape(len(values), -1)
    sums = np.zeros((groups.max() + 1, rows.shape[1]))
    np.add.at(sums, groups, rows)
    return (rows - (sums / np.bincount(groups)[:, None])[groups]).ravel()


def _chosen(data):
    """Return structures with forces, and with others of their composition."""
    structures = data.structures
    unknown = np.isnan(data.forces).any(axis=1).astype(np.intp)
    has_forces = np.add.reduceat(unknown, structures.offsets[:-1]) == 0
    has_label = ~np.isnan(data.energies) | ~np.isnan(data.stress).any(axis=1)
    rows = np.flatnonzero(has_forces & has_label & (structures.sizes > 1))
    if not rows.size:
        return rows
    order = np.random.default_rng(0).permutation(rows)[:_STRUCTURES]
    order = order[np.cumsum(structures.sizes[order]) <= _ATOMS]
    if not order.size:
        return order
    counts, groups = _compositions(structures.take(order))
    return order[counts[groups] > 1]


def _compositions(structures):
    """Return the number of structures of each composition, and the composition of each."""
    keys = [
        structures.numbers[start:stop]
        for start, stop in zip(structures.offsets[:-1], structures.offsets[1:], strict=True)
    ]
    texts = np.array([np.sort(numbers).tobytes().hex() for numbers in keys])
    _, groups, counts = np.unique(texts, return_inverse=True, return_counts=True)
    return counts, groups


def _design(structures):
    """Return sums of functions of distances and their gradients by positions and strain.

    Returns
    -------
    totals : ndarray of shape (n_structures, n)
    gradients : ndarray of shape (3 * n_atoms, n)
    virials : ndarray of shape (n_structures, 6, n)
    """
    pairs = neighbor_pairs(structures, _CUTOFF)
    numbers, species = np.unique(structures.numbers, return_inverse=True)
    ends = species[pairs.centers], species[pairs.neighbors]
    low, high = np.minimum(*ends), np.maximum(*ends)
    kinds = high * (high + 1) // 2 + low
    n_kinds = len(numbers) * (len(numbers) + 1) // 2
    values, derivatives = _functions(np.linalg.norm(pairs.vectors, axis=1))
    directions = pairs.vectors / np.linalg.norm(pairs.vectors, axis=1, keepdims=True)
    n_atoms, columns = structures.n_atoms, np.arange(_FUNCTIONS)
    owners = structures.owners
    totals = np.zeros((len(structures), n_kinds, _FUNCTIONS))
    virials = np.zeros((len(structures), 6, n_kinds, _FUNCTIONS))
    gradients = np.zeros((n_atoms, 3, n_kinds, _FUNCTIONS))
    for kind in np.unique(kinds):
        of_kind = np.flatnonzero(kinds == kind)
        centers = pairs.centers[of_kind]
        # Each pair is listed from both ends: a half each for energies, and one end for gradients.
        for k in columns:
            totals[:, kind, k] = 0.5 * np.bincount(
                owners[centers], values[of_kind, k], len(structures)
            )
            pulled = derivatives[of_kind, k, None] * directions[of_kind]
            for axis in range(3):
                gradients[:, axis, kind, k] = -np.bincount(centers, pulled[:, axis], n_atoms)
            for entry, (one, other) in enumerate(zip(*VOIGT, strict=True)):
                virials[:, entry, kind, k] = 0.5 * np.bincount(
                    owners[centers],
                    pulled[:, one] * pairs.vectors[of_kind, other],
                    len(structures),
                )
    return (
        totals.reshape(len(structures), -1),
        gradients.reshape(3 * n_atoms, -1),
        virials.reshape(len(structures), 6, -1),
    )


def _functions(distances):
    """Return functions of distances and their derivatives, each (n_pairs, n_functions)."""
    wave = np.arange(1, _FUNCTIONS + 1) * (np.pi / _CUTOFF)
    r = distances[:, None]
    sine, cosine = np.sin(wave * r), np.cos(wave * r)
    cut, slope = (each[:, None] for each in polynomial_cutoff(distances, _CUTOFF))
    values = sine / r * cut
    return values, (wave * cosine - sine / r) / r * cut + sine / r * slope
