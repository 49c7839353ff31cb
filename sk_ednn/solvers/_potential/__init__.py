"""Fit networks of atoms to energies, forces and stresses."""

from ._errors import potential_errors
from ._labels import PotentialLabels
from ._run import FitResult
from ._trainer import PotentialTrainer

__all__ = ["FitResult", "PotentialLabels", "PotentialTrainer", "potential_errors"]
