"""Measures and plots of fitted models: locality, context, interactions and extensivity."""

from ._context import context_sensitivity
from ._couplings import couplings
from ._extensivity import extensivity_report, size_transfer
from ._interaction import interaction_map, interaction_profile
from ._locality import locality_profile
from ._null_space import null_space
from ._plot._errors import ErrorDisplay
from ._plot._novelty import NoveltyDisplay
from ._plot._parity import ParityDisplay
from ._plot._profiles import ContextSensitivityDisplay, InteractionDisplay, LocalityDisplay
from ._plot._scaling import ScalingDisplay
from ._plot._suggest import TilingPathDisplay
from ._plot._tiles import ContributionDisplay, TilingDisplay
from ._plot._training import TrainingDisplay
from ._suggest import suggest_tiling

__all__ = [
    "ContextSensitivityDisplay",
    "ContributionDisplay",
    "ErrorDisplay",
    "InteractionDisplay",
    "LocalityDisplay",
    "NoveltyDisplay",
    "ParityDisplay",
    "ScalingDisplay",
    "TilingDisplay",
    "TilingPathDisplay",
    "TrainingDisplay",
    "context_sensitivity",
    "couplings",
    "extensivity_report",
    "interaction_map",
    "interaction_profile",
    "locality_profile",
    "null_space",
    "size_transfer",
    "suggest_tiling",
]
