"""Fields made of labels, angles and densities, and averages and filters of whole systems."""

from ._angles import AngleFields, AngleGradient
from ._context_products import ContextProducts
from ._densities import DensityFields
from ._intensive import IntensiveContext
from ._one_hot import OneHotFields
from ._reciprocal import ReciprocalContext

__all__ = [
    "AngleFields",
    "AngleGradient",
    "ContextProducts",
    "DensityFields",
    "IntensiveContext",
    "OneHotFields",
    "ReciprocalContext",
]
