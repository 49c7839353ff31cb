"""Locks on files that die with the process that holds them."""

from __future__ import annotations

import errno
import os
import socket
import stat
import threading
from contextlib import suppress
from pathlib import Path

# What file systems without locks answer, such as some network file systems.
_NO_LOCKS = {
    getattr(errno, name, None) for name in ("ENOLCK", "ENOSYS", "ENOTSUP", "EOPNOTSUPP", "EINVAL")
} - {None}
_AT = 1 << 30  # behind the text of the file, which others may so read on Windows too

# The files that this process holds. Locks of the system tell processes apart, not their threads.
_held: dict[str, int] = {}
_guard = threading.Lock()


class Lock:
    """The right to write a file, which one training or run has at a time.

    A small file is made beside the one that is meant, and the system's lock is on that: the file
    that is meant is replaced, and a lock would go with the old one. The system ends the lock with
    the process, however that ends, so that nothing is left to be cleaned up by hand. Processes that
    were forked from the one with the lock do not have it.

    On file systems without locks only this process is watched.

    Parameters
    ----------
    path : str or Path
        The folder must exist.

    Raises
    ------
    BlockingIOError
        Where another has it; the message says which process.
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
        """Give the right back; a second time does nothing."""
        with _guard:
            if self._file is None or self._owner != os.getpid():
                return
            # While it is locked, so that nobody locks a file that is then removed.
            with suppress(OSError):
                self._path.unlink()
            os.close(self._file)
            with suppress(OSError):  # Windows removes no file that is open
                if os.name == "nt":
                    self._path.unlink()
            self._file = None
            _held.pop(str(self._path), None)


def _locked(path) -> int:
    """Return a descriptor of a file that is locked, and that is still the one at this path."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    while True:
        file = os.open(path, flags, 0o666)
        try:
            status = os.fstat(file)
            if not stat.S_ISREG(status.st_mode):
                raise FileExistsError(f"{path} is not a file: remove it.")
            try:
                _take(file)
            except OSError as error:
                if error.errno in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
                    holder = os.pread(file, 200, 0) if hasattr(os, "pread") else b""
                    said = holder.decode("utf-8", "replace").strip()
                    raise BlockingIOError(said or "another process") from None
                if error.errno not in _NO_LOCKS:
                    raise
            if _is_at(path, status):
                os.ftruncate(file, 0)
                os.write(file, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
                return file
        except BaseException:
            os.close(file)
            raise
        os.close(file)  # who had it removed the file: lock the new one


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

        os.lseek(file, _AT, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        os.lseek(file, 0, os.SEEK_SET)
    else:
        # Not flock: children that were forked would keep it after their parent was killed.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _AT)
