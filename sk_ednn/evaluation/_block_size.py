"""The number of tiles of a block, which bounds the memory of an evaluation."""

from __future__ import annotations

from ..tile_models import AbstractTileModel


def block_size(max_tiles, max_bytes, tile_model: AbstractTileModel) -> int:
    """Return the maximum number of tiles of a block, from either limit."""
    if max_tiles is not None:
        return int(max_tiles)
    return max(1, int(max_bytes) // tile_model.bytes_per_tile)
