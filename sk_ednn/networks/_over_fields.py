"""A tile network summed over the tiles of whole fields: the dense form, or tile by tile."""

from __future__ import annotations

from functools import partial
from math import prod

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from ..exceptions import TileModelError
from ..fields._channels import channel_index
from ..tiling._grid_base import boxes
from ._convolutional import NotConvolutional, as_convolution
from ._dense_run import tiles_of
from ._layout import laid_out, lay_out, plain_module
from ._padding import padded
from ._trial import cannot_take, out_of_memory

FORMS = ("auto", "dense", "tiled")
# Numbers in the largest layer of a part of a field, in the dense form: with fewer, too much context
# is computed again between parts. On an accelerator memory alone decides.
_PART_NUMBERS = 1 << 24
# The dense form is taken where it saves at least this share of the multiplications; where it saves
# none, one matrix product over many tiles is faster than a convolution.
_WORTH = 1.05


class SumOverTiles(nn.Module):
    """Sum a tile network over all tiles of a field.

    What `EDNNRegressor` trains, for use in one's own torch code. Where the network has an exact
    dense form (see `as_convolution`) that saves work, no context is computed twice; otherwise the
    tiles are cut out of the padded field. Either way the field is taken in parts. Where what the
    layers would hold for the backward pass is more than `max_bytes`, parts are computed again
    there instead, so that the size of a field is not bounded by memory.

    Parameters
    ----------
    module : torch.nn.Module
        Of tiles (n_tiles, n_channels, *window) to (n_tiles, n_outputs).
    tiling : GridTiling
    tile_shape : tuple of int
        Shape of a tile, ``(*window[, n_channels])``.
    form : {"auto", "dense", "tiled"}, default="auto"
        "dense" raises where there is no exact dense form.
    max_bytes : int, default=2**30
        What the layers may hold between the forward and the backward pass.
    compile : dict or None, default=None
        Options of `torch.compile` for whichever form is in use, such as ``{}`` or ``{"mode":
        "reduce-overhead"}``, which takes CUDA graphs; None not to compile.
    standardization : Standardization or None, default=None
        Applied to the fields once the context is around them, so that zeros beyond a boundary are
        zeros of the fields. Fields in float64 are then rounded to the network's precision
        afterwards.

    Attributes
    ----------
    form_ : {"dense", "tiled"}
        The form in use.
    reason_ : str
        Why it is in use.

    Raises
    ------
    NotConvolutional
        With ``form="dense"``, naming the layer that forbids it.

    Examples
    --------
    >>> import torch
    >>> from sk_ednn import GridTiling
    >>> from sk_ednn.networks import SumOverTiles
    >>> tile_net = torch.nn.Sequential(
    ...     torch.nn.Conv2d(1, 4, 3), torch.nn.SiLU(), torch.nn.Flatten(), torch.nn.Linear(144, 1)
    ... )
    >>> total = SumOverTiles(tile_net, GridTiling(focus=4, context=2), (8, 8))
    >>> total.form_
    'dense'
    >>> field = torch.rand(1, 1, 16, 16, requires_grad=True)
    >>> double = torch.cat([field, field], dim=-1)
    >>> bool(torch.isclose(total(double), 2 * total(field)))
    True
    """

    def __init__(
        self, module, tiling, tile_shape, *, form="auto", max_bytes=2**30, compile=None,
        standardization=None,
    ):  # fmt: skip
        super().__init__()
        if form not in FORMS:
            raise TileModelError(f"form must be one of {FORMS}, got {form!r}.")
        self.module = module
        self.tiling = tiling
        self.tile_shape = tuple(tile_shape)
        self.max_bytes = max_bytes
        self.standardization = standardization
        self._focus = tiling.focus_shape(self.tile_shape)
        self._window = self.tile_shape[: len(self._focus)]
        n_channels = prod(self.tile_shape) // prod(self._window)
        self._laid_out = lay_out(module, (n_channels, *self._window))
        # In a tuple, so that the weights are not registered twice.
        self._dense, self.reason_ = self._choose(form)
        self._compiled = ()
        if compile is not None:
            form = self._dense[0] if self._dense else plain_module(module)
            self._compiled = (torch.compile(form, **compile),)
        self._held = None

    @property
    def form_(self) -> str:
        """The form in use."""
        return "dense" if self._dense else "tiled"

    def _choose(self, form):
        if form == "tiled":
            return (), "It was asked for."
        try:
            dense = as_convolution(self.module, self.tiling, self.tile_shape)
        except NotConvolutional as error:
            if form == "dense":
                raise
            return (), str(error)
        saving = dense.tiled_work / max(dense.dense_work, 1)
        if form == "auto" and saving < _WORTH:
            return (), "The dense form is exact, but saves no work."
        return (dense,), f"It is exact and takes {saving:.1f} times fewer multiplications."

    def forward(self, fields, network=None, finish=None):
        """Return the totals of fields.

        Parameters
        ----------
        fields : Tensor of shape (n, n_channels, *grid)
        network : function, default=None
            What to call with tiles instead of the module, in the tiled form.
        finish : function, default=None
            Applied to contributions before they are summed.

        Returns
        -------
        Tensor of shape (n, n_outputs)
        """
        shape = tuple(fields.shape[2:])
        if self.tiling.channel_axis is not None:
            channel = channel_index(self.tiling.channel_axis, len(shape) + 1)
            shape = (*shape[:channel], fields.shape[1], *shape[channel:])
        grid = self.tiling.tile_grid(shape)
        around = padded(fields, self.tiling.padded_positions(shape))
        if self.standardization is not None:
            around = self.standardization(around).to(self._dtype(fields))
        around = laid_out(around) if self._dense else around
        n_tiles, at_once = prod(grid), self._tiles_at_once(around)
        (dense,) = self._compiled or self._dense or (None,)

        def contributions(part):
            out = dense(part) if self._dense else self._tile_by_tile(part, network)
            return (out if finish is None else finish(out)).flatten(2).sum(2)

        run = contributions
        held = len(fields) * n_tiles * self._held_per_tile() * around.element_size()
        if torch.is_grad_enabled() and held > self.max_bytes:
            run = partial(checkpoint, contributions, use_reentrant=False)
        step = max(1, at_once // n_tiles)
        places = [self._sites(box) for box in boxes(grid, at_once)]
        totals = []
        for start in range(0, len(fields), step):
            some = around[start : start + step]
            totals.append(sum(run(some[(slice(None), slice(None), *box)]) for box in places))
        return torch.cat(totals)

    def _dtype(self, fields):
        """Return the precision of the network's weights."""
        return next((p.dtype for p in self.module.parameters()), fields.dtype)

    def _sites(self, box) -> tuple[slice, ...]:
        """Return the places of a padded field that a box of tiles sees."""
        return tuple(
            slice(part.start * f, (part.stop - 1) * f + w)
            for part, f, w in zip(box, self._focus, self._window, strict=True)
        )

    def _tile_by_tile(self, part, network):
        by_tiles = tiles_of(part, self._window, self._focus)
        grid = by_tiles.shape[1 : 1 + len(self._focus)]
        tiles = by_tiles.reshape(-1, part.shape[1], *self._window)
        tiles = laid_out(tiles) if self._laid_out else tiles
        (module,) = (network,) if network else self._compiled or (self.module,)
        out = row_per_tile(module(tiles), tiles)
        return out.reshape(len(part), *grid, -1).movedim(-1, 1)

    def _tiles_at_once(self, around) -> int:
        if self.module.training and mixes_tiles(self.module):
            return around.numel()
        at_once = int(self.max_bytes // (around.element_size() * self._held_per_tile()))
        if around.device.type == "cpu":
            at_once = min(
                at_once,
                _PART_NUMBERS // self._dense[0].numbers_per_tile
                if self._dense
                else tiles_together(prod(self._window) * around.shape[1]),
            )
        return max(at_once, 1)

    def _held_per_tile(self) -> int:
        """Numbers that the layers keep for the backward pass, for each tile."""
        if self._dense:
            return self._dense[0].held_per_tile
        if self._held is None:
            n_channels = prod(self.tile_shape) // prod(self._window)
            self._held = layer_outputs(self.module, (n_channels, *self._window))
        return self._held


class SumOfBranches(nn.ModuleList):
    """Several networks over the same fields, each with a tiling of its own, added up."""

    def forward(self, fields, network=None, finish=None):
        """Return the totals of fields, (n, n_outputs)."""
        return sum(branch(fields, finish=finish) for branch in self)

    @property
    def max_bytes(self):
        """What the layers of each may hold."""
        return self[0].max_bytes

    @max_bytes.setter
    def max_bytes(self, value):
        for branch in self:
            branch.max_bytes = value


def tiles_together(n_inputs) -> int:
    """Return how many tiles of so many numbers go through a network together, on the CPU.

    Few enough that what its layers hold stays in the caches, which for perceptrons is up to twice
    as fast as all tiles at once; convolutions need more to be busy.
    """
    by_cache, by_work = (1 << 16) // max(n_inputs, 1), (1 << 19) // max(n_inputs, 1)
    return max(1, min(max(by_cache, min(by_work, 256)), 4096))


def row_per_tile(out, tiles):
    """Return a network's output for tiles as (n_tiles, n_outputs), or say what is wrong with it."""
    out = out[0] if isinstance(out, tuple) else out
    out = out[:, None] if out.ndim == 1 else out
    if out.ndim != 2 or len(out) != len(tiles):
        raise TileModelError(
            "The network must return one row of outputs per tile: for input of shape "
            f"{tuple(tiles.shape)} it returned {tuple(out.shape)}."
        )
    return out


def mixes_tiles(module) -> bool:
    """Tell whether a network's result for a tile depends, in training, on the others beside it."""
    return any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in module.modules())


def layer_outputs(module, input_shape) -> int:
    """Return how many numbers the layers of a network give for one tile, its input included."""
    held = [prod(input_shape)]

    def count(layer, inputs, output):
        if isinstance(output, torch.Tensor):
            held.append(output.numel())

    leaves = [layer for layer in module.modules() if not list(layer.children())]
    hooks = [layer.register_forward_hook(count) for layer in leaves]
    training = module.training
    example = next(iter(module.parameters()), torch.zeros(()))
    try:
        with torch.no_grad():
            module.eval()(example.new_zeros(1, *input_shape))
    except RuntimeError as error:
        if out_of_memory(error):
            raise
        raise cannot_take(input_shape, error) from error
    finally:
        module.train(training)
        for hook in hooks:
            hook.remove()
    return sum(held)
