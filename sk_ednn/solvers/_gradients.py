"""Known derivatives of totals, as a fit sees them: less the baseline, in units of the loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..exceptions import TileModelError
from ..fields._channels import channels_first


@dataclass(frozen=True)
class FieldGradient:
    """The derivative of one total with respect to its field.

    Attributes
    ----------
    values : ndarray of shape (n_channels, *grid)
    """

    values: np.ndarray

    def pull(self, slope):
        """Return the derivative with respect to the field as it is."""
        return slope

    def push(self, direction):
        """Return how the field changes along a direction: that direction."""
        return direction


@dataclass(frozen=True)
class _Scaled:
    values: np.ndarray
    known: Any

    def pull(self, slope):
        return self.known.pull(slope)

    def push(self, direction):
        return self.known.push(direction)


def known_gradients(problem, tiling, unit) -> list:
    """Return the derivatives of a problem less those of its baseline, divided by a unit.

    Raises
    ------
    TileModelError
        Where they are not those of one total a sample, with respect to its field or to what they
        can be pulled back to.
    """
    if problem.n_outputs > 1:
        raise TileModelError(
            f"Gradients are learned for one total per sample, y has {problem.n_outputs} columns."
        )
    slopes: list[Any] = [None] * problem.systems.n_samples
    for stack in problem.systems.stacks:
        shape = stack.values.shape[1:]
        of_baseline = None
        if problem.baseline is not None:
            slope = problem.baseline.gradient(tiling, shape)
            of_baseline = channels_first(slope, tiling.channel_axis)
        for place in stack.samples:
            known = problem.gradient[place]
            if not hasattr(known, "pull"):
                known = FieldGradient(_field_gradient(known, shape, tiling.channel_axis, place))
            values = _numbers(known.values, place)
            if not np.isfinite(values).all():
                raise TileModelError(f"gradient[{place}] holds NaN or infinity.")
            if of_baseline is not None:
                pulled = np.asarray(known.pull(of_baseline))
                if pulled.shape != values.shape:
                    raise TileModelError(
                        f"gradient[{place}] has values of shape {values.shape}, but its pull "
                        f"returns {pulled.shape} for a field of shape {shape}."
                    )
                values = values - pulled
            slopes[place] = _Scaled(values / unit, known)
    return slopes


def root_mean_square(slopes) -> float:
    """Return the size of known derivatives; 1 where all are 0."""
    squares = sum(float(np.sum(np.square(slope.values))) for slope in slopes)
    spread = np.sqrt(squares / sum(slope.values.size for slope in slopes))
    return float(spread) if spread > 0 else 1.0


def _numbers(values, place):
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise TileModelError(
            f"gradient[{place}] must hold numbers, or be an object with values and pull(slope): "
            f"{error}"
        ) from error


def _field_gradient(values, shape, channel_axis, place):
    values = _numbers(values, place)
    if values.shape != shape:
        raise TileModelError(
            f"gradient[{place}] is the derivative with respect to the field and must have its "
            f"shape {shape}, got {values.shape}."
        )
    return channels_first(values, channel_axis)
