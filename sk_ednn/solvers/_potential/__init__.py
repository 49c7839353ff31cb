"""Fit networks of atoms to energies, forces and stresses."""

from ._errors import potential_errors
from ._labels import PotentialLabels
from ._trainer import FitResult, PotentialTrainer

__all__ = ["FitResult", "PotentialLabels", "PotentialTrainer", "potential_errors"]
