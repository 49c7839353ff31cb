"""Dots and boxes of some pictures from tables, as ImageJ and others write them."""

from __future__ import annotations

from os import fspath
from pathlib import Path

import numpy as np

from ._boxes import Box, boxes_of_dots
from ._named_rows import NamedRows
from ._tables import TableError, read_table, require_one

# Names of columns of positions along each axis, in lower case.
AXES_OF_DOTS = (("plane", "z", "slice"), ("row", "y"), ("column", "x"))
_CORNERS = (("top",), ("left",), ("bottom",), ("right",))
_IMAGEJ = (("y", "by"), ("x", "bx"), ("height",), ("width",))
_KIND = "total"


def read_dots(pictures, table, *, side=64, columns=("count",)) -> list[Box]:
    r"""Read positions of objects in some pictures, and cut these pictures into boxes with counts.

    The table must list all objects of each picture that it names.

    Parameters
    ----------
    pictures : list of Picture
    table : str or path-like
        CSV or Excel: a column with names of pictures, and ``row`` and ``column``, or ``y`` and
        ``x``, in pixels from the upper left corner; for stacks, also ``plane``. If several totals
        are learned, the column ``total`` contains the name of the total that each dot counts to.
    side : int, default=64
        Length of a box, in pixels.
    columns : sequence of str, default=("count",)
        Names of the totals.

    Returns
    -------
    list of Box
        For `CountRegressor.fit`, with the numbers of the pictures in the list.

    Raises
    ------
    TableError
        If a line is invalid; the message names the table and the line.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import numpy as np
    >>> from sk_ednn.images import as_picture, read_dots
    >>> pictures = [as_picture(np.zeros((100, 60)), name) for name in ("a.png", "b.png")]
    >>> with TemporaryDirectory() as folder:
    ...     written = Path(folder, "dots.csv").write_text("file,x,y\nb,5,10\nb,50,90\n")
    ...     boxes = read_dots(pictures, Path(folder, "dots.csv"))
    >>> [(box.picture, box.start, box.totals) for box in boxes]
    [(1, (0, 0), 1.0), (1, (50, 0), 1.0)]
    """
    table = read_table(fspath(table))
    where, header = table.where, table.header
    picture_of = NamedRows.find(pictures, table).require_picture
    n_axes = len(pictures[0].grid)
    position_columns = [_found(header, each, where) for each in AXES_OF_DOTS[-n_axes:]]
    kind = _kinds(header, columns, where)
    dots: dict[tuple[int, int], list] = {}
    for row in table.rows:
        k = picture_of(row)
        number = 0 if kind is None else _kind(row, kind, columns, where)
        position = [table.number(row, j, pictures[k]) for j in position_columns]
        dots.setdefault((k, number), []).append(position)
    boxes = []
    for (k, number), positions in dots.items():
        try:
            boxes += boxes_of_dots(
                k, positions, pictures[k].grid, side=side, output=number, n_outputs=len(columns)
            )
        except ValueError as error:
            raise TableError(f"{where}: {pictures[k].name}: {error}") from None
    return boxes


def read_boxes(pictures, table, *, columns=("count",)) -> list[Box]:
    r"""Read totals of rectangles in some pictures.

    Parameters
    ----------
    pictures : list of Picture
        Pictures of single planes.
    table : str or path-like
        CSV or Excel: a column with names of pictures; ``top``, ``left``, ``bottom`` and ``right``
        in pixels, the last two just outside the box, or ``x``, ``y``, ``width`` and ``height``; and
        the totals. An empty cell is an unknown total.
    columns : sequence of str, default=("count",)
        Names of the totals.

    Returns
    -------
    list of Box

    Raises
    ------
    TableError

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import numpy as np
    >>> from sk_ednn.images import as_picture, read_boxes
    >>> pictures = [as_picture(np.zeros((100, 60)), "a.png")]
    >>> with TemporaryDirectory() as folder:
    ...     text = "file,x,y,width,height,count\na.png,10,20,30,40,7\n"
    ...     written = Path(folder, "boxes.csv").write_text(text)
    ...     read_boxes(pictures, Path(folder, "boxes.csv"))
    [Box(picture=0, start=(20, 10), stop=(60, 40), totals=(7.0,))]
    """
    where = Path(fspath(table)).name
    if len(pictures[0].grid) != 2:
        raise TableError(f"{where}: boxes are in single planes; {pictures[0].name} is a stack.")
    table = read_table(fspath(table))
    header = table.header
    picture_of = NamedRows.find(pictures, table).require_picture
    corners = _CORNERS if "top" in _lower(header) else _IMAGEJ
    corner_columns = [_found(header, each, where) for each in corners]
    totals = [_found(header, (name.lower(),), where) for name in columns]
    for j in totals:
        table.thousands(j)
    boxes = []
    for row in table.rows:
        k = picture_of(row)
        sides = [table.number(row, j, pictures[k]) for j in corner_columns]
        if any(value != round(value) for value in sides):
            raise TableError(f"{where}, line {row.line}: sides of boxes are whole pixels.")
        first, last = np.array(sides[:2], dtype=int), np.array(sides[2:], dtype=int)
        last = last if corners is _CORNERS else first + last
        if (first < 0).any() or (last <= first).any() or (last > pictures[k].grid).any():
            raise TableError(
                f"{where}, line {row.line}: the box from row {first[0]}, column {first[1]} to "
                f"{last[0]}, {last[1]} is not inside {pictures[k].name}, of "
                f"{' × '.join(map(str, pictures[k].grid))} pixels."
            )
        of_box = tuple(
            table.number(row, j, pictures[k]) if row.cells[j].strip() else np.nan for j in totals
        )
        if not np.isfinite(of_box).any():
            raise TableError(f"{where}, line {row.line}: the box has no total.")
        boxes.append(Box(k, tuple(first.tolist()), tuple(last.tolist()), of_box))
    return boxes


def _lower(header) -> list[str]:
    return [name.strip().lower() for name in header]


def _found(header, wanted, where) -> int:
    lower = _lower(header)
    for name in wanted:
        if name in lower:
            require_one(lower, name, where)
            return lower.index(name)
    raise TableError(f"{where}: no column {' or '.join(wanted)}; there are {', '.join(header)}.")


def _kinds(header, columns, where) -> int | None:
    if len(columns) == 1:
        return None
    if _KIND not in _lower(header):
        raise TableError(
            f"{where}: several totals are learned ({', '.join(columns)}), so a column {_KIND!r} "
            "must name that of each dot."
        )
    return _lower(header).index(_KIND)


def _kind(row, kind, columns, where) -> int:
    name = row.cells[kind]
    if name not in columns:
        raise TableError(
            f"{where}, line {row.line}: {name!r} is none of the totals {', '.join(columns)}."
        )
    return list(columns).index(name)
