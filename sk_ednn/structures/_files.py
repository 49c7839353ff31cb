"""Structures from files, by way of ASE."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from os import PathLike, fspath

from .._utils.file_names import files_of
from .._utils.optional import needing
from ._deepmd import is_deepmd, read_deepmd

# Formats that are, or may be, pickles: reading them would run what they contain.
_PICKLES = {"bundletrajectory", "trj", "pickle"}
# aenet writes energies so, and forces in eV/Å, where ASE takes those of an XSF file for Ha/Å.
_XSF_ENERGY = re.compile(r"#\s*total energy\s*=\s*(\S+)\s*eV\s*$", re.IGNORECASE)


def is_path(x):
    """Tell whether this names a file."""
    return isinstance(x, (str, PathLike))


def read_structures(names):
    """Read structures from files of any format of ASE, and folders of DeePMD-kit's.

    Such as extxyz, POSCAR, CIF, XSF and trajectories.

    Parameters
    ----------
    names : str, path-like or sequence of them
        A file stands for all its structures, with ASE's ``@`` for some of them, as in
        ``"run.extxyz@::10"``; a folder for all its files, and a pattern such as
        ``"runs/*/vasprun.xml@-1"`` for all it matches, sorted. An existing file or folder is meant
        by its name, whatever characters are in it. A folder with ``type.raw`` is a system of
        DeePMD-kit, in ``npy`` or ``raw`` format.

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
    return [found for name in parts for file in _files(fspath(name)) for found in _read(*file)]


@contextmanager
def naming(places):
    """Add the file to errors that name a structure by its number.

    Parameters
    ----------
    places : sequence of str or None
        Of each structure. None where they are from no file.
    """
    try:
        yield
    except ValueError as error:
        message = with_place(str(error), places)
        if message == str(error):
            raise
        raise type(error)(message) from error


def with_place(message, places) -> str:
    """Return a message with the place of the structure that it names by its number in front.

    Parameters
    ----------
    message : str
    places : sequence of str or None

    Examples
    --------
    >>> from sk_ednn.structures._files import with_place
    >>> with_place("Structure 1 has no atoms.", ["a.extxyz, line 1", "a.extxyz, line 9"])
    'a.extxyz, line 9: Structure 1 has no atoms.'
    """
    told = re.search(r"\b[Ss]tructure (\d+)\b", message)
    if places is None or told is None or int(told[1]) >= len(places):
        return message
    place = places[int(told[1])]
    return message if place in message else f"{place}: {message}"


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


def _files(name) -> list[tuple[str, str | None]]:
    return [(name, None)] if is_deepmd(name) else files_of(name)


def _read(file, index) -> Iterator[tuple]:
    """Yield the structures of a file, each with its place."""
    where = file if index is None else f"{file}@{index}"
    k, line = 0, 1
    try:
        frames, has_lines = _frames(file, index)
        for structure in frames:
            at = f" (line {line})" if has_lines else ""
            yield structure, f"{where}, structure {k}{at}"
            k, line = k + 1, line + len(structure) + 2
    except GeneratorExit:
        raise
    except Exception as error:  # whatever a reader of ASE stumbles over
        why = str(error).partition("\n")[0] or type(error).__name__
        at = f", from line {line}" if k and has_lines else ""
        raise ValueError(
            f"{where} cannot be read, at structure {k} (counted from 0){at}: {why}"
        ) from error
    if not k:
        raise ValueError(f"There are no structures in {where!r}.")


def _frames(file, index):
    """Return an iterator over structures, and whether they lie line after line from the first."""
    if is_deepmd(file):
        return read_deepmd(file), False
    from ase.io import iread
    from ase.io.formats import filetype, string2index

    kind = filetype(file)
    if kind in _PICKLES:
        raise ValueError("it may be a pickle, which runs code as it is read; convert it first")
    # A single number as a slice, which is all that every format understands.
    some = slice(None) if index is None else string2index(index)
    if isinstance(some, int):
        some = slice(some, some + 1 or None)
    frames = iread(file, some, do_not_split_by_at_sign=True)
    if kind == "xsf":
        frames = _with_energy(frames, file)
    return frames, kind in ("extxyz", "xyz") and index is None


def _with_energy(frames, file) -> Iterator:
    """Yield the structure of an XSF file with the energy of its comment, in the units of aenet."""
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.units import Hartree

    with open(file, encoding="utf-8", errors="replace") as lines:
        found = [told for line in lines if (told := _XSF_ENERGY.match(line.strip()))]
    for structure in frames:
        if len(found) == 1:
            results = {"energy": float(found[0][1])}
            if structure.calc is not None:
                results["forces"] = structure.calc.results["forces"] / Hartree
            structure.calc = SinglePointCalculator(structure, **results)
        yield structure
