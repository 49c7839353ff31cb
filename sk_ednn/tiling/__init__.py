"""Where the tiles of a field are."""

from ._base import AbstractTiling, Block
from ._grid import GridTiling

__all__ = ["AbstractTiling", "Block", "GridTiling"]
