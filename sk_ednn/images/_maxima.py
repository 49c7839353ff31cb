"""Totals as weighted counts of local maxima at several scales."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from .._utils.stored import stored
from ._geometry import BANDS, CONTEXT, FOCUS, PLANES

# Standard deviations of the filters, in averaged pixels: the network sees as far as the last one.
SCALES = (1.0, 1.5, 2.0, 3.0, 4.0)
# Between adjacent heights a maximum counts by its height, in scales of the pixels.
HEIGHTS = np.array([0.0, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6])
# Where the kernels end, in standard deviations.
_TRUNCATE = 2.5
# A maximum is the largest value so many pixels around; equal ones that touch share its count.
_AROUND, _TIES = 2, 1
_EQUAL = 1e-3


@stored("MaximaCounter")
@dataclass(frozen=True)
class MaximaCounter:
    """Count bright and dark spots by their height, each scale and channel with separate weights.

    Pictures are smoothed by Gaussians of several widths. Each local maximum of the Laplacian, and
    of its negative, adds to the total by its height, so that the sum is extensive, and shows no
    constant that is added to a channel.

    Attributes
    ----------
    mean, scale : ndarray of shape (n_channels,)
        Standardisation of the pixels.
    weights : ndarray of shape (n_outputs, n_channels * n_scales * 2, n_heights)
        Not negative: what a maximum adds to each total.
    edges : ndarray of shape (BANDS,)
        By how much tiles near an edge count more than others.
    share : ndarray of shape (n_outputs,)
        Part in the average with the networks, between 0 and 1.
    """

    mean: np.ndarray
    scale: np.ndarray
    weights: np.ndarray
    edges: np.ndarray
    share: np.ndarray

    @property
    def n_outputs(self) -> int:
        """Number of totals."""
        return len(self.weights)

    def dense_predict(self, padded, tiling) -> np.ndarray:
        """Return the contributions of all tiles of a region with its context.

        Parameters
        ----------
        padded : ndarray of shape (1, *padded, n_channels)
            Of `GridTiling.padded`.
        tiling : GridTiling

        Returns
        -------
        ndarray of shape (n_tiles, n_outputs), float64
        """
        values = standardised(padded[0], self.mean, self.scale, tiling.focus[-1] // FOCUS)
        used = self.weights.any(axis=(0, 2))
        n_tiles, found = maxima(values, used)
        out = np.zeros((n_tiles, self.n_outputs))
        for kind, tiles, heights, shares in found:
            parts = ramps(heights) * shares[:, None]
            for k, weights in enumerate(self.weights[:, kind]):
                out[:, k] += np.bincount(tiles, parts @ weights, n_tiles)
        return out

    def check(self, n_outputs, n_channels) -> None:
        """Raise ValueError if its parts contradict each other, or a model."""
        n_kinds = n_channels * len(SCALES) * 2
        shapes = {
            "mean": (n_channels,),
            "scale": (n_channels,),
            "weights": (n_outputs, n_kinds, len(HEIGHTS) - 1),
            "edges": (BANDS,),
            "share": (n_outputs,),
        }
        for name, shape in shapes.items():
            values = getattr(self, name)
            if not isinstance(values, np.ndarray) or values.shape != shape:
                raise ValueError(f"{name} of its maxima_ has not the shape {shape}")
            if not np.isfinite(values).all():
                raise ValueError(f"{name} of its maxima_ is not finite")
        if (self.weights < 0).any() or (self.share < 0).any() or (self.share > 1).any():
            raise ValueError("weights of its maxima_ are out of range")


def standardised(values, mean, scale, reduction) -> np.ndarray:
    """Return standardised and averaged pixels (n_channels, n_planes, height, width), float32.

    Parameters
    ----------
    values : ndarray of shape (*padded, n_channels)
    mean, scale : ndarray of shape (n_channels,)
    reduction : int
    """
    around = values.astype(np.float32)
    around -= mean.astype(np.float32)
    around /= scale.astype(np.float32)
    if reduction > 1:
        *planes, height, width, n_channels = around.shape
        blocks = (height // reduction, reduction, width // reduction, reduction, n_channels)
        around = around.reshape(*planes, *blocks).mean(axis=(-4, -2))
    return in_planes(np.moveaxis(around, -1, 0))


def in_planes(values) -> np.ndarray:
    """Return channels of a picture as those of a stack of one plane."""
    return values[:, None] if values.ndim == 3 else values


def maxima(values, used=None):
    """Find the local maxima of the Laplacian of pixels at all scales.

    Parameters
    ----------
    values : ndarray of shape (n_channels, n_planes, height, width), float32
        With context around; of one plane, or with `PLANES` more on either side.
    used : ndarray of bool, default=None
        Which kinds of maxima are wanted.

    Returns
    -------
    n_tiles : int
    found : iterator of (kind, tiles, heights, shares)
        The number of the kind (channels, then scales, then bright and dark); the tile of each
        maximum, counted row by row; its height; and 1, or less where several are equal.
    """
    n_channels, n_planes, *lengths = values.shape
    deep = PLANES if n_planes > 1 else 0
    grid = (n_planes - 2 * deep, *((n - 2 * CONTEXT) // FOCUS for n in lengths))
    used = np.ones(n_channels * len(SCALES) * 2, bool) if used is None else used
    return int(np.prod(grid)), _found(values, used, deep, grid)


def _found(values, used, deep, grid):
    margin = _AROUND + _TIES
    cut = CONTEXT - margin - 1
    inner = (slice(deep, values.shape[1] - deep), *(slice(margin, -margin),) * 2)
    thick = 3 if deep else 1
    around = (thick, 2 * _AROUND + 1, 2 * _AROUND + 1)
    near = (thick, 2 * _TIES + 1, 2 * _TIES + 1)
    for channel, scale in np.ndindex(len(values), len(SCALES)):
        kinds = 2 * (channel * len(SCALES) + scale) + np.arange(2)
        if not used[kinds].any():
            continue
        sigma = SCALES[scale]
        smooth = ndimage.gaussian_filter(
            values[channel], (0, sigma, sigma), mode="nearest", truncate=_TRUNCATE
        )[:, cut:-cut, cut:-cut]
        middle = smooth[:, 1:-1, 1:-1]
        sides = smooth[:, 2:, 1:-1] + smooth[:, :-2, 1:-1]
        sides = sides + (smooth[:, 1:-1, 2:] + smooth[:, 1:-1, :-2])
        laplacian = sigma**2 * (sides - 4 * middle)
        for kind, signed in zip(kinds, (-laplacian, laplacian), strict=True):
            if not used[kind]:
                continue
            top = ndimage.maximum_filter(signed, around, mode="nearest")
            highest = (signed >= (1 - _EQUAL) * top) & (signed > 0)
            mean = ndimage.uniform_filter(highest.astype(np.float32), near, mode="nearest")
            where = np.nonzero(highest[inner])
            heights = signed[inner][where].astype(np.float64)
            equal = np.rint(mean[inner][where].astype(np.float64) * np.prod(near))
            tiles = np.ravel_multi_index((where[0], *(w // FOCUS for w in where[1:])), grid)
            yield kind, tiles, heights, 1 / np.maximum(equal, 1)


def ramps(heights) -> np.ndarray:
    """Return for each height how much of the step between adjacent `HEIGHTS` it climbs.

    Examples
    --------
    >>> from sk_ednn.images._maxima import ramps
    >>> ramps([0.3, 5.0])
    array([[1. , 1. , 1. , 0.5, 0. , 0. ],
           [1. , 1. , 1. , 1. , 1. , 1. ]])
    """
    low, high = HEIGHTS[:-1], HEIGHTS[1:]
    return ((np.asarray(heights)[:, None] - low) / (high - low)).clip(0, 1)
