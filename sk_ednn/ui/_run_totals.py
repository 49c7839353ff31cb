"""Pairs of true and predicted totals of runs, for the pages."""

from __future__ import annotations

import csv
from dataclasses import dataclass

import numpy as np

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
        digits = [2 if "plus or minus" in name else 6 for name in header]
        return header, [[_number(*cell) for cell in zip(row, digits, strict=False)] for row in rows]
    return [], []


def _number(cell, digits) -> str:
    try:
        return f"{float(cell):.{digits}g}"
    except ValueError:
        return cell
