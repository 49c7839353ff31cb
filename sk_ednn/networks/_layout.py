"""Channels next to each other in memory, which convolutions on the CPU like best by far."""

from __future__ import annotations

import torch
from torch import nn

FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}
_CONVOLUTIONS = (nn.Conv2d, nn.Conv3d)


def plain_module(module) -> nn.Module:
    """Return a module without what torch.compile wraps around it, which has the same weights."""
    return getattr(module, "_orig_mod", module)


def laid_out(x):
    """Return a tensor (n, n_channels, *window) with its channels next to each other."""
    if x.ndim not in FORMATS:
        return x
    x = x.contiguous(memory_format=FORMATS[x.ndim])
    if x.shape[1] == 1 and x.stride(1) != 1:
        # One channel lies next to itself in any layout; torch is told which one is meant, or the
        # first convolution gives the plain one and the second has to convert it.
        x = x.as_strided(x.shape, (x.stride(0), 1, *x.stride()[2:]))
    return x


def lay_out(module, input_shape) -> bool:
    """Lay the weights of convolutions out for `laid_out` inputs, in place.

    Returns whether the network gains by it and bears it: a ``view`` behind a convolution, for one,
    asks for the plain layout, which is then restored.
    """
    layers = [layer for layer in module.modules() if isinstance(layer, _CONVOLUTIONS)]
    if not layers:
        return False
    _convert(layers, None)
    example, training = next(module.parameters()), module.training
    try:
        with torch.no_grad():
            module.eval()(laid_out(example.new_zeros(2, *input_shape)))
    except RuntimeError:
        _convert(layers, torch.contiguous_format)
        return False
    finally:
        module.train(training)
    return True


def _convert(layers, layout):
    for layer in layers:
        weight = layer.weight
        weight.data = weight.data.contiguous(memory_format=layout or FORMATS[weight.ndim])
