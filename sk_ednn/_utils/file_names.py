"""Expand names of files, folders and patterns into lists of files, and reject what is no file."""

from __future__ import annotations

import glob
import os
import re
import stat
from itertools import takewhile
from pathlib import Path

from .writing import kind_of

_TAIL_BYTES = 4096
_BEGINS_A_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d*)?([eEdD][+-]?\d*)?")
_FLOAT = re.compile(r"[+-]?\d*\.(\d+([eEdD][+-]?\d+)?)")
# Decimals, and numbers with as many, from which on a shorter last one was cut.
_DECIMALS, _ALIKE = 4, 5
_LINES = 20
_TABLES = {".csv", ".tsv", ".xlsx", ".xls", ".ods"}


def require_plain(path) -> None:
    """Raise if a path is a pipe, socket or device, on which reading may never end.

    Parameters
    ----------
    path : str or Path

    Raises
    ------
    OSError
        Not for files and folders, nor if nothing is there, which opening it reports.
    """
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise OSError(f"{os.fspath(path)} is {kind_of(mode)}. Expected the name of a file.")


def require_whole_end(path) -> None:
    """Raise if a text file ends within a number, as one whose copy or writer was interrupted.

    Such a number is another one: 0.1234E+0 is what remains of 0.1234E+02. Files without a newline
    at their end are compared: all numbers before the last must have equally many decimals.

    Parameters
    ----------
    path : str or Path

    Raises
    ------
    ValueError
    """
    if os.path.isdir(path):
        return
    with open(path, "rb") as file:
        file.seek(max(os.stat(path).st_size - _TAIL_BYTES, 0))
        text = file.read().decode("utf-8", errors="replace")
    if not text or text[-1].isspace():
        return
    *above, words = [line.split() for line in text.splitlines()][-_LINES:]
    alike = list(takewhile(lambda line: len(line) == len(above[-1]), reversed(above)))
    *before, last = words
    others = [*before, *(word for line in alike for word in line)]
    others = [match[1] for word in others if (match := _FLOAT.fullmatch(word))]
    lengths = {len(decimals) for decimals in others}
    if len(lengths) != 1 or len(others) < _ALIKE or min(lengths) < _DECIMALS:
        return
    if "." not in last and alike and "." not in alike[0][min(len(before), len(alike[0]) - 1)]:
        return  # a whole number, as in the line before
    if any(len({"." in word for word in column}) > 1 for column in zip(*alike, strict=True)):
        return  # this writer leaves out decimals that are 0
    decimals = last.partition(".")[2]
    if _BEGINS_A_NUMBER.fullmatch(last) and len(decimals) < min(lengths):
        raise ValueError(
            f"it ends within a number, {last}, that has fewer digits than others. The file was "
            "cut short: copy or write it again"
        )


def files_of(name: str) -> list[tuple[str, str | None]]:
    """Return the files that a name matches, sorted, each with the index after an ``@``.

    An existing name is taken literally, whatever characters it contains.

    Parameters
    ----------
    name : str
        Name of a file, of a folder for all files in it, or a pattern, with or without ``@index``.
        Tables in a folder are not among its files unless there are no others.

    Raises
    ------
    FileNotFoundError
        If no file matches.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from sk_ednn._utils.file_names import files_of
    >>> with TemporaryDirectory() as folder:
    ...     Path(folder, "run@2").touch()
    ...     for name in ("run@2", "run@2@-1", "run*@:3"):
    ...         [(file, index)] = files_of(f"{folder}/{name}")
    ...         print(Path(file).name, index)
    run@2 None
    run@2 -1
    run@2 :3
    """
    files = _matches(name)
    if files is not None:
        return [(file, None) for file in files]
    base, at, index = name.rpartition("@")
    files = _matches(base) if at else None
    if files is None:
        raise FileNotFoundError(f"{base or name} does not exist.")
    return [(file, index) for file in files]


def tables_in(folder) -> list[str]:
    """Return the tables in a folder, sorted, which may have the totals of the files beside them.

    Parameters
    ----------
    folder : str or Path
        Anything else than a folder has none.
    """
    path = Path(folder)
    if not path.is_dir():
        return []
    return sorted(
        str(file) for file in path.iterdir()
        if file.suffix.lower() in _TABLES and not file.name.startswith(".") and file.is_file()
    )  # fmt: skip


def _matches(name) -> list[str] | None:
    path = Path(name)
    if path.is_dir():
        shown = sorted(str(file) for file in path.iterdir() if not file.name.startswith("."))
        files = [file for file in shown if Path(file).is_file()]
        tables = set(tables_in(path))
        return [file for file in files if file not in tables] or files or None
    if path.exists():
        return [name]
    return sorted(glob.glob(name, recursive=True)) or None
