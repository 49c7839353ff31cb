"""Training samples of networks: pictures and boxes of them, standardised, with surroundings."""

from __future__ import annotations

import numpy as np

# Channels of a colour picture, and the least scale of one relative to the largest.
_COLOURS, _LEAST_COLOUR = 3, 0.1


def moments(arrays) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return mean and scale of each channel, and the range that `EDNNRegressor` keeps.

    Parameters
    ----------
    arrays : list of ndarray of shape (*grid, n_channels)

    Returns
    -------
    mean, scale : ndarray of shape (n_channels,)
    seen : ndarray of shape (n_channels, 3)
        Least and largest value, and the least span of one picture.
    """
    total, first, second, spans = 0, 0.0, 0.0, []
    reference = arrays[0].reshape(-1, arrays[0].shape[-1])[0].astype(np.float64)
    for values in arrays:
        flat = values.reshape(-1, values.shape[-1]).astype(np.float64) - reference
        total += len(flat)
        first = first + flat.sum(axis=0)
        second = second + (flat**2).sum(axis=0)
        low, high = flat.min(axis=0) + reference, flat.max(axis=0) + reference
        spans.append((low, high))
    mean = first / total
    scale = np.sqrt(np.maximum(second / total - mean**2, 0.0))
    low = np.min([low for low, _ in spans], axis=0)
    high = np.max([high for _, high in spans], axis=0)
    span = np.min([high - low for low, high in spans], axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    if len(scale) == _COLOURS:
        # A colour that a dye does not have is noise alone, which is not to be made as large.
        scale = np.maximum(scale, _LEAST_COLOUR * scale.max())
    return mean + reference, scale, np.stack([low, high, span], axis=1)


def prepared(values, lengths, geometry, mean, scale, box=None):
    """Return pixels with their surroundings, standardised and averaged, channels first.

    Parameters
    ----------
    values : ndarray of shape (*lengths, n_channels)
    lengths : tuple of int
    geometry : Geometry
    mean, scale : ndarray of shape (n_channels,)
    box : tuple of slice, default=None

    Returns
    -------
    ndarray of shape (n_channels, *padded), float32
    """
    positions = geometry.positions(lengths, box)
    # Subtracted in float64 where float32 would not keep small differences of large numbers.
    exact = np.result_type(values.dtype, np.float32)
    around = values[np.ix_(*positions)].astype(exact)
    around -= mean.astype(exact)
    around /= scale.astype(exact)
    around = around.astype(np.float32, copy=False)
    r = geometry.reduction
    if r > 1:
        *planes, height, width, n_channels = around.shape
        around = around.reshape(*planes, height // r, r, width // r, r, n_channels)
        around = around.mean(axis=(-4, -2))
    return np.ascontiguousarray(np.moveaxis(around, -1, 0))
