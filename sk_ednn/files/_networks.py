"""Read and write networks: the names and parameters of layers, and their weights as arrays."""

from __future__ import annotations

import inspect
import warnings
from collections import OrderedDict
from typing import Any

import numpy as np
import torch
from skorch import NeuralNet, NeuralNetRegressor
from skorch.callbacks import EarlyStopping, GradientNormClipping, LRScheduler
from skorch.dataset import ValidSplit
from skorch.history import History
from torch import nn
from torch.optim import lr_scheduler
from torch.utils._python_dispatch import TorchDispatchMode

from .._utils.stacklevel import outside_package
from .._utils.wording import with_article
from ..exceptions import ModelFileError
from ..networks import PaperCNN, PaperDenseNet, ValidCNN
from ..networks._trial import is_uninitialised
from ..solvers._best_epoch import BestEpoch
from ..solvers._progress import TrainingBar
from . import _atomic
from ._runtime_parameters import is_runtime_parameter

# Networks that are a sequence of their layers.
_SEQUENTIAL = {kind.__name__: kind for kind in (nn.Sequential, PaperDenseNet, PaperCNN, ValidCNN)}
# Layers that are determined by their weights and the parameters in their attributes.
_LAYERS = {
    kind.__name__: kind
    for kind in (
        nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d, nn.AdaptiveMaxPool1d,
        nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d, nn.AlphaDropout, nn.AvgPool1d, nn.AvgPool2d,
        nn.AvgPool3d, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.CELU, nn.CircularPad1d,
        nn.CircularPad2d, nn.CircularPad3d, nn.ConstantPad1d, nn.ConstantPad2d, nn.ConstantPad3d,
        nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d,
        nn.ELU, nn.Flatten, nn.GELU, nn.GroupNorm, nn.Hardsigmoid, nn.Hardswish, nn.Hardtanh,
        nn.Identity, nn.LayerNorm, nn.LeakyReLU, nn.Linear, nn.LogSigmoid, nn.MaxPool1d,
        nn.MaxPool2d, nn.MaxPool3d, nn.Mish, nn.PReLU, nn.ReLU, nn.ReLU6, nn.ReflectionPad1d,
        nn.ReflectionPad2d, nn.ReflectionPad3d, nn.ReplicationPad1d, nn.ReplicationPad2d,
        nn.ReplicationPad3d, nn.SELU, nn.SiLU, nn.Sigmoid, nn.Softplus, nn.Softsign, nn.Tanh,
        nn.Tanhshrink, nn.ZeroPad1d, nn.ZeroPad2d, nn.ZeroPad3d,
    )
}  # fmt: skip
# Classes that are parameters of nets.
_CLASSES = {
    f"{kind.__module__.partition('.')[0]}.{kind.__name__}": kind
    for kind in (
        torch.optim.Adam, torch.optim.AdamW, torch.optim.NAdam, torch.optim.RAdam, torch.optim.SGD,
        torch.optim.RMSprop, torch.optim.LBFGS, nn.MSELoss, nn.L1Loss, nn.HuberLoss,
        nn.SmoothL1Loss, nn.PoissonNLLLoss, torch.utils.data.DataLoader, *_SEQUENTIAL.values(),
        lr_scheduler.CosineAnnealingLR, lr_scheduler.ExponentialLR, lr_scheduler.OneCycleLR,
        lr_scheduler.ReduceLROnPlateau, lr_scheduler.StepLR,
    )
}  # fmt: skip
_NAMES = {kind: name for name, kind in _CLASSES.items()}
_NETS = {"NeuralNet": NeuralNet, "NeuralNetRegressor": NeuralNetRegressor}
# Parts of nets that are determined by their parameters.
_PARTS = {
    kind.__name__: kind for kind in (EarlyStopping, GradientNormClipping, LRScheduler, ValidSplit)
}
# Callbacks that do not affect the result, and are not stored.
_OF_RUNNING = (BestEpoch, TrainingBar)

# Memory of modules and nets besides their weights; a few kB were measured.
_BYTES_PER_LAYER = 1 << 13
_BYTES_PER_NET = 1 << 16


def encode(value, encoder, place) -> dict:
    """Encode a network, a net of skorch, or one of their classes."""
    if isinstance(value, type):
        return _class_node(value)
    if isinstance(value, NeuralNet):
        return _net_node(value, encoder, place)
    if _PARTS.get(type(value).__name__) is type(value):
        return _part_node(value, encoder, place)
    if not isinstance(value, nn.Module):
        raise ModelFileError(
            f"{place} is {with_article(type(value).__name__)}, which cannot be stored. Remove it, "
            "or pickle the model for your own use."
        )
    return _module_node(value, encoder, place)


def decode(node, decoder):
    """Decode a node of `encode`."""
    tag = node["$"]
    if tag == "class":
        if "yours" in node:
            return decoder.own(node["yours"])
        return _CLASSES[node["name"]]
    if tag == "part":
        params = {
            key: decoder(value)
            for key, value in node["with"].items()
            if not is_runtime_parameter(key)
        }
        decoder.budget.take(_BYTES_PER_LAYER, "a part of a net")
        return _PARTS[node["class"]](**params)
    if tag == "net":
        return _net(node, decoder)
    if tag == "module":
        return _module(node, decoder)
    raise ModelFileError(f"it contains {with_article(tag)} outside of a network")


def _class_node(kind) -> dict:
    if kind in _NAMES:
        return {"$": "class", "name": _NAMES[kind]}
    return {"$": "class", "yours": kind.__name__}


# --- modules ----------------------------------------------------------------------------------


def _module_node(module, encoder, place, kwargs=None) -> dict:
    if is_uninitialised(module):
        raise ModelFileError(
            f"{place} has lazy layers, which have no weights yet. Specify their sizes, such as "
            "nn.Linear(9, 4) instead of nn.LazyLinear(4), or pass the class of the network."
        )
    for name, part in module.named_modules():
        if any(getattr(part, hooks) for hooks in ("_forward_hooks", "_forward_pre_hooks")):
            raise ModelFileError(
                f"{place}.{name} has hooks, which are code and cannot be stored. Remove them."
            )
    weights = {}
    for name, tensor in module.state_dict().items():
        array = tensor.detach().cpu().contiguous().numpy()
        weights[name] = encoder(array, f"{place}.{name}")
    frozen = [name for name, weight in module.named_parameters() if not weight.requires_grad]
    return {
        "$": "module",
        "built": _built_node(module, encoder, place, kwargs),
        "weights": weights,
        "frozen": frozen,
    }


def _built_node(module, encoder, place, kwargs=None) -> dict:
    name, kind = type(module).__name__, type(module)
    if _SEQUENTIAL.get(name) is kind:
        layers = [
            [key, _built_node(layer, encoder, f"{place}.{key}")]
            for key, layer in module.named_children()
        ]
        return {"$": "layers", "class": name, "layers": layers}
    if _LAYERS.get(name) is kind:
        return {"$": "layers", "class": name, "with": encoder(_layer_params(module), place)}
    if _atomic.is_network(module):
        return _atomic.node(module, encoder, place)
    encoder.has_user_code = True
    return {"$": "your module", "class": name, "with": encoder(kwargs or {}, place)}


def _layer_params(layer) -> dict:
    params: dict[str, Any] = {}
    for name in _param_names(type(layer)):
        if name == "bias":
            params[name] = layer.bias is not None
        else:
            value = getattr(layer, name)
            params[name] = tuple(value) if isinstance(value, torch.Size) else value
    return params


def _param_names(kind) -> list[str]:
    """Return the names of a layer's parameters, without the device and type of its weights."""
    several = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)  # of Identity
    return [
        name
        for name, parameter in inspect.signature(kind.__init__).parameters.items()
        if name not in ("self", "device", "dtype") and parameter.kind not in several
    ]


def _module(node, decoder) -> nn.Module:
    module = _built(node["built"], decoder)
    weights = {name: torch.from_numpy(decoder(array)) for name, array in node["weights"].items()}
    if is_uninitialised(module):
        raise ModelFileError(
            "the network has lazy layers, whose sizes are unknown. Pass a function that builds it "
            "and calls it with a tile, as load(path, modules={...})"
        )
    initial = module.state_dict()
    for name in [*initial.keys() - weights.keys(), *weights.keys() - initial.keys()]:
        raise ModelFileError(
            f"the network in the file and the one built by modules differ in {name!r}. Build it "
            "with the same parameters"
        )
    for name, weight in initial.items():
        if weight.is_floating_point() != weights[name].is_floating_point():
            raise ModelFileError(
                f"{name!r} is of type {weights[name].dtype}, which is not a weight"
            )
        if weight.shape != weights[name].shape:
            raise ModelFileError(
                f"{name!r} has the shape {tuple(weights[name].shape)} in the file and "
                f"{tuple(weight.shape)} in the network built by modules. Build it with the same "
                "parameters"
            )
    # The arrays of the file become the weights without a copy.
    module.load_state_dict(weights, strict=True, assign=True)
    if node["built"]["$"] == "atomic network":
        module = _atomic.with_buffers(module, decoder.device)
    for name, weight in module.named_parameters():
        weight.requires_grad_(name not in node["frozen"])
    return module


def bytes_of_forward(tile_model) -> int:
    """Return the memory of one tile in a network, in bytes, without computing it.

    Layers in a file may have any padding or output size, independently of their weights.
    """
    estimator = tile_model.estimator
    if hasattr(estimator, "steps"):
        return 0
    module, shape = estimator.module_, tile_model.tile_shape
    shape = (1, shape[-1], *shape[:-1]) if tile_model.has_channels else (1, 1, *shape)
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    weights = {name: tensor.detach().to("meta") for name, tensor in tensors.items()}
    floats = (weight.dtype for weight in weights.values() if weight.is_floating_point())
    dtype = next(floats, None)
    training = module.training
    try:
        with _Counting() as counting, torch.no_grad():
            x = torch.empty(shape, dtype=dtype, device="meta")
            torch.func.functional_call(module.eval(), weights, (x,))
    finally:
        module.train(training)
    return counting.n_bytes


class _Counting(TorchDispatchMode):
    """Count the bytes of all computed tensors."""

    def __init__(self):
        super().__init__()
        self.n_bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, (tuple, list)) else (out,):
            if isinstance(tensor, torch.Tensor):
                self.n_bytes += tensor.numel() * tensor.element_size()
        return out


def _built(node, decoder) -> nn.Module:
    name = node["class"]
    if node["$"] == "your module":
        make = decoder.own(name)
        if isinstance(make, nn.Module):
            return make
        params = decoder(node["with"])
        try:
            module = make(**params)
        except TypeError as error:
            raise ModelFileError(
                f"{name}({params}) cannot be built: {error}. Pass a function that builds it, as "
                f"load(path, modules={{{name!r}: lambda: {name}(...)}})"
            ) from error
        if not isinstance(module, nn.Module):
            raise ModelFileError(
                f"modules[{name!r}] returned {module!r}, which is not a torch module"
            )
        return module
    if node["$"] == "atomic network":
        decoder.budget.take(_BYTES_PER_NET, f"a network {name}")
        return _atomic.built(name, decoder(node["with"]))
    if node["$"] != "layers":
        raise ModelFileError(f"expected a layer, got a {node['$']!r}")
    decoder.budget.take(_BYTES_PER_LAYER, f"a layer {name}")
    if name in _SEQUENTIAL:
        layers = OrderedDict((key, _built(layer, decoder)) for key, layer in node["layers"])
        module = _SEQUENTIAL[name].__new__(_SEQUENTIAL[name])
        nn.Sequential.__init__(module, layers)  # the subclass's __init__ would draw weights
        return module
    if name not in _LAYERS:
        raise ModelFileError(f"it contains a layer {name}, which this version does not know")
    params = decoder(node["with"])
    unknown = set(params) - set(_param_names(_LAYERS[name]))
    if unknown or not all(map(_is_setting, params.values())):
        raise ModelFileError(f"a layer {name} has unknown parameters: {params!r:.80}")
    with torch.device("meta"):  # allocates no memory, whatever sizes the file contains
        layer = _LAYERS[name](**params)
    if not all(tensor.is_meta for tensor in (*layer.parameters(), *layer.buffers())):
        raise ModelFileError(f"a layer {name} allocates memory before its weights are read")
    return layer


def _is_setting(value) -> bool:
    """Return whether a value can be a parameter of a layer: numbers, strings or booleans."""
    if isinstance(value, (tuple, list)):
        return all(map(_is_setting, value))
    return value is None or type(value) in (bool, int, float, str)


# --- nets of skorch ---------------------------------------------------------------------------


def _net_node(net, encoder, place) -> dict:
    kind = type(net)
    kwargs, left_out = {}, []
    for name, value in net.get_params(deep=False).items():
        if name == "module" or name.startswith("_") or is_runtime_parameter(name):
            continue
        if _is_default(kind, name, value):
            continue
        if name == "callbacks" and isinstance(value, list):
            value = [callback for callback in value if not isinstance(callback, _OF_RUNNING)]
        try:
            kwargs[name] = encoder(value, f"{place}.{name}")
        except ModelFileError:
            left_out.append(name)
    if getattr(net, "initialized_", False):
        of_module = {
            key.removeprefix("module__"): value
            for key, value in net.get_params(deep=False).items()
            if key.startswith("module__")
        }
        fitted = _module_node(net.module_, encoder, f"{place}.module_", of_module)
    else:
        fitted = None
        if left_out:
            warnings.warn(
                f"{place}: {', '.join(left_out)} of the net cannot be stored. The loaded model "
                "makes the same predictions, but refitting it would not use them.",
                UserWarning,
                stacklevel=outside_package(),
            )
    module = None
    if fitted is None or isinstance(net.module, type):
        module = encoder(net.module, f"{place}.module")
    return {
        "$": "net",
        "class": kind.__name__,
        "yours": _NETS.get(kind.__name__) is not kind,
        "module": module,
        "with": kwargs,
        "fitted": fitted,
        "history": _history(net, encoder, place),
        "left out": left_out,
    }


def _history(net, encoder, place) -> list:
    """Return the numbers in the history of each epoch, for learning curves."""
    rows = []
    for row in getattr(net, "history_", None) or ():
        numbers = {key: _number(value) for key, value in row.items()}
        rows.append(encoder({k: v for k, v in numbers.items() if v is not None}, place))
    return rows


def _number(value):
    value = value.item() if isinstance(value, np.generic) else value
    return value if isinstance(value, (int, float, bool)) else None


def _part_node(part, encoder, place) -> dict:
    params = dict(getattr(part, "kwargs", {}))
    for name in inspect.signature(type(part).__init__).parameters:
        value = getattr(part, name, None)
        if name not in ("self", "kwargs") and not _is_default(type(part), name, value):
            params[name] = value
    return {
        "$": "part",
        "class": type(part).__name__,
        "with": {key: encoder(value, f"{place}.{key}") for key, value in params.items()},
    }


def _is_default(kind, name, value) -> bool:
    for base in kind.__mro__:
        parameter = inspect.signature(base.__init__).parameters.get(name)
        if parameter is not None:
            default = parameter.default
            return value is default or (
                type(value) is type(default) and repr(value) == repr(default)
                and not repr(value).startswith("<")
            )  # fmt: skip
    return False


def _net(node, decoder) -> NeuralNet:
    name = node["class"]
    kind = decoder.own(name) if node["yours"] else _NETS[name]
    kwargs = {
        key: decoder(value) for key, value in node["with"].items() if not is_runtime_parameter(key)
    }
    decoder.budget.take(_BYTES_PER_NET, "a net")
    if node["fitted"] is None:
        return kind(decoder(node["module"]), **kwargs)
    kwargs["device"] = decoder.device
    of_module = {key: kwargs.pop(key) for key in list(kwargs) if key.startswith("module__")}
    module = decoder(node["fitted"])
    net = kind(module, **kwargs).initialize()
    # The net is initialised with its weights; clones need the original parameter `module`.
    if node["module"] is not None:
        vars(net)["module"] = decoder(node["module"])
    vars(net).update(of_module)
    # skorch expects batches in every row.
    net.history_ = History([{**decoder(row), "batches": []} for row in node["history"]])
    return net
