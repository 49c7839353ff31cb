"""Structures of atoms as fields, and fitted models as calculators of ASE."""

from .._utils.optional import later
from ._invariants import LocalInvariants
from ._labels import energies_of, forces_of
from ._rasterise import GaussianRasterizer
from ._source import AtomsInWindow, AtomsSource

__all__ = [
    "AtomsInWindow",
    "AtomsSource",
    "EDNNCalculator",
    "GaussianRasterizer",
    "LocalInvariants",
    "TorchRasterizer",
    "energies_of",
    "forces_of",
]

# They need libraries that `import sk_ednn` does not load.
__getattr__ = later(__name__, {"EDNNCalculator": "._calculator", "TorchRasterizer": "._torch"})
