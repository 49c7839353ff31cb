"""The density of neighbours in radial functions and spherical harmonics, and its adjoint."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..._utils.optional import needing
from ._batch import AtomicBatch
from ._species import SpeciesIndex

# Order of the polynomial cutoff: its first two derivatives vanish at the cutoff and at 0.
_CUTOFF_ORDER = 6


@dataclass(eq=False)
class DensityValues:
    """Coefficients of a batch, with what their adjoint needs.

    Attributes
    ----------
    values : Tensor of shape (n_centers, (l_max + 1)**2, n_channels)
    """

    values: Tensor
    _radial: Tensor  # (n_centers, 2 n_neighbors, n_channels): derivatives, then functions
    _harmonics: Tensor  # (n_centers, n_neighbors, n_harmonics)
    _harmonic_gradients: Tensor  # (n_centers, n_neighbors, 3, n_harmonics)
    _directions: Tensor  # (n_centers, n_neighbors, 3)

    def pull(self, slopes: Tensor) -> Tensor:
        """Return gradients with respect to the vectors from those with respect to the values.

        Linear in `slopes` and differentiable with respect to them, so that forces enter a loss
        without second derivatives of the coefficients.

        Parameters
        ----------
        slopes : Tensor of the shape of `values`

        Returns
        -------
        Tensor of shape (n_centers, n_neighbors, 3)
            Zero where rows are padded.
        """
        return _Pull.apply(
            slopes, self._radial, self._harmonics, self._harmonic_gradients, self._directions
        )


class Density:
    """Coefficients of the density of neighbours around each atom.

    ``C[i, lm, (s, n)] = Σ_j [z_j = s] φ_n(r_ij) Y_lm(r_ij)`` with the radial functions
    ``φ_n(r) = sin(n π r / r_c) / r · f_c(r)`` and real spherical harmonics.

    Parameters
    ----------
    species : sequence of int
        Atomic numbers of the neighbours.
    cutoff : float, default=6.0
        In Å.
    n_radial : int, default=8
    l_max : int, default=4
    """

    def __init__(self, species, cutoff=6.0, n_radial=8, l_max=4):
        self.cutoff = float(cutoff)
        self.n_radial = n_radial
        self.l_max = l_max
        self.index = SpeciesIndex(species)
        self.n_channels = n_radial * len(self.index)
        self._harmonics = _spherical_harmonics(l_max)

    def values(self, batch: AtomicBatch) -> Tensor:
        """Return the coefficients of a batch, (n_centers, (l_max + 1)**2, n_channels).

        Parameters
        ----------
        batch : AtomicBatch

        Returns
        -------
        Tensor
        """
        harmonics = self._harmonics.compute(batch.vectors.reshape(-1, 3))
        radial = self._radial(batch, batch.vectors.norm(dim=-1), slopes=False)
        return torch.bmm(harmonics.unflatten(0, batch.mask.shape).transpose(1, 2), radial)

    def prepare(self, batch: AtomicBatch) -> DensityValues:
        """Return the coefficients of a batch, with what their adjoint needs.

        Parameters
        ----------
        batch : AtomicBatch

        Returns
        -------
        DensityValues
        """
        distances = batch.vectors.norm(dim=-1)
        harmonics, gradients = self._harmonics.compute_with_gradients(batch.vectors.reshape(-1, 3))
        harmonics = harmonics.unflatten(0, batch.mask.shape)
        radial = self._radial(batch, distances, slopes=True)
        functions = radial[:, batch.mask.shape[1] :]
        return DensityValues(
            torch.bmm(harmonics.transpose(1, 2), functions),
            radial,
            harmonics,
            gradients.unflatten(0, batch.mask.shape),
            batch.vectors / distances[..., None],
        )

    def _radial(self, batch, distances, slopes):
        """Return the radial functions of each neighbour among those of its species.

        Zero elsewhere and where masked. Their derivatives come before them, if asked for.
        """
        n_centers, n_neighbors = distances.shape
        functions = self._functions(distances.reshape(-1), batch.mask.reshape(-1), slopes)
        n_species, device = len(self.index), functions.device
        step, species = n_neighbors * n_species, self.index(batch.neighbor_numbers)
        row = torch.arange(n_centers, device=device)[:, None] * (len(functions) * step)
        row = (row + torch.arange(0, step, n_species, device=device) + species).reshape(-1)
        out = functions.new_zeros(len(functions) * n_centers * step, self.n_radial)
        for kind, columns in enumerate(functions):
            out.index_copy_(0, row + kind * step, columns)
        return out.view(n_centers, len(functions) * n_neighbors, self.n_channels)

    def _functions(self, r, mask, slopes):
        """Return derivatives of the radial functions, if asked for, and the functions."""
        wave = torch.arange(1, self.n_radial + 1, dtype=r.dtype, device=r.device)
        wave = wave * (math.pi / self.cutoff)
        phase = r[:, None] * wave
        sine = phase.sin()
        cut, cut_slope = polynomial_cutoff(r, self.cutoff)
        # The squares of harmonics average to 1 over the sphere with this factor.
        scale = mask * (math.sqrt(4 * math.pi) / r)
        over = cut * scale
        out = r.new_empty(2 if slopes else 1, len(r), self.n_radial)
        torch.mul(sine, over[:, None], out=out[-1])
        if slopes:
            torch.mul(phase.cos(), over[:, None] * wave, out=out[0])
            out[0].addcmul_(sine, (cut_slope * scale - over / r)[:, None])
        return out


def _spherical_harmonics(l_max):
    with needing("Densities of neighbours in torch", extra="potentials"):
        from sphericart.torch import SphericalHarmonics
    return SphericalHarmonics(l_max)


def polynomial_cutoff(r: Tensor, cutoff: float) -> tuple[Tensor, Tensor]:
    """Return a polynomial that falls from 1 to 0 at the cutoff, and its derivative.

    Two derivatives vanish at the cutoff.

    Parameters
    ----------
    r : Tensor
        Distances.
    cutoff : float

    Returns
    -------
    values, slopes : Tensor of the shape of `r`
    """
    p, x = _CUTOFF_ORDER, (r / cutoff).clamp(max=1)
    a, b, c = (p + 1) * (p + 2) / 2, p * (p + 2), p * (p + 1) / 2
    power = x ** (p - 1)
    values = 1 - power * x * (a - x * (b - x * c))
    slopes = -power * (p * a - x * ((p + 1) * b - x * ((p + 2) * c))) / cutoff
    return values, slopes


class _Pull(torch.autograd.Function):
    """The adjoint of the derivative of the coefficients; its own adjoint is the derivative."""

    @staticmethod
    def forward(ctx, slopes, radial, harmonics, gradients, directions):
        ctx.save_for_backward(radial, harmonics, gradients, directions)
        n_neighbors = harmonics.shape[1]
        both = torch.bmm(radial, slopes.transpose(1, 2))  # (n_centers, 2 n_neighbors, n_harmonics)
        along = (both[:, :n_neighbors] * harmonics).sum(-1, keepdim=True)
        turned = torch.matmul(gradients, both[:, n_neighbors:, :, None])[..., 0]
        return turned.addcmul_(along, directions)

    @staticmethod
    def backward(ctx, weights):
        radial, harmonics, gradients, directions = ctx.saved_tensors
        along = (weights * directions).sum(-1, keepdim=True)
        turned = weights[..., :1] * gradients[:, :, 0]
        turned.addcmul_(weights[..., 1:2], gradients[:, :, 1])
        turned.addcmul_(weights[..., 2:], gradients[:, :, 2])
        both = torch.cat([along * harmonics, turned], 1)
        return torch.bmm(both.transpose(1, 2), radial), None, None, None, None
