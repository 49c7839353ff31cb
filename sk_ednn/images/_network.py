"""The network of a tile, and how it becomes a tile model of the package."""

from __future__ import annotations

import numpy as np
import torch
from skorch import NeuralNetRegressor
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ..estimators import EDNNRegressor
from ..networks import NetworkTileModel, Standardization

# (kernel, stride, channels) of each layer. A window of 32 pixels gives one output, and four more
# pixels another. The first layer is the dearest, and strides: that halves the time of training,
# and errors do not grow.
_LAYERS = ((5, 2, 24), (3, 1, 32), (3, 2, 48), (3, 1, 48), (3, 1, 48))
NORMS = (nn.BatchNorm2d, nn.BatchNorm3d)
# Layers that see the neighbouring planes of a stack.
_ACROSS_PLANES = (1, 3)
# What a contribution is, in the units of the network, where the picture has its mean density: low
# enough that softplus is nearly an exponential, which leaves empty ground at nothing.
MEAN_OUTPUT = 0.05
# Steps over which the statistics of normalisations are averaged, and the first weights of the head:
# a training starts from contributions that are nearly equal everywhere.
_STATISTICS_STEPS, _HEAD_SPREAD = 20, 0.1


def tile_network(
    n_channels, n_outputs, geometry, positive, contrast_only=False, width=1.0
) -> nn.Sequential:
    """Return a network of tiles (n, n_channels, *window) to (n, n_outputs), without padding.

    It is normalised by batches, for training; `folded` returns it without.

    Parameters
    ----------
    n_channels, n_outputs : int
    geometry : Geometry
    positive : bool
        Whether a softplus follows, for which the last bias is set.
    contrast_only : bool, default=False
        Whether the first layer starts without a response to the level of its input.
    width : float, default=1.0
        Factor of the number of channels of all layers.
    """
    flat = geometry.n_axes == 2
    conv, pool = (nn.Conv2d, nn.AvgPool2d) if flat else (nn.Conv3d, nn.AvgPool3d)
    norm = nn.BatchNorm2d if flat else nn.BatchNorm3d
    layers: list[nn.Module] = []
    if geometry.reduction > 1:
        size = (geometry.reduction,) * 2
        layers.append(pool(size if flat else (1, *size)))
    last = n_channels
    for k, (kernel, stride, channels) in enumerate(_LAYERS):
        wide = max(4, round(width * channels))
        deep = 3 if k in _ACROSS_PLANES else 1
        sizes = (kernel,) * 2 if flat else (deep, kernel, kernel)
        steps = (stride,) * 2 if flat else (1, stride, stride)
        layer = conv(last, wide, sizes, steps, bias=False)
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        if contrast_only and k == 0:
            remove_level(layer)
        layers += [layer, norm(wide, momentum=1 / _STATISTICS_STEPS), nn.SiLU()]
        last = wide
    head = conv(last, n_outputs, 1)
    nn.init.normal_(head.weight, std=_HEAD_SPREAD / np.sqrt(last))
    nn.init.zeros_(head.bias)
    if positive:
        nn.init.constant_(head.bias, float(np.log(np.expm1(MEAN_OUTPUT))))
    return nn.Sequential(*layers, head, nn.Flatten())


def remove_level(layer):
    """Subtract its mean from each kernel of a convolution.

    A constant that is added to a channel then changes nothing.
    """
    with torch.no_grad():
        layer.weight -= (
            layer.weight.flatten(2)
            .mean(2)
            .reshape(*layer.weight.shape[:2], *(1,) * (layer.weight.ndim - 2))
        )


def folded(module) -> nn.Sequential:
    """Return a trained network whose convolutions contain the normalisations that follow them."""
    layers: list[nn.Module] = []
    for layer in module.eval():
        if isinstance(layer, NORMS):
            layers[-1] = fuse_conv_bn_eval(layers[-1], layer)
        else:
            layers.append(layer)
    return nn.Sequential(*layers)


def as_regressor(module, geometry, standardization, scale, positive, n_channels, y_ndim, seen):
    """Return a trained network as a fitted `EDNNRegressor`.

    Parameters
    ----------
    module : nn.Module
    geometry : Geometry
    standardization : pair of ndarray of shape (n_channels,)
        Mean and scale of each channel.
    scale : ndarray of shape (n_outputs,)
        Units of the outputs.
    positive : bool
    n_channels, y_ndim : int
    seen : ndarray of shape (n_channels, 3)
        The range of the pixels.
    """
    tiling = geometry.tiling()
    module = folded(module).to(memory_format=torch.contiguous_format)
    net = NeuralNetRegressor(module, train_split=None, verbose=0, callbacks=()).initialize()
    window = tuple(f + 2 * c for f, c in zip(geometry.focus, geometry.context, strict=True))
    tile_model = NetworkTileModel(
        estimator=net,
        tile_shape=(*window, n_channels),
        n_outputs=len(scale),
        has_channels=True,
        scale=np.asarray(scale, dtype=np.float64),
        positive=positive,
        standardization=Standardization(*standardization),
    )
    # The net itself, so that a file has its weights once.
    regressor = EDNNRegressor(net, tiling, baseline=None)
    regressor._of_parts([tile_model], [tiling], y_ndim, geometry.n_axes + 1)
    regressor.input_range_ = seen
    return regressor
