"""The power spectrum of neighbourhoods from their modes, and its derivatives.

Modes have shape (n, n_rows, n_pixels): for each angular order m first `n_vectors[m]` real parts,
then, for m > 0, as many imaginary parts.
"""

from __future__ import annotations

import numpy as np


def spectrum_size(n_vectors) -> int:
    """Return the number of invariants: the modes of order 0, and all pairs of each order."""
    return n_vectors[0] + sum(k * (k + 1) // 2 for k in n_vectors)


def power_spectrum(modes, n_vectors) -> np.ndarray:
    """Return ``A_0`` and ``Re A_v A*_w``, v <= w, of each order: (n, n_invariants, n_pixels)."""
    n, _, n_pixels = modes.shape
    invariants = np.empty((n, spectrum_size(n_vectors), n_pixels), dtype=modes.dtype)
    invariants[:, : n_vectors[0]] = modes[:, : n_vectors[0]]
    for place, (real, *imaginary), v in _pairs(n_vectors):
        of_order = modes[:, real]
        products = invariants[:, place : place + of_order.shape[1] - v]
        np.multiply(of_order[:, v : v + 1], of_order[:, v:], out=products)
        for part in imaginary:
            of_order = modes[:, part]
            products += of_order[:, v : v + 1] * of_order[:, v:]
    return invariants


def push_spectrum(modes, direction, n_vectors) -> np.ndarray:
    """Return directional derivatives of the invariants, for directions of the shape of modes."""
    n, _, n_pixels = modes.shape
    change = np.empty((n, spectrum_size(n_vectors), n_pixels), dtype=modes.dtype)
    change[:, : n_vectors[0]] = direction[:, : n_vectors[0]]
    for place, parts, v in _pairs(n_vectors):
        width = parts[0].stop - parts[0].start - v
        products = change[:, place : place + width]
        products[:] = 0.0
        for part in parts:
            of_order, along = modes[:, part], direction[:, part]
            products += along[:, v : v + 1] * of_order[:, v:]
            products += of_order[:, v : v + 1] * along[:, v:]
    return change


def pull_spectrum(modes, n_vectors, gradients) -> np.ndarray:
    """Return gradients by the modes from gradients by the invariants.

    Parameters
    ----------
    modes : ndarray of shape (n, n_rows, n_pixels)
    n_vectors : list of int
    gradients : ndarray of shape (n, n_invariants, n_pixels)

    Returns
    -------
    ndarray of shape (n, n_rows, n_pixels)
    """
    n, _, n_pixels = modes.shape
    out = np.empty_like(modes)
    place, row = n_vectors[0], 0
    for m, k in enumerate(n_vectors):
        # The symmetric matrix of each pixel: one contraction instead of one for each mode.
        matrices = np.empty((n, k, k, n_pixels), dtype=modes.dtype)
        for v in range(k):
            of_pairs = gradients[:, place : place + k - v]
            matrices[:, v, v:] = of_pairs
            matrices[:, v:, v] = of_pairs
            matrices[:, v, v] *= 2
            place += k - v
        for _ in range(2 if m else 1):  # real and imaginary parts
            part = slice(row, row + k)
            np.einsum("nvwp,nwp->nvp", matrices, modes[:, part], out=out[:, part])
            row += k
    out[:, : n_vectors[0]] += gradients[:, : n_vectors[0]]
    return out


def _pairs(n_vectors):
    """Yield the index of the first product, the rows of real and imaginary parts, and the mode."""
    place, row = n_vectors[0], 0
    for m, k in enumerate(n_vectors):
        parts = [slice(row, row + k), slice(row + k, row + 2 * k)][: 2 if m else 1]
        row += k * len(parts)
        for v in range(k):
            yield place, parts, v
            place += k - v
