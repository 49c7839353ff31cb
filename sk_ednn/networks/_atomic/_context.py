"""The intensive context: averages over all atoms of a structure that each of its atoms sees."""

from __future__ import annotations

from torch import Tensor, nn

from ._batch import AtomicBatch
from ._layers import linear
from ._per_species import PerSpecies

_HIDDEN = 32


class Context(nn.Module):
    """``g = (1/N) Σ_i h_i(x_i)``, a few numbers for each structure.

    Repeating a periodic structure repeats its atoms and leaves their average as it is, so that an
    energy ``Σ_i e_i(x_i, g)`` stays exactly extensive.

    Parameters
    ----------
    species : SpeciesIndex
    size : int
        Numbers of the context.
    n_seen : int
        Units of the layer that the context joins.
    activation : Module

    Attributes
    ----------
    width : int
        Units of h before its activation, which a network computes with its first layer.
    """

    width = _HIDDEN

    def __init__(self, species, size, n_seen, activation):
        super().__init__()
        self.size = size
        self.activation = activation
        self.last = PerSpecies(species, lambda: linear(_HIDDEN, size))
        self.join = PerSpecies(species, lambda: linear(size, n_seen, bias=False))

    def summands(self, before: Tensor, batch: AtomicBatch) -> Tensor:
        """Return what each centre adds, (n_centers, size), from the hidden units of h."""
        return self.last(self.activation(before), batch)

    def average(self, summands: Tensor, batch: AtomicBatch) -> Tensor:
        """Return the context of each structure of whole structures, (n_structures, size)."""
        zeros = summands.new_zeros(batch.n_structures, self.size)
        return zeros.index_add(0, batch.owners, summands) / batch.sizes[:, None]

    def seen(self, context: Tensor, batch: AtomicBatch) -> Tensor:
        """Return what each centre's layer sees of it, (n_centers, n_seen)."""
        return self.join(context[batch.owners], batch)
