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
    "TorchRasterizer",
]

# Imported when they are asked for: they need libraries that `import sk_ednn` does not load.
_LATER = {
    "EDNNCalculator": ("._calculator", "ase", "atoms"),
    "TorchRasterizer": ("._torch", "torch", "torch"),
}


def __getattr__(name):
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, library, extra = _LATER[name]
    try:
        return getattr(import_module(module, __name__), name)
    except ImportError as error:
        if (error.name or "").split(".")[0] != library:
            raise
        raise MissingExtraError(
            f"{name} needs {library}, which is not installed. Install it with "
            f"'pip install sk-ednn[{extra}]'.",
            name=library,
        ) from error
