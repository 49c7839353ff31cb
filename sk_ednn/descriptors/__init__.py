"""Descriptors: the environment of an atom as numbers, and their derivatives."""

from ._base import AbstractDescriptor
from ._chebyshev import ChebyshevDescriptor
from ._power import PowerSpectrum
from ._spherical import SphericalExpansion
from ._symmetry import SymmetryFunctions

__all__ = [
    "AbstractDescriptor",
    "ChebyshevDescriptor",
    "PowerSpectrum",
    "SphericalExpansion",
    "SymmetryFunctions",
]
