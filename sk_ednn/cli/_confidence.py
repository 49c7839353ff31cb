"""Confidence of predicted totals: intervals from errors held out, novelty of tiles."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from .._utils.wording import DIGITS_OF_TOTALS
from ._inputs import read_fields
from ._widths_of_intervals import LEVEL, few_held_out, typical_width, width_of_supercells


def errors_in(table: Path):
    """Return the errors of systems held back in a table.

    Parameters
    ----------
    table : Path
        The ``predictions.csv`` of a recorded fit.

    Returns
    -------
    HeldOutErrors

    Raises
    ------
    ValueError
        If the file is no such table, or has too few systems that were held back.
    """
    from ..uncertainty import HeldOutErrors

    try:
        with open(table, encoding="utf-8", newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["part"] == "test"]
        ends = [name.removeprefix("true") for name in (rows[0] if rows else {})
                if name.startswith("true")]  # fmt: skip
        true, predicted = (
            np.array([[float(row[f"{name}{end}"]) for end in ends] for row in rows])
            for name in ("true", "predicted")
        )
        held_out = HeldOutErrors.of(true, predicted, [float(row["size"]) for row in rows])
    except (KeyError, ValueError, TypeError, csv.Error, UnicodeDecodeError) as error:
        raise ValueError(
            f"{table} is not a table of predictions: expected the predictions.csv that "
            "`sk-ednn fit --run` writes."
        ) from error
    if not held_out.suffices(LEVEL):
        raise ValueError(
            f"{table} has {held_out.n_systems} systems that were held back; an interval of "
            f"{100 * LEVEL:.0f} % needs {held_out.fewest(LEVEL)}. Fit with a larger "
            "--test-fraction."
        )
    return held_out


def basis(held_out, kind="system", largest=None, widths=None) -> str:
    """Return in words on what intervals rest, or why there are none.

    Parameters
    ----------
    held_out : HeldOutErrors or None
    kind : str, default="system"
    largest : float, default=None
        Size of the largest system that is predicted.
    widths : ndarray, default=None
        Widths of the cells that are predicted, in units of the reach of the model.

    Examples
    --------
    >>> from sk_ednn.cli._confidence import basis
    >>> from sk_ednn.uncertainty import HeldOutErrors
    >>> print(basis(HeldOutErrors.of([0.0] * 30, [0.1] * 30, 64), "structure"))
    intervals of 90 %: from the errors of 30 structures held out of the training
    >>> print(basis(HeldOutErrors.of([0.0] * 4, [0.1] * 4, 64), "structure"))
    no intervals: 4 structures were held out of the training, and 90 % needs 9
    >>> print(basis(None))
    no intervals: the model file has no errors of systems held out of the training

    Of larger systems, the widths that are printed contain the size:

    >>> print(basis(HeldOutErrors.of([0.0] * 30, [0.1] * 30, 64), largest=1000).partition("; ")[2])
    they grow with the size, up to 15.6 times the largest of these

    Thin cells do not show the errors of wider ones:

    >>> thin = HeldOutErrors.of([0.0] * 30, [0.1] * 30, 64, widths=[0.6] * 30)
    >>> print(basis(thin, "structure", widths=np.array([0.6, 1.8, 1.8])).partition("; ")[2])
    doubled for 2 structures: cells held out were thinner than twice the cutoff, so that
    surroundings contain images of the same atoms, and show too little of the errors of wider ones.
    Add a few wide cells to the fit
    """
    percent = f"{100 * LEVEL:.0f} %"
    if held_out is None:
        return f"no intervals: the model file has no errors of {kind}s held out of the training"
    n = held_out.n_systems
    count = f"1 {kind}" if n == 1 else f"{n:,} {kind}s"
    if not held_out.suffices(LEVEL):
        were = "was" if n == 1 else "were"
        return (
            f"no intervals: {count} {were} held out of the training, and {percent} needs "
            f"{held_out.fewest(LEVEL)}"
        )
    text = f"intervals of {percent}: from the errors of {count} held out of the training"
    if largest is not None and largest > held_out.sizes.max():
        times = largest / max(held_out.sizes.max(), 1)
        text += f"; they grow with the size, up to {times:.3g} times the largest of these"
    doubled = int(held_out.is_doubled(widths).sum())
    if doubled:
        text += (
            f"; doubled for {doubled:,} {kind}{'s' * (doubled != 1)}: cells held out were thinner "
            "than twice the cutoff, so that surroundings contain images of the same atoms, and "
            "show too little of the errors of wider ones. Add a few wide cells to the fit"
        )
    return text


def within(widths, totals, unit, size=None) -> str:
    """Return intervals of the totals of a system in words.

    Parameters
    ----------
    widths : sequence of float
        Half the width of the interval of each total.
    totals : sequence of float
        The largest size of each total that is printed beside others of its kind.
    unit : str
        With a space before it, or empty.
    size : int, default=None
        Number of atoms of a structure, of which there is one total.

    Examples
    --------
    >>> from sk_ednn.cli._confidence import within
    >>> within([0.5], [-30.0], " eV", 8)
    '(90 % within ± 0.5 eV, 0.062 eV/atom)'
    >>> within([1e-12, 2.0], [30.0, 4.0], "")
    '(90 % within ± less than 3e-08, 2)'
    """
    wide = []
    for width, total in zip(widths, totals, strict=True):
        least = DIGITS_OF_TOTALS * abs(total)
        wide.append(f"{width:.2g}{unit}" if width >= least else f"less than {least:.1g}{unit}")
    if size is not None:
        wide.append(f"{widths[0] / size:.2g}{unit}/atom")
    return f"(90 % within ± {', '.join(wide)})"


def coverage(held_out, errors, half, kind, *, own=0, widths=None) -> dict:
    """Return how many errors are inside of intervals, as an entry of ``evaluate --json``.

    Parameters
    ----------
    held_out : HeldOutErrors
    errors : ndarray of shape (n_systems, n_outputs)
        NaN where they are unknown, or not to be counted.
    half : ndarray of shape (n_systems, n_outputs)
    kind : str
    own : int, default=0
        Systems left out of the count since their errors are those that the intervals rest on.
    widths : ndarray, default=None
        See `basis`.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ednn.cli._confidence import coverage
    >>> from sk_ednn.uncertainty import HeldOutErrors
    >>> held_out = HeldOutErrors.of([0.0] * 30, [0.1] * 30, 64)
    >>> errors = np.array([[0.05], [0.3], [np.nan]])
    >>> found = coverage(held_out, errors, np.full((3, 1), 0.1), "structure", own=1)["interval"]
    >>> found["inside"], found["known"], found["own"]
    (1, 2, 1)
    """
    known = ~np.isnan(errors)
    if not (known.any() or own):
        return {}
    n, inside = int(known.sum()), int((np.abs(errors) <= half)[known].sum())
    words = basis(held_out, kind, widths=widths)
    if known.any():
        words += f"; here they contain {inside:,} of {n:,} true totals"
    if own:
        whose = "that of 1 of these" if own == 1 else f"those of {own:,} of these"
        words += f"; errors held out are {whose} {kind}s, so they are not counted"
    counted = {"level": LEVEL, "inside": inside, "known": n, **({"own": own} if own else {})}
    return {"interval": {**counted, "words": words}}


def about_structures(held_out, std_factor) -> dict:
    """Return what a fit says on intervals of a potential.

    Parameters
    ----------
    held_out : HeldOutErrors
    std_factor : float or None
        See `PredictedStructures`.

    Returns
    -------
    dict
        ``words``; and, if errors are enough, ``half_width``, its median in meV/atom,
        ``half_width_of_supercells`` of periodic ones, and ``std_factor`` of several networks.
    """
    words = basis(held_out, "structure")
    if not held_out.suffices(LEVEL):
        return {"words": words}
    found = {"half_width": typical_width(held_out)}
    words += f", ± {found['half_width']:.3g} meV/atom in the median"
    larger = width_of_supercells(held_out)
    if larger is not None:
        found["half_width_of_supercells"] = larger
        words += f", ± {larger:.3g} for their supercells of 2 × 2 × 2, as for other large cells"
    few = few_held_out(held_out)
    words += f"; {few}" if few else ""
    if std_factor is not None:
        found["std_factor"] = std_factor
        words += (
            f"; errors are {std_factor:.2g} times the differences of the networks, which predict "
            "takes into account"
        )
    return {**found, "words": words}


def novelty_of(estimator, name, X, verbose=0) -> np.ndarray:
    """Return the share of each sample's tiles that are unlike those of other fields.

    Parameters
    ----------
    estimator : fitted model
    name : str
        File of the fields that it was fitted to.
    X : ndarray of shape (n_samples, *field_shape)
    verbose : int, default=0
        Whether to show a progress bar.
    """
    from ..uncertainty import novelty

    return novelty(estimator, read_fields(name), X, random_state=0, verbose=verbose).share
