"""The dense form of a tile network, which computes the same contributions with less work.

Adjacent tiles overlap, and a network that sees tiles separately computes their common context
several times. Without padding, its convolutions give the same values if they are applied to the
whole padded field: a layer's output for tile i is a window of the output for the field, at ``i *
focus / stride``. The first layer that combines the whole tile (Flatten and Linear, or a global
average) becomes a convolution with that window, whose stride is one tile.
"""

from __future__ import annotations

import torch
from torch import fx, nn

from ._dense_run import dense_graph, find_cut, find_strips, tiles_of
from ._layout import plain_module
from ._planner import NotConvolutional, Planner

# Largest difference between the dense and the tiled form in a trial, relative to the largest
# contribution: well above the round-off of float32.
_TOLERANCE = 1e-4


class DenseForm(nn.Module):
    """A tile network applied to a padded field in one pass, sharing the network's weights.

    Created by `as_convolution`. Takes padded fields of shape ``(n, n_channels, *padded)``, with
    axes of length ``n_tiles * focus + 2 * context``, and returns contributions of shape ``(n,
    n_outputs, *tile_grid)``. It is differentiable with respect to weights and fields.

    Attributes
    ----------
    module : torch.nn.Module
        The tile network.
    numbers_per_tile : int
        Numbers in the largest layer output, per tile of a large field.
    numbers_in_strips : int
        The same without gradients on the CPU, where large maps of the first layers are computed
        strip by strip.
    numbers_in_all_layers : int
        Numbers in all layer outputs, per tile of a large field.
    dense_work, tiled_work : int
        Multiplications per tile of a large field, in the dense form and for separate tiles.
    """

    def __init__(self, module, graph, planner):
        super().__init__()
        self.module = module
        nodes = list(graph.graph.nodes)
        work = planner.work
        self._cut = find_cut(nodes, planner.layers, work, planner.focus)
        self._strips = find_strips(nodes, planner.layers, planner.calls, self._cut)
        sizes = planner.numbers_per_tile(self._cut)
        self.numbers_per_tile, self.numbers_in_all_layers = max(sizes.values()), sum(sizes.values())
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
    """Return the exact dense form of a tile network.

    Parameters
    ----------
    module : torch.nn.Module
        A module that `torch.fx` can trace: layers and functions in any order, without branches
        that depend on values. Must be in eval mode if it contains batch normalisation or dropout.
    tiling : GridTiling
        Defines focus, context and channel axis.
    tile_shape : tuple of int
        Shape of a tile, ``(*window[, n_channels])``.

    Returns
    -------
    DenseForm

    Raises
    ------
    NotConvolutional
        If there is none. The message names the layer, which pads, mixes samples, has a stride that
        does not divide the focus, or is not supported.

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
        raise NotConvolutional(
            f"torch has convolutions in up to 3 dimensions, but the tiles have {len(window)}."
        )
    focus = tiling.focus_shape(tile_shape)
    module = plain_module(module)
    try:
        traced = fx.symbolic_trace(module)
    except Exception as error:  # a user's forward may raise anything when it is traced
        raise NotConvolutional(
            f"{type(module).__name__} cannot be traced by torch.fx: {error}"
        ) from error
    planner = Planner(traced, focus, module.training)
    example = next(iter(module.parameters()), torch.zeros(()))
    tile = torch.zeros(2, n_channels, *window, dtype=example.dtype, device=example.device)
    with torch.no_grad():
        planner.run(tile)
    dense = DenseForm(module, traced, planner)
    _compare(dense, n_channels, window, focus)
    return dense


def _compare(dense, n_channels, window, focus) -> None:
    """Compare both forms on noise, for two tiles along each axis."""
    module, training = dense.module, dense.module.training
    example = next(iter(module.parameters()), torch.zeros(()))
    shape = (1, n_channels, *(f + w for f, w in zip(focus, window, strict=True)))
    generator = torch.Generator().manual_seed(0)  # leaves the global generator unchanged
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
            f"The dense form differs from the tiled one by {difference:.1e}, for contributions up "
            f"to {largest:.1e}. A layer depends on the position in a tile."
        )
