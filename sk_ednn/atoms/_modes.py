"""Expansion of fields in Laguerre–Gauss modes about each pixel, with separable filters.

The modes are the eigenfunctions of the two-dimensional harmonic oscillator, orthonormal in the
plane, for angular order m = 0 ... degree and radial index n with m + 2n <= degree::

    ψ_nm(ρ, φ) = (-1)^n sqrt(n! / (π (n + m)!)) ρ^m L_n^m(ρ²) exp(-ρ²/2) exp(i m φ)

They are circular harmonics: a rotation multiplies each by a phase. Each is a combination of the
products of Hermite functions ``h_i(x) h_j(y)`` with i + j = m + 2n, which are separable. A field is
filtered along x, then along y, then the products are combined. For a window of w × w pixels this
takes 2w multiplications per product and pixel instead of w².
"""

from __future__ import annotations

from math import factorial, sqrt

import numpy as np

from .._utils.stored import stored


def hermite_functions(x, degree):
    """Return Hermite functions ``h_0 ... h_degree`` at `x`, orthonormal on the line.

    Parameters
    ----------
    x : ndarray
    degree : int

    Returns
    -------
    ndarray of shape (degree + 1, *x.shape)
    """
    values = [np.pi**-0.25 * np.exp(-x * x / 2)]
    for n in range(1, degree + 1):
        before = values[n - 2] if n > 1 else 0.0
        # The recurrence of normalised functions is stable and does not overflow.
        values.append(sqrt(2 / n) * x * values[-1] - sqrt((n - 1) / n) * before)
    return np.array(values)


def laguerre_gauss(degree):
    """Return the coefficients of modes in products of Hermite functions.

    Parameters
    ----------
    degree : int

    Returns
    -------
    mixing : ndarray of shape (n_rows, n_products)
        Products ``h_i h_j`` are ordered by i, then j, with i + j <= degree. Rows are ordered by m;
        for each, the real parts of its modes by n, then (m > 0) the imaginary parts.
    n_modes : list of int
        Number of radial indices n of each m.
    """
    products = {
        pair: k
        for k, pair in enumerate((i, j) for i in range(degree + 1) for j in range(degree + 1 - i))
    }
    rows, n_modes = [], []
    for m in range(degree + 1):
        modes = []
        for n in range((degree - m) // 2 + 1):
            # With ladder operators, ψ_nm = (a_x + i a_y)^(n+m) (a_x - i a_y)^n |0> up to its norm,
            # and a_x^i a_y^j |0> = sqrt(i! j!) h_i(x) h_j(y).
            polynomial = np.poly1d([1j, 1]) ** (n + m) * np.poly1d([-1j, 1]) ** n
            norm = sqrt(2.0 ** (2 * n + m) * factorial(n + m) * factorial(n))
            mode = np.zeros(len(products), dtype=complex)
            for j, coefficient in enumerate(polynomial.coeffs[::-1]):
                i = 2 * n + m - j
                mode[products[i, j]] = coefficient * sqrt(factorial(i) * factorial(j)) / norm
            modes.append(mode)
        rows.append(np.real(modes))
        if m:
            rows.append(np.imag(modes))
        n_modes.append(len(modes))
    return np.concatenate(rows), n_modes


@stored("LocalModes")
class LocalModes:
    """Coefficients of fields in the modes about each pixel of a focus.

    The coefficient of channel c about pixel r is an integral, computed as a sum over the pixels
    within the context along each axis::

        A_cnm(r) = ∫ ρ_c(r + r') ψ_nm(r' / scale) dr' / scale²

    Parameters
    ----------
    focus, context : pair of int, in pixels
    spacing : pair of float
        Distance of pixels along x and y.
    scale : float, in units of `spacing`
    degree : int
    """

    def __init__(self, focus, context, spacing, scale, degree):
        self.focus = focus
        self.degree = degree
        self.filters = [
            _filters(*axis, scale, degree) for axis in zip(focus, context, spacing, strict=True)
        ]
        self.mixing, self.n_modes = laguerre_gauss(degree)

    def __call__(self, tiles):
        """Return the coefficients.

        Parameters
        ----------
        tiles : ndarray of shape (n, window_x, window_y, n_channels), float32 or float64

        Returns
        -------
        ndarray of shape (n, n_rows, n_channels, focus_x * focus_y), of the same type
            Rows in the order of `laguerre_gauss`.
        """
        n, window_x, window_y, n_channels = tiles.shape
        focus_x, focus_y = self.focus
        along_x, along_y = (filters.astype(tiles.dtype) for filters in self.filters)
        # One matrix product per tile, so that coefficients do not depend on the batch, to the
        # last bit.
        fields = np.ascontiguousarray(tiles.transpose(0, 1, 3, 2)).reshape(n, window_x, -1)
        fields = np.matmul(along_x.reshape(-1, window_x), fields)
        fields = fields.reshape(n, self.degree + 1, focus_x * n_channels, window_y)
        products = np.empty((n, self.mixing.shape[1], n_channels, focus_x, focus_y), tiles.dtype)
        first = 0
        for i in range(self.degree + 1):
            last = first + self.degree + 1 - i
            part = np.matmul(fields[:, i], along_y[: last - first].reshape(-1, window_y).T)
            part = part.reshape(n, focus_x, n_channels, last - first, focus_y)
            products[:, first:last] = part.transpose(0, 3, 2, 1, 4)
            first = last
        mixed = np.matmul(self.mixing.astype(tiles.dtype), products.reshape(n, first, -1))
        return mixed.reshape(n, -1, n_channels, focus_x * focus_y)

    def adjoint(self, gradients):
        """Return gradients by tiles from gradients by coefficients.

        Parameters
        ----------
        gradients : ndarray of shape (n, n_rows, n_channels, focus_x * focus_y)

        Returns
        -------
        ndarray of shape (n, window_x, window_y, n_channels), of the same type
            ``<adjoint(s), t> == <s, self(t)>``.
        """
        n, n_rows, n_channels, _ = gradients.shape
        focus_x, focus_y = self.focus
        along_x, along_y = (filters.astype(gradients.dtype) for filters in self.filters)
        window_x, window_y = along_x.shape[-1], along_y.shape[-1]
        products = np.matmul(
            self.mixing.T.astype(gradients.dtype), gradients.reshape(n, n_rows, -1)
        )
        products = products.reshape(n, -1, n_channels, focus_x, focus_y)
        fields = np.empty((n, self.degree + 1, focus_x * n_channels, window_y), gradients.dtype)
        first = 0
        for i in range(self.degree + 1):
            last = first + self.degree + 1 - i
            part = products[:, first:last].transpose(0, 3, 2, 1, 4)
            part = part.reshape(n, focus_x * n_channels, -1)
            np.matmul(part, along_y[: last - first].reshape(-1, window_y), out=fields[:, i])
            first = last
        fields = fields.reshape(n, (self.degree + 1) * focus_x, n_channels * window_y)
        tiles = np.matmul(along_x.reshape(-1, window_x).T, fields)
        return tiles.reshape(n, window_x, n_channels, window_y).transpose(0, 1, 3, 2)


def _filters(focus, context, spacing, scale, degree):
    """Return Hermite functions about each pixel of a focus, at the pixels of a window."""
    distance = np.arange(-context, focus + context) - np.arange(focus)[:, None]
    step = spacing / scale
    values = hermite_functions(distance * step, degree) * step
    # The same range for each pixel of the focus, so that the coefficients of a pixel do not
    # depend on its tile.
    return values * (np.abs(distance) <= context)
