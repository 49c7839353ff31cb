"""Baselines: the part of y that is linear in extensive features of a system.

Centring targets by their mean would add a constant per *sample*, whatever its size. Predictions
for systems larger than the training systems would then be wrong by a multiple of that constant.
A baseline distributes the mean over the sites instead, so that totals remain extensive.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._utils.stored import stored
from ..fields._channels import from_channels_last, grid_axes
from ..tiling._windows import OUTSIDE

KINDS = (None, "size", "content")

# Features that are collinear to this relative accuracy differ only by round-off. An example is the
# number of pixels and the contents of structures of one size that were drawn in float32.
_RESOLVED = 1e-6
# Tiles per block when contents are summed up.
_BLOCK_TILES = 1 << 16


@stored("Baseline")
@dataclass(frozen=True)
class Baseline:
    """A contribution of each focus, ``b @ phi(focus)``.

    Attributes
    ----------
    coefficients : ndarray of shape (n_features, n_outputs)
        Coefficients of the number of sites and, for kind "content", of the sum of each channel
        over the focus. For tiles that are not windows, each of the first numbers is a channel.
    focus : tuple of slice
        Slices of the focus in a tile; empty for tiles that are not windows.
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
        """Return the gradient of the first contribution with respect to each tile."""
        out = np.zeros(tiles.shape)
        if self.kind == "content":
            by_channel = self.coefficients[1:, 0]
            if not self.focus:
                out[:, : len(by_channel)] = by_channel
            else:
                has_channels = self.tile_ndim > len(self.focus)
                out[(slice(None), *self.focus)] = by_channel if has_channels else by_channel[0]
        return out

    def gradient(self, tiling, field_shape) -> np.ndarray:
        """Return the gradient of the first total with respect to a field, of shape field_shape."""
        if self.kind == "size":
            return np.zeros(field_shape)
        # The number of foci that contain a site is a product over the axes.
        gradient = self.coefficients[1:, 0]
        grid = [field_shape[axis] for axis in grid_axes(tiling.channel_axis, len(field_shape))]
        counts = np.ones(())
        for positions, part, n in zip(
            tiling.padded_positions(field_shape), self.focus, grid, strict=True
        ):
            sites = positions[part.start : len(positions) - part.start]
            counts = counts[..., None] * np.bincount(sites[sites != OUTSIDE], minlength=n)
        if tiling.channel_axis is None:
            return counts * gradient[0]
        return from_channels_last(counts[..., None] * gradient, tiling.channel_axis)


def focus_features(tiles, focus, kind, tile_ndim, n_contents=0) -> np.ndarray:
    """Return phi of tiles of shape (*batch, *tile_shape), of shape (n_tiles, 1 or 1 + n_contents).

    Views of overlapping windows are summed without copying them. Tiles without a focus are sites
    of size 1 whose first numbers are their contents.
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
    """Fit y by least squares on extensive features of each sample.

    The features of a term are the number of its tiles (or of the sites of their foci) and their
    contents. If the tilings of all terms partition the same sites, only the first term has
    features. Collinear features, such as the numbers of two species in a fixed ratio, get the
    minimum-norm solution.

    Parameters
    ----------
    kind : {None, "size", "content"}
    tilings : list of AbstractTiling
        The tiling of each term.
    systems : Systems
    y : ndarray of shape (n_samples, n_outputs)
    sample_weight : ndarray of shape (n_samples,) or None

    Returns
    -------
    baselines : list of Baseline or None
        One for each term.
    totals : ndarray of shape (n_samples, n_outputs)
        Sum of the baselines for each sample.
    """
    if kind is None:
        return [None] * len(tilings), np.zeros_like(y)
    with_features = tilings[:1] if all(tiling.shares_sites for tiling in tilings) else tilings
    features = [_summed_features(kind, tiling, systems) for tiling in with_features]
    all_features = np.hstack(features)
    coefficients = _least_squares(all_features, y, sample_weight)
    baselines: list[Baseline | None] = [None] * len(tilings)
    parts = np.split(coefficients, np.cumsum([part.shape[1] for part in features])[:-1])
    for k, (tiling, part) in enumerate(zip(with_features, parts, strict=True)):
        tile_shape = tiling.shape_of_tiles(systems)
        baselines[k] = Baseline(part, tiling.focus_sites(tile_shape), kind, len(tile_shape))
    return baselines, all_features @ coefficients


def _summed_features(kind, tiling, systems) -> np.ndarray:
    tile_shape = tiling.shape_of_tiles(systems)
    focus, n_contents = tiling.focus_sites(tile_shape), tiling.n_contents(systems)
    if kind == "size":
        tile = np.broadcast_to(np.zeros(1), (1, *tile_shape))
        size = focus_features(tile, focus, kind, len(tile_shape))
        return tiling.counts(systems)[:, None] * size
    features = np.zeros((systems.n_samples, 1 + n_contents))
    for tiles in tiling.blocks(systems, _BLOCK_TILES):
        phi = focus_features(tiles.values, focus, kind, len(tile_shape), n_contents)
        features = features + tiles.total(phi)
    return features


def baseline_totals(baselines, tilings, systems, y) -> np.ndarray:
    """Return the sum of fitted baselines for each sample, of the shape of y."""
    totals = np.zeros_like(y)
    for baseline, tiling in zip(baselines, tilings, strict=True):
        if baseline is not None:
            for tiles in tiling.blocks(systems, _BLOCK_TILES):
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
