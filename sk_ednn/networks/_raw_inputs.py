"""Detection of networks that need unscaled inputs, by tracing the input through a trial run.

A learned layer can undo an affine map of its input, so that it can learn from standardised fields
as well as from raw ones. Functions that are applied to the input before any learned layer, such as
``x > 1.5`` or ``cos(x)``, would change their meaning.
"""

from __future__ import annotations

import math
import warnings

import torch
from torch import nn
from torch.utils._pytree import tree_leaves

from .._utils.stacklevel import outside_package
from ._trial import LabelWatch, tried

# Functions with fixed constants, in the units of their input.
_FIXED = {
    "abs", "acos", "acosh", "angle", "asin", "asinh", "atan", "atan2", "atanh", "clamp",
    "clamp_max", "clamp_min", "cos", "cosh", "digamma", "erf", "erfc", "exp", "exp2", "expm1",
    "fmod", "hardshrink", "heaviside", "i0", "lgamma", "log", "log10", "log1p", "log2", "logit",
    "reciprocal", "rsqrt", "sgn", "sign", "signbit", "sin", "sinc", "sinh", "softshrink", "sqrt",
    "tan", "threshold", "xlogy",
}  # fmt: skip
_COMPARISONS = {"ge", "gt", "le", "lt"}
_EXTREMES = {"fmax", "fmin", "maximum", "minimum"}
# Activations, with which networks may start, and norms.
_AMBIGUOUS = {
    "_cdist_forward", "_log_softmax", "_prelu_kernel", "_softmax", "celu", "cumprod", "elu",
    "gelu", "glu", "hardsigmoid", "hardswish", "hardtanh", "leaky_relu", "linalg_vector_norm",
    "log_sigmoid_forward", "logsumexp", "mish", "norm", "prod", "relu", "relu6", "sigmoid", "silu",
    "softplus", "tanh",
}  # fmt: skip
_PRODUCTS = {"addmm", "baddbmm", "bmm", "convolution", "dot", "mm", "mul", "mv"}
# Pointwise operations that are affine, or whose result does not depend on the scale.
_AFFINE = {
    "_to_copy", "add", "addcmul", "clone", "copy", "detach", "fill", "isinf", "isnan", "isneginf",
    "isposinf", "lerp", "masked_fill", "nan_to_num", "native_dropout", "ne", "eq", "neg",
    "positive", "rsub", "sub", "where",
}  # fmt: skip
_SPREADS = {"std", "std_mean", "var", "var_mean"}
# Functions that use only the shape and the dtype of their input.
_LIKE = {
    "empty_like", "full_like", "new_empty", "new_full", "new_ones", "new_zeros", "ones_like",
    "rand_like", "randint_like", "randn_like", "zeros_like",
}  # fmt: skip
# Normalisations, which undo an affine map of their input.
_NORMALISING = {
    "_batch_norm_no_update", "_fused_rms_norm", "_native_batch_norm_legit", "cudnn_batch_norm",
    "_native_batch_norm_legit_no_training", "native_batch_norm", "native_group_norm",
    "native_layer_norm",
}  # fmt: skip


def needs_raw_inputs(network, module, tiles, warn=True) -> bool:
    """Run a network on a few tiles; return True if it needs unscaled inputs.

    It does if it treats its input as labels, or if it applies functions with fixed constants, such
    as comparisons, cosines or logarithms, before any learned layer.

    Parameters
    ----------
    network : function
        Called with tiles: the module, or a function that calls it.
    module : torch.nn.Module
    tiles : Tensor of shape (n_tiles, n_channels, *window)
        Unscaled tiles.
    warn : bool, default=True
        Whether to warn if the network is ambiguous.

    Raises
    ------
    TileModelError
        If the network does not accept tiles of this shape or dtype.
    """
    watch = _InputTrace(tiles)
    tried(network, module, tiles, watch)
    fixed = sorted(set(watch.fixed.values()))
    if watch.labels or fixed:
        if fixed and watch.learned_from and warn:
            warnings.warn(
                f"The network applies {', '.join(fixed)}, whose constants are in the units of the "
                "fields, as well as learned layers to its input. It therefore sees unscaled "
                "fields. If that is intended, set GradientSolver(standardize=False). If values are "
                "far from 1, normalise them in the network before the learned layers.",
                UserWarning,
                stacklevel=outside_package(),
            )
        return True
    # The space of products and their factors is closed under affine maps.
    ambiguous = watch.ambiguous | (set() if watch.learned_from else watch.products)
    if ambiguous and warn:
        warnings.warn(
            f"The network applies {', '.join(sorted(ambiguous))} to its input before any learned "
            "layer, and sees standardised fields, of mean 0 and variance 1. If it needs unscaled "
            "fields, set GradientSolver(standardize=False). Otherwise let it start with a learned "
            "layer, such as a convolution with a kernel of one site.",
            UserWarning,
            stacklevel=outside_package(),
        )
    return False


class _InputTrace(LabelWatch):
    """Trace the input of a network up to its first learned layers.

    Attributes
    ----------
    fixed : dict of int to str
        Functions with fixed constants, by the id of the tensor that they returned.
    ambiguous, products : set of str
        Operations that may or may not need unscaled inputs.
    learned_from : bool
        Whether the input reaches a learned layer.
    """

    def __init__(self, tiles):
        super().__init__()
        self.fixed: dict[int, str] = {}
        self.ambiguous: set[str] = set()
        self.products: set[str] = set()
        self.learned_from = False
        # By id. The tensors are kept alive, so that their ids are not reused.
        self._raw, self._learned, self._spreads = {id(tiles): tiles}, {}, {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = super().__torch_dispatch__(func, types, args, kwargs)
        name = func.overloadpacket.__name__
        name = name if name.startswith("__") else name.removesuffix("_")
        inputs = tree_leaves((args, kwargs or {}))
        tensors = [leaf for leaf in inputs if isinstance(leaf, torch.Tensor)]
        raw = [tensor for tensor in tensors if id(tensor) in self._raw]
        outs = [leaf for leaf in tree_leaves(out) if isinstance(leaf, torch.Tensor)]
        self._ignore_isfinite(name, inputs)
        if any(map(self._learns, tensors)) and not (raw and name == "_prelu_kernel"):
            self.learned_from |= bool(raw)
            self._keep(self._learned, outs)
            self._drop(outs)
        elif raw and self._stays_raw(func, name, tensors, raw, args, kwargs or {}, outs):
            self._keep(self._raw, outs)
            if name in _SPREADS or all(id(tensor) in self._spreads for tensor in raw):
                self._keep(self._spreads, outs)
        elif raw:
            self._drop(outs)
        return out

    def _learns(self, tensor) -> bool:
        learns = isinstance(tensor, nn.Parameter) and tensor.requires_grad
        return learns or id(tensor) in self._learned

    def _stays_raw(self, func, name, tensors, raw, args, kwargs, outs) -> bool:
        """Return True if the output is an affine map or a permutation of the input."""
        all_raw = len(raw) == len(tensors) and len(raw) > 1
        if name in _NORMALISING | _LIKE:
            return False
        spreads = [tensor for tensor in raw if id(tensor) in self._spreads]
        if name in ("sqrt", "rsqrt", "reciprocal") and spreads:
            return True
        if name in ("div", "mul") and len(spreads) == 1 and len(raw) == 2:
            return False  # a standardisation within the network
        if name in _COMPARISONS | _EXTREMES and not all_raw:
            return self._note_fixed(name, outs)
        if name in _FIXED:
            return self._note_fixed(name, outs)
        if name in _AMBIGUOUS:
            self.ambiguous.add(name.strip("_"))
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
        supported = name in _PRODUCTS | _EXTREMES | _AFFINE
        if torch.Tag.pointwise in func.tags and not supported:
            self.ambiguous.add(name)
            return False
        return True

    def _power(self, args, outs) -> bool:
        base, exponent = args[0], args[1]
        natural = isinstance(exponent, (int, float)) and exponent == int(exponent) and exponent > 0
        if not (isinstance(base, torch.Tensor) and natural):
            return self._note_fixed("pow", outs)
        if exponent != 1:
            self.products.add("pow")
        return exponent == 1

    def _note_fixed(self, name, outs) -> bool:
        for tensor in outs:
            self.fixed[id(tensor)] = name
            self._learned.pop(id(tensor), None)
        self._alive = [*getattr(self, "_alive", ()), *outs]
        return False

    def _ignore_isfinite(self, name, inputs):
        """Ignore ``torch.isfinite``, which compares the absolute value with infinity."""
        if name in ("eq", "ne") and any(isinstance(x, float) and math.isinf(x) for x in inputs):
            for x in inputs:
                if self.fixed.get(id(x)) == "abs":
                    del self.fixed[id(x)]

    def _keep(self, by_id, tensors):
        by_id.update((id(tensor), tensor) for tensor in tensors)

    def _drop(self, tensors):
        for tensor in tensors:
            self._raw.pop(id(tensor), None)
