"""Warnings of data that can be fitted, and will not carry over to other sizes."""

from __future__ import annotations

import warnings

import numpy as np

from ..exceptions import DataWarning, ExtensivityWarning

# How near a part of standardised totals is to a mean of 0 and a spread of 1.
_NEARLY = 0.05
# Totals that grow with less than this power of the size do not grow with it; and how much larger
# the large fields must be, how many there must be, and how sure their means, to tell.
_POWER = 0.25
_LARGER = 1.5
_LEAST = 5
_STANDARD_ERRORS = 5.0
# How many different integers may be labels, how many values are looked at, how near the ends of a
# turn angles come that fill it, and what part of the mean a bin of a turn holds at least.
_LABELS = (3, 12)
_LOOKED_AT = 1 << 20
_END = 0.03
_FILLED = 0.5
_BINS = 8

# An axis of at most so many sites beside axes that are all so long, and so many times longer, is
# taken for one of channels.
_MOST_CHANNELS = 4
_LONG = 8
_TIMES_LONGER = 4


def looks_like_channels(field_shape) -> int | None:
    """Return the axis of a field that looks like channels, 0 or -1, or None.

    Parameters
    ----------
    field_shape : tuple of int
    """
    for axis, others in ((-1, field_shape[:-1]), (0, field_shape[1:])):
        n = field_shape[axis]
        if others and n <= _MOST_CHANNELS and min(others) >= max(_LONG, _TIMES_LONGER * n):
            return axis
    return None


def warn_of_channels(tiling, fields, stacklevel=2) -> None:
    """Warn of a first or last axis that looks like channels, which the tiling takes for sites."""
    if getattr(tiling, "channel_axis", 0) is not None:
        return
    for stack in fields.stacks:
        shape = stack.values.shape[1:]
        axis = looks_like_channels(shape)
        if axis is not None:
            warnings.warn(
                f"Fields of shape {shape} have {shape[axis]} site(s) along their "
                f"{'first' if axis == 0 else 'last'} axis and many along the others. If these are "
                f"channels, such as the colours of a picture, set channel_axis={axis} of the "
                "tiling; now they are cut into tiles as sites. If they are sites, silence this "
                "with warnings.simplefilter('ignore', sk_ednn.exceptions.DataWarning).",
                DataWarning,
                stacklevel=stacklevel,
            )
            return


def warn_of_standardised(y, stacklevel=2) -> None:
    """Warn of totals that were standardised, or are a part of such: mean near 0, spread near 1.

    Not of a mean of 0 alone, which what is left of a fit of extensive features has by right.
    """
    y = np.asarray(y, dtype=np.float64)
    spread, mean = y.std(axis=0), np.abs(y.mean(axis=0))
    if len(y) > 10 and np.all(mean < _NEARLY) and np.all(np.abs(spread - 1) < _NEARLY):
        warnings.warn(
            "y has mean 0 and standard deviation 1, or nearly so, as a StandardScaler or a "
            "TransformedTargetRegressor would make it. A constant taken off per sample is not "
            "extensive: predictions at other sizes will be wrong by it. Give the raw totals; "
            "they are scaled inside, extensively.",
            ExtensivityWarning,
            stacklevel=stacklevel,
        )


def warn_of_means(y, fields, stacklevel=2) -> None:
    """Warn of targets that are as large for large fields as for small ones: means, not totals.

    Told from the third of the samples with the smallest fields and the third with the largest;
    where all have one size it cannot be told.
    """
    sizes = fields.sizes
    low, high = np.quantile(sizes, [1 / 3, 2 / 3])
    small, large = sizes <= low, sizes >= high
    ratio = sizes[large].mean() / max(sizes[small].mean(), np.finfo(float).tiny)
    if ratio < _LARGER or min(small.sum(), large.sum()) < _LEAST:
        return
    means = np.stack([y[part].mean(axis=0) for part in (small, large)])
    errors = np.stack([y[part].std(axis=0) / np.sqrt(part.sum()) for part in (small, large)])
    if np.any(np.abs(means) <= _STANDARD_ERRORS * errors) or np.any(np.prod(means, axis=0) <= 0):
        return
    powers = np.log(means[1] / means[0]) / np.log(ratio)
    if np.all(np.abs(powers) < _POWER):
        warnings.warn(
            f"y does not grow with the size of the fields: its mean is {means[0, 0]:.4g} over the "
            f"smallest third of them and {means[1, 0]:.4g} over the largest, which are "
            f"{ratio:.3g} times as large. If it holds means or values per site, multiply them by "
            "the number of sites: totals are summed over tiles.",
            ExtensivityWarning,
            stacklevel=stacklevel,
        )


def warn_of_wide_context(tiling, fields, stacklevel=2) -> None:
    """Warn of periodic fields that context goes around, so that each tile sees all of them.

    Not of tiles that are only somewhat wider than a field: what is periodic, such as a crystal,
    does look like that.
    """
    if getattr(tiling, "boundary", None) != "periodic":
        return
    for stack in fields.stacks:
        field_shape = stack.values.shape[1:]
        window = tiling.tile_shape(field_shape)
        sites = tiling.focus_sites(window)
        lengths = np.multiply(tiling.tile_grid(field_shape), tiling.focus_shape(window)).tolist()
        for length, site, wide in zip(lengths, sites, window, strict=False):
            context = max(site.start, wide - site.stop)
            if 2 * context <= length:
                continue
            warnings.warn(
                f"The context, {context} sites, is more than half of a field of shape "
                f"{field_shape}: each tile sees all of the field, and parts of it twice. Larger "
                "fields look otherwise, so what is learned may not carry over to them. Take a "
                f"context of at most {length // 2}, or larger fields.",
                ExtensivityWarning,
                stacklevel=stacklevel,
            )
            return


def hint_of_kind(values) -> str | None:
    """Say in a line that values may be labels or angles, None where they do not look like it.

    A hint for readers, and no warning: counts and occupation numbers look like labels, and only
    who made the fields knows. Two values say all in one number, and those of a spin lie evenly
    about 0.

    Parameters
    ----------
    values : ndarray of shape (n_samples, *grid)
        Without channels.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ednn.estimators._data_warnings import hint_of_kind
    >>> hint_of_kind(np.arange(6).reshape(1, 2, 3) % 3)
    'the fields hold the integers 0, 1, 2: if they are labels and no amounts, give each a channel'
    >>> hint_of_kind(np.array([[-1, 0, 1]])) is None
    True
    """
    values = np.ravel(values)
    if len(values) > _LOOKED_AT:
        values = values[:: -(-len(values) // _LOOKED_AT)]
    if values.dtype.kind not in "iuf" or len(values) == 0:
        return None
    found = np.unique(values[: 1 << 12])
    if len(found) <= _LABELS[1]:
        found = np.unique(values)
    if _LABELS[0] <= len(found) <= _LABELS[1]:
        least, greatest = float(found[0]), float(found[-1])
        if (found == np.round(found)).all() and least != -greatest:
            listed = ", ".join(f"{int(value)}" for value in found)
            return (
                f"the fields hold the integers {listed}: if they are labels and no amounts, give "
                "each a channel"
            )
        return None
    for period, name in ((2 * np.pi, "2 pi"), (360.0, "360")):
        for start in (0.0, -period / 2):
            if _fills(values, start, period):
                return (
                    f"the values fill a turn of {name}, from {start:.4g}: if they are angles, give "
                    "their cosine and sine"
                )
    return None


def _fills(values, start, period) -> bool:
    turns = (values.astype(np.float64) - start) / period
    least, greatest = turns.min(), turns.max()
    if not (0 <= least <= _END and 1 - _END <= greatest <= 1):
        return False
    counts = np.histogram(turns, _BINS, (0.0, 1.0))[0]
    return bool(counts.min() >= _FILLED * len(turns) / _BINS)
