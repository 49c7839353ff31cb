"""Structures of atoms as data: atoms, cells, duplicates and files."""

from ._files import read_structures
from ._structure import Structure

__all__ = ["Structure", "read_structures"]
