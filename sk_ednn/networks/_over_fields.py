"""Sums of a tile network over the tiles of whole fields, in the dense form or tile by tile."""

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
# Numbers in the largest layer output of a part of a field, in the dense form on a CPU. With fewer,
# too much context would be computed twice. On accelerators only memory limits the size of a part.
_PART_NUMBERS = 1 << 24
# The dense form is used if it reduces multiplications by at least this factor. Without a saving,
# one matrix product over many tiles is faster than a convolution.
_MIN_SAVING = 1.05


class SumOverTiles(nn.Module):
    """Sum a tile network over all tiles of a field.

    This is the module that `EDNNRegressor` trains, which you can also use in your torch code. If
    the network has an exact dense form (see `as_convolution`) that saves work, no context is
    computed twice; otherwise tiles are cut out of the padded field. Fields are processed in parts.
    If layer outputs for the backward pass would exceed `max_bytes`, they are recomputed there, so
    that memory does not limit the size of fields.

    Parameters
    ----------
    module : torch.nn.Module
        Maps tiles (n_tiles, n_channels, *window) to (n_tiles, n_outputs).
    tiling : GridTiling
    tile_shape : tuple of int
        Shape of a tile, ``(*window[, n_channels])``.
    form : {"auto", "dense", "tiled"}, default="auto"
        "dense" raises if there is no exact dense form.
    max_bytes : int, default=2**30
        Maximum memory of layer outputs between the forward and the backward pass.
    max_tiles : int or None, default=None
        Maximum number of tiles at a time. With None, as many as suit `max_bytes` and, on the CPU,
        the caches.
    compile : dict or None, default=None
        Options of `torch.compile` for the form in use, such as ``{}`` or ``{"mode":
        "reduce-overhead"}`` for CUDA graphs. None to not compile.
    standardization : Standardization or None, default=None
        Applied to padded fields, so that zeros beyond a boundary are zeros in the units of the
        fields. Fields in float64 are then rounded to the precision of the network.

    Attributes
    ----------
    form_ : {"dense", "tiled"}
        The form in use.
    reason_ : str
        The reason for this form.

    Raises
    ------
    NotConvolutional
        If ``form="dense"`` and there is none; the message names the layer.

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
        self, module, tiling, tile_shape, *, form="auto", max_bytes=2**30, max_tiles=None,
        compile=None, standardization=None,
    ):  # fmt: skip
        super().__init__()
        if form not in FORMS:
            raise TileModelError(f"form must be one of {FORMS}, got {form!r}.")
        self.module = module
        self.tiling = tiling
        self.tile_shape = tuple(tile_shape)
        self.max_bytes = max_bytes
        self.max_tiles = max_tiles
        self.standardization = standardization
        self._focus = tiling.focus_shape(self.tile_shape)
        self._window = self.tile_shape[: len(self._focus)]
        n_channels = prod(self.tile_shape) // prod(self._window)
        self._laid_out = lay_out(module, (n_channels, *self._window))
        # In tuples, so that the weights are not registered twice.
        self._dense, self.reason_ = self._choose(form)
        self._compiled = ()
        if compile is not None:
            form = self._dense[0] if self._dense else plain_module(module)
            self._compiled = (torch.compile(form, **compile),)
        self._n_outputs = None

    @property
    def form_(self) -> str:
        """The form in use."""
        return "dense" if self._dense else "tiled"

    def _choose(self, form):
        if form == "tiled":
            return (), "It was requested."
        try:
            dense = as_convolution(self.module, self.tiling, self.tile_shape)
        except NotConvolutional as error:
            if form == "dense":
                raise
            return (), str(error)
        saving = dense.tiled_work / max(dense.dense_work, 1)
        if form == "auto" and saving < _MIN_SAVING:
            return (), "The dense form is exact, but saves no work."
        return (dense,), f"It is exact and needs {saving:.1f} times fewer multiplications."

    def forward(self, fields, network=None, finish=None):
        """Return the totals of fields.

        Parameters
        ----------
        fields : Tensor of shape (n, n_channels, *grid)
        network : function, default=None
            Called with tiles instead of the module, in the tiled form.
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
        inputs = padded(fields, self.tiling.padded_positions(shape))
        if self.standardization is not None:
            inputs = self.standardization(inputs).to(self._dtype(fields))
        inputs = laid_out(inputs) if self._dense else inputs
        n_tiles, max_tiles = prod(grid), self._max_tiles(inputs)
        (dense,) = self._compiled or self._dense or (None,)

        def contributions(part):
            out = dense(part) if self._dense else self._tile_by_tile(part, network)
            return (out if finish is None else finish(out)).flatten(2).sum(2)

        run = contributions
        n_bytes = len(fields) * n_tiles * self._numbers_per_tile() * inputs.element_size()
        if torch.is_grad_enabled() and n_bytes > self.max_bytes:
            run = partial(checkpoint, contributions, use_reentrant=False)
        step = max(1, max_tiles // n_tiles)
        regions = [self._region(box) for box in boxes(grid, max_tiles)]
        totals = []
        for start in range(0, len(fields), step):
            part = inputs[start : start + step]
            totals.append(sum(run(part[(slice(None), slice(None), *box)]) for box in regions))
        return torch.cat(totals)

    def _dtype(self, fields):
        """Return the precision of the network's weights."""
        return next((p.dtype for p in self.module.parameters()), fields.dtype)

    def _region(self, box) -> tuple[slice, ...]:
        """Return the region of a padded field that a box of tiles sees."""
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

    def _max_tiles(self, inputs) -> int:
        """Return the number of tiles to process at a time."""
        if self.module.training and mixes_tiles(self.module):
            return inputs.numel()
        n_tiles = int(self.max_bytes // (inputs.element_size() * self._numbers_per_tile()))
        if self.max_tiles is not None:
            return max(min(n_tiles, self.max_tiles), 1)
        if inputs.device.type == "cpu":
            n_tiles = min(
                n_tiles,
                _PART_NUMBERS // self._dense[0].numbers_per_tile
                if self._dense
                else tiles_together(prod(self._window) * inputs.shape[1]),
            )
        return max(n_tiles, 1)

    def _numbers_per_tile(self) -> int:
        """Return the numbers in all layer outputs, which the backward pass needs, per tile."""
        if self._dense:
            return self._dense[0].numbers_in_all_layers
        if self._n_outputs is None:
            n_channels = prod(self.tile_shape) // prod(self._window)
            self._n_outputs = layer_outputs(self.module, (n_channels, *self._window))
        return self._n_outputs


class SumOfBranches(nn.ModuleList):
    """The sum of several networks over the same fields, each with a tiling."""

    def forward(self, fields, network=None, finish=None):
        """Return the totals of fields, (n, n_outputs)."""
        return sum(branch(fields, finish=finish) for branch in self)

    @property
    def max_bytes(self):
        """Maximum memory of the layer outputs of each network."""
        return self[0].max_bytes

    @max_bytes.setter
    def max_bytes(self, value):
        for branch in self:
            branch.max_bytes = value


def tiles_together(n_inputs) -> int:
    """Return the number of tiles of this size to pass to a network at a time on the CPU.

    Layer outputs of few tiles fit in the caches, which for perceptrons is up to twice as fast as
    processing all tiles at once. Convolutions need more tiles to be efficient.
    """
    by_cache, by_work = (1 << 16) // max(n_inputs, 1), (1 << 19) // max(n_inputs, 1)
    return max(1, min(max(by_cache, min(by_work, 256)), 4096))


def row_per_tile(out, tiles):
    """Check a network's output for tiles; return it as (n_tiles, n_outputs)."""
    out = out[0] if isinstance(out, tuple) else out
    out = out[:, None] if out.ndim == 1 else out
    if out.ndim != 2 or len(out) != len(tiles):
        raise TileModelError(
            "The network must return one row of outputs per tile, but for input of shape "
            f"{tuple(tiles.shape)} it returned shape {tuple(out.shape)}."
        )
    return out


def mixes_tiles(module) -> bool:
    """Return True if the output for a tile depends, in training, on the other tiles of a batch."""
    return any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in module.modules())


def layer_outputs(module, input_shape) -> int:
    """Return the numbers in all layer outputs of a network for one tile, input included."""
    sizes = [prod(input_shape)]

    def count(layer, inputs, output):
        if isinstance(output, torch.Tensor):
            sizes.append(output.numel())

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
    return sum(sizes)
