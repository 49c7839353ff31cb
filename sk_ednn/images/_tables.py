"""Tables of names and numbers: text files in the styles of spreadsheets, and Excel files."""

from __future__ import annotations

import csv
import io
import math
import re
from dataclasses import dataclass
from pathlib import Path

from .._utils.file_names import require_plain
from .._utils.thousands import may_be_thousands, shows_thousands
from ._excel import NumberCell, read_sheet

_SHEETS = {".xlsx", ".xlsm"}
_OTHER_SHEETS = {".xls", ".ods", ".numbers"}
_MISSING = {"", "na", "n/a", "nan", "-", "--", "?", "none", "null", "missing"}


class TableError(ValueError):
    """A table has no usable totals; the message names the table and the line or the picture."""


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes
    ----------
    line : int
        Number of its line in the file, from 1.
    cells : list of str
    """

    line: int
    cells: list[str]


@dataclass(frozen=True)
class Table:
    """A table of texts.

    Attributes
    ----------
    where : str
        The table in a message.
    header : list of str
        Names of the columns.
    rows : list of Row
        Each with as many cells as `header`.
    """

    where: str
    header: list[str]
    rows: list[Row]

    def column(self, j) -> list[str]:
        """Return the cells of a column."""
        return [row.cells[j] for row in self.rows]

    def number(self, row, j, picture) -> float:
        """Return the number in a cell.

        Parameters
        ----------
        row : Row
        j : int
        picture : Picture
            That the row names, for the message.

        Raises
        ------
        TableError
            If the cell is empty or no number.
        """
        cell = row.cells[j]
        value = value_of(cell)
        if value is None:
            if cell.strip().lower() in _MISSING:
                raise TableError(
                    f"{self.where}, line {row.line}: {self.header[j]!r} of {picture.name} is "
                    "missing. Fill it in, or remove the row to leave the picture out."
                )
            raise TableError(
                f"{self.where}, line {row.line}: {self.header[j]!r} of {picture.name} is {cell!r}, "
                "which is not a number."
            )
        return value

    def thousands(self, j, rows=None) -> str | None:
        """Return a note on numbers whose points may separate thousands; None without such numbers.

        Parameters
        ----------
        j : int
            The column.
        rows : list of Row, default=None
            None for all.

        Raises
        ------
        TableError
            If numbers without points are among them, which numbers with three decimals are not, or
            other columns show that points separate thousands.
        """
        rows = self.rows if rows is None else rows
        cells = [row.cells[j] for row in rows]
        first, mixed = may_be_thousands([cell.replace("\u2212", "-") for cell in cells])
        texts = [
            k for k, cell in enumerate(cells) if "." in cell and not isinstance(cell, NumberCell)
        ]
        if first is None or not texts:
            return None
        row = rows[texts[0]]
        cell, name = row.cells[j], self.header[j]
        whole, what = cell.replace(".", ""), f"{name!r} is {cell}, which may be {cell} or"
        shown = shows_thousands(
            [
                other
                for row in rows
                for k, other in enumerate(row.cells)
                if k != j and not isinstance(other, NumberCell)
            ]
        )
        if mixed or shown is not None:
            why = "" if mixed else f", since another column has {shown}"
            raise TableError(
                f"{self.where}, line {row.line}: {what} {whole}{why}. Write numbers without "
                "separators of thousands. For areas and other amounts set counts=False (--amounts "
                "on the command line)."
            )
        return f"{name!r} is read with three decimals, such as {cell}; if it is {whole}, write so"


def require_one(header, name, where) -> None:
    """Raise if several columns have a name."""
    if header.count(name) > 1:
        raise TableError(
            f"{where}: {header.count(name)} columns are called {name!r}. Rename all but one."
        )


def read_table(path) -> Table:
    """Read a table; names of columns are made up if it has none.

    Parameters
    ----------
    path : str
        A file of comma, semicolon or tab separated values, or an Excel file.

    Raises
    ------
    TableError
        If it cannot be read, or has fewer than two columns or rows of several widths.
    """
    where = Path(path).name
    try:
        require_plain(path)
    except OSError as error:
        raise TableError(f"{where}: the table cannot be opened ({error}).") from error
    if Path(path).suffix.lower() in _SHEETS:
        cells = read_sheet(path)
    elif Path(path).suffix.lower() in _OTHER_SHEETS:
        raise TableError(f"{where}: spreadsheets are read as .xlsx. Save it as .xlsx or CSV.")
    else:
        cells = _cells(path, where)
    rows = [
        Row(k + 1, [cell if isinstance(cell, NumberCell) else cell.strip() for cell in row])
        for k, row in enumerate(cells)
        if any(cell.strip() for cell in row)
    ]
    if not rows:
        raise TableError(f"{where}: the table is empty.")
    width = len(rows[0].cells)
    if width < 2:
        raise TableError(
            f"{where}, line {rows[0].line}: one column, {rows[0].cells[0]!r}. Expected the names "
            "of files in one and their totals in another, separated by commas, semicolons or tabs. "
            "Delete lines above the header, or begin them with '# '."
        )
    for row in rows:
        if len(row.cells) != width:
            raise TableError(
                f"{where}, line {row.line}: {len(row.cells)} cells, and {width} in the first line."
            )
    if any(value_of(cell) is not None for cell in rows[0].cells):
        return Table(where, [f"column {k + 1}" for k in range(width)], rows)
    return Table(where, rows[0].cells, rows[1:])


def value_of(cell) -> float | None:
    """Return the number in a cell, or None. ``1,5`` is 1.5."""
    text = cell.strip().replace("\u2212", "-")
    if re.fullmatch(r"[+-]?\d+,\d{1,2}", text):
        text = text.replace(",", ".")
    try:
        value = float(text) if "_" not in text else math.nan
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _cells(path, where) -> list[list[str]]:
    try:
        raw = Path(path).read_bytes()
    except OSError as error:
        raise TableError(f"{where}: the table cannot be opened ({error.strerror}).") from error
    marks = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
    encoding = marks.get(raw[:2], "utf-8-sig")
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError:
        text = raw.decode("cp1252", errors="replace")
    if "\0" in text:
        raise TableError(f"{where}: not a table of text. Save it as CSV.")
    text = re.sub("\r\n?", "\n", text)
    # Spreadsheets write this line before the table. An empty row keeps the numbers of lines.
    separator_line = re.match(r'\s*"?sep=([;,\t])"?[;,\t]*\n', text)
    if separator_line is not None:
        text, separator = text[separator_line.end() :], separator_line.group(1)
    else:
        lines = [line for line in text.splitlines() if line.strip()]
        first = next((line for line in lines if not _is_comment(line)), "")
        separator = max("\t;,", key=lambda mark: (first.count(mark) > 0, mark != ","))
    try:
        rows = list(csv.reader(io.StringIO(text), delimiter=separator))
    except csv.Error as error:  # such as a quote that is never closed in a large file
        raise TableError(f"{where}: not a table of text ({error}). Save it as CSV.") from error
    rows = _without_comments(rows)
    return rows if separator_line is None else [[], *rows]


def _is_comment(line) -> bool:
    """Return True if a line is a comment; # without a blank behind it may be a name."""
    return bool(re.match(r"\s*#(\s|$)", line))


def _without_comments(rows) -> list[list[str]]:
    """Return rows with empty ones for comments, so that numbers of lines remain.

    A comment is the header if it stands before numbers and has as many cells as they.
    """
    comments = [  # a column may be called #
        k
        for k, row in enumerate(rows)
        if row and _is_comment(row[0]) and (row[0].strip() != "#" or not any(row[1:]))
    ]
    others = [row for k, row in enumerate(rows) if row and k not in set(comments)]
    if not comments or not others:
        return rows
    rows, first = list(rows), others[0]
    has_header = not any(value_of(cell) is not None for cell in first)
    for k in comments:
        before = not any(row and j not in comments for j, row in enumerate(rows[:k]))
        if not has_header and before and len(rows[k]) == len(first):
            rows[k], has_header = [rows[k][0].lstrip().lstrip("#"), *rows[k][1:]], True
        else:
            rows[k] = []
    return rows
