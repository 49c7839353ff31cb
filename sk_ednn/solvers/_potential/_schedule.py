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


class Plan:
    """Progress of a training, and the number of steps that fit into its seconds.

    Schedules follow the steps, so that a training that is resumed takes the same rates. How many
    there are is known with `max_epochs`. With `max_seconds` progress is that of the clock until the
    first epoch has shown how long a step takes; then the steps that fit are planned, and planned
    anew after each epoch where fewer fit, or many more.

    Parameters
    ----------
    max_steps : int or None
    max_seconds : float or None

    Examples
    --------
    >>> from sk_ednn.solvers._potential._schedule import Plan
    >>> plan = Plan(max_steps=None, max_seconds=100.0)
    >>> plan.progress(step=5, seconds=10.0)  # of the clock
    0.1
    >>> plan.revise(step=10, seconds=20.0, seconds_per_step=2.0)
    >>> plan.steps  # 40 more would fit; a little time is kept in reserve
    49
    >>> plan.progress(step=10, seconds=20.0), plan.progress(step=49, seconds=99.0)
    (0.2, 1.0)
    """

    # Part of the remaining seconds that is not planned, as steps take longer now and then.
    _RESERVE = 0.02
    # More steps are planned only if at least this factor more fit.
    _MORE = 1.1

    def __init__(self, max_steps, max_seconds):
        self.max_steps, self.max_seconds = max_steps, max_seconds
        self.steps = max_steps if max_seconds is None else None
        self._since = (0, 0.0)  # step and progress when this was planned

    def progress(self, step, seconds) -> float:
        """Return the progress, from 0 to 1.

        Parameters
        ----------
        step : int
            Steps taken.
        seconds : float
            Time by the clock of the training.
        """
        if self.steps is None:
            parts = [seconds / self.max_seconds]
            if self.max_steps is not None:
                parts.append(step / self.max_steps)
            return min(1.0, max(parts))
        first, begun = self._since
        if step >= self.steps:
            return 1.0
        return begun + (1.0 - begun) * (step - first) / (self.steps - first)

    def over(self, step, seconds) -> bool:
        """Return True if the training has come to its end."""
        if self.max_seconds is not None and seconds >= self.max_seconds:
            return True
        bounds = [bound for bound in (self.steps, self.max_steps) if bound is not None]
        return any(step >= bound for bound in bounds)

    def revise(self, step, seconds, seconds_per_step) -> None:
        """Plan the remaining steps.

        Parameters
        ----------
        step, seconds
            As for `progress`.
        seconds_per_step : float
            Mean over the last epoch.
        """
        if self.max_seconds is None or self.over(step, seconds):
            return
        rest = (self.max_seconds - seconds) * (1 - self._RESERVE) / max(seconds_per_step, 1e-9)
        fit = step + max(1, int(rest))
        if self.max_steps is not None:
            fit = min(fit, self.max_steps)
        if self.steps is not None:
            slower = fit < self.steps - self._RESERVE * (self.steps - step)
            faster = fit - step > self._MORE * (self.steps - step)
            if not (slower or faster):
                return
        self._since = (step, self.progress(step, seconds))
        self.steps = fit

    def state(self) -> dict:
        """Return what a checkpoint contains of it."""
        return {"steps": self.steps, "since": list(self._since)}

    def restore(self, state) -> None:
        """Continue with the plan of a checkpoint."""
        self.steps = state["steps"]
        first, begun = state["since"]
        self._since = (int(first), float(begun))


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
    """Raise if a weight is not a number of at least 0, or pair of such numbers."""
    try:
        start, end = pair(weight)
    except (TypeError, ValueError):
        start = end = math.nan
    if not (0 <= start < math.inf and 0 <= end < math.inf):
        raise TileModelError(
            f"{name} must be a number of at least 0 or a pair (start, end) of such numbers, got "
            f"{weight!r}."
        )
