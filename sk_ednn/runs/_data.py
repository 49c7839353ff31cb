"""Identify data by size, content and shape, so that a run records what it was made from."""

from __future__ import annotations

import ast
import hashlib
import os
import struct
import zipfile
from pathlib import Path
from typing import Any

from ._files import plain

_CHUNK_BYTES = 2**20
# Above it, files are identified by size and by their first and last bytes: hours of reading.
_MOST_BYTES = 4 * 2**30
# Files of a folder that are listed one by one.
_MOST_LISTED = 100
_HEADER_BYTES = 2**16


def describe(data, unit=None) -> dict[str, Any]:
    """Return the identity of data.

    Parameters
    ----------
    data : str, path-like, list of paths, array or any object
        A folder means all files in it. Names may end in ``::key`` or ``@index``.
    unit : str, default=None

    Returns
    -------
    dict
        ``path`` (``paths``, too, of a list), ``bytes``, ``sha256``, and ``shapes`` if the header
        of a file contains them.
    """
    if isinstance(data, (str, os.PathLike)):
        description = _of_files(os.fspath(data), _files_of(os.fspath(data)))
    elif isinstance(data, (list, tuple)) and data and all(
        isinstance(each, (str, os.PathLike)) for each in data
    ):  # fmt: skip
        names = [os.fspath(each) for each in data]
        of_names = [_files_of(name) for name in names]
        # Relative and absolute names have no common folder. All of them must be there.
        files = [Path(os.path.abspath(file)) for each in of_names for file in each]
        described = _of_files(f"{names[0]}, ...", files if all(of_names) else [])
        description = {**described, "paths": names}
    else:
        description = _of_object(data)
    return description if unit is None else {**description, "unit": unit}


def differences(before, now) -> list[str]:
    """Return in words in which data differ from those of a run; both as `describe` returns them."""
    changes = []
    for name in before:
        old, new = before[name], now.get(name, {})
        if new.get("missing"):
            changes.append(f"data: {name} ({old.get('path')}) does not exist any more")
        elif old.get("sha256") != new.get("sha256"):
            sizes = f"{old.get('bytes')} bytes then, {new.get('bytes')} now"
            changes.append(f"data: {name} ({old.get('path')}) has other content ({sizes})")
    return changes


def _files_of(name) -> list[Path]:
    """Return the files that a name of the command line means, sorted."""
    from .._utils.file_names import files_of

    base = name.partition("::")[0]
    path = Path(base)
    if path.is_dir():
        return sorted(each for each in path.rglob("*") if each.is_file() and not each.is_symlink())
    try:
        return [Path(file) for file, _ in files_of(base)]
    except FileNotFoundError:
        return []


def _of_files(name, files) -> dict[str, Any]:
    description: dict[str, Any] = {
        "path": name,
        "absolute": os.path.abspath(name.partition("::")[0]),
    }
    if not files:
        return {**description, "missing": True}
    sizes = [file.stat().st_size for file in files]
    whole = sum(sizes) <= _MOST_BYTES
    digests = [_digest(file, size, whole) for file, size in zip(files, sizes, strict=True)]
    description["bytes"] = sum(sizes)
    if len(files) == 1:
        description["sha256"] = digests[0]
        shapes = _shapes(files[0])
        description |= {} if shapes is None else {"shapes": shapes}
    else:
        folder = Path(os.path.commonpath([file.parent for file in files]))
        names = [file.relative_to(folder).as_posix() for file in files]
        text = "".join(f"{d}  {n}\n" for d, n in zip(digests, names, strict=True))
        content = text.encode("utf-8", "surrogateescape")  # bytes of names that are no UTF-8
        description |= {"n_files": len(files), "sha256": hashlib.sha256(content).hexdigest()}
        if len(files) <= _MOST_LISTED:
            description["files"] = dict(zip(names, digests, strict=True))
    if not whole:
        description["hashed"] = "sizes, and the first and last MiB of each file"
    return description


def _digest(file, size, whole) -> str:
    digest = hashlib.sha256()
    with open(file, "rb") as stream:
        if whole:
            while chunk := stream.read(_CHUNK_BYTES):
                digest.update(chunk)
        else:
            digest.update(f"{size}\n".encode() + stream.read(_CHUNK_BYTES))
            stream.seek(max(size - _CHUNK_BYTES, 0))
            digest.update(stream.read(_CHUNK_BYTES))
    return digest.hexdigest()


def _shapes(file) -> dict[str, list[int]] | None:
    """Return shapes of arrays in .npy and .npz, from their heads alone."""
    try:
        if file.suffix == ".npy":
            with open(file, "rb") as stream:
                return {"": _npy_shape(stream)}
        if file.suffix == ".npz":
            with zipfile.ZipFile(file) as archive:
                shapes = {}
                for name in archive.namelist()[:_MOST_LISTED]:
                    with archive.open(name) as stream:
                        shapes[name.removesuffix(".npy")] = _npy_shape(stream)
                return shapes
    except (OSError, ValueError, SyntaxError, zipfile.BadZipFile, struct.error, KeyError):
        return None  # readers of the command report errors in it
    return None


def _npy_shape(stream) -> list[int]:
    if stream.read(6) != b"\x93NUMPY":
        raise ValueError("no .npy")
    major, _ = stream.read(2)
    form = "<H" if major == 1 else "<I"
    (length,) = struct.unpack(form, stream.read(struct.calcsize(form)))
    header = ast.literal_eval(stream.read(min(length, _HEADER_BYTES)).decode("latin1").strip())
    return [int(n) for n in header["shape"]]


def _of_object(data) -> dict[str, Any]:
    description: dict[str, Any] = {"type": type(data).__name__}
    shape = getattr(data, "shape", None)
    if shape is not None:
        description["shapes"] = {"": plain(tuple(shape))}
    if hasattr(data, "dtype") and hasattr(data, "tobytes"):
        description["dtype"] = str(data.dtype)
        description["bytes"] = int(data.nbytes)
        if not data.dtype.hasobject:
            digest = hashlib.sha256(f"{data.shape} {data.dtype.str}".encode())
            for part in data if data.ndim else [data]:
                digest.update(part.tobytes())
            description["sha256"] = digest.hexdigest()
            return description
    if hasattr(data, "__len__"):
        description["length"] = len(data)
    from .._utils.hashing import digest as content_digest

    try:
        description["sha1"] = content_digest(data)
    except Exception:  # of whatever pickling the object raises: it is then known by its size alone
        pass
    return description
