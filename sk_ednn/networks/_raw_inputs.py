"""Recognise networks that need their input as it is, by following it through a trial.

A layer that learns can undo an affine map of its input, and standardised fields are then as good as
raw ones. What a network does to its input before any such layer cannot: ``x > 1.5`` or ``cos(x)``
of standardised fields is another function.
"""

from __future__ import annotations

import math
import warnings

import torch
from torch import nn
from torch.utils._pytree import tree_leaves

from ._trial import LabelWatch, tried

# Functions with constants of their own, in the units of what they are given.
_FIXED = {
    "abs", "acos", "acosh", "angle", "asin", "asinh", "atan", "atan2", "atanh", "clamp",
    "clamp_max", "clamp_min", "cos", "cosh", "digamma", "erf", "erfc", "exp", "exp2", "expm1",
    "fmod", "hardshrink", "heaviside", "i0", "lgamma", "log", "log10", "log1p", "log2", "logit",
    "reciprocal", "rsqrt", "sgn", "sign", "signbit", "sin", "sinc", "sinh", "softshrink", "sqrt",
    "tan", "threshold", "xlogy",
}  # fmt: skip
_COMPARISONS = {"ge", "gt", "le", "lt"}
_EXTREMES = {"fmax", "fmin", "maximum", "minimum"}
# Activations, which networks may well begin with, and norms.
_DOUBTFUL = {
    "_cdist_forward", "_log_softmax", "_prelu_kernel", "_softmax", "celu", "cumprod", "elu",
    "gelu", "glu", "hardsigmoid", "hardswish", "hardtanh", "leaky_relu", "linalg_vector_norm",
    "log_sigmoid_forward", "logsumexp", "mish", "norm", "prod", "relu", "relu6", "sigmoid", "silu",
    "softplus", "tanh",
}  # fmt: skip
_PRODUCTS = {"addmm", "baddbmm", "bmm", "convolution", "dot", "mm", "mul", "mv"}
# Pointwise operations that are affine, or only say something of the numbers.
_AFFINE = {
    "_to_copy", "add", "addcmul", "clone", "copy", "detach", "fill", "isinf", "isnan", "isneginf",
    "isposinf", "lerp", "masked_fill", "nan_to_num", "native_dropout", "ne", "eq", "neg",
    "positive", "rsub", "sub", "where",
}  # fmt: skip
_SPREADS = {"std", "std_mean", "var", "var_mean"}
# What takes a shape and a type of its input alone.
_LIKE = {
    "empty_like", "full_like", "new_empty", "new_full", "new_ones", "new_zeros", "ones_like",
    "rand_like", "randint_like", "randn_like", "zeros_like",
}  # fmt: skip
# After these a map of the input before them has no effect.
_NORMALISING = {
    "_batch_norm_no_update", "_fused_rms_norm", "_native_batch_norm_legit", "cudnn_batch_norm",
    "_native_batch_norm_legit_no_training", "native_batch_norm", "native_group_norm",
    "native_layer_norm",
}  # fmt: skip


def needs_raw_inputs(network, module, tiles, warn=True) -> bool:
    """Run a network on a few tiles; tell whether it must see their numbers as they are.

    It must where it takes them for labels, and where it puts them into functions with constants of
    their own, such as comparisons, cosines or logarithms, before any layer that learns.

    Parameters
    ----------
    network : function
        Called with tiles: the module, or a function that calls it.
    module : torch.nn.Module
    tiles : Tensor of shape (n_tiles, n_channels, *window)
        As they are in the data.
    warn : bool, default=True
        Whether to warn where it may be otherwise.

    Raises
    ------
    TileModelError
        Where the network cannot take tiles of this shape or type.
    """
    watch = _Following(tiles)
    tried(network, module, tiles, watch)
    fixed = sorted(set(watch.fixed.values()))
    if watch.labels or fixed:
        if fixed and watch.learned_from and warn:
            warnings.warn(
                f"The network puts its input into {', '.join(fixed)}, whose constants are in the "
                "units of the fields, and also into layers that learn: it is given the fields as "
                "they are. If that is meant, say so: GradientSolver(standardize=False); where the "
                "numbers are far from 1, normalise them in the network before these layers.",
                UserWarning,
                stacklevel=5,
            )
        return True
    # Products and their factors together are closed under affine maps.
    doubtful = watch.doubtful | (set() if watch.learned_from else watch.products)
    if doubtful and warn:
        warnings.warn(
            f"The network puts its input into {', '.join(sorted(doubtful))} before any layer that "
            "learns, and is given standardised fields, of mean 0 and variance 1. If it is meant "
            "for the numbers of the fields, set GradientSolver(standardize=False); if not, let it "
            "begin with a layer that learns, such as a convolution of one site.",
            UserWarning,
            stacklevel=5,
        )
    return False


class _Following(LabelWatch):
    """Follow the input of a network as far as it is mapped by what does not learn.

    Attributes
    ----------
    fixed : dict of int to str
        Functions with constants of their own, by the tensor that they returned.
    doubtful, products : set of str
        Operations that may or may not be meant for the input as it is.
    learned_from : bool
        Whether a layer that learns is given the input.
    """

    def __init__(self, tiles):
        super().__init__()
        self.fixed: dict[int, str] = {}
        self.doubtful: set[str] = set()
        self.products: set[str] = set()
        self.learned_from = False
        # By identity; tensors are held, so that no other one gets their place.
        self._raw, self._learned, self._spreads = {id(tiles): tiles}, {}, {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = super().__torch_dispatch__(func, types, args, kwargs)
        name = func.overloadpacket.__name__
        name = name if name.startswith("__") else name.removesuffix("_")
        given = tree_leaves((args, kwargs or {}))
        tensors = [each for each in given if isinstance(each, torch.Tensor)]
        raw = [each for each in tensors if id(each) in self._raw]
        outs = [each for each in tree_leaves(out) if isinstance(each, torch.Tensor)]
        self._forgive_finite(name, given)
        if any(map(self._learns, tensors)) and not (raw and name == "_prelu_kernel"):
            self.learned_from |= bool(raw)
            self._keep(self._learned, outs)
            self._drop(outs)
        elif raw and self._stays_raw(func, name, tensors, raw, args, kwargs or {}, outs):
            self._keep(self._raw, outs)
            if name in _SPREADS or all(id(each) in self._spreads for each in raw):
                self._keep(self._spreads, outs)
        elif raw:
            self._drop(outs)
        return out

    def _learns(self, tensor) -> bool:
        learns = isinstance(tensor, nn.Parameter) and tensor.requires_grad
        return learns or id(tensor) in self._learned

    def _stays_raw(self, func, name, tensors, raw, args, kwargs, outs) -> bool:
        """Tell whether what is returned is an affine map of the input, or some order of it."""
        all_raw = len(raw) == len(tensors) and len(raw) > 1
        if name in _NORMALISING | _LIKE:
            return False
        spreads = [each for each in raw if id(each) in self._spreads]
        if name in ("sqrt", "rsqrt", "reciprocal") and spreads:
            return True
        if name in ("div", "mul") and len(spreads) == 1 and len(raw) == 2:
            return False  # in units of the spread, as by hand
        if name in _COMPARISONS | _EXTREMES and not all_raw:
            return self._note_fixed(name, outs)
        if name in _FIXED:
            return self._note_fixed(name, outs)
        if name in _DOUBTFUL:
            self.doubtful.add(name.strip("_"))
            return False
        if name in ("div", "true_divide"):
            if kwargs.get("rounding_mode") is not None or args[0] is not raw[0]:
                return self._note_fixed("div", outs)
            if len(raw) > 1:
                self.products.add("div")
            return len(raw) == 1
        if name == "pow":
            return self._power(args, outs)
        if name in _PRODUCTS and len(raw) > 1:
            self.products.add(name)
            return False
        if name in _COMPARISONS:
            return False
        known = name in _PRODUCTS | _EXTREMES | _AFFINE
        if torch.Tag.pointwise in func.tags and not known:
            self.doubtful.add(name)
            return False
        return True

    def _power(self, args, outs) -> bool:
        base, exponent = args[0], args[1]
        whole = isinstance(exponent, (int, float)) and exponent == int(exponent) and exponent > 0
        if not (isinstance(base, torch.Tensor) and whole):
            return self._note_fixed("pow", outs)
        if exponent != 1:
            self.products.add("pow")
        return exponent == 1

    def _note_fixed(self, name, outs) -> bool:
        for each in outs:
            self.fixed[id(each)] = name
            self._learned.pop(id(each), None)
        self._held = [*getattr(self, "_held", ()), *outs]
        return False

    def _forgive_finite(self, name, given):
        """``torch.isfinite`` compares the absolute value with infinity."""
        if name in ("eq", "ne") and any(
            isinstance(each, float) and math.isinf(each) for each in given
        ):
            for each in given:
                if self.fixed.get(id(each)) == "abs":
                    del self.fixed[id(each)]

    def _keep(self, held, tensors):
        held.update((id(each), each) for each in tensors)

    def _drop(self, tensors):
        for each in tensors:
            self._raw.pop(id(each), None)
