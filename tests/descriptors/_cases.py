"""Descriptors and structures, over whose products the laws of descriptors are tested."""

import numpy as np
import pytest

from sk_ednn.descriptors import (
    ChebyshevDescriptor,
    DeepPotFrame,
    PowerSpectrum,
    SphericalExpansion,
    SymmetryFunctions,
)
from sk_ednn.structures import Structures

for library in ("vesin", "sphericart"):
    pytest.importorskip(library)

SPECIES = ("B", "C", "N")
NUMBERS = [5, 6, 7]

# Each takes a cutoff; small, but with each part of the mathematics.
SMOOTH = {
    "spherical": lambda cutoff: SphericalExpansion(cutoff, 3, 3, species=SPECIES),
    "radial": lambda cutoff: SphericalExpansion(cutoff, 4, 0, species=SPECIES),
    "power": lambda cutoff: PowerSpectrum(cutoff, 3, 3, species=SPECIES),
    "chebyshev": lambda cutoff: ChebyshevDescriptor(cutoff, 4, 5, species=SPECIES),
    "chebyshev-short": lambda cutoff: ChebyshevDescriptor(
        cutoff, 3, 4, 0.8 * cutoff, weights={"C": 1.5, "N": -1, "B": 2}, species=SPECIES
    ),
    "symmetry": lambda cutoff: SymmetryFunctions(cutoff, species=SPECIES),
    "symmetry-g2": lambda cutoff: SymmetryFunctions(cutoff, angular=(), species=SPECIES),
    "symmetry-g4": lambda cutoff: SymmetryFunctions(
        cutoff,
        radial=[(0.3, 1.0)],
        angular=[(0.05, 1, 1), (0.02, 3, -1), (0.05, 2.5, 1)],
        angular_form="G4",
        species=SPECIES,
    ),
    "symmetry-g5": lambda cutoff: SymmetryFunctions(
        cutoff,
        radial=(),
        angular=[(0.05, 1, 1), (0.02, 4, -1), (0.05, 2, -1), (0.02, 3, 1)],
        cutoff_function="cosine",
        species=SPECIES,
    ),
    "symmetry-broken": lambda cutoff: SymmetryFunctions(
        cutoff, angular=[(0.05, 1.5, 1), (0.1, 2, -1)], species=SPECIES
    ),
}
FRAMES = {
    "frame": lambda cutoff: DeepPotFrame(cutoff, {"C": 40, "B": 41, "N": 42}, species=SPECIES),
    "frame-sharp": lambda cutoff: DeepPotFrame(cutoff, 40, cutoff_function=None, species=SPECIES),
}
ALL = {**SMOOTH, **FRAMES}
INVARIANT = {name: make for name, make in SMOOTH.items() if name != "spherical"}

CELL = np.diag([3.1, 3.6, 4.2])
TILTED = np.array([[3.1, 0, 0], [1.2, 3.4, 0], [-0.9, 1.7, 4.0]])


def scattered(rng, n, box, distance=1.1):
    """Draw positions in a box, no two of them too near."""
    positions = np.zeros((0, 3))
    while len(positions) < n:
        one = rng.random(3) * np.diag(box)
        if not len(positions) or np.linalg.norm(positions - one, axis=1).min() > distance:
            positions = np.vstack([positions, one])
    return positions


def structure(rng, n, cell, pbc, box=None):
    """Return a structure with atoms of all species."""
    return {
        "numbers": rng.permutation(np.resize(NUMBERS, n)),
        "positions": scattered(rng, n, cell if box is None else box),
        "cell": cell,
        "pbc": pbc,
    }


# Images are neighbours in all periodic ones: the cutoff is beyond the cell.
STRUCTURES = {
    "tilted": lambda rng: structure(rng, 4, TILTED, True, CELL),
    "left-handed": lambda rng: structure(rng, 3, TILTED[[1, 0, 2]], True, CELL),
    "slab": lambda rng: structure(rng, 4, TILTED, [True, True, False], CELL),
    "wire": lambda rng: structure(rng, 3, TILTED * [[0], [1], [0]], [False, True, False], CELL),
    "molecule": lambda rng: structure(rng, 6, np.zeros((3, 3)), False, CELL),
    "lone": lambda rng: structure(rng, 2, np.zeros((3, 3)), False, 90 * np.eye(3)),
    "one": lambda rng: structure(rng, 1, CELL, True),
}


def batch(rng, names=tuple(STRUCTURES)):
    """Return structures of these names, packed."""
    return Structures.of([STRUCTURES[name](rng) for name in names])


def generic(rng):
    """Return structures in which no two distances from an atom are equal, as images' are."""
    box = 8.0 * np.eye(3)
    return Structures.of([structure(rng, n, box, True) for n in (12, 9, 3, 2, 1)])
