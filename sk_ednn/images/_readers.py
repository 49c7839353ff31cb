"""Find pictures by folders, patterns and lists, and open each by what its file begins with."""

from __future__ import annotations

import os
from collections.abc import Sequence
from os import PathLike, fspath
from pathlib import Path

import numpy as np

from .._utils.file_names import files_of
from ._arrays import as_picture, open_arrays
from ._checks import PictureError
from ._picture import Picture, for_each
from ._pillow import open_plain
from ._tifffile import open_tiff
from ._zarr import is_zarr, open_zarr

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# Files that lie beside pictures in a folder, and are none.
_BESIDE = {
    ".csv", ".tsv", ".txt", ".xlsx", ".xls", ".ods", ".json", ".yaml", ".yml", ".xml", ".md",
    ".html", ".pdf", ".db", ".ini", ".log", ".ednn", ".zip", ".py", ".rtf", ".doc", ".docx",
}  # fmt: skip


def read_pictures(source, *, channel_axis=None) -> list[Picture]:
    """Open pictures; their pixels are read when they are used.

    Parameters
    ----------
    source : str, path-like, array, Picture, or sequence of them
        A file; a folder, for the pictures in it; a pattern such as ``"day*/*.png"``; an OME-Zarr
        folder; a ``.npz`` file with one array a picture; arrays (height, width) or (height, width,
        n_channels); an array of 4 axes, for pictures along its first.
    channel_axis : int or None, default=None
        Axis of the channels of arrays, where their shape does not say it.

    Returns
    -------
    list of Picture
        In the order of their names, or of the list.

    Raises
    ------
    PictureError
        In one line that begins with the name of the file.
    FileNotFoundError
        Where there is no such file, or a pattern matches none.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import numpy as np
    >>> from sk_ednn.images import read_pictures
    >>> with TemporaryDirectory() as folder:
    ...     for name in ("b", "a"):
    ...         np.save(Path(folder, f"{name}.npy"), np.eye(20, 30))
    ...     [(picture.name, picture.shape) for picture in read_pictures(folder)]
    [('a.npy', (20, 30, 1)), ('b.npy', (20, 30, 1))]
    """
    if isinstance(source, Picture):
        return [source]
    if isinstance(source, (str, PathLike)):
        return _from_name(fspath(source), channel_axis)
    if isinstance(source, np.ndarray) and source.ndim <= 3:
        return [as_picture(source, "picture 0", channel_axis)]
    if not isinstance(source, (Sequence, np.ndarray)):
        raise PictureError(
            f"Pictures are given by the name of a file or folder, or in a list; got a "
            f"{type(source).__name__}."
        )
    found = []
    for k, one in enumerate(source):
        if isinstance(one, (str, PathLike, Picture)):
            found += read_pictures(one, channel_axis=channel_axis)
        else:
            found.append(as_picture(one, f"picture {k}", channel_axis))
    if not found:
        raise PictureError("There are no pictures: the list is empty.")
    return found


def _from_name(name, channel_axis) -> list[Picture]:
    path = Path(name)
    if path.is_dir() and not is_zarr(path):
        return _from_folder(path, channel_axis)
    if path.exists():
        return _opened(name, path.name, channel_axis)
    files = [file for file, _ in files_of(name)]
    root = os.path.commonpath([os.path.dirname(file) or "." for file in files])
    files = [file for file in files if not _is_beside(Path(file))]
    opened = for_each(files, lambda file: _opened(file, os.path.relpath(file, root), channel_axis))
    found = [picture for pictures in opened for picture in pictures]
    if not found:
        raise PictureError(f"{name}: the pattern matches no pictures.")
    return found


def _from_folder(folder, channel_axis) -> list[Picture]:
    paths = [
        path
        for path in sorted(folder.iterdir())
        if not path.name.startswith(".")
        and not _is_beside(path)
        and (not path.is_dir() or is_zarr(path))
    ]
    opened = for_each(paths, lambda path: _opened(str(path), path.name, channel_axis))
    found = [picture for pictures in opened for picture in pictures]
    if not found:
        raise PictureError(f"{folder}: the folder contains no pictures.")
    return found


def _is_beside(path) -> bool:
    return path.suffix.lower() in _BESIDE or path.name.lower() == "thumbs.db"


def _opened(path, name, channel_axis) -> list[Picture]:
    if Path(path).is_dir():
        return [open_zarr(path, name)]
    try:
        with open(path, "rb") as file:
            head = file.read(8)
    except OSError as error:
        raise PictureError(f"{name}: the file cannot be opened ({error.strerror}).") from error
    if not head:
        raise PictureError(f"{name}: the file is empty.")
    if head[:4] in _TIFF:
        return [open_tiff(path, name)]
    if head[:6] == b"\x93NUMPY" or (head[:2] == b"PK" and path.lower().endswith(".npz")):
        return open_arrays(path, name, channel_axis)
    return [open_plain(path, name)]
