"""Extensive deep neural networks, and any other model, as a sum over tiles.

Predict an extensive quantity (energy, entropy, particle number, dose, count) of systems far
larger than those the model was trained on.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .estimators import EDNNCommittee, EDNNRegressor, ShiftAveraged
    from .tiling import GridTiling

__version__ = "0.1.0"

__all__ = ["EDNNCommittee", "EDNNRegressor", "GridTiling", "ShiftAveraged", "__version__"]

# Imported when they are first used: `sk-ednn --help` needs neither scikit-learn nor NumPy.
_NAMES = {
    "EDNNCommittee": ".estimators",
    "EDNNRegressor": ".estimators",
    "GridTiling": ".tiling",
    "ShiftAveraged": ".estimators",
}
_PACKAGES = ("evaluation", "exceptions", "metrics", "solvers", "tiling")


def __getattr__(name):
    if name in _NAMES:
        return getattr(import_module(_NAMES[name], __name__), name)
    if name in _PACKAGES:
        return import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted({*__all__, *_PACKAGES})
