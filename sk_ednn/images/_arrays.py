"""Pictures of arrays: numpy's files, and what is in memory."""

from __future__ import annotations

import numpy as np

from .._utils.masks import require_unmasked
from ._checks import PictureError
from ._picture import Picture, in_memory, reason_of

# Lengths of a last axis that are taken for channels, and the shortest side of a picture beside it.
_COLOURS = (1, 3)
_MOST_CHANNELS = 8


def channels_last(shape, name) -> bool:
    """Return whether an array is without an axis of channels; raise where that is not known.

    Parameters
    ----------
    shape : tuple of int
    name : str
    """
    if len(shape) == 2:
        return True
    if len(shape) not in (3, 4):
        raise PictureError(
            f"{name}: an array of shape {shape} is not a picture. Expected (height, width) or "
            "(height, width, n_channels)."
        )
    if shape[-1] in _COLOURS or (len(shape) == 4 and shape[-1] <= _MOST_CHANNELS):
        return False
    if len(shape) == 3 and shape[-1] > _MOST_CHANNELS and shape[0] > _MOST_CHANNELS:
        return True  # a stack
    raise PictureError(
        f"{name}: shape {shape} may be a stack or channels. Give (height, width, n_channels), or "
        "say which axis has the channels (channel_axis)."
    )


def as_picture(values, name="picture", channel_axis=None) -> Picture:
    """Return an array as a picture.

    Parameters
    ----------
    values : array-like of shape (height, width), (height, width, n_channels), or with a depth
        before
    name : str, default="picture"
        For messages and tables.
    channel_axis : int or None, default=None
        Axis of the channels. None for the last one where it has 1 or 3 entries, and for one grey
        channel where there are only two axes.

    Returns
    -------
    Picture

    Raises
    ------
    PictureError
        If the axes are not those of a picture, or have no names.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ednn.images import as_picture
    >>> as_picture(np.zeros((5, 40, 60)), channel_axis=0).shape
    (40, 60, 5)
    """
    if isinstance(values, Picture):
        return values
    require_unmasked(values, name)
    values = np.asarray(values)
    if channel_axis is not None:
        if not -values.ndim <= channel_axis < values.ndim or values.ndim not in (3, 4):
            raise PictureError(
                f"{name}: channel_axis={channel_axis} is not an axis of a picture of shape "
                f"{values.shape}."
            )
        return in_memory(np.moveaxis(values, channel_axis, -1), name)
    return in_memory(values[..., None] if channels_last(values.shape, name) else values, name)


def open_arrays(path: str, name: str, channel_axis=None) -> list[Picture]:
    """Return the pictures of a ``.npy`` file, or of a ``.npz`` file with one array a picture.

    Parameters
    ----------
    path : str
    name : str
    channel_axis : int or None, default=None

    Raises
    ------
    PictureError
    """
    try:
        content = np.load(path, allow_pickle=False, mmap_mode="r" if path.endswith("y") else None)
        if isinstance(content, np.ndarray):
            return [as_picture(content, name, channel_axis)]
        with content as archive:
            return [
                as_picture(archive[key], f"{name}::{key}", channel_axis) for key in archive.files
            ]
    except PictureError:
        raise
    except Exception as error:
        raise PictureError(f"{name}: the file cannot be read ({reason_of(error)}).") from error
