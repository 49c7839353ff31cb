"""Laguerre–Gauss modes against their closed form and their integral."""

from math import factorial

import numpy as np
import pytest
from scipy.special import eval_genlaguerre

from sk_ednn.atoms._modes import LocalModes, hermite_functions, laguerre_gauss


def closed_form(m, n, x, y):
    """ψ_nm as the module states it."""
    square, angle = x**2 + y**2, np.arctan2(y, x)
    norm = (-1) ** n * np.sqrt(factorial(n) / (np.pi * factorial(n + m)))
    radial = square ** (m / 2) * eval_genlaguerre(n, m, square) * np.exp(-square / 2)
    return norm * radial * np.exp(1j * m * angle)


def modes(degree):
    """(m, n), and whether it is the imaginary part, of each row."""
    rows = []
    for m in range(degree + 1):
        of_order = [(m, n) for n in range((degree - m) // 2 + 1)]
        rows += [(*mode, False) for mode in of_order]
        rows += [(*mode, True) for mode in of_order if m]
    return rows


def test_hermite_functions_are_orthonormal():
    x = np.linspace(-12, 12, 2001)
    h = hermite_functions(x, 20)
    np.testing.assert_allclose(h @ h.T * (x[1] - x[0]), np.eye(21), atol=1e-12)


@pytest.mark.parametrize("degree", [0, 1, 2, 5, 10])
def test_mixing_makes_the_closed_form(degree, rng):
    mixing, n_modes = laguerre_gauss(degree)
    assert n_modes == [(degree - m) // 2 + 1 for m in range(degree + 1)]
    x, y = rng.normal(size=(2, 50))
    h_x, h_y = hermite_functions(x, degree), hermite_functions(y, degree)
    products = [h_x[i] * h_y[j] for i in range(degree + 1) for j in range(degree + 1 - i)]
    assert mixing.shape[1] == len(products)
    for row, (m, n, imaginary) in zip(mixing @ products, modes(degree), strict=True):
        expected = closed_form(m, n, x, y)
        np.testing.assert_allclose(row, expected.imag if imaginary else expected.real, atol=1e-12)


def test_coefficients_are_the_integral_about_each_pixel(rng):
    focus, context, spacing, scale, degree = (3, 2), (4, 6), (0.4, 0.3), 0.7, 4
    tiles = rng.random((2, 11, 14, 3))
    coefficients = LocalModes(focus, context, spacing, scale, degree)(tiles)
    for row, (m, n, imaginary) in enumerate(modes(degree)):
        for k, (i, j) in enumerate(np.ndindex(*focus)):
            near = tiles[:, i : i + 9, j : j + 13]  # no further than the context on each side
            x = np.arange(-4, 5)[:, None] * spacing[0] / scale
            y = np.arange(-6, 7) * spacing[1] / scale
            mode = closed_form(m, n, x, y)
            mode = mode.imag if imaginary else mode.real
            integral = np.einsum("nxyc,xy->nc", near, mode) * np.prod(spacing) / scale**2
            np.testing.assert_allclose(coefficients[:, row, :, k], integral, atol=1e-13)


def test_coefficients_of_a_gaussian_are_known():
    # A Gaussian of the width of the modes is the lowest mode, times the square root of π.
    x = np.arange(-30, 31) * 0.2
    field = np.exp(-(x[:, None] ** 2 + x**2) / 2)[None, :, :, None]
    coefficients = LocalModes((1, 1), (30, 30), (0.2, 0.2), 1.0, 6)(field)[0, :, 0, 0]
    expected = np.zeros(28)
    expected[0] = np.sqrt(np.pi)
    np.testing.assert_allclose(coefficients, expected, atol=1e-12)


@pytest.mark.parametrize("shape", [((3, 2), (1, 4), 2), ((1, 1), (0, 2), 1)])
def test_adjoint(shape, rng):
    focus, context, n_channels = shape
    modes = LocalModes(focus, context, (0.4, 0.5), 0.7, 3)
    window = [f + 2 * c for f, c in zip(focus, context, strict=True)]
    tiles = rng.normal(size=(2, *window, n_channels))
    result = modes(tiles)
    gradients = rng.normal(size=result.shape)
    assert np.vdot(gradients, result) == pytest.approx(
        np.vdot(modes.adjoint(gradients), tiles), rel=1e-12
    )
