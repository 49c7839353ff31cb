"""Networks in torch: sums over tiles, tile models, and the networks of the paper."""

from .._utils.optional import needing

with needing("sk_ednn.networks"):
    from ._convolutional import DenseForm, NotConvolutional, as_convolution
    from ._field_sums import FieldBatch, FieldSums
    from ._over_fields import SumOfBranches, SumOverTiles
    from ._paper import PaperCNN, PaperDenseNet, ValidCNN, initialise_summed
    from ._standardize import Standardization
    from ._sum import TileBatch, TileSums
    from ._symmetry import RandomSymmetry
    from ._tile_model import NetworkTileModel

__all__ = [
    "DenseForm",
    "FieldBatch",
    "FieldSums",
    "NetworkTileModel",
    "NotConvolutional",
    "PaperCNN",
    "PaperDenseNet",
    "RandomSymmetry",
    "Standardization",
    "SumOfBranches",
    "SumOverTiles",
    "TileBatch",
    "TileSums",
    "ValidCNN",
    "as_convolution",
    "initialise_summed",
]
