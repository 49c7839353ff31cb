"""From what each tile holds at its sites back to the field: the adjoint of cutting it."""

from __future__ import annotations

import numpy as np

from ..fields._channels import channels_last
from ._windows import OUTSIDE


def add_tiles(out, tiling, region, tiles) -> None:
    """Add what tiles hold, site by site, to the fields that they were cut from.

    The adjoint of `GridTiling.read`: ``<add_tiles(t), x> == <t, read(x)>`` for all fields x.

    Parameters
    ----------
    out : ndarray of shape (n_samples, *field_shape)
        Added to, in place.
    tiling : GridTiling
    region : tuple of slice
        Which tiles of each field, per axis of the tile grid.
    tiles : ndarray of shape (n_samples, *grid of the region, *window[, n_channels])
    """
    field_shape = out.shape[1:]
    n_axes = len(region)
    field = channels_last(out, tiling.channel_axis, n_batch=1)
    places = tiling.padded_positions(field_shape)
    contexts = [part.start for part in tiling.focus_sites(tiles.shape[1 + n_axes :])]
    for axis in range(n_axes):
        # The tile axes come first; each in turn meets its window axis and becomes places.
        n_tiles, window = tiles.shape[1 + axis], tiles.shape[1 + n_axes]
        focus = window - 2 * contexts[axis]
        rows = np.moveaxis(tiles, (1 + axis, 1 + n_axes), (0, 1))
        laid = np.zeros((n_tiles * focus + 2 * contexts[axis], *rows.shape[2:]))
        for offset in range(window):
            laid[offset : offset + n_tiles * focus : focus] += rows[:, offset]
        start = region[axis].start * focus
        along = places[axis][start : start + len(laid)]
        inside = along != OUTSIDE
        folded = np.zeros((field.shape[1 + axis], *laid.shape[1:]))
        np.add.at(folded, along[inside], laid[inside])
        tiles = np.moveaxis(folded, 0, 1 + axis)
    field += tiles
