"""Files that are replaced in one step: a full disk or a kill leaves the old one whole."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path

_KINDS = (
    (stat.S_ISREG, "a file"),
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
_STANDARD = ((1, "standard output"), (2, "standard error"))

_FULL = {getattr(errno, name, None) for name in ("ENOSPC", "EDQUOT", "EFBIG", "EIO")} - {None}


@contextmanager
def replacing(path, mode="wb", *, encoding=None):
    """Open a new file that takes the place of `path` once all is written to it.

    The file is made beside its goal under a random name, never through a link that is already
    there. It is on the disk before it is renamed. Where anything fails, it is removed and the goal
    is as it was.

    A symbolic link stays one, and the file that it leads to is replaced. The new file has the
    permissions of the old one, or those of the umask. A hard link to the old file keeps the old
    content.

    Parameters
    ----------
    path : str or Path
    mode : {"wb", "wb+", "w", "w+"}, default="wb"
    encoding : str, default=None
        For text.

    Yields
    ------
    file

    Raises
    ------
    OSError
        Where the path is a folder, a device, a pipe or a socket, where it is what standard output
        goes to, where it may not be written, where its folder does not exist, or the disk is full.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "totals.txt")
    ...     _ = path.write_text("-16")
    ...     try:
    ...         with replacing(path, "w", encoding="ascii") as file:
    ...             _ = file.write("-1")
    ...             raise KeyboardInterrupt
    ...     except KeyboardInterrupt:
    ...         path.read_text(), len(list(path.parent.iterdir()))
    ('-16', 1)
    """
    goal, old = _goal(path)
    temporary = _beside(goal)
    try:
        with naming_errors(path):
            with _created(temporary, mode, encoding, 0o666 if old is None else 0o600) as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            _keep_permissions(temporary, old)
            os.replace(temporary, goal)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing_path(path):
    """Yield the path of a file or folder to be made, which then takes the place of `path`.

    For libraries that open their files themselves. The path has the same name, in a new folder that
    only this user may open. A folder is moved only to where nothing is yet. All else is as in
    `replacing`.

    Parameters
    ----------
    path : str or Path

    Yields
    ------
    Path
    """
    goal, old = _goal(path)
    with naming_errors(path):
        folder = Path(tempfile.mkdtemp(prefix=".", suffix=".tmp", dir=goal.parent))
        try:
            made = folder / goal.name
            yield made
            if not made.is_dir():
                with open(made, "rb+") as file:
                    os.fsync(file.fileno())
                _keep_permissions(made, old)
            os.replace(made, goal)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def check_writable(path) -> None:
    """Raise where `replacing` cannot write a file: before hours of work, not after.

    Parameters
    ----------
    path : str or Path

    Raises
    ------
    OSError
        See `replacing`.
    """
    goal, _ = _goal(path)
    probe = _beside(goal)
    try:
        # Permissions say little about network and read-only file systems.
        with _created(probe, "wb", None, 0o600):
            pass
    except OSError as error:
        raise type(error)(
            f"The folder {goal.parent} cannot be written to ({error.strerror}), which {goal.name} "
            "needs: a new file is made beside the old one. Give a path in another folder."
        ) from error
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)


def kind_of(mode: int) -> str:
    """Return in words what has this `st_mode`."""
    return next((kind for is_kind, kind in _KINDS if is_kind(mode)), "something else")


def _goal(path) -> tuple[Path, os.stat_result | None]:
    """Return the file that a path leads to, and its status if there is one."""
    name = os.fsdecode(path)
    if name.endswith(("/", os.sep)):
        raise IsADirectoryError(f"{name} is the name of a folder; give the name of a file.")
    goal = Path(os.path.realpath(name))
    try:
        # The path and not the goal: what /dev/stdout leads to may have no name.
        old = os.stat(name)
    except (FileNotFoundError, NotADirectoryError):
        old = None
    if old is not None:
        _check_old(name, goal, old)
    elif not goal.parent.is_dir():
        linked = os.path.islink(name)
        folder = goal.parent if linked else Path(name).parent
        raise FileNotFoundError(
            f"There is no folder {folder} to write {goal.name} in: make it, or give another."
            + (f" {name} is a link to {goal}." if linked else "")
        )
    return goal, old


def _check_old(name, goal, old):
    kind = kind_of(old.st_mode)
    if kind != "a file":
        error = IsADirectoryError if kind == "a folder" else FileExistsError
        raise error(f"{name} is {kind}, not a file; give the name of a file.")
    for number, stream in _STANDARD:
        if _goes_to(number, old):
            raise FileExistsError(
                f"{name} is the file that {stream} goes to: what is written there would be lost. "
                "Give another name."
            )
    if not os.access(goal, os.W_OK):
        raise PermissionError(f"{name} cannot be written: permission denied.")
    folder = os.stat(goal.parent)
    user = getattr(os, "geteuid", lambda: 0)()  # Windows has neither
    if folder.st_mode & stat.S_ISVTX and user not in {0, old.st_uid, folder.st_uid}:
        raise PermissionError(
            f"{name} belongs to another user, in a folder where only its owner may replace it; "
            "give another name."
        )


def _goes_to(number, status) -> bool:
    try:
        return os.path.samestat(status, os.fstat(number))
    except OSError:  # it is closed
        return False


def _beside(goal) -> Path:
    # Beside it, since a file is only moved in one step within a file system. The name is cut, since
    # one that is as long as may be leaves no room for more.
    return goal.with_name(f".{goal.name[:32]}.{secrets.token_hex(8)}.tmp")


def _created(path, mode, encoding, permissions):
    """Open a file that must not exist; a link in its place is not followed."""
    return open(
        path,
        mode.replace("w", "x"),
        encoding=encoding,
        opener=lambda name, flags: os.open(name, flags, permissions),
    )


def _keep_permissions(path, old):
    """Give a file the group, owner and permissions of the one it replaces, where we may."""
    if old is None:
        return
    for owner in ({"uid": -1, "gid": old.st_gid}, {"uid": old.st_uid, "gid": -1}):
        with suppress(OSError, AttributeError):  # Windows has no chown
            os.chown(path, **owner)
    with suppress(OSError):
        os.chmod(path, stat.S_IMODE(old.st_mode) & 0o777)


@contextmanager
def naming_errors(path):
    """Add the name of the file to errors that lack it, as those of a full disk do."""
    try:
        yield
    except OSError as error:
        if error.filename is not None or len(error.args) > 2:
            raise
        if error.errno in _FULL:
            raise type(error)(error.errno, error.strerror, os.fsdecode(path)) from error
        if error.errno is None and "requested and" in str(error):  # numpy's tofile
            raise OSError(f"{path} cannot be written: {error}. Is the disk full?") from error
        raise
