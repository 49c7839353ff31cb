"""Energies are smooth where a neighbour enters the cutoff."""

import numpy as np
import pytest

from sk_ednn.structures import neighbor_pairs
from tests.descriptors._cases import ALL

CUTOFF = 3.0
NAMES = [name for name in ALL if name != "frame-sharp"]


def energies(name, distances, rng):
    """Return Σ weights · values and its derivative, of a C atom that leaves a B and two N."""
    descriptor = ALL[name](CUTOFF)
    weights = rng.normal(size=descriptor.tile_shape)
    out = []
    for x in distances:
        fixed = [[0, 0, 0], [1.2, 0.3, 0.1], [-0.4, 1.4, 0.3]]
        molecule = {"numbers": [5, 7, 7, 6], "positions": [*fixed, [0, 0, x]], "pbc": False}
        environments = neighbor_pairs([molecule], CUTOFF).restricted([0])
        values = descriptor.values(environments)
        pulled = descriptor.pull(environments, np.broadcast_to(weights, values.shape))
        out.append(((values * weights).sum(), environments.gradient(pulled)[0][3, 2]))
    return np.array(out).T


@pytest.mark.parametrize("name", NAMES)
def test_neighbors_enter_smoothly(rng, name):
    steps = 0.02 * 2.0 ** -np.arange(4)
    energy, slope = energies(name, [CUTOFF + 0.01, *(CUTOFF - steps)], rng)
    energy -= energy[0]
    assert slope[0] == 0
    energy, slope = np.abs(energy[1:]), np.abs(slope[1:])
    assert (energy > 0).all() and (slope > 0).all()
    # (cutoff - r)^3, or the square for the cosine: with each halving an eighth, or a quarter. The
    # next order is far smaller at these distances.
    order = 2 if name == "symmetry-g5" else 3
    assert (energy[:-1] / energy[1:] > 2**order * 0.85).all()
    assert (slope[:-1] / slope[1:] > 2 ** (order - 1) * 0.85).all()


@pytest.mark.parametrize("name", [name for name in NAMES if name != "symmetry-g5"])
def test_second_differences_are_continuous(rng, name):
    h = 1e-3
    inside = CUTOFF - 3 * h + h * np.arange(7)
    energy, _ = energies(name, inside, rng)
    second = np.diff(energy, 2) / h**2
    away, _ = energies(name, CUTOFF - 0.5 + h * np.arange(3), rng)
    assert np.abs(np.diff(second)).max() < 0.1 * np.abs(np.diff(away, 2) / h**2).max()


def test_a_sharp_frame_jumps(rng):
    (inside, outside), _ = energies("frame-sharp", [CUTOFF - 1e-6, CUTOFF + 1e-6], rng)
    assert abs(inside - outside) > 0.01
