"""The channels-last memory layout, in which convolutions on the CPU are much faster."""

from __future__ import annotations

import torch
from torch import nn

FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}
_CONVOLUTIONS = (nn.Conv2d, nn.Conv3d)


def plain_module(module) -> nn.Module:
    """Return the module inside the wrapper of torch.compile, with the same weights."""
    return getattr(module, "_orig_mod", module)


def laid_out(x):
    """Return a tensor (n, n_channels, *window) in the channels-last layout."""
    if x.ndim not in FORMATS:
        return x
    x = x.contiguous(memory_format=FORMATS[x.ndim])
    if x.shape[1] == 1 and x.stride(1) != 1:
        # With one channel the layout is ambiguous. The stride tells torch that it is channels-last,
        # or else the second convolution has to convert the output of the first.
        x = x.as_strided(x.shape, (x.stride(0), 1, *x.stride()[2:]))
    return x


def lay_out(module, input_shape) -> bool:
    """Convert the weights of convolutions to the channels-last layout, in place.

    Returns True on success. The layout is restored if the network does not support `laid_out`
    inputs, for example because it calls ``view`` after a convolution.
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
