"""Squared or robust errors of energies, forces and stresses, of whatever is known."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...networks._atomic import VOIGT


@dataclass(frozen=True)
class Deltas:
    """Errors beyond which the loss is linear; None for a squared loss throughout.

    Attributes
    ----------
    energy : float or None
        In eV per atom.
    force : float or None
        In eV/Å.
    """

    energy: float | None = None
    force: float | None = None


class Targets:
    """Labels of all training structures as tensors, in the order of a table of neighbours.

    Parameters
    ----------
    labels : PotentialLabels
    residuals : ndarray of shape (n_structures,)
        Energies less the baseline, in eV.
    sample_weight : ndarray of shape (n_structures,) or None
    dtype : torch.dtype
    device : torch.device
    """

    def __init__(self, labels, residuals, sample_weight, dtype, device):
        self.energies = torch.as_tensor(residuals, dtype=torch.float64, device=device)
        self.forces = torch.as_tensor(labels.forces, dtype=dtype, device=device)
        self.stress = torch.as_tensor(labels.stress, dtype=torch.float64, device=device)
        self.has_forces = not bool(self.forces.isnan().all())
        self.has_stress = not bool(self.stress.isnan().all())
        self.weight = None
        if sample_weight is not None:
            self.weight = torch.as_tensor(sample_weight, dtype=torch.float64, device=device)


def losses(predicted, batch, structures, targets: Targets, deltas: Deltas) -> dict[str, Tensor]:
    """Return mean losses of a batch by kind: energy, force, stress.

    Energies count as ``ΔE²/N`` in eV² per atom, forces as ``ΔF²`` in (eV/Å)², and stresses as
    ``(V Δσ)²/N`` in eV² per atom, so that all are of one size for cells of all sizes. Kinds without
    a label in this batch are left out.

    Parameters
    ----------
    predicted : EnergyForcesStress
    batch : AtomicBatch
        Of whole structures.
    structures : Tensor of shape (n_structures,)
        Rows of the batch's structures among the targets.
    targets : Targets
    deltas : Deltas

    Returns
    -------
    dict of str to Tensor
    """
    weight = None if targets.weight is None else targets.weight[structures]
    root = batch.sizes.double().sqrt()
    out = {}
    bound = None if deltas.energy is None else deltas.energy * root
    true = targets.energies[structures]
    _add(out, "energy", predicted.energies / root, true / root, bound, weight)
    if predicted.forces is not None:
        per_atom = None if weight is None else weight[batch.owners, None]
        _add(out, "force", predicted.forces, targets.forces[batch.atoms], deltas.force, per_atom)
    if predicted.virial is not None:
        scale = 1 / root[:, None]
        true = targets.stress[structures] * batch.volumes[:, None]
        per_row = None if weight is None else weight[:, None]
        _add(out, "stress", predicted.virial[:, *VOIGT] * scale, true * scale, None, per_row)
    return out


def _add(out, name, predicted, true, bound, weight):
    """Add the mean loss where the label is known."""
    known = ~true.isnan()
    count = known.sum()
    if not count:
        return
    # Zero, not NaN times zero, whose gradient would be NaN. A prediction of NaN stays one.
    error = torch.where(known, predicted - true, 0.0)
    loss = error.square()
    if bound is not None:
        size = error.abs()
        loss = torch.where(size <= bound, loss, bound * (2 * size - bound))
    if weight is not None:
        loss = loss * weight.to(loss.dtype)
    out[name] = loss.sum() / count
