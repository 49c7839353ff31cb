"""Batches of fields: checks, sources that are read in pieces, and views of them."""

from ._array_source import ArraySource
from ._sources import FieldSource

__all__ = ["ArraySource", "FieldSource"]
