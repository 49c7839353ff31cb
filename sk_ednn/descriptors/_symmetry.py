"""Behler's symmetry functions, for each species of neighbour and each pair of species."""

import numpy as np

from .._utils.stored import stored
from ._angular import AngularSeries, legendre_series
from ._density import Density
from ._pairs import AbstractPairDescriptor
from ._radial import CUTOFF_FUNCTIONS
from ._triples import TripleFunctions, Triples

# Legendre series of higher powers cost more than the pairs of 40 neighbours one by one.
_HIGHEST_POWER = 16


@stored("SymmetryFunctions")
class SymmetryFunctions(AbstractPairDescriptor):
    """Describe an atom by Behler's symmetry functions G2 and G5, or G4.

    ::

        G2[s]     = Σ_j exp(−η (r_ij − R_s)²) f(r_ij)                          z_j = s
        G5[s, t]  = 2^(1−ζ) Σ_{j<k} (1 + λ cos θ_jik)^ζ exp(−η (r_ij² + r_ik²)) f(r_ij) f(r_ik)
        G4[s, t]  = 2^(1−ζ) Σ_{j<k} (1 + λ cos θ_jik)^ζ exp(−η (r_ij² + r_ik² + r_jk²))
                    f(r_ij) f(r_ik) f(r_jk)                                    z_j = s, z_k = t

    Each pair of neighbours counts once. Values are ordered by species, then by G2 as in `radial`;
    after them by unordered pair of species, then by `angular`.

    G5 with an integer ζ up to 16 is computed from moments of the density of neighbours, at a cost
    linear in their number that grows with (max ζ + 1)². G4, and G5 with another ζ, visit every
    pair of neighbours.

    Parameters
    ----------
    cutoff : float, default=6.0, in Å
        Radius of the environment of an atom.

    radial : sequence of (eta, r_s), in 1/Å² and Å, default=None
        The parameters of G2. None: 12 Gaussians whose centres are spaced evenly from 0.5 Å to the
        cutoff, each as wide as their distance, η = 1 / (2 Δ²) [2]_.

    angular : sequence of (eta, zeta, lambda), in 1/Å² and without units, default=None
        The parameters of G5 or G4, with λ = 1 or −1. None: all of η = 1 / (2 r²) with r at a
        sixth, a third and two thirds of the cutoff, as the centred functions of [2]_,
        ζ = 1, 2, 4, 8, and λ = ±1.

    angular_form : {"G5", "G4"}, default="G5"
        G4 includes the third leg, from j to k.

    cutoff_function : {"polynomial", "cosine"}, default="polynomial"
        The function f. Published parameters are meant for the cosine [1]_, with which forces are
        continuous where a neighbour enters. With the polynomial, force constants are continuous,
        too.

    species : tuple of str or int, default=None
        The elements that neighbours may be, as symbols or atomic numbers. None: set by
        `with_species`.

    References
    ----------
    .. [1] Behler, Atom-centered symmetry functions for constructing high-dimensional neural
       network potentials, J. Chem. Phys. 134, 074106 (2011), eqs. 4, 6, 8 and 9.
    .. [2] Gastegger et al., wACSF: weighted atom-centered symmetry functions as descriptors in
       machine learning potentials, J. Chem. Phys. 148, 241709 (2018). A similar grid: Imbalzano et
       al., J. Chem. Phys. 148, 241730 (2018).

    Examples
    --------
    >>> from ase.build import molecule
    >>> from sk_ednn.descriptors import SymmetryFunctions
    >>> from sk_ednn.structures import Structures, neighbor_pairs
    >>> environments = neighbor_pairs(Structures.of([molecule("H2O")]), cutoff=6.0)
    >>> SymmetryFunctions(species=("H", "O")).values(environments).shape
    (3, 96)

    cos θ of the one angle at the oxygen, H-O-H, is −0.24:

    >>> angle = SymmetryFunctions(radial=(), angular=[(0, 1, 1), (0, 1, -1)], species=("H", "O"))
    >>> values = angle.values(environments)[0].reshape(3, 2)  # H-H, H-O, O-O
    >>> values.round(2)
    array([[0.76, 1.24],
           [0.  , 0.  ],
           [0.  , 0.  ]])
    """

    def __init__(
        self,
        cutoff=6.0,
        radial=None,
        angular=None,
        angular_form="G5",
        cutoff_function="polynomial",
        species=None,
    ):
        self.cutoff = cutoff
        self.radial = radial
        self.angular = angular
        self.angular_form = angular_form
        self.cutoff_function = cutoff_function
        self.species = species

    @property
    def tile_shape(self):
        """Shape of the values of one atom: (n_features,)."""
        n = len(self.species_numbers)
        return (n * len(self._g2()) + n * (n + 1) // 2 * len(self._g45()),)

    @property
    def _numbers_per_pair(self):
        g45 = self._g45()
        if len(g45) and not self._from_moments():
            return 2000  # some 30 triples a pair, of some 60 numbers
        powers = g45[:, 1].max(initial=0.0)
        return int(4 * (powers + 1) ** 2) + 6 * (len(self._g2()) + len(np.unique(g45[:, 0])))

    def _g2(self):
        if self.radial is None:
            centers, step = np.linspace(min(0.5, self.cutoff / 2), self.cutoff, 12, retstep=True)
            return np.column_stack([np.full(12, 0.5 / step**2), centers])
        return _table(self.radial, 2)

    def _g45(self):
        if self.angular is None:
            widths = self.cutoff / np.array([6.0, 3.0, 1.5])
            return np.array(
                [
                    (0.5 / width**2, zeta, sign)
                    for width in widths
                    for zeta in (1, 2, 4, 8)
                    for sign in (1, -1)
                ]
            )
        return _table(self.angular, 3)

    def _check(self):
        for name, choices in (
            ("angular_form", ("G4", "G5")),
            ("cutoff_function", tuple(CUTOFF_FUNCTIONS)),
        ):
            if getattr(self, name) not in choices:
                raise ValueError(
                    f"{name} must be one of {', '.join(choices)}. Got {getattr(self, name)!r}."
                )
        for name, table, width, form in (
            ("radial", self._g2, 2, "(eta, r_s)"),
            ("angular", self._g45, 3, "(eta, zeta, lambda)"),
        ):
            try:
                values = table()
            except (TypeError, ValueError):
                values = np.full(1, np.nan)
            if values.shape != (len(values), width) or not np.isfinite(values).all():
                raise ValueError(
                    f"{name} must be a sequence of {form}. Got {getattr(self, name)!r}."
                )
        g45 = self._g45()
        if (g45[:, 1] < 1).any() or not np.isin(g45[:, 2], (1, -1)).all():
            raise ValueError(
                "angular must have zeta of at least 1, below which forces are infinite on a line, "
                f"and lambda of 1 or -1. Got {self.angular!r}."
            )
        if not len(g45) and not len(self._g2()):
            raise ValueError("radial and angular are both empty, so nothing would be described.")

    def _from_moments(self):
        powers = self._g45()[:, 1]
        whole = (powers == np.round(powers)) & (powers <= _HIGHEST_POWER)
        return self.angular_form == "G5" and bool(whole.all())

    # ------------------------------------------------------------------------------- the parts

    def _split(self, values):
        """Return views: G2 (n_centers, n_species, n_g2), angular (n_centers, n_kinds, n_g45)."""
        n = len(self.species_numbers)
        n_g2, n_g45 = len(self._g2()), len(self._g45())
        return (
            values[:, : n * n_g2].reshape(len(values), n, n_g2),
            values[:, n * n_g2 :].reshape(len(values), n * (n + 1) // 2, n_g45),
        )

    def _gaussians(self, etas, shifts):
        """Return a function of distances: exp(−η (r − R)²) f(r) of each η, and the derivatives."""
        f = CUTOFF_FUNCTIONS[self.cutoff_function]

        def radial(distances):
            g, dg = f(distances, self.cutoff)
            from_shift = distances - shifts[:, None]
            gauss = np.exp(-etas[:, None] * from_shift**2)
            values = gauss * g
            return values, gauss * dg - 2.0 * etas[:, None] * from_shift * values

        return radial

    def _two_body(self, pairs, derivatives):
        """Return the density of G2 and, for G5 by moments, of what its sums must lose, j = k."""
        radial = self._gaussians(*self._g2().T)
        if self._from_moments():
            g2, leg = radial, self._leg()

            def radial(distances):
                g, dg = leg(distances)
                values, derivatives = g2(distances)
                return np.vstack([values, g * g]), np.vstack([derivatives, 2.0 * g * dg])

        return Density(pairs, radial, 0, derivatives=derivatives)

    def _leg(self):
        """Return the functions of one leg of the angle, one for each different η."""
        widths = self._widths()[0]
        return self._gaussians(widths, np.zeros(len(widths)))

    def _widths(self):
        """Return the different η of the angular functions, and which one each has."""
        return np.unique(self._g45()[:, 0], return_inverse=True)

    def _series(self):
        g45, (widths, which) = self._g45(), self._widths()
        zeta, sign = g45[:, 1:2], g45[:, 2:]
        series = legendre_series(
            lambda x: 2.0 ** (1.0 - zeta) * (1.0 + sign * x) ** zeta, int(zeta.max())
        )
        return AngularSeries(series, which, len(widths))

    def _own(self):
        """Return the functions of the angle at θ = 0: 2 for λ = 1, and 0."""
        return np.where(self._g45()[:, 2] > 0, 2.0, 0.0)

    def _moments(self, pairs, derivatives):
        max_l = int(self._g45()[:, 1].max())
        return Density(pairs, self._leg(), max_l, derivatives=derivatives)

    def _triples(self, pairs):
        """Yield which angular functions have each η, and these functions of all triples."""
        triples = Triples(pairs, self.angular_form == "G4")
        g45, (widths, which) = self._g45(), self._widths()
        for k in range(len(widths)):
            members = np.flatnonzero(which == k)
            leg = self._gaussians(widths[k : k + 1], np.zeros(1))
            yield members, TripleFunctions(triples, leg, g45[members, 1:])

    # ---------------------------------------------------------------------------- the contract

    def _values(self, pairs):
        two_body = self._two_body(pairs, False).coefficients()[..., 0]
        if not self._from_moments():
            sums = [(members, part.values()) for members, part in self._triples(pairs)]
            return self._from_sums(two_body, sums)
        c = self._moments(pairs, False).coefficients() if len(self._g45()) else None
        return self._from_densities(two_body, c, c, 0.5)

    def _push(self, pairs, tangents):
        two_body = self._two_body(pairs, True).push(tangents)[..., 0]
        if not self._from_moments():
            sums = [(members, part.push(tangents)) for members, part in self._triples(pairs)]
            return self._from_sums(two_body, sums)
        if not len(self._g45()):
            return self._from_densities(two_body, None, None, 1.0)
        density = self._moments(pairs, True)
        return self._from_densities(two_body, density.coefficients(), density.push(tangents), 1.0)

    def _from_sums(self, two_body, sums):
        out = np.empty((len(two_body), *self.tile_shape))
        g2, angular = self._split(out)
        g2[:] = two_body
        for members, values in sums:
            angular[:, :, members] = values.transpose(1, 2, 0)
        return out

    def _from_densities(self, two_body, c, change, half):
        out = np.empty((len(two_body), *self.tile_shape))
        g2, angular = self._split(out)
        g2[:] = two_body[:, :, : g2.shape[2]]
        if c is None:
            return out
        series, which = self._series(), self._widths()[1]
        self_pairs = 0.5 * two_body[:, :, g2.shape[2] :][:, :, which] * self._own()
        for kind, (s, t) in enumerate(_kinds(c.shape[1])):
            if s == t:
                angular[:, kind] = half * series.sums(c[:, s], change[:, s]) - self_pairs[:, s]
            elif c is change:
                angular[:, kind] = series.sums(c[:, s], c[:, t])
            else:
                angular[:, kind] = series.sums(c[:, s], change[:, t])
                angular[:, kind] += series.sums(change[:, s], c[:, t])
        return out

    def _pull(self, pairs, gradients):
        g2, angular = self._split(gradients)
        density = self._two_body(pairs, True)
        if not self._from_moments():
            out = density.pull(np.ascontiguousarray(g2)[..., None])
            for members, part in self._triples(pairs):
                out += part.pull(angular[:, :, members].transpose(2, 0, 1))
            return out
        widths, which = self._widths()
        by_two_body = np.zeros((len(gradients), pairs.n_species, g2.shape[2] + len(widths), 1))
        by_two_body[:, :, : g2.shape[2], 0] = g2
        if not len(widths):
            return density.pull(by_two_body)
        moments, series = self._moments(pairs, True), self._series()
        c = moments.coefficients()
        by_c = np.zeros_like(c)
        self_pairs = self._own()[:, None] * (which[:, None] == np.arange(len(widths)))
        for kind, (s, t) in enumerate(_kinds(pairs.n_species)):
            factors = series.factors(angular[:, kind])
            by_c[:, s] += factors * c[:, t]
            if s == t:
                by_two_body[:, s, g2.shape[2] :, 0] = -0.5 * angular[:, kind] @ self_pairs
            else:
                by_c[:, t] += factors * c[:, s]
        return density.pull(by_two_body) + moments.pull(by_c)


def _kinds(n_species):
    """Return the unordered pairs of species, in the order of the angular functions."""
    return list(zip(*np.triu_indices(n_species), strict=True))


def _table(rows, width):
    """Return rows of parameters as an array, of shape (0, width) where there are none."""
    return np.asarray(rows, dtype=float) if len(rows) else np.zeros((0, width))
