"""Tables of Excel, by way of openpyxl."""

from __future__ import annotations

from .._utils.optional import needing


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
