"""Totals of systems in files of their own: rows of a table belong to the files they name."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from .._utils.file_names import tables_in
from ._files import check_array_file, split_name
from ._inputs import read_targets
from ._table_numbers import is_number
from ._table_text import rows_of, text_of
from ._tables import naming_columns
from ._wanted import note

_TEXT = (".csv", ".tsv", ".txt")
_UNIT_IN_NAME = re.compile(r"[(\[]([^)\]]+)[)\]]\s*$")


class _File(NamedTuple):
    """A file, by the name that rows may have for it."""

    name: str


class Totals(NamedTuple):
    """Totals of systems, the unit that their file states, and other columns of their table.

    Attributes
    ----------
    y : ndarray of shape (n_systems,) or (n_systems, n_outputs)
    unit : str or None
    columns : dict of str to list of str
        The cells of each named column, in the order of the systems.
    """

    y: np.ndarray
    unit: str | None
    columns: Mapping[str, list[str]] = MappingProxyType({})


def read_totals(targets: str, unit: str | None, files: Sequence[str], say, kind: str) -> Totals:
    """Read the totals of systems, in the order of these.

    Parameters
    ----------
    targets : str
        File of the totals. If it is a table with a column of the names of files, rows belong to
        the files that they name, whatever their order; otherwise to systems in their order.
    unit : str or None
    files : sequence of str
        The file of each system.
    say : function
        Called with lines of output.
    kind : str
        What systems are, such as structures.

    Raises
    ------
    ValueError
        If a file has no row or several different ones, or the numbers of totals and systems
        differ.
    """
    path, _ = check_array_file(targets)
    is_text = path.suffix.lower() in _TEXT
    named: list[str] = []
    with naming_columns(_naming_columns(path, files) if is_text else ()):
        y = read_targets(targets, unit, named)
    table = _table(path, len(y)) if is_text else None
    unit_named = next(iter(named), None) if table is None else _unit_of(table, y)
    rows = None if table is None else _rows_of_files(table, y, files, say, kind)
    if rows is not None:
        y = y[rows]
    elif len(y) != len(files):
        raise ValueError(
            f"There are {len(files)} {kind}, but {targets} contains {len(y)} totals. Write one for "
            "each in their order, or, if each has a file of its own, add a column with the names "
            "of the files."
        )
    columns = (
        {} if table is None else _named_columns(table, range(len(y)) if rows is None else rows)
    )
    return Totals(y, unit_named, columns)


def _named_columns(table, rows) -> dict[str, list[str]]:
    """Return the cells of each column with a name of its own, by the row of each system."""
    names = [name.strip() for name in table.header]
    cells = {
        name: table.column(j)
        for j, name in enumerate(names)
        if name and names.count(name) == 1
    }  # fmt: skip
    return {name: [column[k].strip() for k in rows] for name, column in cells.items()}


def read_energies(targets: str, unit: str | None, files: Sequence[str], say) -> Totals:
    """Read the energies of structures in eV, in which potentials learn, as `read_totals` does.

    Parameters
    ----------
    targets : str
    unit : str or None
        Their unit. None for the one that their file or the name of their column states, or eV.
    files : sequence of str
        The file of each structure.
    say : function

    Raises
    ------
    ValueError
        If the unit is none of energies, or there is not one for each structure.
    """
    from ..structures._energy_units import in_ev

    found = read_totals(targets, unit, files, say, "structures")
    y = found.y[:, 0] if found.y.shape[1:] == (1,) else found.y
    if y.ndim > 1:
        raise ValueError(
            f"{targets} contains {y.shape[1]} totals for each structure, but a potential learns "
            "one, the energy. Choose a column."
        )
    if unit and found.unit and in_ev(unit) != in_ev(found.unit):
        raise ValueError(
            f"{targets} states energies in {found.unit!r}, but --unit is {unit!r}. Leave --unit "
            "out, or correct the name of the column."
        )
    unit = unit or found.unit or "eV"
    factor = in_ev(unit)
    if factor is None:
        raise ValueError(
            f"Energies in {unit!r} are in no unit that can be converted to eV, such as kJ/mol, Ry "
            "or Ha. Convert them, correct --unit, or add --images for a model of totals in any "
            "unit."
        )
    if factor != 1:
        say(f"energies are converted from {unit} to eV, in which potentials predict")
    return Totals(factor * y, "eV", found.columns)


def note_tables(systems: str, targets: str | None) -> None:
    """Print a note on tables among files of structures or densities, which have no systems.

    Parameters
    ----------
    systems : str
        A name of these files.
    targets : str or None
        File of the totals.
    """
    known = None if targets is None else split_name(targets)[0]
    for table in tables_in(systems):
        if known is None or not (known.exists() and known.samefile(table)):
            note(
                f"{table} is a table, and contains no systems. If it has their totals, pass it as "
                "the second argument."
            )


def _table(path, n):
    """Return the texts of a table, a `Table`, of which `n` rows of numbers were read."""
    from ..images._tables import Row, Table

    rows = rows_of(path, text_of(path))[0]
    header = rows[0].cells if len(rows) > n else [str(j + 1) for j in range(len(rows[0].cells))]
    return Table(str(path), header, [Row(row.line, row.cells) for row in rows[len(rows) - n :]])


def _naming_columns(path, files) -> tuple[str, ...]:
    """Return the names of columns that have one name of a file in each row."""
    from ..images._named_rows import NamedRows
    from ..images._tables import Row, Table, TableError

    rows = rows_of(path, text_of(path))[0]
    if len(rows) < 2 or any(map(is_number, rows[0].cells)):
        return ()
    if any(len(row.cells) != len(rows[0].cells) for row in rows):
        return ()  # which is refused by name
    table = Table(str(path), rows[0].cells, [Row(row.line, row.cells) for row in rows[1:]])
    named, found = [_File(name) for name in _names(files)], []
    for j, name in enumerate(table.header):
        try:
            by_name = NamedRows.find(named, table, columns=[j])
            numbers = [by_name.find_picture(row) for row in table.rows]
        except TableError:
            continue
        known = [k for k in numbers if k is not None]
        if len(set(known)) == len(known) >= min(len(files), len(table.rows)):
            found.append(name)
    return tuple(found)


def _rows_of_files(table, y, files, say, kind) -> np.ndarray | None:
    """Return the row of each file, or None if no column names files."""
    from ..images._named_rows import NamedRows, some
    from ..images._tables import TableError

    named = [_File(name) for name in _names(files)]
    columns = [j for j in range(len(table.header)) if j not in _columns_of(table, y)]
    if not columns or len({file.name for file in named}) < len(named):
        # No other column, or files with several systems each: nothing tells which row is whose.
        return None
    try:
        found = NamedRows.find(named, table, parts=True, columns=columns)
    except TableError:
        _require_no_other_files(table, files)
        if any(not all(map(is_number, table.column(j))) for j in columns):
            say(
                f"totals belong to {kind} in their order, since no column of {table.where} has "
                f"names of their files, such as {named[0].name}"
            )
        return None
    numbers = {row.line: k for k, row in enumerate(table.rows)}
    owned = {k: numbers[row.line] for k, row in found.row_of_each().items()}
    missing = [file.name for k, file in enumerate(named) if k not in owned]
    column = table.header[found.column]
    if missing:
        raise ValueError(
            f"{table.where}: the column {column!r} has names of files, but there is no row for "
            f"{some(missing)} ({len(missing)} of {len(files)}). Add their totals, or move these "
            "files elsewhere."
        )
    others = [
        row.cells[found.column] for row in found.table.rows if found.find_picture(row) is None
    ]
    if others:
        note(f"{table.where}: rows of other files are not used: {some(others)}")
    say(found.note or f"totals belong to the files that the column {column!r} names")
    return np.array([owned[k] for k in range(len(files))])


def _require_no_other_files(table, files) -> None:
    """Raise if a column has names of files, none of which is there."""
    endings = {Path(file).suffix.lower() for file in files} - {""}
    for j, column in enumerate(table.header):
        cells = table.column(j)
        others = [cell for cell in cells if Path(cell.strip()).suffix.lower() in endings]
        if len(others) > len(cells) / 2:
            raise ValueError(
                f"{table.where}: the column {column!r} has names of files, such as {others[0]}, "
                f"but none of those that were read, such as {Path(files[0]).name}. Correct the "
                "names, or remove the column if totals are in the order of the files."
            )


def _names(files) -> list[str]:
    """Return short names of files: those of their folders if all files are called the same."""
    paths = [Path(file) for file in files]
    while len(paths) > 1 and len({path.name for path in paths}) == 1 and paths[0].parent.name:
        paths = [path.parent for path in paths]
    return [path.name for path in paths]


def _unit_of(table, y) -> str | None:
    """Return the unit in the name of the column of totals, such as energy (kJ/mol)."""
    for j in _columns_of(table, y):
        if match := _UNIT_IN_NAME.search(table.header[j]):
            return match[1].strip()
    return None


def _columns_of(table, y) -> list[int]:
    """Return the columns of a table that totals were read from, or that are equal to these."""
    totals = [y] if y.ndim == 1 else list(y.T)
    found = []
    for j in range(len(table.header)):
        cells = table.column(j)
        if all(map(is_number, cells)):
            values = [float(cell) for cell in cells]
            if any(np.array_equal(values, each) for each in totals):
                found.append(j)
    return found
