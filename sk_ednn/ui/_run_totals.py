"""Pairs of true and predicted totals of runs, for the pages."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass

import numpy as np

from .._utils.wording import digits_of

# In the names of columns of intervals.
_WIDTH, _PER_ATOM = "plus or minus", "per atom"
# The table that a fit leaves of the totals it was judged on.
PREDICTIONS = "predictions.csv"


@dataclass(frozen=True)
class Totals:
    """True and predicted totals of a part of the data.

    Attributes
    ----------
    true, predicted : ndarray of shape (n,)
    sizes : ndarray of shape (n,) or None
        Sites or atoms.
    """

    true: np.ndarray
    predicted: np.ndarray
    sizes: np.ndarray | None


def totals_of(run) -> dict[str, Totals]:
    """Return the totals that a fit was judged on, by the part of the data; empty where none are."""
    try:
        path = run.file(PREDICTIONS)
        with open(path, encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        parts = dict.fromkeys(row["part"] for row in rows)
        return {part: _totals([row for row in rows if row["part"] == part]) for part in parts}
    except (FileNotFoundError, KeyError, ValueError, TypeError, UnicodeDecodeError, csv.Error):
        return {}


def _totals(rows) -> Totals:
    sizes = None
    if rows[0].get("size"):
        sizes = np.array([float(row["size"]) for row in rows])
    return Totals(
        np.array([float(row["true"]) for row in rows]),
        np.array([float(row["predicted"]) for row in rows]),
        sizes,
    )


def predicted_of(run) -> tuple[list[str], list[list[str]]]:
    """Return the table of totals that a prediction wrote, numbers shortened; empty for others."""
    if run.kind != "predict":
        return [], []
    for name in ("totals.csv", PREDICTIONS):
        try:
            with open(run.file(name), encoding="utf-8", newline="") as file:
                header, *rows = csv.reader(file)
        except (FileNotFoundError, ValueError, UnicodeDecodeError, csv.Error):
            continue
        return header, _shortened(header, rows)
    return [], []


def _shortened(header, rows) -> list[list[str]]:
    """Return cells with the digits that the interval in the same row leaves.

    Rows may be of any length, since others may have written the file.
    """
    partners = [_partner(name, header) for name in header]
    atoms = header.index("atoms") if "atoms" in header else None
    sizes = [[abs(_float(row, j)) for row in rows] for j in range(len(header))]
    largest = [max(filter(math.isfinite, column), default=0.0) for column in sizes]
    shown = []
    for row in rows:
        cells = []
        for j, (name, cell) in enumerate(zip(header, row, strict=False)):
            value, width = _float(row, j), _float(row, partners[j])
            if name.startswith(_PER_ATOM):
                width /= _float(row, atoms) or math.nan
            if math.isnan(value):
                cells.append(cell)
            elif _WIDTH in name:
                cells.append(f"{value:.2g}")
            else:
                cells.append(digits_of(value, width, largest[j]))
        shown.append(cells)
    return shown


def _partner(name, header) -> int | None:
    """Return the column of the intervals of a column."""
    base = "total" if name.startswith(_PER_ATOM) else name.partition(" (")[0]
    return next((k for k, other in enumerate(header) if other.startswith(f"{base} {_WIDTH}")), None)


def _float(row, column) -> float:
    """Return the number in a column of a row, NaN if there is none."""
    try:
        return math.nan if column is None else float(row[column])
    except (ValueError, IndexError):
        return math.nan
