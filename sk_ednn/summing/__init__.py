"""How a tile model is fitted when only sums over tiles are known."""

from .._optional import later
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

# It needs torch, which `import sk_ednn` does not load.
__getattr__ = later(__name__, {"GradientSumFit": "._gradient"})
