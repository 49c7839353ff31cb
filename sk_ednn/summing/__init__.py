"""How a tile model is fitted when only sums over tiles are known."""

from importlib import import_module

from ._auto import AutoSumFit
from ._base import AbstractSumFit, SumProblem, Term
from ._boosting import BoostedSum, BoostingSumFit
from ._gaussian_process import GaussianProcessSumFit
from ._kernel import KernelSumFit
from ._linear import LinearSumFit

__all__ = [
    "AbstractSumFit",
    "AutoSumFit",
    "BoostedSum",
    "BoostingSumFit",
    "GaussianProcessSumFit",
    "GradientSumFit",
    "KernelSumFit",
    "LinearSumFit",
    "SumProblem",
    "Term",
]


def __getattr__(name):
    # Imported when it is asked for: it needs torch, which `import sk_ednn` does not load.
    if name == "GradientSumFit":
        return import_module("._gradient", __name__).GradientSumFit
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
