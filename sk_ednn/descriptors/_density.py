"""The density of neighbours around each centre, expanded in radial functions and harmonics.

Sums over pairs of neighbours that depend on the angle between them are products of such
expansions, by the addition theorem, so that their cost is linear in the number of neighbours.
"""

import threading

import numpy as np

from .._utils.optional import needing

_NORM = np.sqrt(4.0 * np.pi)


# A calculator of sphericart writes to internal buffers while it computes: two threads that share
# one get each other's numbers. It is cheap to make, so that each thread has the last one it used.
_of_thread = threading.local()


def _harmonics(max_l):
    with needing("Angular descriptors"):
        from sphericart import SphericalHarmonics

    if getattr(_of_thread, "max_l", None) != max_l:
        _of_thread.calculator, _of_thread.max_l = SphericalHarmonics(max_l), max_l
    return _of_thread.calculator


class Density:
    """c[i, s, n, lm] = √4π Σ_j R_n(r_ij) Y_lm(r_ij), over neighbours j of species s.

    Parameters
    ----------
    pairs : Pairs
    radial : callable
        Takes distances (n_pairs,); returns the functions R and their derivatives, each of shape
        (n_radial, n_pairs).
    max_l : int
        Highest degree of the real spherical harmonics Y.
    derivatives : bool, default=False
        Compute what `pull` and `push` need, too.
    """

    def __init__(self, pairs, radial, max_l, *, derivatives=False):
        self._pairs = pairs
        vectors = pairs.vectors
        distances = np.sqrt(np.einsum("pd,pd->p", vectors, vectors))
        values, dvalues = radial(distances)
        # The factor that Y lacks is cheaper on the few radial functions.
        self._radial = np.ascontiguousarray(values.T) * _NORM
        self._dradial = self._harmonics = self._dharmonics = None
        if max_l == 0:
            self._harmonics = np.full((len(vectors), 1), 1.0 / _NORM)
        elif not len(vectors):
            self._harmonics = np.zeros((0, (max_l + 1) ** 2))
            self._dharmonics = np.zeros((0, 3, (max_l + 1) ** 2))
        elif derivatives:
            self._harmonics, self._dharmonics = _harmonics(max_l).compute_with_gradients(vectors)
        else:
            self._harmonics = _harmonics(max_l).compute(vectors)
        if derivatives:
            self._dradial = np.ascontiguousarray(dvalues.T) * _NORM
            self._directions = vectors / distances[:, None]

    def coefficients(self):
        """Return c, of shape (n_centers, n_species, n_radial, (max_l + 1)²)."""
        return self._shaped(self._pairs.segments.outer(self._radial, self._harmonics))

    def pull(self, gradients):
        """Return dE/dvectors from dE/dc.

        Parameters
        ----------
        gradients : ndarray of shape (n_centers, n_species, n_radial, (max_l + 1)²)

        Returns
        -------
        ndarray of shape (n_pairs, 3)
        """
        segments = self._pairs.segments
        matrices = gradients.reshape(segments.n_segments, *gradients.shape[2:])
        by_radial = segments.apply(self._harmonics, matrices.transpose(0, 2, 1))
        along = np.einsum("pn,pn->p", by_radial, self._dradial)
        out = along[:, None] * self._directions
        if self._dharmonics is not None:
            by_harmonic = segments.apply(self._radial, matrices)
            out += np.einsum("pdl,pl->pd", self._dharmonics, by_harmonic)
        return out

    def push(self, tangents):
        """Return the change of c with that of the vectors.

        Parameters
        ----------
        tangents : ndarray of shape (n_pairs, 3)

        Returns
        -------
        ndarray of shape (n_centers, n_species, n_radial, (max_l + 1)²)
        """
        segments = self._pairs.segments
        along = np.einsum("pd,pd->p", tangents, self._directions)
        out = segments.outer(self._dradial * along[:, None], self._harmonics)
        if self._dharmonics is not None:
            out += segments.outer(self._radial, np.einsum("pdl,pd->pl", self._dharmonics, tangents))
        return self._shaped(out)

    def _shaped(self, sums):
        return sums.reshape(self._pairs.n_centers, self._pairs.n_species, *sums.shape[1:])
