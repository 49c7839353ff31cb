"""Columns of numbers from text files: totals as spreadsheets and logs have them."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np

_DELIMITERS = (",", ";", "\t")


def read_columns(path: Path, key: str | None, choose: Callable[[list[str]], str]) -> np.ndarray:
    """Read a column of a text file, or all of them where they have no names.

    Lines that are empty or begin with ``#`` are left out. A first line that is not of numbers
    names the columns.

    Parameters
    ----------
    path : Path
    key : str or None
        The column that is meant.
    choose : callable
        Returns the name of the column to take, of several.

    Returns
    -------
    ndarray of shape (n_rows,) or (n_rows, n_columns), float64

    Raises
    ------
    ValueError
        Naming the line that holds no number, or that is too short or too long; or a name that
        several columns have.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise ValueError(f"{path} cannot be read: it is not text in UTF-8.") from None
    kept = [
        (k, line) for k, line in enumerate(lines, 1) if line.strip() and line.lstrip()[0] != "#"
    ]
    if not kept:
        raise ValueError(f"{path} holds no numbers.")
    rows = _split(kept)
    width = len(rows[0][1])
    for k, cells in rows:
        if len(cells) != width:
            raise ValueError(
                f"{path}: line {k} has {len(cells)} columns, the first one has {width}."
            )
    names = None if all(_is_number(cell) for cell in rows[0][1]) else rows.pop(0)[1]
    if names is None:
        if key is not None:
            raise ValueError(f"{path}: its columns have no names: leave out ::{key}.")
        columns = list(range(width))
    else:
        column = names[0] if width == 1 and key is None else choose(names)
        if names.count(column) > 1:
            raise ValueError(f"{path} has {names.count(column)} columns called {column!r}.")
        columns = [names.index(column)]
    values = np.array(
        [[_number(path, k, cells[j]) for j in columns] for k, cells in rows], dtype=float
    )
    if not len(values):
        raise ValueError(f"{path} holds names of columns and no numbers.")
    return values[:, 0] if len(columns) == 1 else values


def _split(lines) -> list[tuple[int, list[str]]]:
    """Cut lines at the first delimiter that cuts all into as many cells, or else at blanks."""
    found: list[str | None] = [each for each in _DELIMITERS if each in lines[0][1]]
    for delimiter in found or [None]:
        rows = [(k, _cells(line, delimiter)) for k, line in lines]
        if len({len(cells) for _, cells in rows}) == 1:
            return rows
    if all(_is_number(line) for _, line in lines[1:]):  # one column, its name of several words
        return [(k, [line.strip()]) for k, line in lines]
    return [(k, _cells(line, found[0] if found else None)) for k, line in lines]


def _cells(line, delimiter) -> list[str]:
    if delimiter is None:
        return line.split()
    try:
        (cells,) = csv.reader([line], delimiter=delimiter)
    except csv.Error:  # a quoted cell that is longer than a line of numbers ever is
        return line.split(delimiter)
    return [cell.strip() for cell in cells]


def _is_number(cell) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _number(path, k, cell) -> float:
    if not _is_number(cell):
        raise ValueError(f"{path}: line {k} holds {cell[:40]!r}, which is no number.")
    return float(cell)
