"""The part of y that is linear in extensive features of the field.

Centring targets the usual way adds a constant once per *sample*, whatever its size: a model
trained on small systems is then wrong by that constant times the ratio of sizes. Here the mean is
carried by the sites instead, so that the total stays extensive.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._utils.stored import stored
from ..fields._channels import grid_axes
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
        Of the number of sites and, for kind "content", of the sum of each channel (or of each of
        the first numbers of a tile that is no window).
    focus : tuple of slice
        Where the focus lies in a tile; empty where a tile is no window.
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
        n_contents = len(self.coefficients) - 1
        features = focus_features(tiles, self.focus, self.kind, self.tile_ndim, n_contents)
        return features @ self.coefficients

    def tile_gradients(self, tiles) -> np.ndarray:
        """Return how the first contribution changes with each number of tiles, like `tiles`."""
        out = np.zeros(tiles.shape)
        if self.kind == "content":
            of_contents = self.coefficients[1:, 0]
            if not self.focus:
                out[:, : len(of_contents)] = of_contents
            else:
                has_channels = self.tile_ndim > len(self.focus)
                out[(slice(None), *self.focus)] = of_contents if has_channels else of_contents[0]
        return out

    def gradient(self, tiling, field_shape) -> np.ndarray:
        """Return how the first total changes with each number of a field, of shape field_shape."""
        if self.kind == "size":
            return np.zeros(field_shape)
        # Foci do not overlap: how often a site lies in one is a product over the axes.
        channel, slope = tiling.channel_axis, np.ones(1)
        n_sites = [field_shape[axis] for axis in grid_axes(channel, len(field_shape))]
        for places, part, n in zip(
            tiling.padded_positions(field_shape), self.focus, n_sites, strict=True
        ):
            inside = places[part.start : len(places) - part.start]
            held = np.bincount(inside[inside != OUTSIDE], minlength=n)
            slope = slope[..., None, :] * held[:, None]
        slope = slope * self.coefficients[1:, 0]
        return slope[..., 0] if channel is None else np.moveaxis(slope, -1, channel)


def focus_features(tiles, focus, kind, tile_ndim, n_contents=0) -> np.ndarray:
    """Return phi of tiles of shape (*batch, *tile_shape): (n_tiles, 1 or 1 + n_contents).

    The focus is summed where it lies: of a view of overlapping windows, no window is copied. Tiles
    without a focus are sites of size 1 whose first numbers are their contents.
    """
    n_batch = tiles.ndim - tile_ndim
    n_tiles = int(np.prod(tiles.shape[:n_batch]))
    if not focus:
        sizes = np.ones((n_tiles, 1))
        if kind == "size":
            return sizes
        content = tiles.reshape(n_tiles, -1)[:, :n_contents].astype(np.float64)
        return np.hstack([sizes, content])
    foci = tiles[(*[slice(None)] * n_batch, *focus)]
    axes = tuple(range(n_batch, n_batch + len(focus)))
    sizes = np.full((n_tiles, 1), float(np.prod([foci.shape[axis] for axis in axes])))
    if kind == "size":
        return sizes
    content = foci.sum(axis=axes, dtype=np.float64).reshape(n_tiles, -1)
    return np.hstack([sizes, content])


def fit_baselines(kind, tilings, systems, y, sample_weight):
    """Fit y by least squares on extensive features, and return what they give each sample.

    Each term has features: the number of its tiles (or of the sites of their foci), and their
    content. Where the tilings of all terms partition the same sites, the first term has them all.
    Where features are collinear, as the numbers of two species that occur in one ratio are, the
    coefficients of least norm are taken.

    Parameters
    ----------
    kind : {None, "size", "content"}
    tilings : list of AbstractTiling
        Of the terms.
    systems : Systems
    y : ndarray of shape (n_samples, n_outputs)
    sample_weight : ndarray of shape (n_samples,) or None

    Returns
    -------
    baselines : list of Baseline or None
        One for each term.
    totals : ndarray of shape (n_samples, n_outputs)
    """
    if kind is None:
        return [None] * len(tilings), np.zeros_like(y)
    own = tilings[:1] if all(tiling.shares_sites for tiling in tilings) else tilings
    features = [_summed_features(kind, tiling, systems) for tiling in own]
    together = np.hstack(features)
    coefficients = _least_squares(together, y, sample_weight)
    baselines: list[Baseline | None] = [None] * len(tilings)
    parts = np.split(coefficients, np.cumsum([part.shape[1] for part in features])[:-1])
    for k, (tiling, part) in enumerate(zip(own, parts, strict=True)):
        tile_shape = tiling.shape_of_tiles(systems)
        baselines[k] = Baseline(part, tiling.focus_sites(tile_shape), kind, len(tile_shape))
    return baselines, together @ coefficients


def _summed_features(kind, tiling, systems) -> np.ndarray:
    tile_shape = tiling.shape_of_tiles(systems)
    focus, n_contents = tiling.focus_sites(tile_shape), tiling.n_contents(systems)
    if kind == "size":
        one_tile = np.broadcast_to(np.zeros(1), (1, *tile_shape))
        of_one = focus_features(one_tile, focus, kind, len(tile_shape))
        return tiling.counts(systems)[:, None] * of_one
    features = np.zeros((systems.n_samples, 1 + n_contents))
    for tiles in tiling.blocks(systems, _BLOCK):
        phi = focus_features(tiles.values, focus, kind, len(tile_shape), n_contents)
        features = features + tiles.total(phi)
    return features


def baseline_totals(baselines, tilings, systems, y) -> np.ndarray:
    """Return what fitted baselines give each sample, of the shape of y."""
    totals = np.zeros_like(y)
    for baseline, tiling in zip(baselines, tilings, strict=True):
        if baseline is not None:
            for tiles in tiling.blocks(systems, _BLOCK):
                totals = totals + tiles.total(baseline.predict(tiles.values))
    return totals


def _least_squares(features, y, sample_weight) -> np.ndarray:
    root = np.ones((len(y), 1)) if sample_weight is None else np.sqrt(sample_weight)[:, None]
    features, y = features * root, y * root
    if features.shape[1] == 1:
        return np.linalg.lstsq(features, y, rcond=None)[0]
    norms = np.linalg.norm(features, axis=0)
    norms[norms == 0] = 1.0
    return np.linalg.lstsq(features / norms, y, rcond=_RESOLVED)[0] / norms[:, None]
