"""Models of one tile: wrappers, the baseline, and exact gradients of scikit-learn's models."""

from ._baseline import Baseline
from ._tile_model import TileModel

__all__ = ["Baseline", "TileModel"]
