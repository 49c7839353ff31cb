"""Widths of the intervals of structures: typical ones, and why some are wider."""

from __future__ import annotations

import numpy as np

LEVEL = 0.9
# Below so many errors, single bad ones move the width; see `_ENOUGH` of `images._interval`.
_ENOUGH = 40
# Widths and factors that differ by less are called equal.
_ALIKE, _EQUAL = 0.05, 1e-6


def typical_width(held_out) -> float:
    """Return half the width for structures like those held out, its median in meV/atom.

    Parameters
    ----------
    held_out : HeldOutErrors
        In eV; they suffice.
    """
    return _median(held_out, 1, held_out.widths)


def width_of_supercells(held_out) -> float | None:
    """Return half the width for supercells of 2 × 2 × 2 of those held out, in meV/atom.

    Parameters
    ----------
    held_out : HeldOutErrors

    Returns
    -------
    float or None
        The median over periodic structures; None if there are none, or of models of images.

    Examples
    --------
    >>> from sk_ednn.cli._widths_of_intervals import typical_width, width_of_supercells
    >>> from sk_ednn.uncertainty import HeldOutErrors
    >>> thin = HeldOutErrors.of([0.0] * 30, [0.1] * 30, 10, widths=[0.6] * 30)
    >>> typical_width(thin), width_of_supercells(thin)
    (10.0, 20.0)
    """
    if held_out.widths is None or not np.isfinite(held_out.widths).any():
        return None
    return _median(held_out, 8, 2 * held_out.widths, np.isfinite(held_out.widths))


def few_held_out(held_out) -> str | None:
    """Return in words that few errors set the width of all intervals; None if they are many.

    Parameters
    ----------
    held_out : HeldOutErrors

    Examples
    --------
    >>> from sk_ednn.cli._widths_of_intervals import few_held_out
    >>> from sk_ednn.uncertainty import HeldOutErrors
    >>> print(few_held_out(HeldOutErrors.of([0.0] * 24, [0.1] * 24, 64)))
    the 2 worst of these 24 set the width of all intervals: hold out 40 or more for steadier ones
    (--test-fraction)
    """
    n, worst = len(held_out.errors), held_out.n_beyond(LEVEL)
    if n >= _ENOUGH:
        return None
    which = "worst" if worst == 1 else f"{worst} worst"
    sets = "sets" if worst == 1 else "set"
    return (
        f"the {which} of these {n} {sets} the width of all intervals: hold out {_ENOUGH} or more "
        "for steadier ones (--test-fraction)"
    )


def why_wider(held_out, found) -> str | None:
    """Return what makes intervals wider than those of the structures held out.

    Parameters
    ----------
    held_out : HeldOutErrors
    found : PredictedStructures

    Returns
    -------
    str or None
        None if no intervals or factors are known, or they are about as wide.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ednn.cli._predicted_structures import PredictedStructures
    >>> from sk_ednn.cli._widths_of_intervals import why_wider
    >>> from sk_ednn.uncertainty import HeldOutErrors
    >>> thin = HeldOutErrors.of([0.0] * 30, [0.1] * 30, 10, widths=[0.6] * 30)
    >>> sizes, widths = np.array([10, 80]), np.array([0.6, 1.2])
    >>> found = PredictedStructures(
    ...     np.zeros(2),
    ...     sizes,
    ...     half_width=thin.half_width(sizes, widths=widths)[:, 0],
    ...     widening=thin.widening(sizes, widths=widths),
    ... )
    >>> print(why_wider(thin, found))
    intervals are ± 15 meV/atom in the median here, and ± 10 for those held out: 2 times as wide for
    1 structure in cells wider than those held out
    """
    if found.half_width is None or found.widening is None:
        return None
    here, usual = 1e3 * found.half_width / found.sizes, typical_width(held_out)
    if np.median(here) <= (1 + _ALIKE) * usual:
        return None
    wider, larger = found.widening["wider"], found.widening["larger"]
    reasons = [
        _times(wider, "in cells wider than those held out"),
        _times(
            larger,
            "more than twice as large as all but a few held out, where agreement of the networks "
            "narrows nothing",
        ),
        _times(
            here / np.where(usual > 0, wider * larger * usual, here),
            "by the novelty of their atoms and the differences of the networks",
        ),
    ]
    return (
        f"intervals are ± {np.median(here):.3g} meV/atom in the median here, and ± {usual:.3g} for "
        f"those held out: {'; '.join(filter(None, reasons))}"
    )


def equal_since_few(held_out, found) -> str | None:
    """Return a doubt of intervals that are equal for most structures, by the errors of a few.

    Parameters
    ----------
    held_out : HeldOutErrors
    found : PredictedStructures
    """
    few = few_held_out(held_out)
    if few is None or found.half_width is None or len(found.sizes) < 2:
        return None
    per_atom = np.sort(found.half_width / found.sizes)
    change = np.diff(per_atom) > _EQUAL * per_atom[1:]
    runs = np.diff(np.concatenate([[0], np.flatnonzero(change) + 1, [len(per_atom)]]))
    most = int(runs.max())
    if 2 * most <= len(per_atom):
        return None
    return (
        f"Intervals are equal per atom for {most:,} of {len(per_atom):,} structures, so they do "
        f"not rank these. Few errors were held out: {few}, and some cells as large as these."
    )


def _median(held_out, times, widths, chosen=slice(None)) -> float:
    half = held_out.half_width(
        times * held_out.sizes,
        std=None if held_out.std is None else times * held_out.std,
        novelty=held_out.novelty,
        widths=widths,
        level=LEVEL,
    )[:, 0]
    return float(np.median((1e3 * half / (times * held_out.sizes))[chosen]))


def _times(factors, which) -> str | None:
    """Return the median of factors above 1 in words, or None if there are none."""
    above = factors[factors > 1 + _ALIKE]
    if not len(above):
        return None
    n = len(above)
    return f"{np.median(above):.2g} times as wide for {n:,} structure{'s' * (n != 1)} {which}"
