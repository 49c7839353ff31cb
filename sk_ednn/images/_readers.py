"""Find pictures by folders, patterns and lists, and open each by the first bytes of its file."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from os import PathLike, fspath
from pathlib import Path

import numpy as np

from .._utils.file_names import files_of, require_plain
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
    ".lock",
}  # fmt: skip


def read_pictures(source, *, channel_axis=None, missing_chunks="error") -> list[Picture]:
    """Open pictures; their pixels are read when they are used.

    Parameters
    ----------
    source : str, path-like, array, Picture, or sequence of them
        A file; a folder, for the pictures in it; a pattern such as ``"day*/*.png"``; an OME-Zarr
        folder; a ``.npz`` file with one array per picture; arrays (height, width) or (height,
        width, n_channels); an array of 4 axes, with pictures along the first.
    channel_axis : int or None, default=None
        Channel axis of arrays, if it does not follow from their shape.
    missing_chunks : {"error", "fill"}, default="error"
        Action if a chunk of an OME-Zarr folder or a tile of a TIFF file is missing: raise an error,
        or read its fill value. Zarr and some scanners leave out chunks that contain nothing else;
        lost chunks look the same.

    Returns
    -------
    list of Picture
        Sorted by name, or in the order of the list.

    Raises
    ------
    PictureError
        If a file cannot be used; one line that begins with its name.
    FileNotFoundError
        If there is no such file, or a pattern matches none.

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
    if missing_chunks not in ("error", "fill"):
        raise ValueError(f"missing_chunks must be 'error' or 'fill', got {missing_chunks!r}.")
    if isinstance(source, Picture):
        return [source]
    if isinstance(source, (str, PathLike)):
        return _from_name(fspath(source), _Opener(channel_axis, missing_chunks))
    if isinstance(source, np.ndarray) and source.ndim <= 3:
        return [as_picture(source, "picture 0", channel_axis)]
    if not isinstance(source, (Sequence, np.ndarray)):
        raise PictureError(
            "Expected the name of a file or folder, or a list of pictures; got a "
            f"{type(source).__name__}."
        )
    pictures = []
    for k, one in enumerate(source):
        if isinstance(one, (str, PathLike, Picture)):
            pictures += read_pictures(one, channel_axis=channel_axis, missing_chunks=missing_chunks)
        else:
            pictures.append(as_picture(one, f"picture {k}", channel_axis))
    if not pictures:
        raise PictureError("There are no pictures: the list is empty.")
    return _with_folders(pictures)


def _with_folders(pictures) -> list[Picture]:
    """Return pictures of several folders with the folder in names that would be equal otherwise."""
    names = Counter(picture.name for picture in pictures)
    equal = {id(each) for each in pictures if names[each.name] > 1 and each.path is not None}
    folders = {
        id(each): os.path.dirname(os.path.abspath(each.path)) for each in pictures if each.path
    }
    among = {folders[key] for key in equal}
    if len(among) < 2:
        return pictures
    root = os.path.commonpath(among)
    return [
        replace(each, name=f"{os.path.relpath(folders[id(each)], root)}/{each.name}")
        if id(each) in equal
        else each
        for each in pictures
    ]


def _from_name(name, opened) -> list[Picture]:
    path = Path(name)
    if path.is_dir() and not is_zarr(path):
        return _from_folder(path, opened)
    if path.exists():
        return opened(name, path.name)
    files = [file for file, _ in files_of(name)]
    root = os.path.commonpath([os.path.dirname(file) or "." for file in files])
    files = [file for file in files if not _is_beside(Path(file))]
    each = for_each(files, lambda file: opened(file, os.path.relpath(file, root)))
    pictures = list(chain.from_iterable(each))
    if not pictures:
        raise PictureError(f"{name}: the pattern matches no pictures.")
    return pictures


def _from_folder(folder, opened) -> list[Picture]:
    paths = [
        path
        for path in sorted(folder.iterdir())
        if not path.name.startswith(".")
        and not _is_beside(path)
        and (not path.is_dir() or is_zarr(path))
    ]
    each = for_each(paths, lambda path: opened(str(path), path.name))
    pictures = list(chain.from_iterable(each))
    if not pictures:
        raise PictureError(f"{folder}: the folder contains no pictures.")
    return pictures


def _is_beside(path) -> bool:
    return path.suffix.lower() in _BESIDE or path.name.lower() == "thumbs.db"


@dataclass(frozen=True)
class _Opener:
    """Open the pictures of a file by its first bytes.

    Attributes
    ----------
    channel_axis : int or None
    missing_chunks : str
    """

    channel_axis: int | None
    missing_chunks: str

    def __call__(self, path: str, name: str) -> list[Picture]:
        if Path(path).is_dir():
            return [open_zarr(path, name, self.missing_chunks)]
        try:
            require_plain(path)
            with open(path, "rb") as file:
                head = file.read(8)
        except OSError as error:
            why = error.strerror or error
            raise PictureError(f"{name}: the file cannot be opened ({why}).") from error
        if not head:
            raise PictureError(f"{name}: the file is empty.")
        if head[:4] in _TIFF:
            return [open_tiff(path, name, self.missing_chunks)]
        if head[:6] == b"\x93NUMPY" or (head[:2] == b"PK" and path.lower().endswith(".npz")):
            return open_arrays(path, name, self.channel_axis)
        return [open_plain(path, name)]
