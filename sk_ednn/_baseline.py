"""The part of y that is linear in extensive features of the field.

Centring targets the usual way adds a constant once per *sample*, whatever its size: a model
trained on small systems is then wrong by that constant times the ratio of sizes. Here the mean is
carried by the sites instead, so that the total stays extensive.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

KINDS = (None, "size", "content")

# Tiles read at a time when contents are summed up.
_BLOCK = 1 << 16


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
    """

    coefficients: np.ndarray
    focus: tuple[slice, ...]
    kind: str

    def predict(self, tiles) -> np.ndarray:
        """Return the contributions of tiles (n, *tile_shape), shape (n, n_outputs)."""
        return focus_features(tiles, self.focus, self.kind) @ self.coefficients


def focus_features(tiles, focus, kind) -> np.ndarray:
    """Return phi of tiles of shape (n, *tile_shape): (n, 1 or 1 + n_channels)."""
    foci = tiles[(slice(None), *focus)]
    axes = tuple(range(1, 1 + len(focus)))
    n_sites = float(np.prod([foci.shape[axis] for axis in axes]))
    sizes = np.full((len(foci), 1), n_sites)
    if kind == "size":
        return sizes
    content = foci.sum(axis=axes, dtype=np.float64).reshape(len(foci), -1)
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
        features = tiling.counts(fields)[:, None] * focus_features(one_tile, focus, kind)
    else:
        for tiles in tiling.blocks(fields, _BLOCK):
            features = features + tiles.total(focus_features(tiles.array(), focus, kind))
    root = np.ones(len(y)) if sample_weight is None else np.sqrt(sample_weight)
    coefficients = np.linalg.lstsq(features * root[:, None], y * root[:, None], rcond=None)[0]
    return Baseline(coefficients, focus, kind), features @ coefficients
