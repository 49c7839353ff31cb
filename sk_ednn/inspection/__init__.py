"""Look into a fitted model: what it sees, how far, whether it is extensive, what it leaves open."""

from ._context import context_sensitivity
from ._extensivity import extensivity_report, size_transfer
from ._familiarity import KnownTiles, error_ranking, familiarity
from ._gauge import gauge
from ._guard import FamiliarityGuard
from ._interaction import interaction_profile
from ._leverage import leverage
from ._locality import locality_profile
from ._plot._errors import ErrorDisplay
from ._plot._familiarity import FamiliarityDisplay
from ._plot._parity import ParityDisplay
from ._plot._profiles import ContextSensitivityDisplay, InteractionDisplay, LocalityDisplay
from ._plot._scaling import ScalingDisplay
from ._plot._suggest import TilingPathDisplay
from ._plot._tiles import ContributionDisplay, TilingDisplay
from ._plot._training import TrainingDisplay
from ._report._report import FitReport, fit_report
from ._suggest import suggest_tiling

__all__ = [
    "ContextSensitivityDisplay",
    "ContributionDisplay",
    "ErrorDisplay",
    "FamiliarityDisplay",
    "FamiliarityGuard",
    "FitReport",
    "InteractionDisplay",
    "KnownTiles",
    "LocalityDisplay",
    "ParityDisplay",
    "ScalingDisplay",
    "TilingDisplay",
    "TilingPathDisplay",
    "TrainingDisplay",
    "context_sensitivity",
    "error_ranking",
    "extensivity_report",
    "familiarity",
    "fit_report",
    "gauge",
    "interaction_profile",
    "leverage",
    "locality_profile",
    "size_transfer",
    "suggest_tiling",
]
