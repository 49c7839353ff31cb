"""Batches of fields: checks, sources that are read in pieces, and views of them."""

from ._sources import ArraySource, FieldSource

__all__ = ["ArraySource", "FieldSource"]
