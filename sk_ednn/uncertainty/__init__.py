"""Detect inputs on which a model may be wrong: novelty of tiles, leverage, and a guard."""

from ._guard import NoveltyGuard
from ._leverage import leverage
from ._novelty import TileNovelty, error_ranking, novelty

__all__ = ["NoveltyGuard", "TileNovelty", "error_ranking", "leverage", "novelty"]
