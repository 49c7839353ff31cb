"""Checks of the files that a command reads and writes, before any work."""

from __future__ import annotations

import glob
import os
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from itertools import combinations
from pathlib import Path

import typer

from .._utils.locking import Lock
from .._utils.writing import check_writable

# Parameters of all commands that are paths, and the contents of the files.
READ = {
    "fields": "the fields",
    "known": "the known structures",
    "targets": "the totals",
    "model": "the model",
    "config": "the settings",
    "start": "the model to continue from",
    "interval": "the predictions of the fit",
    "novelty": "the fields of the fit",
    "totals": "the totals",
    "dots": "the dots",
    "boxes": "the boxes",
    "clock": "the clock of a run",
}
WRITTEN = {
    "output": "--output",
    "report": "--report",
    "errors": "--errors",
    "save_config": "--save-config",
    "checkpoint": "--checkpoint",
}


# What is released at the end of the command that runs.
_OF_COMMAND: ContextVar[ExitStack | None] = ContextVar("_OF_COMMAND", default=None)


def check_paths(options) -> None:
    """Raise if a command would overwrite its inputs or other outputs, or cannot write a file.

    Parameters
    ----------
    options : namespace
        The parameters of the command, by name.

    Raises
    ------
    ValueError
        If an output is an input, in any spelling, or in the folder of one, or if two outputs are
        the same file.
    OSError
        If an output cannot be written.
    """
    written = {option: getattr(options, name, None) for name, option in WRITTEN.items()}
    written = {option: path for option, path in written.items() if path is not None}
    for name, content in READ.items():
        for file in _files(options, name):
            for option, path in written.items():
                _check_apart(option, path, content, file)
    for (one, path), (other, second) in combinations(written.items(), 2):
        if _is_same(path, second):
            raise ValueError(
                f"{one} {path} and {other} {second} are the same file. Use different names."
            )
    for path in written.values():
        check_writable(path)


def check_pictures(options, pictures) -> None:
    """Raise if a picture is named twice, or would be overwritten, or have maps beside it.

    Parameters
    ----------
    options : namespace
        The parameters of the command, by name.
    pictures : list of Picture

    Raises
    ------
    ValueError
    """
    twice = [name for name, n in Counter(each.name for each in pictures).items() if n > 1]
    if twice:
        raise ValueError(
            f"{twice[0]} is among the pictures twice. Name it once, or rename one of the two."
        )
    files = {Path(picture.path) for picture in pictures if picture.path is not None}
    written = {**WRITTEN, "maps": "--maps"}
    for name, option in written.items():
        path = getattr(options, name, None)
        if path is None:
            continue
        for file in files:
            _check_apart(option, path, "a picture", file)
        if name == "maps" and any(_is_same(path, file.parent) for file in files):
            raise ValueError(
                f"--maps {path} is the folder of the pictures: maps would lie among them, and "
                "replace those of their names. Choose another folder."
            )


def may_replace(option: str, path: Path, force: bool) -> bool:
    """Return True if a file will be replaced; raise if that is not allowed.

    The file is locked until the command ends: of two commands that began before either has written
    it, the later one would replace the result of the other.

    Raises
    ------
    FileExistsError
        If the file exists, without ``--force`` or the user's consent on a terminal, or if another
        command is about to write it.
    """
    _lock(option, path)
    if not path.exists():
        return False
    if force:
        return True
    if sys.stdin.isatty() and sys.stderr.isatty():
        if typer.confirm(f"{path} exists. Replace it?", err=True):
            return True
        raise FileExistsError(f"{path} is kept. Choose another name with {option}.")
    raise FileExistsError(
        f"{path} exists. Add --force to replace it, or choose another name with {option}."
    )


@contextmanager
def locks_of_a_command():
    """Release the locks of outputs at the end of a block, which is a command."""
    with ExitStack() as stack:
        token = _OF_COMMAND.set(stack)
        try:
            yield
        finally:
            _OF_COMMAND.reset(token)


def _lock(option, path) -> None:
    """Lock a file until the current command ends."""
    stack = _OF_COMMAND.get()
    if stack is None or (path.exists() and not path.is_file()):  # not of /dev/null
        return
    try:
        lock = Lock(path)
    except BlockingIOError as error:
        raise FileExistsError(
            f"{error} is about to write {path}. Wait until it has ended, or choose another name "
            f"with {option}."
        ) from error
    stack.callback(lock.release)


def _files(options, name) -> Iterator[Path]:
    """Yield the files and folders of a parameter such as ``file::key`` or ``folder/*.xyz``."""
    value = getattr(options, name, None)
    # The model of `fit` is a word, that of `predict` a file; the interval of `md` is a number.
    if value is None or (name in ("model", "interval") and not isinstance(value, Path)):
        return
    text = os.fspath(value)
    fronts = [
        front for mark in ("::", "@") for front, separator, _ in [text.partition(mark)] if separator
    ]
    for front in filter(None, [text, *fronts]):
        yield Path(front)
        if glob.has_magic(front):
            yield from map(Path, glob.glob(front, recursive=True))


def _check_apart(option, path, content, file) -> None:
    if _is_same(path, file):
        raise ValueError(
            f"{option} {path} would overwrite {content} in {file}. Choose another name."
        )
    if file.is_dir() and any(_is_same(parent, file) for parent in _target(path).parents):
        raise ValueError(
            f"{option} {path} is in the folder with {content}, {file}. Choose a path outside of it."
        )


def _is_same(path: Path, other: Path) -> bool:
    """Return True if two paths are the same file, even if it does not exist yet."""
    try:
        # For links, and for file systems that ignore case.
        return os.path.samefile(path, other)
    except OSError:  # one of them does not exist
        pass
    if path.exists() or other.exists():
        return False
    first, second = _target(path), _target(other)
    return _folded(first.name) == _folded(second.name) and _is_same_folder(first, second)


def _is_same_folder(path: Path, other: Path) -> bool:
    try:
        return os.path.samefile(path.parent, other.parent)
    except OSError:
        return path.parent == other.parent


def _folded(name: str) -> str:
    """Return a name in the form of file systems that ignore case and Unicode composition."""
    return unicodedata.normalize("NFC", name).casefold()


def _target(path: Path) -> Path:
    return Path(os.path.realpath(path))
