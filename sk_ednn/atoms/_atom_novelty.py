"""Distance of the surroundings of atoms to those that a potential was fitted to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.neighbors import NearestNeighbors

from .._utils.stored import stored

# Atoms of each species that are kept to compare with, and those that their components are of.
_KEPT, _SAMPLED = 1000, 4000
_COMPONENTS = 24
# Components whose spread is less than this part of the widest one count no more than that.
_FLOOR = 0.01
# Distance in units of the features' spread below which surroundings are the same.
_LEAST = 1e-3
# Of the distances between atoms of the fit, what is still familiar.
_QUANTILE = 0.99
# Structures that the sample is taken from.
_STRUCTURES = 2000


@stored("AtomNovelty")
@dataclass(eq=False)
class AtomNovelty:
    """Surroundings of atoms of the fit, and how far they are from one another.

    The features of atoms of one species are projected onto their leading principal components,
    each in units of its spread, and the length of what is left. The novelty of an atom is its
    distance to the nearest known one in these, relative to the distance within which 99 % of the
    atoms of one half of the fit have one of the other half. Up to 1 it is familiar.

    Attributes
    ----------
    species : dict of int to tuple
        By atomic number: mean, weighted components, weight of the rest, known rows, and the
        distance that counts as 1.
    """

    species: dict

    @classmethod
    def of(cls, features, structures, rng):
        """Sample the surroundings of a fit.

        Parameters
        ----------
        features : callable
            From structures, an iterable of (number, atoms, rows).
        structures : Structures
        rng : RandomState
        """
        n = len(structures)
        if n > _STRUCTURES:
            structures = structures.take(np.sort(rng.permutation(n)[:_STRUCTURES]))
        # Whole structures are on one side, since atoms of one are alike.
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
        """Return the novelty of all atoms, (n_atoms,); infinite where a species is not known.

        Parameters
        ----------
        features : callable
        structures : Structures
        """
        out = np.full(structures.n_atoms, np.inf)
        for number, atoms, rows in features(structures):
            if number in self.species:
                *frame, known, unit = self.species[number]
                near = NearestNeighbors(n_neighbors=1).fit(known.astype(np.float64))
                distances = near.kneighbors(_projected(rows, *frame))[0][:, 0]
                out[atoms] = distances / unit
        return out


def _reference(side, rows, rng):
    mean = rows.mean(axis=0)
    n_components = min(_COMPONENTS, *rows.shape)
    _, spreads, components = np.linalg.svd(rows - mean, full_matrices=False)
    spreads = spreads[:n_components] / np.sqrt(len(rows))
    widest = spreads[0] if spreads[0] > 0 else 1.0
    weights = 1.0 / np.sqrt(spreads**2 + (_FLOOR * widest) ** 2)
    # Written to files, so in half the memory; the arithmetic is the same before and after.
    frame = (
        mean.astype(np.float32), components[:n_components].astype(np.float32),
        weights.astype(np.float32),
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
    # Surroundings that are all alike differ by rounding, which says nothing.
    unit = max(unit, _LEAST * float(weights[0]))
    chosen = np.sort(rng.permutation(len(points))[:_KEPT])
    return *frame, points[chosen].astype(np.float32), unit


def _projected(rows, mean, components, weights):
    apart = rows - mean
    along = apart @ components.T.astype(np.float64)
    rest = (apart**2).sum(axis=1) - (along**2).sum(axis=1)
    rest = np.sqrt(np.maximum(rest, 0.0)) * float(weights[-1])
    return np.column_stack([along * weights, rest])
