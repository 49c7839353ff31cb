"""How a dense form is run: its first layers strip by strip, its last ones tile by tile.

The first layers of most networks have many channels on a large map: written to memory as a whole
and read again, they take longer than their arithmetic. Strips of rows stay in the caches. The last
layers see few places of each tile, fewer than there are from one focus to the next: there the
windows of the tiles are cut out, and nothing is computed that no tile needs.
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

# Numbers in the largest map of a strip: 8 MB, of which the caches hold a good part. A map of fewer
# than four of these is run as a whole: the cache that cores share holds it.
_STRIP_NUMBERS = 1 << 21
_LEAST_STRIPS = 4
# Strips have so many times the rows that two neighbours both compute.
_LEAST_ROWS = 8
# A network goes on tile by tile where that saves this share of its multiplications, and so many
# for each number that is copied.
_WORTH_CUTTING = 0.05
_PER_NUMBER = 32


@dataclass(frozen=True)
class Strips:
    """The first layers of a network, without branches, which shrink a large map.

    Attributes
    ----------
    names : tuple of str
        Steps of the traced network, its input first.
    layers : tuple of callable
        What they do, the input left out.
    seen, step : int
        Rows of the field that a row of the result sees, and rows to the next.
    numbers : float
        In the largest map on the way, for each site of the field.
    """

    names: tuple[str, ...]
    layers: tuple[Any, ...]
    seen: int
    step: int
    numbers: float

    def run(self, fields) -> torch.Tensor | None:
        """Return the result, or None where strips would be few."""
        n_rows = (fields.shape[2] - self.seen) // self.step + 1
        per_row = self.numbers * fields[:, 0, 0].numel() * self.step
        at_once = max(
            int(_STRIP_NUMBERS // per_row), -(-_LEAST_ROWS * (self.seen - self.step) // self.step)
        )
        n_strips = -(-n_rows // at_once)
        if n_strips < _LEAST_STRIPS:
            return None
        at_once = -(-n_rows // n_strips)
        out: Any = None
        for start in range(0, n_rows, at_once):
            stop = min(start + at_once, n_rows)
            strip = fields[:, :, start * self.step : (stop - 1) * self.step + self.seen]
            for layer in self.layers:
                strip = layer(strip)
            if out is None:
                out = _like(strip, n_rows)
            out[:, :, start:stop] = strip
        return out


class _Step(nn.Module):
    """What stands in the place of a step; it holds the layers it calls, and registers none."""

    def __init__(self, function):
        super().__init__()
        self._function = function

    def forward(self, *args, **kwargs):
        return self._function(*args, **kwargs)


def dense_graph(traced, steps, cut, after=None) -> fx.GraphModule:
    """Return a traced network over fields, with some of its steps replaced.

    A module like any other, which `torch.compile` and `torch.export` follow.

    Parameters
    ----------
    traced : torch.fx.GraphModule
    steps : dict of str to callable
        What replaces steps, by their names.
    cut : Cut or None
        Where to go on tile by tile.
    after : Strips or None
        Begin behind these layers, with their result.
    """
    graph, parts, known = fx.Graph(), {}, {}
    grid = None  # of tiles, behind the cut
    left_out = set() if after is None else set(after.names)

    def call(name, function, args, kwargs):
        name = f"sk_ednn_{name}"  # no layer's own
        parts[name] = _Step(function)
        return graph.call_module(name, args, kwargs)

    def copied(node):
        if node.name in left_out:
            if node.name != after.names[-1]:
                return None
            return graph.placeholder(node.name)
        if node.op == "output":
            (value,) = fx.node.map_arg(node.args, known.__getitem__)
            if grid is not None:
                value = call("joined", _joined, (value, grid), {})
            elif node.name in steps:
                value = call(f"step_{node.name}", steps[node.name], (value,), {})
            return graph.output(value)
        if node.name in steps and grid is None:
            args, kwargs = (fx.node.map_arg(x, known.__getitem__) for x in (node.args, node.kwargs))
            return call(f"step_{node.name}", steps[node.name], args, kwargs)
        if node.op in ("call_module", "get_attr"):
            parts[node.target] = attrgetter(node.target)(traced)
        return graph.node_copy(node, known.__getitem__)

    for node in traced.graph.nodes:
        value = copied(node)
        if value is not None and cut is not None and node.name == cut.name:
            grid = call("grid", cut.grid, (value,), {})
            value = call("cut", cut.apart, (value,), {})
        known[node] = value
    return fx.GraphModule(parts, graph)


def _joined(rows, grid) -> torch.Tensor:
    """Return rows for tiles as a map (n, n_outputs, *tile_grid)."""
    return rows.reshape(*grid, -1).movedim(-1, 1)


@dataclass(frozen=True)
class Cut:
    """The step behind which a network goes on tile by tile.

    Attributes
    ----------
    name : str
        Of the step.
    window, step : tuple of int
        Places of its result that a tile sees, and places to the next tile.
    work : int
        Multiplications for each tile, before and after.
    flat : bool
        Whether the network has flattened the result, so that it is a row for each tile.
    """

    name: str
    window: tuple[int, ...]
    step: tuple[int, ...]
    work: int
    flat: bool = False

    def grid(self, value) -> tuple[int, ...]:
        """Return how many samples a map has, and how many tiles along each axis."""
        along = zip(value.shape[2:], self.window, self.step, strict=True)
        return (value.shape[0], *((length - w) // s + 1 for length, w, s in along))

    def apart(self, value) -> torch.Tensor:
        """Return what each tile sees of a map, a row for each."""
        if prod(self.window) == 1:
            # Without unfold, whose derivative is slow.
            rows = every(value, self.step).movedim(1, -1)
            rows = rows.reshape(-1, rows.shape[-1])
            return rows if self.flat else rows[(..., *[None] * len(self.step))]
        tiles = tiles_of(value, self.window, self.step)
        if not _is_laid_out(value):
            return tiles.reshape(-1, *tiles.shape[value.ndim - 1 :])
        # As the map was, in one copy: the layers behind were laid out for it.
        tiles = tiles.movedim(value.ndim - 1, -1)
        return tiles.reshape(-1, *tiles.shape[value.ndim - 1 :]).movedim(-1, 1)


def find_cut(nodes, layers, work, focus) -> Cut | None:
    """Return where to go on tile by tile, None where that does not pay.

    It pays where it saves multiplications, and else from where the network flattens tiles: products
    of matrices with a row for each tile take less time than those of maps, and their derivatives
    much less.

    Parameters
    ----------
    nodes : list of torch.fx.Node
    layers : dict of str to Layer
        By the names of nodes.
    work : dict of str to (int, int)
        Multiplications for each tile, in the dense form and for a tile by itself.
    focus : tuple of int
    """
    whole = sum(dense for dense, _ in work.values())
    best = rows = None
    for number, node in enumerate(nodes):
        layer = layers.get(node.name)
        if layer is None or node.op in ("placeholder", "output"):
            continue
        after = set(nodes[number + 1 :])
        # Nothing but this result may be wanted later.
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
            if products >= _PER_NUMBER * prod(layer.shape):
                rows = Cut(node.name, layer.window, step, mixed)
        saved = whole - mixed
        if saved > max(_WORTH_CUTTING * whole, _PER_NUMBER * prod(layer.shape)):
            if best is None or mixed < best.work:
                best = Cut(node.name, layer.window, step, mixed)
    return best or rows


def find_strips(nodes, layers, calls, cut) -> Strips | None:
    """Return the first layers if strips of them need less memory, else None.

    Parameters
    ----------
    nodes : list of torch.fx.Node
    layers : dict of str to Layer
    calls : dict of str to (callable, int, int)
        What a layer does that may be run on strips, and its kernel (from its first to its last
        site) and stride along the first axis of the field.
    cut : Cut or None
    """
    names, done = [nodes[0].name], []
    seen, step, largest, held = 1, 1, 0.0, 0.0
    for before, node in pairwise(nodes):
        if node.name not in calls or len(before.users) > 1:
            break
        call, kernel, stride = calls[node.name]
        layer = layers[node.name]
        numbers = layer.shape[0] / prod(layer.stride)
        if not done and kernel == 1:
            break  # nothing is gained, and what works in place would write to the field
        if done and (kernel, stride) != (1, 1) and 2 * held <= largest:
            break  # the map has shrunk already
        names.append(node.name)
        done.append(call)
        seen, step = seen + (kernel - 1) * step, step * stride
        held, largest = numbers, max(largest, numbers)
        if cut is not None and node.name == cut.name:
            break
    if not done or 2 * held > largest:
        return None
    return Strips(tuple(names), tuple(done), seen, step, largest)


def tiles_of(padded, window, focus) -> torch.Tensor:
    """Return the tiles of padded fields as a view, (n, *tile_grid, n_channels, *window)."""
    tiles = padded
    for axis, (w, f) in enumerate(zip(window, focus, strict=True), start=2):
        tiles = tiles.unfold(axis, w, f)
    return tiles.movedim(1, 1 + len(focus))


def every(x, step) -> torch.Tensor:
    """Take one place a tile of a map whose places are closer than that."""
    if all(s == 1 for s in step):
        return x
    return x[(slice(None), slice(None), *(slice(None, None, s) for s in step))]


def _like(strip, n_rows) -> torch.Tensor:
    """Return room for all rows, in the layout of a strip."""
    shape = (*strip.shape[:2], n_rows, *strip.shape[3:])
    layout = _LAYOUTS[strip.ndim] if _is_laid_out(strip) else torch.contiguous_format
    return torch.empty(shape, dtype=strip.dtype, device=strip.device, memory_format=layout)


def _is_laid_out(x) -> bool:
    """Tell whether channels lie next to each other."""
    return x.ndim in _LAYOUTS and x.is_contiguous(memory_format=_LAYOUTS[x.ndim])
