"""A pair potential: reference and surrogate of searches that take milliseconds."""

from types import SimpleNamespace

import numpy as np
from sklearn.base import BaseEstimator

from sk_ednn.search import Label

DEPTH, DISTANCE = 0.5, 2.4


def energy_and_forces(structure, distance=DISTANCE):
    """Morse potential of a cluster."""
    apart = structure.positions[:, None] - structure.positions[None]
    r = np.sqrt((apart**2).sum(axis=-1) + np.eye(len(apart)))
    x = np.exp(-1.5 * (r - distance))
    off = ~np.eye(len(r), dtype=bool)
    energy = 0.5 * DEPTH * (x**2 - 2 * x)[off].sum()
    derivatives = np.where(off, DEPTH * -1.5 * (2 * x**2 - 2 * x), 0.0)
    return energy, -((derivatives / r)[..., None] * apart).sum(axis=1)


def bound(structure):
    return Label(*energy_and_forces(structure))


def lowest(n):
    """Return the energy of n <= 4 atoms, all of them neighbours."""
    return -DEPTH * n * (n - 1) / 2


class Pairs(BaseEstimator):
    """The same with another distance in each member, closer to the right one with more labels."""

    def __init__(self, random_state=None):
        self.random_state = random_state

    def fit(self, structures, y, *, forces=None, stress=None, sample_weight=None):
        assert np.isfinite(y).all() and np.isfinite(np.concatenate(forces)).all()
        rng = np.random.RandomState(self.random_state)
        self.distance_ = DISTANCE + rng.normal() / len(structures)
        return self

    def predict(self, structures):
        return np.array([energy_and_forces(s, self.distance_)[0] for s in structures])

    def predict_all(self, structures):
        (structure,) = structures
        energy, forces = energy_and_forces(structure, self.distance_)
        return SimpleNamespace(energies=[energy], forces=forces, stress=np.full((1, 6), np.nan))
