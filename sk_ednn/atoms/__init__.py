"""Structures of atoms as fields."""

from ._rasterise import GaussianRasterizer
from ._structure import Structure

__all__ = ["GaussianRasterizer", "Structure"]
