"""The distinct best structures, from which new ones are made."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..structures import Structure
from ._fingerprint import Fingerprint


@dataclass(frozen=True, eq=False)
class Member:
    """A structure of the pool: its number in the store, and its energy per atom in eV."""

    id: int
    structure: Structure | None
    energy: float
    fingerprint: np.ndarray


class StructurePool:
    """Keep the best structures that differ from one another.

    Parameters
    ----------
    size : int, default=20
    energy_window : float, default=inf, in eV per atom
        Structures with energies further above the best one are left out.
    min_distance : float, default=0.01
        Distance of fingerprints. If two structures are closer, the one of lower energy stays.
    """

    def __init__(self, size=20, energy_window=np.inf, min_distance=0.01):
        self.size = size
        self.energy_window = energy_window
        self.min_distance = min_distance
        self.members: list[Member] = []

    def add(self, member) -> bool:
        """Add a structure if it is new and among the best; return whether it was added."""
        near = [m for m in self.members if self._is_same(m, member)]
        if any(m.energy <= member.energy for m in near):
            return False
        kept = [m for m in self.members if m not in near]
        kept = sorted([*kept, member], key=lambda m: (m.energy, m.id))
        limit = kept[0].energy + self.energy_window
        self.members = [m for m in kept if m.energy <= limit][: self.size]
        return member in self.members

    def _is_same(self, a, b) -> bool:
        return Fingerprint.distance(a.fingerprint, b.fingerprint) < self.min_distance

    def draw(self, rng) -> Member:
        """Return a random member; the probability decreases linearly with the rank."""
        ranks = np.arange(len(self.members), 0, -1, dtype=float)
        return self.members[rng.choice(len(self.members), p=ranks / ranks.sum())]
