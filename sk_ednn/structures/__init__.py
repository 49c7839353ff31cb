"""Structures of atoms as data: cells, batches, neighbours, duplicates and files."""

from ._batch import Structures
from ._elements import atomic_number
from ._files import read_structures
from ._neighbors import Environments, neighbor_pairs
from ._structure import Structure

__all__ = [
    "Environments",
    "Structure",
    "Structures",
    "atomic_number",
    "neighbor_pairs",
    "read_structures",
]
