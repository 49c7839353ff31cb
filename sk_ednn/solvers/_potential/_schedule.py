"""Learning rates and loss weights as functions of how far a training has come."""

from __future__ import annotations

import math

from ...exceptions import TileModelError


def _constant(x, final):
    return 1.0


def _exponential(x, final):
    return final**x


def _cosine(x, final):
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * x))


def _one_cycle(x, final):
    peak = 0.3
    if x < peak:
        return final + (1 - final) * 0.5 * (1 - math.cos(math.pi * x / peak))
    return _cosine((x - peak) / (1 - peak), final)


SCHEDULES = {
    "constant": _constant,
    "exponential": _exponential,
    "cosine": _cosine,
    "one-cycle": _one_cycle,
}


def rate_factor(schedule: str, x: float, final: float, warm_up: float) -> float:
    """Return the learning rate as a share of its highest value.

    Parameters
    ----------
    schedule : {"constant", "exponential", "cosine", "one-cycle"}
    x : float
        Progress of the training, from 0 to 1.
    final : float
        Share at the end.
    warm_up : float
        Part of the training in which the rate rises linearly from 0. One-cycle schedules rise by
        themselves and take none.

    Examples
    --------
    >>> from sk_ednn.solvers._potential._schedule import rate_factor
    >>> [round(rate_factor("cosine", x, 0.01, 0.1), 3) for x in (0.05, 0.1, 0.55, 1.0)]
    [0.5, 1.0, 0.505, 0.01]
    """
    x = min(max(x, 0.0), 1.0)
    if schedule != "one-cycle" and warm_up > 0:
        if x < warm_up:
            return x / warm_up
        x = (x - warm_up) / (1 - warm_up)
    return SCHEDULES[schedule](x, final)


def weight_at(weight, x: float) -> float:
    """Return the weight of a part of the loss.

    Parameters
    ----------
    weight : float or (start, end)
        A pair is followed geometrically where both are positive, and linearly where one is 0.
    x : float
        Progress of the training, from 0 to 1.

    Examples
    --------
    >>> from sk_ednn.solvers._potential._schedule import weight_at
    >>> [weight_at((0.1, 10.0), x) for x in (0.0, 0.5, 1.0)]
    [0.1, 1.0, 10.0]
    """
    start, end = pair(weight)
    x = min(max(x, 0.0), 1.0)
    if start > 0 and end > 0:
        return start * (end / start) ** x
    return start + (end - start) * x


def pair(weight) -> tuple[float, float]:
    """Return a weight as its start and end."""
    if isinstance(weight, int | float):
        return float(weight), float(weight)
    start, end = weight
    return float(start), float(end)


def check_weight(name, weight) -> None:
    """Raise where a weight is not a number of at least 0, or pair of such numbers."""
    try:
        start, end = pair(weight)
    except (TypeError, ValueError):
        start = end = math.nan
    if not (0 <= start < math.inf and 0 <= end < math.inf):
        raise TileModelError(
            f"{name} must be a number of at least 0 or a pair (start, end) of such numbers, got "
            f"{weight!r}."
        )
