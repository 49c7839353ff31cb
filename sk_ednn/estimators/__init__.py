"""Estimators of extensive totals: one model, committees, and averages over shifts of the tiles."""

from ._committee import EDNNCommittee
from ._regressor import EDNNRegressor
from ._shift_averaged import ShiftAveraged

__all__ = ["EDNNCommittee", "EDNNRegressor", "ShiftAveraged"]
