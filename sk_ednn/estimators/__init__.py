"""Estimators of extensive totals: single models, committees and shift averages."""

from .._utils.optional import later

__all__ = ["EDNNCommittee", "EDNNRegressor", "ShiftAveraged"]

# Imported lazily: the command line imports `_data_warnings` without loading scikit-learn.
__getattr__ = later(
    __name__,
    {
        "EDNNCommittee": "._committee",
        "EDNNRegressor": "._regressor",
        "ShiftAveraged": "._shift_averaged",
    },
)
