"""The part of y that is linear in extensive features of the field.

Centring targets the usual way adds a constant once per *sample*, whatever its size: a model
trained on small systems is then wrong by that constant times the ratio of sizes. Here the mean is
carried by the sites instead, so that the total stays extensive.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._utils.stored import stored
from ..tiling._windows import OUTSIDE

KINDS = (None, "size", "content")

# Features of which one follows from the others to this relative accuracy are told apart by rounding
# alone, such as the pixels and the contents of structures of one size that are drawn in float32.
_RESOLVED = 1e-6
# Tiles read at a time when contents are summed up.
_BLOCK = 1 << 16


@stored("Baseline")
@dataclass(frozen=True)
class Baseline:
    """A contribution of each focus, ``b . phi(focus)``.

    Attributes
    ----------
    coefficients : ndarray of shape (n_features, n_outputs)
        Of the number of sites and, for kind "content", of the sum of each channel.
    focus : tuple of slice
        Where the focus lies in a tile.
    kind : {"size", "content"}
    tile_ndim : int
        Number of axes of a tile, a channel axis included.
    """

    coefficients: np.ndarray
    focus: tuple[slice, ...]
    kind: str
    tile_ndim: int

    def predict(self, tiles) -> np.ndarray:
        """Return the contributions of tiles (*batch, *tile_shape), shape (n_tiles, n_outputs)."""
        return focus_features(tiles, self.focus, self.kind, self.tile_ndim) @ self.coefficients

    def slope(self, tiling, field_shape) -> np.ndarray:
        """Return how the first total changes with each number of a field, of shape field_shape."""
        if self.kind == "size":
            return np.zeros(field_shape)
        # Foci do not overlap: how often a site lies in one is a product over the axes.
        channel, slope = tiling.channel_axis, np.ones(1)
        n_sites = list(field_shape)
        if channel is not None:
            del n_sites[channel]
        for places, part, n in zip(
            tiling.padded_positions(field_shape), self.focus, n_sites, strict=True
        ):
            inside = places[part.start : len(places) - part.start]
            held = np.bincount(inside[inside != OUTSIDE], minlength=n)
            slope = slope[..., None, :] * held[:, None]
        slope = slope * self.coefficients[1:, 0]
        return slope[..., 0] if channel is None else np.moveaxis(slope, -1, channel)


def focus_features(tiles, focus, kind, tile_ndim) -> np.ndarray:
    """Return phi of tiles of shape (*batch, *tile_shape): (n_tiles, 1 or 1 + n_channels).

    The focus is summed where it lies: of a view of overlapping windows, no window is copied.
    """
    n_batch = tiles.ndim - tile_ndim
    foci = tiles[(*[slice(None)] * n_batch, *focus)]
    axes = tuple(range(n_batch, n_batch + len(focus)))
    n_tiles = int(np.prod(foci.shape[:n_batch]))
    sizes = np.full((n_tiles, 1), float(np.prod([foci.shape[axis] for axis in axes])))
    if kind == "size":
        return sizes
    content = foci.sum(axis=axes, dtype=np.float64).reshape(n_tiles, -1)
    return np.hstack([sizes, content])


def fit_baseline(kind, tiling, fields, y, sample_weight) -> tuple[Baseline | None, np.ndarray]:
    """Fit y by least squares on extensive features, and return what they give each sample.

    Parameters
    ----------
    kind : {None, "size", "content"}
    tiling : AbstractTiling
    fields : Fields
    y : ndarray of shape (n_samples, n_outputs)
    sample_weight : ndarray of shape (n_samples,) or None

    Returns
    -------
    baseline : Baseline or None
    totals : ndarray of shape (n_samples, n_outputs)
    """
    if kind is None:
        return None, np.zeros_like(y)
    tile_shape = tiling.tile_shape(fields.stacks[0].values.shape[1:])
    focus = tiling.focus_sites(tile_shape)
    features = 0.0
    if kind == "size":
        one_tile = np.broadcast_to(np.zeros(1), (1, *tile_shape))
        features = tiling.counts(fields)[:, None] * focus_features(
            one_tile, focus, kind, len(tile_shape)
        )
    else:
        for tiles in tiling.blocks(fields, _BLOCK):
            phi = focus_features(tiles.values, focus, kind, len(tile_shape))
            features = features + tiles.total(phi)
    coefficients = _least_squares(features, y, sample_weight)
    baseline = Baseline(coefficients, focus, kind, len(tile_shape))
    return baseline, features @ coefficients


def _least_squares(features, y, sample_weight) -> np.ndarray:
    root = np.ones((len(y), 1)) if sample_weight is None else np.sqrt(sample_weight)[:, None]
    features, y = features * root, y * root
    if features.shape[1] == 1:
        return np.linalg.lstsq(features, y, rcond=None)[0]
    norms = np.linalg.norm(features, axis=0)
    norms[norms == 0] = 1.0
    return np.linalg.lstsq(features / norms, y, rcond=_RESOLVED)[0] / norms[:, None]
