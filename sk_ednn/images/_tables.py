"""Totals of pictures from tables, matched by the names of files."""

from __future__ import annotations

import csv
import io
import math
import re
import unicodedata
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path

import numpy as np

from .._utils.file_names import require_plain
from .._utils.masks import unknown_as_nan
from .._utils.thousands import may_be_thousands, shows_thousands
from .._utils.wording import with_article
from ._excel import NumberCell, read_sheet
from ._picture import stem_of

_SHEETS = {".xlsx", ".xlsm"}
_OTHER_SHEETS = {".xls", ".ods", ".numbers"}
_MISSING = {"", "na", "n/a", "nan", "-", "--", "?", "none", "null", "missing"}
# Names of a column that numbers the rows.
_INDICES = {"", "id", "#", "index", "idx", "no", "nr", "num", "number", "row", "unnamed: 0"}
_BEGINS_LIKE_A_NUMBER = re.compile(r"(ca?\.?|~|about|≈)?\s*[-+\u2212]?[.,]?\d").match
# Shown of a list of names.
_SHOWN = 5
# A column of totals is taken for counts where at least this share of it is whole.
_COUNTS = 0.7
# A column names pictures by parts of their names if more than this share of its cells do.
_BY_PART = 2 / 3


class TableError(ValueError):
    """A table has no usable totals; the message names the table and the line or the picture."""


@dataclass(frozen=True)
class Matched:
    """Pictures with their totals.

    Attributes
    ----------
    pictures : list of Picture
    totals : ndarray of shape (n_pictures,) or (n_pictures, n_columns), float64
    columns : tuple of str
        Names of the totals.
    counts : bool
        Whether all totals are counts: whole and not negative.
    without_total : tuple of str
        Names of pictures that are missing in the table.
    without_picture : tuple of str
        Names in the table without a picture.
    remarks : tuple of str
        How ambiguous numbers were read, and which other columns might have been meant.
    """

    pictures: list
    totals: np.ndarray
    columns: tuple[str, ...]
    counts: bool
    without_total: tuple[str, ...] = ()
    without_picture: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def notes(self) -> list[str]:
        """Lines on names without a partner, ambiguous numbers and other columns."""
        lines = list(self.remarks)
        if self.without_total:
            lines.append(f"no total in the table for {_some(self.without_total)}; left out")
        if self.without_picture:
            lines.append(f"no picture for {_some(self.without_picture)} of the table; left out")
        return lines


def match_totals(pictures, table, *, columns=None, counts=None) -> Matched:
    """Find the total of each picture in a table, by the name of its file.

    A name in the table may be the full name of a file or the name without its extension; the column
    with the names is recognised by this. Without any such name, a column is taken whose cells are
    each a part of one name, such as the wells ``A01``, ``A02`` of ``plate1_A01_DAPI.tif``. Rows may
    be in any order.

    Parameters
    ----------
    pictures : list of Picture
    table : str, path-like, or mapping of str to number or sequence of numbers
        A file of comma, semicolon or tab separated values, an Excel file, or
        totals by name.
    columns : str or sequence of str, default=None
        Columns of the totals. None if there is only one column of numbers beside the names.
    counts : bool or None, default=None
        Whether totals must be whole and not negative. None for True if seven of ten are whole.

    Returns
    -------
    Matched

    Raises
    ------
    TableError
        If no column contains the names, if several columns may be the totals, if a total is
        missing, not a number or, as a count, negative or fractional; or if points may be thousands
        separators, as in ``1.006`` beside ``950``, unless `counts` is False.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ednn.images import as_picture, match_totals
    >>> pictures = [as_picture(np.zeros((20, 20)), name) for name in ("a.png", "b.png", "c.png")]
    >>> found = match_totals(pictures, {"b": 12, "a": 7, "d": 3})
    >>> found.totals, found.notes
    (array([ 7., 12.]), ['no total in the table for c.png; left out', 'no picture for d of the
    table; left out'])
    """
    remarks: list[str] = []
    if not isinstance(table, (str, PathLike, dict)):
        raise TableError(
            "Totals by name are a dict of numbers, or the name of a file; got "
            f"{with_article(type(table).__name__)}. Give dict(zip(names, totals))."
        )
    if isinstance(table, dict):
        rows, header, where = _of_mapping(table)
        name_column, total_columns = 0, list(range(1, len(header)))
    else:
        where = Path(fspath(table)).name
        header, rows = read_table(fspath(table), where)
        name_column = column_of_names(pictures, rows, header, where)
        total_columns = _total_columns(header, rows, name_column, columns, where)
        remarks += _by_part(pictures, rows, name_column, header)
        if columns is None:
            remarks += _passed_over(header, rows, name_column, total_columns)
    partner = _partners(pictures, rows, name_column, where)
    matches = [(picture, partner[id(picture)]) for picture in pictures if id(picture) in partner]
    if not matches:
        raise TableError(f"{where}: no name in the table is that of a picture.")
    if counts is not False and not isinstance(table, dict):
        matched_rows = [row for _, row in matches]
        remarks += [
            line for j in total_columns if (line := thousands(matched_rows, j, header, where))
        ]
    totals = np.array(
        [
            [number_of(row, j, header, picture, where) for j in total_columns]
            for picture, row in matches
        ]
    )
    kept = [picture for picture, _ in matches]
    if counts is None:
        counts = bool(
            np.mean(np.round(totals) == totals) >= _COUNTS and (totals >= 0).mean() >= 0.5
        )
    if counts:
        _require_counts(kept, totals, header, total_columns, where)
    used = {id(row) for _, row in matches}
    return Matched(
        pictures=kept,
        totals=totals[:, 0] if len(total_columns) == 1 else totals,
        columns=tuple(header[j] for j in total_columns),
        counts=counts,
        without_total=tuple(each.name for each in pictures if id(each) not in partner),
        without_picture=tuple(
            row.cells[name_column] for row in rows if id(row) not in used
        ),
        remarks=tuple(remarks),
    )  # fmt: skip


@dataclass(frozen=True)
class _Row:
    line: int
    cells: list[str]


def _of_mapping(table):
    rows = []
    for k, (name, value) in enumerate(table.items()):
        if isinstance(value, (str, bytes)):
            raise TableError(
                f"the totals: that of {name} must be a number, or numbers; got the text {value!r}."
            )
        try:
            values = np.atleast_1d(unknown_as_nan(value, f"the total of {name}"))
        except ValueError as error:
            raise TableError(f"the totals: {error}") from error
        rows.append(_Row(k + 1, [str(name), *map(repr, values.ravel().tolist())]))
    width = max((len(row.cells) for row in rows), default=1)
    uneven = next((row for row in rows if len(row.cells) != width), None)
    if uneven is not None:
        raise TableError(
            f"the totals: {uneven.cells[0]} has {len(uneven.cells) - 1} of them, others "
            f"{width - 1}. Give each picture as many, NaN for unknown ones."
        )
    header = ["file"] + (["total"] if width == 2 else [f"total {k}" for k in range(width - 1)])
    return rows, header, "the totals"


# --- reading ----------------------------------------------------------------------------------


def read_table(path, where) -> tuple[list[str], list[_Row]]:
    """Return the header (made up if there is none) and the rows of a table."""
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
        _Row(k + 1, [cell if isinstance(cell, NumberCell) else cell.strip() for cell in row])
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
    if any(_value(cell) is not None for cell in rows[0].cells):
        return [f"column {k + 1}" for k in range(width)], rows
    return rows[0].cells, rows[1:]


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
    has_header = not any(_value(cell) is not None for cell in first)
    for k in comments:
        before = not any(row and j not in comments for j, row in enumerate(rows[:k]))
        if not has_header and before and len(rows[k]) == len(first):
            rows[k], has_header = [rows[k][0].lstrip().lstrip("#"), *rows[k][1:]], True
        else:
            rows[k] = []
    return rows


def thousands(rows, j, header, where) -> str | None:
    """Return a note on numbers whose points may separate thousands; None without such numbers.

    Raises
    ------
    TableError
        If numbers without points are among them, which numbers with three decimals are not, or
        other columns show that points separate thousands.
    """
    cells = [row.cells[j] for row in rows]
    first, mixed = may_be_thousands([cell.replace("\u2212", "-") for cell in cells])
    texts = [k for k, cell in enumerate(cells) if "." in cell and not isinstance(cell, NumberCell)]
    if first is None or not texts:
        return None
    row = rows[texts[0]]
    cell = row.cells[j]
    whole, what = cell.replace(".", ""), f"{header[j]!r} is {cell}, which may be {cell} or"
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
            f"{where}, line {row.line}: {what} {whole}{why}. Write numbers without separators of "
            "thousands. For areas and other amounts set counts=False (--amounts on the command "
            "line)."
        )
    return f"{header[j]!r} is read with three decimals, such as {cell}; if it is {whole}, write so"


def _value(cell) -> float | None:
    """Return the number in a cell, or None. ``1,5`` is 1.5."""
    text = cell.strip().replace("\u2212", "-")
    if re.fullmatch(r"[+-]?\d+,\d{1,2}", text):
        text = text.replace(",", ".")
    try:
        value = float(text) if "_" not in text else math.nan
    except ValueError:
        return None
    return value if math.isfinite(value) else None


# --- which column, which row -------------------------------------------------------------------


def _keys(name) -> list[str]:
    """Return the names that may identify a picture or a row, the most exact first.

    Accents are one character or two, as the file system and the program of the table like.
    """
    name = unicodedata.normalize("NFC", name)
    base = name.replace("\\", "/").rpartition("/")[2]
    return [name, base, stem_of(base), *([name.partition("::")[2]] if "::" in name else [])]


def column_of_names(pictures, rows, header, where) -> int:
    keys = {key.lower() for picture in pictures for key in _keys(picture.name)}
    hits = [
        sum(any(key.lower() in keys for key in _keys(row.cells[j])) for row in rows)
        for j in range(len(header))
    ]
    if max(hits) == 0:
        by_part = _column_of_parts(pictures, rows, len(header))
        if by_part is not None:
            return by_part
        first = rows[0].cells if rows else header
        raise TableError(
            f"{where}: no column has names of the pictures, such as {pictures[0].name}, or a part "
            f"of each name that no other has; its first row is {', '.join(first)}. Add a column "
            "with the names of the files."
        )
    return int(np.argmax(hits))


def _part_of(text) -> str | None:
    """Return what compares as part of a name, such as a1 for the well A01; None for numbers alone.

    Examples
    --------
    >>> from sk_ednn.images._tables import _part_of
    >>> _part_of("A01"), _part_of(" b12 "), _part_of("65"), _part_of("plate A")
    ('a1', 'b12', None, None)
    """
    text = unicodedata.normalize("NFC", text).strip().lower()
    if not re.fullmatch(r"[^\W_]+", text) or text.isdigit():
        return None
    return re.sub(r"(?<=[^\W\d_])0+(?=\d)", "", text)


def _parts_of(name) -> set[str]:
    """Return the parts of a name between other characters than letters and digits."""
    words = re.split(r"[\W_]+", stem_of(name.replace("\\", "/").rpartition("/")[2]))
    return {part for word in words if (part := _part_of(word)) is not None}


def _owners_by_part(pictures) -> dict[str, list[int]]:
    owners: dict[str, list[int]] = {}
    for k, picture in enumerate(pictures):
        for part in _parts_of(picture.name):
            owners.setdefault(part, []).append(k)
    return owners


def _column_of_parts(pictures, rows, n_columns) -> int | None:
    """Return the column whose cells are each a part of one name, such as wells of a plate.

    A column of classes, such as treatments, is none: its parts are in several names, or it has one
    in several rows.
    """
    owners = _owners_by_part(pictures)
    for j in range(n_columns):
        parts = [_part_of(row.cells[j]) for row in rows]
        found = [part for part in parts if len(owners.get(part or "", ())) == 1]
        if len(found) > _BY_PART * len(rows) and len(set(found)) == len(found):
            return j
    return None


def _by_part(pictures, rows, name_column, header) -> list[str]:
    """Return a note that rows are matched by parts of names; none where they have the names."""
    keys = {key.lower() for picture in pictures for key in _keys(picture.name)}
    if any(key.lower() in keys for row in rows for key in _keys(row.cells[name_column])):
        return []
    owners = _owners_by_part(pictures)
    for row in rows:
        cell = row.cells[name_column]
        if len(k := owners.get(_part_of(cell) or "", [])) == 1:
            return [
                f"rows are matched by {header[name_column]!r}, a part of the names: "
                f"{cell} is in {pictures[k[0]].name}"
            ]
    return []


def _passed_over(header, rows, name_column, chosen) -> list[str]:
    """Return notes on columns that may be meant: most of their texts begin like numbers."""
    learned = ", ".join(repr(header[j]) for j in chosen)
    notes = []
    for j in sorted(set(range(len(header))) - {name_column, *chosen}):
        cells = [row.cells[j] for row in rows]
        texts = [cell for cell in cells if _value(cell) is None and _BEGINS_LIKE_A_NUMBER(cell)]
        if len(texts) > 0.5 * len(cells):
            notes.append(
                f"{learned} is learned, and not {header[j]!r}, whose cells are no numbers, such as "
                f"{texts[0]!r}"
            )
    return notes


def _total_columns(header, rows, name_column, columns, where) -> list[int]:
    if columns is not None:
        wanted = [columns] if isinstance(columns, str) else list(columns)
        for name in wanted:
            if name not in header:
                raise TableError(f"{where}: no column {name!r}; there are {', '.join(header)}.")
            require_one(header, name, where)
        return [header.index(name) for name in wanted]
    numeric = [
        j
        for j in range(len(header))
        if j != name_column and np.mean([_value(row.cells[j]) is not None for row in rows]) > 0.5
    ]
    if not numeric:
        raise TableError(
            f"{where}: no column of numbers beside {header[name_column]!r}, which has the names."
        )
    if len(numeric) == 1 and _is_running_number(header[numeric[0]], rows, numeric[0]):
        name = header[numeric[0]]
        raise TableError(
            f"{where}: the only column of numbers, {name!r}, numbers the rows. Add a column of "
            f'totals; if these are the totals, choose it: --column "{name}" on the command line, '
            f"or columns={name!r} in Python."
        )
    if len(numeric) > 1:
        named = [j for j in numeric if header[j].strip().lower() in ("count", "counts", "total")]
        if len(named) == 1:
            return named
        raise TableError(
            f"{where}: {', '.join(repr(header[j]) for j in numeric)} could all be the totals. "
            f'Name the one that is meant, such as --column "{header[numeric[0]]}" on the command '
            f"line (TABLE::{header[numeric[0]]} for evaluate), or columns={header[numeric[0]]!r} "
            "in Python."
        )
    return numeric


def require_one(header, name, where) -> None:
    """Raise if several columns have a name."""
    if header.count(name) > 1:
        raise TableError(
            f"{where}: {header.count(name)} columns are called {name!r}. Rename all but one."
        )


def _is_running_number(name, rows, j) -> bool:
    """Return True if a column has a name of an index, and numbers that go up by one."""
    if name.strip().lower().rstrip(".") not in _INDICES:
        return False
    values = [_value(row.cells[j]) for row in rows]
    return None not in values and bool((np.diff(np.array(values, dtype=float)) == 1).all())


def _partners(pictures, rows, name_column, where) -> dict[int, _Row]:
    """Return the row of each picture, by the identity of the picture."""
    owners, by_part = _owners(pictures), False
    if not any(key.lower() in owners for row in rows for key in _keys(row.cells[name_column])):
        owners, by_part = _owners_by_part(pictures), True
    partners: dict[int, _Row] = {}
    for row in rows:
        k = _owner(owners, pictures, row, name_column, where, by_part=by_part)
        if k is None:
            continue
        earlier = partners.get(id(pictures[k]))
        if earlier is not None and earlier.cells != row.cells:
            raise TableError(
                f"{where}: two rows for {pictures[k].name}, lines {earlier.line} and "
                f"{row.line}, which differ. Keep one."
            )
        partners[id(pictures[k])] = row
    return partners


def _owners(pictures) -> dict[str, list[int]]:
    """Return the numbers of the pictures that a key may mean."""
    owners: dict[str, list[int]] = {}
    for k, picture in enumerate(pictures):
        for key in dict.fromkeys(each.lower() for each in _keys(picture.name)):
            owners.setdefault(key, []).append(k)
    return owners


def _owner(owners, pictures, row, name_column, where, *, by_part=False) -> int | None:
    """Return the number of the picture that a row names, or None."""
    cell = row.cells[name_column]
    for key in [_part_of(cell) or ""] if by_part else _keys(cell):
        matches = owners.get(key.lower(), [])
        if len(matches) > 1:
            raise TableError(
                f"{where}, line {row.line}: {cell} may be "
                f"{_some([pictures[k].name for k in matches])}. Write the full names."
            )
        if matches:
            return matches[0]
    return None


def picture_finder(pictures, name_column, where):
    """Return a function that returns the number of the picture that a row names.

    It raises `TableError` where a row names none.
    """
    owners = _owners(pictures)

    def find(row) -> int:
        k = _owner(owners, pictures, row, name_column, where)
        if k is None:
            raise TableError(
                f"{where}, line {row.line}: {row.cells[name_column]} is none of the pictures, "
                f"such as {pictures[0].name}."
            )
        return k

    return find


def number_of(row, j, header, picture, where) -> float:
    cell = row.cells[j]
    value = _value(cell)
    if value is None:
        if cell.strip().lower() in _MISSING:
            raise TableError(
                f"{where}, line {row.line}: {header[j]!r} of {picture.name} is missing. Fill it "
                "in, or remove the row to leave the picture out."
            )
        raise TableError(
            f"{where}, line {row.line}: {header[j]!r} of {picture.name} is {cell!r}, which is "
            "not a number."
        )
    return value


def _require_counts(pictures, totals, header, total_columns, where) -> None:
    for picture, row in zip(pictures, totals, strict=True):
        for value, j in zip(row, total_columns, strict=True):
            if value < 0:
                raise TableError(
                    f"{where}: {header[j]!r} of {picture.name} is {value:g}, and a count cannot be "
                    "negative."
                )
            if value != round(value):
                raise TableError(
                    f"{where}: {header[j]!r} of {picture.name} is {value:g}, which is not a whole "
                    "number, as the others are. For areas and other amounts set counts=False "
                    "(--amounts on the command line)."
                )


def _some(names) -> str:
    names = list(names)
    shown = ", ".join(names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"
