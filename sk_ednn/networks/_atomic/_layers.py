"""Layers of networks of atoms."""

from __future__ import annotations

import torch
from torch import Tensor, nn

# Features that vary less than this share of the widest one are not blown up to its size.
_LEAST_SPREAD = 1e-3
# Features that vary less than this are constant but for rounding, and nothing is learned of them.
_CONSTANT = 1e-6

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
        self._kept: tuple | None = None
        self.register_buffer("mean", torch.zeros(n_features))
        self.register_buffer("scale", torch.ones(n_features))

    def set_moments(self, mean: Tensor, std: Tensor) -> None:
        """Take means and standard deviations of training data.

        Features that hardly vary keep a scale that is not small beside that of the others. A
        constant one, of whose weights nothing is learned, has the widest scale of all, so that it
        moves the energy of other data little.
        """
        widest = float(std.max())
        scale = std.clamp_min(_LEAST_SPREAD * widest)
        scale = torch.where(std > _CONSTANT * widest, scale, widest if widest > 0 else 1.0)
        self.mean.copy_(mean)
        self.scale.copy_(scale)

    def forward(self, x: Tensor) -> Tensor:
        """Return the map of rows of features, (n, n_out)."""
        weight, bias = self.folded()
        return torch.addmm(bias, x, weight.t())

    def folded(self):
        """Return weights and offset for features as they are; kept while weights are fixed.

        Returns
        -------
        weight : Tensor of shape (n_out, n_features)
        bias : Tensor of shape (n_out,)
        """
        weight = self.map.weight
        if not weight.requires_grad:
            parts = tuple(p.detach() for p in (weight, self.map.bias, self.mean, self.scale))
            state = tuple((part.data_ptr(), part._version, part.dtype) for part in parts)
            if self._kept is None or self._kept[0] != state:
                # With the parts themselves, so that no other tensor gets their addresses.
                self._kept = (state, self._fold(), parts)
            return self._kept[1]
        return self._fold()

    def _fold(self):
        weight = self.map.weight / self.scale
        return weight, self.map.bias - weight @ self.mean

    def __getstate__(self):
        # Addresses mean nothing in a copy.
        return {**self.__dict__, "_kept": None}
