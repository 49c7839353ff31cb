"""The networks of the paper, and the sibling of its convolutional one that needs no padding."""

from __future__ import annotations

from math import prod

from torch import nn

from ..exceptions import TileModelError

_CONVOLUTION = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_PAD = {1: nn.ConstantPad1d, 2: nn.ConstantPad2d, 3: nn.ConstantPad3d}
ACTIVATIONS = {
    "relu": nn.ReLU, "silu": nn.SiLU, "gelu": nn.GELU, "softplus": nn.Softplus, "tanh": nn.Tanh,
}  # fmt: skip

# (filters, kernel, stride, how many) of the paper's convolutional network, Table 1.
_PAPER = ((64, 3, 2, 2), (16, 4, 1, 6), (64, 3, 2, 1), (32, 3, 1, 4))
_HIDDEN = 1024
_LEAST_TILE = 16  # sites along an axis, for the network without padding


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


class PaperCNN(nn.Sequential):
    """The convolutional network of the paper's sheets.

    13 convolutions (2 of 64 filters 3 x 3 with stride 2, 6 of 16 filters 4 x 4, one of 64 filters
    3 x 3 with stride 2, 4 of 32 filters 3 x 3), each with ReLU, then 1,024 units and a linear
    output. Every convolution pads with zeros so that strides alone make the map smaller, and
    what is missing goes behind the map where it does not go evenly. Tiles see those zeros and
    whole fields do not, so there is no exact dense form: `ValidCNN` is its sibling that has one.

    Parameters
    ----------
    tile_shape : tuple of int
        Shape of the window, one to three axes; filled in by `EDNNRegressor`.
    n_channels : int, default=1
        Filled in by `EDNNRegressor`.
    n_outputs : int, default=1
        Filled in by `EDNNRegressor`.
    activation : {"relu", "silu", "gelu", "softplus", "tanh"}, default="relu"
        A smooth one makes smooth forces.

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
    """The paper's convolutional network without its padding, so that its dense form is exact.

    The layers of `PaperCNN`, as many of them as fit into the tile without padding: three with
    stride 2 where the focus allows it (every total stride must divide the focus, so that all tiles
    are treated alike), and as many of those with stride 1 as leave at least one place. At a tile
    of 128 sites and a focus of 64 these are 11 convolutions.

    Parameters
    ----------
    tile_shape : tuple of int
        Shape of the window, one to three axes of at least 16 sites; filled in by `EDNNRegressor`.
    focus : tuple of int
        Filled in by `EDNNRegressor`.
    n_channels : int, default=1
        Filled in by `EDNNRegressor`.
    n_outputs : int, default=1
        Filled in by `EDNNRegressor`.
    activation : {"relu", "silu", "gelu", "softplus", "tanh"}, default="relu"
        A smooth one makes smooth forces.
    layers : sequence of (filters, kernel, stride), default=None
        Convolutions of one's own, of equal sides, instead of the paper's.
    hidden : int, default=1024
        Units between the last convolution and the output.

    Raises
    ------
    TileModelError
        Naming the layer, where one of one's own does not fit into the tile or its stride does not
        divide the focus.

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
            if min(window) < _LEAST_TILE:
                raise TileModelError(
                    f"ValidCNN needs tiles of at least {_LEAST_TILE} sites along each axis, got "
                    f"{window}: widen the focus or the context, give `layers` of your own, or take "
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
                    f"Layer {number} (kernel {kernel}) does not fit: tiles of {window} are too "
                    f"small, they need at least {_least_window(plan)} sites along each axis. Widen "
                    "the focus or the context."
                )
            total = [prod(p[2][axis] for p in plan[: number + 1]) for axis in range(ndim)]
            if any(f % t for f, t in zip(focus, total, strict=True)):
                raise TileModelError(
                    f"Layer {number} makes a total stride of {tuple(total)}, which does not divide "
                    f"the focus {focus}: tiles would not be treated alike."
                )
            parts += [_CONVOLUTION[ndim](n_in, filters, kernel, strides), _activation(activation)]
            n_in = filters
        super().__init__(*parts, *_head(n_in * prod(sizes), n_outputs, activation, hidden))
        initialise_summed(self)


def initialise_summed(module: nn.Module) -> nn.Module:
    """Initialise a network so that a sum over its outputs learns from the first epoch.

    Kaiming's weights, which keep the spread of what passes through many layers with ReLU, no
    biases, and a last layer a tenth as large. With torch's own initialisation, sums over deep
    networks were seen to stay constant for tens of epochs. Returns the same module.

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
        raise TileModelError(f"Convolutions have 1 to 3 dimensions, tiles {tuple(tile_shape)}.")
    return len(tile_shape)


def _activation(name) -> nn.Module:
    if name not in ACTIVATIONS:
        raise TileModelError(f"activation must be one of {sorted(ACTIVATIONS)}, got {name!r}.")
    kind = ACTIVATIONS[name]
    # In place where that can be: half the memory, and half the way through it.
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
    """Return the sites along an axis that leave one place behind all layers."""
    least = 1
    for _, kernel, strides in reversed(plan):
        least = (least - 1) * max(strides) + kernel
    return least


def _fitted(window, focus) -> list[tuple[int, int, tuple[int, ...]]]:
    """Return (filters, kernel, strides) of the layers that fit: as many as possible."""
    (_, _, _, most_wide), (_, _, _, most_small) = _PAPER[1], _PAPER[3]
    tried = [
        _stacked((_PAPER[0][3], wide, _PAPER[2][3], small), window, focus)
        for small in range(most_small, -1, -1)
        for wide in range(most_wide + 1)
    ]
    return max((layers for layers, sizes in tried if min(sizes) >= 1), key=len)


def _stacked(repeats, window, focus):
    """Return the layers for numbers of each kind, and the size of the last map."""
    sizes, left = list(window), list(focus)
    layers = []
    for (filters, kernel, stride, _), repeat in zip(_PAPER, repeats, strict=True):
        for _ in range(repeat):
            strides = [stride if f % stride == 0 else 1 for f in left]
            left = [f // s for f, s in zip(left, strides, strict=True)]
            sizes = _sizes(sizes, kernel, strides)
            layers.append((filters, kernel, tuple(strides)))
    return layers, sizes
