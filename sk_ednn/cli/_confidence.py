"""Confidence of predicted totals: intervals from errors of the fit, novelty of tiles."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from ._inputs import read_fields

_LEVEL = 0.9
# So many errors are needed for a quantile at this level.
FEWEST_ERRORS = 9


def half_widths(table: Path, sizes) -> np.ndarray:
    """Return half the width of an interval for each total.

    Errors of systems held back, each divided by the size of its system, give a quantile; the
    interval is that times the size. Errors of one sign in every tile grow so, others more slowly.

    Parameters
    ----------
    table : Path
        The ``predictions.csv`` of a recorded fit.
    sizes : array-like of shape (n_samples,)
        Sites or atoms of what is predicted.

    Returns
    -------
    ndarray of shape (n_samples,) or (n_samples, n_outputs)

    Raises
    ------
    ValueError
        If the file is no such table, or has too few systems that were held back.
    """
    try:
        with open(table, encoding="utf-8", newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["part"] == "test"]
        ends = [name.removeprefix("true") for name in (rows[0] if rows else {})
                if name.startswith("true")]  # fmt: skip
        errors = np.array(
            [[float(row[f"predicted{end}"]) - float(row[f"true{end}"]) for end in ends]
             for row in rows]
        )  # fmt: skip
        fitted = np.array([float(row["size"]) for row in rows])
    except (KeyError, ValueError, TypeError, csv.Error, UnicodeDecodeError) as error:
        raise ValueError(
            f"{table} is not a table of predictions: expected the predictions.csv that "
            "`sk-ednn fit --run` writes."
        ) from error
    if len(rows) < FEWEST_ERRORS:
        raise ValueError(
            f"{table} has {len(rows)} systems that were held back; an interval of "
            f"{100 * _LEVEL:.0f} % needs {FEWEST_ERRORS}. Fit with a larger --test-fraction."
        )
    place = min(len(rows), int(np.ceil((len(rows) + 1) * _LEVEL))) - 1
    quantile = np.sort(np.abs(errors) / fitted[:, None], axis=0)[place]
    widths = np.asarray(sizes, dtype=np.float64)[:, None] * quantile
    return widths[:, 0] if len(ends) == 1 else widths


def sizes_of(estimator, X) -> np.ndarray:
    """Return the number of sites of fields, or of atoms of structures, as a fit counts them."""
    from ._fit_results import sites_of

    return np.array(
        [len(x.numbers) if hasattr(x, "numbers") else np.prod(sites_of(estimator, x)) for x in X]
    )


def novelty_of(estimator, name, X) -> np.ndarray:
    """Return the share of each sample's tiles that are unlike those of other fields.

    Parameters
    ----------
    estimator : fitted model
    name : str
        File of the fields that it was fitted to.
    X : ndarray of shape (n_samples, *field_shape)
    """
    from ..uncertainty import novelty

    return novelty(estimator, read_fields(name), X, random_state=0).share
