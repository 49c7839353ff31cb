"""The smooth edition of the Deep Potential: embedded neighbours instead of a fixed descriptor."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...exceptions import TileModelError
from ._batch import AtomicBatch
from ._layers import linear
from ._network import AbstractAtomicNetwork
from ._per_species import PerSpecies


@dataclass(eq=False)
class VectorValues:
    """The vectors themselves, for networks that are differentiated through them.

    Attributes
    ----------
    values : Tensor of shape (n_centers, n_neighbors, 3)
    """

    values: Tensor

    def pull(self, gradients: Tensor) -> Tensor:
        """Return the gradients, which are those with respect to the vectors already."""
        return gradients


class Vectors:
    """The vectors to the neighbours within a cutoff as the representation of a network.

    Parameters
    ----------
    cutoff : float
        In Å.
    """

    def __init__(self, cutoff):
        self.cutoff = float(cutoff)

    def values(self, batch: AtomicBatch) -> Tensor:
        """Return the vectors of a batch."""
        return batch.vectors

    def prepare(self, batch: AtomicBatch) -> VectorValues:
        """Return the vectors of a batch, with their adjoint."""
        return VectorValues(batch.vectors)


class DeepPotSE(AbstractAtomicNetwork):
    """The Deep Potential, smooth edition, with an embedding network for each neighbour species.

    ``R_j = s(r_j) (1, x/r, y/r, z/r)``, ``T = Σ_j g(s(r_j)) ⊗ R_j``, and the features of an atom
    are ``T T<ᵀ`` with the first `axis` rows T< of T: invariant under rotations. s(r) is 1/r up to
    `smooth` and falls to 0 at the cutoff with two continuous derivatives.

    Parameters
    ----------
    species : sequence of int or str
        Atomic numbers or symbols. Their order changes nothing.
    cutoff : float, default=6.0
        In Å.
    smooth : float, default=None
        Where s(r) begins to fall, in Å. None for a third of the cutoff.
    embedding : sequence of int, default=(16, 32)
        Units of the embedding networks.
    axis : int, default=8
        Rows of T<.
    hidden : sequence of int, default=(64, 64)
        Units of the fitting networks.
    context : int, default=0
        Size of the intensive context. 0 for none.
    activation : {"silu", "tanh", "softplus", "gelu"}, default="silu"

    References
    ----------
    L. Zhang et al., End-to-end symmetry preserving inter-atomic potential energy model for finite
    and extended systems, NeurIPS 2018.

    Examples
    --------
    >>> from sk_ednn.networks._atomic import DeepPotSE
    >>> sum(p.numel() for p in DeepPotSE([6], embedding=(16, 32), axis=8).parameters())
    21249
    """

    def __init__(
        self,
        species,
        cutoff=6.0,
        *,
        smooth=None,
        embedding=(16, 32),
        axis=8,
        hidden=(64, 64),
        context=0,
        activation="silu",
    ):
        super().__init__(species, Vectors(cutoff))
        self.smooth = cutoff / 3 if smooth is None else float(smooth)
        if not 0 <= self.smooth < cutoff:
            raise TileModelError(
                f"smooth must be at least 0 and below the cutoff of {cutoff} Å, got {smooth}."
            )
        if not embedding or not 1 <= axis <= embedding[-1]:
            raise TileModelError(
                f"axis must be from 1 to the last of embedding={embedding!r}, got {axis}."
            )
        self.axis, self.n_embedded = axis, embedding[-1]
        self.embed = PerSpecies(self.index, lambda: _embedding(embedding))
        self._build(axis * embedding[-1], hidden, context, activation)

    def features(self, values: Tensor, batch: AtomicBatch) -> Tensor:
        """Return products of embedded neighbours, (n_centers, embedding · axis)."""
        n_centers, n_neighbors, _ = values.shape
        distances = values.norm(dim=-1)
        inverse = torch.where(batch.mask, self._switched(distances) / distances, 0.0)
        rows = torch.cat([inverse[..., None], values * (inverse / distances)[..., None]], -1)
        flat, numbers = inverse.reshape(-1, 1), batch.neighbor_numbers.reshape(-1)
        embedded = flat.new_zeros(len(flat), self.n_embedded)
        # Padding has the atomic number 0 and stays zero.
        for number in self.index.numbers:
            pairs = ((numbers == number) & batch.mask.reshape(-1)).nonzero()[:, 0]
            if len(pairs):
                embedded = embedded.index_copy(0, pairs, self.embed[number](flat[pairs]))
        embedded = embedded.view(n_centers, n_neighbors, self.n_embedded)
        moments = torch.bmm(embedded.transpose(1, 2), rows)  # (n_centers, embedded, 4)
        return torch.bmm(moments, moments[:, : self.axis].transpose(1, 2)).flatten(1)

    def _switched(self, r):
        """Return 1 up to `smooth`, then a polynomial that falls to 0 at the cutoff."""
        x = (r - self.smooth) / (self.representation.cutoff - self.smooth)
        x = x.clamp(0.0, 1.0)
        return 1 + x**3 * (-10 + x * (15 - 6 * x))


def _embedding(widths):
    layers: list[nn.Module] = []
    for n_in, n_out in zip((1, *widths[:-1]), widths, strict=True):
        layers += [linear(n_in, n_out), nn.Tanh()]
    # With one input, units differ by where they bend.
    nn.init.normal_(layers[0].bias)
    return nn.Sequential(*layers)
