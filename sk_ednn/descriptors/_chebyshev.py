"""Chebyshev expansions of distances and angles, whose number does not grow with the species."""

from collections.abc import Mapping

import numpy as np
from numpy.polynomial import chebyshev

from .._utils.stored import stored
from ..structures._elements import atomic_number
from ._angular import AngularSeries, legendre_series
from ._density import Density
from ._pairs import AbstractPairDescriptor
from ._radial import CUTOFF_FUNCTIONS
from ._spherical import check_counts


@stored("ChebyshevDescriptor")
class ChebyshevDescriptor(AbstractPairDescriptor):
    """Describe an atom by Chebyshev expansions of its neighbours' distances and angles.

    ::

        radial[n]  = Σ_j     w_j     T_n(2 r_ij / cutoff − 1) f(r_ij)           n = 0 … n_radial
        angular[n] = Σ_{j<k} w_j w_k T_n(cos θ_jik) f(r_ij) f(r_ik)             n = 0 … n_angular

    Each sum occurs once with w = 1, for the positions of neighbours, and, with two or more species,
    once more with a weight for each species: 2 (n_radial + n_angular + 2) numbers for any number of
    species. The angular sums are computed from moments of the density of neighbours, at a cost
    linear in their number.

    Parameters
    ----------
    cutoff : float, default=6.0, in Å
        Radius of the environment of an atom.

    n_radial : int, default=15
        Highest order of the radial expansion.

    n_angular : int, default=8
        Highest order of the angular expansion. Cost and memory grow with its square.

    angular_cutoff : float, default=None, in Å
        Radius within which neighbours enter the angular expansion, at most `cutoff`. None for
        `cutoff`.

    weights : dict, default=None
        Weight of each species, by symbol or atomic number. None for …, −2, −1, (0,) 1, 2, … in
        the order of atomic numbers, with 0 for an odd number of species.

    cutoff_function : {"polynomial", "cosine"}, default="polynomial"
        The function f. The paper uses the cosine, with which forces are continuous where a
        neighbour enters. With the polynomial, force constants are continuous, too.

    species : tuple of str or int, default=None
        The elements that neighbours may be, as symbols or atomic numbers. None: set by
        `with_species`.

    References
    ----------
    Artrith, Urban and Ceder, Efficient and accurate machine-learning interpolation of atomic
    energies in compositions with many species, Phys. Rev. B 96, 014112 (2017). T_n(cos θ) as in
    their program, ænet.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from sk_ednn.descriptors import ChebyshevDescriptor
    >>> from sk_ednn.structures import Structures, neighbor_pairs
    >>> environments = neighbor_pairs(Structures.of([bulk("Si")]), cutoff=2.5)
    >>> descriptor = ChebyshevDescriptor(2.5, n_radial=3, n_angular=3, species=("Si",))
    >>> values = descriptor.values(environments)[0]
    >>> (values[4:] / values[4]).round(3)  # the mean of T_n over the angles of a tetrahedron
    array([ 1.   , -0.333, -0.778,  0.852])
    """

    def __init__(
        self,
        cutoff=6.0,
        n_radial=15,
        n_angular=8,
        angular_cutoff=None,
        weights=None,
        cutoff_function="polynomial",
        species=None,
    ):
        self.cutoff = cutoff
        self.n_radial = n_radial
        self.n_angular = n_angular
        self.angular_cutoff = angular_cutoff
        self.weights = weights
        self.cutoff_function = cutoff_function
        self.species = species

    @property
    def tile_shape(self):
        """Shape of the values of one atom: (n_features,)."""
        return (len(self._weight_rows()) * (self.n_radial + self.n_angular + 2),)

    @property
    def _numbers_per_pair(self):
        return 4 * (self.n_angular + 1) ** 2 + 6 * self.n_radial

    def _check(self):
        check_counts(self, n_radial=0, n_angular=0)
        if self.cutoff_function not in CUTOFF_FUNCTIONS:
            raise ValueError(
                f"cutoff_function must be one of {sorted(CUTOFF_FUNCTIONS)}. "
                f"Got {self.cutoff_function!r}."
            )
        if self.angular_cutoff is not None and not 0 < self.angular_cutoff <= self.cutoff:
            raise ValueError(
                f"angular_cutoff must be above 0 and at most cutoff={self.cutoff:g} Å. "
                f"Got {self.angular_cutoff!r}."
            )
        self._weight_rows()

    def _weight_rows(self):
        """Return the weights of species, (1 or 2, n_species): ones, and distinct weights."""
        numbers = self.species_numbers
        ones = np.ones(len(numbers))
        if self.weights is None:
            if len(numbers) == 1:
                return ones[None]
            half = len(numbers) // 2
            middle = [0] if len(numbers) % 2 else []
            return np.array([ones, [*range(-half, 0), *middle, *range(1, half + 1)]])
        if not isinstance(self.weights, Mapping):
            raise ValueError(f"weights must be a dict of species to numbers. Got {self.weights!r}.")
        weights = {atomic_number(one): float(w) for one, w in self.weights.items()}
        if set(weights) != set(numbers.tolist()):
            raise ValueError(
                f"weights must have one number for each of species={self.species!r}. "
                f"Got {self.weights!r}."
            )
        return np.array([ones, [weights[number] for number in numbers.tolist()]])

    def _densities(self, pairs, derivatives):
        """Return the density of radial functions, and that of angles."""
        f = CUTOFF_FUNCTIONS[self.cutoff_function]
        reach = self.cutoff if self.angular_cutoff is None else self.angular_cutoff

        def radial(distances):
            x = 2.0 * distances / self.cutoff - 1.0
            values, derivatives = _chebyshev(x, self.n_radial)
            g, dg = f(distances, self.cutoff)
            h, dh = f(distances, reach)
            # The last is what the angular sums must lose: a neighbour's angle with itself.
            return (
                np.vstack([values * g, h * h]),
                np.vstack([derivatives * (2.0 / self.cutoff) * g + values * dg, 2.0 * h * dh]),
            )

        def angular(distances):
            return tuple(part[None] for part in f(distances, reach))

        return (
            Density(pairs, radial, 0, derivatives=derivatives),
            Density(pairs, angular, self.n_angular, derivatives=derivatives),
        )

    def _series(self):
        identity = np.eye(self.n_angular + 1)
        return AngularSeries(
            legendre_series(lambda x: chebyshev.chebval(x, identity), self.n_angular)
        )

    def _parts(self, values):
        """Return views of the radial and the angular part, each (n_centers, n_weights, n)."""
        parts = values.reshape(len(values), len(self._weight_rows()), -1)
        return parts[:, :, : self.n_radial + 1], parts[:, :, self.n_radial + 1 :]

    def _values(self, pairs):
        radial, angular = self._densities(pairs, False)
        c = angular.coefficients()
        return self._combine(radial.coefficients(), c, c, 0.5)

    def _combine(self, radial, angular, change, half):
        """Return the values from the densities of each species; `half` of angular · change."""
        rows, series = self._weight_rows(), self._series()
        out = np.empty((len(radial), *self.tile_shape))
        radial_part, angular_part = self._parts(out)
        for k, weights in enumerate(rows):
            radial_part[:, k] = np.tensordot(radial[:, :, :-1, 0], weights, (1, 0))
            self_pairs = radial[:, :, -1, 0] @ weights**2
            a, b = (np.tensordot(c, weights, (1, 0)) for c in (angular, change))
            angular_part[:, k] = half * series.sums(a, b) - 0.5 * self_pairs[:, None]
        return out

    def _pull(self, pairs, gradients):
        radial, angular = self._densities(pairs, True)
        c, rows, series = angular.coefficients(), self._weight_rows(), self._series()
        radial_gradients, angular_gradients = self._parts(gradients)
        by_radial = np.zeros((len(c), pairs.n_species, self.n_radial + 2, 1))
        by_c = np.zeros_like(c)
        for k, weights in enumerate(rows):
            by_radial[:, :, :-1, 0] += weights[:, None] * radial_gradients[:, None, k]
            by_radial[:, :, -1, 0] -= 0.5 * weights**2 * angular_gradients[:, k].sum(1)[:, None]
            a = np.tensordot(c, weights, (1, 0))
            by_c += (series.factors(angular_gradients[:, k]) * a)[:, None] * weights[:, None, None]
        return radial.pull(by_radial) + angular.pull(by_c)

    def _push(self, pairs, tangents):
        radial, angular = self._densities(pairs, True)
        return self._combine(
            radial.push(tangents), angular.coefficients(), angular.push(tangents), 1.0
        )


def _chebyshev(x, n):
    """Return T_0 … T_n and their derivatives, each of shape (n + 1, len(x))."""
    values, derivatives = np.zeros((2, n + 1, len(x)))
    values[0] = 1.0
    if n:
        values[1], derivatives[1] = x, 1.0
    for k in range(2, n + 1):
        values[k] = 2.0 * x * values[k - 1] - values[k - 2]
        derivatives[k] = 2.0 * values[k - 1] + 2.0 * x * derivatives[k - 1] - derivatives[k - 2]
    return values, derivatives
