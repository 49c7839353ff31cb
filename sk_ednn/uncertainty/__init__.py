"""Trust in predictions: intervals from errors of systems held out, and inputs that are unusual."""

from ..estimators._held_out_errors import HeldOutErrors
from ._guard import NoveltyGuard
from ._intervals import calibrate, predict_interval
from ._leverage import leverage
from ._novelty import TileNovelty, error_ranking, novelty

__all__ = [
    "HeldOutErrors",
    "NoveltyGuard",
    "TileNovelty",
    "calibrate",
    "error_ranking",
    "leverage",
    "novelty",
    "predict_interval",
]
