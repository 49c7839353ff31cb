"""Files that a name stands for: itself, those of a folder, those that a pattern matches."""

from __future__ import annotations

import glob
from pathlib import Path


def files_of(name: str) -> list[tuple[str, str | None]]:
    """Return the files that a name stands for, sorted, each with what follows an ``@``.

    A name that exists is meant as it is, whatever characters are in it.

    Parameters
    ----------
    name : str
        Of a file, of a folder for the files in it, or a pattern, with or without ``@index``.

    Raises
    ------
    FileNotFoundError
        Where there is none.

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
    found = _matches(name)
    if found is not None:
        return [(file, None) for file in found]
    base, at, index = name.rpartition("@")
    found = _matches(base) if at else None
    if found is None:
        raise FileNotFoundError(f"{base or name} does not exist.")
    return [(file, index) for file in found]


def _matches(name) -> list[str] | None:
    path = Path(name)
    if path.is_dir():
        inside = sorted(str(each) for each in path.iterdir() if not each.name.startswith("."))
        return [each for each in inside if Path(each).is_file()] or None
    if path.exists():
        return [name]
    return sorted(glob.glob(name, recursive=True)) or None
