"""Structures of atoms as fields."""

from ._invariants import LocalInvariants
from ._rasterise import GaussianRasterizer
from ._structure import Structure

__all__ = ["GaussianRasterizer", "LocalInvariants", "Structure"]
