"""How kernels change with the first of their arguments: those with names, and those of processes.

Of a kernel k between rows x and known rows u, what is asked for is always ``sum_j w[i, j] dk(x_i,
u_j) / dx_i``, from which products, sums and powers of kernels follow with other weights w.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.distance import cdist
from sklearn.gaussian_process import kernels

from ..exceptions import TileModelError

_NAMED = ("linear", "poly", "polynomial", "rbf", "sigmoid")


def named_kernel_gradient(model, kernel, gamma, degree, coef0, known, rows, weights) -> np.ndarray:
    """Return the weighted sum of slopes of a kernel named as `KernelRidge` does.

    Parameters
    ----------
    model : estimator
        Whose kernel it is, for the message.
    kernel : str
    gamma, degree, coef0 : float or None
    known : ndarray of shape (n_known, n_features)
    rows : ndarray of shape (n, n_features)
    weights : ndarray of shape (n or 1, n_known)

    Returns
    -------
    ndarray of shape (n, n_features), float64
    """
    if kernel not in _NAMED:
        raise TileModelError(
            f"The derivative of {type(model).__name__} is known for the kernels "
            f"{', '.join(_NAMED)}, got kernel={kernel!r}."
        )
    # scikit-learn's own defaults, where its kernels are left open.
    gamma = 1.0 / rows.shape[1] if gamma is None else gamma
    degree = 3 if degree is None else degree
    coef0 = 1 if coef0 is None else coef0
    known = np.asarray(known, dtype=np.float64)
    if kernel == "linear":
        return np.broadcast_to(weights @ known, rows.shape)
    if kernel == "rbf":
        values = np.exp(-gamma * cdist(rows, known, "sqeuclidean"))
        return _towards(rows, known, -2 * gamma * weights * values)
    inner = gamma * (rows @ known.T) + coef0
    if kernel == "sigmoid":
        return (weights * gamma * (1 - np.tanh(inner) ** 2)) @ known
    return (weights * gamma * degree * inner ** (degree - 1)) @ known


def kernel_gradient(kernel, rows, known, weights) -> np.ndarray:
    """Return the weighted sum of slopes of a kernel of `sklearn.gaussian_process`.

    Parameters
    ----------
    kernel : Kernel
        White noise has none: it is that of the totals.
    rows : ndarray of shape (n, n_features)
    known : ndarray of shape (n_known, n_features)
    weights : ndarray of shape (n or 1, n_known)

    Returns
    -------
    ndarray of shape (n, n_features), float64

    Raises
    ------
    TileModelError
        Naming the kernel whose derivative is not known, or that has none everywhere.
    """
    if isinstance(kernel, (kernels.ConstantKernel, kernels.WhiteKernel)):
        return np.zeros_like(rows)
    if isinstance(kernel, kernels.Sum):
        return kernel_gradient(kernel.k1, rows, known, weights) + kernel_gradient(
            kernel.k2, rows, known, weights
        )
    if isinstance(kernel, kernels.Product):
        return kernel_gradient(
            kernel.k1, rows, known, weights * kernel.k2(rows, known)
        ) + kernel_gradient(kernel.k2, rows, known, weights * kernel.k1(rows, known))
    if isinstance(kernel, kernels.Exponentiation):
        power = kernel.exponent
        outer = power * kernel.kernel(rows, known) ** (power - 1)
        return kernel_gradient(kernel.kernel, rows, known, weights * outer)
    if isinstance(kernel, kernels.DotProduct):
        return np.broadcast_to(weights, (len(rows), len(known))) @ known
    length = getattr(kernel, "length_scale", None)
    radial = _RADIAL.get(type(kernel))
    if radial is None:
        raise TileModelError(
            f"The derivative of the kernel {kernel} is not known. Known are {_KNOWN}."
        )
    if isinstance(kernel, kernels.ExpSineSquared):
        # The length is one of the sine, not of the distance.
        return _towards(rows, known, weights * radial(kernel, cdist(rows, known)))
    factors = radial(kernel, cdist(rows / length, known / length))
    return _towards(rows, known, weights * factors, length)


def _towards(rows, known, pull, length=1.0):
    """Return ``sum_j pull[i, j] (x_i - u_j) / length**2``."""
    pull = np.broadcast_to(pull, (len(rows), len(known)))
    return (rows * pull.sum(axis=1)[:, None] - pull @ known) / np.square(length)


# Each returns dk/dx = factor * (x - u) / length**2, the factor, from distances in lengths.


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
        f"The derivative of a Matern kernel is known for nu=1.5, 2.5 and inf, got nu={kernel.nu}. "
        "With nu=0.5 there is none where two tiles are equal."
    )


def _rational_quadratic(kernel, distance):
    return -((1 + distance**2 / (2 * kernel.alpha)) ** (-kernel.alpha - 1))


def _sine(kernel, distance):
    period, length = kernel.periodicity, kernel.length_scale
    value = np.exp(-2 * (np.sin(np.pi * distance / period) / length) ** 2)
    # sin(2 pi d / p) / d, which is 2 pi / p where d is 0.
    return value * (-4 * np.pi**2 / (period * length) ** 2) * np.sinc(2 * distance / period)


_RADIAL = {
    kernels.RBF: _rbf,
    kernels.Matern: _matern,
    kernels.RationalQuadratic: _rational_quadratic,
    kernels.ExpSineSquared: _sine,
}
_KNOWN = (
    "RBF, Matern, RationalQuadratic, ExpSineSquared, DotProduct and constants, their sums, "
    "products and powers"
)
