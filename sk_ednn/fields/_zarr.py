"""Zarr arrays with holes: chunks that are not in their store, and links out of it.

zarr reads a chunk that got lost as the fill value, and one that is a link as what the other file
contains, without a word.
"""

from __future__ import annotations

import os
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from .._utils.writing import kind_of
from ._chunks import FILL, chunks_in

_SHARD_ENTRY = 16  # bytes of the index of a shard for each of its chunks: offset and length
_ABSENT = np.uint64(2**64 - 1)


def check_zarr(array: Any, follow_links) -> None:
    """Raise if a zarr array in a local folder has its chunks elsewhere, or pipes among them.

    Parameters
    ----------
    array : zarr.Array
    follow_links : bool
        Whether links that lead out of the store may be followed.
    """
    if 0 in array.chunks and 0 not in array.shape:
        raise ValueError(
            f"The zarr array {array.name or array.path!r} of shape {array.shape} has chunks of "
            f"shape {array.chunks}, which have no sites: store it again, with chunks of one site "
            "or more along each axis."
        )
    folder = local_folder(array)
    if folder is not None:
        require_plain_files(_root(array), folder, follow_links)


def require_plain_files(store, folder=None, follow_links=False) -> None:
    """Raise if a store has a link that leads out of it, or a pipe, on which reading would hang.

    Parameters
    ----------
    store : Path
        The store's folder; it may be a link itself.
    folder : Path, default=None
        The part of it that is checked; None for all.
    follow_links : bool, default=False
        Whether links that lead out of the store may be followed.

    Raises
    ------
    ValueError
    """
    home, folder = Path(store).resolve(), Path(folder or store)
    if not follow_links:
        # From the store down, so that the message names the link and not what is behind it.
        for part in (*reversed(folder.relative_to(store).parents), folder.relative_to(store)):
            _require_within(Path(store) / part, home)

    def check_link(path):
        if not follow_links:
            _require_within(Path(path), home)

    for entry in files_within(folder, check_link):
        if not entry.is_file():
            kind = kind_of(entry.stat().st_mode)
            raise ValueError(f"{entry.path} in the store is {kind}, not a file")


def files_within(folder, check_link=None):
    """Yield the entries of a folder and of those within it that are not folders, links followed.

    Links to what is not there are left out, as the store has nothing under such a name.

    Parameters
    ----------
    folder : Path
    check_link : function, default=None
        Called with the path of each link before it is followed.
    """
    seen, left = {os.path.realpath(folder)}, [os.fspath(folder)]
    while left:
        with os.scandir(left.pop()) as entries:
            for entry in entries:
                if entry.is_symlink():
                    if check_link is not None:
                        check_link(entry.path)
                    if not os.path.exists(entry.path):
                        continue
                if not entry.is_dir():
                    yield entry
                    continue
                # A folder counts once: links may lead in a circle.
                real = os.path.realpath(entry.path)
                if real not in seen:
                    seen.add(real)
                    left.append(entry.path)


def _require_within(path, home) -> None:
    goal = path.resolve()
    if not goal.is_relative_to(home):
        raise ValueError(
            f"{path} is a link to {goal}, outside of the store, which is not followed: copy "
            "the target into the store, or pass ArraySource(array, follow_links=True)"
        )


def local_folder(array: Any) -> Path | None:
    """Return the folder of a zarr array, None where its store is not a local folder."""
    root = _root(array)
    return None if root is None else root / array.path


def _root(array) -> Path | None:
    store = array.store
    while hasattr(store, "_store"):  # wrapped, as to log what is read
        store = store._store
    root = getattr(store, "root", None)
    if root is None and "file" in getattr(getattr(store, "fs", None), "protocol", ()):
        root = store.path
    return Path(root) if isinstance(root, (str, Path)) and os.path.isdir(root) else None


def require_zarr_chunks(array: Any, slices) -> None:
    """Raise if a chunk of a zarr array is not in its store, nor in its shard."""
    shards = getattr(array, "shards", None)
    stored = shards or array.chunks
    for chunk in chunks_in(slices, stored):
        key = array.metadata.encode_chunk_key(chunk)
        path = f"{array.path}/{key}" if array.path else key
        if not _ask(array.store.exists(path)):
            raise _lost_chunk(array, f"chunk {path!r} is not in the store {array.store}")
        if shards is not None:
            _require_in_shard(array, slices, chunk, path)


def _require_in_shard(array, slices, shard, path) -> None:
    from zarr.abc.store import RangeByteRequest, SuffixByteRequest
    from zarr.core.buffer import default_buffer_prototype

    (codec,) = array.metadata.codecs
    per_shard = [s // c for s, c in zip(array.shards, array.chunks, strict=True)]
    names = [type(part).__name__ for part in codec.index_codecs]
    if names not in (["BytesCodec"], ["BytesCodec", "Crc32cCodec"]):
        raise ValueError(
            f"The index of shard {path!r} is encoded by {', '.join(names)}, so that lost chunks "
            "cannot be checked. Set missing_chunks='fill' to read it unchecked."
        )
    n_bytes = _SHARD_ENTRY * int(np.prod(per_shard))
    total = n_bytes + 4 * (len(names) - 1)
    at_end = str(getattr(codec.index_location, "value", codec.index_location)) == "end"
    request = SuffixByteRequest(total) if at_end else RangeByteRequest(0, total)
    stored = _ask(array.store.get(path, default_buffer_prototype(), request))
    content = b"" if stored is None else stored.to_bytes()
    if len(content) < total:
        raise _lost_chunk(array, f"shard {path!r} of the store {array.store} is cut short")
    index = np.frombuffer(content[:n_bytes], dtype="<u8").reshape(*per_shard, 2)
    within = []
    for part, chunk, size, n, k in zip(
        slices, array.chunks, array.shards, per_shard, shard, strict=True
    ):
        start = max(part.start, k * size) - k * size
        stop = min(part.stop, (k + 1) * size) - k * size
        within.append(range(start // chunk, min(n, -(-stop // chunk))))
    for place in product(*within):
        if index[place][0] == _ABSENT and index[place][1] == _ABSENT:
            raise _lost_chunk(array, f"chunk {place} is not in the shard {path!r} of {array.store}")


def _lost_chunk(array, what) -> FileNotFoundError:
    return FileNotFoundError(
        f"{what}. If zarr left it out because it contains nothing but the fill value "
        f"{array.fill_value!r}, {FILL}."
    )


def _ask(question):
    from zarr.core.sync import sync  # no public way asks a store whether it has a key

    return sync(question)
