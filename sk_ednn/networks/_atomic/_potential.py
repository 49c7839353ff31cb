"""A fitted potential: a network of atoms and the energies that it starts from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from ..._utils.stored import stored
from ..._utils.threads import limited_threads
from ...structures import Structures, neighbor_pairs, screened_repulsion
from ...structures._stress import stress_of
from ._batch import NeighborTable
from ._fused import PartialBatch, fused_energies_and_gradients
from ._gradients import energies_and_gradients
from ._network import AbstractAtomicNetwork
from ._species import SpeciesIndex


class PotentialPrediction(NamedTuple):
    """Predicted energies, forces and stresses of structures.

    Attributes
    ----------
    energies : ndarray of shape (n_structures,), float64
        In eV.
    forces : ndarray of shape (n_atoms, 3), float64, or None
        In eV/Å, of all structures, concatenated.
    stress : ndarray of shape (n_structures, 6), float64, or None
        In eV/Å³, xx, yy, zz, yz, xz, xy, positive under tension; NaN without a volume.
    contributions : ndarray of shape (n_atoms,), float64, or None
        In eV; they add up to the energies.
    """

    energies: np.ndarray
    forces: np.ndarray | None
    stress: np.ndarray | None
    contributions: np.ndarray | None


@stored("AtomicPotential")
@dataclass(eq=False)
class AtomicPotential:
    """A network of atoms on top of an energy per species.

    Parameters
    ----------
    network : AbstractAtomicNetwork
    atomic_energies : dict of int to float
        Baseline by atomic number, in eV.
    repulsion : bool, default=False
        Whether the repulsion of nuclei is added, see `screened_repulsion`.
    """

    # Pairs that are worked on together: few enough for the second-level cache to matter, many
    # enough for a call of torch to cost little beside its work.
    block_pairs = 1 << 17
    # Atoms whose neighbours are listed together.
    listed_atoms = 1 << 16
    # Fewer atoms use one thread: beside other programs, several wait for each other.
    atoms_worth_threads = 500

    network: AbstractAtomicNetwork
    atomic_energies: dict[int, float]
    repulsion: bool = False

    def predict(self, structures, *, forces=False, stress=False, per_atom=False):
        """Predict energies and, if requested, forces, stresses and energies of atoms.

        Atoms are evaluated in blocks, so that memory beyond the neighbour lists is bounded. The
        network runs in its own precision; sums are float64 in a fixed order.

        Parameters
        ----------
        structures : Structures or sequence of structures
        forces, stress, per_atom : bool, default=False

        Returns
        -------
        PotentialPrediction

        Raises
        ------
        TileModelError
            If a structure contains a species that the potential was not fitted to.
        """
        structures = Structures.of(structures)
        # A network may have species that nothing was learned of.
        species = set(self.network.index.numbers) & set(self.atomic_energies)
        SpeciesIndex(species).check(structures.numbers)
        # Steps of a simulation take milliseconds, in which threads gain little.
        few = structures.n_atoms < self.atoms_worth_threads
        with limited_threads(1 if few else None):
            parts = [
                self._predict_listed(structures.take(chunk), forces, stress)
                for chunk in _chunks(structures.sizes, self.listed_atoms)
            ]
        contributions = np.concatenate([part[0] for part in parts])
        numbers, inverse = np.unique(structures.numbers, return_inverse=True)
        baseline = np.array([self.atomic_energies[number] for number in numbers.tolist()])
        contributions += baseline[inverse]
        energies = np.add.reduceat(contributions, structures.offsets[:-1])
        gradient = np.concatenate([part[1] for part in parts]) if forces else None
        strain = np.concatenate([part[2] for part in parts]) if stress else None
        return PotentialPrediction(
            energies,
            None if gradient is None else 0.0 - gradient,
            None if strain is None else stress_of(strain, structures.volumes),
            contributions if per_atom else None,
        )

    def _predict_listed(self, structures, forces, stress):
        """Return contributions, position gradient and strain gradient of some structures."""
        network = self.network
        parameter = next(network.parameters())
        environments = neighbor_pairs(structures, network.representation.cutoff)
        table = NeighborTable(environments, parameter.dtype, parameter.device)
        contributions = parameter.new_zeros(structures.n_atoms, dtype=torch.float64)
        gradient = contributions.new_zeros(structures.n_atoms, 3)
        strain = contributions.new_zeros(len(structures), 3, 3)
        differentiate = forces or stress
        for start, stop in table.packed(self.block_pairs):
            for batch, energies, gradients in self._evaluate(table, start, stop, differentiate):
                contributions[batch.atoms] = energies.double()
                if forces:
                    ends = batch.targets[batch.neighbors.reshape(-1)]
                    double = gradients.double()
                    gradient.index_add_(0, ends, double.reshape(-1, 3))
                    gradient.index_add_(0, batch.atoms, -double.sum(1))
                if stress:
                    strain[start:stop] += batch.strain_gradient(gradients.double())
        parts = [part.cpu().numpy() for part in (contributions, gradient, strain)]
        if self.repulsion:
            repelled = screened_repulsion(structures, environments)
            parts = [part + more for part, more in zip(parts, repelled, strict=True)]
        return parts

    def _evaluate(self, table, start, stop, differentiate):
        """Yield batches of the atoms of some structures, with their energies and gradients."""
        network, structures = self.network, range(start, stop)
        if len(structures) > 1 or table.n_pairs(start) <= self.block_pairs:
            batch = table.batch(structures)
            yield batch, *_energies(network, batch, differentiate)
            return
        blocks = table.blocks(start, self.block_pairs)
        if network.context is not None:
            yield from _with_context(network, table, start, blocks, differentiate)
            return
        for block in blocks:
            batch = table.block(start, *block)
            yield batch, *_energies(network, batch, differentiate)


def _energies(network, batch, differentiate):
    """Return energies and gradients of a batch that needs no context from elsewhere."""
    if differentiate:
        return energies_and_gradients(network, batch)
    with torch.no_grad():
        return network(batch), None


def _with_context(network, table, structure, blocks, differentiate):
    """Yield the blocks of a structure with an intensive context, in two passes."""
    layers, total = [], 0.0
    for block in blocks:
        batch = table.block(structure, *block)
        with torch.no_grad():
            rows = network.first_layer(network.representation.values(batch), batch)
            _, summands = network.split(rows, batch)
            total = total + batch.totals(summands)
        layers.append((batch.without_neighbors(), rows))
    size = batch.sizes[:, None]
    context = (total / size).to(rows.dtype)
    if not differentiate:
        for batch, rows in layers:
            with torch.no_grad():
                first, _ = network.split(rows, batch)
                yield batch, network.energies(first, batch, context), None
        return
    pressed = (_context_gradient(network, layers, context) / size).to(context.dtype)
    for block, (_, rows) in zip(blocks, layers, strict=True):
        batch = table.block(structure, *block)
        yield batch, *_block_energies(network, batch, rows, context, pressed)


def _context_gradient(network, layers, context):
    """Return the gradient of the energy of a structure with respect to its context."""
    context = context.clone().requires_grad_()
    gradient = torch.zeros_like(context, dtype=torch.float64)
    with torch.enable_grad():
        for batch, rows in layers:
            first, _ = network.split(rows, batch)
            energy = network.energies(first, batch, context).sum()
            gradient += torch.autograd.grad(energy, context)[0]
    return gradient


def _block_energies(network, batch, rows, context, pressed):
    """Return energies and gradients of a part of a structure whose context is known."""
    with torch.no_grad():
        prepared = network.representation.prepare(batch)
        features = network.feature_map(batch)
        if features is not None:
            given = PartialBatch(rows, context, pressed)
            energies, gradients = fused_energies_and_gradients(
                network, prepared.values, batch, features, given
            )
            return energies, prepared.pull(gradients)
    values = prepared.values.detach().requires_grad_()
    with torch.enable_grad():
        first, summands = network.encode(values, batch)
        energies = network.energies(first, batch, context)
        # An atom moves the energies of all others through the average that it adds to.
        total = energies.sum() + (summands * pressed[batch.owners]).sum()
        (gradients,) = torch.autograd.grad(total, values)
        return energies.detach(), prepared.pull(gradients)


def _chunks(sizes, most):
    """Return consecutive structures in groups of at most `most` atoms, or of one structure."""
    chunks: list[list[int]] = []
    room = 0
    for k, size in enumerate(sizes.tolist()):
        if not chunks or size > room:
            chunks.append([])
            room = most
        chunks[-1].append(k)
        room -= size
    return chunks
