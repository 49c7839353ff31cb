"""Convolutions of maps, which torch runs in a slow way where there is one small map in 3-D."""

from __future__ import annotations

from functools import cache

import torch
from torch import nn
from torch.nn import functional as F

_CONVOLVE = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


def convolve(x, weight, bias, stride, dilation=1, groups=1) -> torch.Tensor:
    """Return the valid convolution of maps (n, n_channels, *grid)."""
    n = x.ndim - 2
    if n == 3 and _asks_for_onednn(x):
        # Up to five times as fast as what torch takes for one sample of few numbers, which also
        # turns the layout around, so that the next layer has to convert it back.
        return torch.mkldnn_convolution(
            x, weight, bias, (0,) * n, _each(stride, n), _each(dilation, n), groups
        )
    return _CONVOLVE[n](x, weight, bias, stride, 0, dilation, groups)


class Convolution:
    """What a convolutional layer does to a map; holds the layer, whose weights may change.

    With a `ReLU` that takes nothing else, what both do: for a prediction on the CPU in one pass,
    as the maps of first layers are so large that reading and writing one takes its time.
    """

    def __init__(self, layer, relu=None):
        self.layer, self.relu = layer, relu

    def __call__(self, x):
        """Return the convolution of a map."""
        layer = self.layer
        if has_hooks(layer):
            return self._rectified(layer(x))
        if self.relu is not None and not has_hooks(self.relu) and _fuses(x, layer):
            n = x.ndim - 2
            return torch.ops.mkldnn._convolution_pointwise(
                x, layer.weight, layer.bias, (0,) * n, layer.stride, layer.dilation, layer.groups,
                "relu", [], "",
            )  # fmt: skip
        if type(layer) is not nn.Conv3d:
            return self._rectified(layer(x))
        return self._rectified(
            convolve(x, layer.weight, layer.bias, layer.stride, layer.dilation, layer.groups)
        )

    def after(self, x):
        """Return what the `ReLU` makes of a result: nothing more, unless it has hooks."""
        return self.relu(x) if has_hooks(self.relu) else x

    def _rectified(self, x):
        return x if self.relu is None or has_hooks(self.relu) else torch.relu_(x)


def _fuses(x, layer) -> bool:
    """Tell whether oneDNN may rectify what it convolves: where nothing is to be differentiated."""
    return (
        not torch.is_grad_enabled()
        and x.ndim in (4, 5)
        and type(layer) in (nn.Conv2d, nn.Conv3d)
        and layer.weight.dtype == torch.float32
        and _is_plain(x)
        and _has_fused()
    )


@cache
def _has_fused() -> bool:
    """Try the call, which torch's compiler uses and does not promise to others."""
    x, weight = torch.ones(1, 1, 3, 3), torch.full((2, 1, 2, 2), 1.0)
    weight[1] = -1.0
    try:
        with torch.no_grad():
            found = torch.ops.mkldnn._convolution_pointwise(
                x, weight, None, (0, 0), (1, 1), (1, 1), 1, "relu", [], ""
            )
    except (AttributeError, RuntimeError, TypeError):
        return False
    return bool(torch.equal(found, torch.relu(F.conv2d(x, weight))))


def has_hooks(layer) -> bool:
    """Tell whether calling a layer does more than its forward, as make its weight (weight_norm)."""
    return bool(layer._forward_pre_hooks or layer._forward_hooks)


def _asks_for_onednn(x) -> bool:
    return len(x) == 1 and _is_plain(x)


def _is_plain(x) -> bool:
    """Tell whether a map is one of float32 on the CPU, which oneDNN may be given directly."""
    return (
        type(x) is torch.Tensor  # none of those by which torch.export follows a network
        and x.device.type == "cpu"
        and x.dtype == torch.float32
        and torch.backends.mkldnn.is_available()
        and getattr(torch.backends.mkldnn, "enabled", True)
        and not torch.is_autocast_enabled("cpu")
        and not torch.jit.is_tracing()
        and not torch.compiler.is_compiling()
    )


def _each(value, n) -> tuple[int, ...]:
    return (value,) * n if isinstance(value, int) else tuple(value)
