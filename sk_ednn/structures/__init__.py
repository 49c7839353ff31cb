"""Structures of atoms as data: cells, batches, neighbours, densities and files."""

from ._batch import Structures
from ._densities import Density, read_densities
from ._elements import atomic_number
from ._files import read_structures
from ._neighbors import Environments, neighbor_pairs
from ._repulsion import screened_repulsion
from ._structure import Structure

__all__ = [
    "Density",
    "Environments",
    "Structure",
    "Structures",
    "atomic_number",
    "neighbor_pairs",
    "read_densities",
    "read_structures",
    "screened_repulsion",
]
