"""Tables of Excel, by way of openpyxl."""

from __future__ import annotations

import io
import math
import os
import re
import warnings
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from .._utils.optional import needing
from .._utils.stacklevel import outside_package
from .._utils.writing import replacing

# Columns with a number of at least this size are shown to one decimal.
_LARGE = 10.0
# Columns of smaller numbers have an exponent; others at most so many decimals.
_SMALL, _MOST_DECIMALS = 1e-2, 4
# The time of files in a zip archive without one.
_NO_TIME = b"1980-01-01T00:00:00"
# Widest column, in characters.
_WIDEST = 40
_WRAPPED = 90  # width of a column of sentences


class NumberCell(str):
    """A cell with a number, whose point is a decimal point; that of a text may be another."""


def read_sheet(path: str) -> list[list[str]]:
    """Return the cells of the first visible sheet of an Excel file that has any, as texts.

    Numbers are `NumberCell`.

    Parameters
    ----------
    path : str

    Raises
    ------
    MissingExtraError
        If openpyxl is not installed.
    ValueError
        If the file is not what Excel writes.

    Warns
    -----
    UserWarning
        If other visible sheets have cells, rows are hidden, as by a filter, which are read too, or
        values of formulas are not in the file.
    """
    with needing(f"Reading {path}", extra="images"):
        from openpyxl import load_workbook
    try:
        # Sheets that are read row by row do not say which rows are hidden.
        book = load_workbook(path, data_only=True)
    except FileNotFoundError:
        raise
    except Exception as error:  # a damaged zip, or another file by this name
        raise ValueError(f"{path} cannot be read as an Excel file: {error}") from error
    # A book without a visible sheet cannot be opened in Excel.
    visible = [each for each in book.worksheets if each.sheet_state == "visible"]
    filled = [each for each in visible or book.worksheets if _has_cells(each)]
    if not filled:
        return []
    sheet, *others = filled
    if others:
        _warn(
            path, f"the sheet {sheet.title!r} is read, and not {_quoted(others)}. Save the table "
            "as a file of its own if another one is meant."
        )  # fmt: skip
    n_hidden = sum(
        sheet.row_dimensions[row[0].row].hidden
        for row in sheet.iter_rows()
        if any(cell.value is not None for cell in row)
    )
    if n_hidden:
        _warn(
            path, f"{n_hidden} row(s) of the sheet {sheet.title!r} are hidden, as by a filter, and "
            "are read, too. Delete those that are not meant."
        )  # fmt: skip
    formulas = _without_values(path, sheet)
    return [
        [formulas.get(cell.coordinate, "") if cell.value is None else _text(cell.value)
         for cell in row]
        for row in sheet.iter_rows()
    ]  # fmt: skip


def _without_values(path, sheet) -> dict[str, str]:
    """Return the formulas of a sheet whose values are not in the file, by their cells.

    Programs that write workbooks without computing them leave the values to Excel.
    """
    if all(cell.value is not None for row in sheet.iter_rows() for cell in row):
        return {}
    from openpyxl import load_workbook

    found = {
        cell.coordinate: str(getattr(cell.value, "text", cell.value))
        for row in load_workbook(path)[sheet.title].iter_rows()
        for cell in row
        if cell.data_type == "f" and sheet[cell.coordinate].value is None
    }
    if found:
        first, formula = next(iter(found.items()))
        _warn(
            path, f"the values of {len(found)} formula(s) are not in the file, the first in "
            f"{first}: {formula}. Open it in Excel or LibreOffice, and save it there."
        )  # fmt: skip
    return found


def _has_cells(sheet) -> bool:
    return any(cell is not None for row in sheet.iter_rows(values_only=True) for cell in row)


def _quoted(sheets) -> str:
    return " or ".join(repr(sheet.title) for sheet in sheets)


def _warn(path, text) -> None:
    name = os.path.basename(path)
    warnings.warn(f"{name}: {text}", UserWarning, stacklevel=outside_package())


def _text(cell) -> str:
    if isinstance(cell, (int, float)) and not isinstance(cell, bool):
        whole = isinstance(cell, float) and cell.is_integer()
        return NumberCell(f"{cell:.0f}" if whole else str(cell))
    return str(cell)


def require_openpyxl(path) -> None:
    """Raise `MissingExtraError` if an Excel file cannot be written, since openpyxl is missing."""
    with needing(f"Writing {path}", extra="images", otherwise="A .csv file needs nothing."):
        import openpyxl  # noqa: F401


def write_sheet(path, header, rows, about=()) -> None:
    """Write a table as an Excel file, on its first sheet.

    Numbers are written as numbers, to be shown with the decimal mark of the reader's language: all
    of a column with as many decimals, without a change of the numbers. Texts are
    never formulas, also those that begin with ``=``; characters that a sheet cannot contain become
    question marks.

    Parameters
    ----------
    path : str or Path
    header : sequence of str
    rows : sequence of sequences
        Texts and numbers; NaN is an empty cell.
    about : sequence of (str, str), default=()
        Pairs of texts for a second sheet, "about".

    Raises
    ------
    MissingExtraError
        If openpyxl is not installed.
    """
    require_openpyxl(path)
    from openpyxl import Workbook
    from openpyxl.styles import Alignment, Font
    from openpyxl.utils import get_column_letter

    book = Workbook()
    sheet = book.active
    sheet.title = "counts"
    for i, row in enumerate([header, *rows], start=1):
        for j, value in enumerate(row, start=1):
            if isinstance(value, str):
                _write_text(sheet, i, j, value)
            elif math.isfinite(value):
                sheet.cell(i, j, float(value))
    for j, name in enumerate(header, start=1):
        sheet.cell(1, j).font = Font(bold=True)
        values = [row[j - 1] for row in rows]
        numbers = [value for value in values if not isinstance(value, str) and math.isfinite(value)]
        shown = number_format(numbers)
        for i in range(2, len(values) + 2):
            sheet.cell(i, j).number_format = shown
        texts = [name, *(value for value in values if isinstance(value, str))]
        wide = min(max(map(len, texts)) + 2, _WIDEST)
        sheet.column_dimensions[get_column_letter(j)].width = wide
    sheet.freeze_panes = "B2"
    if about:
        second = book.create_sheet("about")
        second.column_dimensions["A"].width, second.column_dimensions["B"].width = _WIDEST, _WRAPPED
        for i, (name, meaning) in enumerate(about, start=1):
            _write_text(second, i, 1, name).font = Font(bold=True)
            _write_text(second, i, 2, meaning).alignment = Alignment(wrap_text=True)
    content = io.BytesIO()  # a zip that a full disk cuts off is closed noisily
    book.save(content)
    with replacing(path, "wb") as file:
        file.write(_without_times(content))


def number_format(numbers) -> str:
    """Return the format in which a column of numbers is shown.

    Columns with large numbers have one decimal, others as many as two digits of their smallest
    number take, but not more than four.

    Examples
    --------
    >>> from sk_ednn.images._excel import number_format
    >>> columns = ([174.26, 0.031], [0.523456, 1.1], [0.0314, 9.0], [0.00003, 9.0])
    >>> [number_format(numbers) for numbers in columns]
    ['0.0', '0.00', '0.000', '0.0000']
    >>> number_format([0.00003, 0.0002]), number_format([0.0, 2.0]), number_format([])
    ('0.00E+00', 'General', 'General')
    """
    sizes = [abs(number) for number in numbers if number]
    if all(size == int(size) for size in sizes):
        return "General"
    if max(sizes) >= _LARGE:
        return "0.0"
    if max(sizes) < _SMALL:
        return "0.00E+00"
    return f"0.{'0' * min(max(1 - math.floor(math.log10(min(sizes))), 2), _MOST_DECIMALS)}"


def _write_text(sheet, row, column, text):
    """Write a text, which is no formula, and return its cell."""
    cell = sheet.cell(row, column, _plain_text(text))
    cell.data_type = "s"
    return cell


def _without_times(content) -> bytes:
    """Return a workbook without the time at which it was written: the same table is the same file.

    A run that is repeated is compared with the first one byte by byte.
    """
    out = io.BytesIO()
    with ZipFile(content) as old, ZipFile(out, "w", ZIP_DEFLATED) as new:
        for name in old.namelist():
            data = old.read(name)
            if name == "docProps/core.xml":
                data = re.sub(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", _NO_TIME, data)
            new.writestr(ZipInfo(name), data, ZIP_DEFLATED)
    return out.getvalue()


def _plain_text(text) -> str:
    """Return a text without characters that the XML of a sheet cannot contain."""
    from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE

    return ILLEGAL_CHARACTERS_RE.sub("?", text).encode("utf-8", "replace").decode("utf-8")
