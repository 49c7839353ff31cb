"""Descriptors: the environment of an atom as numbers, and their derivatives."""

from ._base import AbstractDescriptor
from ._power import PowerSpectrum
from ._spherical import SphericalExpansion

__all__ = ["AbstractDescriptor", "PowerSpectrum", "SphericalExpansion"]
