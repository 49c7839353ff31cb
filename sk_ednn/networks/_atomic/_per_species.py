"""A module for each species, applied to the atoms of that species."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ._batch import AtomicBatch
from ._species import SpeciesIndex


class PerSpecies(nn.Module):
    """Apply to each row of a tensor the module for the species of its atom.

    Modules are stored by atomic number, so that the order of species does not matter.

    Parameters
    ----------
    species : SpeciesIndex or sequence of int
        Atomic numbers.
    make : callable
        Returns the module of one species, which maps rows to rows.

    Examples
    --------
    >>> from torch import nn
    >>> from sk_ednn.networks._atomic import PerSpecies
    >>> sorted(PerSpecies([22, 8], lambda: nn.Linear(4, 1)).modules_by_number)
    ['22', '8']
    """

    def __init__(self, species, make: Callable[[], nn.Module]):
        super().__init__()
        index = species if isinstance(species, SpeciesIndex) else SpeciesIndex(species)
        self.modules_by_number = nn.ModuleDict({str(n): make() for n in index.numbers})

    def __getitem__(self, number: int) -> nn.Module:
        return self.modules_by_number[str(number)]

    def forward(self, rows: Tensor, batch: AtomicBatch) -> Tensor:
        """Return the rows of all species, in the order of the batch.

        Parameters
        ----------
        rows : Tensor of shape (n_centers, ...)
        batch : AtomicBatch
            Sorted by species.

        Returns
        -------
        Tensor of shape (n_centers, ...)
        """
        if len(batch.species) == 1:
            return self[batch.species[0][0]](rows)
        # One split, whose derivative is one concatenation.
        parts = rows.split([atoms.stop - atoms.start for _, atoms in batch.species])
        return _Concatenate.apply(
            *[self[number](part) for (number, _), part in zip(batch.species, parts, strict=True)]
        )


class _Concatenate(torch.autograd.Function):
    """Concatenation whose derivative is one split.

    torch's slices its gradient piece by piece, and the derivative of each slice fills a tensor of
    the whole with zeros.
    """

    @staticmethod
    def forward(ctx, *parts):
        ctx.sizes = [len(part) for part in parts]
        return torch.cat(parts)

    @staticmethod
    def backward(ctx, gradients):
        return gradients.split(ctx.sizes)
