"""Structures from files, read with ASE, and from folders of DeePMD-kit."""

from __future__ import annotations

import codecs
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import takewhile
from os import PathLike, fspath

from .._utils.file_names import files_of, require_plain, require_whole_end
from .._utils.optional import needing
from ._deepmd import is_deepmd, read_deepmd
from ._lammps_text import checked as lammps_checked
from ._named_units import require_named_units

# Formats that may contain pickles, which run code when they are read.
_PICKLES = {"bundletrajectory", "trj", "pickle"}
_HEAD_BYTES = 4
# Formats whose last number is one of the last atom. Others, such as outputs of programs that were
# stopped, end in numbers that are not read.
_END_IN_POSITIONS = {"extxyz", "xyz", "vasp", "vasp-xdatcar", "xsf", "gen", "lammps-data"}
# A comment of aenet. It writes forces in eV/Å, but ASE assumes Ha/Å in XSF files.
_XSF_ENERGY = re.compile(r"#\s*total energy\s*=\s*(\S+)\s*eV\s*$", re.IGNORECASE)


def is_path(x):
    """Return True if an object is a path."""
    return isinstance(x, (str, PathLike))


def read_structures(names):
    """Read structures from files of any format of ASE, or from folders of DeePMD-kit.

    ASE reads extxyz, POSCAR, CIF, XSF, trajectories and many more.

    Parameters
    ----------
    names : str, path-like or sequence of them
        A file means all its structures, or some of them with the ``@`` of ASE, as in
        ``"run.extxyz@::10"``. A folder means all its files, and a pattern such as
        ``"runs/*/vasprun.xml@-1"`` all files that match, in sorted order. If a file or folder of
        exactly this name exists, it is used, even if the name contains special characters. A
        folder with ``type.raw`` is a system of DeePMD-kit, in ``npy`` or ``raw`` format.

    Returns
    -------
    list of ase.Atoms

    Raises
    ------
    MissingExtraError
        If ASE is not installed.
    FileNotFoundError
        If there is no such file, or no file matches a pattern.
    ValueError
        If a file cannot be read or contains no structures. The message names the file, and the
        structure in it.

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
    """Read structures, each with a text that names its file, and its index if there are several."""
    with needing(f"Reading structures from {names!r}"):
        import ase.io  # noqa: F401
    parts = [names] if is_path(names) else names
    pairs = [pair for name in parts for file in _files(fspath(name)) for pair in _read(*file)]
    require_named_units([structure for structure, _ in pairs], [place for _, place in pairs])
    return pairs


@contextmanager
def naming(places):
    """Add the file to errors that name a structure by its index.

    Parameters
    ----------
    places : sequence of str or None
        The text of `read_with_places` for each structure. None if they are not from files.
    """
    try:
        yield
    except ValueError as error:
        message = with_place(str(error), places)
        if message == str(error):
            raise
        raise type(error)(message) from error


def with_place(message, places) -> str:
    """Add the file to a message that names a structure by its index.

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
    match = re.search(r"\b[Ss]tructure (\d+)\b", message)
    if places is None or match is None or int(match[1]) >= len(places):
        return message
    place = places[int(match[1])]
    return message if place in message else f"{place}: {message}"


def read_one(path, k):
    """Read a file with one structure, which is item `k` of a list."""
    structures = read_structures(path)
    if len(structures) > 1:
        raise ValueError(
            f"A path in a list must contain one structure, but X[{k}], {fspath(path)!r}, contains "
            f"{len(structures)}. Pass the path instead of the list, or select one structure, for "
            f"example '{fspath(path)}@0'."
        )
    return structures[0]


def is_known_to_ase(path) -> bool:
    """Return True if a file has a format of ASE, by its name and first lines."""
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
    first = None  # waits for the second, since a single one has no index
    try:
        frames, has_lines = _frames(file, index)
        for structure in frames:
            at = f" (line {line})" if has_lines else ""
            place = f"{where}, structure {k}{at}"
            if k == 0:
                first = structure, place
            else:
                if first is not None:
                    yield first
                first = None
                yield structure, place
            k, line = k + 1, line + len(structure) + 2
        if first is not None:
            yield first[0], where
    except GeneratorExit:
        raise
    except Exception as error:  # readers of ASE raise errors of many classes
        why = (str(error).partition("\n")[0] or type(error).__name__) + _encoding_hint(file)
        at = f", from line {line}" if k and has_lines else ""
        raise ValueError(
            f"{where} cannot be read, at structure {k} (counted from 0){at}: {why}"
        ) from error
    if not k:
        raise ValueError(f"{where!r} contains no structures.")


def _encoding_hint(file) -> str:
    """Return what to do if a file that cannot be read is a text in another encoding than UTF-8."""
    try:
        require_plain(file)
        with open(file, "rb") as opened:
            head = opened.read(_HEAD_BYTES)
    except OSError:  # of a folder or a pipe, or a file that is not there
        return ""
    if head.startswith(codecs.BOM_UTF8):
        return ". It begins with a byte order mark: save it as UTF-8 without one"
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return ". It is a text in UTF-16: save it as UTF-8"
    return ""


def _require_whole_file(file) -> None:
    """Raise if an xyz file has structures behind a blank line, where ASE ends."""
    from ase.io.formats import open_with_compression

    with open_with_compression(file, "rt") as text:
        lines = enumerate(text, 1)
        blank = 0
        for number, header in lines:
            if not header.strip():
                blank = number
                break
            words = header.split()
            if words[0].startswith("VEC"):  # of the cell, behind the atoms
                continue
            if not words[0].isdecimal():
                return  # ASE names it
            for _ in zip(range(int(words[0]) + 1), lines, strict=False):
                pass
        else:
            return
        following = next((k for k, line in lines if line.strip()), None)
    if following is not None:
        raise ValueError(
            f"line {blank} is blank, and a number of atoms is expected, since line {following} "
            "is not: remove blank lines"
        )


def _frames(file, index):
    """Return an iterator over structures, and whether they have one atom per line from line 1."""
    if is_deepmd(file):
        return read_deepmd(file), False
    require_plain(file)
    from ase.io import iread
    from ase.io.formats import filetype, string2index

    kind = filetype(file)
    if kind in _PICKLES:
        raise ValueError("it may be a pickle, which can run code when it is read; convert it first")
    if kind in _END_IN_POSITIONS:
        require_whole_end(file)
    selected = slice(None) if index is None else string2index(index)
    if isinstance(selected, int):  # not every format supports a single index
        selected = slice(selected, selected + 1 or None)
    if kind in ("extxyz", "xyz"):
        _require_whole_file(file)
    frames = iread(file, selected, do_not_split_by_at_sign=True)
    if kind == "xsf":
        frames = _with_energy(frames, file)
    if kind in ("lammps-data", "lammps-dump-text", "lammps-dump-binary"):
        frames = lammps_checked(frames, file, kind)
    if kind == "vasp":
        frames = _with_whole_lines(frames, file)
    return frames, kind in ("extxyz", "xyz") and index is None


def _with_whole_lines(frames, file) -> Iterator:
    """Yield the structure of a POSCAR file; raise if its lines contradict its numbers of atoms.

    ASE takes a line with one number, as in a file that was cut short, for three equal ones, and
    ignores names of species without a number, and coordinates beyond the numbers of atoms.
    """
    for structure in frames:
        with open(file, encoding="utf-8", errors="replace") as text:
            lines = [line.split() for line in text]
        if len(lines) > 6 and lines[6] and lines[6][0].isdecimal() and lines[5][0][0].isalpha():
            names, counts = lines[5], list(takewhile(str.isdecimal, lines[6]))
            if len(names) > len(counts) and all(name[0].isalpha() for name in names):
                raise ValueError(
                    f"it names {len(names)} species, {' '.join(names)}, and has {len(counts)} "
                    "number(s) of atoms"
                )
        modes = [k for k, line in enumerate(lines[5:10], 5) if line and line[0][0] in "cCdDkK"]
        if modes:  # the last of them: a symbol such as Cu begins with the same letter
            after = modes[-1] + 1 + len(structure)
            atoms = lines[modes[-1] + 1 : after]
            short = next((k for k, line in enumerate(atoms) if len(line) < 3), None)
            if short is not None:
                raise ValueError(f"the line of atom {short} has fewer than three coordinates")
            # Velocities follow a blank line or words.
            if after < len(lines) and len(lines[after]) >= 3 and _are_numbers(lines[after][:3]):
                raise ValueError(
                    f"it has coordinates of more than the {len(structure)} atoms of its numbers"
                )
        yield structure


def _are_numbers(words) -> bool:
    try:
        return all(math.isfinite(float(word)) for word in words)
    except ValueError:
        return False


def _with_energy(frames, file) -> Iterator:
    """Yield the structure of an XSF file with the energy of its comment and forces in eV/Å."""
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.units import Hartree

    with open(file, encoding="utf-8", errors="replace") as lines:
        matches = [match for line in lines if (match := _XSF_ENERGY.match(line.strip()))]
    for structure in frames:
        if len(matches) == 1:
            results = {"energy": float(matches[0][1])}
            if structure.calc is not None:
                results["forces"] = structure.calc.results["forces"] / Hartree
            structure.calc = SinglePointCalculator(structure, **results)
        yield structure
