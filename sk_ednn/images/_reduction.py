"""Choose how many pixels are averaged into one before the networks see a picture."""

from __future__ import annotations

import numpy as np

# Objects stay so many pixels apart where pictures are averaged, and this share of the variance
# within blocks as large as the space between them is kept.
_FINEST, _LEAST_DETAIL = 13.0, 0.75
# Pictures, and pixels along each axis of their middle, from which that share is measured.
_MOST_LOOKED, _LARGEST_LOOKED = 16, 1024
_COARSEST = 4
# Least number of pixels along the shorter side of an averaged picture.
_SHORTEST = 96
# Amounts: pictures from which errors are measured, at least and at most, and their pixels.
_LEAST_COMPARED, _MOST_COMPARED, _MOST_PIXELS = 8, 200, 1 << 24
# Rows of a band, of a number that all reductions divide, also of twice as many pixels.
_BAND, _WHOLE = 96, 24
# Levels of a histogram, those of its coarse form, and standard deviations that they span.
_LEVELS, _KNOTS, _SPAN = 64, 9, 3.0
_PENALTIES = 10.0 ** np.arange(-4.0, 3.0)
# Errors of coarser pictures may be larger by this share, by this share of the error of the mean as
# a prediction, or by so many standard errors of the difference: so much is chance.
_WORSE, _SMALL, _BY_CHANCE = 0.05, 0.01, 0.5
# A cheap model whose error is larger, relative to that of the mean, tells nothing of details; of
# few pictures, some model among several has a small error by chance.
_UNINFORMED = 0.7


def suited_reduction(arrays, totals, counts) -> int:
    """Return the factor by which pictures are averaged, as much as keeps what totals need.

    Parameters
    ----------
    arrays : list of ndarray of shape (*grid, n_channels)
    totals : ndarray of shape (n_pictures, n_outputs)
    counts : bool
        Whether totals are counts, or other amounts such as areas.
    """
    if counts:
        return _suited_to_counts(arrays, totals)
    return _suited_to_amounts(arrays, totals)


def _suited_to_counts(arrays, totals) -> int:
    """Return the factor by which objects are still apart and visible.

    Objects that are evenly spread are ``sqrt(pixels / count)`` pixels from their neighbours. They
    are left some 13 pixels apart, enough for a network that sees 32 pixels to separate them. Small
    objects that are far apart would fade: most of the variance within blocks of that size is kept.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ednn.images._reduction import suited_reduction
    >>> pixel = np.indices((400, 400)).sum(axis=0)[..., None]
    >>> smooth, fine = np.sin(pixel / 5), np.sin(pixel)
    >>> [suited_reduction([x], np.array([[90.0]]), True) for x in (smooth, fine)]
    [3, 1]
    """
    pixels = np.array([np.prod(values.shape[-3:-1], dtype=float) for values in arrays])
    densest = totals.sum(axis=0).max() / pixels.sum()
    spacing = 1 / np.sqrt(densest) if densest > 0 else _FINEST
    block = int(min(spacing, _shortest(arrays)))
    looked = [_centre(values) for values in arrays[:: -(-len(arrays) // _MOST_LOOKED)]]
    variance = sum(_within_blocks(values, block) for values in looked)
    for reduction in range(min(_coarsest(arrays), int(max(spacing // _FINEST, 1))), 1, -1):
        lost = sum(_within_blocks(values, reduction) for values in looked)
        if lost <= (1 - _LEAST_DETAIL) * variance:
            return reduction
    return 1


def _suited_to_amounts(arrays, totals) -> int:
    """Return the largest factor with which a cheap model is not clearly worse.

    The model is a ridge regression on histograms of the averaged pixels, of their means over four
    and of the differences between neighbours; its errors are those of pictures left out, one by
    one. What it needs of the details, such as the area of fine structures, a network needs too.
    Where it learns nothing, or pictures are too few to tell, nothing is averaged.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ednn.images._reduction import suited_reduction
    >>> rng = np.random.default_rng(0)
    >>> noise = rng.normal(size=(20, 400, 400, 1))
    >>> sizes = rng.integers(40, 300, size=20)
    >>> for picture, size in zip(noise, sizes):
    ...     picture[20 : 20 + size, 20 : 20 + size] += 3.0
    >>> suited_reduction(list(noise), sizes[:, None] ** 2.0 + 0.5, False)
    4
    """
    coarsest = _coarsest(arrays)
    known = np.flatnonzero(np.isfinite(totals).all(axis=1))
    if coarsest == 1 or len(known) < _LEAST_COMPARED:
        return 1
    known = known[_few(arrays, known)]
    pixels = np.array([np.prod(arrays[k].shape[:-1], dtype=float) for k in known])
    density = totals[known] / pixels[:, None]
    spread = density.std(axis=0)
    density = density[:, spread > 0] / spread[spread > 0]
    if not density.shape[1] or len(known) < _LEAST_COMPARED:
        return 1
    levels, most = _levels([arrays[k] for k in known]), _MOST_PIXELS / len(known)
    errors = {
        reduction: _errors_left_out(
            np.stack([_features(arrays[k], reduction, levels, most) for k in known]), density
        )
        for reduction in range(1, coarsest + 1)
    }
    least = min(errors.values(), key=np.mean)
    of_mean = np.abs(density - density.mean(axis=0)).mean()
    if least.mean() > _UNINFORMED * (1 - 1 / np.sqrt(len(known))) * of_mean:
        return 1
    for reduction in range(coarsest, 1, -1):
        worse = errors[reduction] - least
        chance = _BY_CHANCE * worse.std() / np.sqrt(len(worse))
        if worse.mean() <= max(_WORSE * least.mean(), _SMALL * of_mean, chance):
            return reduction
    return 1


def _shortest(arrays) -> int:
    return min(min(values.shape[-3:-1]) for values in arrays)


def _coarsest(arrays) -> int:
    return max(1, min(_COARSEST, _shortest(arrays) // _SHORTEST))


def _few(arrays, known) -> slice:
    """Return a slice that leaves enough pictures, and not too many pixels."""
    pixels = sum(np.prod(arrays[k].shape[:-1], dtype=float) for k in known)
    step = max(len(known) / _MOST_COMPARED, pixels / _MOST_PIXELS)
    return slice(None, None, min(int(np.ceil(step)), max(1, len(known) // _LEAST_COMPARED)))


def _bands(values, most):
    """Yield bands of rows of a picture, evenly spread, with so many pixels in all, or one band."""
    height = values.shape[-3]
    n = max(1, height // _BAND)
    ends = (np.linspace(0, height, n + 1) / _WHOLE).round().astype(int) * _WHOLE
    ends[-1] = height
    size = np.prod(values.shape[:-1], dtype=float)
    n_kept = max(1, int(min(most, size) * n // size))
    for k in np.linspace(0, n - 1, n_kept).round().astype(int):
        yield values[..., ends[k] : ends[k + 1], :, :]


def _levels(arrays) -> tuple[np.ndarray, np.ndarray]:
    """Return the middle of the levels of each channel, and their scale."""
    most = _MOST_PIXELS / len(arrays)
    middle, _ = _moments(arrays, most, 0.0)
    _, square = _moments(arrays, most, middle)
    scale = np.sqrt(square)
    return middle, np.where(scale > 0, scale, 1.0)


def _moments(arrays, most, middle) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean of the pixels, and of their squares, from a middle."""
    n, first, second = 0, np.zeros(arrays[0].shape[-1]), np.zeros(arrays[0].shape[-1])
    for values in arrays:
        for band in _bands(values, most):
            flat = band.reshape(-1, band.shape[-1]) - middle
            n, first, second = (
                n + len(flat),
                first + flat.sum(axis=0),
                second + (flat**2).sum(axis=0),
            )
    return first / n, second / n


def _features(values, reduction, levels, most=np.inf) -> np.ndarray:
    """Return mean features of a picture that is averaged over squares of so many pixels."""
    middle, scale = levels
    bands, pixels = [], []
    for band in _bands(values, most):
        # Differences of large numbers are lost in float32.
        fine = averaged(((band - middle) / scale).astype(np.float32), reduction)
        if fine.shape[-1] > 1:
            # Differences between colours, which light changes less.
            fine = np.concatenate([fine, np.diff(fine, axis=-1)], axis=-1)
        down, right = (_histograms(np.abs(np.diff(fine, axis=axis))) for axis in (-3, -2))
        parts = (_histograms(fine), _histograms(averaged(fine, 2)), down + right)
        bands.append(np.concatenate([part.ravel() for part in parts]))
        pixels.append(band[..., 0].size)
    return np.average(bands, axis=0, weights=pixels)


def averaged(values, side) -> np.ndarray:
    """Return the means of squares of so many pixels; what is left at the edges is left out."""
    rows, columns = (n // side for n in values.shape[-3:-1])
    inside = values[..., : rows * side, : columns * side, :]
    shape = (*values.shape[:-3], rows, side, columns, side, values.shape[-1])
    return inside.reshape(shape).mean(axis=(-4, -2), dtype=np.float32)


def _histograms(values) -> np.ndarray:
    """Return the shares of pixels at each level, (n_channels, n_knots), where levels overlap."""
    index = ((values / _SPAN + 1) * (_LEVELS / 2)).clip(0, _LEVELS - 1).astype(np.uint8)
    fine = np.stack(
        [np.bincount(of.ravel(), minlength=_LEVELS) for of in np.moveaxis(index, -1, 0)]
    )
    position = np.linspace(0, _KNOTS - 1, _LEVELS)
    ramps = (1 - np.abs(position[:, None] - np.arange(_KNOTS))).clip(0)
    return fine @ ramps / index[..., 0].size


def _errors_left_out(features, targets) -> np.ndarray:
    """Return mean absolute errors of a ridge regression for each sample, left out of its fit."""
    x = features - features.mean(axis=0)
    scale = x.std(axis=0)
    x = x[:, scale > 0] / scale[scale > 0]
    y = targets - targets.mean(axis=0)
    gram = x @ x.T / max(1, x.shape[1])
    values, vectors = np.linalg.eigh(gram)
    values = values.clip(0)
    errors = []
    for penalty in _PENALTIES:
        # The mean is fitted, too.
        hat = (vectors * (values / (values + penalty))) @ vectors.T + 1 / len(x)
        left_out = (y - hat @ y) / (1 - np.diag(hat)).clip(1e-9)[:, None]
        errors.append(np.abs(left_out).mean(axis=1))
    return min(errors, key=np.mean)


def _centre(values):
    """Return the middle of a picture, or of the middle plane of a stack."""
    plane = values if values.ndim == 3 else values[len(values) // 2]
    starts = [max(0, (n - _LARGEST_LOOKED) // 2) for n in plane.shape[:2]]
    return plane[tuple(slice(start, start + _LARGEST_LOOKED) for start in starts)]


def _within_blocks(values, side) -> float:
    """Return the variance within squares of so many pixels, their mean, summed over channels."""
    rows, columns = (n // side for n in values.shape[:2])
    blocks = values[: rows * side, : columns * side].reshape(rows, side, columns, side, -1)
    return float(blocks.var(axis=(1, 3), dtype=np.float64).mean(axis=(0, 1)).sum())
