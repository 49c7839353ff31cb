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
        flat = values.reshape(-1, values.shape[-1])
        total += len(flat)
        sums, squares, low, high = _sums(flat, reference)
        first, second = first + sums, second + squares
        spans.append((low + reference, high + reference))
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


def _sums(flat, reference):
    """Return the sums, sums of squares, least and largest of pixels (n, n_channels) from a level.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ednn.images._samples import _sums
    >>> pixels = np.array([[7, 200], [9, 201], [9, 190]], dtype=np.uint8)
    >>> for values in (pixels, pixels.astype(np.float32)):
    ...     print([each.tolist() for each in _sums(values, np.array([8.0, 200.0]))])
    [[1.0, -9.0], [3.0, 101.0], [-1.0, -10.0], [1.0, 1.0]]
    [[1.0, -9.0], [3.0, 101.0], [-1.0, -10.0], [1.0, 1.0]]
    """
    if flat.dtype == np.uint8:
        # From the number of pixels of each level, as exact, and several times as fast.
        numbers = np.stack([np.bincount(along, minlength=256) for along in flat.T], axis=1)
        levels = np.arange(256.0)[:, None] - reference
        seen = numbers > 0
        low = np.where(seen, levels, np.inf).min(axis=0)
        high = np.where(seen, levels, -np.inf).max(axis=0)
        return (numbers * levels).sum(axis=0), (numbers * levels**2).sum(axis=0), low, high
    shifted = flat.astype(np.float64) - reference
    return shifted.sum(axis=0), (shifted**2).sum(axis=0), shifted.min(axis=0), shifted.max(axis=0)


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
