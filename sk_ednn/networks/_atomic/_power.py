"""Power spectra of channels, twice differentiable with few and large matrix products.

Autograd's second derivative of the same products, one for each degree, takes several times as long.
"""

from __future__ import annotations

import torch
from torch import Tensor


def power_spectrum(channels: Tensor, l_max: int, partners: int) -> Tensor:
    """Return channels of degree 0, and products of channels that are summed over m.

    ``x[k, l, q] = Σ_m A[lm, k] A[lm, q]`` for the first `partners` channels q: invariant under
    rotations and reflections.

    Parameters
    ----------
    channels : Tensor of shape (n, (l_max + 1)**2, n_channels)
    l_max : int
    partners : int

    Returns
    -------
    Tensor of shape (n, n_channels + n_channels * (l_max + 1) * partners)
        Differentiable twice.
    """
    # Outside of the function: a copy made inside would be cut off from the second derivative.
    return _Power.apply(channels.contiguous(), l_max, partners)


def _spread(channels: Tensor, l_max: int, partners: int) -> Tensor:
    """Return the first channels of each row in the block of its degree, zeros in the others.

    One product with this matrix is the products of all degrees.
    """
    n, n_rows, _ = channels.shape
    out = channels.new_zeros(n, n_rows, l_max + 1, partners)
    for degree in range(l_max + 1):
        rows = slice(degree**2, (degree + 1) ** 2)
        out[:, rows, degree] = channels[:, rows, :partners]
    return out.flatten(2)


def _gather(blocks: Tensor, l_max: int, partners: int) -> Tensor:
    """Return the block of the degree of each row: the adjoint of `_spread`."""
    blocks = blocks.unflatten(2, (l_max + 1, partners))
    return torch.cat(
        [blocks[:, degree**2 : (degree + 1) ** 2, degree] for degree in range(l_max + 1)], 1
    )


def _pulled(channels, spread, gradients, l_max, partners):
    """Return gradients with respect to channels from those with respect to the products."""
    n_channels = channels.shape[2]
    gradients = gradients[:, n_channels:].unflatten(1, (n_channels, -1))
    out = torch.bmm(spread, gradients.transpose(1, 2))
    out[:, :, :partners] += _gather(torch.bmm(channels, gradients), l_max, partners)
    return out


class _Power(torch.autograd.Function):
    @staticmethod
    def forward(ctx, channels, l_max, partners):
        spread = _spread(channels, l_max, partners)
        ctx.save_for_backward(channels, spread)
        ctx.shape = (l_max, partners)
        products = torch.bmm(channels.transpose(1, 2), spread)
        return torch.cat([channels[:, 0], products.flatten(1)], 1)

    @staticmethod
    def backward(ctx, gradients):
        channels, spread = ctx.saved_tensors
        return _PowerPull.apply(channels, spread, gradients, *ctx.shape), None, None


class _PowerPull(torch.autograd.Function):
    """The gradient of the features, which is linear in gradients and affine in channels."""

    @staticmethod
    def forward(ctx, channels, spread, gradients, l_max, partners):
        ctx.save_for_backward(channels, spread, gradients)
        ctx.shape = (l_max, partners)
        out = _pulled(channels, spread, gradients, l_max, partners)
        out[:, 0] += gradients[:, : channels.shape[2]]
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, tangents):
        channels, spread, gradients = ctx.saved_tensors
        tangents = tangents.contiguous()
        spread_tangents = _spread(tangents, *ctx.shape)
        products = torch.bmm(tangents.transpose(1, 2), spread)
        products.baddbmm_(channels.transpose(1, 2), spread_tangents)
        by_gradients = torch.cat([tangents[:, 0], products.flatten(1)], 1)
        by_channels = _pulled(tangents, spread_tangents, gradients, *ctx.shape)
        return by_channels, None, by_gradients, None, None
