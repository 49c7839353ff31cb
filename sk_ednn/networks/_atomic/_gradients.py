"""Energies, forces and stress of a batch of whole structures."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ._batch import AtomicBatch
from ._fused import fused_energies_and_gradients
from ._network import AbstractAtomicNetwork


class EnergyForcesStress(NamedTuple):
    """Prediction of a network for a batch of whole structures.

    Attributes
    ----------
    contributions : Tensor of shape (n_atoms,)
        Energies of the atoms in eV, in the order of the batch.
    energies : Tensor of shape (n_structures,), float64
        In eV.
    forces : Tensor of shape (n_atoms, 3) or None
        In eV/Å, in the order of the batch.
    virial : Tensor of shape (n_structures, 3, 3) or None
        dE/dε in eV: stress times volume, symmetric.
    """

    contributions: Tensor
    energies: Tensor
    forces: Tensor | None
    virial: Tensor | None


def energies_and_gradients(
    network: AbstractAtomicNetwork, batch: AtomicBatch, *, create_graph=False
):
    """Return energies of atoms, and gradients of their sum with respect to the vectors.

    The representation is differentiated by its adjoint, which is linear in the gradient of the
    network, so that with `create_graph` a loss of forces differentiates the network alone twice.

    Parameters
    ----------
    network : AbstractAtomicNetwork
    batch : AtomicBatch
        Contains whole structures.
    create_graph : bool, default=False
        Make both differentiable with respect to the weights.

    Returns
    -------
    contributions : Tensor of shape (n_centers,)
    gradients : Tensor of shape (n_centers, n_neighbors, 3)
        In eV/Å.
    """
    # Values may depend on weights, such as those of a screening.
    with torch.set_grad_enabled(create_graph):
        prepared = network.representation.prepare(batch)
    features = network.feature_map(batch)
    if features is not None:
        with torch.set_grad_enabled(create_graph):
            contributions, gradients = fused_energies_and_gradients(
                network, prepared.values, batch, features
            )
            return contributions, prepared.pull(gradients)
    values = prepared.values
    if not values.requires_grad:
        values = values.detach().requires_grad_()
    with torch.enable_grad():
        contributions = network.contributions(values, batch)
        (gradients,) = torch.autograd.grad(contributions.sum(), values, create_graph=create_graph)
        pairs = prepared.pull(gradients)
    return (contributions if create_graph else contributions.detach()), pairs


def energy_forces_stress(
    network: AbstractAtomicNetwork,
    batch: AtomicBatch,
    *,
    forces=True,
    stress=True,
    create_graph=False,
) -> EnergyForcesStress:
    """Return energies, forces and virials of a batch of whole structures.

    Parameters
    ----------
    network : AbstractAtomicNetwork
    batch : AtomicBatch
    forces, stress : bool, default=True
    create_graph : bool, default=False
        Make the results differentiable with respect to the weights.

    Returns
    -------
    EnergyForcesStress
    """
    if forces or stress:
        contributions, gradients = energies_and_gradients(network, batch, create_graph=create_graph)
    else:
        with torch.set_grad_enabled(create_graph):
            contributions = network(batch)
    return EnergyForcesStress(
        contributions,
        batch.totals(contributions),
        -batch.position_gradient(gradients) if forces else None,
        batch.strain_gradient(gradients) if stress else None,
    )
