"""Execution of a dense form: its first layers strip by strip, its last layers tile by tile.

The first layers of most networks have many channels on a large map. Writing these maps to memory
and reading them takes longer than the arithmetic, but strips of rows fit in the processor's caches.
The last layers see fewer positions of each tile than there are between adjacent foci. There the
windows of tiles are cut out, so that no unused values are computed.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import prod
from operator import attrgetter
from typing import Any

import torch
from torch import fx, nn

from ._layout import FORMATS as _LAYOUTS

# Tiles are cut out where that saves at least this fraction of the multiplications, and this number
# of multiplications for each number that is copied.
_MIN_SAVING = 0.05
_SAVED_PER_COPY = 32


@dataclass(frozen=True)
class Strips:
    """The first layers of a network, without branches, up to where a large map has shrunk.

    Attributes
    ----------
    names : tuple of str
        Nodes of the traced network, starting with its input.
    layers : tuple of callable
        The layers of these nodes, without the input.
    seen, step : int
        Rows of the field that a row of the result sees, and rows between adjacent ones.
    numbers : float
        Numbers in the largest intermediate map, per site of the field.
    strip_numbers : int
        Numbers in the largest map of a strip: 8 MB, of which a large part fits into caches.
    min_strips : int
        Maps of fewer strips are not divided, because they fit in the cache that cores share.
    min_rows : int
        Minimum number of rows of a strip, in units of the rows that adjacent strips both compute.
    """

    names: tuple[str, ...]
    layers: tuple[Any, ...]
    seen: int
    step: int
    numbers: float
    strip_numbers: int = 1 << 21
    min_strips: int = 4
    min_rows: int = 8

    def run(self, fields) -> torch.Tensor | None:
        """Return the result, or None if there would be few strips."""
        n_rows = (fields.shape[2] - self.seen) // self.step + 1
        per_row = self.numbers * fields[:, 0, 0].numel() * self.step
        rows_per_strip = max(
            int(self.strip_numbers // per_row),
            -(-self.min_rows * (self.seen - self.step) // self.step),
        )
        n_strips = -(-n_rows // rows_per_strip)
        if n_strips < self.min_strips:
            return None
        rows_per_strip = -(-n_rows // n_strips)
        out: Any = None
        for start in range(0, n_rows, rows_per_strip):
            stop = min(start + rows_per_strip, n_rows)
            strip = fields[:, :, start * self.step : (stop - 1) * self.step + self.seen]
            for layer in self.layers:
                strip = layer(strip)
            if out is None:
                out = _like(strip, n_rows)
            out[:, :, start:stop] = strip
        return out


class _Step(nn.Module):
    """A replaced step; it refers to the layers that it calls without registering them."""

    def __init__(self, function):
        super().__init__()
        self._function = function

    def forward(self, *args, **kwargs):
        return self._function(*args, **kwargs)


def dense_graph(traced, steps, cut, after=None) -> fx.GraphModule:
    """Return a traced network for whole fields, with some of its steps replaced.

    The result is an ordinary module, which supports `torch.compile` and `torch.export`.

    Parameters
    ----------
    traced : torch.fx.GraphModule
    steps : dict of str to callable
        Replacements of steps, by the name of the node.
    cut : Cut or None
        The step after which to continue tile by tile.
    after : Strips or None
        Layers to omit; the module then takes their result.
    """
    graph, parts, copies = fx.Graph(), {}, {}
    grid = None  # shape of the tile grid, after the cut
    omitted = set() if after is None else set(after.names)

    def call(name, function, args, kwargs):
        name = f"sk_ednn_{name}"  # distinct from the names of layers
        parts[name] = _Step(function)
        return graph.call_module(name, args, kwargs)

    def copied(node):
        if node.name in omitted:
            if node.name != after.names[-1]:
                return None
            return graph.placeholder(node.name)
        if node.op == "output":
            (value,) = fx.node.map_arg(node.args, copies.__getitem__)
            if grid is not None:
                value = call("joined", _joined, (value, grid), {})
            elif node.name in steps:
                value = call(f"step_{node.name}", steps[node.name], (value,), {})
            return graph.output(value)
        if node.name in steps and grid is None:
            arguments = node.args, node.kwargs
            args, kwargs = (fx.node.map_arg(part, copies.__getitem__) for part in arguments)
            return call(f"step_{node.name}", steps[node.name], args, kwargs)
        if node.op in ("call_module", "get_attr"):
            parts[node.target] = attrgetter(node.target)(traced)
        return graph.node_copy(node, copies.__getitem__)

    for node in traced.graph.nodes:
        value = copied(node)
        if value is not None and cut is not None and node.name == cut.name:
            grid = call("grid", cut.grid, (value,), {})
            value = call("cut", cut.apart, (value,), {})
        copies[node] = value
    return fx.GraphModule(parts, graph)


def _joined(rows, grid) -> torch.Tensor:
    """Return rows of tiles as a map (n, n_outputs, *tile_grid)."""
    return rows.reshape(*grid, -1).movedim(-1, 1)


@dataclass(frozen=True)
class Cut:
    """The step after which a network continues tile by tile.

    Attributes
    ----------
    name : str
        Name of the node.
    window, step : tuple of int
        Positions of its result that a tile sees, and positions between adjacent tiles.
    work : int
        Total number of multiplications per tile.
    flat : bool
        Whether the network has flattened the result to one row per tile.
    """

    name: str
    window: tuple[int, ...]
    step: tuple[int, ...]
    work: int
    flat: bool = False

    def grid(self, value) -> tuple[int, ...]:
        """Return the number of samples of a map, and of tiles along each axis."""
        along = zip(value.shape[2:], self.window, self.step, strict=True)
        return (value.shape[0], *((length - w) // s + 1 for length, w, s in along))

    def apart(self, value) -> torch.Tensor:
        """Return the windows of all tiles of a map, one after another."""
        if prod(self.window) == 1:
            # Without unfold, whose gradient is slow.
            rows = every(value, self.step).movedim(1, -1)
            rows = rows.reshape(-1, rows.shape[-1])
            return rows if self.flat else rows[(..., *[None] * len(self.step))]
        tiles = tiles_of(value, self.window, self.step)
        if not _is_laid_out(value):
            return tiles.reshape(-1, *tiles.shape[value.ndim - 1 :])
        # Keep the layout of the map in one copy, because the weights of later layers have it.
        tiles = tiles.movedim(value.ndim - 1, -1)
        return tiles.reshape(-1, *tiles.shape[value.ndim - 1 :]).movedim(-1, 1)


def find_cut(nodes, layers, work, focus) -> Cut | None:
    """Return the step after which to continue tile by tile, None if that saves no time.

    It saves time if it saves multiplications, or else from where the network flattens tiles: matrix
    products with a row for each tile take less time than those of maps, and their gradients much
    less.

    Parameters
    ----------
    nodes : list of torch.fx.Node
    layers : dict of str to Layer
        By the name of the node.
    work : dict of str to (int, int)
        Multiplications per tile, in the dense form and for a separate tile.
    focus : tuple of int
    """
    whole = sum(dense for dense, _ in work.values())
    best = rows = None
    for number, node in enumerate(nodes):
        layer = layers.get(node.name)
        if layer is None or node.op in ("placeholder", "output"):
            continue
        after = set(nodes[number + 1 :])
        # Later steps may use no other result than this one.
        if any(
            user in after
            for other in nodes[:number]
            if other.op != "get_attr"
            for user in other.users
        ):
            continue
        step = tuple(f // s for f, s in zip(focus, layer.stride, strict=True))
        later = [other.name for other in nodes[number + 1 :] if other.name in layers]
        products = sum(work.get(name, (0, 0))[1] for name in later)
        if layer.flat:
            if rows is None and layer.is_vector and products:
                rows = Cut(node.name, layer.window, step, whole, flat=True)
            continue
        mixed = sum(work.get(other.name, (0, 0))[k > number] for k, other in enumerate(nodes))
        if all(layers[name].flat for name in later):
            if products >= _SAVED_PER_COPY * prod(layer.shape):
                rows = Cut(node.name, layer.window, step, mixed)
        saved = whole - mixed
        if saved > max(_MIN_SAVING * whole, _SAVED_PER_COPY * prod(layer.shape)):
            if best is None or mixed < best.work:
                best = Cut(node.name, layer.window, step, mixed)
    return best or rows


def find_strips(nodes, layers, calls, cut) -> Strips | None:
    """Return the first layers if strips reduce their memory, else None.

    Parameters
    ----------
    nodes : list of torch.fx.Node
    layers : dict of str to Layer
    calls : dict of str to (callable, int, int)
        Layers that can run on strips, with their kernel (including dilation) and stride along the
        first axis of the field.
    cut : Cut or None
    """
    names, calls_in_strips = [nodes[0].name], []
    seen, step, largest, current = 1, 1, 0.0, 0.0
    for before, node in pairwise(nodes):
        if node.name not in calls or len(before.users) > 1:
            break
        call, kernel, stride = calls[node.name]
        layer = layers[node.name]
        numbers = layer.shape[0] / prod(layer.stride)
        if not calls_in_strips and kernel == 1:
            break  # no benefit, and in-place layers would modify the field
        if calls_in_strips and (kernel, stride) != (1, 1) and 2 * current <= largest:
            break  # the map has already shrunk
        names.append(node.name)
        calls_in_strips.append(call)
        seen, step = seen + (kernel - 1) * step, step * stride
        current, largest = numbers, max(largest, numbers)
        if cut is not None and node.name == cut.name:
            break
    if not calls_in_strips or 2 * current > largest:
        return None
    return Strips(tuple(names), tuple(calls_in_strips), seen, step, largest)


def tiles_of(padded, window, focus) -> torch.Tensor:
    """Return the tiles of padded fields as a view, (n, *tile_grid, n_channels, *window)."""
    tiles = padded
    for axis, (w, f) in enumerate(zip(window, focus, strict=True), start=2):
        tiles = tiles.unfold(axis, w, f)
    return tiles.movedim(1, 1 + len(focus))


def every(x, step) -> torch.Tensor:
    """Return every `step`-th position of a map along each axis."""
    if all(s == 1 for s in step):
        return x
    return x[(slice(None), slice(None), *(slice(None, None, s) for s in step))]


def _like(strip, n_rows) -> torch.Tensor:
    """Return an empty map for all rows, in the layout of a strip."""
    shape = (*strip.shape[:2], n_rows, *strip.shape[3:])
    layout = _LAYOUTS[strip.ndim] if _is_laid_out(strip) else torch.contiguous_format
    return torch.empty(shape, dtype=strip.dtype, device=strip.device, memory_format=layout)


def _is_laid_out(x) -> bool:
    """Return True for the channels-last layout."""
    return x.ndim in _LAYOUTS and x.is_contiguous(memory_format=_LAYOUTS[x.ndim])
