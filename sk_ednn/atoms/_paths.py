"""Structures from files, by way of ASE."""

from __future__ import annotations

import glob
from collections.abc import Iterator
from importlib.util import find_spec
from os import PathLike, fspath
from pathlib import Path

from .._optional import needing

# Formats that are, or may be, pickles: reading them would run what they contain.
_PICKLES = {"bundletrajectory", "trj", "pickle"}
# Names that need no look into the file to be known as structures.
_ENDINGS = {".extxyz", ".xyz", ".traj", ".cif", ".vasp", ".poscar", ".xsf", ".pdb", ".gen", ".xml"}
# Names of arrays, tables and pictures, which ASE is not asked about.
_OTHERS = {
    ".npy", ".npz", ".h5", ".hdf5", ".hdf", ".zarr", ".csv", ".tsv", ".txt",
    ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif",
}  # fmt: skip
_ARRAY_FOLDERS = ("zarr.json", ".zarray", ".zgroup")
_STEMS = ("POSCAR", "CONTCAR", "XDATCAR", "OUTCAR", "vasprun")


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
    >>> from sk_ednn.atoms import read_structures
    >>> write("cells.extxyz", [bulk("Cu", a=a, cubic=True) for a in (3.5, 3.6, 3.7)])
    >>> [len(atoms) for atoms in read_structures("cells.extxyz@1:")]
    [4, 4]
    """
    return [structure for structure, _ in read_with_places(names)]


def read_with_places(names) -> list[tuple]:
    """Read structures, each with a text on where it is: the file, and its number in it."""
    with needing(f"Reading structures from {names!r}"):
        import ase.io  # noqa: F401
    parts = [names] if is_path(names) else names
    return [found for name in parts for file in _files(fspath(name)) for found in _read(*file)]


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


def are_structures(name: str) -> bool:
    """Tell whether a name stands for files of structures, by their names and first lines.

    False where there are no such files, or ASE knows nothing of them.
    """
    folder = Path(name)
    if folder.suffix.lower() in _OTHERS or any((folder / n).exists() for n in _ARRAY_FOLDERS):
        return False
    try:
        path = Path(_files(name)[0][0])
    except FileNotFoundError:
        return False
    if path.suffix.lower() in _OTHERS:
        return False
    if path.suffix.lower() in _ENDINGS or path.name.startswith(_STEMS):
        return True
    if find_spec("ase") is None:
        return False
    from ase.io.formats import UnknownFileTypeError, filetype, get_ioformat

    try:
        return get_ioformat(filetype(str(path), guess=False)).name not in _PICKLES
    except (UnknownFileTypeError, OSError):
        return False


def files_of(name: str) -> list[Path]:
    """Return the files that a name of structures stands for."""
    return [Path(file) for file, _ in _files(name)]


def _files(name: str) -> list[tuple[str, str | None]]:
    """Files that a name stands for, each with ASE's index."""
    found = _matches(name)
    if found is not None:
        return [(file, None) for file in found]
    base, at, index = name.rpartition("@")
    found = _matches(base) if at else None
    if found is None:
        raise FileNotFoundError(f"{base or name} does not exist.")
    return [(file, index) for file in found]


def _matches(name) -> list[str] | None:
    """Sorted names of files; None where there are none."""
    path = Path(name)
    if path.is_dir():
        inside = sorted(str(each) for each in path.iterdir() if not each.name.startswith("."))
        return [each for each in inside if Path(each).is_file()] or None
    if path.exists():
        return [name]
    return sorted(glob.glob(name, recursive=True)) or None


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
