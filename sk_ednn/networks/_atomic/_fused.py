"""Energies of atoms and their gradients in one function, whose derivative is written out.

Training on forces differentiates the network twice. Autograd's second derivative takes about twice
as long as the one below: it keeps, copies and adds many more arrays than there are products.

With values C of the representation, energies e_i(C) and G = ∂(Σ e_i)/∂C, a loss L has

    dL/dθ = ∂/∂θ [Σ_i ē_i e_i + D_T Σ_i e_i],      ē = ∂L/∂e,  T = ∂L/∂G,

where D_T is the derivative along T; the same holds for C in place of θ. The tangents of D_T go
forward through the network; on the way back, the gradients that belong to tangents are those that G
was made of, and are kept from there.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from ._fused_activations import CURVES

_Slices = list[tuple[int, slice]]


class PartialBatch(NamedTuple):
    """Results of whole structures, for a batch that contains only a part of them.

    Attributes
    ----------
    rows : Tensor of shape (n_centers, hidden + hidden of the context)
        The first layer with that of the context, before activations.
    context : Tensor of shape (n_structures, n)
    pressed : Tensor of shape (n_structures, n)
        Gradient of the energies of whole structures with respect to what an atom adds to the
        context.
    """

    rows: Tensor
    context: Tensor
    pressed: Tensor


def fused_energies_and_gradients(
    network, values: Tensor, batch, features, partial: PartialBatch | None = None
) -> tuple[Tensor, Tensor]:
    """Return energies of the atoms of whole structures, and gradients of their sum.

    Parameters
    ----------
    network : AbstractAtomicNetwork
    values : Tensor of shape (n_centers, ...)
        Values of the representation.
    batch : AtomicBatch
    features : FlatFeatures or SpectrumFeatures
        Features of the batch, from ``network.feature_map(batch)``.
    partial : PartialBatch, default=None
        First layer and context, for parts of structures, where gradients are not enabled.

    Returns
    -------
    contributions : Tensor of shape (n_centers,)
    gradients : Tensor of the shape of `values`
        Both are differentiable once with respect to the weights and the values, where gradients are
        enabled.
    """
    if not torch.is_grad_enabled():
        run = _Run(network, batch, features, partial)
        return run.energies(values), run.input_gradients()
    return _EnergiesAndGradients.apply(network, batch, features, values, *network.parameters())


def fused_energies(network, values: Tensor, batch, features) -> Tensor:
    """Return energies of the atoms, to the last bit those of `fused_energies_and_gradients`."""
    return _Run(network, batch, features).energies(values)


def fused_first_layer(network, values: Tensor, batch, features) -> Tensor:
    """Return the first layer with that of the context, before activations."""
    return _First(network, batch.species, features.widths)(features.values(values))


class _EnergiesAndGradients(torch.autograd.Function):
    @staticmethod
    def forward(ctx, network, batch, features, values, *parameters):
        ctx.run = run = _Run(network, batch, features)
        ctx.parameters = parameters
        return run.energies(values), run.input_gradients()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, by_energies, tangents):
        run = ctx.run
        gradients = run.parameter_gradients(by_energies, tangents)
        by_values = run.features.value_gradients() if ctx.needs_input_grad[3] else None
        return None, None, None, by_values, *[gradients.get(id(each)) for each in ctx.parameters]


class _Linear:
    """A linear map for each species, on rows sorted by species."""

    def __init__(self, maps, slices: _Slices):
        self.maps = [(atoms, *maps(number)) for number, atoms in slices]

    def __call__(self, x: Tensor) -> Tensor:
        _, weight, bias = self.maps[0]
        out = x.new_empty(len(x), len(weight))
        for atoms, weight, bias in self.maps:
            if bias is None:
                torch.mm(x[atoms], weight.t(), out=out[atoms])
            else:
                torch.addmm(bias, x[atoms], weight.t(), out=out[atoms])
        return out

    def tangent(self, x: Tensor) -> Tensor:
        out = x.new_empty(len(x), len(self.maps[0][1]))
        for atoms, weight, _ in self.maps:
            torch.mm(x[atoms], weight.t(), out=out[atoms])
        return out

    def pull(self, gradients: Tensor) -> Tensor:
        out = gradients.new_empty(len(gradients), self.maps[0][1].shape[1])
        for atoms, weight, _ in self.maps:
            torch.mm(gradients[atoms], weight, out=out[atoms])
        return out

    def parameter_gradients(self, into: dict, second, x, gradients, tangents) -> None:
        """Add gradients of ``Σ second · (W x + b) + Σ gradients · (W tangents)``."""
        for atoms, weight, bias in self.maps:
            by_weight = second[atoms].t() @ x[atoms]
            into[id(weight)] = by_weight.addmm_(gradients[atoms].t(), tangents[atoms])
            if bias is not None:
                into[id(bias)] = second[atoms].sum(0)


class _First:
    """The first layer, on features that are not standardised and come in parts."""

    def __init__(self, network, slices: _Slices, widths):
        self.maps = []
        bounds = [0]
        for width in widths:
            bounds.append(bounds[-1] + width)
        self.columns = [slice(*pair) for pair in pairwise(bounds)]
        for number, atoms in slices:
            layer = network.first[number]
            self.maps.append((atoms, layer, *layer.folded()))

    def __call__(self, parts) -> Tensor:
        out = parts[0].new_empty(len(parts[0]), len(self.maps[0][2]))
        for atoms, _, weight, bias in self.maps:
            rows = out[atoms]
            torch.addmm(bias, parts[0][atoms], weight[:, self.columns[0]].t(), out=rows)
            for part, columns in zip(parts[1:], self.columns[1:], strict=True):
                rows.addmm_(part[atoms], weight[:, columns].t())
        return out

    def tangent(self, parts) -> Tensor:
        out = parts[0].new_empty(len(parts[0]), len(self.maps[0][2]))
        for atoms, _, weight, _ in self.maps:
            rows = out[atoms]
            torch.mm(parts[0][atoms], weight[:, self.columns[0]].t(), out=rows)
            for part, columns in zip(parts[1:], self.columns[1:], strict=True):
                rows.addmm_(part[atoms], weight[:, columns].t())
        return out

    def pull(self, gradients):
        parts = []
        for columns in self.columns:
            out = gradients.new_empty(len(gradients), columns.stop - columns.start)
            for atoms, _, weight, _ in self.maps:
                torch.mm(gradients[atoms], weight[:, columns], out=out[atoms])
            parts.append(out)
        return parts

    def parameter_gradients(self, into: dict, second, parts, gradients, tangents) -> None:
        for atoms, layer, weight, _ in self.maps:
            out = torch.empty_like(weight)
            for part, tangent, columns in zip(parts, tangents, self.columns, strict=True):
                target = out[:, columns]
                torch.mm(second[atoms].t(), part[atoms], out=target)
                target.addmm_(gradients[atoms].t(), tangent[atoms])
            by_bias = second[atoms].sum(0)
            # The layer maps (x - mean) / scale.
            out.addr_(by_bias, layer.mean, alpha=-1).div_(layer.scale)
            into[id(layer.map.weight)] = out
            into[id(layer.map.bias)] = by_bias


class _Run:
    """One batch on its way through a network."""

    def __init__(self, network, batch, features, partial=None):
        self.batch, self.width, self.partial = batch, network._width, partial
        slices = batch.species
        self.features = features
        self.first = _First(network, slices, self.features.widths)
        self.layers = [_Linear(lambda n, of=of: _maps(of[n]), slices) for of in network.layers]
        self.curve = CURVES[type(network.activation)]
        self.context = network.context
        if self.context is not None:
            self.last = _Linear(lambda n: _maps(network.context.last[n]), slices)
            self.join = _Linear(lambda n: _maps(network.context.join[n]), slices)
            self.share = 1 / batch.sizes.to(network.first[slices[0][0]].map.weight.dtype)[:, None]

    def _averaged(self, rows):
        """Return sums over the atoms of each structure, divided by their number."""
        zeros = rows.new_zeros(self.batch.n_structures, rows.shape[1])
        return zeros.index_add_(0, self.batch.owners, rows).mul_(self.share)

    def _apart(self, averages):
        """Return the adjoint of `_averaged`."""
        return (averages * self.share)[self.batch.owners]

    def energies(self, values):
        if self.partial is None:
            self.parts = self.features.values(values)
            rows = self.first(self.parts)
        else:
            self.features.prepare(values)
            rows = self.partial.rows
        if self.context is not None:
            rows, self.u = rows[:, : self.width], rows[:, self.width :]
            self.au, self.du = self.curve.both(self.u)
            if self.partial is None:
                context = self._averaged(self.last(self.au))
            else:
                context = self.partial.context
            self.seen = context[self.batch.owners]
            rows = rows + self.join(self.seen)
        self.z, self.a, self.d = [], [], []
        for layer in self.layers:
            a, d = self.curve.both(rows)
            self.z.append(rows)
            self.a.append(a)
            self.d.append(d)
            rows = layer(a)
        return rows[:, 0]

    def input_gradients(self):
        gradients = self.a[-1].new_ones(len(self.a[-1]), 1)
        self.by_out, self.by_a = [], []  # of each layer: gradients of its output and its input
        for layer, d in zip(reversed(self.layers), reversed(self.d), strict=True):
            self.by_out.append(gradients)
            by_a = layer.pull(gradients)
            self.by_a.append(by_a)
            gradients = by_a * d
        self.by_out.reverse()
        self.by_a.reverse()
        if self.context is not None:
            self.by_z = gradients
            if self.partial is None:
                self.by_h = self._apart(self._summed(self.join.pull(gradients)))
            else:
                # An atom moves the energies of all others through the average that it adds to.
                self.by_h = self.partial.pressed[self.batch.owners]
            self.by_au = self.last.pull(self.by_h)
            gradients = torch.cat([gradients, self.by_au * self.du], 1)
        self.by_first = gradients
        return self.features.pull(self.first.pull(gradients))

    def _summed(self, rows):
        zeros = rows.new_zeros(self.batch.n_structures, rows.shape[1])
        return zeros.index_add_(0, self.batch.owners, rows)

    def parameter_gradients(self, by_energies, tangents) -> dict[int, Tensor]:
        """Return gradients of ``Σ by_energies e + D_tangents Σ e`` by the id of each parameter."""
        into: dict[int, Tensor] = {}
        moved_parts = self.features.tangent(tangents)
        moved = self.first.tangent(moved_parts)
        if self.context is not None:
            moved, moved_u = moved[:, : self.width], moved[:, self.width :]
            moved_au = self.du * moved_u
            moved_seen = self._averaged(self.last.tangent(moved_au))[self.batch.owners]
            moved = moved + self.join.tangent(moved_seen)
        moved_z, moved_a = [], []
        for layer, d in zip(self.layers, self.d, strict=True):
            moved_z.append(moved)
            moved_a.append(d * moved)
            moved = layer.tangent(moved_a[-1])
        second = by_energies[:, None]
        for k in range(len(self.layers) - 1, -1, -1):
            layer = self.layers[k]
            layer.parameter_gradients(into, second, self.a[k], self.by_out[k], moved_a[k])
            second = layer.pull(second).mul_(self.d[k])
            bend = self.curve.second(self.z[k], self.a[k], self.d[k])
            second.addcmul_(bend.mul_(moved_z[k]), self.by_a[k])
        if self.context is not None:
            self.join.parameter_gradients(into, second, self.seen, self.by_z, moved_seen)
            second_h = self._apart(self._summed(self.join.pull(second)))
            self.last.parameter_gradients(into, second_h, self.au, self.by_h, moved_au)
            second_u = self.last.pull(second_h).mul_(self.du)
            bend = self.curve.second(self.u, self.au, self.du)
            second_u.addcmul_(bend.mul_(moved_u), self.by_au)
            second = torch.cat([second, second_u], 1)
        self.first.parameter_gradients(into, second, self.parts, self.by_first, moved_parts)
        self.features.parameter_gradients(into, self.first.pull, second)
        return into


def _maps(layer):
    return layer.weight, layer.bias
