"""Extensive deep neural networks, and any other model, as a sum over tiles.

Predict an extensive quantity (energy, entropy, particle number, dose, count) of systems far
larger than those the model was trained on.
"""

from ._committee import EDNNCommittee
from ._regressor import EDNNRegressor
from ._shift_averaged import ShiftAveraged
from .tiling import GridTiling

__version__ = "0.1.0"

__all__ = ["EDNNCommittee", "EDNNRegressor", "GridTiling", "ShiftAveraged", "__version__"]
