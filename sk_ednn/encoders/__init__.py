"""Fields made of labels, angles and densities, and averages over whole systems."""

from ._angles import AngleFields, AngleGradient
from ._context_products import ContextProducts
from ._densities import DensityFields
from ._intensive import IntensiveContext
from ._one_hot import OneHotFields

__all__ = [
    "AngleFields",
    "AngleGradient",
    "ContextProducts",
    "DensityFields",
    "IntensiveContext",
    "OneHotFields",
]
