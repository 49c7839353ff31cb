"""Energies of atoms from what surrounds them: a network per species on a common representation."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn

from ...exceptions import TileModelError
from ._batch import AtomicBatch
from ._layers import ACTIVATIONS, Standardized, linear, perceptron
from ._species import SpeciesIndex

_CONTEXT_HIDDEN = 32


class AbstractEncoder(nn.Module):
    """Turn the representation of atoms of one species into features.

    Attributes
    ----------
    n_features : int
    """

    n_features: int

    @abstractmethod
    def forward(self, values: Tensor, batch: AtomicBatch, atoms: slice) -> Tensor:
        """Return features of the centres `atoms` of a batch.

        Parameters
        ----------
        values : Tensor of shape (n, ...)
            Of these centres.
        batch : AtomicBatch
        atoms : slice

        Returns
        -------
        Tensor of shape (n, n_features)
        """


class _Branch(nn.Module):
    """The network of one species of centres."""

    def __init__(self, encoder, hidden, context, activation):
        super().__init__()
        self.encoder = encoder
        widths = (hidden[0], _CONTEXT_HIDDEN) if context else (hidden[0],)
        self.first = Standardized(encoder.n_features, widths)
        self.energy = perceptron(hidden, activation)
        if context:
            self.summand = nn.Sequential(ACTIVATIONS[activation](), linear(_CONTEXT_HIDDEN, context))
            # The context joins the features before the first layer.
            self.from_context = nn.Parameter(torch.empty(hidden[0], context))
            nn.init.normal_(self.from_context, std=(encoder.n_features + context) ** -0.5)


class AbstractAtomicNetwork(nn.Module):
    """A network per species: representation → features → energy of each atom.

    With an intensive context g, ``E = Σ_i e_i(x_i, g)`` and ``g = (1/N) Σ_i h_i(x_i)``, each atom
    also sees averages over all N atoms of its structure. Doubling a periodic structure doubles its
    energy exactly, and what no neighbourhood holds (charge transfer between defects, a Fermi level)
    can be learned.

    Parameters
    ----------
    species : sequence of int
        Atomic numbers. Their order changes nothing.
    representation : object
        With ``prepare(batch)``, which returns an object with ``values`` and ``pull(slopes)``.
    hidden : sequence of int
        Units of the hidden layers.
    context : int
        Numbers of the intensive context, 0 for none.
    activation : {"silu", "tanh", "softplus", "gelu"}
    """

    def __init__(self, species, representation, hidden, context, activation):
        super().__init__()
        self.index = SpeciesIndex(species)
        self.representation = representation
        self.context = int(context)
        if not hidden or min(hidden) < 1 or self.context < 0:
            raise TileModelError(
                f"Expected one or more hidden layers and a context of 0 or more numbers, got "
                f"hidden={hidden!r}, context={context!r}."
            )
        if activation not in ACTIVATIONS:
            raise TileModelError(
                f"activation must be one of {', '.join(ACTIVATIONS)}; got {activation!r}."
            )
        # By atomic number, so that no order of species can be mistaken.
        self.branches = nn.ModuleDict(
            {
                str(number): _Branch(self._encoder(), tuple(hidden), self.context, activation)
                for number in self.index.numbers
            }
        )

    @abstractmethod
    def _encoder(self) -> AbstractEncoder:
        """Return a new encoder for the centres of one species."""

    def encode(self, values: Tensor, batch: AtomicBatch) -> list[tuple[Tensor, ...]]:
        """Return the first layer of each species in the batch: for energies, and for the context.

        Parameters
        ----------
        values : Tensor of shape (n_centers, ...)
            Of the representation.
        batch : AtomicBatch

        Returns
        -------
        list of tuple of Tensor
            In the order of ``batch.species``.
        """
        out = []
        # One split, whose derivative is one concatenation.
        parts = values.split([atoms.stop - atoms.start for _, atoms in batch.species])
        for (number, atoms), part in zip(batch.species, parts, strict=True):
            branch = self.branches[str(number)]
            out.append(branch.first(branch.encoder(part, batch, atoms)))
        return out

    def summands(self, encoded, batch: AtomicBatch) -> Tensor:
        """Return what each atom adds to the context of its structure, (n_centers, context)."""
        parts = [
            self.branches[str(number)].summand(first[1])
            for (number, _), first in zip(batch.species, encoded, strict=True)
        ]
        return torch.cat(parts)

    def average(self, summands: Tensor, batch: AtomicBatch) -> Tensor:
        """Return the context of each structure of whole structures, (n_structures, context)."""
        zeros = summands.new_zeros(batch.n_structures, self.context)
        return zeros.index_add(0, batch.owners, summands) / batch.sizes[:, None]

    def energies(self, encoded, batch: AtomicBatch, context: Tensor | None = None) -> Tensor:
        """Return the energy of each centre, given the context of its structure.

        Parameters
        ----------
        encoded : list of tuple of Tensor
            From `encode`.
        batch : AtomicBatch
        context : Tensor of shape (n_structures, context) or None
            From `average`.

        Returns
        -------
        Tensor of shape (n_centers,)
        """
        parts = []
        for (number, atoms), first in zip(batch.species, encoded, strict=True):
            branch, before = self.branches[str(number)], first[0]
            if context is not None:
                # Few structures and many atoms: the product before the gather.
                before = before + (context @ branch.from_context.t())[batch.owners[atoms]]
            parts.append(branch.energy(before)[:, 0])
        return torch.cat(parts)

    def contributions(self, values: Tensor, batch: AtomicBatch) -> Tensor:
        """Return the energy of each atom of whole structures.

        Parameters
        ----------
        values : Tensor of shape (n_centers, ...)
            Of the representation.
        batch : AtomicBatch

        Returns
        -------
        Tensor of shape (n_centers,)
        """
        encoded = self.encode(values, batch)
        context = None
        if self.context:
            context = self.average(self.summands(encoded, batch), batch)
        return self.energies(encoded, batch, context)

    def forward(self, batch: AtomicBatch) -> Tensor:
        """Return the energy of each atom of whole structures, (n_centers,)."""
        return self.contributions(self.representation.prepare(batch).values, batch)
