"""Gradients of totals as targets of a fit: less the baseline, in units of the loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..exceptions import TileModelError
from ..fields._channels import channels_first


@dataclass(frozen=True)
class FieldGradient:
    """The gradient of a total with respect to its field.

    Attributes
    ----------
    values : ndarray of shape (n_channels, *grid)
    """

    values: np.ndarray

    def pull(self, gradient):
        """Return the gradient, which is already one with respect to the field."""
        return gradient

    def push(self, tangent):
        """Return the tangent, which is already a change of the field."""
        return tangent


@dataclass(frozen=True)
class _Scaled:
    """Values in units of the loss, with the pull and push of the user's target gradient."""

    values: np.ndarray
    target: Any

    def pull(self, gradient):
        return self.target.pull(gradient)

    def push(self, tangent):
        return self.target.push(tangent)


def target_gradients(problem, tiling, unit) -> list:
    """Return the target gradients of a problem, less those of its baseline, divided by a unit.

    Each has ``values``, ``pull(gradient)`` and possibly ``push(tangent)``; see `SumProblem`.

    Raises
    ------
    TileModelError
        If there are several totals per sample, or if a gradient has the wrong shape or is not
        finite.
    """
    if problem.n_outputs > 1:
        raise TileModelError(
            "Gradients can be learned for one total per sample only, but y has "
            f"{problem.n_outputs} columns."
        )
    gradients: list[Any] = [None] * problem.systems.n_samples
    for stack in problem.systems.stacks:
        shape = stack.values.shape[1:]
        baseline_gradient = None
        if problem.baseline is not None:
            of_field = problem.baseline.gradient(tiling, shape)
            baseline_gradient = channels_first(of_field, tiling.channel_axis)
        for sample in stack.samples:
            target = problem.gradient[sample]
            if not hasattr(target, "pull"):
                target = FieldGradient(_of_field(target, shape, tiling.channel_axis, sample))
            values = _numbers(target.values, sample)
            if not np.isfinite(values).all():
                raise TileModelError(f"gradient[{sample}] contains NaN or infinity.")
            if baseline_gradient is not None:
                pulled = np.asarray(target.pull(baseline_gradient))
                if pulled.shape != values.shape:
                    raise TileModelError(
                        f"gradient[{sample}] has values of shape {values.shape}, but its pull "
                        f"returns shape {pulled.shape} for a field of shape {shape}."
                    )
                values = values - pulled
            gradients[sample] = _Scaled(values / unit, target)
    return gradients


def root_mean_square(gradients) -> float:
    """Return the root mean square of all entries of target gradients; 1 if all are 0."""
    squares = sum(float(np.sum(np.square(gradient.values))) for gradient in gradients)
    spread = np.sqrt(squares / sum(gradient.values.size for gradient in gradients))
    return float(spread) if spread > 0 else 1.0


def _numbers(values, sample):
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise TileModelError(
            f"gradient[{sample}] must be an array of numbers, or an object with values and "
            f"pull(gradient): {error}"
        ) from error


def _of_field(values, shape, channel_axis, sample):
    values = _numbers(values, sample)
    if values.shape != shape:
        raise TileModelError(
            f"gradient[{sample}] is the gradient with respect to the field and must have its "
            f"shape {shape}, got {values.shape}."
        )
    return channels_first(values, channel_axis)
