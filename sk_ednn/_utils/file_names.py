"""Expand names of files, folders and patterns into lists of files, and reject what is no file."""

from __future__ import annotations

import glob
import os
import stat
from pathlib import Path

from .writing import kind_of


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


def files_of(name: str) -> list[tuple[str, str | None]]:
    """Return the files that a name matches, sorted, each with the index after an ``@``.

    An existing name is taken literally, whatever characters it contains.

    Parameters
    ----------
    name : str
        Name of a file, of a folder for all files in it, or a pattern, with or without ``@index``.

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


def _matches(name) -> list[str] | None:
    path = Path(name)
    if path.is_dir():
        files = sorted(str(file) for file in path.iterdir() if not file.name.startswith("."))
        return [file for file in files if Path(file).is_file()] or None
    if path.exists():
        return [name]
    return sorted(glob.glob(name, recursive=True)) or None
