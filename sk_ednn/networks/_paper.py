"""The networks of the paper."""

from __future__ import annotations

from math import prod

import torch
from torch import nn


class PaperDenseNet(nn.Sequential):
    """The fully connected network of the paper's Ising models.

    With n sites in a tile: n inputs, 32 n, 64 and 64 hidden units with ReLU, and a linear output.

    Parameters
    ----------
    tile_shape : tuple of int
        Shape of the window; filled in by `EDNNRegressor`.
    n_channels : int, default=1
        Filled in by `EDNNRegressor`.
    n_outputs : int, default=1
        Filled in by `EDNNRegressor`.

    References
    ----------
    K. Mills et al., Chem. Sci. 2019, 10, 4129, Table 1.

    Examples
    --------
    >>> from sk_ednn.networks import PaperDenseNet
    >>> [sum(p.numel() for p in PaperDenseNet((1 + 2 * c,) * 2).parameters()) for c in (1, 3)]
    [25601, 183041]
    """

    def __init__(self, tile_shape, n_channels=1, n_outputs=1):
        n = n_channels * prod(tile_shape)
        super().__init__(
            nn.Flatten(),
            nn.Linear(n, 32 * n),
            nn.ReLU(),
            nn.Linear(32 * n, 64),
            nn.ReLU(),
            nn.Linear(64, 64),
            nn.ReLU(),
            nn.Linear(64, n_outputs),
        )


def n_parameters(module: torch.nn.Module) -> int:
    """Return the number of trainable parameters of a module."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)
