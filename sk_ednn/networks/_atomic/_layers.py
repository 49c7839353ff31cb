"""Layers of networks of atoms."""

from __future__ import annotations

import torch
from torch import Tensor, nn

# Features that vary less than this share of the widest one are not blown up to its size.
_LEAST_SPREAD = 1e-3

ACTIVATIONS = {"silu": nn.SiLU, "tanh": nn.Tanh, "softplus": nn.Softplus, "gelu": nn.GELU}


def linear(n_in: int, n_out: int, *, bias=True) -> nn.Linear:
    """Return a linear layer that keeps the variance of its inputs, without offsets."""
    layer = nn.Linear(n_in, n_out, bias=bias)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


class Standardized(nn.Module):
    """A linear map of standardised features: ``W (x - mean) / scale + b``.

    The standardisation is folded into the weights, which are few beside the features.

    Parameters
    ----------
    n_features, n_out : int
    """

    def __init__(self, n_features, n_out):
        super().__init__()
        self.map = linear(n_features, n_out)
        self.register_buffer("mean", torch.zeros(n_features))
        self.register_buffer("scale", torch.ones(n_features))

    def set_moments(self, mean: Tensor, std: Tensor) -> None:
        """Take means and standard deviations of training data.

        Features that hardly vary keep a scale that is not small beside that of the others, so
        that a constant one stays finite on other data.
        """
        widest = std.max()
        scale = std.clamp_min(float(_LEAST_SPREAD * widest)) if widest > 0 else torch.ones_like(std)
        self.mean.copy_(mean)
        self.scale.copy_(scale)

    def forward(self, x: Tensor) -> Tensor:
        """Return the map of rows of features, (n, n_out)."""
        weight = self.map.weight / self.scale
        return torch.addmm(self.map.bias - weight @ self.mean, x, weight.t())
