"""Structures of atoms as fields."""

from ._invariants import LocalInvariants
from ._rasterise import GaussianRasterizer
from ._source import AtomsInWindow, AtomsSource
from ._structure import Structure

__all__ = [
    "AtomsInWindow",
    "AtomsSource",
    "GaussianRasterizer",
    "LocalInvariants",
    "Structure",
]
