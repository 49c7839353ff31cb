"""Invariants of the second order: products of the spherical expansion with itself."""

import numpy as np

from .._utils.stored import stored
from ._density import Density
from ._pairs import AbstractPairDescriptor
from ._spherical import bessel_functions, check_counts


@stored("PowerSpectrum")
class PowerSpectrum(AbstractPairDescriptor):
    """Describe an atom by the power spectrum of its neighbours' density, as SOAP does.

    ::

        p[i, a b l] = Σ_m c[i, a, lm] c[i, b, lm] / √(2l + 1),    a ≤ b

    for all pairs of channels a = (species, n) of `SphericalExpansion`, after the channels of l = 0
    themselves, which are linear in the neighbours. Values do not change with rotations,
    reflections, translations and the order of atoms.

    Parameters
    ----------
    cutoff : float, default=5.0, in Å
        Radius of the environment of an atom. The energy of a model on top is twice continuously
        differentiable where a neighbour enters.

    n_radial : int, default=8
        Number of radial functions, for each species.

    max_l : int, default=4
        Highest degree of the harmonics.

    species : tuple of str or int, default=None
        The elements that neighbours may be, as symbols or atomic numbers. None: set by
        `with_species`.

    References
    ----------
    Bartók, Kondor and Csányi, On representing chemical environments, Phys. Rev. B 87, 184115
    (2013).

    Examples
    --------
    >>> from ase.build import bulk
    >>> from sk_ednn.descriptors import PowerSpectrum
    >>> from sk_ednn.structures import Structures, neighbor_pairs
    >>> cubic, turned = bulk("SiC", "zincblende", a=4.36), bulk("SiC", "zincblende", a=4.36)
    >>> turned.rotate(33.0, (1, 2, 3), rotate_cell=True)
    >>> environments = neighbor_pairs(Structures.of([cubic, turned]), cutoff=4.0)
    >>> p = PowerSpectrum(4.0, species=("Si", "C")).values(environments)
    >>> p.shape  # 16 channels, and 5 times 16 · 17 / 2 products of them
    (4, 696)
    >>> bool(abs(p[:2] - p[2:]).max() < 1e-12)
    True
    """

    def __init__(self, cutoff=5.0, n_radial=8, max_l=4, species=None):
        self.cutoff = cutoff
        self.n_radial = n_radial
        self.max_l = max_l
        self.species = species

    @property
    def tile_shape(self):
        """Shape of the values of one atom: (n_features,)."""
        n = self._n_channels
        return (n + (self.max_l + 1) * n * (n + 1) // 2,)

    @property
    def _n_channels(self):
        return len(self.species_numbers) * self.n_radial

    @property
    def _numbers_per_pair(self):
        return 6 * (self.max_l + 1) ** 2 + 6 * self.n_radial

    def _check(self):
        check_counts(self, n_radial=1, max_l=0)

    def _radial(self, distances):
        return bessel_functions(distances, self.cutoff, self.n_radial)

    def _expand(self, pairs, derivatives):
        density = Density(pairs, self._radial, self.max_l, derivatives=derivatives)
        return density, self._channels(density.coefficients())

    def _channels(self, coefficients):
        return coefficients.reshape(len(coefficients), self._n_channels, -1)

    def _degrees(self):
        """Yield the slice of each degree's components, its weight, and where its features are."""
        n = self._n_channels
        size = n * (n + 1) // 2
        for degree in range(self.max_l + 1):
            first = n + degree * size
            yield (
                slice(degree**2, (degree + 1) ** 2),
                1.0 / np.sqrt(2 * degree + 1),
                slice(first, first + size),
            )

    def _upper(self):
        """Return where the upper triangle of channels by channels is in the flattened square."""
        n = self._n_channels
        return np.ravel_multi_index(np.triu_indices(n), (n, n))

    def _values(self, pairs):
        return self._products(self._expand(pairs, False)[1])

    def _products(self, c, change=None):
        """Return the features of c, or, given the change of c, the change of the features."""
        out = np.empty((len(c), *self.tile_shape))
        upper = self._upper()
        out[:, : self._n_channels] = (c if change is None else change)[:, :, 0]
        for components, weight, features in self._degrees():
            a = c[:, :, components]
            if change is None:
                square = np.matmul(a, a.transpose(0, 2, 1))
            else:
                square = np.matmul(a, change[:, :, components].transpose(0, 2, 1))
                square = square + square.transpose(0, 2, 1)
            out[:, features] = np.take(square.reshape(len(c), -1), upper, axis=1)
            out[:, features] *= weight
        return out

    def _pull(self, pairs, gradients):
        density, c = self._expand(pairs, True)
        n = self._n_channels
        # The derivative by c of Σ gradient · c_a c_b is (gradients + gradientsᵀ) c.
        place = np.zeros((n, n), dtype=np.int64)
        place[np.triu_indices(n)] = np.arange(n * (n + 1) // 2)
        place = np.maximum(place, place.T)
        by_c = np.empty_like(c)
        for components, weight, features in self._degrees():
            both = np.take(gradients[:, features], place, axis=1)
            both[:, np.arange(n), np.arange(n)] *= 2.0
            both *= weight
            by_c[:, :, components] = np.matmul(both, c[:, :, components])
        by_c[:, :, 0] += gradients[:, :n]
        return density.pull(by_c.reshape(len(c), pairs.n_species, self.n_radial, -1))

    def _push(self, pairs, tangents):
        density, c = self._expand(pairs, True)
        return self._products(c, self._channels(density.push(tangents)))
