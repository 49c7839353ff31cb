"""Structures from files, by way of ASE."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from os import PathLike, fspath

from .._utils.file_names import files_of
from .._utils.optional import needing

# Formats that are, or may be, pickles: reading them would run what they contain.
_PICKLES = {"bundletrajectory", "trj", "pickle"}


def is_path(x):
    """Tell whether this names a file."""
    return isinstance(x, (str, PathLike))


def read_structures(names):
    """Read structures from files of any format of ASE: extxyz, POSCAR, CIF, trajectories.

    Parameters
    ----------
    names : str, path-like or sequence of them
        A file stands for all its structures, with ASE's ``@`` for some of them, as in
        ``"run.extxyz@::10"``; a folder for all its files, and a pattern such as
        ``"runs/*/vasprun.xml@-1"`` for all it matches, sorted. An existing file or folder is meant
        by its name, whatever characters are in it.

    Returns
    -------
    list of ase.Atoms

    Raises
    ------
    MissingExtraError
        Where ASE is not installed.
    FileNotFoundError
        Where there is no such file, or a pattern matches none.
    ValueError
        If a file cannot be read, naming the file and the structure in it, or contains none.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from ase.io import write
    >>> from sk_ednn.structures import read_structures
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "cells.extxyz"
    ...     write(path, [bulk("Cu", a=a, cubic=True) for a in (3.5, 3.6, 3.7)])
    ...     [len(atoms) for atoms in read_structures(f"{path}@1:")]
    [4, 4]
    """
    return [structure for structure, _ in read_with_places(names)]


def read_with_places(names) -> list[tuple]:
    """Read structures, each with a text on where it is: the file, and its number in it."""
    with needing(f"Reading structures from {names!r}"):
        import ase.io  # noqa: F401
    parts = [names] if is_path(names) else names
    return [found for name in parts for file in files_of(fspath(name)) for found in _read(*file)]


def read_one(path, k):
    """Read the one structure of a file, which is number `k` of a list."""
    structures = read_structures(path)
    if len(structures) > 1:
        raise ValueError(
            f"X[{k}], {fspath(path)!r}, contains {len(structures)} structures, and a path in a "
            "list stands for one. Give the path itself in place of the list, or choose one, as in "
            f"'{fspath(path)}@0'."
        )
    return structures[0]


def is_known_to_ase(path) -> bool:
    """Tell whether a file is of a format of ASE, by its name and its first lines."""
    if find_spec("ase") is None:
        return False
    from ase.io.formats import UnknownFileTypeError, filetype, get_ioformat

    try:
        return get_ioformat(filetype(fspath(path), guess=False)).name not in _PICKLES
    except (UnknownFileTypeError, OSError):
        return False


def _read(file, index) -> Iterator[tuple]:
    """Yield the structures of a file, each with its place."""
    from ase.io import iread
    from ase.io.formats import filetype, string2index

    where = file if index is None else f"{file}@{index}"
    k = 0
    try:
        if filetype(file) in _PICKLES:
            raise ValueError("it may be a pickle, which runs code as it is read; convert it first")
        # A single number as a slice, which is all that every format understands.
        some = slice(None) if index is None else string2index(index)
        if isinstance(some, int):
            some = slice(some, some + 1 or None)
        for structure in iread(file, some, do_not_split_by_at_sign=True):
            yield structure, f"{where}, structure {k}"
            k += 1
    except GeneratorExit:
        raise
    except Exception as error:  # whatever a reader of ASE stumbles over
        why = str(error).partition("\n")[0] or type(error).__name__
        raise ValueError(
            f"{where} cannot be read, at structure {k} (counted from 0): {why}"
        ) from error
    if not k:
        raise ValueError(f"There are no structures in {where!r}.")
