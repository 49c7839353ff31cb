"""Report on one page how a model was fitted and how accurate it is."""

from ._potentials import potential_report
from ._report import fit_report
from ._result import FitReport

__all__ = ["FitReport", "fit_report", "potential_report"]
