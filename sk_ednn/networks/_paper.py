"""The networks of the paper, and a convolutional network without padding."""

from __future__ import annotations

from math import prod

from torch import nn

from ..exceptions import TileModelError

_CONVOLUTION = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_PAD = {1: nn.ConstantPad1d, 2: nn.ConstantPad2d, 3: nn.ConstantPad3d}
ACTIVATIONS = {
    "relu": nn.ReLU, "silu": nn.SiLU, "gelu": nn.GELU, "softplus": nn.Softplus, "tanh": nn.Tanh,
}  # fmt: skip

# (filters, kernel, stride, repetitions) of the paper's convolutional network, Table 1.
_PAPER = ((64, 3, 2, 2), (16, 4, 1, 6), (64, 3, 2, 1), (32, 3, 1, 4))
_HIDDEN = 1024
_MIN_SITES = 16  # along an axis of a tile, for the network without padding


class PaperDenseNet(nn.Sequential):
    """The fully connected network of the paper's Ising models.

    A tile of n sites has n inputs, followed by 32 n, 64 and 64 hidden units with ReLU and a linear
    output.

    Parameters
    ----------
    tile_shape : tuple of int
        Shape of the window. `EDNNRegressor` sets it.
    n_channels : int, default=1
        Set by `EDNNRegressor`.
    n_outputs : int, default=1
        Set by `EDNNRegressor`.

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


class PaperCNN(nn.Sequential):
    """The convolutional network of the paper's sheets.

    It has 13 convolutions (2 with 64 filters 3 x 3 and stride 2, 6 with 16 filters 4 x 4, one with
    64 filters 3 x 3 and stride 2, 4 with 32 filters 3 x 3), each with ReLU, then 1,024 units and a
    linear output. Every convolution is zero-padded so that only strides reduce the size of the map;
    odd padding goes to the end of the axis. Because tiles see these zeros and whole fields do not,
    there is no exact dense form. `ValidCNN` is a similar network that has one.

    Parameters
    ----------
    tile_shape : tuple of int
        Shape of the window, with one to three axes. `EDNNRegressor` sets it.
    n_channels : int, default=1
        Set by `EDNNRegressor`.
    n_outputs : int, default=1
        Set by `EDNNRegressor`.
    activation : {"relu", "silu", "gelu", "softplus", "tanh"}, default="relu"
        A smooth activation gives smooth forces.

    References
    ----------
    K. Mills et al., Chem. Sci. 2019, 10, 4129, Table 1.

    Examples
    --------
    >>> from sk_ednn.networks import PaperCNN
    >>> sum(p.numel() for p in PaperCNN((128, 128)).parameters())
    8520673
    """

    def __init__(self, tile_shape, n_channels=1, n_outputs=1, *, activation="relu"):
        ndim, sizes = _check_window(tile_shape), list(tile_shape)
        layers: list[nn.Module] = []
        width = n_channels
        for filters, kernel, stride, repeat in _PAPER:
            for _ in range(repeat):
                before_after = []
                for size in reversed(sizes):  # torch pads the last axis first
                    missing = max((-(-size // stride) - 1) * stride + kernel - size, 0)
                    before_after += [missing // 2, missing - missing // 2]
                layers += [
                    _PAD[ndim](before_after, 0.0),
                    _CONVOLUTION[ndim](width, filters, kernel, stride),
                    _activation(activation),
                ]
                sizes = [-(-size // stride) for size in sizes]
                width = filters
        super().__init__(*layers, *_head(width * prod(sizes), n_outputs, activation))
        initialise_summed(self)


class ValidCNN(nn.Sequential):
    """The paper's convolutional network without padding, with an exact dense form.

    It has as many of the layers of `PaperCNN` as fit in the tile without padding: three with stride
    2, if the focus allows it (every total stride must divide the focus, so that all tiles are
    treated alike), and as many with stride 1 as leave at least one position. For tiles of 128 sites
    and a focus of 64 these are 11 convolutions.

    Parameters
    ----------
    tile_shape : tuple of int
        Shape of the window, with one to three axes of at least 16 sites. `EDNNRegressor` sets it.
    focus : tuple of int
        Set by `EDNNRegressor`.
    n_channels : int, default=1
        Set by `EDNNRegressor`.
    n_outputs : int, default=1
        Set by `EDNNRegressor`.
    activation : {"relu", "silu", "gelu", "softplus", "tanh"}, default="relu"
        A smooth activation gives smooth forces.
    layers : sequence of (filters, kernel, stride), default=None
        Convolutions to use instead of those of the paper, with equal kernels along all axes.
    hidden : int, default=1024
        Units between the last convolution and the output.

    Raises
    ------
    TileModelError
        If one of `layers` does not fit in the tile, or if its stride does not divide the focus.

    Examples
    --------
    >>> from sk_ednn import GridTiling
    >>> from sk_ednn.networks import ValidCNN, as_convolution
    >>> net = ValidCNN((128, 128), focus=(64, 64))
    >>> sum(layer.weight.ndim == 4 for layer in net if hasattr(layer, "weight"))
    11
    >>> sum(p.numel() for p in net.parameters())
    156609
    >>> dense = as_convolution(net, GridTiling(focus=64, context=32), (128, 128))
    >>> round(dense.tiled_work / dense.dense_work, 1)  # times fewer multiplications
    3.0
    """

    def __init__(
        self,
        tile_shape,
        focus,
        n_channels=1,
        n_outputs=1,
        *,
        activation="relu",
        layers=None,
        hidden=_HIDDEN,
    ):
        ndim = _check_window(tile_shape)
        window, focus = tuple(tile_shape), tuple(focus)
        if layers is None:
            if min(window) < _MIN_SITES:
                raise TileModelError(
                    f"ValidCNN needs tiles of at least {_MIN_SITES} sites along each axis, got "
                    f"{window}. Increase the focus or the context, pass `layers`, or use "
                    "PaperDenseNet."
                )
            plan = _fitted(window, focus)
        else:
            plan = [(filters, kernel, (stride,) * ndim) for filters, kernel, stride in layers]
        parts: list[nn.Module] = []
        n_in, sizes = n_channels, list(window)
        for number, (filters, kernel, strides) in enumerate(plan):
            sizes = _sizes(sizes, kernel, strides)
            if min(sizes) < 1:
                raise TileModelError(
                    f"Layer {number} (kernel {kernel}) does not fit in tiles of {window}, which "
                    f"need at least {_least_window(plan)} sites along each axis. Increase the "
                    "focus or the context."
                )
            total = [prod(p[2][axis] for p in plan[: number + 1]) for axis in range(ndim)]
            if any(f % t for f, t in zip(focus, total, strict=True)):
                raise TileModelError(
                    f"Layer {number} makes a total stride of {tuple(total)}, which does not divide "
                    f"the focus {focus}, so that tiles would not be treated alike. Change the "
                    "strides or the focus."
                )
            parts += [_CONVOLUTION[ndim](n_in, filters, kernel, strides), _activation(activation)]
            n_in = filters
        super().__init__(*parts, *_head(n_in * prod(sizes), n_outputs, activation, hidden))
        initialise_summed(self)


def initialise_summed(module: nn.Module) -> nn.Module:
    """Initialise a network so that sums of its outputs are learned from the first epoch on.

    Weights are drawn as by Kaiming He, which preserves the spread of values through many layers
    with ReLU, biases are 0, and the weights of the last layer are divided by 10. With torch's
    default initialisation, sums over deep networks remained constant for tens of epochs. The
    module is modified in place and returned.

    References
    ----------
    K. He et al., Delving deep into rectifiers, ICCV 2015, eq. 10.
    """
    layers = [
        layer
        for layer in module.modules()
        if isinstance(layer, (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d))
    ]
    for layer in layers:
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    if layers:
        layers[-1].weight.data *= 0.1
    return module


def _check_window(tile_shape) -> int:
    if not 1 <= len(tile_shape) <= 3:
        raise TileModelError(
            f"Convolutions have 1 to 3 dimensions, got tiles of shape {tuple(tile_shape)}."
        )
    return len(tile_shape)


def _activation(name) -> nn.Module:
    if name not in ACTIVATIONS:
        raise TileModelError(f"activation must be one of {sorted(ACTIVATIONS)}, got {name!r}.")
    kind = ACTIVATIONS[name]
    # In place if possible, which halves memory and memory traffic.
    return kind(inplace=True) if kind in (nn.ReLU, nn.SiLU) else kind()


def _head(n_features, n_outputs, activation, hidden=_HIDDEN) -> list[nn.Module]:
    return [
        nn.Flatten(),
        nn.Linear(n_features, hidden),
        _activation(activation),
        nn.Linear(hidden, n_outputs),
    ]


def _sizes(sizes, kernel, strides) -> list[int]:
    return [(size - kernel) // stride + 1 for size, stride in zip(sizes, strides, strict=True)]


def _least_window(plan) -> int:
    """Return the number of sites along an axis that leave one position after all layers."""
    least = 1
    for _, kernel, strides in reversed(plan):
        least = (least - 1) * max(strides) + kernel
    return least


def _fitted(window, focus) -> list[tuple[int, int, tuple[int, ...]]]:
    """Return (filters, kernel, strides) of as many layers as fit."""
    (_, _, _, max_wide), (_, _, _, max_small) = _PAPER[1], _PAPER[3]
    candidates = [
        _stacked((_PAPER[0][3], wide, _PAPER[2][3], small), window, focus)
        for small in range(max_small, -1, -1)
        for wide in range(max_wide + 1)
    ]
    return max((layers for layers, sizes in candidates if min(sizes) >= 1), key=len)


def _stacked(repeats, window, focus):
    """Return the layers for a number of repetitions of each kind, and the size of the last map."""
    sizes, remaining = list(window), list(focus)
    layers = []
    for (filters, kernel, stride, _), repeat in zip(_PAPER, repeats, strict=True):
        for _ in range(repeat):
            strides = [stride if f % stride == 0 else 1 for f in remaining]
            remaining = [f // s for f, s in zip(remaining, strides, strict=True)]
            sizes = _sizes(sizes, kernel, strides)
            layers.append((filters, kernel, tuple(strides)))
    return layers, sizes
