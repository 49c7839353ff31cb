"""Checks of extensivity and of the interfaces, for your own estimators, tilings and evaluations.

Each check raises an AssertionError whose message begins with the name of the violated law.
"""

from ._estimator import check_extensive_estimator
from ._evaluation import check_evaluation
from ._tiling import check_tiling

__all__ = ["check_evaluation", "check_extensive_estimator", "check_tiling"]
