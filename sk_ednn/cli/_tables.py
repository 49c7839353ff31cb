"""Reading of columns of numbers from text files of spreadsheets, logs and scripts.

The module `csv` splits lines into cells. The separator is determined in `_table_text`, since
`csv.Sniffer` mistakes the decimal commas of ``1;2,5`` for separators.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

import numpy as np

from .._utils.thousands import may_be_thousands, shows_thousands
from ._table_numbers import (
    LEADING_ZERO,
    LIKE_A_NUMBER,
    MISSING,
    WHOLE,
    decimal_comma,
    halves,
    is_number,
    number_in,
)
from ._table_text import Row, rows_of, text_of
from ._wanted import Unreadable, note

_FEW = 4  # rows whose order says nothing
# Names of columns that name the files of systems, which are no totals and give the order of rows.
_NAMING: ContextVar[tuple[str, ...]] = ContextVar("_NAMING", default=())
_NUMBERS_OF_COLUMNS = re.compile(r"[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*")


@contextmanager
def naming_columns(names: tuple[str, ...]):
    """Take no totals from some columns of a table, which name the files of systems."""
    token = _NAMING.set(names)
    try:
        yield
    finally:
        _NAMING.reset(token)


def read_columns(path: Path, key: str | None, choose: Callable) -> np.ndarray:
    """Read a column of a text file, or several by number.

    Separators are tabs, semicolons, bars, commas or blanks. Lines that begin with ``#`` are
    comments, unless ``#`` begins a word, such as an id, and the line has as many cells as the
    others. Empty lines are ignored, except between the numbers of a single column, where they are
    empty cells. A first line without numbers contains the names of columns.

    Parameters
    ----------
    path : Path
    key : str or None
        The name of a column, or numbers counted from 1, such as ``2``, ``2,4`` or ``2-5``.
    choose : callable
        Function of the names of all columns and of those with numbers; returns the name of the
        column to read.

    Returns
    -------
    ndarray of shape (n_rows,) or (n_rows, n_columns), float64

    Raises
    ------
    ValueError
        If a cell is not a number, lines have different numbers of cells, or names of columns are
        missing or not unique. The message names the line.
    TileMemoryError
        If the file does not fit in memory.
    """
    text = text_of(path)
    rows, separator = rows_of(path, text)
    names, rows, columns = _choice(path, rows, separator, key, choose)
    if not rows:
        raise Unreadable(f"{path} contains names of columns, but no numbers.")
    _require_widths(path, names or rows[0].cells, rows, separator)
    if len(rows[0].cells) == 1:
        _require_no_blanks(path, text, rows)
    if separator == ",":
        _require_no_halves(path, names, rows, columns)
    for j in columns:
        _require_no_thousands(path, rows, j)
    _note_order(path, names or [], rows, columns)
    values = np.array([[number_in(path, row, j) for j in columns] for row in rows], dtype=float)
    return values[:, 0] if len(columns) == 1 else values


def _choice(path, rows, separator, key, choose) -> tuple[list[str] | None, list[Row], list[int]]:
    """Return the names of columns or None, the other rows, and the columns to read."""
    if not rows:
        raise Unreadable(f"{path} contains no numbers.")
    head, below = rows[0], rows[1:]
    names = head.cells
    has_names = not any(map(is_number, names))
    if key is not None and key in names and key in _NAMING.get():
        raise Unreadable(f"{path}: the column {key!r} has names of files, and no totals.")
    if key is not None and key in names and not is_number(key):
        return names, below, [_column_named(path, names, key)]
    if key is not None and _NUMBERS_OF_COLUMNS.fullmatch(key):
        columns = _columns_numbered(path, key, len(names))
        if not has_names and any(is_number(names[j]) for j in columns):
            return None, rows, columns
    elif has_names:
        columns = [_column_named(path, names, _chosen(names, below, key, choose))]
    elif key is not None:
        raise Unreadable(
            f"{path} has no names of columns, so there is no {key!r}: {_by_number(path, names)}."
        )
    elif len(names) == 1:
        return None, rows, [0]
    else:
        raise Unreadable(_nameless(path, rows, separator))
    for j in columns:  # the names of unnamed columns may be damaged numbers
        if names[j] and (names[j].lower() in MISSING or LIKE_A_NUMBER.fullmatch(names[j])):
            number_in(path, head, j)
    return names, below, columns


def _chosen(names, below, key, choose) -> str:
    """Return the name of the column to read."""
    if len(names) == 1 and key is None:
        return names[0]
    # Without columns of words, and columns without names, such as ids of spreadsheets.
    columns = {
        name: [row.cells[j] if j < len(row.cells) else "" for row in below]
        for j, name in enumerate(names)
        if name and name not in _NAMING.get()
    }
    numeric = [name for name, cells in columns.items() if all(map(is_number, cells))]
    # What numbers the rows is no total, unless there is nothing else.
    totals = [name for name in numeric if not _row_numbers(columns[name])]
    return choose([name for name in names if name], totals or numeric)


def _column_named(path, names, name) -> int:
    """Return the index of the column of a name."""
    columns = [j for j, each in enumerate(names) if each == name]
    if len(columns) > 1:
        numbers = " or ".join(str(j + 1) for j in columns)
        raise Unreadable(
            f"{path} has {len(columns)} columns with the name {name!r}. Choose one by its number, "
            f"{numbers}, as {path}::{columns[0] + 1}."
        )
    return columns[0]


def _nameless(path, rows, separator) -> str:
    """Return a message for several columns without names."""
    names = rows[0].cells
    words = any(not is_number(name) for name in names)
    advice = decimal_comma(rows) if separator == "," else ""
    if advice:
        return f"{path}: line {rows[0].line} contains {advice}."
    return (
        f"{path} has {len(names)} columns, but its first line contains "
        f"{'words and numbers' if words else 'no names'}. Add a line of names, or "
        f"{_by_number(path, names)}."
    )


def _by_number(path, names) -> str:
    return f"choose one by its number, counted from 1, as {path}::{len(names)}"


def _columns_numbered(path, key, width) -> list[int]:
    """Read '2', '2,4' or '2-5', counted from 1."""
    columns: list[int] = []
    for part in key.split(","):
        first, _, last = part.partition("-")
        start, stop = int(first), int(last or first)
        if not 1 <= start <= stop <= width:
            raise Unreadable(
                f"{path} has {width} columns, counted from 1; there is no column {part}."
            )
        columns += range(start - 1, stop)
    return columns


def _require_widths(path, first, rows, separator) -> None:
    width = len(first)
    for row in rows:
        if len(row.cells) == width:
            continue
        why = f"line {row.line} has {len(row.cells)} columns, but the first line has {width}"
        if separator == "," and len(row.cells) > width:
            why += (
                ". If these are decimal commas or separators of thousands, write numbers with a "
                "decimal point and without separators"
            )
        raise Unreadable(f"{path}: {why}.")


def _note_order(path, names, rows, columns) -> None:
    """Print a note if another column numbers the rows, and these are in another order.

    Totals belong to fields by their position; a table that was sorted by its totals would be
    learned without an error.
    """
    if _NAMING.get():
        return  # rows belong to the files that they name
    for j, name in enumerate(names):
        numbers = [] if j in columns else _row_numbers([row.cells[j] for row in rows])
        if numbers != sorted(numbers):
            note(
                f"{path}: the column {name!r} numbers the rows from {min(numbers)} to "
                f"{max(numbers)}, which are in another order. Totals are matched to fields by "
                "their rows: sort the table by this column if the fields are in its order."
            )
            return


def _row_numbers(cells) -> list[int]:
    """Return the numbers of a column that numbers the rows, in any order; empty for others."""
    if len(cells) < _FEW or not all(WHOLE.fullmatch(cell) and len(cell) < 19 for cell in cells):
        return []
    numbers = [int(cell) for cell in cells]
    in_order = range(min(numbers), min(numbers) + len(numbers))
    return numbers if sorted(numbers) == list(in_order) else []


def _require_no_blanks(path, text, rows) -> None:
    """Raise if a line between the numbers of a single column is blank, which is an empty cell."""
    lines = list(io.StringIO(text, newline=""))
    for number in range(rows[0].line + 1, rows[-1].line):
        if not lines[number - 1].strip():
            raise Unreadable(
                f"{path}: line {number} is blank, but each field needs a total. Remove the field "
                "without a total, or the blank line if none is missing."
            )


def _require_no_thousands(path, rows, j) -> None:
    """Raise if points may separate thousands, as in 1.006 beside 950 or beside 1.234.567."""
    first, mixed = may_be_thousands([row.cells[j] for row in rows])
    if first is None:
        return
    others = (cell for row in rows for k, cell in enumerate(row.cells) if k != j)
    shown = None if mixed else shows_thousands(others)
    if mixed or shown is not None:
        cell = rows[first].cells[j]
        why = "other numbers have no point" if mixed else f"another column has {shown}"
        raise Unreadable(
            f"{path}: line {rows[first].line} contains {cell!r}, which may be {cell} or "
            f"{cell.replace('.', '')}, since {why}. Write thousands without separators, and "
            "numbers with decimals as they are with a point in all lines, such as 3.0."
        )


def _require_no_halves(path, names, rows, columns) -> None:
    """Raise if a column is one part of numbers with a decimal comma, such as -2,05."""
    for row in rows:
        for j in columns:
            before, here, after = (["", *row.cells, ""])[j : j + 3]
            if LEADING_ZERO.fullmatch(here) and WHOLE.fullmatch(before):
                raise Unreadable(f"{path}: line {row.line} contains {halves(before, here)}.")
            if after and names and not names[j + 1]:
                raise Unreadable(f"{path}: line {row.line} contains {halves(here, after)}.")
