"""Fitted models of a tile: their interface, scikit-learn models, baselines, exact gradients."""

from ._base import AbstractTileModel
from ._baseline import Baseline
from ._symmetric_features import SymmetricFeatures
from ._tile_model import TileModel

__all__ = ["AbstractTileModel", "Baseline", "SymmetricFeatures", "TileModel"]
