"""Models of one tile: the contract, scikit-learn's, the baseline, and exact gradients."""

from ._base import AbstractTileModel
from ._baseline import Baseline
from ._tile_model import TileModel

__all__ = ["AbstractTileModel", "Baseline", "TileModel"]
