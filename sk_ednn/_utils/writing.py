"""Replace files atomically, so that a full disk or a kill leaves the old file intact."""

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
    """Open a temporary file that replaces `path` once it is completely written.

    The file is created beside its target under a random name, without following existing links,
    and synced to disk before it is renamed. On any failure it is removed, and the target is
    unchanged.

    If the path is a symbolic link, the file it points to is replaced. The new file gets the
    permissions of the old one, or those of the umask. Hard links to the old file keep the old
    content.

    Parameters
    ----------
    path : str or Path
    mode : {"wb", "wb+", "w", "w+"}, default="wb"
    encoding : str, default=None
        Encoding of text files.

    Yields
    ------
    file

    Raises
    ------
    OSError
        If the path is a folder, device, pipe or socket, or the file that standard output or error
        goes to; if it is not writable, its folder does not exist, or the disk is full.

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
    """Yield a temporary path for a file or folder that replaces `path`.

    For libraries that open files themselves. The temporary path has the same name, in a new folder
    that only this user can access. A folder cannot replace anything that exists. Otherwise as
    `replacing`.

    Parameters
    ----------
    path : str or Path

    Yields
    ------
    Path
    """
    goal, old = _goal(path)
    with naming_errors(path), _temporary_folder(goal) as folder:
        temporary = folder / goal.name
        yield temporary
        if not temporary.is_dir():
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
            _keep_permissions(temporary, old)
        os.replace(temporary, goal)


@contextmanager
def replacing_folder(path):
    """Yield a temporary folder that replaces the folder at `path` once all in it is written.

    No system exchanges two folders at once: the old one is moved aside first, and moved back if the
    new one cannot take its place. On any failure the new one is removed.

    Parameters
    ----------
    path : str or Path

    Yields
    ------
    Path
        A new, empty folder.

    Raises
    ------
    OSError
        If the path is no folder, or the folder around it does not exist or is not writable.
    """
    name, goal = os.fsdecode(path), Path(os.path.realpath(path))
    if os.path.lexists(name) and not goal.is_dir():
        kind = kind_of(os.lstat(name).st_mode) if goal.exists() else "a link to nothing"
        raise FileExistsError(f"{name} is {kind}, not a folder. Choose another name.")
    _require_parent(name, goal)
    with naming_errors(path), _temporary_folder(goal) as folder:
        temporary, old = folder / goal.name, folder / "old"
        temporary.mkdir()
        yield temporary
        if goal.exists():
            os.replace(goal, old)
        try:
            os.replace(temporary, goal)
        except OSError:
            if old.exists():
                os.replace(old, goal)
            raise


def check_writable(path) -> None:
    """Raise if `replacing` cannot write a file, before hours of work instead of after.

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
        # Permissions are unreliable on network and read-only file systems.
        with _created(probe, "wb", None, 0o600):
            pass
    except OSError as error:
        raise type(error)(
            f"The folder {goal.parent} is not writable ({error.strerror}), but {goal.name} is "
            "replaced by a new file in it. Choose a path in another folder."
        ) from error
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)


def kind_of(mode: int) -> str:
    """Return a name for the kind of file with this `st_mode`."""
    return next((kind for is_kind, kind in _KINDS if is_kind(mode)), "something else")


def _goal(path) -> tuple[Path, os.stat_result | None]:
    """Return the file that a path points to, and its status, None if it does not exist."""
    name = os.fsdecode(path)
    if name.endswith(("/", os.sep)):
        raise IsADirectoryError(f"{name} is the name of a folder. Choose the name of a file.")
    goal = Path(os.path.realpath(name))
    try:
        # The path is checked, since the target of /dev/stdout may have no name.
        old = os.stat(name)
    except (FileNotFoundError, NotADirectoryError):
        old = None
    if old is not None:
        _check_old(name, goal, old)
    else:
        _require_parent(name, goal)
    return goal, old


def _require_parent(name, goal):
    """Raise if the folder in which a new file or folder is to be created does not exist."""
    if goal.parent.is_dir():
        return
    linked = os.path.islink(name)
    folder = goal.parent if linked else Path(name).parent
    raise FileNotFoundError(
        f"The folder {folder} for {goal.name} does not exist. Create it, or choose another."
        + (f" {name} is a link to {goal}." if linked else "")
    )


def _check_old(name, goal, old):
    kind = kind_of(old.st_mode)
    if kind != "a file":
        error = IsADirectoryError if kind == "a folder" else FileExistsError
        raise error(f"{name} is {kind}, not a file. Choose the name of a file.")
    for number, stream in _STANDARD:
        if _goes_to(number, old):
            raise FileExistsError(
                f"{name} is the file that {stream} goes to, whose text would be lost. Choose "
                "another name."
            )
    if not os.access(goal, os.W_OK):
        raise PermissionError(f"{name} is not writable: permission denied.")
    folder = os.stat(goal.parent)
    user = getattr(os, "geteuid", lambda: 0)()  # Windows has neither
    if folder.st_mode & stat.S_ISVTX and user not in {0, old.st_uid, folder.st_uid}:
        raise PermissionError(
            f"{name} belongs to another user, in a folder where only its owner can replace it. "
            "Choose another name."
        )


def _goes_to(number, status) -> bool:
    try:
        return os.path.samestat(status, os.fstat(number))
    except OSError:  # it is closed
        return False


def _beside(goal) -> Path:
    # In the same folder, since renaming is atomic only within a file system. The name is cut, since
    # a name of maximal length leaves no room for a suffix.
    return goal.with_name(f".{goal.name[:32]}.{secrets.token_hex(8)}.tmp")


@contextmanager
def _temporary_folder(goal):
    """Create a folder beside a file that only this user can access, and remove it in the end."""
    folder = Path(tempfile.mkdtemp(prefix=".", suffix=".tmp", dir=goal.parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _created(path, mode, encoding, permissions):
    """Open a file that must not exist, without following links."""
    return open(
        path,
        mode.replace("w", "x"),
        encoding=encoding,
        opener=lambda name, flags: os.open(name, flags, permissions),
    )


def _keep_permissions(path, old):
    """Copy group, owner and permissions of the replaced file, as far as allowed."""
    if old is None:
        return
    for owner in ({"uid": -1, "gid": old.st_gid}, {"uid": old.st_uid, "gid": -1}):
        with suppress(OSError, AttributeError):  # Windows has no chown
            os.chown(path, **owner)
    with suppress(OSError):
        os.chmod(path, stat.S_IMODE(old.st_mode) & 0o777)


@contextmanager
def naming_errors(path):
    """Add the name of the file to errors without it, such as those of a full disk."""
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
