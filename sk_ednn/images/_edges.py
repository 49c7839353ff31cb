"""Tiles near edges of pictures: which ones see mirror images, and their weights."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from ._geometry import BANDS, CONTEXT

# Boxes of fewer tiles along an axis are left out.
LEAST_BOX = 4
# Distance of boxes from an edge in tiles, so that their surroundings are true.
_INNER = 1
# Steps in which factors are found, and limits of the factors.
_BALANCING_STEPS, _FACTORS = 100, (0.5, 1.5)


def inner_ranges(weights, bands):
    """Return the range of tiles along rows and columns that see no mirror images."""
    far = (bands == BANDS * (BANDS + 2)) & (weights == 1)
    far = far.flatten(0, -3).all(0) if far.ndim > 2 else far
    ranges = []
    for axis in (1, 0):
        along = torch.nonzero(far.any(axis)).ravel()
        first, last = (int(along[0]), int(along[-1])) if len(along) else (0, -1)
        ranges.append((first + _INNER, last + 1 - _INNER))
    return ranges


def reflected(values):
    """Return a sample of values (n_channels, *grid) with mirror images around its planes."""
    padded = nn.functional.pad(values.flatten(0, -3), (CONTEXT,) * 4, mode="reflect")
    return padded.reshape(1, *values.shape[:-2], *padded.shape[-2:])


def bands_of(side):
    """Return the pairs of bands of a square with `side` tiles along each axis."""
    along = np.minimum(np.arange(side), np.arange(side)[::-1]).clip(0, BANDS)
    return torch.from_numpy(np.add.outer(along * (BANDS + 1), along))


def balanced_edges(seen, true):
    """Return additions to the weights of bands with which their sums are the true ones.

    Parameters
    ----------
    seen, true : ndarray of shape (BANDS + 1, BANDS + 1)
        Sums of contributions for each pair of bands; `seen` without weights.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ednn.images._edges import balanced_edges
    >>> factors = np.array([0.8, 0.9, 1.0, 1.0])
    >>> seen = np.ones((4, 4))
    >>> balanced_edges(seen, seen * np.outer(factors, factors)).round(6)
    array([-0.2, -0.1,  0. ])
    """
    seen, true = seen + seen.T, true + true.T
    factors = np.ones(BANDS + 1)
    for _ in range(_BALANCING_STEPS):
        ratio = true.sum(1) / np.maximum(factors * (seen @ factors), np.finfo(float).tiny)
        factors[:-1] *= np.sqrt(ratio[:-1])
    return factors[:-1].clip(*_FACTORS) - 1
