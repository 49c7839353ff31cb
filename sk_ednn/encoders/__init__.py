"""Fields made of labels, angles and densities, and averages over the whole field."""

from ._angles import AngleFields, AngleGradient
from ._densities import DensityFields
from ._intensive import IntensiveContext
from ._one_hot import OneHotFields

__all__ = ["AngleFields", "AngleGradient", "DensityFields", "IntensiveContext", "OneHotFields"]
