"""Text of tables: encoding, separator, quotes and comments; rows of cells."""

from __future__ import annotations

import codecs
import csv
import io
import re
from typing import NamedTuple

from .._utils.memory import require_memory
from ._table_numbers import MISSING, is_number
from ._wanted import Unreadable

# Separators, first those that cannot be part of a number. None means blanks.
_SEPARATORS = ("\t", ";", "|", ",", None)
_NO_SEPARATOR = "\x1f"  # does not occur in text
# Objects of a cell with one digit and of its separator have some 60 bytes each.
_BYTES_PER_CHARACTER = 100
_BYTE_ORDER_MARKS = {  # longest first, since that of UTF-32 begins like that of UTF-16
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_SEPARATOR_LINE = re.compile(r'"?sep=(\t|[^\w\s".+-])"?\s*', re.IGNORECASE)


class Row(NamedTuple):
    """Cells of a row, and the number of its first line."""

    line: int
    cells: list[str]


def text_of(path) -> str:
    """Return the text of a file; raise `Unreadable` if it is not text in UTF-8 or UTF-16."""
    size = path.stat().st_size
    advice = "Write the numbers to an .npy file."
    require_memory(_BYTES_PER_CHARACTER * size, f"Reading {path}", advice)
    content = path.read_bytes()
    marks = (code for mark, code in _BYTE_ORDER_MARKS.items() if content.startswith(mark))
    encoding = next(marks, "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        raise Unreadable(
            f"{path} cannot be read: it is not text in UTF-8. Save it as CSV in UTF-8."
        ) from None
    if "\0" in text:
        raise Unreadable(
            f"{path} cannot be read: it is not text, or in UTF-16 without a byte order mark. Save "
            "it as CSV in UTF-8."
        )
    return text


def rows_of(path, text) -> tuple[list[Row], str | None]:
    """Split a text into rows of cells, and return them with the separator."""
    lines = list(enumerate(io.StringIO(text, newline=""), 1))
    given = _SEPARATOR_LINE.fullmatch(lines[0][1]) if lines else None
    lines = lines[1:] if given else lines
    best: tuple[int, list[Row], str | None] | None = None
    uneven = None
    for separator in (given[1],) if given else _SEPARATORS:
        try:
            rows, n_cut = _cut(lines, separator)
        except _UnevenQuotes as error:
            if separator is None or any(separator in line for _, line in lines):
                uneven = uneven or error
            continue
        alike = len({len(row.cells) for row in rows}) <= 1
        if alike and (n_cut or given):
            return rows, separator
        # If no separator gives rows of one width, the one that splits most lines is used.
        if n_cut and (best is None or n_cut > best[0]):
            best = n_cut, rows, separator
    try:
        column, n_cut = _cut(lines, _NO_SEPARATOR)
    except _UnevenQuotes as error:
        column, n_cut, uneven = [], 0, uneven or error
    # The name of a single column may contain blanks and commas.
    if column and not n_cut and all(is_number(row.cells[0]) for row in column[1:]):
        return column, None
    if uneven is not None:
        raise Unreadable(f"{path}: line {uneven.line} cannot be split into cells: {uneven.why}.")
    # For a column of numbers with decimal commas, the name is not split.
    if best is None or len(best[1][0].cells) == 1:
        return column, None
    return best[1:]


def _is_comment(line) -> bool:
    """Return True if a line is a comment; # without a blank behind it may be an id."""
    line = line.lstrip()
    return line[:1] == "#" and not line[1:2].strip()


def _cut(lines, separator) -> tuple[list[Row], int]:
    """Return the cells of lines, and the number of lines with a separator.

    Blank columns and rows at the end are removed.
    """
    rows, hashes = _parse(lines, separator)
    widths = {len(row.cells) for row in rows}
    for line in hashes:
        try:
            row = _parse([line], separator, with_hashes=True)[0]
        except _UnevenQuotes:
            continue
        # With as many cells as other lines it is an id or an error value, else a comment.
        rows += [
            each
            for each in row
            if len(each.cells) in (widths or {len(each.cells)})
            and (len(each.cells) > 1 or each.cells[0].lower() in MISSING)
        ]
    rows.sort()
    while rows and not any(rows[-1].cells):
        rows.pop()
    n_cut = sum(len(row.cells) > 1 for row in rows)
    width = max((_filled(row.cells) for row in rows), default=0)
    return [Row(row.line, row.cells[:width]) for row in rows], n_cut


def _filled(cells) -> int:
    """Return the number of cells up to the last one that is not blank."""
    return max((j for j, cell in enumerate(cells, 1) if cell), default=0)


class _UnevenQuotes(Exception):
    def __init__(self, line, why):
        self.line, self.why = line, why


def _parse(lines, separator, with_hashes=False) -> tuple[list[Row], list[tuple[int, str]]]:
    """Return the cells of lines, without comments; and lines that may be comments."""
    hashes: list[tuple[int, str]] = []
    first = 0  # line of the current row, since quoted cells may extend over lines

    def feed():
        nonlocal first
        for k, line in lines:
            begins = line.lstrip()
            if not first:
                if not begins or _is_comment(line):
                    continue
                if begins[0] == "#" and not with_hashes:
                    hashes.append((k, line))
                    continue
                first = k
            yield begins.rstrip() + "\n" if separator is None else line

    reader = csv.reader(
        feed(), delimiter=separator or " ", skipinitialspace=separator != "\t", strict=True
    )
    rows = []
    try:
        for cells in reader:
            rows.append(Row(first, [cell.strip() for cell in cells]))
            first = 0
    except csv.Error as error:
        raise _UnevenQuotes(first, str(error)) from None
    return rows, hashes
