"""Descriptors: the environment of an atom as numbers, and their derivatives."""

from ._base import AbstractDescriptor

__all__ = ["AbstractDescriptor"]
