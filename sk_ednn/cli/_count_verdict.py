"""The verdict on a model of pictures: its errors beside those of the mean as a prediction."""

from __future__ import annotations

import numpy as np

from .._utils.learned import POOR, degree_of
from .._utils.wording import note_on_differences, note_on_trend, pictures_not_seen, plain

# Errors depend on the totals if their ranks are correlated as in one of so many fits without that.
_LEAST_FOR_TREND, _CHANCE = 8, 0.02
_NUMBERS = ("mean", "error", "error_of_mean")


def verdict_of(totals, n_held_back, stopped=False) -> dict:
    """Compare the errors of a model for pictures that it had not seen with those of the mean.

    Parameters
    ----------
    totals : dict of str to dict
        By the name of each total: ``mean``, ``error`` and ``error_of_mean``; others are left out.
    n_held_back : int
        Pictures from which the errors are known.
    stopped : bool, default=False
        Whether a limit or the user ended the training, and not the training itself.

    Returns
    -------
    dict
        ``held_back``, ``totals`` and ``words``.

    Examples
    --------
    >>> from sk_ednn.cli._count_verdict import verdict_of
    >>> cells = {"mean": 174.2, "error": 3.73, "error_of_mean": 48.1}
    >>> print(verdict_of({"cells": cells}, 12)["words"])
    cells is learned: off by 3.73 on average on 12 pictures not seen, of a mean of 174.2, where the
    mean as a guess for each picture is off by 48.1
    >>> print(verdict_of({"fat cells": {**cells, "error": 30.0}}, 12)["words"])
    fat cells is learned badly: off by 30 on average on 12 pictures not seen, of a mean of 174.2,
    where the mean as a guess for each picture is off by 48.1
    >>> print(verdict_of({"fat cells": {**cells, "error": 30.0}}, 12, stopped=True)["words"])
    fat cells: the training was stopped before it had learned: off by 30 on average on 12 pictures
    not seen, of a mean of 174.2, where the mean as a guess for each picture is off by 48.1
    >>> print(verdict_of({"cells": cells}, 0)["words"])
    not measured, since no pictures were held back from the fit
    """
    kept = {name: {key: column[key] for key in _NUMBERS} for name, column in totals.items()}
    words = "not measured, since no pictures were held back from the fit"
    if n_held_back:
        on = pictures_not_seen(n_held_back)
        words = "; ".join(
            f"{' '.join(name.split())}{how_learned(column, stopped)}: off by "
            f"{plain(column['error'], 3)} on average on {on}, of a mean of "
            f"{plain(column['mean'])}, where the mean as a guess for each picture is off by "
            f"{plain(column['error_of_mean'], 3)}"
            for name, column in kept.items()
        )
    return {"held_back": n_held_back, "totals": kept, "words": words}


def how_learned(column, stopped=False) -> str:
    """Return in words, after the name of a total, how well it is learned.

    Parameters
    ----------
    column : dict
        With ``error`` and ``error_of_mean``.
    stopped : bool, default=False
        Whether the training was stopped before it ended by itself.

    Examples
    --------
    >>> from sk_ednn.cli._count_verdict import how_learned
    >>> of_mean = {"error_of_mean": 10.0}
    >>> [how_learned({"error": error, **of_mean}) for error in (2.9, 4.9, 8.9)]
    [' is learned', ' is learned roughly', ' is learned badly']
    >>> how_learned({"error": 9.1, **of_mean})
    ' is not learned, no better than by the mean'
    >>> how_learned({"error": 2.9, **of_mean}, stopped=True)
    ' is learned'
    >>> how_learned({"error": 4.9, **of_mean}, stopped=True)
    ' is learned roughly, as the training was stopped before it had learned more'
    """
    degree = degree_of(column["error"], column["error_of_mean"])
    if degree == "well":
        return " is learned"
    if degree == "roughly":
        more = ", as the training was stopped before it had learned more"
        return f" is learned roughly{more if stopped else ''}"
    no_better = ", no better than by the mean" if degree == "no better" else ""
    if stopped:
        return f": the training was stopped before it had learned{no_better}"
    return f" is not learned{no_better}" if no_better else " is learned badly"


def is_poor(column) -> bool:
    """Return True if the error of a total is not much smaller than that of the mean."""
    return column["error"] > POOR * column["error_of_mean"]


def notes_of_model(model, columns, size="") -> list[str]:
    """Return which totals differ too little, as the fit of a model says.

    Parameters
    ----------
    model : CountRegressor
    columns : sequence of str
        Names of the totals.
    size : str, default=""
        Size of the pictures of the fit, where those that are counted are far larger.
    """
    true, predicted = (
        np.reshape(model.held_back_[key], (-1, len(columns))) for key in ("true", "predicted")
    )
    if not len(true):
        return []
    notes = []
    for name, of_true, of_predicted in zip(columns, true.T, predicted.T, strict=True):
        spreads = float(of_true.std()), float(of_predicted.std())
        trend = trend_of(of_true, of_predicted)
        notes.append(note_on_totals(" ".join(name.split()), *spreads, trend, len(true), size))
    return [note for note in notes if note]


def note_on_totals(name, spread, spread_predicted, trend, n, size="") -> str:
    """Return a sentence where differences come out too small, or errors depend on the total.

    Parameters
    ----------
    name : str
    spread, spread_predicted : float
    trend : list of float or None
        Of `trend_of`.
    n : int
        Pictures that were held back.
    size : str, default=""
        See `note_on_trend`.
    """
    note = note_on_differences(name, spread, spread_predicted, n)
    return note or (note_on_trend(name, trend[0], trend[1], n, size) if trend else "")


def trend_of(true, predicted) -> list[float] | None:
    """Return how far small and large totals are off, where errors clearly depend on the total.

    Parameters
    ----------
    true, predicted : ndarray of shape (n_held_back,)

    Returns
    -------
    list of (float, float), or None
        Mean errors of the lower and the upper half of the totals; None where a correlation may be
        chance, or both halves are off alike.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ednn.cli._count_verdict import trend_of
    >>> true = np.array([10.0, 20, 30, 40, 60, 70, 80, 90])
    >>> noise = np.array([0.3, -0.2, 0.4, 0.1, -0.3, 0.2, -0.1, 0.2])
    >>> [round(each, 1) for each in trend_of(true, 0.9 * true + 5 + noise)]
    [2.7, -2.5]
    >>> trend_of(true, true + noise)
    """
    from scipy.stats import spearmanr

    errors = predicted - true
    if len(true) < _LEAST_FOR_TREND or not np.ptp(true) > 0 or not np.ptp(errors) > 0:
        return None
    if not spearmanr(true, errors).pvalue < _CHANCE:
        return None
    order = np.argsort(true, kind="stable")
    half = len(true) // 2
    few, many = float(errors[order[:half]].mean()), float(errors[order[-half:]].mean())
    return [few, many] if few * many < 0 else None


def verdict_of_model(about, model) -> dict:
    """Return the verdict that was written with a model.

    Parameters
    ----------
    about : dict or None
        What a model file says about its fit, see `sk_ednn.files.describe`.
    model : CountRegressor
        Models that were fitted in Python have no verdict: what is known is their error.

    Returns
    -------
    dict
        With ``held_back`` and ``words``.
    """
    verdict = (about or {}).get("verdict")
    # Files may come from others: escape sequences are not for a terminal.
    if isinstance(verdict, dict) and isinstance(words := verdict.get("words"), str):
        if words.isprintable():
            return verdict
    n = len(model.interval_.errors)
    if not n:
        return verdict_of({}, 0)
    errors = np.abs(model.held_back_["predicted"] - model.held_back_["true"]).mean(axis=0)
    off = ", ".join(plain(error, 3) for error in errors)
    return {"held_back": n, "words": f"off by {off} on {pictures_not_seen(n)}"}
