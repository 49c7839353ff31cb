"""The steps of a traced tile network in its dense form.

A value of the network is, for one tile, a window of the corresponding value for the whole field,
at ``i * focus / stride`` for tile i. The planner runs the network on a tile and records for each
step the stride, and the function that replaces the step in the dense form.
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
from . import _layer_kinds as kinds
from ._convolve import Convolution, convolve, has_hooks
from ._dense_run import every

_AVERAGE = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


class NotConvolutional(TileModelError):
    """Raised if a network has no exact dense form; the message names the layer and the reason."""

    __module__ = "sk_ednn.networks"


@dataclass(frozen=True)
class Layer:
    """A value of the network: its shape for one tile and its stride in the dense form.

    Attributes
    ----------
    shape : tuple of int
        Shape for one tile, (n_channels, *window).
    stride : tuple of int
        Sites of the field between adjacent elements.
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
        """True if it is flat with a window of one element, so that features are channels."""
        return self.flat and prod(self.window) == 1


class Planner(fx.Interpreter):
    """Run a network on one tile and derive each step of its dense form.

    Attributes
    ----------
    layers : dict of str to Layer
        The value of each node.
    steps : dict of str to callable
        Functions that replace nodes in the dense form.
    work : dict of str to (int, int)
        Multiplications per tile of each node, in the dense form and for a separate tile.
    calls : dict of str to (callable, int, int)
        Nodes that can run on strips, with kernel and stride along the first axis.
    """

    def __init__(self, traced, focus, training):
        super().__init__(traced, garbage_collect_values=False)
        self.extra_traceback = False  # the message already names the layer
        self.focus, self.training = focus, training
        self.layers: dict[str, Layer] = {}
        self.steps: dict[str, Any] = {}
        self.work: dict[str, tuple[int, int]] = {}
        self.calls: dict[str, tuple[Any, int, int]] = {}

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
                self._reject(node, f"returns shape {tuple(value.shape[1:])}, not {expected}")
        return value

    def numbers_per_tile(self, cut) -> dict[str, int]:
        """Return the numbers per tile in each value of the dense form."""
        sizes, by_tile = {}, False
        for name, layer in self.layers.items():
            n_positions = prod(layer.window) if by_tile else self._positions_per_tile(layer)
            sizes[name] = layer.shape[0] * n_positions
            if cut is not None and name == cut.name:
                sizes[name], by_tile = max(sizes[name], prod(layer.shape)), True
        return sizes

    def _positions_per_tile(self, layer) -> int:
        """Return the number of positions of a value's map per focus."""
        return prod(f // s for f, s in zip(self.focus, layer.stride, strict=True))

    def _count(self, node, layer, n_weights) -> None:
        dense = n_weights * self._positions_per_tile(layer)
        self.work[node.name] = dense, n_weights * prod(layer.window)

    # --- kinds of node ----------------------------------------------------------------------

    def _input(self, node, value):
        if self.layers:
            self._reject(node, "is a second input, but a tile network has one")
        return Layer(tuple(value.shape[1:]), (1,) * (value.ndim - 2))

    def _output(self, node, value):
        inner = node.args[0]
        layer = self.layers.get(getattr(inner, "name", ""))
        if layer is None or not layer.is_vector:
            self._reject(node, "must be one row of outputs per tile")
        step = tuple(f // s for f, s in zip(self.focus, layer.stride, strict=True))
        self.steps[node.name] = lambda x: every(x, step)

    def _module(self, node, value):
        module = self.fetch_attr(node.target)
        layer = self._only_input(node)
        if isinstance(module, kinds.CONVOLUTIONS):
            self._reject_padding(node, module)
            out = self._strided(node, layer, value, module.stride)
            self._count(node, out, module.weight.numel())
            self._along(node, module)
            self.steps[node.name] = self.calls[node.name][0]
            return out
        if isinstance(module, kinds.POOLS):
            self._reject_padding(node, module)
            if getattr(module, "ceil_mode", False):
                self._reject(node, "rounds its output up (ceil_mode), which pads")
            self._along(node, module)
            return self._strided(node, layer, value, module.stride)
        if isinstance(module, kinds.GLOBAL_POOLS):
            if any(size not in (1, None) for size in _tuple(module.output_size, 1)):
                self._reject(node, "adapts to the size of its input; only size 1 has a dense form")
            return self._average(node, layer)
        if isinstance(module, nn.Flatten):
            if module.start_dim != 1 or module.end_dim not in (-1, value.ndim):
                self._reject(node, "must flatten all but the first axis")
            return self._flattened(node, layer)
        if isinstance(module, nn.Linear):
            return self._linear(node, layer, module)
        if isinstance(module, kinds.BATCH_NORMS):
            if self.training:
                self._reject(node, "mixes samples while training; call eval() first")
            if layer.flat and not layer.is_vector:
                self._reject(node, "normalises positions of a tile separately")
            self.steps[node.name] = lambda x: F.batch_norm(
                x, module.running_mean, module.running_var, module.weight, module.bias,
                False, 0.0, module.eps,
            )  # fmt: skip
            return layer
        if isinstance(module, nn.LayerNorm):
            return self._layer_norm(node, layer, module)
        if isinstance(module, kinds.DROPOUTS):
            if self.training and module.p > 0:
                self._reject(node, "draws different numbers for every tile while training")
            return layer
        if isinstance(module, kinds.POINTWISE):
            self.calls[node.name] = module, 1, 1
            return layer
        if "Pad" in type(module).__name__:
            self._reject(node, "pads its input, at the edges of a tile but not within a field")
        return self._reject(node, "is not supported in a dense form")

    def _function(self, node, value):
        if node.target is getattr:
            return None
        if node.target is operator.getitem:
            layer = self.layers.get(getattr(node.args[0], "name", ""))
            return None if layer is None else self._crop(node, layer, value)
        if node.target is torch.flatten:
            start = node.kwargs.get("start_dim", node.args[1] if len(node.args) > 1 else 0)
            if start != 1:
                self._reject(node, "must flatten all but the first axis")
            return self._flattened(node, self._only_input(node))
        if node.target is torch.cat or node.target is torch.concat:
            return self._concatenate(node, value)
        if node.target in kinds.BINARY:
            return self._binary(node)
        if node.target in kinds.POINTWISE_FUNCTIONS:
            return self._only_input(node)
        if node.target in {F.dropout}:
            if node.kwargs.get("training", True):
                self._reject(node, "draws different numbers for every tile while training")
            return self._only_input(node)
        if not isinstance(value, torch.Tensor):
            return None
        return self._reject(node, "is not supported in a dense form")

    def _method(self, node, value):
        if not isinstance(value, torch.Tensor):
            return None  # for example x.size(0)
        layer = self._only_input(node)
        if node.target in {"flatten", "view", "reshape"}:
            if value.ndim != 2 or len(value) != 2 or value.shape[1] != prod(layer.shape):
                self._reject(node, "must flatten all but the first axis")
            return self._flattened(node, layer)
        if node.target == "mean":
            axes = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else None)
            axes = {a % (len(layer.shape) + 1) for a in _tuple(axes, 1)} if axes else set()
            if layer.flat or axes != set(range(2, len(layer.shape) + 1)):
                self._reject(node, "must average over all positions of a tile, and nothing else")
            keep = node.kwargs.get("keepdim", node.args[2] if len(node.args) > 2 else False)
            averaged = self._average(node, layer)
            return averaged if keep else Layer(averaged.shape, averaged.stride, True)
        if node.target in kinds.POINTWISE_METHODS:
            return layer
        return self._reject(node, "is not supported in a dense form")

    # --- kinds of layer ---------------------------------------------------------------------

    def _strided(self, node, layer, value, stride):
        if layer.flat:
            self._reject(node, "comes after the tile was flattened")
        steps = _tuple(stride, len(layer.stride))
        total = tuple(s * t for s, t in zip(layer.stride, steps, strict=True))
        if any(f % s for f, s in zip(self.focus, total, strict=True)):
            self._reject(
                node,
                f"makes a total stride of {total}, which does not divide the focus {self.focus}",
            )
        return Layer(tuple(value.shape[1:]), total)

    def _average(self, node, layer):
        step = tuple(f // s for f, s in zip(self.focus, layer.stride, strict=True))
        average, window = _AVERAGE[len(layer.window)], layer.window
        self.steps[node.name] = lambda x, *args, **kwargs: average(x, window, step)
        return Layer((layer.shape[0], *(1 for _ in window)), self.focus)

    def _flattened(self, node, layer):
        # The map is not changed; the Linear that follows combines the window.
        self.steps[node.name] = lambda x, *args, **kwargs: x
        return Layer(layer.shape, layer.stride, True)

    def _linear(self, node, layer, module):
        if not layer.flat:
            self._reject(node, "acts on the last axis of a map; add a Flatten before it")
        step = tuple(f // s for f, s in zip(self.focus, layer.stride, strict=True))
        shape = layer.shape
        if layer.is_vector:
            # A matrix product over positions is faster than a convolution with a kernel of 1.
            self.steps[node.name] = lambda x: module(every(x, step).movedim(1, -1)).movedim(-1, 1)
        else:
            if has_hooks(module):
                self._reject(
                    node,
                    "has hooks, which are ignored by a convolution with its weight. Replace "
                    "weight_norm and spectral_norm by those of torch.nn.utils.parametrizations",
                )
            self.steps[node.name] = lambda x: convolve(
                x, module.weight.reshape(-1, *shape), module.bias, step
            )
        out = Layer((module.out_features, *(1 for _ in layer.window)), self.focus, True)
        self._count(node, out, module.weight.numel())
        return out

    def _layer_norm(self, node, layer, module):
        if not layer.is_vector:
            self._reject(node, "normalises over positions of a tile")
        step = tuple(f // s for f, s in zip(self.focus, layer.stride, strict=True))
        self.steps[node.name] = lambda x: module(every(x, step).movedim(1, -1)).movedim(-1, 1)
        return Layer(layer.shape, self.focus, True)

    def _crop(self, node, layer, value):
        index = node.args[1] if isinstance(node.args[1], tuple) else (node.args[1],)
        index = (*index, *[slice(None)] * (value.ndim - len(index)))
        if layer.flat or any(
            not isinstance(part, slice) or part.step not in (None, 1) for part in index
        ):
            self._reject(node, "picks positions of a tile; only cropping has a dense form")
        if index[0] != slice(None) or index[1] != slice(None):
            self._reject(node, "picks samples or channels")
        cut = [slice(None), slice(None)]
        for part, length in zip(index[2:], layer.window, strict=True):
            start, stop, _ = part.indices(length)
            # Counted from both ends, because the map of a field is longer than that of a tile.
            cut.append(slice(start, stop - length or None))
        self.steps[node.name] = lambda x, _: x[tuple(cut)]
        return Layer(tuple(value.shape[1:]), layer.stride)

    def _concatenate(self, node, value):
        layers = [self.layers.get(getattr(arg, "name", "")) for arg in node.args[0]]
        axis = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else 0)
        first = layers[0]
        if axis != 1 or any(
            layer is None or layer.flat != first.flat or layer.stride != first.stride
            or layer.window != first.window or (layer.flat and not layer.is_vector)
            for layer in layers
        ):  # fmt: skip
            self._reject(node, "must join channels of maps of equal stride and size")
        channels = sum(layer.shape[0] for layer in layers)
        return Layer((channels, *first.window), first.stride, first.flat)

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
            self._reject(node, "combines a map with a constant array")
        if not layers:
            return None
        if any((x.stride, x.window, x.flat) != (layers[0].stride, layers[0].window, layers[0].flat)
               for x in layers[1:]):  # fmt: skip
            self._reject(node, "combines maps of different strides or sizes")
        return max(layers, key=lambda layer: layer.shape[0])

    def _along(self, node, module):
        """Record the kernel and the stride of a layer along the first axis of the field."""
        kernel, stride, dilation = (
            _tuple(along, 1)[0]
            for along in (module.kernel_size, module.stride, getattr(module, "dilation", 1))
        )
        call = Convolution(module) if isinstance(module, kinds.CONVOLUTIONS) else module
        self.calls[node.name] = call, (kernel - 1) * dilation + 1, stride

    # --- helpers ----------------------------------------------------------------------------

    def _only_input(self, node):
        names = [arg.name for arg in node.all_input_nodes if arg.name in self.layers]
        if len(names) != 1:
            self._reject(node, "must take one map")
        return self.layers[names[0]]

    def _reject_padding(self, node, module):
        padding = module.padding
        if padding == "valid" or (padding != "same" and not any(_tuple(padding, 1))):
            return
        self._reject(
            node,
            f"pads its input (padding={padding!r}), at the edges of a tile but not within a field",
        )

    def _name(self, node):
        if node.op == "call_module":
            return f"Layer {node.target!r} ({type(self.fetch_attr(node.target)).__name__})"
        target = getattr(node.target, "__name__", node.target)
        return f"Step {node.name!r} ({target})"

    def _reject(self, node, reason):
        raise NotConvolutional(f"No exact dense form: {self._name(node)} {reason}.")


def _tuple(value, n):
    return tuple(value) if isinstance(value, (tuple, list, torch.Size)) else (value,) * n
