"""Torch: sums over tiles, networks as tile models, and the networks of the paper."""

from ._paper import PaperDenseNet
from ._sum import TileBatch, TileSums
from ._tile_model import NetworkTileModel

__all__ = ["NetworkTileModel", "PaperDenseNet", "TileBatch", "TileSums"]
