"""Gradients of kernels with respect to their first argument.

For a kernel k between rows x and centers u, all functions return weighted sums of gradients,
``sum_j w[i, j] dk(x_i, u_j) / dx_i``. Sums, products and powers of kernels reduce to these with
other weights w.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.distance import cdist
from sklearn.gaussian_process import kernels

from ..exceptions import TileModelError

_NAMED = ("linear", "poly", "polynomial", "rbf", "sigmoid")


def named_kernel_gradient(
    model, kernel, gamma, degree, coef0, centers, rows, weights
) -> np.ndarray:
    """Return the weighted sum of gradients of a kernel named as in `KernelRidge`.

    Parameters
    ----------
    model : estimator
        Owner of the kernel, for error messages.
    kernel : str
    gamma, degree, coef0 : float or None
    centers : ndarray of shape (n_centers, n_features)
    rows : ndarray of shape (n, n_features)
    weights : ndarray of shape (n or 1, n_centers)

    Returns
    -------
    ndarray of shape (n, n_features), float64

    Raises
    ------
    TileModelError
        If the gradient of the kernel is not implemented.
    """
    if kernel not in _NAMED:
        raise TileModelError(
            f"The gradient of {type(model).__name__} is implemented for the kernels "
            f"{', '.join(_NAMED)}, got kernel={kernel!r}."
        )
    # The defaults of scikit-learn's kernel functions.
    gamma = 1.0 / rows.shape[1] if gamma is None else gamma
    degree = 3 if degree is None else degree
    coef0 = 1 if coef0 is None else coef0
    centers = np.asarray(centers, dtype=np.float64)
    if kernel == "linear":
        return np.broadcast_to(weights @ centers, rows.shape)
    if kernel == "rbf":
        values = np.exp(-gamma * cdist(rows, centers, "sqeuclidean"))
        return _along_differences(rows, centers, -2 * gamma * weights * values)
    inner = gamma * (rows @ centers.T) + coef0
    if kernel == "sigmoid":
        return (weights * gamma * (1 - np.tanh(inner) ** 2)) @ centers
    return (weights * gamma * degree * inner ** (degree - 1)) @ centers


def kernel_gradient(kernel, rows, centers, weights) -> np.ndarray:
    """Return the weighted sum of gradients of a kernel of `sklearn.gaussian_process`.

    Parameters
    ----------
    kernel : Kernel
        A `WhiteKernel` contributes nothing, because it is the noise of totals.
    rows : ndarray of shape (n, n_features)
    centers : ndarray of shape (n_centers, n_features)
    weights : ndarray of shape (n or 1, n_centers)

    Returns
    -------
    ndarray of shape (n, n_features), float64

    Raises
    ------
    TileModelError
        If the gradient of the kernel is not implemented or does not exist everywhere.
    """
    if isinstance(kernel, (kernels.ConstantKernel, kernels.WhiteKernel)):
        return np.zeros_like(rows)
    if isinstance(kernel, kernels.Sum):
        return kernel_gradient(kernel.k1, rows, centers, weights) + kernel_gradient(
            kernel.k2, rows, centers, weights
        )
    if isinstance(kernel, kernels.Product):
        return kernel_gradient(
            kernel.k1, rows, centers, weights * kernel.k2(rows, centers)
        ) + kernel_gradient(kernel.k2, rows, centers, weights * kernel.k1(rows, centers))
    if isinstance(kernel, kernels.Exponentiation):
        power = kernel.exponent
        outer = power * kernel.kernel(rows, centers) ** (power - 1)
        return kernel_gradient(kernel.kernel, rows, centers, weights * outer)
    if isinstance(kernel, kernels.DotProduct):
        return np.broadcast_to(weights, (len(rows), len(centers))) @ centers
    length = getattr(kernel, "length_scale", None)
    radial = _RADIAL.get(type(kernel))
    if radial is None:
        raise TileModelError(
            f"The gradient of the kernel {kernel} is not implemented. Supported are {_SUPPORTED}."
        )
    if isinstance(kernel, kernels.ExpSineSquared):
        # The length scale applies to the sine, not to the distance.
        return _along_differences(rows, centers, weights * radial(kernel, cdist(rows, centers)))
    factors = radial(kernel, cdist(rows / length, centers / length))
    return _along_differences(rows, centers, weights * factors, length)


def _along_differences(rows, centers, factors, length=1.0):
    """Return ``sum_j factors[i, j] (x_i - u_j) / length**2``."""
    factors = np.broadcast_to(factors, (len(rows), len(centers)))
    return (rows * factors.sum(axis=1)[:, None] - factors @ centers) / np.square(length)


# Each of these returns, for distances in units of the length scale, the factor in
# dk/dx = factor * (x - u) / length**2.


def _rbf(kernel, distance):
    return -np.exp(-0.5 * distance**2)


def _matern(kernel, distance):
    if kernel.nu == 1.5:
        return -3 * np.exp(-np.sqrt(3) * distance)
    if kernel.nu == 2.5:
        scaled = np.sqrt(5) * distance
        return -5 / 3 * (1 + scaled) * np.exp(-scaled)
    if kernel.nu == np.inf:
        return _rbf(kernel, distance)
    raise TileModelError(
        "The gradient of a Matern kernel is implemented for nu=1.5, 2.5 and inf, got "
        f"nu={kernel.nu}. With nu=0.5 it does not exist where two tiles are equal."
    )


def _rational_quadratic(kernel, distance):
    return -((1 + distance**2 / (2 * kernel.alpha)) ** (-kernel.alpha - 1))


def _sine(kernel, distance):
    period, length = kernel.periodicity, kernel.length_scale
    value = np.exp(-2 * (np.sin(np.pi * distance / period) / length) ** 2)
    # sin(2 pi d / p) / d, whose limit for d = 0 is 2 pi / p.
    return value * (-4 * np.pi**2 / (period * length) ** 2) * np.sinc(2 * distance / period)


_RADIAL = {
    kernels.RBF: _rbf,
    kernels.Matern: _matern,
    kernels.RationalQuadratic: _rational_quadratic,
    kernels.ExpSineSquared: _sine,
}
_SUPPORTED = (
    "RBF, Matern, RationalQuadratic, ExpSineSquared, DotProduct and constants, their sums, "
    "products and powers"
)
