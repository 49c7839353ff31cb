"""Standardisation of inputs by the mean and the scale of each channel of training fields."""

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

# Numbers of the fields that are processed at a time.
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
        """Standardise an array or a tensor.

        Parameters
        ----------
        x : ndarray or Tensor of shape (n, n_channels, *window)

        Returns
        -------
        ndarray of float64, or Tensor in the precision of `x`, of the same shape
        """
        mean, scale = self._broadcast(self.mean, x), self._broadcast(self.scale, x)
        if isinstance(x, torch.Tensor):
            return (x - mean) / scale
        out = np.subtract(x, mean, dtype=np.float64)
        out /= scale
        return out

    def inverse(self, x):
        """Undo the standardisation."""
        return x * self._broadcast(self.scale, x) + self._broadcast(self.mean, x)

    def pull(self, gradient):
        """Pull a gradient with respect to standardised values back to the values."""
        return gradient / self._broadcast(self.scale, gradient)

    @staticmethod
    def _broadcast(numbers, x) -> Any:
        """Return the numbers of channels in a shape that broadcasts against `x`."""
        numbers = numbers.reshape(-1, *[1] * (x.ndim - 2))
        if isinstance(x, torch.Tensor):
            return torch.as_tensor(numbers, dtype=x.dtype, device=x.device)
        return numbers


def learn_standardization(
    fields: Fields, channel_axis, sample_weight=None, block_numbers=_BLOCK_NUMBERS
) -> Standardization:
    """Return the standardisation with which each channel of the fields has mean 0 and variance 1.

    All sites have equal weight, and a sample of weight 2 counts as two equal samples. Channels that
    are constant, up to the precision of the fields, are not scaled.

    Parameters
    ----------
    fields : Fields
        Lazy fields are read once, in blocks.
    channel_axis : int or None
        Channel axis of one field. None for a single channel.
    sample_weight : ndarray of shape (n_samples,) or None
        Positive.
    block_numbers : int
        Numbers of a block.

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
        step = max(1, block_numbers // max(1, int(np.prod(values.shape[1:]))))
        for start in range(0, len(weight), step):
            index = np.arange(start, min(start + step, len(weight)))
            block = reader[index] if lazy else reader[start : start + step]
            if lazy:
                require_finite(block, f"X (samples {stack.samples[index].tolist()} as read)")
            block = channels_first(block, channel_axis, n_batch=1)
            moments.add(block.reshape(*block.shape[:2], -1), weight[index])
    return moments.standardization(fields.dtype)


def standardization_of(tiling, systems, sample_weight=None) -> Standardization | None:
    """Return the standardisation of tiles, per channel or per feature.

    Parameters
    ----------
    tiling : AbstractTiling
    systems : Systems
    sample_weight : ndarray of shape (n_samples,) or None

    Returns
    -------
    Standardization or None
        None if a tile is neither a window of a grid nor a row of features, because its numbers may
        be related, such as the components of a vector.
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
    """Mean and root of the sum of squared deviations of each channel, accumulated in blocks.

    Roots are stored instead of squares, and deviations are scaled by the largest one, because
    squares of numbers such as 1e-200 underflow.
    """

    def __init__(self):
        self.total, self.mean, self.norm = 0.0, 0.0, 0.0

    @np.errstate(over="ignore", invalid="ignore")  # `standardization` rejects the result
    def add(self, block, weight):
        """Add the values of some samples, (n, n_channels, n_sites)."""
        block = block.astype(np.float64)
        total = weight.sum() * block.shape[2]
        # Weights are divided first, so that sums of large numbers do not overflow.
        share = weight / total
        mean = np.einsum("n,ncs->c", share, block)
        block -= mean[:, None]
        # Centre again to remove round-off, so that constant channels have deviations of 0.
        residual = np.einsum("n,ncs->c", share, block)
        mean, block = mean + residual, block - residual[:, None]
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
        """Return the standardisation of fields of a dtype."""
        scale = self.norm / np.sqrt(self.total)
        if not (np.isfinite(scale).all() and np.isfinite(self.mean).all()):
            raise TileModelError(
                "The fields cannot be standardised, because their mean or spread overflows "
                "float64. Use larger units."
            )
        eps = np.finfo(dtype).eps if np.issubdtype(dtype, np.floating) else 0.0
        constant = scale <= max(float(eps), 8 * _EPS) * np.abs(self.mean)
        return Standardization(self.mean, np.where(constant | (scale == 0), 1.0, scale))
