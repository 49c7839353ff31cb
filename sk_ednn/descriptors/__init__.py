"""Descriptors: the environment of an atom as numbers, and their derivatives."""

from ._adapter import DescriptorFunction
from ._base import AbstractDescriptor
from ._chebyshev import ChebyshevDescriptor
from ._deep_pot import DeepPotFrame
from ._power import PowerSpectrum
from ._spherical import SphericalExpansion
from ._symmetry import SymmetryFunctions

__all__ = [
    "AbstractDescriptor",
    "ChebyshevDescriptor",
    "DeepPotFrame",
    "DescriptorFunction",
    "PowerSpectrum",
    "SphericalExpansion",
    "SymmetryFunctions",
]
