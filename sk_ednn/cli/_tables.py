"""Columns of numbers from text files: totals as spreadsheets, logs and scripts write them.

The cells are cut by the standard library's `csv`. Which separator cuts them is decided here, since
`csv.Sniffer` takes the decimal commas of ``1;2,5`` for separators.
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

# Marks that may cut a line, those first that cannot be a part of a number. None is for blanks.
_SEPARATORS = ("\t", ";", "|", ",", None)
_NO_SEPARATOR = "\x1f"  # no text has it
_BYTES_PER_CHARACTER = (
    100  # a cell of one digit and its separator are some 60 bytes of objects each
)
_BYTE_ORDER_MARKS = {  # the longest first: that of UTF-16 begins that of UTF-32
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}

# Python's float() takes more: 1_000, infinity, digits of all scripts.
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
_GROUP = "[ \u00a0\u2009\u202f'’_]"  # between thousands; commas and points may also be decimal
# What cells have that are meant as numbers, and the remedy.
_ALMOST = (
    (
        re.compile(rf"[+-]?[0-9]{{1,3}}({_GROUP}[0-9]{{3}})+([.,][0-9]+)?"),
        "has separators of thousands: write numbers without",
    ),
    (
        re.compile(r"[+-]?[0-9]{1,3}(,[0-9]{3})+\.[0-9]*|[+-]?[0-9]{1,3}(,[0-9]{3}){2,}"),
        "has commas between thousands: write numbers without",
    ),
    (
        re.compile(r"[+-]?[0-9]{1,3}(\.[0-9]{3})+,[0-9]*|[+-]?[0-9]{1,3}(\.[0-9]{3}){2,}"),
        "has points between thousands: write numbers without, and with a decimal point",
    ),
    (
        re.compile(r"[+-]?[0-9]{1,3},[0-9]{3}"),
        "has a comma, for decimals or for thousands: write numbers with a decimal point, and "
        "without separators of thousands",
    ),
    (
        re.compile(r"[+-]?[0-9]*,[0-9]+([eE][+-]?[0-9]+)?"),
        "has a decimal comma: write numbers with a decimal point",
    ),
    (re.compile(r".*[0-9]\s*%"), "has a percent sign: write numbers without"),
    (re.compile(rf"{_DIGITS}[dD][+-]?[0-9]+"), "has an exponent with D: write E"),
    (re.compile(r"[−–].*"), "begins with a dash that is no minus sign: write -"),
    (re.compile(r"\(.*[0-9].*\)"), "is in parentheses: write negative numbers with -"),
    (
        re.compile(rf"{_NUMBER.pattern}\s*[^\W\d_].*|[$€£¥]\s*[0-9].*|.*[0-9]\s*[$€£¥]"),
        "has a unit: leave it to the name of the column",
    ),
)
# A number cut at its decimal comma: the whole part, then digits that no number begins with.
_WHOLE = re.compile(r"[+-]?[0-9]+")
_LEADING_ZERO = re.compile(r"0[0-9]+")


class _Row(NamedTuple):
    line: int
    cells: list[str]


def read_columns(path: Path, key: str | None, choose: Callable) -> np.ndarray:
    """Read a column of a text file, or several that are chosen by number.

    Separators are tabs, semicolons, bars, commas or blanks. Lines that begin with ``#`` are left
    out; but not where ``#`` begins a word in a line of as many cells as the others, as of an id. So
    are empty lines, except between the numbers of a single column, where they are empty cells of a
    spreadsheet. A first line without numbers names the columns.

    Parameters
    ----------
    path : Path
    key : str or None
        The column that is meant: its name, or numbers counted from 1, as ``2``, ``2,4`` or ``2-5``.
    choose : callable
        Returns the name of the column to take, of several; called with the names, and with those
        of columns of numbers.

    Returns
    -------
    ndarray of shape (n_rows,) or (n_rows, n_columns), float64

    Raises
    ------
    ValueError
        Naming the line that has no number where one is expected, or that is too short or too long;
        also where several columns have no names or one name.
    TileMemoryError
        Where the file is too large for the memory at hand.
    """
    text = _text(path)
    rows, separator = _table(path, text)
    names, rows, places = _choice(path, rows, separator, key, choose)
    if not rows:
        raise Unreadable(f"{path} holds names of columns and no numbers.")
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
    """Cut a text into rows of cells, and return what they were cut at."""
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
        # None cuts all lines alike: most likely is the one that cuts most of them.
        if n_cut and (best is None or n_cut > best[0]):
            best = n_cut, rows, separator
    try:
        column, n_cut = _cut(lines, _NO_SEPARATOR)
    except _UnevenQuotes as error:
        column, n_cut, uneven = [], 0, uneven or error
    # Its name may be of several words, and have commas.
    if column and not n_cut and all(_is_number(row.cells[0]) for row in column[1:]):
        return column, None
    if uneven is not None:
        raise Unreadable(f"{path}: line {uneven.line} cannot be cut into cells: {uneven.why}.")
    # A column of decimal commas, too, is cut nowhere in its name.
    if best is None or len(best[1][0].cells) == 1:
        return column, None
    return best[1:]


def _is_comment(line) -> bool:
    """Tell whether a line cannot be anything but a comment: an id has no blank behind its #."""
    line = line.lstrip()
    return line[:1] == "#" and not line[1:2].strip()


def _cut(lines, separator) -> tuple[list[_Row], int]:
    """Return the cells of lines, and in how many there is a separator.

    Columns and rows at the end that are all blank are left out.
    """
    rows, hashes = _parse(lines, separator)
    widths = {len(row.cells) for row in rows}
    for line in hashes:
        try:
            row = _parse([line], separator, with_hashes=True)[0]
        except _UnevenQuotes:
            continue
        # As many cells as the others: an id, or an error of a spreadsheet. Else it is a comment.
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
    first = 0  # line of the row that is read; a quoted cell may go on for lines

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
    """Return the names of the columns, if there are, the other rows, and the columns to take."""
    if not rows:
        raise Unreadable(f"{path} holds no numbers.")
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
            f"{path}: its columns have no names, so none is {key!r}: {_by_number(path, names)}."
        )
    elif len(names) == 1:
        return None, rows, [0]
    else:
        raise Unreadable(_nameless(path, rows, separator))
    for j in places:  # nobody has said that these are names
        if names[j] and (names[j].lower() in _MISSING or _LIKE_A_NUMBER.fullmatch(names[j])):
            _number(path, head, j)
    return names, below, places


def _chosen(names, below, key, choose) -> str:
    """Return the name of the column to take."""
    if len(names) == 1 and key is None:
        return names[0]
    # Spreadsheets leave the name of the ids out, and columns of words are not what is meant.
    numeric = [
        name
        for j, name in enumerate(names)
        if name and all(j < len(row.cells) and _is_number(row.cells[j]) for row in below)
    ]
    return choose([name for name in names if name], numeric)


def _place(path, names, name) -> int:
    """Return the place of the column of a name."""
    places = [j for j, each in enumerate(names) if each == name]
    if len(places) > 1:
        numbers = " or ".join(str(j + 1) for j in places)
        raise Unreadable(
            f"{path} has {len(places)} columns called {name!r}: choose one by its number, "
            f"{numbers}, as {path}::{places[0] + 1}."
        )
    return places[0]


def _nameless(path, rows, separator) -> str:
    """Return what to say of several columns that have no names."""
    names = rows[0].cells
    words = any(not _is_number(name) for name in names)
    halves = _decimal_comma(rows) if separator == "," else ""
    if halves:
        return f"{path}: line {rows[0].line} holds {halves}."
    return (
        f"{path} has {len(names)} columns, and its first line holds "
        f"{'words and numbers' if words else 'no names'}: write a line of names above, or "
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
        what = f"holds {shown}" if cell else "is empty"
        why = f"column {j + 1} {what}: each field needs a total. Leave it out with its field"
    elif _is_number(cell) or _INFINITE.fullmatch(cell):
        why = f"{shown} is infinite"
    else:
        almost = (why for pattern, why in _ALMOST if len(cell) <= 40 and pattern.fullmatch(cell))
        why = f"{shown} {next(almost, 'is no number')}"
    raise Unreadable(f"{path}: line {row.line}: {why}.")


def _require_widths(path, first, rows, separator) -> None:
    width = len(first)
    for row in rows:
        if len(row.cells) == width:
            continue
        why = f"line {row.line} has {len(row.cells)} columns, the first one has {width}"
        if separator == "," and len(row.cells) > width:
            why += (
                ". Are there decimal commas, or commas between thousands? Write numbers with a "
                "decimal point, and without separators"
            )
        raise Unreadable(f"{path}: {why}.")


def _require_no_blanks(path, text, rows) -> None:
    """Raise where a line between the numbers of a single column is blank: an empty cell."""
    lines = list(io.StringIO(text, newline=""))
    for number in range(rows[0].line + 1, rows[-1].line):
        if not lines[number - 1].strip():
            raise Unreadable(
                f"{path}: line {number} is blank: each field needs a total. Leave it out with its "
                "field, or leave out the blank line where no total is missing."
            )


def _require_no_halves(path, names, rows, places) -> None:
    """Raise where a column is one half of numbers with a decimal comma, as -2,05 would make two."""
    for row in rows:
        for j in places:
            before, here, after = (["", *row.cells, ""])[j : j + 3]
            if _LEADING_ZERO.fullmatch(here) and _WHOLE.fullmatch(before):
                raise Unreadable(f"{path}: line {row.line} holds {_halves(before, here)}.")
            if after and names and not names[j + 1]:
                raise Unreadable(f"{path}: line {row.line} holds {_halves(here, after)}.")


def _decimal_comma(rows) -> str:
    """Return what to say where all rows look like one number with a decimal comma."""
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
        f"{number!r}: two columns, or a number with a decimal comma? Write {whole}.{decimals}; "
        "columns need names in the first line"
    )
