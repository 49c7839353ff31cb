"""Gradients of fields from those of tiles, the adjoint of cutting; fields from their foci."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from ..fields._channels import channels_last
from ._windows import OUTSIDE


def add_tiles(out, tiling, region, tiles) -> None:
    """Add the values of tiles to the sites of the fields that they were cut from.

    This is the adjoint of `GridTiling.read`: for all fields x,
    ``<add_tiles(t), x> == <t, read(x)>``.

    Parameters
    ----------
    out : ndarray of shape (n_samples, *field_shape)
        Modified in place.
    tiling : GridTiling
    region : tuple of slice
        Tiles of each field, per axis of the tile grid.
    tiles : ndarray of shape (n_samples, *grid of the region, *window[, n_channels])
    """
    field_shape = out.shape[1:]
    n_axes = len(region)
    field = channels_last(out, tiling.channel_axis, n_batch=1)
    positions = tiling.padded_positions(field_shape)
    contexts = [part.start for part in tiling.focus_sites(tiles.shape[1 + n_axes :])]
    for axis in range(n_axes):
        # Tile axes precede window axes. Each pair of them in turn becomes an axis of the padded
        # field, then one of the field.
        n_tiles, window = tiles.shape[1 + axis], tiles.shape[1 + n_axes]
        focus = window - 2 * contexts[axis]
        rows = np.moveaxis(tiles, (1 + axis, 1 + n_axes), (0, 1))
        padded = np.zeros((n_tiles * focus + 2 * contexts[axis], *rows.shape[2:]))
        for offset in range(window):
            padded[offset : offset + n_tiles * focus : focus] += rows[:, offset]
        start = region[axis].start * focus
        sites = positions[axis][start : start + len(padded)]
        folded = np.zeros((field.shape[1 + axis], *padded.shape[1:]))
        # `np.add.at` does the same, ten times slower.
        for part in _runs(sites):
            first = sites[part.start]
            folded[first : first + part.stop - part.start] += padded[part]
        tiles = np.moveaxis(folded, 0, 1 + axis)
    field += tiles


def _runs(sites):
    """Yield the slices of positions with adjacent sites, in order, without those outside."""
    ends = np.flatnonzero((np.diff(sites) != 1) | (sites[:-1] == OUTSIDE)) + 1
    for start, stop in pairwise([0, *ends.tolist(), len(sites)]):
        if sites[start] != OUTSIDE:
            yield slice(start, stop)


def join_foci(foci, n_axes) -> np.ndarray:
    """Return fields (n_samples, *grid[, n_channels]) from all of their foci.

    Parameters
    ----------
    foci : ndarray of shape (n_samples, *tile_grid, *focus[, n_channels])
    n_axes : int
        Number of grid axes.
    """
    order = [0]
    for axis in range(1, 1 + n_axes):
        order += [axis, axis + n_axes]
    order += range(1 + 2 * n_axes, foci.ndim)
    tile_grid, focus = foci.shape[1 : 1 + n_axes], foci.shape[1 + n_axes : 1 + 2 * n_axes]
    grid = np.multiply(tile_grid, focus)
    return foci.transpose(order).reshape(len(foci), *grid, *foci.shape[1 + 2 * n_axes :])
