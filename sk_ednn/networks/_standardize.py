"""Standardised inputs: the mean and the scale of each channel, learned from training fields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from .._utils.stored import stored
from ..exceptions import TileModelError
from ..fields._channels import channels_first
from ..fields._fields import Fields, require_finite
from ..fields._samples import SampleReader

# Numbers of the fields that are looked at together.
_BLOCK_NUMBERS = 1 << 20
_EPS = np.finfo(np.float64).eps


@stored("Standardization")
@dataclass(frozen=True, eq=False)
class Standardization:
    """An affine map of each channel: ``(x - mean) / scale``, computed in float64.

    Attributes
    ----------
    mean, scale : ndarray of shape (n_channels,) or (1,), float64
        ``scale`` is positive.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ednn.networks import Standardization
    >>> counts = Standardization(mean=np.array([1000.0]), scale=np.array([50.0]))
    >>> counts(np.array([[[1000, 1100]]], dtype=np.uint16))  # (n, n_channels, *window)
    array([[[0., 2.]]])
    """

    mean: np.ndarray
    scale: np.ndarray

    def __call__(self, x):
        """Return standardised values of the same kind.

        Parameters
        ----------
        x : ndarray or Tensor of shape (n, n_channels, *window)

        Returns
        -------
        ndarray of float64, or Tensor in the precision of `x`, of the same shape
        """
        mean, scale = self._along(self.mean, x), self._along(self.scale, x)
        if isinstance(x, torch.Tensor):
            return (x - mean) / scale
        out = np.subtract(x, mean, dtype=np.float64)
        out /= scale
        return out

    def inverse(self, x):
        """Return what gives `x` when it is standardised."""
        return x * self._along(self.scale, x) + self._along(self.mean, x)

    def pull(self, slope):
        """Return derivatives with respect to the values, from those of standardised values."""
        return slope / self._along(self.scale, slope)

    @staticmethod
    def _along(numbers, x) -> Any:
        """Return one number per channel in a shape that broadcasts against `x`."""
        numbers = numbers.reshape(-1, *[1] * (x.ndim - 2))
        if isinstance(x, torch.Tensor):
            return torch.as_tensor(numbers, dtype=x.dtype, device=x.device)
        return numbers


def learn_standardization(fields: Fields, channel_axis, sample_weight=None) -> Standardization:
    """Return the standardisation that gives every channel of the fields mean 0 and variance 1.

    All sites count alike, and a sample of weight 2 counts as two equal samples. Channels that are
    constant, to the precision of the fields, keep their scale.

    Parameters
    ----------
    fields : Fields
        Fields that are read piece by piece are read once, in blocks.
    channel_axis : int or None
        Axis of one field that holds its channels. None for one channel.
    sample_weight : ndarray of shape (n_samples,) or None
        Positive.

    Returns
    -------
    Standardization
    """
    moments = _Moments()
    for stack in fields.stacks:
        values, weight = stack.values, np.ones(len(stack.samples))
        if sample_weight is not None:
            weight = np.asarray(sample_weight, dtype=np.float64)[stack.samples]
        lazy = not isinstance(values, np.ndarray)
        reader = SampleReader(values) if lazy else values
        step = max(1, _BLOCK_NUMBERS // max(1, int(np.prod(values.shape[1:]))))
        for start in range(0, len(weight), step):
            index = np.arange(start, min(start + step, len(weight)))
            block = reader[index] if lazy else reader[start : start + step]
            if lazy:
                require_finite(block, f"X (samples {stack.samples[index].tolist()} as read)")
            block = channels_first(block, channel_axis, n_batch=1)
            moments.add(block.reshape(*block.shape[:2], -1), weight[index])
    return moments.standardization(fields.dtype)


def standardization_of(tiling, systems, sample_weight=None) -> Standardization | None:
    """Return the standardisation of the tiles of systems: of their channels, or their features.

    Parameters
    ----------
    tiling : AbstractTiling
    systems : Systems
    sample_weight : ndarray of shape (n_samples,) or None

    Returns
    -------
    Standardization or None
        None where a tile is neither a window of a grid nor a row of features: its numbers may
        belong together, as the components of a vector do.
    """
    if tiling.is_grid:
        return learn_standardization(systems, tiling.channel_axis, sample_weight)
    shape = tiling.shape_of_tiles(systems)
    if len(shape) != 1:
        return None
    moments = _Moments()
    weight = np.ones(systems.n_samples) if sample_weight is None else sample_weight
    for tiles in tiling.blocks(systems, max(1, _BLOCK_NUMBERS // shape[0])):
        moments.add(tiles.array()[..., None], tiles.sum_matrix.T @ weight)
    return moments.standardization(systems.dtype)


class _Moments:
    """Mean and root of the sum of squared deviations of each channel, block by block.

    Roots instead of squares, and deviations in units of the largest one: squares of numbers such
    as 1e-200 are 0.
    """

    def __init__(self):
        self.total, self.mean, self.norm = 0.0, 0.0, 0.0

    @np.errstate(over="ignore", invalid="ignore")  # `standardization` refuses what comes of it
    def add(self, block, weight):
        """Add the values of some samples, (n, n_channels, n_sites)."""
        block = block.astype(np.float64)
        total = weight.sum() * block.shape[2]
        # Divided first, so that the sum of large numbers does not overflow.
        share = weight / total
        mean = np.einsum("n,ncs->c", share, block)
        block -= mean[:, None]
        # A second time, for the rounding errors of the first: a constant channel must show as such.
        left = np.einsum("n,ncs->c", share, block)
        mean, block = mean + left, block - left[:, None]
        largest = np.abs(block).max(axis=(0, 2))
        unit = np.where(largest > 0, largest, 1.0)
        block /= unit[:, None]
        norm = unit * np.sqrt(np.einsum("n,ncs,ncs->c", weight, block, block))
        both = self.total + total
        between = np.abs(mean - self.mean) * np.sqrt(self.total / both * total)
        self.norm = np.hypot(np.hypot(self.norm, norm), between)
        self.mean = self.mean + (mean - self.mean) * (total / both)
        self.total = both

    def standardization(self, dtype) -> Standardization:
        """Return the map; `dtype` is that of the fields."""
        scale = self.norm / np.sqrt(self.total)
        if not (np.isfinite(scale).all() and np.isfinite(self.mean).all()):
            raise TileModelError(
                "The fields are too large to be standardised: their mean or spread overflows "
                "float64. Use larger units."
            )
        eps = np.finfo(dtype).eps if np.issubdtype(dtype, np.floating) else 0.0
        constant = scale <= max(float(eps), 8 * _EPS) * np.abs(self.mean)
        return Standardization(self.mean, np.where(constant | (scale == 0), 1.0, scale))
