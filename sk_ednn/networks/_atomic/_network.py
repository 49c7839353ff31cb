"""Energies of atoms from what surrounds them: a network per species on a common representation."""

from __future__ import annotations

from abc import abstractmethod
from inspect import signature

import torch
from torch import Tensor, nn

from ...exceptions import TileModelError
from ._batch import AtomicBatch
from ._context import Context
from ._fused import fused_energies, fused_first_layer
from ._layers import ACTIVATIONS, Standardized, linear
from ._per_species import PerSpecies
from ._species import SpeciesIndex

# The last layer starts small, so that a sum of many atoms starts near the baseline.
_LAST_LAYER = 0.1


class AbstractAtomicNetwork(nn.Module):
    """A network per species: representation → features → energy of each atom.

    With an intensive context g, ``E = Σ_i e_i(x_i, g)`` and ``g = (1/N) Σ_i h_i(x_i)``, each atom
    also sees averages over all N atoms of its structure. Doubling a periodic structure doubles its
    energy exactly, and effects that no neighbourhood shows (charge transfer between defects, a
    Fermi level) can be learned.

    A subclass implements `features`, and calls `_build` with their number.

    Parameters
    ----------
    species : sequence of int or str
        Atomic numbers or symbols. Their order changes nothing.
    representation : object
        With ``cutoff``, ``values(batch)``, and ``prepare(batch)``, which returns an object with
        ``values`` and their adjoint ``pull(gradients)``.
    """

    params: dict
    """Parameters by name, so that ``type(net)(**params)`` makes another network."""

    def __new__(cls, *args, **kwargs):
        """Keep what the network is made with."""
        made = super().__new__(cls)
        if args or kwargs:  # copies are made without
            given = signature(cls.__init__).bind(made, *args, **kwargs)
            given.apply_defaults()
            made.__dict__["params"] = dict(list(given.arguments.items())[1:])
        return made

    def __init__(self, species, representation):
        super().__init__()
        self.index = SpeciesIndex(species)
        self.representation = representation

    def _build(self, n_features, hidden, context, activation):
        """Make the layers after the features."""
        hidden = tuple(hidden)
        if not hidden or min(hidden) < 1 or context < 0:
            raise TileModelError(
                "Expected one or more hidden layers and a context of 0 or more numbers, got "
                f"hidden={hidden!r}, context={context!r}."
            )
        if activation not in ACTIVATIONS:
            raise TileModelError(
                f"activation must be one of {', '.join(ACTIVATIONS)}; got {activation!r}."
            )
        index, self._width = self.index, hidden[0]
        self.activation = ACTIVATIONS[activation]()
        self.context = Context(index, context, hidden[0], self.activation) if context else None
        width = hidden[0] + (self.context.width if context else 0)
        self.first = PerSpecies(index, lambda: Standardized(n_features, width))
        self.layers = nn.ModuleList(
            PerSpecies(index, lambda n_in=n_in, n_out=n_out: linear(n_in, n_out))
            for n_in, n_out in zip(hidden, (*hidden[1:], 1), strict=True)
        )
        with torch.no_grad():
            for number in index.numbers:
                self.layers[-1][number].weight.mul_(_LAST_LAYER)

    @abstractmethod
    def features(self, values: Tensor, batch: AtomicBatch) -> Tensor:
        """Return features of each centre, invariant under rotations.

        Parameters
        ----------
        values : Tensor of shape (n_centers, ...)
            Values of the representation.
        batch : AtomicBatch

        Returns
        -------
        Tensor of shape (n_centers, n_features)
        """

    def feature_map(self, batch: AtomicBatch):
        """Return the features of a batch with their derivatives, or None to use autograd.

        Parameters
        ----------
        batch : AtomicBatch

        Returns
        -------
        FlatFeatures, SpectrumFeatures or None
            With these, training takes about half as long.
        """
        return None

    def encode(self, values: Tensor, batch: AtomicBatch) -> tuple[Tensor, Tensor | None]:
        """Return the first layer of each centre, and its contribution to the context.

        Parameters
        ----------
        values : Tensor of shape (n_centers, ...)
            Values of the representation.
        batch : AtomicBatch

        Returns
        -------
        first : Tensor of shape (n_centers, hidden)
            Before its activation.
        summands : Tensor of shape (n_centers, context) or None
        """
        return self.split(self.first(self.features(values, batch), batch), batch)

    def first_layer(self, values: Tensor, batch: AtomicBatch) -> Tensor:
        """Return the first layer with that of the context, before activations, for prediction.

        Parameters
        ----------
        values : Tensor of shape (n_centers, ...)
            Values of the representation.
        batch : AtomicBatch

        Returns
        -------
        Tensor of shape (n_centers, hidden) or (n_centers, hidden + hidden of the context)
        """
        features = self.feature_map(batch)
        if features is not None:
            return fused_first_layer(self, values, batch, features)
        return self.first(self.features(values, batch), batch)

    def split(self, rows: Tensor, batch: AtomicBatch) -> tuple[Tensor, Tensor | None]:
        """Return the results of `encode` from the first layer and that of the context."""
        if self.context is None:
            return rows, None
        first, before = rows.split([self._width, self.context.width], 1)
        return first, self.context.summands(before, batch)

    def energies(self, first: Tensor, batch: AtomicBatch, context: Tensor | None = None) -> Tensor:
        """Return the energy of each centre, given the context of its structure.

        Parameters
        ----------
        first : Tensor of shape (n_centers, hidden)
            From `encode`.
        batch : AtomicBatch
        context : Tensor of shape (n_structures, context) or None

        Returns
        -------
        Tensor of shape (n_centers,)
        """
        rows = first
        if context is not None:
            rows = rows + self.context.seen(context, batch)
        for layer in self.layers:
            rows = layer(self.activation(rows), batch)
        return rows[:, 0]

    def contributions(self, values: Tensor, batch: AtomicBatch) -> Tensor:
        """Return the energy of each atom of whole structures.

        Parameters
        ----------
        values : Tensor of shape (n_centers, ...)
            Values of the representation.
        batch : AtomicBatch

        Returns
        -------
        Tensor of shape (n_centers,)
        """
        first, summands = self.encode(values, batch)
        context = None if summands is None else self.context.average(summands, batch)
        return self.energies(first, batch, context)

    def forward(self, batch: AtomicBatch) -> Tensor:
        """Return the energy of each atom of whole structures, (n_centers,)."""
        values = self.representation.values(batch)
        if not torch.is_grad_enabled():
            features = self.feature_map(batch)
            if features is not None:
                return fused_energies(self, values, batch, features)
        return self.contributions(values, batch)
