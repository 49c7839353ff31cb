"""Channels made of fields: labels, angles, and averages over the whole field."""

from ._angles import AngleFields, AngleGradient
from ._context_products import ContextProducts
from ._intensive import IntensiveContext
from ._one_hot import OneHotFields

__all__ = ["AngleFields", "AngleGradient", "ContextProducts", "IntensiveContext", "OneHotFields"]
