"""Structures of atoms as fields."""

from importlib import import_module

from ..exceptions import MissingExtraError
from ._invariants import LocalInvariants
from ._rasterise import GaussianRasterizer
from ._source import AtomsInWindow, AtomsSource
from ._structure import Structure

__all__ = [
    "AtomsInWindow",
    "AtomsSource",
    "GaussianRasterizer",
    "LocalInvariants",
    "Structure",
    "TorchRasterizer",
]

# Imported when they are asked for: they need libraries that `import sk_ednn` does not load.
_LATER = {"TorchRasterizer": "._torch"}


def __getattr__(name):
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(_LATER[name], __name__), name)
    except ImportError as error:
        if error.name != "torch":
            raise
        raise MissingExtraError(
            f"{name} needs torch, which is not installed. Install it with "
            "'pip install sk-ednn[torch]'.",
            name="torch",
        ) from error
