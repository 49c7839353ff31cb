"""Pictures from arrays, in memory or in numpy's files."""

from __future__ import annotations

import numpy as np

from ..fields._array_like import doubt_of_item
from ..fields._array_source import ArraySource
from ..fields._in_memory import as_array
from ..fields._sources import is_read_in_pieces
from ._checks import PictureError
from ._picture import READ_WHOLE_BYTES, Picture, in_memory, reason_of
from ._pillow import is_image, picture_of_image

# Lengths of a last axis that are taken for channels, and the shortest side of a picture beside it.
_COLOURS = (1, 3)
_MOST_CHANNELS = 8


def channels_last(shape, name) -> bool:
    """Return whether an array is without an axis of channels; raise where that is ambiguous.

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
        f"{name}: shape {shape} may be a stack or have channels. Pass (height, width, "
        "n_channels), or set channel_axis."
    )


def as_picture(values, name="picture", channel_axis=None) -> Picture:
    """Return an array as a picture.

    Parameters
    ----------
    values : array-like of shape (height, width), (height, width, n_channels), or with a depth \
before; or picture of Pillow
        HDF5 datasets, zarr and dask arrays are read when they are used; large ones are read by
        regions.
    name : str, default="picture"
        For messages and tables.
    channel_axis : int or None, default=None
        Channel axis. None for the last axis if it has 1 or 3 entries, and for one grey channel if
        there are only two axes.

    Returns
    -------
    Picture

    Raises
    ------
    PictureError
        If the axes are not those of a picture, or are ambiguous.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ednn.images import as_picture
    >>> as_picture(np.zeros((5, 40, 60)), channel_axis=0).shape
    (40, 60, 5)
    """
    if isinstance(values, Picture):
        return values
    if is_image(values):
        return picture_of_image(values, name)
    doubt = doubt_of_item(values)
    if doubt is not None:
        raise PictureError(f"{name} must be an array of pixels; it is {doubt}")
    try:
        pixels = _source_of(values) if is_read_in_pieces(values) else as_array(values, "X")
    except (ValueError, FileNotFoundError) as error:
        raise PictureError(f"{name}: {error}") from error
    shape = pixels.shape
    # An axis that is taken for colours, of numbers as photographs have them.
    is_rgb = channel_axis is None and shape[-1:] == (3,) and pixels.dtype == np.uint8
    if channel_axis is not None:
        if not -len(shape) <= channel_axis < len(shape) or len(shape) not in (3, 4):
            raise PictureError(
                f"{name}: channel_axis={channel_axis} is not an axis of a picture of shape {shape}."
            )
        channel_axis %= len(shape)
    elif not channels_last(shape, name):
        channel_axis = len(shape) - 1
    if not isinstance(pixels, np.ndarray):
        return picture_of_source(pixels, name, channel_axis, is_rgb)
    if channel_axis is None:
        return in_memory(pixels[..., None], name)
    return in_memory(np.moveaxis(pixels, channel_axis, -1), name, is_rgb=is_rgb)


def picture_of_source(source, name, channel_axis, is_rgb=False) -> Picture:
    """Return a picture whose pixels are read from a source.

    Parameters
    ----------
    source : FieldSource
        Pixels of one picture.
    name : str
    channel_axis : int or None
        Axis of the channels, not negative; None without one.
    is_rgb : bool, default=False
        Whether the channels are those of a colour photograph.
    """
    shape = list(source.shape)
    n_channels = 1 if channel_axis is None else shape.pop(channel_axis)
    dtype = np.dtype(source.dtype)
    n_bytes = dtype.itemsize * np.prod(source.shape, dtype=float)
    reader = _OfSource(source, name, channel_axis)
    by_region = bool(n_bytes > READ_WHOLE_BYTES)
    return Picture(name, (*shape, n_channels), dtype, reader, by_region=by_region, is_rgb=is_rgb)


def pictures_along_first_axis(batch) -> list[Picture]:
    """Return the pictures of a batch that is read in pieces, (n_pictures, height, width[, ...]).

    Parameters
    ----------
    batch : array-like
        A dask array, HDF5 dataset, zarr array or `FieldSource`.
    """
    try:
        source = _source_of(batch)
    except (ValueError, FileNotFoundError) as error:
        raise PictureError(f"The pictures cannot be read: {error}") from error
    shape = source.shape[1:]
    channel_axis = None if channels_last(shape, "picture 0") else len(shape) - 1
    return [
        picture_of_source(_Nth(source, k), f"picture {k}", channel_axis)
        for k in range(source.shape[0])
    ]


def _source_of(values):
    if hasattr(values, "__getitem__") and not isinstance(values, ArraySource):
        return ArraySource(values)
    return values


class _OfSource:
    """Read a region of a source as pixels, channels last."""

    def __init__(self, source, name, channel_axis):
        self.source, self.name, self.channel_axis = source, name, channel_axis

    def __call__(self, slices):
        *grid, channels = slices
        try:
            if self.channel_axis is None:
                return self.source.read(tuple(grid))[..., None][..., channels]
            grid.insert(self.channel_axis, channels)
            return np.moveaxis(self.source.read(tuple(grid)), self.channel_axis, -1)
        except (ValueError, FileNotFoundError) as error:
            raise PictureError(f"{self.name}: {error}") from error


class _Nth:
    """One picture of a source of several."""

    def __init__(self, source, k):
        self.source, self.k = source, k
        self.shape, self.dtype = source.shape[1:], source.dtype

    def read(self, slices) -> np.ndarray:
        """Return the box of these slices."""
        return self.source.read((slice(self.k, self.k + 1), *slices))[0]


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
