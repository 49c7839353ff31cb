"""The channel axis: its index, and arrays with channels first or last.

A channel axis is an axis of one field, None where fields have no channels. `n_batch` counts the
axes that come before those of the field, such as that of the samples.
"""

from __future__ import annotations

import numpy as np


def channel_index(channel_axis, field_ndim: int) -> int | None:
    """Return the channel axis counted from 0, or None where there are no channels."""
    return None if channel_axis is None else int(channel_axis) % field_ndim


def grid_axes(channel_axis, field_ndim: int) -> list[int]:
    """Return the axes of a field without its channel axis."""
    channel = channel_index(channel_axis, field_ndim)
    return [axis for axis in range(field_ndim) if axis != channel]


def channels_last(values, channel_axis, n_batch=0) -> np.ndarray:
    """Return a view of shape (*batch, *grid[, n_channels])."""
    if channel_axis is None:
        return values
    return np.moveaxis(values, n_batch + channel_axis % (values.ndim - n_batch), -1)


def from_channels_last(values, channel_axis, n_batch=0) -> np.ndarray:
    """Undo `channels_last`: return a view of shape (*batch, *field_shape)."""
    if channel_axis is None:
        return values
    return np.moveaxis(values, -1, n_batch + channel_axis % (values.ndim - n_batch))


def channels_first(values, channel_axis, n_batch=0) -> np.ndarray:
    """Return a view of shape (*batch, n_channels, *grid), with one channel if there are none.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ednn.fields._channels import channels_first
    >>> pictures = np.zeros((10, 64, 48, 3))
    >>> channels_first(pictures, -1, n_batch=1).shape
    (10, 3, 64, 48)
    >>> channels_first(pictures[..., 0], None, n_batch=1).shape
    (10, 1, 64, 48)
    """
    if channel_axis is None:
        return np.expand_dims(values, n_batch)
    return np.moveaxis(values, n_batch + channel_axis % (values.ndim - n_batch), n_batch)


def from_channels_first(values, channel_axis, n_batch=0) -> np.ndarray:
    """Undo `channels_first`: return a view of shape (*batch, *field_shape)."""
    if channel_axis is None:
        return np.squeeze(values, n_batch)
    return np.moveaxis(values, n_batch, n_batch + channel_axis % (values.ndim - n_batch))
