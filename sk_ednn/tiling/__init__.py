"""Tilings: how systems are cut into tiles."""

from ._atoms import AtomTiling
from ._bags import BagTiling
from ._base import AbstractTiling, Systems
from ._grid import GridTiling
from ._grid_base import AbstractGridTiling, Block
from ._multiscale import multiscale
from ._packed import AbstractPackedTiling, PackedBlock
from ._pool import TilePool
from ._scale import ChannelScaler

__all__ = [
    "AbstractGridTiling",
    "AbstractPackedTiling",
    "AbstractTiling",
    "AtomTiling",
    "BagTiling",
    "Block",
    "ChannelScaler",
    "GridTiling",
    "PackedBlock",
    "Systems",
    "TilePool",
    "multiscale",
]
