"""The container: one zip of named parts, each with its hash, and a digest of the whole file.

A file is an ordinary zip without compression. Its last part, ``manifest.json``, holds the size and
sha256 of the others; the comment of the archive, its last bytes, holds the sha256 of everything
before it. So no byte of a file is unwatched, and a part has the size that is written of it.
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
_MOST_PARTS = 16
_CHUNK = 1 << 20
# The first bytes of files that pickle, joblib, torch and the compressions that joblib knows write.
_PICKLES = (b"\x80", b"x", b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b'\x04"M\x18', b"ZF")


def write(path, parts) -> str:
    """Write parts into a new file, and put it in the place of `path` in one step.

    Parameters
    ----------
    path : str or Path
    parts : dict of str to bytes, or to a function that writes to a binary file

    Returns
    -------
    str
        Digest of the file.
    """
    with replacing(path, "wb+") as file:
        _write_zip(file, parts)
        digest = _hash(file, os.fstat(file.fileno()).st_size)
        file.write(digest.encode())
    return digest


def _write_zip(file, parts):
    about: dict[str, Any] = {}
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in parts.items():
            with archive.open(_entry(name), "w", force_zip64=True) as part:
                hashing = _Hashing(part)
                content(hashing) if callable(content) else hashing.write(content)
            about[name] = {"size": hashing.size, "sha256": hashing.hash.hexdigest()}
        manifest = {"format": FORMAT, "parts": about}
        archive.writestr(_entry(MANIFEST), json.dumps(manifest, indent=1))
        # The digest itself is not written yet, but its length is.
        archive.comment = _LABEL + b"0" * 64
    file.seek(-64, os.SEEK_END)
    file.truncate()


def _entry(name):
    # Equal models give equal files: no time of writing.
    return zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))


class _Hashing:
    """A file that hashes what is written to it."""

    def __init__(self, file):
        self.file, self.hash, self.size = file, hashlib.sha256(), 0

    def write(self, content):
        self.hash.update(content)
        self.size += len(content)
        return self.file.write(content)


def _hash(file, length) -> str:
    """Return the sha256 of the first bytes of a file, and leave it behind them."""
    digest = hashlib.sha256()
    file.seek(0)
    while length:
        chunk = file.read(min(length, _CHUNK))
        if not chunk:
            break
        digest.update(chunk)
        length -= len(chunk)
    return digest.hexdigest()


# --- reading ----------------------------------------------------------------------------------


class Container:
    """A file whose bytes are those that were written, part by part.

    Attributes
    ----------
    digest : str
    size : int
    parts : dict of str to dict
        Size and sha256 of each.
    budget : Budget
        Of all that is made while the file is read.
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
            raise self._broken("its manifest names other parts than there are")
        for name, about in self.parts.items():
            found = {"size": self._infos[name].file_size, "sha256": self._part_hash(name)}
            if about != found:
                raise self._broken(f"the part {name} is not the one its manifest tells of")

    def __contains__(self, name):
        return name in self._infos

    def json(self, name):
        """Return the content of a part that is JSON.

        Raises
        ------
        ModelFileError
            Where it is none, or would take too much memory.
        """
        size = self._infos[name].file_size if name in self else 0
        with self.part(name) as part, self.budget.held(size, name):
            return read_json(part.read(size), name, self.budget)

    def part(self, name):
        """Return a part as a binary file.

        Raises
        ------
        ModelFileError
            Where there is no such part.
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
            raise self._broken(f"the part {name} is not where it should be")
        return io.BufferedReader(_Slice(self._file, start, info.file_size))

    def _broken(self, why):
        return ModelFileError(
            f"{self.path} cannot be read: {why}. It was not written by sk_ednn.files.save as it "
            "is; get it anew from where it came from."
        )

    def _whole(self) -> str:
        self._file.seek(0)
        first = self._file.read(8)
        if not first.startswith(b"PK\x03\x04"):
            if first.startswith(_PICKLES):
                raise ModelFileError(
                    f"{self.path} looks like a pickle (as joblib and older versions of sk-ednn "
                    "wrote), and opening one runs what is in it: it is not opened. If you trust "
                    "it, write it anew: sk_ednn.files.save(joblib.load(old), new)."
                )
            raise self._broken("it is no model file")
        if self.size < _END + _COMMENT:
            raise self._broken("it is cut off")
        self._file.seek(self.size - _COMMENT)
        comment = self._file.read(_COMMENT)
        if not comment.startswith(_LABEL):
            held = _arrays_in(self._file)
            if held:
                raise ModelFileError(
                    f"{self.path} is no model: it is an .npz file of the arrays "
                    f"{', '.join(held)}. Models are written by sk_ednn.files.save."
                )
            raise self._broken("it does not end with its digest; it is damaged or cut off")
        digest = _hash(self._file, self.size - 64)
        if comment[len(_LABEL) :] != digest.encode():
            raise self._broken("its digest is not that of its bytes; it is damaged")
        return digest

    def _entries(self) -> dict[str, zipfile.ZipInfo]:
        try:
            _require_few_entries(self._file, self.size)
            with zipfile.ZipFile(self._file) as archive:
                infos = archive.infolist()
        except Exception as error:  # zipfile raises what it meets
            raise self._broken(f"it is no whole zip ({error})") from error
        names = [info.filename for info in infos]
        if len(set(names)) < len(names):
            raise self._broken("it has two parts of one name")
        for info in infos:
            if not _NAME.fullmatch(info.filename):
                raise self._broken(f"it has a part with the name {info.filename!r}")
            if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
                raise self._broken(f"the part {info.filename} is compressed")
        # Parts that lay in one another could be larger together than the file.
        if sum(info.file_size for info in infos) > self.size:
            raise self._broken("its parts are larger than it is")
        return {info.filename: info for info in infos}

    def _part_hash(self, name) -> str:
        with self.part(name) as part:
            return _hash(part, self._infos[name].file_size)


@contextmanager
def opened(path, max_bytes=None):
    """Open a file for reading and check all of it; yield a `Container`.

    Whatever goes wrong within the block is the file's fault, and says so.

    Raises
    ------
    FileNotFoundError
    ModelFileError
        Where any byte is not what was written, and in place of whatever the block raises, but for
        a library that is not installed.
    """
    _require_file(path)
    try:
        with open(path, "rb") as file:
            yield Container(file, path, max_bytes)
    except (ImportError, Warning):  # a Warning that the user made an error
        raise
    except ModelFileError as error:
        if str(error).startswith(str(path)):
            raise
        raise ModelFileError(f"{path} cannot be read: {error}.") from error
    except Exception as error:  # each layer below raises what it meets
        raise ModelFileError(f"{path} cannot be read: {reason(error)}.") from error


def _require_file(path):
    """Raise where a path is that of no ordinary file, which might never end or never begin."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        if not os.path.islink(path):
            raise
        raise ModelFileError(
            f"{path} cannot be read: it is a link to {os.readlink(path)}, which is not there."
        ) from None
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read: {reason(error)}.") from error
    if not stat.S_ISREG(mode):
        raise ModelFileError(f"{path} cannot be read: it is {kind_of(mode)}, and models are files.")


def reason(error) -> str:
    """Return what an exception of another library says, on one line and not without end."""
    words = " ".join(str(error).split())
    words = f"{words[:300]}..." if len(words) > 300 else words.rstrip(".")
    if isinstance(error, OSError):
        return error.strerror or words
    if isinstance(error, RecursionError):
        return "what it describes is nested too deeply"
    if isinstance(error, MemoryError):
        return f"there is not enough memory for what it describes ({words})"
    return f"it does not describe a model ({type(error).__name__}: {words})"


def read_json(content, name, budget):
    """Return a JSON text, unless what it describes would take more memory than it may.

    A list of empty lists takes ten times the memory of its text, so that values are counted before
    they are made.

    Parameters
    ----------
    content : bytes
    name : str
        Of the part, for messages.
    budget : Budget
    """
    with budget.text(content, name):
        try:
            return json.loads(content.decode(), object_pairs_hook=_distinct)
        except (ValueError, RecursionError) as error:
            raise ModelFileError(
                f"{budget.path} cannot be read: {name} is not JSON ({reason(error)})."
            ) from error


def _distinct(pairs):
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name is given twice")
    return found


def _require_few_entries(file, size):
    """Raise where a zip's directory is longer than that of a few parts: zipfile reads all of it."""
    end = size - _COMMENT - _END
    file.seek(end)
    record = file.read(_END)
    if record[:4] != b"PK\x05\x06":
        raise ValueError("its end record is missing")
    lengths = [int.from_bytes(record[12:16], "little")]
    if end >= 76:  # a larger directory may be told of before, in records of 56 and 20 bytes
        file.seek(end - 76)
        wide = file.read(76)
        if wide[56:60] == b"PK\x06\x07":
            if wide[:4] != b"PK\x06\x06" or int.from_bytes(wide[64:72], "little") != end - 76:
                raise ValueError("its end records are not one behind the other")
            lengths.append(int.from_bytes(wide[40:48], "little"))
    if max(lengths) > 128 * _MOST_PARTS:
        raise ValueError(f"its directory is longer than that of {_MOST_PARTS} parts")


class _Slice(io.RawIOBase):
    """A stretch of a file, as a file: parts are read without a copy of them in memory."""

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
    """Return the first names of the arrays in an .npz file, none where it is something else."""
    try:
        # Its end record is the last of it, without the comment that a model ends with.
        _require_few_entries(file, file.seek(0, os.SEEK_END) + _COMMENT)
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
    except Exception:  # zipfile raises what it meets
        return []
    if not names or not all(name.endswith(".npy") for name in names):
        return []
    return [repr(name.removesuffix(".npy")[:40]) for name in names[:5]]
