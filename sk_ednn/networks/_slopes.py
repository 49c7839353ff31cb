"""Known derivatives of totals, as training sees them: less the baseline, in units of the loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..exceptions import TileModelError
from ._padding import padded


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
            of_baseline = baseline_slope(problem.baseline, tiling, shape)
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


def baseline_slope(baseline, tiling, field_shape) -> torch.Tensor:
    """Return the derivative of a baseline's total with respect to a field: (n_channels, *grid)."""
    axis = tiling.channel_axis
    grid, n_channels = tuple(field_shape), 1
    if axis is not None:
        axis %= len(grid)
        n_channels, grid = grid[axis], (*grid[:axis], *grid[axis + 1 :])
    leaf = torch.zeros(1, n_channels, *grid, dtype=torch.float64, requires_grad=True)
    if baseline.kind == "size":
        return leaf[0].detach()
    around = padded(leaf, tiling.padded_positions(tuple(field_shape)))
    counts = tiling.tile_grid(tuple(field_shape))
    inner = tuple(
        slice(site.start, site.start + n * (site.stop - site.start))
        for site, n in zip(baseline.focus, counts, strict=True)
    )
    content = around[(slice(None), slice(None), *inner)].flatten(2).sum((0, 2))
    total = content @ torch.from_numpy(baseline.coefficients[1:, 0])
    return torch.autograd.grad(total, leaf)[0][0]


def _field_slope(values, shape, channel_axis, place):
    values = np.asarray(values, dtype=np.float64)
    if values.shape != shape:
        raise TileModelError(
            f"gradient[{place}] is the derivative with respect to the field and must have its "
            f"shape {shape}, got {values.shape}."
        )
    if channel_axis is not None:
        return np.moveaxis(values, channel_axis, 0)
    return values[None]
