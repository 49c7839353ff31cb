"""Solvers, which fit tile models when only sums over tiles are known."""

from .._utils.optional import later
from ._auto import AutoSolver
from ._base import AbstractSolver
from ._boosting import BoostedSum, BoostingSolver
from ._gaussian_process import GaussianProcessSolver
from ._kernel import KernelSolver
from ._linear import LinearSolver
from ._loss_weights import LossWeights
from ._problem import SumProblem, Term

__all__ = [
    "AbstractSolver",
    "AutoSolver",
    "BoostedSum",
    "BoostingSolver",
    "GaussianProcessSolver",
    "GradientSolver",
    "KernelSolver",
    "LinearSolver",
    "LossWeights",
    "SumProblem",
    "Term",
]

# Imported on demand, because it needs torch.
__getattr__ = later(__name__, {"GradientSolver": "._gradient"})
