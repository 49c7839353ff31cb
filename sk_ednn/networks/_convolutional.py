"""The dense form of a tile network: the same contributions, no context computed twice.

Neighbouring tiles overlap, so a network that sees them one by one computes their common context
again for each. If it uses no padding, running its convolutions over the whole padded field gives
the same numbers: what a tile's layer holds is a window of what the field's layer holds, at ``i *
focus / stride`` for tile i. The first layer that sees the whole of a tile (Flatten and Linear, or
an average over all of it) becomes a convolution of that window, one step a tile.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional as F

from ..exceptions import TileModelError
from ._convolve import Convolution, convolve, has_hooks
from ._dense_run import dense_graph, every, find_cut, find_strips, tiles_of
from ._layout import plain_module

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_POOLS = (
    nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d,
)  # fmt: skip
_GLOBAL_POOLS = (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)
_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)
_POINTWISE = (
    nn.CELU, nn.ELU, nn.GELU, nn.Hardsigmoid, nn.Hardswish, nn.Hardtanh, nn.Identity, nn.LeakyReLU,
    nn.LogSigmoid, nn.Mish, nn.PReLU, nn.ReLU, nn.ReLU6, nn.SELU, nn.SiLU, nn.Sigmoid, nn.Softplus,
    nn.Softsign, nn.Tanh, nn.Tanhshrink,
)  # fmt: skip
_POINTWISE_FUNCTIONS = {
    F.celu, F.elu, F.gelu, F.hardsigmoid, F.hardswish, F.hardtanh, F.leaky_relu, F.logsigmoid,
    F.mish, F.relu, F.relu6, F.selu, F.silu, F.softplus, F.softsign, F.tanhshrink,
    torch.abs, torch.cos, torch.exp, torch.log1p, torch.neg, torch.relu, torch.sigmoid, torch.sin,
    torch.square, torch.tanh, torch.sqrt, operator.neg, operator.pow, torch.pow,
}  # fmt: skip
_POINTWISE_METHODS = {"abs", "exp", "relu", "sigmoid", "tanh", "square", "neg", "sin", "cos", "pow"}
_BINARY = {
    operator.add, operator.sub, operator.mul, operator.truediv, operator.iadd, operator.imul,
    torch.add, torch.sub, torch.mul, torch.div,
}  # fmt: skip
# How far the dense form may be from the tiled one, relative to the largest contribution, where it
# is tried: rounding errors of float32, with room to spare.
_TOLERANCE = 1e-4
_AVERAGE = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


class NotConvolutional(TileModelError):
    """A network has no exact dense form; the message names the layer and the reason."""


@dataclass(frozen=True)
class _Layer:
    """What a value of the network is, for one tile, and where it is in the dense form.

    Attributes
    ----------
    shape : tuple of int
        Of one tile, (n_channels, *window).
    stride : tuple of int
        Sites of the field from one element to the next.
    flat : bool
        Whether the network has flattened it to (n_features,).
    """

    shape: tuple[int, ...]
    stride: tuple[int, ...]
    flat: bool = False

    @property
    def window(self):
        return self.shape[1:]

    @property
    def is_vector(self) -> bool:
        """Whether a tile has one place only, so that features are channels."""
        return self.flat and prod(self.window) == 1


class DenseForm(nn.Module):
    """A tile network as one pass over a padded field, sharing the network's weights.

    Made by `as_convolution`. Takes padded fields of shape ``(n, n_channels, *padded)``, each axis
    ``n_tiles * focus + 2 * context`` long, and returns contributions of shape ``(n, n_outputs,
    *tile_grid)``. Autograd goes through it to the weights and to the field.

    Attributes
    ----------
    module : torch.nn.Module
        The tile network itself.
    numbers_per_tile : int
        Numbers in the largest layer, for each tile of a large field.
    numbers_in_strips : int
        The same where no gradient is asked for, on the CPU: large maps of the first layers are
        then made strip by strip.
    held_per_tile : int
        Numbers in all layers, for each tile of a large field.
    dense_work, tiled_work : int
        Multiplications for each tile of a large field, and for each tile by itself.
    """

    def __init__(self, module, graph, planner):
        super().__init__()
        self.module = module
        nodes = list(graph.graph.nodes)
        work = planner.work
        self._cut = find_cut(nodes, planner.layers, work, planner.focus)
        self._strips = find_strips(nodes, planner.layers, planner.calls, self._cut)
        sizes = planner.numbers_per_tile(self._cut)
        self.numbers_per_tile, self.held_per_tile = max(sizes.values()), sum(sizes.values())
        inside = () if self._strips is None else self._strips.names[1:-1]
        self.numbers_in_strips = max(n for name, n in sizes.items() if name not in inside)
        self.tiled_work = sum(tiled for _, tiled in work.values())
        self.dense_work = sum(dense for dense, _ in work.values())
        if self._cut is not None:
            self.dense_work = self._cut.work
        self._whole = dense_graph(graph, planner.steps, self._cut)
        self._rest = None
        if self._strips is not None:
            self._rest = dense_graph(graph, planner.steps, self._cut, after=self._strips)

    def forward(self, fields):
        """Return the contributions of all tiles, (n, n_outputs, *tile_grid)."""
        if self._rest is None or torch.is_grad_enabled() or fields.device.type != "cpu":
            return self._whole(fields)
        first = self._strips.run(fields)
        return self._whole(fields) if first is None else self._rest(first)


def as_convolution(module, tiling, tile_shape) -> DenseForm:
    """Return the dense form of a tile network, where it has an exact one.

    Parameters
    ----------
    module : torch.nn.Module
        Traceable by `torch.fx`: layers and functions in any order, no branches that depend on
        values. In eval mode if it holds batch normalisation or dropout.
    tiling : GridTiling
        For its focus, context and whether there is a channel axis.
    tile_shape : tuple of int
        Shape of a tile, ``(*window[, n_channels])``.

    Returns
    -------
    DenseForm

    Raises
    ------
    NotConvolutional
        Naming the layer that forbids it: one that pads, whose stride does not divide the focus,
        that mixes samples, or that is not known.

    Examples
    --------
    >>> import torch
    >>> from sk_ednn import GridTiling
    >>> from sk_ednn.networks import as_convolution
    >>> net = torch.nn.Sequential(
    ...     torch.nn.Conv2d(1, 8, 3), torch.nn.SiLU(), torch.nn.Flatten(), torch.nn.Linear(512, 1)
    ... )
    >>> dense = as_convolution(net, GridTiling(focus=4, context=3), (10, 10))
    >>> dense(torch.zeros(1, 1, 40 + 6, 40 + 6)).shape  # 10 x 10 tiles
    torch.Size([1, 1, 10, 10])
    """
    has_channels = tiling.channel_axis is not None
    window = tuple(tile_shape[:-1] if has_channels else tile_shape)
    n_channels = tile_shape[-1] if has_channels else 1
    if len(window) > 3:
        raise NotConvolutional(f"torch convolves up to 3 dimensions, the tiles have {len(window)}.")
    focus = tiling.focus_shape(tile_shape)
    module = plain_module(module)
    try:
        traced = fx.symbolic_trace(module)
    except Exception as error:  # whatever a user's forward raises when it is traced
        raise NotConvolutional(
            f"{type(module).__name__} cannot be traced by torch.fx: {error}"
        ) from error
    planner = _Planner(traced, focus, module.training)
    example = next(iter(module.parameters()), torch.zeros(()))
    tile = torch.zeros(2, n_channels, *window, dtype=example.dtype, device=example.device)
    with torch.no_grad():
        planner.run(tile)
    dense = DenseForm(module, traced, planner)
    _compare(dense, n_channels, window, focus)
    return dense


def _compare(dense, n_channels, window, focus) -> None:
    """Try both forms on noise of two tiles along each axis."""
    module, training = dense.module, dense.module.training
    example = next(iter(module.parameters()), torch.zeros(()))
    shape = (1, n_channels, *(f + w for f, w in zip(focus, window, strict=True)))
    generator = torch.Generator().manual_seed(0)  # torch's own stays as it was
    noise = torch.rand(shape, generator=generator, dtype=torch.float64).to(example)
    try:
        with torch.no_grad():
            module.eval()
            by_tiles = tiles_of(noise, window, focus)
            tiled = module(by_tiles.reshape(-1, n_channels, *window))
            tiled = tiled.reshape(*by_tiles.shape[: 1 + len(focus)], -1).movedim(-1, 1)
            difference = float((dense(noise) - tiled).abs().max())
    finally:
        module.train(training)
    largest = float(tiled.abs().max())
    if not difference <= _TOLERANCE * max(largest, 1e-30):
        raise NotConvolutional(
            f"The dense form differs from the tiled one by {difference:.1e} where contributions "
            f"are up to {largest:.1e}: some layer looks at where it is in a tile."
        )


class _Planner(fx.Interpreter):
    """Run a network on one tile, and find out for each step what it is in the dense form."""

    def __init__(self, traced, focus, training):
        super().__init__(traced, garbage_collect_values=False)
        self.extra_traceback = False  # the message names the layer already
        self.focus, self.training = focus, training
        self.layers: dict[str, _Layer] = {}
        self.steps: dict[str, Any] = {}
        self.work: dict[str, tuple[int, int]] = {}  # in the dense form, and for a tile by itself
        self.calls: dict[str, tuple[Any, int, int]] = {}  # layers that strips may go through

    def run_node(self, node):
        try:
            value = super().run_node(node)
        except (RuntimeError, ValueError) as error:
            raise NotConvolutional(
                f"{self._name(node)} fails on a tile of this shape: {error}"
            ) from error
        handler = {
            "placeholder": self._input,
            "get_attr": lambda node, value: None,
            "call_module": self._module,
            "call_function": self._function,
            "call_method": self._method,
            "output": self._output,
        }[node.op]
        layer = handler(node, value)
        if layer is not None:
            self.layers[node.name] = layer
            expected = (prod(layer.shape),) if layer.flat else layer.shape
            if tuple(value.shape[1:]) != expected:
                self._refuse(node, f"gives shape {tuple(value.shape[1:])}, not {expected}")
        return value

    def numbers_per_tile(self, cut) -> dict[str, int]:
        """Return how many numbers each layer holds for each focus."""
        sizes, by_tile = {}, False
        for name, layer in self.layers.items():
            places = prod(layer.window) if by_tile else self._places(layer)
            sizes[name] = layer.shape[0] * places
            if cut is not None and name == cut.name:
                sizes[name], by_tile = max(sizes[name], prod(layer.shape)), True
        return sizes

    def _places(self, layer) -> int:
        """Return how many places of a layer there are for each focus."""
        return prod(f // s for f, s in zip(self.focus, layer.stride, strict=True))

    def _count(self, node, layer, per_place) -> None:
        self.work[node.name] = per_place * self._places(layer), per_place * prod(layer.window)

    # --- kinds of node ----------------------------------------------------------------------

    def _input(self, node, value):
        if self.layers:
            self._refuse(node, "is a second input; a tile network takes one")
        return _Layer(tuple(value.shape[1:]), (1,) * (value.ndim - 2))

    def _output(self, node, value):
        inner = node.args[0]
        layer = self.layers.get(getattr(inner, "name", ""))
        if layer is None or not layer.is_vector:
            self._refuse(node, "must be one row of outputs per tile")
        step = tuple(f // s for f, s in zip(self.focus, layer.stride, strict=True))
        self.steps[node.name] = lambda x: every(x, step)

    def _module(self, node, value):
        module = self.fetch_attr(node.target)
        layer = self._only_input(node)
        if isinstance(module, _CONVOLUTIONS):
            self._refuse_padding(node, module)
            out = self._strided(node, layer, value, module.stride)
            self._count(node, out, module.weight.numel())
            self._along(node, module)
            self.steps[node.name] = self.calls[node.name][0]
            return out
        if isinstance(module, _POOLS):
            self._refuse_padding(node, module)
            if getattr(module, "ceil_mode", False):
                self._refuse(node, "rounds its output up (ceil_mode), which pads")
            self._along(node, module)
            return self._strided(node, layer, value, module.stride)
        if isinstance(module, _GLOBAL_POOLS):
            if any(size not in (1, None) for size in _tuple(module.output_size, 1)):
                self._refuse(node, "adapts to the size of its input; only size 1 has a dense form")
            return self._average(node, layer)
        if isinstance(module, nn.Flatten):
            if module.start_dim != 1 or module.end_dim not in (-1, value.ndim):
                self._refuse(node, "must flatten all but the first axis")
            return self._flattened(node, layer)
        if isinstance(module, nn.Linear):
            return self._linear(node, layer, module)
        if isinstance(module, _BATCH_NORMS):
            if self.training:
                self._refuse(node, "mixes samples while training; call eval() first")
            if layer.flat and not layer.is_vector:
                self._refuse(node, "normalises places of a tile one by one")
            self.steps[node.name] = lambda x: F.batch_norm(
                x, module.running_mean, module.running_var, module.weight, module.bias,
                False, 0.0, module.eps,
            )  # fmt: skip
            return layer
        if isinstance(module, nn.LayerNorm):
            return self._layer_norm(node, layer, module)
        if isinstance(module, _DROPOUTS):
            if self.training and module.p > 0:
                self._refuse(node, "draws other numbers for every tile while training")
            return layer
        if isinstance(module, _POINTWISE):
            self.calls[node.name] = module, 1, 1
            return layer
        if "Pad" in type(module).__name__:
            self._refuse(node, "pads its input, which a tile sees and a field does not")
        return self._refuse(node, "has no known dense form")

    def _function(self, node, value):
        if node.target is getattr:
            return None
        if node.target is operator.getitem:
            layer = self.layers.get(getattr(node.args[0], "name", ""))
            return None if layer is None else self._crop(node, layer, value)
        if node.target is torch.flatten:
            start = node.kwargs.get("start_dim", node.args[1] if len(node.args) > 1 else 0)
            if start != 1:
                self._refuse(node, "must flatten all but the first axis")
            return self._flattened(node, self._only_input(node))
        if node.target is torch.cat or node.target is torch.concat:
            return self._concatenate(node, value)
        if node.target in _BINARY:
            return self._binary(node)
        if node.target in _POINTWISE_FUNCTIONS:
            return self._only_input(node)
        if node.target in {F.dropout}:
            if node.kwargs.get("training", True):
                self._refuse(node, "draws other numbers for every tile while training")
            return self._only_input(node)
        if not isinstance(value, torch.Tensor):
            return None
        return self._refuse(node, "has no known dense form")

    def _method(self, node, value):
        if not isinstance(value, torch.Tensor):
            return None  # x.size(0) and the like
        layer = self._only_input(node)
        if node.target in {"flatten", "view", "reshape"}:
            if value.ndim != 2 or len(value) != 2 or value.shape[1] != prod(layer.shape):
                self._refuse(node, "must flatten all but the first axis")
            return self._flattened(node, layer)
        if node.target == "mean":
            axes = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else None)
            axes = {a % (len(layer.shape) + 1) for a in _tuple(axes, 1)} if axes else set()
            if layer.flat or axes != set(range(2, len(layer.shape) + 1)):
                self._refuse(node, "must average over all places of a tile, and nothing else")
            keep = node.kwargs.get("keepdim", node.args[2] if len(node.args) > 2 else False)
            averaged = self._average(node, layer)
            return averaged if keep else _Layer(averaged.shape, averaged.stride, True)
        if node.target in _POINTWISE_METHODS:
            return layer
        return self._refuse(node, "has no known dense form")

    # --- what a layer becomes ---------------------------------------------------------------

    def _strided(self, node, layer, value, stride):
        if layer.flat:
            self._refuse(node, "comes after the tile was flattened")
        steps = _tuple(stride, len(layer.stride))
        total = tuple(s * t for s, t in zip(layer.stride, steps, strict=True))
        if any(f % s for f, s in zip(self.focus, total, strict=True)):
            self._refuse(
                node,
                f"makes a total stride of {total}, which does not divide the focus {self.focus}",
            )
        return _Layer(tuple(value.shape[1:]), total)

    def _average(self, node, layer):
        step = tuple(f // s for f, s in zip(self.focus, layer.stride, strict=True))
        average, window = _AVERAGE[len(layer.window)], layer.window
        self.steps[node.name] = lambda x, *args, **kwargs: average(x, window, step)
        return _Layer((layer.shape[0], *(1 for _ in window)), self.focus)

    def _flattened(self, node, layer):
        # Nothing happens to the map; the Linear that follows sees all of the window.
        self.steps[node.name] = lambda x, *args, **kwargs: x
        return _Layer(layer.shape, layer.stride, True)

    def _linear(self, node, layer, module):
        if not layer.flat:
            self._refuse(node, "acts on the last axis of a map; put a Flatten before it")
        step = tuple(f // s for f, s in zip(self.focus, layer.stride, strict=True))
        shape = layer.shape
        if layer.is_vector:
            # A matrix product over places: faster than a convolution of one place.
            self.steps[node.name] = lambda x: module(every(x, step).movedim(1, -1)).movedim(-1, 1)
        else:
            if has_hooks(module):
                self._refuse(
                    node,
                    "has hooks, which a convolution by its weight passes over. Instead of "
                    "weight_norm and spectral_norm take those of torch.nn.utils.parametrizations",
                )
            self.steps[node.name] = lambda x: convolve(
                x, module.weight.reshape(-1, *shape), module.bias, step
            )
        out = _Layer((module.out_features, *(1 for _ in layer.window)), self.focus, True)
        self._count(node, out, module.weight.numel())
        return out

    def _layer_norm(self, node, layer, module):
        if not layer.is_vector:
            self._refuse(node, "normalises over places of a tile")
        step = tuple(f // s for f, s in zip(self.focus, layer.stride, strict=True))
        self.steps[node.name] = lambda x: module(every(x, step).movedim(1, -1)).movedim(-1, 1)
        return _Layer(layer.shape, self.focus, True)

    def _crop(self, node, layer, value):
        index = node.args[1] if isinstance(node.args[1], tuple) else (node.args[1],)
        index = (*index, *[slice(None)] * (value.ndim - len(index)))
        if layer.flat or any(
            not isinstance(part, slice) or part.step not in (None, 1) for part in index
        ):
            self._refuse(node, "picks places of a tile; only cropping has a dense form")
        if index[0] != slice(None) or index[1] != slice(None):
            self._refuse(node, "picks samples or channels")
        cut = [slice(None), slice(None)]
        for part, length in zip(index[2:], layer.window, strict=True):
            start, stop, _ = part.indices(length)
            # From either end: the map of a field is longer than that of a tile.
            cut.append(slice(start, stop - length or None))
        self.steps[node.name] = lambda x, _: x[tuple(cut)]
        return _Layer(tuple(value.shape[1:]), layer.stride)

    def _concatenate(self, node, value):
        layers = [self.layers.get(getattr(arg, "name", "")) for arg in node.args[0]]
        axis = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else 0)
        first = layers[0]
        if axis != 1 or any(
            layer is None or layer.flat != first.flat or layer.stride != first.stride
            or layer.window != first.window or (layer.flat and not layer.is_vector)
            for layer in layers
        ):  # fmt: skip
            self._refuse(node, "must join channels of maps of one stride and size")
        channels = sum(layer.shape[0] for layer in layers)
        return _Layer((channels, *first.window), first.stride, first.flat)

    def _binary(self, node):
        layers = [
            self.layers[arg.name]
            for arg in node.args
            if isinstance(arg, fx.Node) and arg.name in self.layers
        ]
        others = [
            self.env[arg] for arg in node.args
            if isinstance(arg, fx.Node) and arg.name not in self.layers
        ]  # fmt: skip
        if any(isinstance(x, torch.Tensor) and x.numel() > 1 for x in others):
            self._refuse(node, "combines a map with a constant of its own shape")
        if not layers:
            return None
        if any((x.stride, x.window, x.flat) != (layers[0].stride, layers[0].window, layers[0].flat)
               for x in layers[1:]):  # fmt: skip
            self._refuse(node, "combines maps of different strides or sizes")
        return max(layers, key=lambda layer: layer.shape[0])

    def _along(self, node, module):
        """Note what a layer does along the first axis of the field."""
        kernel, stride, dilation = (
            _tuple(along, 1)[0]
            for along in (module.kernel_size, module.stride, getattr(module, "dilation", 1))
        )
        call = Convolution(module) if isinstance(module, _CONVOLUTIONS) else module
        self.calls[node.name] = call, (kernel - 1) * dilation + 1, stride

    # --- helpers ----------------------------------------------------------------------------

    def _only_input(self, node):
        names = [arg.name for arg in node.all_input_nodes if arg.name in self.layers]
        if len(names) != 1:
            self._refuse(node, "must take one map")
        return self.layers[names[0]]

    def _refuse_padding(self, node, module):
        padding = module.padding
        if padding == "valid" or (padding != "same" and not any(_tuple(padding, 1))):
            return
        self._refuse(
            node, f"pads its input (padding={padding!r}), which a tile sees and a field does not"
        )

    def _name(self, node):
        if node.op == "call_module":
            return f"Layer {node.target!r} ({type(self.fetch_attr(node.target)).__name__})"
        target = getattr(node.target, "__name__", node.target)
        return f"Step {node.name!r} ({target})"

    def _refuse(self, node, why):
        raise NotConvolutional(f"No exact dense form: {self._name(node)} {why}.")


def _tuple(value, n):
    return tuple(value) if isinstance(value, (tuple, list, torch.Size)) else (value,) * n
