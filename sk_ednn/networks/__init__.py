"""Torch: sums over tiles, networks as tile models, and the networks of the paper."""

from ._convolutional import DenseForm, NotConvolutional, as_convolution
from ._paper import PaperDenseNet
from ._sum import TileBatch, TileSums
from ._tile_model import NetworkTileModel

__all__ = [
    "DenseForm",
    "NetworkTileModel",
    "NotConvolutional",
    "PaperDenseNet",
    "TileBatch",
    "TileSums",
    "as_convolution",
]
