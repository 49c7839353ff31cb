"""Read and append to the files of a run, which another process may be writing.

Files are opened without following symbolic links, and only if they are regular files: the folder of
a run may come from someone else.
"""

from __future__ import annotations

import errno
import json
import math
import os
import stat
import threading
from pathlib import Path
from typing import Any

from .._utils.writing import replacing

# Other processes may give these to a run.
COMMANDS = ("stop", "pause", "resume")
# A description of a run has kilobytes.
_MOST_BYTES = 16 * 2**20
_NO_SUCH = {errno.ENOENT, errno.ENOTDIR}


def open_regular(path):
    """Open a file for reading, in binary; raise OSError for links, pipes and devices."""
    flags = os.O_RDONLY
    for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY"):
        flags |= getattr(os, name, 0)
    descriptor = os.open(path, flags)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise FileExistsError(f"{path} is not a regular file.")
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def signature_of(path) -> tuple | None:
    """Return a value that changes when a file is replaced or grows; None without a file."""
    try:
        status = os.lstat(path)
    except OSError as error:
        if error.errno in _NO_SUCH:
            return None
        raise
    return status.st_ino, status.st_size, status.st_mtime_ns


def to_line(record) -> bytes:
    """Return a record as one line of JSON; numbers that are not finite become null."""
    return _dumped(record, separators=(", ", ": ")).encode() + b"\n"


def write_json(path, record) -> None:
    """Replace a file by an indented JSON object, at once; a link is replaced, not its target."""
    if os.path.islink(path):
        os.unlink(path)
    with replacing(path, "w", encoding="utf-8") as file:
        file.write(_dumped(record, indent=1))
        file.write("\n")


def _dumped(record, **layout) -> str:
    """Return a record as JSON in UTF-8; bytes of names of files that are none are escaped."""
    text = json.dumps(_finite(record), ensure_ascii=False, allow_nan=False, **layout)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(_finite(record), allow_nan=False, **layout)
    return text


def plain(value) -> Any:
    """Return a value as JSON; other objects are replaced by their repr."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(inner) for inner in value]
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "tolist") and hasattr(value, "dtype"):  # numpy's numbers and small arrays
        return plain(value.tolist()) if value.size <= 1000 else repr(value)
    return repr(value)


def _finite(value):
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_finite(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


class JsonFile:
    """A small JSON object, parsed again only when its file has changed.

    Parameters
    ----------
    path : Path
    """

    def __init__(self, path):
        self.path = Path(path)
        self._signature: tuple | None = None
        self._value: dict[str, Any] | None = None

    def read(self) -> dict[str, Any] | None:
        """Return the object; None if there is no file, or none that can be read."""
        signature = signature_of(self.path)
        if signature != self._signature or signature is None:
            self._value = None if signature is None else self._parsed()
            self._signature = signature
        return self._value

    def _parsed(self):
        try:
            with open_regular(self.path) as file:
                content = file.read(_MOST_BYTES + 1)
        except OSError:
            return None
        return None if len(content) > _MOST_BYTES else parsed(content)


class JsonLines:
    """The records of a growing file, one JSON object a line; `read` parses what was added.

    A last line without its end is one that is being written, or was torn by a kill: it is left for
    the next `read`. Lines that are not JSON objects are skipped.

    Parameters
    ----------
    path : Path
    """

    def __init__(self, path):
        self.path = Path(path)
        self._signature: tuple | None = None
        self._offset = 0
        self._records: list[dict[str, Any]] = []
        # Two threads that read what was added would both append it.
        self._lock = threading.Lock()

    def read(self) -> list[dict[str, Any]]:
        """Return all records so far."""
        with self._lock:
            return self._read()

    def _read(self):
        signature = signature_of(self.path)
        if signature == self._signature:
            return self._records
        before = self._signature
        if signature is None or before is None or signature[0] != before[0] or (
            signature[1] < self._offset
        ):  # fmt: skip
            self._offset, self._records = 0, []
        if signature is not None:
            try:
                self._append()
            except OSError:
                self._records = []
        self._signature = signature
        return self._records

    def _append(self):
        with open_regular(self.path) as file:
            file.seek(self._offset)
            content = file.read()
        end = content.rfind(b"\n") + 1
        records = [parsed(line) for line in content[:end].splitlines()]
        # A new list: callers may go through the one from before.
        self._records = self._records + [record for record in records if record is not None]
        self._offset += end


def parsed(content) -> dict[str, Any] | None:
    """Return a JSON object, or None for anything else."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


class Appender:
    """Append records to a file, each by a single write, so that a kill tears at most the last.

    Parameters
    ----------
    path : Path
        Created with the first record.
    """

    def __init__(self, path):
        self._path = path
        self._file: int | None = None
        self._lock = threading.Lock()

    def write(self, record) -> None:
        """Append a record; several processes and threads may do so."""
        with self._lock:
            if self._file is None:
                self._file = self._opened()
            line = to_line(record)
            while line:  # a nearly full disk takes only a part
                line = line[os.write(self._file, line) :]

    def close(self) -> None:
        with self._lock:
            if self._file is not None:
                os.close(self._file)
                self._file = None

    def _opened(self) -> int:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT
        for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY"):
            flags |= getattr(os, name, 0)
        file = os.open(self._path, flags, 0o666)
        size = os.lseek(file, 0, os.SEEK_END)
        if size:
            os.lseek(file, -1, os.SEEK_END)
            if os.read(file, 1) != b"\n":  # torn by a kill: what follows is its own line
                os.write(file, b"\n")
        return file


def append(path, record) -> None:
    """Append one record to a file."""
    appender = Appender(path)
    try:
        appender.write(record)
    finally:
        appender.close()
