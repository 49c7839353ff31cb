"""Squared or robust errors of energies, forces and stresses, of whatever is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...structures._stress import VOIGT


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


def known_labels(structures, labels) -> dict[str, np.ndarray]:
    """Count the known energies, components of forces and of stresses of each structure.

    Parameters
    ----------
    structures : Structures
    labels : PotentialLabels

    Returns
    -------
    dict of str to ndarray of shape (n_structures,)
    """
    forces = (~np.isnan(labels.forces)).sum(axis=1)
    return {
        "energy": (~np.isnan(labels.energies)).astype(np.intp),
        "force": np.add.reduceat(forces, structures.offsets[:-1]),
        "stress": (~np.isnan(labels.stress)).sum(axis=1),
    }


def losses(
    predicted, batch, structures, targets: Targets, deltas: Deltas, counts=None
) -> dict[str, Tensor]:
    """Return mean losses of a batch by kind: energy, force, stress.

    Energies count as ``ΔE²/N`` in eV² per atom, forces as ``ΔF²`` in (eV/Å)², and stresses as
    ``(V Δσ)²/N`` in eV² per atom, so that all are of one size for cells of all sizes. Kinds without
    a label in this batch are left out.

    Parameters
    ----------
    predicted : EnergyForcesStress
    batch : AtomicBatch
        Contains whole structures.
    structures : Tensor of shape (n_structures,)
        Rows of the batch's structures among the targets.
    targets : Targets
    deltas : Deltas
    counts : dict of str to int, default=None
        Labels that the means are over. None for those of this batch; those of the whole batch where
        this one is a share of it.

    Returns
    -------
    dict of str to Tensor
    """
    counts = {} if counts is None else counts
    weight = None if targets.weight is None else targets.weight[structures]
    root = batch.sizes.double().sqrt()
    out = {}
    bound = None if deltas.energy is None else deltas.energy * root
    true = targets.energies[structures]
    count = counts.get("energy")
    _add(out, "energy", predicted.energies / root, true / root, bound, weight, count)
    if predicted.forces is not None:
        per_atom = None if weight is None else weight[batch.owners, None]
        true, count = targets.forces[batch.atoms], counts.get("force")
        _add(out, "force", predicted.forces, true, deltas.force, per_atom, count)
    if predicted.virial is not None:
        scale = 1 / root[:, None]
        true = targets.stress[structures] * batch.volumes[:, None]
        per_row = None if weight is None else weight[:, None]
        virial, count = predicted.virial[:, *VOIGT], counts.get("stress")
        _add(out, "stress", virial * scale, true * scale, None, per_row, count)
    return out


def _add(out, name, predicted, true, bound, weight, count):
    """Add the mean loss where the label is known."""
    is_known = ~true.isnan()
    if not is_known.any():
        return
    count = is_known.sum() if count is None else count
    # Zero, not NaN times zero, whose gradient would be NaN. A prediction of NaN stays one.
    error = torch.where(is_known, predicted - true, 0.0)
    loss = error.square()
    if bound is not None:
        size = error.abs()
        loss = torch.where(size <= bound, loss, bound * (2 * size - bound))
    if weight is not None:
        loss = loss * weight.to(loss.dtype)
    out[name] = loss.sum() / count
