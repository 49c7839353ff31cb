"""Tables of Excel, by way of openpyxl."""

from __future__ import annotations

import io
import math
import re
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from .._utils.optional import needing
from .._utils.writing import replacing

# Columns with a number of at least this size are shown to one decimal.
_LARGE = 10.0
# The time of files in a zip archive without one.
_NO_TIME = b"1980-01-01T00:00:00"
# Widest column, in characters.
_WIDEST = 40


class NumberCell(str):
    """A cell with a number, whose point is a decimal point; that of a text may be another."""


def read_sheet(path: str) -> list[list[str]]:
    """Return the cells of the first sheet of an Excel file that has any, as texts.

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
    """
    with needing(f"Reading {path}", extra="images"):
        from openpyxl import load_workbook
    try:
        book = load_workbook(path, read_only=True, data_only=True)
    except FileNotFoundError:
        raise
    except Exception as error:  # a damaged zip, or another file by this name
        raise ValueError(f"{path} cannot be read as an Excel file: {error}") from error
    try:
        rows: list[list] = []
        for sheet in book.worksheets:
            rows = [list(row) for row in sheet.iter_rows(values_only=True)]
            if any(cell is not None for row in rows for cell in row):
                break
    finally:
        book.close()
    return [["" if cell is None else _text(cell) for cell in row] for row in rows]


def _text(cell) -> str:
    if isinstance(cell, (int, float)) and not isinstance(cell, bool):
        whole = isinstance(cell, float) and cell.is_integer()
        return NumberCell(f"{cell:.0f}" if whole else str(cell))
    return str(cell)


def require_openpyxl(path) -> None:
    """Raise `MissingExtraError` if an Excel file cannot be written, since openpyxl is missing."""
    with needing(f"Writing {path}", extra="images", otherwise="A .csv file needs nothing."):
        import openpyxl  # noqa: F401


def write_sheet(path, header, rows) -> None:
    """Write a table as an Excel file with one sheet.

    Numbers are written as numbers, to be shown with the decimal mark of the reader's language:
    those of a column with large ones to one decimal, without a change of the numbers. Texts are
    never formulas, also those that begin with ``=``; characters that a sheet cannot contain become
    question marks.

    Parameters
    ----------
    path : str or Path
    header : sequence of str
    rows : sequence of sequences
        Texts and numbers; NaN is an empty cell.

    Raises
    ------
    MissingExtraError
        If openpyxl is not installed.
    """
    require_openpyxl(path)
    from openpyxl import Workbook
    from openpyxl.styles import Font
    from openpyxl.utils import get_column_letter

    book = Workbook()
    sheet = book.active
    for i, row in enumerate([header, *rows], start=1):
        for j, value in enumerate(row, start=1):
            if isinstance(value, str):
                cell = sheet.cell(i, j, _plain_text(value))
                cell.data_type = "s"
            elif math.isfinite(value):
                sheet.cell(i, j, float(value))
    for j, name in enumerate(header, start=1):
        sheet.cell(1, j).font = Font(bold=True)
        values = [row[j - 1] for row in rows]
        numbers = [value for value in values if not isinstance(value, str) and math.isfinite(value)]
        if numbers and max(map(abs, numbers)) >= _LARGE:
            for i in range(2, len(values) + 2):
                sheet.cell(i, j).number_format = "0.0"
        texts = [name, *(value for value in values if isinstance(value, str))]
        wide = min(max(map(len, texts)) + 2, _WIDEST)
        sheet.column_dimensions[get_column_letter(j)].width = wide
    sheet.freeze_panes = "B2"
    content = io.BytesIO()  # a zip that a full disk cuts off is closed noisily
    book.save(content)
    with replacing(path, "wb") as file:
        file.write(_without_times(content))


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
