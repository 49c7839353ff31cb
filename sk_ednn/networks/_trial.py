"""Trial runs of networks on a few tiles, and translation of torch's errors."""

from __future__ import annotations

import math
import warnings
from contextlib import contextmanager, nullcontext

import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.utils._python_dispatch import TorchDispatchMode

from .._utils.stacklevel import outside_package
from ..exceptions import TileModelError

# Operations whose results depend on exact values, not only on order or differences.
_VALUE_DEPENDENT = {
    getattr(torch.ops.aten, name)
    for name in (
        "bucketize", "ceil", "eq", "floor", "floor_divide", "fmod", "frac", "ne", "remainder",
        "round", "searchsorted", "trunc",
    )
}  # fmt: skip
# Differences beyond those that sums in another order cause.
_ROUNDING = 1e-3
_CASTS = {torch.ops.aten._to_copy, torch.ops.aten.copy_}


class LabelWatch(TorchDispatchMode):
    """Detect whether floats are converted to integers, rounded, or compared for equality."""

    labels = False

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        floats = any(isinstance(a, torch.Tensor) and a.is_floating_point() for a in args)
        if floats and func.overloadpacket in _VALUE_DEPENDENT:
            self.labels |= not _is_isfinite(args)
        elif floats and func.overloadpacket in _CASTS and not out.is_floating_point():
            self.labels = True
        return out


def _is_isfinite(args) -> bool:
    """Return True for the comparisons that ``torch.isfinite`` consists of."""
    if len(args) != 2:
        return False
    first, other = args
    return first is other or (isinstance(other, float) and not math.isfinite(other))


def reads_labels(network, module, tiles) -> bool:
    """Run a network on a few tiles; return True if it treats their values as labels.

    It does if it looks them up (``nn.Embedding``, ``one_hot``, indexing), rounds them, or compares
    them for equality. Lazy layers are initialised by the run.

    Parameters
    ----------
    network : function
        Called with tiles: the module, or a function that calls it.
    module : torch.nn.Module
    tiles : Tensor of shape (n_tiles, n_channels, *window)
        Unscaled tiles.

    Raises
    ------
    TileModelError
        If the network does not accept tiles of this shape or dtype.
    """
    watch = LabelWatch()
    tried(network, module, tiles, watch)
    return watch.labels


def tried(network, module, tiles, watch) -> None:
    """Run a network on a few tiles within a context `watch`; see `reads_labels`."""
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


def require_separate(network, module, tiles) -> None:
    """Raise if the output for a tile depends on the others of its batch; warn if it is random.

    Such outputs change with the number of tiles that are evaluated together, and their sum is not
    extensive.

    Parameters
    ----------
    network : function
        Called with tiles: the module, or a function that calls it.
    module : torch.nn.Module
    tiles : Tensor of shape (n_tiles, n_channels, *window)

    Raises
    ------
    TileModelError
        Also if the outputs are complex, of which torch would drop the imaginary part.
    """
    others = (tiles != tiles[:1]).flatten(1).any(1).nonzero()
    a = tiles[0]
    # Fields may be constant; 0 is a label, too.
    b = tiles[int(others[0])] if len(others) else (a == 0).all().to(a) * torch.ones_like(a)
    seen = []

    def outputs(*pair):
        out = network(torch.stack(pair))
        seen.append(out[0] if isinstance(out, tuple) else out)

    device = [tiles.device] if tiles.device.type == "cuda" else []
    # The training draws the same random numbers as without this test.
    with torch.random.fork_rng(device):
        for pair in ((a, b), (a, b), (b, a), (a, a), (b, b)):
            tried(lambda _, pair=pair: outputs(*pair), module, tiles, nullcontext())
    if any(out.is_complex() for out in seen):
        raise TileModelError(
            "The network returns complex numbers, but totals are real. Return a real number, such "
            "as out.real or out.abs()."
        )
    if any(out.shape[:1] != (2,) for out in seen):
        return  # which has its own error
    ab, again, ba, aa, bb = (out.reshape(2, -1).double() for out in seen)
    if not _alike(ab, again):
        warnings.warn(
            "The network returns another output for a tile at each call, also for predictions. "
            "Dropout has to know of them: use nn.Dropout, or dropout(x, training=self.training).",
            UserWarning,
            stacklevel=outside_package(),
        )
    elif not (_alike(ab, ba.flip(0)) and _alike(ab[:1], aa) and _alike(ab[1:], bb)):
        raise TileModelError(
            "The output of the network for a tile depends on the other tiles of a batch, so that "
            "totals depend on how many are evaluated together. Normalise over the values of each "
            "tile, not over the batch (dim 0): for example nn.LayerNorm, or nn.BatchNorm1d with "
            "track_running_stats=True."
        )


def _alike(one, other) -> bool:
    one, other = torch.broadcast_tensors(one, other)
    return torch.allclose(one, other, rtol=_ROUNDING, atol=_ROUNDING, equal_nan=True)


def is_uninitialised(module) -> bool:
    """Return True if a module has lazy layers that are not initialised yet."""
    return any(map(is_lazy, (*module.parameters(), *module.buffers())))


@contextmanager
def explained(*inputs):
    """Translate errors of torch into ones that name a remedy.

    Parameters
    ----------
    *inputs : Tensor
        Inputs of the network within the context.
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
            "A layer such as nn.Embedding looks up integers, but the input of networks is floats. "
            "Convert it to integers before that layer, for example with x.long() in the module's "
            "forward. Such networks see fields that are not standardised."
        )
    if "index out of range in self" in error or "Class values must be" in error:
        least = min(float(x.min()) for x in inputs)
        largest = max(float(x.max()) for x in inputs)
        return (
            f"The network looks up labels for which it has no entry ({error}). The fields contain "
            f"numbers from {least:g} to {largest:g}. nn.Embedding(n, ...) and one_hot(x, n) accept "
            "0 to n - 1; beyond a boundary of zeros the label is 0."
        )
    if "Expected more than 1 value per channel" in error:
        return (
            "Batch normalisation needs more than one value per channel, but a batch contained a "
            "single tile. Use a larger batch_size, drop an incomplete last batch "
            "(iterator_train__drop_last=True of a skorch net), use a smaller focus, or use another "
            "normalisation, such as nn.LayerNorm."
        )
    if "same dtype" in error or "expected scalar type" in error or "should be the same" in error:
        return (
            f"The network computes in more than one precision ({error}); its input is "
            f"{' and '.join(sorted({str(x.dtype) for x in inputs}))}. Use one precision in all of "
            "its parts."
        )
    if "does not require grad and" in error or "have been used in the graph" in error:
        return (
            "The network's output has no gradient with respect to its input, for example because "
            "it looks up labels."
        )
    return None


def cannot_take(input_shape, error) -> TileModelError:
    """Return the error for a network that fails on tiles of some shape."""
    return TileModelError(
        f"The network does not accept a tile of shape {tuple(input_shape)}, channels first: "
        f"{error}. Tiles have focus + 2 * context sites along each axis. Change the inputs of the "
        "network accordingly, or pass a module class with a parameter tile_shape."
    )


def out_of_memory(error) -> bool:
    """Return True for errors of torch that report a lack of memory, on any device."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def require_real(module: nn.Module) -> None:
    """Raise TileModelError if a module has complex weights."""
    for name, weights in (*module.named_parameters(), *module.named_buffers()):
        if weights.is_complex():
            raise TileModelError(
                f"The network has complex weights ({name}: {weights.dtype}), but networks are "
                "trained in float32 or float64. Store real and imaginary parts separately."
            )


def precision_of(module: nn.Module) -> str:
    """Return the precision of a module's weights, "float32" or "float64".

    Raises
    ------
    TileModelError
        If they have several precisions, or one that training does not support.
    """
    require_real(module)
    names: dict[torch.dtype, str] = {}
    for name, weights in (*module.named_parameters(), *module.named_buffers()):
        if weights.is_floating_point():
            names.setdefault(weights.dtype, name)
    by_dtype = {str(dtype).removeprefix("torch."): name for dtype, name in names.items()}
    if len(by_dtype) > 1:
        dtypes = " and ".join(f"{dtype} ({name})" for dtype, name in sorted(by_dtype.items()))
        raise TileModelError(
            f"The network has weights in {dtypes}. Call its .float() or .double(), or set "
            "precision of GradientSolver."
        )
    (dtype,) = by_dtype or ("float32",)
    if dtype in ("float16", "bfloat16"):
        raise TileModelError(
            f"The network has weights in {dtype} ({by_dtype[dtype]}), in which small steps of the "
            "optimizer are lost to rounding. Call its .float(). For layers that compute in "
            "bfloat16 with weights in float32, set GradientSolver(precision='bfloat16')."
        )
    if dtype not in ("float32", "float64"):
        raise TileModelError(
            f"The network has weights in {dtype} ({by_dtype[dtype]}), but networks are trained in "
            "float32 or float64. Call its .float() or .double()."
        )
    return dtype
