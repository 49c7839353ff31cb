"""Pictures that the rows of a table name, by their files or by parts of these names."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field

from ._picture import stem_of
from ._tables import Row, Table, TableError

# Shown of a list of names.
_SHOWN = 5
# A column names pictures by parts of their names if more than this share of its cells do.
_BY_PART = 2 / 3


@dataclass(frozen=True)
class NamedRows:
    """The column of a table that names pictures, and how it does.

    Attributes
    ----------
    table : Table
    pictures : list of Picture
    column : int
    by_part : bool
        Whether its cells are parts of names, such as wells of a plate, and not names.
    """

    table: Table
    pictures: list
    column: int
    by_part: bool = False
    _owners: dict[str, list[int]] = field(repr=False, kw_only=True)  # by key: numbers of pictures

    @classmethod
    def find(cls, pictures, table, *, parts=False, columns=None) -> NamedRows:
        """Return the column with the most names.

        Parameters
        ----------
        pictures : list of Picture
        table : Table
        parts : bool, default=False
            Whether, without any name, a column will do whose cells are each a part of one name.
        columns : sequence of int, default=None
            Columns that may have names. None for all.

        Raises
        ------
        TableError
            If there is none.
        """
        owners = _owners(pictures, _keys_of_name)
        columns = range(len(table.header)) if columns is None else columns
        hits = [sum(_names_any(owners, cell) for cell in table.column(j)) for j in columns]
        if max(hits, default=0) > 0:
            return cls(table, pictures, columns[hits.index(max(hits))], _owners=owners)
        if parts:
            owners = _owners(pictures, _parts_of)
            for j in columns:
                if _are_parts(owners, table.column(j)):
                    return cls(table, pictures, j, by_part=True, _owners=owners)
        first = table.rows[0].cells if table.rows else table.header
        of_part = ", or a part of each name that no other has" if parts else ""
        raise TableError(
            f"{table.where}: no column has names of the pictures, such as {pictures[0].name}"
            f"{of_part}; its first row is {', '.join(first)}. Add a column with the names of the "
            "files."
        )

    @classmethod
    def at(cls, pictures, table, column) -> NamedRows:
        """Return a given column; its cells may be parts of names if none is a name."""
        owners = _owners(pictures, _keys_of_name)
        if any(_names_any(owners, cell) for cell in table.column(column)):
            return cls(table, pictures, column, _owners=owners)
        owners = _owners(pictures, _parts_of)
        return cls(table, pictures, column, by_part=True, _owners=owners)

    def find_picture(self, row) -> int | None:
        """Return the number of the picture that a row names, or None.

        Raises
        ------
        TableError
            If it may be several.
        """
        cell = row.cells[self.column]
        for key in [_part_of(cell) or ""] if self.by_part else _keys(cell):
            matches = self._owners.get(key.lower(), [])
            if len(matches) > 1:
                raise TableError(
                    f"{self.table.where}, line {row.line}: {cell} may be "
                    f"{some([self.pictures[k].name for k in matches])}. Write the full names."
                )
            if matches:
                return matches[0]
        return None

    def require_picture(self, row) -> int:
        """Return the number of the picture that a row names; raise `TableError` if there is none.

        Raises
        ------
        TableError
        """
        k = self.find_picture(row)
        if k is None:
            raise TableError(
                f"{self.table.where}, line {row.line}: {row.cells[self.column]} is none of the "
                f"pictures, such as {self.pictures[0].name}."
            )
        return k

    def row_of_each(self) -> dict[int, Row]:
        """Return the row of each picture, by its number; without pictures that no row names.

        Raises
        ------
        TableError
            If rows of one picture differ.
        """
        partners: dict[int, Row] = {}
        for row in self.table.rows:
            k = self.find_picture(row)
            if k is None:
                continue
            earlier = partners.get(k)
            if earlier is not None and earlier.cells != row.cells:
                raise TableError(
                    f"{self.table.where}: two rows for {self.pictures[k].name}, lines "
                    f"{earlier.line} and {row.line}, which differ. Keep one."
                )
            partners[k] = row
        return partners

    @property
    def note(self) -> str | None:
        """A line on a match by parts of names; None where rows have the names."""
        for cell in self.table.column(self.column) if self.by_part else ():
            if len(k := self._owners.get(_part_of(cell) or "", [])) == 1:
                return (
                    f"rows are matched by {self.table.header[self.column]!r}, a part of the names: "
                    f"{cell} is in {self.pictures[k[0]].name}"
                )
        return None


def _owners(pictures, keys_of) -> dict[str, list[int]]:
    """Return the numbers of the pictures that a key may mean."""
    owners: dict[str, list[int]] = {}
    for k, picture in enumerate(pictures):
        for key in keys_of(picture.name):
            owners.setdefault(key, []).append(k)
    return owners


def _names_any(owners, cell) -> bool:
    return any(key.lower() in owners for key in _keys(cell))


def _are_parts(owners, cells) -> bool:
    """Return True if cells are each a part of one name, such as wells of a plate.

    A column of classes, such as treatments, is none: its parts are in several names, or it has one
    in several rows.
    """
    found = [part for part in map(_part_of, cells) if len(owners.get(part or "", ())) == 1]
    return len(found) > _BY_PART * len(cells) and len(set(found)) == len(found)


def _keys(name) -> list[str]:
    """Return the names that may identify a picture or a row, the most exact first.

    Accents are one character or two, as the file system and the program of the table like.
    """
    name = unicodedata.normalize("NFC", name)
    base = name.replace("\\", "/").rpartition("/")[2]
    return [name, base, stem_of(base), *([name.partition("::")[2]] if "::" in name else [])]


def _keys_of_name(name) -> set[str]:
    return {key.lower() for key in _keys(name)}


def _part_of(text) -> str | None:
    """Return what compares as part of a name, such as a1 for the well A01; None for numbers alone.

    Examples
    --------
    >>> from sk_ednn.images._named_rows import _part_of
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


def some(names) -> str:
    names = list(names)
    shown = ", ".join(names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"
