"""Novelty of atoms: the distance of their surroundings from those of the training data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh
from sklearn.neighbors import NearestNeighbors

from .._utils.stored import stored

# Atoms per species: stored for comparison, and sampled for the principal components.
_KEPT, _SAMPLED = 1000, 4000
_COMPONENTS = 24
# Lower bound of the spread of a component, relative to the largest.
_FLOOR = 0.01
# Lower bound of the unit of novelty, in units of the features' spread.
_LEAST = 1e-3
# Quantile of the distances between training atoms that has novelty 1.
_QUANTILE = 0.99
# Structures from which atoms are sampled, at most.
_STRUCTURES = 2000


@stored("AtomNovelty")
@dataclass(eq=False)
class AtomNovelty:
    """Compare the surroundings of atoms with a sample of the training data.

    The features of atoms of one species are projected onto their leading principal components,
    each in units of its spread; the length of the residual is one more coordinate. The novelty of
    an atom is its distance from the nearest training atom in these coordinates. The unit is a
    distance between training atoms: for 99 % of the atoms in each half of the training structures
    the nearest atom of the other half is closer.

    Attributes
    ----------
    species : dict of int to tuple
        By atomic number: mean, components, weights of the components, coordinates of the sampled
        atoms, and the unit of distance.
    """

    species: dict

    @classmethod
    def of(cls, features, structures, rng):
        """Sample atoms of the training structures.

        Parameters
        ----------
        features : callable
            Of `Structures`; returns an iterable of (atomic number, atoms, features).
        structures : Structures
        rng : RandomState
        """
        n = len(structures)
        if n > _STRUCTURES:
            structures = structures.take(np.sort(rng.permutation(n)[:_STRUCTURES]))
        # Halves contain whole structures, since atoms of one structure are similar.
        halves = rng.permutation(len(structures)) % 2
        if len(structures) == 1:
            halves = np.zeros(1, dtype=int)
        kept: dict = {}
        counts = np.bincount(structures.numbers)
        for number, atoms, rows in features(structures):
            chosen = rng.random_sample(len(atoms)) < _SAMPLED / counts[number]
            if chosen.any():
                side = halves[structures.owners[atoms[chosen]]]
                kept.setdefault(number, []).append((side, rows[chosen].astype(np.float32)))
        species = {}
        for number, parts in sorted(kept.items()):
            side = np.concatenate([part[0] for part in parts])
            rows = np.concatenate([part[1] for part in parts]).astype(np.float64)
            species[number] = _reference(side, rows, rng)
        return cls(species)

    def compare(self, features, structures) -> np.ndarray:
        """Return the novelty of all atoms, (n_atoms,); infinite for unknown species.

        Parameters
        ----------
        features : callable
        structures : Structures
        """
        return self.compare_points(features, structures)[0]

    def compare_points(self, features, structures) -> tuple[np.ndarray, list[tuple]]:
        """Return the novelty of all atoms, and their coordinates in its unit.

        Parameters
        ----------
        features : callable
        structures : Structures

        Returns
        -------
        novelty : ndarray of shape (n_atoms,)
        points : list of (atoms, coordinates)
            Of each known species, the indices of its atoms and coordinates whose distances are
            those of which the novelty is the least.
        """
        out = np.full(structures.n_atoms, np.inf)
        kept: dict = {}
        for number, atoms, rows in features(structures):
            if number in self.species:
                *frame, reference, unit = self.species[number]
                near = NearestNeighbors(n_neighbors=1).fit(reference.astype(np.float64))
                points = _projected(rows, *frame)
                out[atoms] = near.kneighbors(points)[0][:, 0] / unit
                kept.setdefault(number, []).append((atoms, points / unit))
        joined = [map(np.concatenate, zip(*parts, strict=True)) for parts in kept.values()]
        return out, [tuple(each) for each in joined]


def _reference(side, rows, rng):
    mean = rows.mean(axis=0)
    n_components = min(_COMPONENTS, *rows.shape)
    spreads, components = _widest_directions(rows - mean, n_components)
    widest = spreads[0] if spreads[0] > 0 else 1.0
    weights = 1.0 / np.sqrt(spreads**2 + (_FLOOR * widest) ** 2)
    # Stored in float32, as in files, so that results before saving and after loading agree.
    frame = (
        mean.astype(np.float32), components.astype(np.float32), weights.astype(np.float32),
    )  # fmt: skip
    points = _projected(rows, *frame)
    if min((side == 0).sum(), (side == 1).sum()) == 0:
        side = rng.permutation(len(side)) % 2
    distances = np.zeros(0)
    if len(points) > 1:
        distances = np.concatenate([
            NearestNeighbors(n_neighbors=1).fit(points[side == a]).kneighbors(points[side == b])[0]
            for a, b in ((0, 1), (1, 0))
        ])  # fmt: skip
    unit = float(np.quantile(distances, _QUANTILE)) if distances.size else 0.0
    # If all surroundings are equal, distances contain only rounding errors.
    unit = max(unit, _LEAST * float(weights[0]))
    chosen = np.sort(rng.permutation(len(points))[:_KEPT])
    return *frame, points[chosen].astype(np.float32), unit


def _widest_directions(rows, n):
    """Return the n largest root mean squares of rows along orthonormal directions, and these.

    From the eigenvectors of the smaller product of the rows: a decomposition of thousands of rows
    of a thousand features takes ten times as long. What is lost is below the floor of the weights.
    """
    is_wide = rows.shape[1] > len(rows)
    product = rows @ rows.T if is_wide else rows.T @ rows
    values, vectors = eigh(product, subset_by_index=[len(product) - n, len(product) - 1])
    values, vectors = np.maximum(values[::-1], 0.0), vectors[:, ::-1]
    if is_wide:
        vectors, _ = np.linalg.qr(rows.T @ vectors)
    return np.sqrt(values / len(rows)), vectors.T


def _projected(rows, mean, components, weights):
    apart = rows - mean
    along = apart @ components.T.astype(np.float64)
    rest = (apart**2).sum(axis=1) - (along**2).sum(axis=1)
    rest = np.sqrt(np.maximum(rest, 0.0)) * float(weights[-1])
    return np.column_stack([along * weights, rest])
