"""The density of neighbours in spherical harmonics: what invariants and networks are made from."""

from numbers import Integral

import numpy as np

from .._utils.stored import stored
from ._density import Density
from ._pairs import AbstractPairDescriptor
from ._radial import polynomial_cutoff


@stored("SphericalExpansion")
class SphericalExpansion(AbstractPairDescriptor):
    """Expand the density of neighbours around an atom in radial functions and harmonics.

    ::

        c[i, (s, n), lm] = Σ_j [z_j = s] φ_n(r_ij) √4π Y_lm(r_ij)
        φ_n(r)           = sin(n π r / cutoff) / r · f(r),    n = 1 … n_radial

    with real spherical harmonics, the sum over neighbours j of species s, and the polynomial cutoff
    function f. Coefficients rotate with the structure; only those of l = 0 and the norms over m are
    invariant. `PowerSpectrum` makes invariants from them.

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
    Bessel functions with a polynomial cutoff: Gasteiger, Groß and Günnemann, Directional message
    passing for molecular graphs, ICLR 2020. Density expansions: Bartók, Kondor and Csányi, Phys.
    Rev. B 87, 184115 (2013).

    Examples
    --------
    >>> from ase.build import bulk
    >>> from sk_ednn.descriptors import SphericalExpansion
    >>> from sk_ednn.structures import Structures, neighbor_pairs
    >>> environments = neighbor_pairs(Structures.of([bulk("Si")]), cutoff=5.0)
    >>> descriptor = SphericalExpansion(5.0, species=("Si",))
    >>> c = descriptor.values(environments)
    >>> c.shape
    (2, 8, 25)

    A tetrahedron has no dipole and no quadrupole, and an octupole:

    >>> import numpy as np
    >>> [float(np.linalg.norm(c[0, 0, l * l : (l + 1) ** 2]).round(1)) for l in range(5)]
    [2.1, 0.0, 0.0, 3.0, 2.6]
    """

    def __init__(self, cutoff=5.0, n_radial=8, max_l=4, species=None):
        self.cutoff = cutoff
        self.n_radial = n_radial
        self.max_l = max_l
        self.species = species

    @property
    def tile_shape(self):
        """Shape of the values of one atom: (n_species · n_radial, (max_l + 1)²)."""
        return len(self.species_numbers) * self.n_radial, (self.max_l + 1) ** 2

    @property
    def _numbers_per_pair(self):
        return 6 * (self.max_l + 1) ** 2 + 6 * self.n_radial

    def _check(self):
        check_counts(self, n_radial=1, max_l=0)

    def _radial(self, distances):
        return bessel_functions(distances, self.cutoff, self.n_radial)

    def _density(self, pairs, derivatives=False):
        return Density(pairs, self._radial, self.max_l, derivatives=derivatives)

    def _values(self, pairs):
        return self._density(pairs).coefficients().reshape(pairs.n_centers, *self.tile_shape)

    def _pull(self, pairs, gradients):
        shape = (pairs.n_centers, pairs.n_species, self.n_radial, -1)
        return self._density(pairs, derivatives=True).pull(gradients.reshape(shape))

    def _push(self, pairs, tangents):
        change = self._density(pairs, derivatives=True).push(tangents)
        return change.reshape(pairs.n_centers, *self.tile_shape)


def bessel_functions(distances, cutoff, n_radial):
    """Return sin(n π r / cutoff) / r · f(r) for n = 1 … n_radial, and the derivatives by r.

    Parameters
    ----------
    distances : ndarray of shape (n_pairs,), in Å
    cutoff : float, in Å
    n_radial : int

    Returns
    -------
    values, derivatives : ndarray of shape (n_radial, n_pairs)
    """
    step = np.pi / cutoff
    sines, cosines = multiples(step * distances, n_radial)
    f, df = polynomial_cutoff(distances, cutoff)
    envelope = f / distances
    derivative = (df - envelope) / distances
    rates = step * np.arange(1, n_radial + 1)[:, None]
    return sines * envelope, sines * derivative + cosines * (rates * envelope)


def multiples(angles, n):
    """Return the sines and cosines of 1, 2, … n times some angles, by recurrence.

    Parameters
    ----------
    angles : ndarray of shape (n_pairs,)
    n : int

    Returns
    -------
    sines, cosines : ndarray of shape (n, n_pairs)
    """
    sines, cosines = np.empty((2, n, len(angles)))
    sines[0], cosines[0] = np.sin(angles), np.cos(angles)
    twice = 2.0 * cosines[0]
    for k in range(1, n):
        sines[k] = twice * sines[k - 1]
        cosines[k] = twice * cosines[k - 1]
        sines[k] -= sines[k - 2] if k > 1 else 0.0
        cosines[k] -= cosines[k - 2] if k > 1 else 1.0
    return sines, cosines


def check_counts(descriptor, **least):
    """Raise ValueError unless parameters are integers of at least a minimum."""
    for name, lowest in least.items():
        value = getattr(descriptor, name)
        if not isinstance(value, Integral) or isinstance(value, bool) or value < lowest:
            raise ValueError(f"{name} must be an integer of at least {lowest}. Got {value!r}.")
