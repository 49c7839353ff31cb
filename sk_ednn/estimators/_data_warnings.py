"""Warn of data that can be fitted but do not transfer to other sizes."""

from __future__ import annotations

import warnings

import numpy as np

from .._utils.stacklevel import outside_package
from ..exceptions import DataWarning, ExtensivityWarning
from ..fields._channels import channels_first
from ..fields._marks import doubt_of_marks

# Totals look standardised if mean and standard deviation are this close to 0 and 1. A part of
# standardised data has them only approximately.
_STANDARDISED_TOLERANCE = 0.05

# Targets look like means if they grow with a smaller power of the size than this. The test needs
# large fields of at least this size ratio, this many samples on either side, and means that exceed
# zero by this many standard errors.
_MEAN_EXPONENT = 0.25
_MIN_SIZE_RATIO = 1.5
_MIN_SAMPLES = 5
_STANDARD_ERRORS = 5.0

# Values look like labels if this many distinct integers occur. Larger arrays are subsampled.
_N_LABELS = (3, 12)
_MAX_VALUES = 1 << 20

# Values look like angles if they reach within this fraction of both ends of a turn and each bin
# contains at least this fraction of the mean count.
_END = 0.03
_MIN_BIN_FRACTION = 0.5
_N_BINS = 8

# An axis looks like channels if it has at most this many sites, while all others have at least
# this many, and this many times more.
_MAX_CHANNELS = 4
_MIN_SITES = 8
_MIN_SITES_RATIO = 4

# Lattices have at most three dimensions: one of more axes with a short end probably has channels.
_MAX_DIMENSIONS = 3

# An axis contains the components of unit vectors if their lengths differ by less than this, in
# this many fields.
_LENGTH_TOLERANCE = 1e-3
_N_VECTOR_FIELDS = 8


def looks_like_channels(X) -> int | None:
    """Return the axis of a field that looks like channels, 0 or -1, or None.

    Shapes decide: a short axis next to long ones, or a fourth dimension. In smaller fields, unit
    vectors along an axis do, as those of Heisenberg's or XY spins.

    Parameters
    ----------
    X : ndarray or lazy array of shape (n_samples, *field_shape)
        Values of a lazy array are not read.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ednn.estimators._data_warnings import looks_like_channels
    >>> angles = np.linspace(0, 6, 72).reshape(2, 6, 6)
    >>> looks_like_channels(np.stack([np.cos(angles), np.sin(angles)], axis=-1))
    -1
    >>> looks_like_channels(angles) is None
    True
    """
    field_shape = X.shape[1:]
    for axis, others in ((-1, field_shape[:-1]), (0, field_shape[1:])):
        n = field_shape[axis]
        if not others or n > _MAX_CHANNELS:
            continue
        if min(others) >= max(_MIN_SITES, _MIN_SITES_RATIO * n):
            return axis
        if len(field_shape) > _MAX_DIMENSIONS and n < min(others):
            return axis
        if n > 1 and isinstance(X, np.ndarray) and _are_unit_vectors(X, axis):
            return axis
    return None


def _are_unit_vectors(X, axis) -> bool:
    """Return True if all vectors along an axis of the fields have one length, and are no spins."""
    some = X[:_N_VECTOR_FIELDS]
    if some.dtype.kind != "f" or some.size == 0:
        return False
    some = some.astype(np.float64)
    sizes = np.abs(some)
    if np.ptp(sizes) <= _LENGTH_TOLERANCE * sizes.max():  # +1 and -1 have one length, too
        return False
    lengths = np.linalg.norm(some, axis=-1 if axis == -1 else 1)
    return bool(np.ptp(lengths) <= _LENGTH_TOLERANCE * lengths.max())


def warn_of_channels(tiling, fields) -> None:
    """Warn if the first or last axis looks like channels but the tiling treats it as sites."""
    if tiling.channel_axis is not None:
        return
    for stack in fields.stacks:
        shape = stack.values.shape[1:]
        axis = looks_like_channels(stack.values)
        if axis is not None:
            warnings.warn(
                f"Fields of shape {shape} have {shape[axis]} site(s) along their "
                f"{'first' if axis == 0 else 'last'} axis and more along the others. If these are "
                "channels, such as the colours of a picture or the components of a vector, set "
                f"channel_axis={axis} of the tiling, which now cuts them into tiles as sites. If "
                "they are sites, silence this with "
                "warnings.simplefilter('ignore', sk_ednn.exceptions.DataWarning).",
                DataWarning,
                stacklevel=outside_package(),
            )
            return


def warn_of_standardised(y) -> None:
    """Warn of totals that look standardised: mean near 0, standard deviation near 1.

    A mean of 0 alone is no sign of it: residuals of a fit to extensive features have it, too.
    """
    y = np.asarray(y, dtype=np.float64)
    spread, mean = y.std(axis=0), np.abs(y.mean(axis=0))
    tolerance = _STANDARDISED_TOLERANCE
    if len(y) > 10 and np.all(mean < tolerance) and np.all(np.abs(spread - 1) < tolerance):
        warnings.warn(
            "y has mean 0 and standard deviation 1, or nearly so, as after a StandardScaler or "
            "TransformedTargetRegressor. A constant subtracted per sample is not extensive, so "
            "predictions at other sizes will be wrong by it. Pass the raw totals; fit scales them "
            "extensively.",
            ExtensivityWarning,
            stacklevel=outside_package(),
        )


def warn_of_means(y, fields) -> None:
    """Warn of targets that do not grow with the size of the field: means, not totals.

    Compares the third of the samples with the smallest fields with the third with the largest. If
    all fields have one size there is nothing to compare.
    """
    sizes = fields.sizes
    low, high = np.quantile(sizes, [1 / 3, 2 / 3])
    small, large = sizes <= low, sizes >= high
    ratio = sizes[large].mean() / max(sizes[small].mean(), np.finfo(float).tiny)
    if ratio < _MIN_SIZE_RATIO or min(small.sum(), large.sum()) < _MIN_SAMPLES:
        return
    means = np.stack([y[part].mean(axis=0) for part in (small, large)])
    errors = np.stack([y[part].std(axis=0) / np.sqrt(part.sum()) for part in (small, large)])
    if np.any(np.abs(means) <= _STANDARD_ERRORS * errors) or np.any(np.prod(means, axis=0) <= 0):
        return
    powers = np.log(means[1] / means[0]) / np.log(ratio)
    if np.all(np.abs(powers) < _MEAN_EXPONENT):
        warnings.warn(
            f"y does not grow with the size of the fields: its mean is {means[0, 0]:.4g} over the "
            f"smallest third of them and {means[1, 0]:.4g} over the largest, which are "
            f"{ratio:.3g} times as large. y must contain totals. If it contains means or values "
            "per site, multiply them by the number of sites.",
            ExtensivityWarning,
            stacklevel=outside_package(),
        )


def warn_of_marks(systems, y, channel_axis=None) -> None:
    """Warn of fields or bags in memory, and of totals, with marks of missing values.

    Parameters
    ----------
    systems : Systems
    y : ndarray of shape (n_samples, n_outputs)
    channel_axis : int or None, default=None
        Axis of one field. Each channel, column or output has its own range.
    """
    for parts in (_parts_of(systems, channel_axis), _columns("y", y)):
        doubts = (doubt_of_marks(values, name) for name, values in parts)
        doubt = next((doubt for doubt in doubts if doubt is not None), None)
        if doubt is not None:
            warnings.warn(doubt, DataWarning, stacklevel=outside_package())


def _parts_of(systems, channel_axis):
    """Yield the name and the values of each channel or column of systems in memory."""
    if not hasattr(systems, "stacks"):
        arrays = getattr(systems, "arrays", ())  # structures have none
        if len(arrays) == 1 and arrays[0].ndim == 2:
            yield from _columns("X", arrays[0])
        return
    for stack in systems.stacks:
        if not isinstance(stack.values, np.ndarray):
            continue
        name = f"X[{int(stack.samples[0])}]" if len(stack.samples) == 1 else "X"
        if channel_axis is None:
            yield name, stack.values
            continue
        channels = channels_first(stack.values, channel_axis, n_batch=1)
        for k in range(channels.shape[1]):
            yield f"channel {k} of {name}", channels[:, k]


def _columns(name, values):
    for k in range(values.shape[1]):
        yield f"{name}[:, {k}]" if values.shape[1] > 1 else name, values[:, k]


def warn_of_wide_context(tiling, fields) -> None:
    """Warn if the context exceeds half of a periodic field, so that it wraps around.

    Windows that are only slightly wider than a field are fine: periodic systems such as crystals
    do look like that.
    """
    if tiling.boundary != "periodic":
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
                f"context={context} exceeds half of a field of shape {field_shape}: tiles wrap "
                "around and see some sites twice, so the model may not transfer to larger fields. "
                f"Use context <= {length // 2}, or larger fields.",
                ExtensivityWarning,
                stacklevel=outside_package(),
            )
            return


def hint_of_kind(values) -> str | None:
    """Return a one-line hint if values look like labels or angles, else None.

    This is a hint, not a warning, since counts and occupation numbers look like labels, too. Two
    distinct values need no encoding, nor do integers that are symmetric about 0, as spins are.

    Parameters
    ----------
    values : ndarray of shape (n_samples, *grid)
        Without channels.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ednn.estimators._data_warnings import hint_of_kind
    >>> hint_of_kind(np.arange(6).reshape(1, 2, 3) % 3)
    'the fields contain the integers 0, 1, 2: if they are labels, not amounts, give each a channel'
    >>> hint_of_kind(np.array([[-1, 0, 1]])) is None
    True
    """
    values = np.ravel(values)
    if len(values) > _MAX_VALUES:
        values = values[:: -(-len(values) // _MAX_VALUES)]
    if values.dtype.kind not in "iuf" or len(values) == 0:
        return None
    if doubt_of_marks(values, "X") is not None:
        return None  # -9999, 0, 1 are no labels
    distinct = np.unique(values[: 1 << 12])
    if len(distinct) <= _N_LABELS[1]:
        distinct = np.unique(values)
    if _N_LABELS[0] <= len(distinct) <= _N_LABELS[1]:
        least, greatest = float(distinct[0]), float(distinct[-1])
        if (distinct == np.round(distinct)).all() and least != -greatest:
            listed = ", ".join(f"{int(value)}" for value in distinct)
            return (
                f"the fields contain the integers {listed}: if they are labels, not amounts, give "
                "each a channel"
            )
        return None
    for period, name in ((2 * np.pi, "2 pi"), (360.0, "360")):
        for start in (0.0, -period / 2):
            if _fills(values, start, period):
                return (
                    f"the values fill a turn of {name}, from {start:.4g}: if they are angles, pass "
                    "their cosine and sine"
                )
    return None


def _fills(values, start, period) -> bool:
    turns = (values.astype(np.float64) - start) / period
    least, greatest = turns.min(), turns.max()
    if not (0 <= least <= _END and 1 - _END <= greatest <= 1):
        return False
    counts = np.histogram(turns, _N_BINS, (0.0, 1.0))[0]
    return bool(counts.min() >= _MIN_BIN_FRACTION * len(turns) / _N_BINS)
