"""Known derivatives of totals, as training sees them: less the baseline, in units of the loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..exceptions import TileModelError


@dataclass(frozen=True)
class Slope:
    """The derivative of one total with respect to its field.

    Attributes
    ----------
    values : ndarray of shape (n_channels, *grid)
    """

    values: np.ndarray

    def pull(self, slope):
        """Return the derivative with respect to the field as it is."""
        return slope


@dataclass(frozen=True)
class _Scaled:
    values: np.ndarray
    known: Any

    def pull(self, slope):
        return self.known.pull(slope)


def known_slopes(problem, tiling, unit) -> list:
    """Return the derivatives of a problem less those of its baseline, divided by a unit."""
    slopes: list[Any] = [None] * problem.fields.n_samples
    for stack in problem.fields.stacks:
        shape = stack.values.shape[1:]
        of_baseline = None
        if problem.baseline is not None:
            slope = problem.baseline.slope(tiling, shape)
            of_baseline = _channels_first(slope, tiling.channel_axis)
        for place in stack.samples:
            known = problem.gradient[place]
            if not hasattr(known, "pull"):
                known = Slope(_field_slope(known, shape, tiling.channel_axis, place))
            values = np.asarray(known.values, dtype=np.float64)
            if not np.isfinite(values).all():
                raise TileModelError(f"gradient[{place}] holds NaN or infinity.")
            if of_baseline is not None:
                values = values - np.asarray(known.pull(of_baseline))
            slopes[place] = _Scaled(values / unit, known)
    return slopes


def _field_slope(values, shape, channel_axis, place):
    values = np.asarray(values, dtype=np.float64)
    if values.shape != shape:
        raise TileModelError(
            f"gradient[{place}] is the derivative with respect to the field and must have its "
            f"shape {shape}, got {values.shape}."
        )
    return _channels_first(values, channel_axis)


def _channels_first(values, channel_axis):
    return values[None] if channel_axis is None else np.moveaxis(values, channel_axis, 0)
