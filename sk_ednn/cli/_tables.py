"""Reading of columns of numbers from text files of spreadsheets, logs and scripts.

The module `csv` splits lines into cells. The separator is determined here, since `csv.Sniffer`
mistakes the decimal commas of ``1;2,5`` for separators.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .._utils.memory import require_memory
from ._wanted import Unreadable

# Separators, first those that cannot be part of a number. None means blanks.
_SEPARATORS = ("\t", ";", "|", ",", None)
_NO_SEPARATOR = "\x1f"  # does not occur in text
_BYTES_PER_CHARACTER = (
    100  # objects of a cell with one digit and of its separator have some 60 bytes each
)
_BYTE_ORDER_MARKS = {  # longest first, since that of UTF-32 begins like that of UTF-16
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}

# Python's float() accepts more: 1_000, infinity, digits of all scripts.
_DIGITS = r"[+-]?(?:[0-9]++\.?[0-9]*+|\.[0-9]++)"  # possessive: cells may be long
_NUMBER = re.compile(rf"{_DIGITS}(?:[eE][+-]?[0-9]++)?")
_LIKE_A_NUMBER = re.compile(r"[-+−–(.,$€£¥]?\s*[0-9].*")
_SEPARATOR_LINE = re.compile(r'"?sep=(\t|[^\w\s".+-])"?\s*', re.IGNORECASE)
_PLACES = re.compile(r"[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*")
_MISSING = {
    "",
    *("na", "n/a", "#n/a", "<na>", "nan", "-nan", "+nan", "null", "none", "nil", "missing"),
    *("-", "--", "?", ".", "#div/0!", "#name?", "#null!", "#num!", "#ref!", "#value!"),
}
_INFINITE = re.compile(r"[+-]?(inf|infinity|∞)", re.IGNORECASE)
_GROUP = "[ \u00a0\u2009\u202f'’_]"  # separators of thousands, except commas and points
# Patterns of cells that are almost numbers, and advice.
_ALMOST = (
    (
        re.compile(rf"[+-]?[0-9]{{1,3}}({_GROUP}[0-9]{{3}})+([.,][0-9]+)?"),
        "has separators of thousands: write numbers without them",
    ),
    (
        re.compile(r"[+-]?[0-9]{1,3}(,[0-9]{3})+\.[0-9]*|[+-]?[0-9]{1,3}(,[0-9]{3}){2,}"),
        "has commas between thousands: write numbers without them",
    ),
    (
        re.compile(r"[+-]?[0-9]{1,3}(\.[0-9]{3})+,[0-9]*|[+-]?[0-9]{1,3}(\.[0-9]{3}){2,}"),
        "has points between thousands: write numbers without them, and with a decimal point",
    ),
    (
        re.compile(r"[+-]?[0-9]{1,3},[0-9]{3}"),
        "has a comma, for decimals or thousands: write numbers with a decimal point and without "
        "separators of thousands",
    ),
    (
        re.compile(r"[+-]?[0-9]*,[0-9]+([eE][+-]?[0-9]+)?"),
        "has a decimal comma: write numbers with a decimal point",
    ),
    (re.compile(r".*[0-9]\s*%"), "has a percent sign: write numbers without it"),
    (re.compile(rf"{_DIGITS}[dD][+-]?[0-9]+"), "has an exponent with D: write E"),
    (re.compile(r"[−–].*"), "begins with a dash that is not a minus sign: write -"),
    (re.compile(r"\(.*[0-9].*\)"), "is in parentheses: write negative numbers with -"),
    (
        re.compile(rf"{_NUMBER.pattern}\s*[^\W\d_].*|[$€£¥]\s*[0-9].*|.*[0-9]\s*[$€£¥]"),
        "has a unit: write it in the name of the column",
    ),
)
# The parts of a number that was split at its decimal comma.
_WHOLE = re.compile(r"[+-]?[0-9]+")
_LEADING_ZERO = re.compile(r"0[0-9]+")


class _Row(NamedTuple):
    line: int
    cells: list[str]


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
    text = _text(path)
    rows, separator = _table(path, text)
    names, rows, places = _choice(path, rows, separator, key, choose)
    if not rows:
        raise Unreadable(f"{path} contains names of columns, but no numbers.")
    _require_widths(path, names or rows[0].cells, rows, separator)
    if len(rows[0].cells) == 1:
        _require_no_blanks(path, text, rows)
    if separator == ",":
        _require_no_halves(path, names, rows, places)
    values = np.array([[_number(path, row, j) for j in places] for row in rows], dtype=float)
    return values[:, 0] if len(places) == 1 else values


# --- text -------------------------------------------------------------------------------------


def _text(path) -> str:
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


def _table(path, text) -> tuple[list[_Row], str | None]:
    """Split a text into rows of cells, and return them with the separator."""
    lines = list(enumerate(io.StringIO(text, newline=""), 1))
    given = _SEPARATOR_LINE.fullmatch(lines[0][1]) if lines else None
    lines = lines[1:] if given else lines
    best: tuple[int, list[_Row], str | None] | None = None
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
    if column and not n_cut and all(_is_number(row.cells[0]) for row in column[1:]):
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


def _cut(lines, separator) -> tuple[list[_Row], int]:
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
            and (len(each.cells) > 1 or each.cells[0].lower() in _MISSING)
        ]
    rows.sort()
    while rows and not any(rows[-1].cells):
        rows.pop()
    n_cut = sum(len(row.cells) > 1 for row in rows)
    width = max((_filled(row.cells) for row in rows), default=0)
    return [_Row(row.line, row.cells[:width]) for row in rows], n_cut


def _filled(cells) -> int:
    """Return the number of cells up to the last one that is not blank."""
    return max((j for j, cell in enumerate(cells, 1) if cell), default=0)


class _UnevenQuotes(Exception):
    def __init__(self, line, why):
        self.line, self.why = line, why


def _parse(lines, separator, with_hashes=False) -> tuple[list[_Row], list[tuple[int, str]]]:
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
            rows.append(_Row(first, [cell.strip() for cell in cells]))
            first = 0
    except csv.Error as error:
        raise _UnevenQuotes(first, str(error)) from None
    return rows, hashes


# --- columns ----------------------------------------------------------------------------------


def _choice(path, rows, separator, key, choose) -> tuple[list[str] | None, list[_Row], list[int]]:
    """Return the names of columns or None, the other rows, and the columns to read."""
    if not rows:
        raise Unreadable(f"{path} contains no numbers.")
    head, below = rows[0], rows[1:]
    names = head.cells
    has_names = not any(map(_is_number, names))
    if key is not None and key in names and not _is_number(key):
        return names, below, [_place(path, names, key)]
    if key is not None and _PLACES.fullmatch(key):
        places = _places(path, key, len(names))
        if not has_names and any(_is_number(names[j]) for j in places):
            return None, rows, places
    elif has_names:
        places = [_place(path, names, _chosen(names, below, key, choose))]
    elif key is not None:
        raise Unreadable(
            f"{path} has no names of columns, so there is no {key!r}: {_by_number(path, names)}."
        )
    elif len(names) == 1:
        return None, rows, [0]
    else:
        raise Unreadable(_nameless(path, rows, separator))
    for j in places:  # the names of unnamed columns may be damaged numbers
        if names[j] and (names[j].lower() in _MISSING or _LIKE_A_NUMBER.fullmatch(names[j])):
            _number(path, head, j)
    return names, below, places


def _chosen(names, below, key, choose) -> str:
    """Return the name of the column to read."""
    if len(names) == 1 and key is None:
        return names[0]
    # Without columns of words, and columns without names, such as ids of spreadsheets.
    numeric = [
        name
        for j, name in enumerate(names)
        if name and all(j < len(row.cells) and _is_number(row.cells[j]) for row in below)
    ]
    return choose([name for name in names if name], numeric)


def _place(path, names, name) -> int:
    """Return the index of the column of a name."""
    places = [j for j, each in enumerate(names) if each == name]
    if len(places) > 1:
        numbers = " or ".join(str(j + 1) for j in places)
        raise Unreadable(
            f"{path} has {len(places)} columns with the name {name!r}. Choose one by its number, "
            f"{numbers}, as {path}::{places[0] + 1}."
        )
    return places[0]


def _nameless(path, rows, separator) -> str:
    """Return a message for several columns without names."""
    names = rows[0].cells
    words = any(not _is_number(name) for name in names)
    halves = _decimal_comma(rows) if separator == "," else ""
    if halves:
        return f"{path}: line {rows[0].line} contains {halves}."
    return (
        f"{path} has {len(names)} columns, but its first line contains "
        f"{'words and numbers' if words else 'no names'}. Add a line of names, or "
        f"{_by_number(path, names)}."
    )


def _by_number(path, names) -> str:
    return f"choose one by its number, counted from 1, as {path}::{len(names)}"


def _places(path, key, width) -> list[int]:
    """Read '2', '2,4' or '2-5', counted from 1."""
    places: list[int] = []
    for part in key.split(","):
        first, _, last = part.partition("-")
        start, stop = int(first), int(last or first)
        if not 1 <= start <= stop <= width:
            raise Unreadable(
                f"{path} has {width} columns, counted from 1; there is no column {part}."
            )
        places += range(start - 1, stop)
    return places


# --- numbers ----------------------------------------------------------------------------------


def _is_number(cell) -> bool:
    return _NUMBER.fullmatch(cell) is not None


def _number(path, row, j) -> float:
    cell = row.cells[j]
    if _is_number(cell):
        value = float(cell)
        if np.isfinite(value):
            return value
    shown = repr(cell if len(cell) <= 40 else cell[:40] + "…")
    if cell.lower() in _MISSING:
        what = f"contains {shown}" if cell else "is empty"
        why = f"column {j + 1} {what}, but each field needs a total. Remove it with its field"
    elif _is_number(cell) or _INFINITE.fullmatch(cell):
        why = f"{shown} is infinite"
    else:
        almost = (why for pattern, why in _ALMOST if len(cell) <= 40 and pattern.fullmatch(cell))
        why = f"{shown} {next(almost, 'is not a number')}"
    raise Unreadable(f"{path}: line {row.line}: {why}.")


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


def _require_no_blanks(path, text, rows) -> None:
    """Raise if a line between the numbers of a single column is blank, which is an empty cell."""
    lines = list(io.StringIO(text, newline=""))
    for number in range(rows[0].line + 1, rows[-1].line):
        if not lines[number - 1].strip():
            raise Unreadable(
                f"{path}: line {number} is blank, but each field needs a total. Remove the field "
                "without a total, or the blank line if none is missing."
            )


def _require_no_halves(path, names, rows, places) -> None:
    """Raise if a column is one part of numbers with a decimal comma, such as -2,05."""
    for row in rows:
        for j in places:
            before, here, after = (["", *row.cells, ""])[j : j + 3]
            if _LEADING_ZERO.fullmatch(here) and _WHOLE.fullmatch(before):
                raise Unreadable(f"{path}: line {row.line} contains {_halves(before, here)}.")
            if after and names and not names[j + 1]:
                raise Unreadable(f"{path}: line {row.line} contains {_halves(here, after)}.")


def _decimal_comma(rows) -> str:
    """Return a message if all rows look like a number with a decimal comma, else an empty text."""
    for row in rows:
        whole, *decimals = row.cells
        if len(decimals) > 1 or not all(map(str.isdecimal, decimals)):
            return ""
        if not _WHOLE.fullmatch(whole):
            return ""
    return _halves(*rows[0].cells)


def _halves(whole, decimals) -> str:
    number = f"{whole},{decimals}"
    return (
        f"{number!r}, which may be two columns or a number with a decimal comma. For a number "
        f"write {whole}.{decimals}; for columns write names in the first line"
    )
