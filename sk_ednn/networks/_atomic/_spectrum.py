"""Networks on the power spectrum of learned channels of the neighbours' density."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ...exceptions import TileModelError
from ._batch import AtomicBatch
from ._density import Density
from ._fused_features import SpectrumFeatures
from ._network import AbstractAtomicNetwork
from ._per_species import PerSpecies
from ._power import power_spectrum
from ._screened_density import ScreenedDensity
from ._screening import Screening


class _Mix(nn.Module):
    """Mix radial functions and species to learned channels, for each degree l.

    Rows are ``(n, (l_max + 1)**2, n_in)``.
    """

    def __init__(self, l_max, n_in, channels):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(l_max + 1, n_in, channels) / math.sqrt(n_in))
        degrees = torch.arange(l_max + 1)
        rows = torch.repeat_interleave(degrees, 2 * degrees + 1, output_size=(l_max + 1) ** 2)
        self.register_buffer("degree", rows, persistent=False)
        self.register_buffer("own", (rows[:, None] == degrees).float(), persistent=False)
        self._kept: tuple | None = None

    def forward(self, values: Tensor) -> Tensor:
        """Return channels, (n, (l_max + 1)**2, channels)."""
        weight = (self.own @ self.weight.flatten(1)).unflatten(1, self.weight.shape[1:])
        return torch.bmm(values.transpose(0, 1), weight).transpose(0, 1)

    def expanded(self) -> Tensor:
        """Return the matrix of each row, without gradient; kept while weights are fixed."""
        weight = self.weight.detach()
        if self.weight.requires_grad:
            return weight[self.degree]
        state = weight.data_ptr(), weight._version, weight.dtype
        if self._kept is None or self._kept[0] != state:
            # With the weight itself, so that no other tensor gets its address.
            self._kept = (state, weight[self.degree], weight)
        return self._kept[1]

    def __getstate__(self):
        # Addresses mean nothing in a copy.
        return {**self.__dict__, "_kept": None}


class SpectrumNetwork(AbstractAtomicNetwork):
    """Energies of atoms from a power spectrum whose channels are learned.

    The density of neighbours is expanded in radial functions, spherical harmonics and species.
    For each degree l and species of centre, a learned matrix mixes radial functions and species to
    `channels`; products of these with the first `partners` of them, summed over m, are invariant
    under rotations. A perceptron maps them to an energy.

    Parameters
    ----------
    species : sequence of int or str
        Atomic numbers or symbols. Their order changes nothing.
    cutoff : float, default=6.0
        In Å.
    n_radial : int, default=8
        Radial functions.
    l_max : int, default=4
        Degree of the spherical harmonics.
    channels, partners : int, default=24 and 8
    hidden : sequence of int, default=(64, 64)
        Units of the hidden layers.
    context : int, default=0
        Size of the intensive context, averages over the structure that each atom sees. 0 for none.
    activation : {"silu", "tanh", "softplus", "gelu"}, default="silu"
    screening : bool, default=False
        Multiply each neighbour by a learned factor ``s_ij = exp(-Σ_k φ(C_ijk))`` of the atoms k
        between it and the centre, which is 1 without any. C is the shape of the ellipse through k
        around the pair, as in the modified embedded atom method, and φ a falling function for each
        three species, 0 from C = 3. Close to the cutoff an atom k screens less.

    Examples
    --------
    >>> from sk_ednn.networks._atomic import SpectrumNetwork
    >>> net = SpectrumNetwork(["B", "N"], context=8)
    >>> sum(p.numel() for p in net.parameters())
    202962
    """

    def __init__(
        self,
        species,
        cutoff=6.0,
        *,
        n_radial=8,
        l_max=4,
        channels=24,
        partners=8,
        hidden=(64, 64),
        context=0,
        activation="silu",
        screening=False,
    ):
        if not 1 <= partners <= channels:
            raise TileModelError(f"partners must be from 1 to channels={channels}, got {partners}.")
        density = Density(species, cutoff, n_radial, l_max)
        super().__init__(species, density)
        if screening:
            self.screening = Screening(self.index)
            self.representation = ScreenedDensity(density, self.screening)
        self.l_max, self.partners = l_max, partners
        self.mix = PerSpecies(self.index, lambda: _Mix(l_max, density.n_channels, channels))
        # Standardisation takes the place of the factors 1/√(2l + 1).
        n_features = (l_max + 1) * channels * partners + channels
        self._build(n_features, hidden, context, activation)

    def features(self, values: Tensor, batch: AtomicBatch) -> Tensor:
        """Return channels of degree 0 and the power spectrum, (n_centers, n_features)."""
        return power_spectrum(self.mix(values, batch), self.l_max, self.partners)

    def feature_map(self, batch: AtomicBatch) -> SpectrumFeatures:
        """Return the features of a batch, with their derivatives."""
        return SpectrumFeatures(batch, self.mix, self.l_max, self.partners)
