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

from .._utils.scratch import Scratch
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

    def __call__(self, tiles, scratch=None):
        """Return the coefficients.

        Parameters
        ----------
        tiles : ndarray of shape (n, window_x, window_y, n_channels), float32 or float64
        scratch : Scratch or None
            For intermediate results and the result.

        Returns
        -------
        ndarray of shape (n, n_rows, n_channels, focus_x * focus_y), of the same type
            Rows in the order of `laguerre_gauss`. In memory the rows come first and the pixels of
            all tiles last, so that operations on rows are long.
        """
        n, window_x, window_y, n_channels = tiles.shape
        (focus_x, focus_y), n_orders = self.focus, self.degree + 1
        along_x, along_y = self._flat_filters(tiles.dtype)
        # One matrix product per tile, so that coefficients do not depend on the batch, to the
        # last bit.
        scratch, dtype = scratch or Scratch(), tiles.dtype
        rows = scratch.empty("rows", (n, n_channels, window_x, window_y), dtype)
        rows[:] = tiles.transpose(0, 3, 1, 2)
        fields = scratch.empty("fields", (n, n_channels, window_x, n_orders, focus_y), dtype)
        np.matmul(rows.reshape(n, -1, window_y), along_y.T, out=fields.reshape(n, -1, len(along_y)))
        mixing = self._mixing(dtype)
        shape = n, n_channels, mixing.shape[1] * focus_x, focus_y
        products = scratch.empty("products", shape, dtype)
        for j, rows in enumerate(self._rows_of_products()):
            part = along_x[: rows.stop - rows.start]
            np.matmul(part, fields[:, :, :, j], out=products[:, :, rows])
        products = products.reshape(n, n_channels, -1, focus_x * focus_y)
        modes = scratch.empty("modes", (len(mixing), n_channels, n, focus_x * focus_y), dtype)
        np.matmul(mixing, products, out=modes.transpose(2, 1, 0, 3))
        return modes.transpose(2, 0, 1, 3)

    def adjoint(self, gradients, scratch=None):
        """Return gradients by tiles from gradients by coefficients.

        Parameters
        ----------
        gradients : ndarray of shape (n, n_rows, n_channels, focus_x * focus_y)
        scratch : Scratch or None
            For intermediate results and the result.

        Returns
        -------
        ndarray of shape (n, window_x, window_y, n_channels), of the same type
            ``<adjoint(s), t> == <s, self(t)>``.
        """
        n, _, n_channels, _ = gradients.shape
        focus_y, n_orders = self.focus[1], self.degree + 1
        along_x, along_y = self._flat_filters(gradients.dtype)
        window_x, window_y = along_x.shape[-1], along_y.shape[-1]
        scratch, dtype = scratch or Scratch(), gradients.dtype
        mixing = self._mixing(dtype)
        shape = n, n_channels, mixing.shape[1], gradients.shape[3]
        products = scratch.empty("products", shape, dtype)
        np.matmul(mixing.T, gradients.transpose(0, 2, 1, 3), out=products)
        products = products.reshape(n, n_channels, -1, focus_y)
        fields = scratch.empty("fields", (n, n_channels, window_x, n_orders, focus_y), dtype)
        for j, rows in enumerate(self._rows_of_products()):
            part = along_x[: rows.stop - rows.start]
            np.matmul(part.T, products[:, :, rows], out=fields[:, :, :, j])
        tiles = scratch.empty("rows", (n, n_channels, window_x, window_y), dtype)
        np.matmul(fields.reshape(n, -1, len(along_y)), along_y, out=tiles.reshape(n, -1, window_y))
        return tiles.transpose(0, 2, 3, 1)

    def _flat_filters(self, dtype):
        """Return the filters along x and y, ((degree + 1) * focus, window)."""
        return [f.astype(dtype).reshape(-1, f.shape[-1]) for f in self.filters]

    def _mixing(self, dtype):
        """Return `mixing` for products in the order of `_rows_of_products`: by j, then by i."""
        size = self.degree + 1
        pairs = [(j, i) for i in range(size) for j in range(size - i)]
        return self.mixing[:, sorted(range(len(pairs)), key=pairs.__getitem__)].astype(dtype)

    def _rows_of_products(self):
        """Yield the slices of products ``h_i h_j`` of each j, with a row for each i and pixel."""
        first = 0
        for j in range(self.degree + 1):
            last = first + (self.degree + 1 - j) * self.focus[0]
            yield slice(first, last)
            first = last


def _filters(focus, context, spacing, scale, degree):
    """Return Hermite functions about each pixel of a focus, at the pixels of a window."""
    distance = np.arange(-context, focus + context) - np.arange(focus)[:, None]
    step = spacing / scale
    values = hermite_functions(distance * step, degree) * step
    # The same range for each pixel of the focus, so that the coefficients of a pixel do not
    # depend on its tile.
    return values * (np.abs(distance) <= context)
