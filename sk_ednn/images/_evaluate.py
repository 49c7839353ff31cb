"""Totals and maps of pictures, region by region."""

from __future__ import annotations

import numpy as np

from .._utils.memory import require_memory
from ._geometry import edge_factors, weights


def contributions(
    picture, models, edges, parts, geometry, *, keep=True, write=None, done=None,
    region_pixels=1 << 20,
):  # fmt: skip
    """Return the totals of a picture, and the part of each tile.

    Parameters
    ----------
    picture : Picture
    models : list of NetworkTileModel or MaximaCounter
    edges : ndarray of shape (n_models, BANDS)
        Additions to the weights of tiles near an edge.
    parts : ndarray of shape (n_models, n_outputs)
        Parts of the models in the average that is returned as the map.
    geometry : Geometry
    keep : bool, default=True
        Whether to return the map.
    write : function, default=None
        Called with the region of each block, a tuple of slices of the tile grid, and its
        contributions (*region, n_outputs).
    done : function, default=None
        Called with the picture and the share of its tiles that are done, after each block.
    region_pixels : int, default=1_048_576
        Pixels that networks are given at a time.

    Returns
    -------
    totals : ndarray of shape (n_models, n_outputs), float64
    map : ndarray of shape (*tile_grid, n_outputs), float64, or None
    extremes : tuple of (ndarray, ndarray) of shape (n_channels,)
        Least and largest values of the pixels.
    """
    tiling = geometry.tiling()
    if not picture.by_region:
        picture = picture.loaded()
    fields = tiling.check([picture])
    grid = tiling.tile_grid(picture.shape)
    bands = geometry.bands(picture.grid)
    shares = [
        [
            share * factor
            for share, factor in zip(
                geometry.shares(picture.grid), edge_factors(bands, of_model), strict=True
            )
        ]
        for of_model in edges
    ]
    n_outputs = models[0].n_outputs
    out = None
    if keep:
        require_memory(
            8.0 * np.prod(grid, dtype=float) * n_outputs, f"The map of {picture.name}",
            "Ask for the total alone, or write the map to OME-Zarr.",
        )  # fmt: skip
        out = np.empty((*grid, n_outputs))
    totals, n_done = np.zeros((len(models), n_outputs)), 0
    least = np.full(picture.n_channels, np.inf)
    largest = -least
    for block in tiling.plan(fields, max(1, region_pixels // int(np.prod(geometry.focus)))):
        padded = tiling.padded(fields, block)
        pixels = padded.reshape(-1, picture.n_channels)
        least = np.minimum(least, pixels.min(axis=0))
        largest = np.maximum(largest, pixels.max(axis=0))
        mean = 0.0
        for k, model in enumerate(models):
            inside = weights(shares[k], block.region)[..., None]
            values = model.dense_predict(padded, tiling).reshape(*block.grid, n_outputs) * inside
            totals[k] += values.reshape(-1, n_outputs).sum(axis=0)
            mean = mean + values * parts[k]
        if out is not None:
            out[block.region] = mean
        if write is not None:
            write(block.region, mean)
        if done is not None:
            n_done += block.n_tiles
            done(picture, n_done / np.prod(grid, dtype=float))
    return totals, out, (least, largest)
