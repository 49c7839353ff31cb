"""Features of atoms for `_fused`, with their derivatives written out."""

from __future__ import annotations

import torch


class FlatFeatures:
    """Features that are the values of the representation."""

    def __init__(self, batch, width):
        self.widths = [width]

    def prepare(self, values):
        self.shape = values.shape

    def values(self, values):
        self.prepare(values)
        return [values.flatten(1)]

    def pull(self, gradients):
        return gradients[0].reshape(self.shape)

    def tangent(self, tangents):
        return [tangents.flatten(1)]

    def parameter_gradients(self, into, pull, second):
        self.by_features = pull, second

    def value_gradients(self):
        """Return gradients with respect to values, after `parameter_gradients`."""
        pull, second = self.by_features
        return self.pull(pull(second))


class SpectrumFeatures:
    """Channels of degree 0 and the power spectrum of mixed channels.

    Parameters
    ----------
    batch : AtomicBatch
    mix : PerSpecies
        Contains modules with ``weight`` (l_max + 1, n_in, channels), the ``degree`` of each row of
        harmonics, 1 in the column of its ``own`` degree, and the ``expanded`` matrix of each row.
    l_max, partners : int
    """

    def __init__(self, batch, mix, l_max, partners):
        self.slices, self.l_max, self.partners = batch.species, l_max, partners
        layers = [mix[number] for number, _ in self.slices]
        self.weights = [layer.weight for layer in layers]
        self.expanded = [layer.expanded() for layer in layers]
        self.degree, self.own = layers[0].degree, layers[0].own[:, :, None]
        self.channels = self.weights[0].shape[2]
        self.widths = [self.channels, self.channels * (l_max + 1) * partners]

    def _mixed(self, values):
        out = values.new_empty(*values.shape[:2], self.channels)
        for (_, atoms), weight in zip(self.slices, self.expanded, strict=True):
            rows = torch.bmm(values[atoms].transpose(0, 1), weight)
            out[atoms] = rows.transpose(0, 1)
        return out

    def _spread(self, channels):
        """Return the first channels of each row in the block of its degree, zeros elsewhere."""
        return (channels[:, :, None, : self.partners] * self.own).flatten(2)

    def _add_gathered(self, out, blocks):
        """Add the block of the degree of each row: the adjoint of `_spread`."""
        blocks = blocks.unflatten(2, (self.l_max + 1, self.partners))
        for degree in range(self.l_max + 1):
            rows = slice(degree**2, (degree + 1) ** 2)
            out[:, rows, : self.partners] += blocks[:, rows, degree]

    def _blocks(self, flat):
        return flat.view(len(flat), self.channels, -1)

    def prepare(self, values):
        """Take values whose features are not needed, only their gradients."""
        self.densities = values
        self.mixed = self._mixed(values)
        self.spread = self._spread(self.mixed)

    def values(self, values):
        self.prepare(values)
        products = torch.bmm(self.mixed.transpose(1, 2), self.spread)
        return [self.mixed[:, 0], products.flatten(1)]

    def pull(self, gradients):
        self.gradients = self._blocks(gradients[1])
        out = torch.bmm(self.spread, self.gradients.transpose(1, 2))
        self._add_gathered(out, torch.bmm(self.mixed, self.gradients))
        out[:, 0] += gradients[0]
        self.by_mixed = out
        return self._unmixed(out)

    def _unmixed(self, gradients):
        """Return gradients with respect to values: the adjoint of `_mixed`."""
        back = torch.empty_like(self.densities)
        for (_, atoms), weight in zip(self.slices, self.expanded, strict=True):
            rows = torch.bmm(gradients[atoms].transpose(0, 1), weight.transpose(1, 2))
            back[atoms] = rows.transpose(0, 1)
        return back

    def tangent(self, tangents):
        self.tangents = tangents
        self.moved = self._mixed(tangents)
        self.moved_spread = self._spread(self.moved)
        products = torch.bmm(self.moved.transpose(1, 2), self.spread)
        products.baddbmm_(self.mixed.transpose(1, 2), self.moved_spread)
        return [self.moved[:, 0], products.flatten(1)]

    def parameter_gradients(self, into, pull, second):
        by_zero, by_products = pull(second)
        by_products = self._blocks(by_products)
        out = torch.bmm(self.spread, by_products.transpose(1, 2))
        out.baddbmm_(self.moved_spread, self.gradients.transpose(1, 2))
        blocks = torch.bmm(self.mixed, by_products).baddbmm_(self.moved, self.gradients)
        self._add_gathered(out, blocks)
        out[:, 0] += by_zero
        self.second_mixed = out
        for (_, atoms), weight in zip(self.slices, self.weights, strict=True):
            rows = torch.bmm(self.densities[atoms].permute(1, 2, 0), out[atoms].transpose(0, 1))
            rows.baddbmm_(
                self.tangents[atoms].permute(1, 2, 0), self.by_mixed[atoms].transpose(0, 1)
            )
            by_weight = torch.zeros_like(weight)
            into[id(weight)] = by_weight.index_add_(0, self.degree, rows)

    def value_gradients(self):
        """Return gradients with respect to values, after `parameter_gradients`."""
        return self._unmixed(self.second_mixed)
