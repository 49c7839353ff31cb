"""Layers of networks of atoms: standardised inputs, and perceptrons that start small."""

from __future__ import annotations

import torch
from torch import Tensor, nn

# The last layer starts small, so that a sum of many atoms starts near the baseline.
_LAST_LAYER = 0.1
# Features that vary less than this share of the widest one are not blown up to its size.
_LEAST_SPREAD = 1e-3

ACTIVATIONS = {"silu": nn.SiLU, "tanh": nn.Tanh, "softplus": nn.Softplus, "gelu": nn.GELU}


def linear(n_in: int, n_out: int) -> nn.Linear:
    """Return a linear layer that keeps the variance of its inputs, without offsets."""
    layer = nn.Linear(n_in, n_out)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")
    nn.init.zeros_(layer.bias)
    return layer


class Standardized(nn.Module):
    """Linear maps of standardised features: ``W (x - mean) / scale + b``.

    The standardisation is folded into the weights, which are few beside the features.

    Parameters
    ----------
    n_features : int
    widths : sequence of int
        Outputs of each map. All maps are applied at once.
    """

    def __init__(self, n_features, widths):
        super().__init__()
        self.widths = tuple(widths)
        self.maps = nn.ModuleList([linear(n_features, width) for width in widths])
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

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the output of each map, (n, width)."""
        weight = torch.cat([part.weight for part in self.maps]) / self.scale
        bias = torch.cat([part.bias for part in self.maps]) - weight @ self.mean
        return torch.addmm(bias, x, weight.t()).split(self.widths, 1)


def perceptron(widths, activation="silu") -> nn.Sequential:
    """Return a perceptron that begins with an activation, since its first layer is elsewhere.

    Parameters
    ----------
    widths : sequence of int
        Of the hidden layers; the output is one number.
    activation : {"silu", "tanh", "softplus", "gelu"}, default="silu"
        Smooth, so that forces are.
    """
    layers: list[nn.Module] = []
    for n_in, n_out in zip(widths, [*widths[1:], 1], strict=True):
        layers += [ACTIVATIONS[activation](), linear(n_in, n_out)]
    with torch.no_grad():
        layers[-1].weight.mul_(_LAST_LAYER)
    return nn.Sequential(*layers)
