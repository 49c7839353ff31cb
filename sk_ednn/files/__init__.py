"""Models in files: written and read without pickle, and handed on to other programs."""

from ._save import describe, load, save

__all__ = ["describe", "load", "save"]
