"""Files of the opened folders and their content, of which only what is shown is read."""

from __future__ import annotations

import codecs
import csv
import io
import os
import re
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from zipfile import ZipFile

import numpy as np

from .._utils.optional import needing
from ..exceptions import MissingExtraError

ARRAYS = (".npy", ".npz", ".h5", ".hdf5", ".hdf", ".zarr")
TABLES = (".csv", ".tsv", ".txt", ".xlsx")
PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
STRUCTURES = (".extxyz", ".xyz", ".traj", ".cif", ".vasp", ".poscar", ".xsf", ".pdb", ".gen")
_NAMED_STRUCTURES = ("POSCAR", "CONTCAR", "XDATCAR", "OUTCAR", "vasprun")
_BEGINNING_BYTES = 1 << 20  # of a table
_SEPARATOR_LINE = re.compile(r'\s*"?sep=([;,\t|])"?[;,\t|]*(?:\r\n?|\n)')
_MOST_ENTRIES = 2000  # of one folder


@dataclass(frozen=True)
class Entry:
    """A file or folder that can be chosen.

    Attributes
    ----------
    path : Path
    kind : {"folder", "arrays", "structures", "table", "picture", "model", "settings"}
    n_bytes : int or None
    """

    path: Path
    kind: str
    n_bytes: int | None


@dataclass(frozen=True)
class Array:
    """An array of a file, by its header.

    Attributes
    ----------
    name : str
        Empty where the file is one array.
    shape : tuple of int
    dtype : str
    """

    name: str
    shape: tuple[int, ...]
    dtype: str

    def __str__(self):
        sizes = " × ".join(map(str, self.shape)) or "one number"
        return f"{self.name or 'the array'}: {sizes}, {self.dtype}"


def kind_of(path) -> str | None:
    """Return the kind of a file by its name; None if it cannot be used.

    Examples
    --------
    >>> from sk_ednn.ui._data import kind_of
    >>> kind_of("spins.npz"), kind_of("Si8.extxyz"), kind_of("a.pkl")
    ('arrays', 'structures', None)
    """
    path = Path(path)
    ending = path.suffix.lower()
    if ending in ARRAYS:
        return "arrays"
    if ending in STRUCTURES or path.name.startswith(_NAMED_STRUCTURES):
        return "structures"
    kinds = {".ednn": "model", ".yaml": "settings", ".yml": "settings"}
    kinds |= dict.fromkeys(TABLES, "table") | dict.fromkeys(PICTURES, "picture")
    return kinds.get(ending)


def listing(folder) -> list[Entry]:
    """Return the entries of a folder to choose from: folders first, by name; none hidden."""
    folders, files = [], []
    with os.scandir(folder) as entries:
        for entry in islice(entries, 50 * _MOST_ENTRIES):
            if entry.name.startswith(".") or entry.name.startswith("__"):
                continue
            path = Path(entry.path)
            kind = kind_of(path)
            try:
                if entry.is_dir() and path.suffix.lower() != ".zarr":
                    folders.append(Entry(path, "folder", None))
                elif kind is not None and (entry.is_file() or entry.is_dir()):  # no pipes
                    files.append(Entry(path, kind, entry.stat().st_size))
            except OSError:  # gone meanwhile, or a link in a circle
                continue
    by_name = [sorted(some, key=lambda e: e.path.name.lower()) for some in (folders, files)]
    return [*by_name[0], *by_name[1]][:_MOST_ENTRIES]


def arrays_in(path) -> list[Array]:
    """Return the arrays of a file by their headers.

    Parameters
    ----------
    path : Path

    Returns
    -------
    list of Array

    Raises
    ------
    ValueError
        If it cannot be read.
    MissingExtraError
    """
    try:
        return _LISTERS.get(path.suffix.lower(), _in_hdf5)(path)
    except MissingExtraError:
        raise
    except Exception as error:  # damaged headers raise errors of a dozen classes
        why = str(error).partition("\n")[0] or type(error).__name__
        raise ValueError(f"{path.name} cannot be read: {why}") from error


def _header(name, file) -> Array:
    version = np.lib.format.read_magic(file)
    reader = np.lib.format.read_array_header_2_0
    if version == (1, 0):
        reader = np.lib.format.read_array_header_1_0
    shape, _, dtype = reader(file)
    return Array(name, shape, str(dtype))


def _in_npy(path):
    with open(path, "rb") as file:
        return [_header("", file)]


def _in_npz(path):
    arrays = []
    with ZipFile(path) as archive:
        for part in archive.namelist():
            if part.endswith(".npy"):
                with archive.open(part) as file:
                    arrays.append(_header(part.removesuffix(".npy"), file))
    return arrays


def _in_hdf5(path):
    with needing(f"Reading {path.name}"):
        import h5py
    arrays = []

    def visit(name, item):
        if hasattr(item, "shape") and item.shape is not None:
            arrays.append(Array(name, tuple(item.shape), str(item.dtype)))

    with h5py.File(path, "r") as file:
        file.visititems(visit)
    return arrays


def _in_zarr(path):
    with needing(f"Reading {path.name}"):
        import zarr
    from ..fields._zarr import require_plain_files

    require_plain_files(path)
    store = zarr.open(str(path), mode="r")
    if hasattr(store, "shape"):
        return [Array("", tuple(store.shape), str(store.dtype))]
    members = sorted(store.members(max_depth=None), key=lambda pair: pair[0])
    return [Array(n, tuple(a.shape), str(a.dtype)) for n, a in members if hasattr(a, "shape")]


_LISTERS = {".npy": _in_npy, ".npz": _in_npz, ".zarr": _in_zarr}


def usual(arrays, names, n_axes) -> str | None:
    """Return the default name: a usual one, the only one that ends in one, or the only candidate.

    Parameters
    ----------
    arrays : list of Array
    names : sequence of str
        Usual names.
    n_axes : range

    Examples
    --------
    >>> from sk_ednn._utils.wording import FIELD_NAMES, TOTAL_NAMES
    >>> from sk_ednn.ui._data import Array, usual
    >>> arrays = [Array("y", (500,), "float64"), Array("spins", (500, 8, 8), "int8")]
    >>> usual(arrays, FIELD_NAMES, range(2, 9))
    'spins'
    >>> arrays = [Array("runs/T", (500,), "float64"), Array("runs/energy", (500,), "float64")]
    >>> usual(arrays, TOTAL_NAMES, range(1, 2))
    'runs/energy'
    """
    by_name = {array.name: array for array in arrays}
    preferred = next((name for name in names if name in by_name), None)
    if preferred is not None:
        return preferred
    fit = [array.name for array in arrays if len(array.shape) in n_axes]
    ends = [name for name in fit if name.rpartition("/")[2] in names]
    if len(ends) == 1:
        return ends[0]
    return fit[0] if len(fit) == 1 else None


def table_rows(path, most=200) -> tuple[list[str], list[list[str]]]:
    """Return the header and the first rows of a table, as text."""
    path = Path(path)
    if path.suffix.lower() == ".xlsx":
        from ..images._excel import read_sheet

        rows = read_sheet(str(path))
    else:
        text = _beginning(path)
        given = _SEPARATOR_LINE.match(text)
        text = text[given.end() :] if given else text
        separator = given[1] if given else max("\t;,|", key=text[:4096].count)
        try:
            reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
            rows = list(islice(reader, most + 1))
        except csv.Error as error:
            raise ValueError(f"{path.name} is not a table of text: {error}") from error
    rows = [[str(cell) for cell in row] for row in rows[: most + 1] if row]
    return (rows[0], rows[1:]) if rows else ([], [])


def _beginning(path) -> str:
    """Return the first lines of a text, in the encodings in which spreadsheets save tables."""
    with open(path, "rb") as file:
        content = file.read(_BEGINNING_BYTES)
    if len(content) == _BEGINNING_BYTES:  # a character may end behind it
        content = content[: content.rfind(b"\n") + 1] or content
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        text = content.decode("utf-16", errors="replace")
    else:
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = content.decode("cp1252", errors="replace")
    if "\0" in text:
        raise ValueError(f"{path.name} is not a table of text. Save it as CSV in UTF-8.")
    return text


def number_columns(header, rows) -> dict[str, str]:
    """Return the columns of numbers of a table, as the commands name them, and a title for each.

    A first line with a number has no names: columns are then counted from 1.

    Examples
    --------
    >>> from sk_ednn.ui._data import number_columns
    >>> number_columns(["sample", "energy", "work"], [["s1", "-3.5", "2"]])
    {'energy': 'energy', 'work': 'work'}
    >>> number_columns(["s1", "-3.5"], [["s2", "-4"]])
    {'2': 'column 2'}
    """
    if any(map(_is_number, header)):
        return {str(k + 1): f"column {k + 1}" for k, cell in enumerate(header) if _is_number(cell)}
    first = rows[0] if rows else []
    return {name: name for name, cell in zip(header, first, strict=False) if _is_number(cell)}


def _is_number(cell) -> bool:
    try:
        return bool(np.isfinite(float(cell)))
    except ValueError:
        return False
