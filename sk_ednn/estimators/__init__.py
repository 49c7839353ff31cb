"""Estimators of extensive totals: one model, committees, and averages over shifts of the tiles."""

from .._utils.optional import later

__all__ = ["EDNNCommittee", "EDNNRegressor", "ShiftAveraged"]

# The command line imports warnings from here before it needs scikit-learn.
__getattr__ = later(
    __name__,
    {
        "EDNNCommittee": "._committee",
        "EDNNRegressor": "._regressor",
        "ShiftAveraged": "._shift_averaged",
    },
)
