"""Draw tiles at random."""

from __future__ import annotations

import numpy as np


def sampled_tiles(tiling, systems, n_tiles, rng) -> np.ndarray:
    """Return at most `n_tiles` tiles of systems, drawn without replacement.

    Blocks are read one at a time, so that large systems need not fit in memory.

    Parameters
    ----------
    tiling : AbstractTiling
    systems : Systems
    n_tiles : int or None
        None for all tiles.
    rng : RandomState

    Returns
    -------
    ndarray of shape (n_drawn, *tile_shape)
        In the order of the blocks.
    """
    blocks = tiling.plan(systems, 1 << 14)
    ends = np.cumsum([block.n_tiles for block in blocks])
    total = int(ends[-1])
    drawn = np.arange(total)
    if n_tiles is not None and n_tiles < total:
        drawn = np.sort(rng.choice(total, n_tiles, replace=False))
    parts = []
    for block, end in zip(blocks, ends, strict=True):
        start = end - block.n_tiles
        in_block = drawn[(drawn >= start) & (drawn < end)] - start
        if len(in_block):
            parts.append(np.array(tiling.block_tiles(systems, block).array(in_block)))
    return np.concatenate(parts)
