"""Zip files of named parts, protected by hashes of each part and of the whole file.

A file is a zip without compression. The last part, ``manifest.json``, contains the size and sha256
of all others. The comment of the archive, its last bytes, contains the sha256 of everything before
it. All bytes of a file are therefore covered by a hash.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import stat
import zipfile
from contextlib import contextmanager
from typing import Any

from .._utils.writing import kind_of, replacing
from ..exceptions import ModelFileError
from ._budget import Budget

FORMAT = "sk_ednn model"
CONFIG, MANIFEST = "config.json", "manifest.json"
_LABEL = b"sk_ednn sha256 "
_COMMENT = len(_LABEL) + 64
_END = 22  # bytes of a zip's end record before its comment
_NAME = re.compile(r"[a-z0-9_]+\.(json|safetensors|skops)")
_MAX_PARTS = 16
_CHUNK_BYTES = 1 << 20
# First bytes of files written by pickle, joblib, torch, and the compressors of joblib.
_PICKLES = (b"\x80", b"x", b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b'\x04"M\x18', b"ZF")


def write(path, parts) -> str:
    """Write parts to a file, which is replaced atomically.

    Parameters
    ----------
    path : str or Path
    parts : dict of str to bytes, or to a function that writes to a binary file

    Returns
    -------
    str
        sha256 of the file.
    """
    with replacing(path, "wb+") as file:
        _write_zip(file, parts)
        digest = _hash(file, os.fstat(file.fileno()).st_size)
        file.write(digest.encode())
    return digest


def _write_zip(file, parts):
    entries: dict[str, Any] = {}
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in parts.items():
            with archive.open(_entry(name), "w", force_zip64=True) as part:
                hashing = _Hashing(part)
                content(hashing) if callable(content) else hashing.write(content)
            entries[name] = {"size": hashing.size, "sha256": hashing.hash.hexdigest()}
        manifest = {"format": FORMAT, "parts": entries}
        archive.writestr(_entry(MANIFEST), json.dumps(manifest, indent=1))
        # A placeholder: the length of the comment is part of the hash.
        archive.comment = _LABEL + b"0" * 64
    file.seek(-64, os.SEEK_END)
    file.truncate()


def _entry(name):
    # A fixed time, so that equal models give equal files.
    return zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))


class _Hashing:
    """A file that hashes all bytes written to it."""

    def __init__(self, file):
        self.file, self.hash, self.size = file, hashlib.sha256(), 0

    def write(self, content):
        self.hash.update(content)
        self.size += len(content)
        return self.file.write(content)


def _hash(file, length) -> str:
    """Return the sha256 of the first bytes of a file, and leave its position after them."""
    digest = hashlib.sha256()
    file.seek(0)
    while length:
        chunk = file.read(min(length, _CHUNK_BYTES))
        if not chunk:
            break
        digest.update(chunk)
        length -= len(chunk)
    return digest.hexdigest()


# --- reading ----------------------------------------------------------------------------------


class Container:
    """An intact file, checked in full when opened.

    Attributes
    ----------
    digest : str
        sha256 of the file.
    size : int
    parts : dict of str to dict
        Size and sha256 of each part.
    budget : Budget
        Memory that reading may take.
    """

    def __init__(self, file, path, max_bytes=None):
        self.path, self._file = path, file
        self.size = os.fstat(file.fileno()).st_size
        self.budget = Budget(path, self.size, max_bytes)
        self.digest = self._whole()
        self._infos = self._entries()
        manifest = self.json(MANIFEST)
        if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
            raise self._broken("its manifest is that of another format")
        self.parts = manifest.get("parts")
        if not isinstance(self.parts, dict) or set(self.parts) != set(self._infos) - {MANIFEST}:
            raise self._broken("its manifest lists other parts than it contains")
        for name, entry in self.parts.items():
            actual = {"size": self._infos[name].file_size, "sha256": self._part_hash(name)}
            if entry != actual:
                raise self._broken(f"the part {name} does not match its manifest")

    def __contains__(self, name):
        return name in self._infos

    def json(self, name):
        """Return the content of a JSON part.

        Raises
        ------
        ModelFileError
            If it is not JSON, or would take too much memory.
        """
        size = self._infos[name].file_size if name in self else 0
        with self.part(name) as part, self.budget.reserved(size, name):
            return read_json(part.read(size), name, self.budget)

    def part(self, name):
        """Return a part as a binary file.

        Raises
        ------
        ModelFileError
            If there is no such part.
        """
        if name not in self._infos:
            raise self._broken(f"it has no part {name}")
        info = self._infos[name]
        self._file.seek(info.header_offset)
        header = self._file.read(30)
        start = (
            info.header_offset
            + 30
            + sum(int.from_bytes(header[at : at + 2], "little") for at in (26, 28))
        )
        if header[:4] != b"PK\x03\x04" or start + info.file_size > self.size:
            raise self._broken(f"the offset of the part {name} is wrong")
        return io.BufferedReader(_Slice(self._file, start, info.file_size))

    def _broken(self, why):
        return ModelFileError(
            f"{self.path} cannot be read: {why}. It is not as sk_ednn.files.save wrote it; get a "
            "new copy from its source."
        )

    def _whole(self) -> str:
        self._file.seek(0)
        first = self._file.read(8)
        if not first.startswith(b"PK\x03\x04"):
            if first.startswith(_PICKLES):
                raise ModelFileError(
                    f"{self.path} looks like a pickle, as written by joblib and older versions of "
                    "sk-ednn. It is not opened, since that would run code in it. If you trust it, "
                    "convert it: sk_ednn.files.save(joblib.load(old), new)."
                )
            raise self._broken("it is not a model file")
        if self.size < _END + _COMMENT:
            raise self._broken("it is truncated")
        self._file.seek(self.size - _COMMENT)
        comment = self._file.read(_COMMENT)
        if not comment.startswith(_LABEL):
            names = _arrays_in(self._file)
            if names:
                raise ModelFileError(
                    f"{self.path} is not a model: it is an .npz file of the arrays "
                    f"{', '.join(names)}. Models are written by sk_ednn.files.save."
                )
            raise self._broken("it does not end with its sha256; it is damaged or truncated")
        digest = _hash(self._file, self.size - 64)
        if comment[len(_LABEL) :] != digest.encode():
            raise self._broken("its sha256 does not match its bytes; it is damaged")
        return digest

    def _entries(self) -> dict[str, zipfile.ZipInfo]:
        try:
            _require_few_entries(self._file, self.size)
            with zipfile.ZipFile(self._file) as archive:
                infos = archive.infolist()
        except Exception as error:  # zipfile raises errors of many classes
            raise self._broken(f"it is not an intact zip ({error})") from error
        names = [info.filename for info in infos]
        if len(set(names)) < len(names):
            raise self._broken("it has two parts with one name")
        for info in infos:
            if not _NAME.fullmatch(info.filename):
                raise self._broken(f"it has a part with the name {info.filename!r}")
            if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
                raise self._broken(f"the part {info.filename} is compressed")
        # Overlapping parts could exceed the file in total.
        if sum(info.file_size for info in infos) > self.size:
            raise self._broken("its parts are larger than the file")
        return {info.filename: info for info in infos}

    def _part_hash(self, name) -> str:
        with self.part(name) as part:
            return _hash(part, self._infos[name].file_size)


@contextmanager
def opened(path, max_bytes=None):
    """Open a file, check all of it, and yield a `Container`.

    Errors within the block are attributed to the file.

    Raises
    ------
    FileNotFoundError
    ModelFileError
        If any byte is damaged, and in place of any error of the block except missing libraries.
    """
    _require_file(path)
    try:
        with open(path, "rb") as file:
            yield Container(file, path, max_bytes)
    except (ImportError, Warning):  # a warning that a filter turned into an error
        raise
    except ModelFileError as error:
        if str(error).startswith(str(path)):
            raise
        raise ModelFileError(f"{path} cannot be read: {error}.") from error
    except Exception as error:  # the layers below raise errors of many classes
        raise ModelFileError(f"{path} cannot be read: {reason(error)}.") from error


def _require_file(path):
    """Raise unless a path is a regular file; reading a pipe or device might never end."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        if not os.path.islink(path):
            raise
        raise ModelFileError(
            f"{path} cannot be read: it is a link to {os.readlink(path)}, which does not exist."
        ) from None
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read: {reason(error)}.") from error
    if not stat.S_ISREG(mode):
        raise ModelFileError(f"{path} cannot be read: it is {kind_of(mode)}, not a file.")


def reason(error) -> str:
    """Return the message of another library's error on one line of limited length."""
    words = " ".join(str(error).split())
    words = f"{words[:300]}..." if len(words) > 300 else words.rstrip(".")
    if isinstance(error, OSError):
        return error.strerror or words
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, MemoryError):
        return f"it needs more memory than is free ({words})"
    return f"it does not describe a model ({type(error).__name__}: {words})"


def read_json(content, name, budget):
    """Parse a JSON text within a budget of memory.

    Values are counted before they are created, since a list of empty lists takes ten times the
    memory of its text.

    Parameters
    ----------
    content : bytes
    name : str
        Name of the part in messages.
    budget : Budget
    """
    with budget.text(content, name):
        try:
            return json.loads(content.decode(), object_pairs_hook=_without_duplicates)
        except (ValueError, RecursionError) as error:
            raise ModelFileError(
                f"{budget.path} cannot be read: {name} is not JSON ({reason(error)})."
            ) from error


def _without_duplicates(pairs):
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        raise ValueError("it has a duplicate name")
    return mapping


def _require_few_entries(file, size):
    """Raise if the directory of a zip, which zipfile reads as a whole, is too long."""
    end = size - _COMMENT - _END
    file.seek(end)
    record = file.read(_END)
    if record[:4] != b"PK\x05\x06":
        raise ValueError("its end record is missing")
    lengths = [int.from_bytes(record[12:16], "little")]
    if end >= 76:  # the zip64 end record and its locator, of 56 and 20 bytes, may come before
        file.seek(end - 76)
        wide = file.read(76)
        if wide[56:60] == b"PK\x06\x07":
            if wide[:4] != b"PK\x06\x06" or int.from_bytes(wide[64:72], "little") != end - 76:
                raise ValueError("its end records are not adjacent")
            lengths.append(int.from_bytes(wide[40:48], "little"))
    if max(lengths) > 128 * _MAX_PARTS:
        raise ValueError(f"its directory is longer than that of {_MAX_PARTS} parts")


class _Slice(io.RawIOBase):
    """A slice of a file as a file, so that parts are not copied into memory."""

    def __init__(self, file, start, size):
        self._source, self._start, self._size, self._at = file, start, size, 0

    def readable(self):
        return True

    def seekable(self):
        return True

    def tell(self):
        return self._at

    def seek(self, offset, whence=os.SEEK_SET):
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer):
        n = min(len(buffer), max(0, self._size - self._at))
        self._source.seek(self._start + self._at)
        n = self._source.readinto(memoryview(buffer)[:n])
        self._at += n
        return n


def _arrays_in(file) -> list[str]:
    """Return the first names of arrays in an .npz file, an empty list for other files."""
    try:
        # An .npz file ends with its end record, without the comment of a model.
        _require_few_entries(file, file.seek(0, os.SEEK_END) + _COMMENT)
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
    except Exception:  # zipfile raises errors of many classes
        return []
    if not names or not all(name.endswith(".npy") for name in names):
        return []
    return [repr(name.removesuffix(".npy")[:40]) for name in names[:5]]
