"""Sums over pairs of neighbours of a function of the angle between them, from densities.

By the addition theorem, Σ_jk g_j g_k P_l(cos θ_jk) is the norm of the density's components of
degree l, divided by 2l + 1. A polynomial in cos θ is a finite series of Legendre polynomials, so
that such a sum costs one density, whose cost is linear in the neighbours, and no loop over pairs.
"""

import numpy as np
from numpy.polynomial import legendre


def legendre_series(function, max_l):
    """Expand polynomials of degree at most `max_l` in Legendre polynomials.

    Parameters
    ----------
    function : callable
        Takes an array of cosines (n,); returns values (..., n).
    max_l : int

    Returns
    -------
    ndarray of shape (..., max_l + 1)

    Examples
    --------
    >>> from sk_ednn.descriptors._angular import legendre_series
    >>> legendre_series(lambda x: x**2, 2).round(3) + 0.0  # x² = (1 + 2 P_2(x)) / 3
    array([0.333, 0.   , 0.667])
    """
    # Gauss and Legendre's rule is exact for the products, of degree 2 max_l.
    nodes, weights = legendre.leggauss(max_l + 1)
    polynomials = legendre.legvander(nodes, max_l) * weights[:, None]
    return function(nodes) @ polynomials * (np.arange(max_l + 1) + 0.5)


class AngularSeries:
    """Functions of the angle, each a Legendre series, summed over all j and k with j = k included.

    Parameters
    ----------
    series : ndarray of shape (n_functions, max_l + 1)
        The coefficients of each function.
    radial : ndarray of int of shape (n_functions,), default=None
        Which radial function of the densities each belongs to. None for the only one.
    n_radial : int, default=1
    """

    def __init__(self, series, radial=None, n_radial=1):
        degrees = np.arange(series.shape[1])
        self._weights = series / (2 * degrees + 1)
        self._radial = np.zeros(len(series), dtype=int) if radial is None else radial
        self._belongs = (np.arange(n_radial)[:, None] == self._radial).astype(float)
        self._first = degrees**2
        self._sizes = 2 * degrees + 1

    def sums(self, a, b):
        """Return Σ_jk g_j g_k function(cos θ_jk), j from density `a` and k from density `b`.

        Parameters
        ----------
        a, b : ndarray of shape (n_centers, n_radial, (max_l + 1)²)

        Returns
        -------
        ndarray of shape (n_centers, n_functions)
        """
        by_degree = np.add.reduceat(a * b, self._first, axis=2)
        return np.einsum("ifl,fl->if", by_degree[:, self._radial], self._weights)

    def factors(self, gradients):
        """Return the factors of the densities in the derivatives of the sums.

        The derivative of Σ gradients · sums(a, b) by a is ``factors(gradients) * b``, and by b it
        is ``factors(gradients) * a``.

        Parameters
        ----------
        gradients : ndarray of shape (n_centers, n_functions)

        Returns
        -------
        ndarray of shape (n_centers, n_radial, (max_l + 1)²)
        """
        by_degree = np.matmul(self._belongs, gradients[:, :, None] * self._weights)
        return np.repeat(by_degree, self._sizes, axis=2)
