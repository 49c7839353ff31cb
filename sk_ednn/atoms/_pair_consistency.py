"""Compare energies and stresses with those of a pair potential fitted to the forces only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..descriptors._radial import polynomial_cutoff
from ..structures import neighbor_pairs
from ..structures._stress import VOIGT
from ._known_structures import digests_of
from ._mixed_labels import PairForces

_CUTOFF = 6.0  # Å
_FUNCTIONS = 8  # of the distance, for each pair of species
_RIDGE = 1e-6  # of the mean square of a column
# Maximum numbers of structures and atoms that are checked, enough to detect a factor of two.
_STRUCTURES, _ATOMS = 100, 3000
# Structures at least, and rows for each coefficient at least.
_LEAST, _ROWS = 8, 8
# Structures at least beyond the parameters of the parabolas.
_FREE = 5
# Stress without the pressure, which forces do not show.
_SHEARS = np.array([
    [1, 0, 0, 0, 0], [-1, 1, 0, 0, 0], [0, -1, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0, 1, 0],
    [0, 0, 0, 0, 1],
])  # fmt: skip
# The least correlation of forces of which one is a multiple of the other.
_PROPORTIONAL = 0.9
# The least part of the variance of forces that a pair potential must explain.
_EXPLAINED = 0.5


@dataclass(frozen=True)
class Compared:
    """Labels, and the same quantity of a pair potential fitted to the forces.

    Attributes
    ----------
    pair, labels : ndarray
        Less what depends on composition and volume; empty where there are too few data, or where
        the forces are not those of pairs.
    volume : float, default=0.0
        Mean volume of the structures, of stresses.
    """

    pair: np.ndarray
    labels: np.ndarray
    volume: float = 0.0


class Comparison(NamedTuple):
    """Labels, and those of a pair potential.

    Attributes
    ----------
    energies, stresses : Compared
        Energies in eV per atom.
    scales : dict of str to Scales
        Of the "forces" and "stresses" of single structures.
    forces : PairForces or None
        None if there are too few data.
    """

    energies: Compared
    stresses: Compared
    scales: dict[str, Scales]
    forces: PairForces | None


def compared_with_pairs(data) -> Comparison:
    """Compare energies and stresses with those of a pair potential fitted to the forces only.

    Deviations from a parabola in the volume are compared for each composition, since forces show
    neither the energies of atoms nor what depends on the volume. No trajectory is needed.

    Parameters
    ----------
    data : LabelledStructures

    Returns
    -------
    Comparison
    """
    empty = Compared(np.zeros(0), np.zeros(0))
    nothing = Comparison(empty, empty, {}, None)
    chosen = _chosen(data)
    has_energy = ~np.isnan(data.energies[chosen])
    has_stress = ~np.isnan(data.stress[chosen]).any(axis=1)
    if len(chosen) < _LEAST:
        return nothing
    structures = data.structures.take(chosen)
    forces = np.concatenate([data.forces_of(k) for k in chosen]).ravel()
    totals, gradients, virials = _design(structures)
    if len(forces) < _ROWS * gradients.shape[1]:
        return nothing
    scale = np.sqrt(np.mean(gradients**2, axis=0))
    seen = scale > 0
    columns = gradients[:, seen] / scale[seen]
    gram = columns.T @ columns
    gram.flat[:: len(gram) + 1] += _RIDGE * len(columns)
    solution = np.linalg.solve(gram, -(columns.T @ forces))
    predicted = -(columns @ solution)
    bounds = 3 * structures.offsets
    scales = {"forces": Scales.of(predicted, forces, bounds, chosen)}
    pairs = PairForces(-columns, forces, bounds, chosen)
    rest = forces - predicted
    if rest @ rest > (1 - _EXPLAINED) * (forces @ forces):
        return Comparison(empty, empty, scales, pairs)
    weights = solution / scale[seen]
    sizes, volumes = structures.sizes, structures.volumes
    has_stress &= volumes > 0
    energies, stresses = totals[:, seen] @ weights, virials[..., seen] @ weights
    stresses /= np.where(volumes > 0, volumes, 1.0)[:, None]
    parts = []
    for known, pair, labels in (
        (has_energy, energies / sizes, data.energies[chosen] / sizes),
        (has_stress, stresses, data.stress[chosen]),
    ):
        n_free, of_pairs, of_labels, volume = 0, pair, labels, 0.0
        if known.any():
            some = structures.take(np.flatnonzero(known))
            n_free, of_pairs, of_labels = _deviations(some, pair[known], labels[known])
            volume = float(some.volumes.mean())
        parts.append(Compared(of_pairs, of_labels, volume) if n_free >= _FREE else empty)
    if has_stress.any():
        of_pairs, of_labels = (
            (values[has_stress] @ _SHEARS).ravel() for values in (stresses, data.stress[chosen])
        )
        bounds = len(_SHEARS.T) * np.arange(has_stress.sum() + 1)
        scales["stresses"] = Scales.of(of_pairs, of_labels, bounds, chosen[has_stress])
    return Comparison(parts[0], parts[1], scales, pairs)


@dataclass(frozen=True)
class Scales:
    """Forces or stresses of structures over those of a pair potential that is fitted to all.

    Attributes
    ----------
    ratios : ndarray
        Of structures of which they are nearly proportional to those of the potential.
    structures : ndarray of int
        Which those are.
    """

    ratios: np.ndarray
    structures: np.ndarray

    @classmethod
    def of(cls, predicted, forces, bounds, structures) -> Scales:
        """Compare the parts of two arrays between some bounds."""
        sums = [
            np.add.reduceat(one * other, bounds[:-1])
            for one, other in ((predicted, forces), (predicted, predicted), (forces, forces))
        ]
        with np.errstate(divide="ignore", invalid="ignore"):
            alike = np.abs(sums[0]) > _PROPORTIONAL * np.sqrt(sums[1] * sums[2])
            alike &= (sums[1] > 0) & (sums[2] > 0)
            return cls((sums[0] / sums[1])[alike], structures[alike])


def _deviations(structures, pair, labels) -> tuple[int, np.ndarray, np.ndarray]:
    """Return the freedom of deviations from a parabola in the volume, and the deviations."""
    _, groups = _compositions(structures)
    rows = [values.reshape(len(values), -1).copy() for values in (pair, labels)]
    volumes, n_free = structures.volumes / structures.sizes, 0
    for group in range(groups.max() + 1):
        members = np.flatnonzero(groups == group)
        apart = volumes[members] - volumes[members].mean()
        largest = np.abs(apart).max()
        # Cells that are equal up to rounding have one volume.
        apart = (
            apart / largest if largest > 1e-6 * volumes[members].mean() else np.zeros_like(apart)
        )
        parabola = np.stack([np.ones_like(apart), apart, apart**2], axis=1)
        base, values, _ = np.linalg.svd(parabola, full_matrices=False)
        base = base[:, values > 1e-8 * values[0]]
        n_free += len(members) - base.shape[1]
        for each in rows:
            each[members] -= base @ (base.T @ each[members])
    return n_free, rows[0].ravel(), rows[1].ravel()


def _chosen(data):
    """Return some structures with forces that differ."""
    structures = data.structures
    unknown = np.isnan(data.forces).any(axis=1).astype(np.intp)
    has_forces = np.add.reduceat(unknown, structures.offsets[:-1]) == 0
    rows = np.flatnonzero(has_forces & (structures.sizes > 1))
    if not rows.size:
        return rows
    order = np.random.default_rng(0).permutation(rows)[:_STRUCTURES]
    order = order[np.cumsum(structures.sizes[order]) <= _ATOMS]
    if not order.size:
        return order
    # Structures that occur twice prove nothing twice.
    return order[np.unique(digests_of(structures.take(order)), return_index=True)[1]]


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
