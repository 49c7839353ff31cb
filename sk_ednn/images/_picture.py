"""A picture: a name, a shape with channels last, and its pixels, read whole or by regions."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from .._utils.hashing import digest
from ._checks import PictureError, require_pixels
from ._pixel_size import PixelSize

_MAX_NAMED = 10
# Larger pictures are read by regions where their file allows it.
READ_WHOLE_BYTES = 1 << 26


@dataclass(frozen=True, eq=False)
class Picture:
    """One picture, as a source of fields: read whole, or by regions if its file allows it.

    Made by `read_pictures`. It can be an entry of a list of fields, as any
    `sk_ednn.fields.FieldSource`; channels are its last axis.

    Attributes
    ----------
    name : str
        Name of the file, or a description of the origin of the pixels.
    shape : tuple of int
        ``(height, width, n_channels)``, or ``(depth, height, width, n_channels)`` for a stack.
    dtype : numpy.dtype
    path : str or None
        Path of the file.
    notes : tuple of str
        Parts that were left out or changed in reading, such as an opaque alpha channel.
    by_region : bool
        Whether a region can be read without the rest.
    is_rgb : bool
        Whether the channels are red, green and blue of a colour photograph.
    pixel_size : PixelSize or None
        In µm, where the file states it.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ednn.images import as_picture
    >>> picture = as_picture(np.arange(48, dtype=np.uint8).reshape(6, 8), name="a")
    >>> picture.shape, picture.read((slice(1, 2), slice(2, 4), slice(0, 1))).ravel()
    ((6, 8, 1), array([10, 11], dtype=uint8))
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    reader: Callable = field(repr=False)
    path: str | None = None
    notes: tuple[str, ...] = ()
    by_region: bool = False
    spacing: None = None
    is_rgb: bool = False
    pixel_size: PixelSize | None = None

    @property
    def grid(self) -> tuple[int, ...]:
        """Pixels along each axis."""
        return self.shape[:-1]

    @property
    def n_channels(self) -> int:
        """Number of channels."""
        return self.shape[-1]

    @property
    def n_pixels(self) -> int:
        """Number of pixels, channels not counted."""
        return int(np.prod(self.grid, dtype=np.int64))

    @property
    def ndim(self) -> int:
        """Number of axes, including that of the channels."""
        return len(self.shape)

    @property
    def stem(self) -> str:
        """Name of the file without its folder and endings."""
        return stem_of(self.name)

    def read(self, slices) -> np.ndarray:
        """Return the pixels of a box.

        Parameters
        ----------
        slices : tuple of slice
            One for each axis, with the channel axis last.

        Raises
        ------
        PictureError
            If the file cannot be read, or contains NaN in the box.
        """
        values = self._called(slices)
        require_pixels(values, self.name, PictureError)
        return values

    def array(self) -> np.ndarray:
        """Return all pixels."""
        return self.read(tuple(slice(0, length) for length in self.shape))

    def loaded(self) -> Picture:
        """Return the picture with its pixels in memory."""
        values = self.array()
        return replace(self, reader=InMemory(values), by_region=False)

    def identity(self) -> str:
        """Return a name that changes with the pixels: for a file, its path, size and time."""
        if self.path is not None and Path(self.path).exists():
            stat = os.stat(self.path)
            return f"{os.path.abspath(self.path)} {stat.st_size} {stat.st_mtime_ns} {self.name}"
        return digest(np.ascontiguousarray(self.array()))

    def _called(self, slices):
        try:
            return np.asarray(self.reader(tuple(slices)))
        except (PictureError, MemoryError, ImportError):
            raise
        except Exception as error:  # whatever a reader of files stumbles over
            raise PictureError(
                f"{self.name}: the pixels cannot be read ({reason_of(error)}). The file may be "
                "truncated or damaged: copy it again."
            ) from error


def stem_of(name: str) -> str:
    """Return the name of a file without folder and endings, ``.ome.tif`` included.

    Examples
    --------
    >>> from sk_ednn.images._picture import stem_of
    >>> stem_of("day1/dish 3.ome.tif"), stem_of("a.b.png")
    ('dish 3', 'a.b')
    """
    base = name.replace("\\", "/").rpartition("/")[2]
    stem = base.rpartition(".")[0] or base
    return stem[:-4] if stem.lower().endswith(".ome") else stem


@dataclass(frozen=True, eq=False)
class InMemory:
    """A reader of pixels in memory."""

    values: np.ndarray

    def __call__(self, slices):
        return self.values[slices]


def in_memory(values, name, **attributes) -> Picture:
    """Return a picture of pixels in memory, (*grid, n_channels)."""
    values = np.asarray(values)
    return Picture(name, tuple(values.shape), values.dtype, InMemory(values), **attributes)


def for_each(items, act) -> list:
    """Return the results of a function for all items; raise errors only at the end.

    Thus all unusable pictures are named at once, instead of one per call.

    Parameters
    ----------
    items : iterable
    act : function

    Raises
    ------
    PictureError
        The first one, with the names of the others.
    """
    results, errors = [], []
    for item in items:
        try:
            results.append(act(item))
        except PictureError as error:
            errors.append(error)
    if len(errors) > 1:
        names = [str(error).partition(":")[0] for error in errors[1:]]
        more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
        raise PictureError(
            f"{errors[0]} These cannot be used either: {', '.join(names[:_MAX_NAMED])}{more}."
        ) from errors[0]
    if errors:
        raise errors[0]
    return results


def reason_of(error) -> str:
    """Return the first line of the message of an exception."""
    return str(error).partition("\n")[0].rstrip(". ") or type(error).__name__
