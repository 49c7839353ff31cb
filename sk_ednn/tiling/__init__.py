"""Where the tiles of a field are."""

from ._base import AbstractTiling, Block
from ._grid import GridTiling
from ._scale import ChannelScaler

__all__ = ["AbstractTiling", "Block", "ChannelScaler", "GridTiling"]
