"""Try a network on a few tiles before it is trained; explain the errors that torch raises."""

from __future__ import annotations

import math
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.utils._python_dispatch import TorchDispatchMode

from ..exceptions import TileModelError

# Operations that depend on exact values, not on order or differences alone.
_OF_VALUES = {
    getattr(torch.ops.aten, name)
    for name in (
        "bucketize", "ceil", "eq", "floor", "floor_divide", "fmod", "frac", "ne", "remainder",
        "round", "searchsorted", "trunc",
    )
}  # fmt: skip
_CASTS = {torch.ops.aten._to_copy, torch.ops.aten.copy_}


class LabelWatch(TorchDispatchMode):
    """Note whether floating-point numbers are turned into integers, or compared for equality."""

    labels = False

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        floats = any(isinstance(a, torch.Tensor) and a.is_floating_point() for a in args)
        if floats and func.overloadpacket in _OF_VALUES:
            self.labels |= not _asks_if_finite(args)
        elif floats and func.overloadpacket in _CASTS and not out.is_floating_point():
            self.labels = True
        return out


def _asks_if_finite(args) -> bool:
    """Tell whether a comparison is one of those that ``torch.isfinite`` is made of."""
    if len(args) != 2:
        return False
    first, other = args
    return first is other or (isinstance(other, float) and not math.isfinite(other))


def reads_labels(network, module, tiles) -> bool:
    """Run a network on a few tiles; tell whether it takes their numbers for labels.

    It does where it looks them up (``nn.Embedding``, ``one_hot``, indexing), rounds them or
    compares them for equality: any of these needs the numbers as they are. Layers whose size is
    left to their first input get their weights.

    Parameters
    ----------
    network : function
        Called with tiles: the module, or a function that calls it.
    module : torch.nn.Module
    tiles : Tensor of shape (n_tiles, n_channels, *window)
        As they are in the data.

    Raises
    ------
    TileModelError
        Where the network cannot take tiles of this shape or type.
    """
    watch = LabelWatch()
    tried(network, module, tiles, watch)
    return watch.labels


def tried(network, module, tiles, watch) -> None:
    """Run a network on a few tiles under a watch; see `reads_labels`."""
    training = module.training
    module.eval()
    try:
        with torch.no_grad(), explained(tiles), watch:
            network(tiles)
    except RuntimeError as error:
        if out_of_memory(error):
            raise
        raise cannot_take(tiles.shape[1:], error) from error
    finally:
        module.train(training)


def is_uninitialised(module) -> bool:
    """Tell whether layers of a module wait for their first input to know their size."""
    return any(map(is_lazy, (*module.parameters(), *module.buffers())))


@contextmanager
def explained(*inputs):
    """Turn errors of torch that do not say what to do into ones that do.

    Parameters
    ----------
    *inputs : Tensor
        Inputs of the network within the block.
    """
    try:
        yield
    except (RuntimeError, ValueError, IndexError) as error:
        message = _explanation(str(error), inputs)
        if message is None:
            raise
        raise TileModelError(message) from error


def _explanation(error, inputs) -> str | None:
    if "scalar types: Long, Int" in error:
        return (
            "A layer such as nn.Embedding looks up integers, and networks are given floats: turn "
            "them into integers before that layer, as by x.long() in the module's forward. Fields "
            "of such a network are not standardised."
        )
    if "index out of range in self" in error or "Class values must be" in error:
        least = min(float(x.min()) for x in inputs)
        largest = max(float(x.max()) for x in inputs)
        return (
            f"The network looks up labels that it has no entry for ({error}): the fields hold "
            f"numbers from {least:g} to {largest:g}. nn.Embedding(n, ...) and one_hot(x, n) take "
            "0 to n - 1; beyond a boundary of zeros the label is 0."
        )
    if "Expected more than 1 value per channel" in error:
        return (
            "Batch normalisation needs more than one value per channel, and a batch held a single "
            "tile. Take a larger batch_size, leave out an incomplete last batch "
            "(iterator_train__drop_last=True of a skorch net), make the focus smaller, or use "
            "another normalisation, such as nn.LayerNorm."
        )
    if "same dtype" in error or "expected scalar type" in error or "should be the same" in error:
        return (
            f"The network computes in more than one precision ({error}); it is given "
            f"{' and '.join(sorted({str(x.dtype) for x in inputs}))}. Let all its parts have one."
        )
    if "does not require grad and" in error or "have been used in the graph" in error:
        return (
            "The network's output has no derivative with respect to its input, such as one that "
            "looks its numbers up as labels."
        )
    return None


def cannot_take(input_shape, error) -> TileModelError:
    """Return the error for a network that fails on tiles of some shape."""
    return TileModelError(
        f"The network cannot take a tile of shape {tuple(input_shape)}, channels first: {error}. "
        "Along each axis a tile is focus + 2 * context long; make the network's inputs as many, or "
        "let it be a class that takes tile_shape."
    )


def out_of_memory(error) -> bool:
    """Tell whether an error of torch says that memory ran out, on any device."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def require_real(module: nn.Module) -> None:
    """Raise where a module has complex weights, which have no place in a precision."""
    for name, weights in (*module.named_parameters(), *module.named_buffers()):
        if weights.is_complex():
            raise TileModelError(
                f"The network has complex weights ({name}: {weights.dtype}). Networks are trained "
                "in float32 or float64: hold real and imaginary parts apart."
            )


def precision_of(module: nn.Module) -> str:
    """Return the precision of a module's weights, "float32" or "float64".

    Raises
    ------
    TileModelError
        Where they are of several precisions, or of one that is not trained in.
    """
    require_real(module)
    names: dict[torch.dtype, str] = {}
    for name, weights in (*module.named_parameters(), *module.named_buffers()):
        if weights.is_floating_point():
            names.setdefault(weights.dtype, name)
    kinds = {str(dtype).removeprefix("torch."): name for dtype, name in names.items()}
    if len(kinds) > 1:
        found = " and ".join(f"{kind} ({name})" for kind, name in sorted(kinds.items()))
        raise TileModelError(
            f"The network has weights in {found}. Call its .float() or .double(), or set precision "
            "of GradientSolver."
        )
    (kind,) = kinds or ("float32",)
    if kind in ("float16", "bfloat16"):
        raise TileModelError(
            f"The network has weights in {kind} ({kinds[kind]}), which round small steps of the "
            "optimizer away. Call its .float(); with GradientSolver(precision='bfloat16') layers "
            "then compute in bfloat16, and weights stay in float32."
        )
    if kind not in ("float32", "float64"):
        raise TileModelError(
            f"The network has weights in {kind} ({kinds[kind]}). Networks are trained in float32 "
            "or float64: call its .float() or .double()."
        )
    return kind
