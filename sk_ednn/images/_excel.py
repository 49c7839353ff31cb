"""Tables of spreadsheets, by way of pandas."""

from __future__ import annotations

from .._utils.optional import needing


def read_sheet(path: str) -> list[list[str]]:
    """Return the cells of the first sheet of an Excel or OpenDocument file, as texts.

    Parameters
    ----------
    path : str

    Raises
    ------
    MissingExtraError
        Where pandas, or the library that it reads such files with, is not installed.
    """
    with needing(f"Reading {path}"):
        import pandas as pd

        try:
            table = pd.read_excel(path, header=None, dtype=object)
        except ValueError as error:
            raise ValueError(f"{path} cannot be read as a spreadsheet: {error}") from error
    return [
        ["" if pd.isna(cell) else str(cell) for cell in row]
        for row in table.itertuples(index=False)
    ]
