"""Structures of atoms as fields, and fitted models as calculators of ASE."""

from importlib import import_module

from ..exceptions import MissingExtraError
from ._invariants import LocalInvariants
from ._rasterise import GaussianRasterizer
from ._source import AtomsInWindow, AtomsSource
from ._structure import Structure

__all__ = [
    "AtomsInWindow",
    "AtomsSource",
    "EDNNCalculator",
    "GaussianRasterizer",
    "LocalInvariants",
    "Structure",
]


def __getattr__(name):
    # Imported when it is asked for: it is the one that needs ASE.
    if name != "EDNNCalculator":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return import_module("._calculator", __name__).EDNNCalculator
    except ImportError as error:
        if (error.name or "").split(".")[0] != "ase":
            raise
        raise MissingExtraError(
            "EDNNCalculator needs ASE, which is not installed. Install it with "
            "'pip install sk-ednn[atoms]'.",
            name="ase",
        ) from error
