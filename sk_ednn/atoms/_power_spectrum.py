"""The power spectrum of neighbourhoods from their modes, and its derivatives.

Modes have shape (n_rows, n_pixels), with the pixels of many tiles: for each angular order m first
`n_vectors[m]` real parts, then, for m > 0, as many imaginary parts.
"""

from __future__ import annotations

from math import prod

import numpy as np


def spectrum_size(n_vectors) -> int:
    """Return the number of invariants: the modes of order 0, and all pairs of each order."""
    return n_vectors[0] + sum(k * (k + 1) // 2 for k in n_vectors)


def power_spectrum(modes, n_vectors, out=None) -> np.ndarray:
    """Return ``A_0`` and ``Re A_v A*_w``, v <= w, of each order: (n_invariants, n_pixels)."""
    shape = spectrum_size(n_vectors), modes.shape[1]
    out = np.empty(shape, modes.dtype) if out is None else out
    out[: n_vectors[0]] = modes[: n_vectors[0]]
    for rows, pairs in _orders(n_vectors):
        amplitudes = rows(modes)
        for v, products, of_pairs in _from_each(amplitudes, pairs(out)):
            np.multiply(amplitudes[:, :, v, None], amplitudes[:, :, v:], out=products)
            _add_parts(products, of_pairs)
    return out


def push_spectrum(modes, direction, n_vectors) -> np.ndarray:
    """Return directional derivatives of the invariants, for directions of the shape of modes."""
    out = np.empty((spectrum_size(n_vectors), modes.shape[1]), modes.dtype)
    out[: n_vectors[0]] = direction[: n_vectors[0]]
    for rows, pairs in _orders(n_vectors):
        amplitudes, along = rows(modes), rows(direction)
        for v, products, of_pairs in _from_each(amplitudes, pairs(out)):
            np.multiply(along[:, :, v, None], amplitudes[:, :, v:], out=products)
            products += amplitudes[:, :, v, None] * along[:, :, v:]
            _add_parts(products, of_pairs)
    return out


def pull_spectrum(modes, n_vectors, gradients, out=None) -> np.ndarray:
    """Return gradients by the modes from gradients by the invariants.

    Parameters
    ----------
    modes : ndarray of shape (n_rows, n_pixels)
    n_vectors : list of int
    gradients : ndarray of shape (n_invariants, n_pixels)
    out : ndarray of the shape of `modes` or None

    Returns
    -------
    ndarray of shape (n_rows, n_pixels)
    """
    out = np.empty_like(modes) if out is None else out
    out[: n_vectors[0]] = gradients[: n_vectors[0]]
    out[n_vectors[0] :] = 0.0
    for rows, pairs in _orders(n_vectors):
        amplitudes, of_amplitudes = rows(modes), rows(out)
        for v, products, of_pairs in _from_each(amplitudes, pairs(gradients)):
            # The gradient of a product by one factor is the other factor.
            of_pairs = of_pairs[:, None]
            np.multiply(of_pairs, amplitudes[:, :, v, None], out=products)
            of_amplitudes[:, :, v:] += products
            np.multiply(of_pairs, amplitudes[:, :, v:], out=products)
            of_amplitudes[:, :, v] += products.sum(axis=2)
    return out


def _orders(n_vectors):
    """Yield views of modes and of pairs, for adjacent orders of equally many vectors at once.

    Yields
    ------
    rows : function
        Of modes (n_rows, n_pixels), those of the orders: (n_orders, n_parts, k, n_pixels), where
        the parts are real and imaginary.
    pairs : function
        Of invariants, the products of the orders: (n_orders, k * (k + 1) / 2, n_pixels).
    """
    row, place, m = 0, n_vectors[0], 0
    while m < len(n_vectors):
        k, n_parts = n_vectors[m], 2 if m else 1
        n_orders = 1
        while m and n_vectors[m + n_orders : m + n_orders + 1] == [k]:
            n_orders += 1
        yield _part(row, (n_orders, n_parts, k)), _part(place, (n_orders, k * (k + 1) // 2))
        row += n_orders * n_parts * k
        place += n_orders * k * (k + 1) // 2
        m += n_orders


def _part(first, shape):
    """Return a function that views some rows of an array, in a shape."""
    return lambda rows: rows[first : first + prod(shape)].reshape(*shape, -1)


def _from_each(amplitudes, pairs):
    """Yield each vector v, an array for products with it and those after it, and their pairs.

    The array has shape (n_orders, n_parts, k - v, n_pixels), and is reused.
    """
    products, place, k = np.empty_like(amplitudes), 0, amplitudes.shape[2]
    for v in range(k):
        yield v, products[:, :, v:], pairs[:, place : place + k - v]
        place += k - v


def _add_parts(products, out):
    """Write the sum of real and imaginary parts."""
    if products.shape[1] == 1:
        out[:] = products[:, 0]
    else:
        np.add(products[:, 0], products[:, 1], out=out)
