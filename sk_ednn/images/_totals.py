"""Totals of pictures from tables, matched by the names of files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from os import PathLike, fspath

import numpy as np

from .._utils.masks import unknown_as_nan
from .._utils.wording import with_article
from ._named_rows import NamedRows, some
from ._tables import Row, Table, TableError, read_table, require_one, value_of

# Names of a column that numbers the rows.
_INDICES = {"", "id", "#", "index", "idx", "no", "nr", "num", "number", "row", "unnamed: 0"}
_BEGINS_LIKE_A_NUMBER = re.compile(r"(ca?\.?|~|about|≈)?\s*[-+\u2212]?[.,]?\d").match
# A column of totals is taken for counts where at least this share of it is whole.
_COUNTS = 0.7


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
            lines.append(f"no total in the table for {some(self.without_total)}; left out")
        if self.without_picture:
            lines.append(f"no picture for {some(self.without_picture)} of the table; left out")
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
    of_file = not isinstance(table, dict)
    if isinstance(table, dict):
        table = _of_mapping(table)
        named = NamedRows.at(pictures, table, 0)
        total_columns = list(range(1, len(table.header)))
    else:
        table = read_table(fspath(table))
        named = NamedRows.find(pictures, table, parts=True)
        total_columns = _total_columns(table, named.column, columns)
        remarks += [] if named.note is None else [named.note]
        if columns is None:
            remarks += _passed_over(table, named.column, total_columns)
    partner = named.row_of_each()
    matches = [(pictures[k], partner[k]) for k in sorted(partner)]
    if not matches:
        raise TableError(f"{table.where}: no name in the table is that of a picture.")
    if counts is not False and of_file:
        matched_rows = [row for _, row in matches]
        remarks += [line for j in total_columns if (line := table.thousands(j, matched_rows))]
    totals = np.array(
        [[table.number(row, j, picture) for j in total_columns] for picture, row in matches]
    )
    kept = [picture for picture, _ in matches]
    if counts is None:
        counts = bool(
            np.mean(np.round(totals) == totals) >= _COUNTS and (totals >= 0).mean() >= 0.5
        )
    if counts:
        _require_counts(kept, totals, table, total_columns)
    return Matched(
        pictures=kept,
        totals=totals[:, 0] if len(total_columns) == 1 else totals,
        columns=tuple(table.header[j] for j in total_columns),
        counts=counts,
        without_total=tuple(each.name for k, each in enumerate(pictures) if k not in partner),
        without_picture=tuple(
            row.cells[named.column] for row in table.rows if named.find_picture(row) is None
        ),
        remarks=tuple(remarks),
    )  # fmt: skip


def _of_mapping(totals) -> Table:
    rows = []
    for k, (name, value) in enumerate(totals.items()):
        if isinstance(value, (str, bytes)):
            raise TableError(
                f"the totals: that of {name} must be a number, or numbers; got the text {value!r}."
            )
        try:
            values = np.atleast_1d(unknown_as_nan(value, f"the total of {name}"))
        except ValueError as error:
            raise TableError(f"the totals: {error}") from error
        rows.append(Row(k + 1, [str(name), *map(repr, values.ravel().tolist())]))
    width = max((len(row.cells) for row in rows), default=1)
    uneven = next((row for row in rows if len(row.cells) != width), None)
    if uneven is not None:
        raise TableError(
            f"the totals: {uneven.cells[0]} has {len(uneven.cells) - 1} of them, others "
            f"{width - 1}. Give each picture as many, NaN for unknown ones."
        )
    header = ["file"] + (["total"] if width == 2 else [f"total {k}" for k in range(width - 1)])
    return Table("the totals", header, rows)


def _passed_over(table, name_column, chosen) -> list[str]:
    """Return notes on columns that may be meant: most of their texts begin like numbers."""
    header = table.header
    learned = ", ".join(repr(header[j]) for j in chosen)
    notes = []
    for j in sorted(set(range(len(header))) - {name_column, *chosen}):
        cells = table.column(j)
        texts = [cell for cell in cells if value_of(cell) is None and _BEGINS_LIKE_A_NUMBER(cell)]
        if len(texts) > 0.5 * len(cells):
            notes.append(
                f"{learned} is learned, and not {header[j]!r}, whose cells are no numbers, such as "
                f"{texts[0]!r}"
            )
    return notes


def _total_columns(table, name_column, columns) -> list[int]:
    header, where = table.header, table.where
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
        if j != name_column
        and np.mean([value_of(cell) is not None for cell in table.column(j)]) > 0.5
    ]
    if not numeric:
        raise TableError(
            f"{where}: no column of numbers beside {header[name_column]!r}, which has the names."
        )
    if len(numeric) == 1 and _is_running_number(header[numeric[0]], table.column(numeric[0])):
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


def _is_running_number(name, cells) -> bool:
    """Return True if a column has a name of an index, and numbers that go up by one."""
    if name.strip().lower().rstrip(".") not in _INDICES:
        return False
    values = [value_of(cell) for cell in cells]
    return None not in values and bool((np.diff(np.array(values, dtype=float)) == 1).all())


def _require_counts(pictures, totals, table, total_columns) -> None:
    header, where = table.header, table.where
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
