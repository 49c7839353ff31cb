"""The files that a command reads and writes, checked before any work."""

from __future__ import annotations

import glob
import os
import sys
import unicodedata
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import typer

from .._utils.writing import check_writable

# The parameters of all commands that are paths, by what their files contain.
READ = {
    "fields": "the fields",
    "targets": "the totals",
    "model": "the model",
    "config": "the settings",
    "start": "the model to go on from",
    "interval": "the predictions of the fit",
    "novelty": "the fields of the fit",
}
WRITTEN = {
    "output": "--output",
    "report": "--report",
    "save_config": "--save-config",
    "checkpoint": "--checkpoint",
}


def check_paths(asked) -> None:
    """Raise where a command would write over its inputs, two files into one, or where it may not.

    Parameters
    ----------
    asked : namespace
        The parameters of the command, by name.

    Raises
    ------
    ValueError
        Where an output is an input, however its path is spelled, or lies in the folder of one, or
        where two outputs are one.
    OSError
        Where an output cannot be written.
    """
    written = {option: getattr(asked, name, None) for name, option in WRITTEN.items()}
    written = {option: path for option, path in written.items() if path is not None}
    for name, content in READ.items():
        for file in _files(asked, name):
            for option, path in written.items():
                _check_apart(option, path, content, file)
    for (one, path), (other, second) in combinations(written.items(), 2):
        if _is_same(path, second):
            raise ValueError(
                f"{one} {path} and {other} {second} are one file: each file to be written needs a "
                "name of its own."
            )
    for path in written.values():
        check_writable(path)


def may_replace(option: str, path: Path, force: bool) -> bool:
    """Return whether a file is replaced; raise where nobody asked for that.

    Raises
    ------
    FileExistsError
        Where the file exists, without ``--force``. On a terminal you are asked.
    """
    if not path.exists():
        return False
    if force:
        return True
    if sys.stdin.isatty() and sys.stderr.isatty():
        if typer.confirm(f"{path} exists. Replace it?", err=True):
            return True
        raise FileExistsError(f"{path} is kept. Give another name with {option}.")
    raise FileExistsError(
        f"{path} exists: add --force to replace it, or give another name with {option}."
    )


def _files(asked, name) -> Iterator[Path]:
    """Yield the files and folders that a parameter may mean.

    Such as ``file::key``, ``file@index`` and ``folder/*.xyz``.
    """
    value = getattr(asked, name, None)
    # The model of `fit` is a word, that of `predict` a file.
    if value is None or (name == "model" and not isinstance(value, Path)):
        return
    text = os.fspath(value)
    fronts = [front for mark in ("::", "@") for front, found, _ in [text.partition(mark)] if found]
    for front in filter(None, [text, *fronts]):
        yield Path(front)
        if glob.has_magic(front):
            yield from map(Path, glob.glob(front, recursive=True))


def _check_apart(option, path, content, file) -> None:
    if _is_same(path, file):
        raise ValueError(
            f"{option} {path} is the file with {content}, {file}, which would be lost: give "
            "another name."
        )
    if file.is_dir() and any(_is_same(parent, file) for parent in _goal(path).parents):
        raise ValueError(
            f"{option} {path} lies in the folder with {content}, {file}: give a path outside of it."
        )


def _is_same(path: Path, other: Path) -> bool:
    """Tell whether two paths lead to one file; also where it does not exist yet."""
    try:
        # Links of both kinds, and file systems that do not tell upper from lower case.
        return os.path.samefile(path, other)
    except OSError:  # one of them does not exist
        pass
    if path.exists() or other.exists():
        return False
    first, second = _goal(path), _goal(other)
    return _folded(first.name) == _folded(second.name) and _is_same_folder(first, second)


def _is_same_folder(path: Path, other: Path) -> bool:
    try:
        return os.path.samefile(path.parent, other.parent)
    except OSError:
        return path.parent == other.parent


def _folded(name: str) -> str:
    """Return a name as file systems take it that tell neither case nor composed letters apart."""
    return unicodedata.normalize("NFC", name).casefold()


def _goal(path: Path) -> Path:
    return Path(os.path.realpath(path))
