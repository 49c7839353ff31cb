"""Descriptors that are written in numpy, as the representation of a network."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor

from ._batch import AtomicBatch
from ._fused_features import FlatFeatures
from ._network import AbstractAtomicNetwork
from ._species import SpeciesIndex


@dataclass(eq=False)
class DescriptorValues:
    """Values of a descriptor for a batch.

    Attributes
    ----------
    values : Tensor of shape (n_centers, *tile_shape)
    """

    values: Tensor
    _descriptor: Any
    _batch: AtomicBatch

    def pull(self, gradients: Tensor) -> Tensor:
        """Return gradients with respect to the vectors from those with respect to the values.

        Linear in `gradients` and differentiable with respect to them: the derivative of
        ``descriptor.pull`` is ``descriptor.push``.

        Parameters
        ----------
        gradients : Tensor of the shape of `values`

        Returns
        -------
        Tensor of shape (n_centers, n_neighbors, 3)
            Zero where rows are padded.
        """
        return _Pull.apply(gradients, self._descriptor, self._batch)


class DescriptorRepresentation:
    """Any descriptor with values, pull and push as the representation of a network.

    Values are computed once for all atoms of a table if they fit into its cache, and otherwise for
    each batch.

    Parameters
    ----------
    descriptor : AbstractDescriptor
        A descriptor with known species.
    """

    def __init__(self, descriptor):
        self.descriptor = descriptor
        self.cutoff = float(descriptor.cutoff)
        self.n_features = prod(descriptor.tile_shape)

    def prepare(self, batch: AtomicBatch) -> DescriptorValues:
        """Return the values of a batch, with their adjoint."""
        return DescriptorValues(self.values(batch), self.descriptor, batch)

    def values(self, batch: AtomicBatch) -> Tensor:
        """Return the values of a batch, (n_centers, *tile_shape).

        Parameters
        ----------
        batch : AtomicBatch

        Returns
        -------
        Tensor
        """
        table, like = batch.table, batch.vectors

        def compute():
            return torch.as_tensor(
                self.descriptor.values(table.environments), dtype=like.dtype, device=like.device
            )

        n_bytes = table.environments.n_centers * self.n_features * like.element_size()
        kept = table.cached(self, n_bytes, compute)
        if kept is not None:
            return kept[batch.atoms]
        values = self.descriptor.values(batch.environments)
        return torch.as_tensor(values, dtype=like.dtype, device=like.device)


class _Pull(torch.autograd.Function):
    @staticmethod
    def forward(ctx, gradients, descriptor, batch):
        ctx.descriptor, ctx.batch = descriptor, batch
        pairs = descriptor.pull(batch.environments, gradients.detach().cpu().double().numpy())
        out = gradients.new_zeros(batch.vectors.shape)
        # Rows contain their neighbours in the order of the pairs, before the padding.
        out[batch.mask] = torch.as_tensor(pairs, dtype=gradients.dtype, device=gradients.device)
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, weights):
        tangents = weights[ctx.batch.mask].detach().cpu().double().numpy()
        values = ctx.descriptor.push(ctx.batch.environments, tangents)
        return torch.as_tensor(values, dtype=weights.dtype, device=weights.device), None, None


class AtomicNetwork(AbstractAtomicNetwork):
    """Energies of atoms from a fixed descriptor of their surroundings: Behler and Parrinello.

    The values of the descriptor are standardised for each species of centre on training data, and
    mapped to an energy by a perceptron for each species.

    Parameters
    ----------
    species : sequence of int or str
        Atomic numbers or symbols. Their order changes nothing.
    descriptor : AbstractDescriptor
        Any descriptor with values, pull and push. If it has no species, those of the network are
        set.
    hidden : sequence of int, default=(64, 64)
        Units of the hidden layers.
    context : int, default=0
        Size of the intensive context, averages over the structure that each atom sees. 0 for none.
    activation : {"silu", "tanh", "softplus", "gelu"}, default="silu"

    References
    ----------
    J. Behler and M. Parrinello, Phys. Rev. Lett. 98, 146401 (2007).

    Examples
    --------
    >>> from sk_ednn.descriptors import SymmetryFunctions
    >>> from sk_ednn.networks._atomic import AtomicNetwork
    >>> net = AtomicNetwork([8, 22], SymmetryFunctions(5.0), hidden=(20, 20))
    >>> net.representation.n_features  # of two and three atoms, for two species
    96
    """

    def __init__(self, species, descriptor, *, hidden=(64, 64), context=0, activation="silu"):
        descriptor = descriptor.with_species(SpeciesIndex(species).numbers)
        representation = DescriptorRepresentation(descriptor)
        super().__init__(species, representation)
        self._build(representation.n_features, hidden, context, activation)

    def features(self, values: Tensor, batch: AtomicBatch) -> Tensor:
        """Return the values of the descriptor, flat."""
        return values.flatten(1)

    def feature_map(self, batch: AtomicBatch) -> FlatFeatures:
        """Return the features of a batch, with their derivatives."""
        return FlatFeatures(batch, self.representation.n_features)
