"""The density of neighbours that atoms between them screen, and its adjoint."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ._batch import AtomicBatch
from ._density import Density, Pull
from ._screening import Screening, ThirdAtoms


@dataclass(eq=False)
class ScreenedValues:
    """Coefficients of a batch, with what their adjoint needs.

    Attributes
    ----------
    values : Tensor of shape (n_centers, (l_max + 1)**2, n_channels)
        Differentiable with respect to the weights of the screening.
    """

    values: Tensor
    _vectors: Tensor  # (n_centers, n_neighbors, 3)
    _parts: tuple[Tensor, ...]  # of all pairs, as of `DensityValues`
    _thirds: ThirdAtoms
    _factors: Tensor  # (n_centers, n_neighbors)
    _phi: Tensor  # (n,)
    _slopes: Tensor  # (n,)

    def pull(self, gradients: Tensor) -> Tensor:
        """Return gradients with respect to the vectors from those with respect to the values.

        Parameters
        ----------
        gradients : Tensor of the shape of `values`

        Returns
        -------
        Tensor of shape (n_centers, n_neighbors, 3)
            Zero where rows are padded. Linear in `gradients`, and differentiable with respect to
            them and to the weights of the screening.
        """
        of_vectors, of_factors = Pull.apply(gradients, *self._parts, True)
        thirds, factors = self._thirds, self._factors
        # An atom between two others moves their factor s: ds = -s d(w φ).
        pushed = -(of_factors * factors).view(-1).index_select(0, thirds.pairs)
        of_thirds = thirds.pull(pushed * self._slopes, pushed * self._phi, self._vectors)
        return torch.addcmul(of_thirds, of_vectors, factors[..., None])


class ScreenedDensity:
    """Coefficients of the density of neighbours, each times the learned factor of its pair.

    ``C[i, lm, (s, n)] = Σ_j [z_j = s] s_ij φ_n(r_ij) Y_lm(r_ij)``.

    Parameters
    ----------
    density : Density
    screening : Screening
        Part of the network, which trains it.
    """

    def __init__(self, density: Density, screening: Screening):
        self.density, self.screening = density, screening
        self.cutoff = density.cutoff

    def values(self, batch: AtomicBatch) -> Tensor:
        """Return the coefficients of a batch, (n_centers, (l_max + 1)**2, n_channels)."""
        with torch.no_grad():
            functions, harmonics = self.density.functions(batch)
            thirds = ThirdAtoms.of(batch, self.cutoff)
        factors, *_ = self.screening(thirds)
        return torch.bmm(harmonics.transpose(1, 2), functions * factors[..., None])

    def prepare(self, batch: AtomicBatch) -> ScreenedValues:
        """Return the coefficients of a batch, with what their adjoint needs."""
        with torch.no_grad():
            parts = self.density.functions_and_derivatives(batch)
            thirds = ThirdAtoms.of(batch, self.cutoff)
        factors, *curves = self.screening(thirds)
        functions, _, harmonics, *_ = parts
        values = torch.bmm(harmonics.transpose(1, 2), functions * factors[..., None])
        return ScreenedValues(values, batch.vectors, parts, thirds, factors, *curves)
