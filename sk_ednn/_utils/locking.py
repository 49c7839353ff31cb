"""File locks that the system releases when their process ends."""

from __future__ import annotations

import errno
import os
import re
import socket
import stat
import threading
from contextlib import suppress
from pathlib import Path

# Errors of file systems without locks, such as some network file systems.
_NO_LOCKS = {
    getattr(errno, name, None) for name in ("ENOLCK", "ENOSYS", "ENOTSUP", "EOPNOTSUPP", "EINVAL")
} - {None}
# The locked byte lies beyond the text of the file, so that other processes can read the text on
# Windows, too.
_LOCKED_BYTE = 1 << 30
# The text of a lock; it may be cut off if the disk was full.
_HOLDER = re.compile(rb"process [0-9]+ on [^\n]*\n?")

# Files locked by this process. System locks exclude other processes, not other threads.
_held: dict[str, int] = {}
_guard = threading.Lock()


class Lock:
    """Exclusive lock for writing a file.

    The system's lock is on a small file beside the target, since the target is replaced and would
    take a lock on itself along. The system releases the lock when the process ends, however it
    ends, so that no stale lock remains. Forked processes do not inherit it.

    On file systems without locks, only threads of this process are excluded.

    Parameters
    ----------
    path : str or Path
        File to be written, in a folder that exists.

    Raises
    ------
    BlockingIOError
        If the file is locked; the message names the process.
    """

    def __init__(self, path):
        goal = Path(os.path.realpath(path))
        self._path = goal.with_name(f"{goal.name}.lock")
        self._file = None
        key = str(self._path)
        with _guard:
            if _held.get(key) == os.getpid():
                raise BlockingIOError("this process")
            self._file = _locked(self._path)
            self._owner = _held[key] = os.getpid()

    def release(self) -> None:
        """Release the lock, if it is not released already."""
        with _guard:
            if self._file is None or self._owner != os.getpid():
                return
            # Remove the file while it is locked, so that no process locks a removed file.
            with suppress(OSError):
                self._path.unlink()
            os.close(self._file)
            with suppress(OSError):  # Windows cannot remove open files
                if os.name == "nt":
                    self._path.unlink()
            self._file = None
            _held.pop(str(self._path), None)


def _locked(path) -> int:
    """Lock the file at a path and return its descriptor."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    while True:
        file = os.open(path, flags, 0o666)
        try:
            status = os.fstat(file)
            if not stat.S_ISREG(status.st_mode):
                raise FileExistsError(f"{path} is not a regular file. Remove it.")
            if not _is_lock(file, status):
                raise FileExistsError(
                    f"{path} is needed for a lock, but contains something else. Move it."
                )
            try:
                _take(file)
            except OSError as error:
                if error.errno in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
                    text = os.pread(file, 200, 0) if hasattr(os, "pread") else b""
                    holder = text.decode("utf-8", "replace").strip()
                    raise BlockingIOError(holder or "another process") from None
                if error.errno not in _NO_LOCKS:
                    raise
            if _is_at(path, status):
                os.ftruncate(file, 0)
                os.write(file, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
                return file
        except BaseException:
            os.close(file)
            raise
        os.close(file)  # its previous holder removed the file: lock the new one


def _is_lock(file, status) -> bool:
    """Return whether an open file is empty or an earlier lock, which may be replaced."""
    if not hasattr(os, "pread"):  # Windows
        return True
    text = os.pread(file, 400, 0)
    return status.st_nlink <= 1 and (not text or _HOLDER.fullmatch(text) is not None)


def _is_at(path, status) -> bool:
    try:
        return os.path.samestat(os.stat(path), status)
    except FileNotFoundError:
        return False


def _take(file) -> None:
    """Lock a file for this process, or raise OSError at once."""
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        os.lseek(file, _LOCKED_BYTE, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        os.lseek(file, 0, os.SEEK_SET)
    else:
        # Forked children would keep a flock after their parent is killed.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _LOCKED_BYTE)
