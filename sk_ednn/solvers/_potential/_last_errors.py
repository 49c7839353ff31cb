"""Errors that structures had when they were last seen, and the weights that follow."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.base import clone

from ...structures._stress import VOIGT

_KINDS = ("energy", "force", "stress")


class LastErrors:
    """Last errors of all training structures, which set the weights of `Targets`.

    Parameters
    ----------
    weighting : LossWeights
    targets : Targets
        Their ``weight`` is changed by `reweight`.
    n_structures : int

    Attributes
    ----------
    squares : Tensor of shape (n_structures, 3), float64
        Last squared errors of energy per atom, mean squared errors of forces and mean squared
        virials per atom; NaN where a structure has no such label or was not seen yet.
    exponent : float
        That of the last weights; 0 before the first.
    """

    def __init__(self, weighting, targets, n_structures):
        self.weighting, self.targets = clone(weighting), targets
        device = targets.energies.device
        self.squares = torch.full((n_structures, len(_KINDS)), torch.nan, dtype=torch.float64)
        self.squares = self.squares.to(device)
        self.base = targets.weight
        if self.base is None:
            self.base = torch.ones(n_structures, dtype=torch.float64, device=device)
        self.exponent = 0.0
        self._noted = torch.zeros(n_structures, dtype=torch.bool, device=device)

    @torch.no_grad()
    def note(self, predicted, batch, structures):
        """Record the errors of a batch.

        Parameters
        ----------
        predicted : EnergyForcesStress
        batch : AtomicBatch
            Contains whole structures.
        structures : Tensor of shape (n_structures,)
            Rows of the batch's structures among the targets.
        """
        targets, size = self.targets, batch.sizes.double()
        energy = (predicted.energies.double() - targets.energies[structures]) / size
        out = [energy.square()]
        if predicted.forces is None:
            out.append(torch.full_like(energy, torch.nan))
        else:
            force = predicted.forces.double() - targets.forces[batch.atoms].double()
            is_known = ~force.isnan()
            squares = torch.where(is_known, force, 0.0).square().sum(1)
            zeros = torch.zeros_like(energy)
            total = zeros.index_add(0, batch.owners, squares)
            count = zeros.index_add(0, batch.owners, is_known.sum(1).double())
            out.append(total / count)  # NaN without a force
        if predicted.virial is None:
            out.append(torch.full_like(energy, torch.nan))
        else:
            true = targets.stress[structures] * batch.volumes[:, None]
            error = predicted.virial[:, *VOIGT].double() - true
            out.append(error.square().nanmean(1) / size.square())
        self.squares[structures] = torch.stack(out, 1)
        self._noted[structures] = True

    def reweight(self, processes=None):
        """Set the weights of the targets, once structures have been seen.

        Parameters
        ----------
        processes : Alone or Together, default=None
            Those that have seen the others.
        """
        if processes is not None and processes.size > 1:
            self._gather(processes)
        errors = relative_errors(self.squares.cpu().numpy())
        if np.isnan(errors).all():
            return
        weights = self.weighting(errors)
        self.exponent = float(self.weighting.exponent_)
        self.targets.weight = self.base * torch.as_tensor(weights, device=self.base.device)

    def _gather(self, processes):
        """Take the errors of each structure from the process that saw it."""
        news = self._noted[:, None].to(self.squares)
        squares = torch.where(self._noted[:, None], self.squares.nan_to_num(), 0.0)
        missing = torch.where(self._noted[:, None], self.squares.isnan().to(squares), 0.0)
        processes.add_up([news, squares, missing])
        squares[missing > 0] = torch.nan
        self.squares = torch.where(news > 0, squares, self.squares)
        self._noted[:] = False


def relative_errors(squares) -> np.ndarray:
    """Return the root of the mean of squared errors, each kind in units of its median.

    Parameters
    ----------
    squares : ndarray of shape (n_structures, n_kinds)
        NaN where not known.

    Returns
    -------
    ndarray of shape (n_structures,)
        NaN where nothing is known.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ednn.solvers._potential._last_errors import relative_errors
    >>> relative_errors(np.array([[1.0, np.nan], [1.0, 4.0], [9.0, 4.0], [np.nan, np.nan]]))
    array([1.        , 1.        , 2.23606798,        nan])
    """
    total, count = np.zeros(len(squares)), np.zeros(len(squares))
    for column in squares.T:
        is_known = np.isfinite(column)
        median = np.median(column[is_known]) if is_known.any() else 0.0
        if median > 0:
            total[is_known] += column[is_known] / median
            count[is_known] += 1
    return np.sqrt(np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0))
