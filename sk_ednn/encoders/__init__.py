"""Values that are no amounts, as channels: labels and angles."""

from ._angles import AngleFields, AngleGradient
from ._one_hot import OneHotFields

__all__ = ["AngleFields", "AngleGradient", "OneHotFields"]
