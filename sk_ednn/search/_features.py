"""Features of structures with their gradients, kept so that a new fit computes only new ones."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np

from ..structures import Structures, neighbor_pairs
from ..structures._stress import VOIGT

_CACHE_BYTES = 256 << 20


@dataclass(frozen=True, eq=False)
class Features:
    """Features of a structure, summed by the element of the centre, and their gradients."""

    sums: np.ndarray  # (n_species * (1 + n_features),)
    squares: np.ndarray  # sums of squares
    by_positions: np.ndarray  # (3 n_atoms, n_species * (1 + n_features))
    by_strain: np.ndarray  # (6, ...), along xx, yy, zz, yz, xz, xy
    volume: float


def summed(descriptor, structure):
    """Return the sums of features over atoms, for each element; neighbours; elements' indices.

    The first number of each element is how many atoms it has.
    """
    environments = neighbor_pairs(Structures.of([structure]), float(descriptor.cutoff))
    kinds = np.searchsorted(descriptor.species_numbers, np.asarray(structure.numbers))
    return (
        _by_kind(descriptor.values(environments), kinds, len(descriptor.species_numbers), True),
        environments,
        kinds,
    )


def _by_kind(values, kinds, n_kinds, counted=False) -> np.ndarray:
    out = np.zeros((n_kinds, 1 + values.shape[1]))
    np.add.at(out[:, 1:], kinds, values)
    if counted:
        out[:, 0] = np.bincount(kinds, minlength=n_kinds)
    return out.reshape(-1)


class FeatureCache:
    """Features by their key; the least recently used ones are dropped. Safe in threads."""

    def __init__(self, n_bytes):
        self.n_bytes, self.used = n_bytes, 0
        self._entries: OrderedDict = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key):
        with self._lock:
            if key in self._entries:
                self._entries.move_to_end(key)
            return self._entries.get(key)

    def put(self, key, value):
        with self._lock:
            if key in self._entries:
                return
            self._entries[key] = value
            self.used += value.by_positions.nbytes
            while self.used > self.n_bytes and len(self._entries) > 1:
                _, old = self._entries.popitem(last=False)
                self.used -= old.by_positions.nbytes


CACHE = FeatureCache(_CACHE_BYTES)


def cached_features(descriptor, structure) -> Features:
    """Return the features of a structure, computed once while they fit into the cache."""
    parts = (np.asarray(v) for v in (structure.numbers, structure.positions, structure.cell))
    key = (
        repr(descriptor), *(part.tobytes() for part in parts),
        np.asarray(structure.pbc).tobytes(),
    )  # fmt: skip
    features = CACHE.get(key)
    if features is None:
        features = _differentiated(descriptor, structure)
        CACHE.put(key, features)
    return features


def _differentiated(descriptor, structure) -> Features:
    environments = neighbor_pairs(Structures.of([structure]), float(descriptor.cutoff))
    kinds = np.searchsorted(descriptor.species_numbers, np.asarray(structure.numbers))
    n_kinds, n_atoms = len(descriptor.species_numbers), len(kinds)
    values = descriptor.values(environments)
    still, unstrained = np.zeros((n_atoms, 3)), np.zeros((1, 3, 3))

    def pushed(positions, strain):
        tangents = environments.displace(positions, strain)
        return _by_kind(descriptor.push(environments, tangents), kinds, n_kinds)

    by_positions = np.empty((3 * n_atoms, n_kinds * (1 + values.shape[1])))
    for k in range(3 * n_atoms):
        move = still.copy()
        move.reshape(-1)[k] = 1.0
        by_positions[k] = pushed(move, unstrained)
    by_strain = np.empty((6, by_positions.shape[1]))
    for k, (i, j) in enumerate(zip(*VOIGT, strict=True)):
        strain = unstrained.copy()
        strain[0, i, j] = strain[0, j, i] = 1.0 if i == j else 0.5
        by_strain[k] = pushed(still, strain)
    return Features(
        _by_kind(values, kinds, n_kinds, True), _by_kind(values**2, kinds, n_kinds, True),
        by_positions, by_strain, float(environments.volumes[0]),
    )  # fmt: skip
