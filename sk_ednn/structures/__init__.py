"""Batches of structures, and the neighbours of their atoms."""

from ._batch import Structures
from ._elements import atomic_number
from ._neighbors import Environments, neighbor_pairs

__all__ = ["Environments", "Structures", "atomic_number", "neighbor_pairs"]
