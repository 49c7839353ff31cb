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
# Pairs whose functions are computed together, in the second-level cache.
_ROWS = 1 << 13


@dataclass(eq=False)
class DensityValues:
    """Coefficients of a batch, with what their adjoint needs.

    Attributes
    ----------
    values : Tensor of shape (n_centers, (l_max + 1)**2, n_channels)
    """

    values: Tensor
    _functions: Tensor  # (n_centers, n_neighbors, n_channels)
    _derivatives: Tensor  # the same
    _harmonics: Tensor  # (n_centers, n_neighbors, n_harmonics)
    _harmonic_gradients: Tensor  # (n_centers, n_neighbors, 3, n_harmonics)
    _directions: Tensor  # (n_centers, n_neighbors, 3)

    def pull(self, gradients: Tensor) -> Tensor:
        """Return gradients with respect to the vectors from those with respect to the values.

        Linear in `gradients` and differentiable with respect to them, so that forces enter a loss
        without second derivatives of the coefficients.

        Parameters
        ----------
        gradients : Tensor of the shape of `values`

        Returns
        -------
        Tensor of shape (n_centers, n_neighbors, 3)
            Zero where rows are padded.
        """
        return Pull.apply(
            gradients,
            self._functions,
            self._derivatives,
            self._harmonics,
            self._harmonic_gradients,
            self._directions,
            False,
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
        functions, harmonics = self.functions(batch)
        return torch.bmm(harmonics.transpose(1, 2), functions)

    def prepare(self, batch: AtomicBatch) -> DensityValues:
        """Return the coefficients of a batch, with what their adjoint needs.

        Parameters
        ----------
        batch : AtomicBatch

        Returns
        -------
        DensityValues
        """
        parts = self.functions_and_derivatives(batch)
        functions, _, harmonics, *_ = parts
        return DensityValues(torch.bmm(harmonics.transpose(1, 2), functions), *parts)

    def functions(self, batch: AtomicBatch) -> tuple[Tensor, Tensor]:
        """Return radial functions and spherical harmonics of each pair.

        Parameters
        ----------
        batch : AtomicBatch

        Returns
        -------
        functions : Tensor of shape (n_centers, n_neighbors, n_channels)
            Zero where rows are padded.
        harmonics : Tensor of shape (n_centers, n_neighbors, (l_max + 1)**2)
        """
        harmonics = self._harmonics.compute(batch.vectors.reshape(-1, 3))
        (functions,) = self._radial(batch, differentiate=False)
        return functions, harmonics.unflatten(0, batch.mask.shape)

    def functions_and_derivatives(self, batch: AtomicBatch) -> tuple[Tensor, ...]:
        """Return what `DensityValues` contain besides values, in their order."""
        harmonics, harmonic_gradients = self._harmonics.compute_with_gradients(
            batch.vectors.reshape(-1, 3)
        )
        return (
            *self._radial(batch, differentiate=True),
            harmonics.unflatten(0, batch.mask.shape),
            harmonic_gradients.unflatten(0, batch.mask.shape),
            batch.vectors / batch.vectors.norm(dim=-1, keepdim=True),
        )

    def _radial(self, batch, differentiate):
        """Return the radial functions of each neighbour, and their derivatives if requested.

        Those of its species, (n_centers, n_neighbors, n_channels); zero elsewhere and where masked.
        """
        tables, rows = self._tables(batch, differentiate)
        last = len(tables[0]) - 1
        species = torch.arange(len(self.index), device=rows.device)
        of_species = self.index(batch.neighbor_numbers)[..., None] == species
        rows = torch.where(of_species & batch.mask[..., None], rows[..., None], last).view(-1)
        shape = (*batch.mask.shape, self.n_channels)
        return [table.index_select(0, rows).view(shape) for table in tables]

    def _tables(self, batch, differentiate):
        """Return the radial functions of pairs and zeros in a last row, and the row of each pair.

        Those of all pairs of the batch's table where they fit into its memory.
        """
        vectors = batch.table.vectors
        n_bytes = 2 * len(vectors) * self.n_radial * vectors.element_size()
        kept = batch.table.cached(self, n_bytes, lambda: self._functions(vectors, True))
        if kept is not None:
            return (kept if differentiate else kept[:1]), batch.pairs
        flat = batch.vectors.reshape(-1, 3)
        rows = torch.arange(len(flat), device=flat.device).view(batch.mask.shape)
        return self._functions(torch.cat([flat, flat.new_ones(1, 3)]), differentiate), rows

    def _functions(self, vectors, differentiate):
        """Return radial functions, and their derivatives if requested; 0 in the last row."""
        wave = torch.arange(1, self.n_radial + 1, dtype=vectors.dtype, device=vectors.device)
        wave = wave * (math.pi / self.cutoff)
        out = [
            vectors.new_empty(len(vectors), self.n_radial) for _ in range(2 if differentiate else 1)
        ]
        for start in range(0, len(vectors), _ROWS):
            rows = slice(start, start + _ROWS)
            r = vectors[rows].norm(dim=-1)
            phase = r[:, None] * wave
            sine = phase.sin()
            cut, cut_derivative = polynomial_cutoff(r, self.cutoff)
            # The squares of harmonics average to 1 over the sphere with this factor.
            scale = math.sqrt(4 * math.pi) / r
            over = cut * scale
            torch.mul(sine, over[:, None], out=out[0][rows])
            if differentiate:
                torch.mul(phase.cos(), over[:, None] * wave, out=out[1][rows])
                out[1][rows].addcmul_(sine, (cut_derivative * scale - over / r)[:, None])
        for each in out:
            each[-1] = 0
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
    values, derivatives : Tensor of the shape of `r`
    """
    p, x = _CUTOFF_ORDER, (r / cutoff).clamp(max=1)
    a, b, c = (p + 1) * (p + 2) / 2, p * (p + 2), p * (p + 1) / 2
    power = x ** (p - 1)
    values = 1 - power * x * (a - x * (b - x * c))
    derivatives = -power * (p * a - x * ((p + 1) * b - x * ((p + 2) * c))) / cutoff
    return values, derivatives


class Pull(torch.autograd.Function):
    """The adjoint of the derivative of the coefficients; its own adjoint is the derivative.

    Takes gradients with respect to the coefficients, the parts of `DensityValues` in their order,
    and `with_factors`: whether to return, beside gradients with respect to the vectors, those with
    respect to a factor of each pair, as a screening multiplies functions by. The first are those
    at factors of 1.
    """

    @staticmethod
    def forward(
        ctx,
        gradients,
        functions,
        derivatives,
        harmonics,
        harmonic_gradients,
        directions,
        with_factors,
    ):
        ctx.save_for_backward(functions, derivatives, harmonics, harmonic_gradients, directions)
        # Sums over channels first: they need half as many products as sums over harmonics.
        back = gradients.transpose(1, 2)
        along = torch.bmm(derivatives, back).mul_(harmonics).sum(-1, keepdim=True)
        of_harmonics = torch.bmm(functions, back)
        of_vectors = torch.matmul(harmonic_gradients, of_harmonics[..., None])[..., 0]
        of_vectors.addcmul_(along, directions)
        if not with_factors:
            return of_vectors
        return of_vectors, of_harmonics.mul_(harmonics).sum(-1)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, of_vectors, of_factors=None):
        functions, derivatives, harmonics, harmonic_gradients, directions = ctx.saved_tensors
        along = (of_vectors * directions).sum(-1, keepdim=True)
        turned = functions.new_empty(*functions.shape[:2], 3, functions.shape[2])
        for axis in range(3):
            torch.mul(functions, of_vectors[..., axis : axis + 1], out=turned[:, :, axis])
        radial = derivatives * along
        if of_factors is not None:
            radial.addcmul_(functions, of_factors[..., None])
        out = torch.bmm(harmonics.transpose(1, 2), radial)
        out.baddbmm_(harmonic_gradients.flatten(1, 2).transpose(1, 2), turned.flatten(1, 2))
        return out, None, None, None, None, None, None
