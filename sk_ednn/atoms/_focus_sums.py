"""Sums of invariants over the focus of tiles, for `LocalInvariants`, and their gradients.

The functions work on blocks of tiles with matrix products, and do not validate their input.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ._power_spectrum import power_spectrum, pull_spectrum, push_spectrum


@dataclass(frozen=True)
class FocusSums:
    """Sums of density times invariants, and of density times products of their components.

    Attributes
    ----------
    window : tuple of int
        Pixels of a tile.
    focus : tuple of slice
        Pixels of the focus.
    n_channels : int
    modes : LocalModes
    mean : ndarray of shape (n_invariants,) or None
    components : ndarray of shape (n_components, n_invariants) or None
        None before they are fitted.
    """

    window: tuple[int, ...]
    focus: tuple[slice, ...]
    n_channels: int
    modes: Any
    mean: np.ndarray | None = None
    components: np.ndarray | None = None

    @property
    def n_components(self) -> int:
        """Number of components."""
        return 0 if self.components is None else len(self.components)

    @property
    def n_vectors(self) -> list[int]:
        """Number of modes of each order."""
        return [self.n_channels * k for k in self.modes.n_modes]

    def sums(self, X):
        """Return sums over the focus of each tile, (n, n_features_out), not scaled."""
        density, invariants = self.invariants(X)
        n, n_channels, _ = density.shape
        linear = np.matmul(density, invariants.transpose(0, 2, 1)).reshape(n, -1)
        if not self.n_components:
            return linear
        components = np.matmul(self.components.astype(X.dtype), invariants)
        components -= (self.components @ self.mean).astype(X.dtype)[:, None]
        i, j = np.triu_indices(self.n_components)
        upper = i * self.n_components + j
        sums = [linear]
        for c in range(n_channels):
            products = np.matmul(density[:, c, None] * components, components.transpose(0, 2, 1))
            sums.append(products.reshape(n, -1).take(upper, axis=1))
        return np.hstack(sums)

    def invariants(self, X):
        """Return density (n, n_channels, n_pixels) and invariants (n, n_invariants, n_pixels)."""
        density, modes = self.surroundings(X)
        return density, power_spectrum(modes, self.n_vectors)

    def surroundings(self, X):
        """Return density (n, n_channels, n_pixels) and modes (n, n_rows, n_pixels)."""
        n, n_channels = len(X), self.n_channels
        tiles = X.reshape(n, *self.window, n_channels)
        density = tiles[(slice(None), *self.focus)].reshape(n, -1, n_channels).transpose(0, 2, 1)
        modes = self.modes(tiles)
        return np.ascontiguousarray(density), modes.reshape(n, -1, modes.shape[-1])

    def push(self, X, directions):
        """Return directional derivatives of the sums, (n, n_features_out), not scaled."""
        density, modes = self.surroundings(X)
        of_density, of_modes = self.surroundings(directions)  # they are linear in the tiles
        invariants = power_spectrum(modes, self.n_vectors)
        of_invariants = push_spectrum(modes, of_modes, self.n_vectors)
        n = len(X)
        linear = np.matmul(of_density, invariants.transpose(0, 2, 1))
        linear += np.matmul(density, of_invariants.transpose(0, 2, 1))
        sums = [linear.reshape(n, -1)]
        if self.n_components:
            weights = self.components.astype(X.dtype)
            mean = (self.components @ self.mean).astype(X.dtype)
            components = np.matmul(weights, invariants) - mean[:, None]
            of_components = np.matmul(weights, of_invariants)
            i, j = np.triu_indices(self.n_components)
            upper = i * self.n_components + j
            for c in range(self.n_channels):
                # Half of the derivative of the product, which is symmetric.
                half = of_density[:, c, None] * components / 2
                half += density[:, c, None] * of_components
                half = np.matmul(half, components.transpose(0, 2, 1))
                products = half + half.transpose(0, 2, 1)
                sums.append(products.reshape(n, -1).take(upper, axis=1))
        return np.hstack(sums)

    def pull(self, X, gradients):
        """Return gradients by the tiles from gradients by the sums, the adjoint of `push`.

        `gradients` has one row per tile, or one row for all.
        """
        gradients = gradients.astype(X.dtype, copy=False)
        density, modes = self.surroundings(X)
        invariants = power_spectrum(modes, self.n_vectors)
        n, n_channels, n_pixels = density.shape
        n_linear = n_channels * invariants.shape[1]
        linear = gradients[:, :n_linear].reshape(len(gradients), n_channels, -1)
        if self.n_components:
            of_density, of_invariants = self._pull_products(density, invariants, gradients, linear)
        else:
            of_density = np.matmul(linear, invariants)
            of_invariants = np.matmul(linear.transpose(0, 2, 1), density)
        of_modes = pull_spectrum(modes, self.n_vectors, of_invariants)
        out = self.modes.adjoint(of_modes.reshape(n, -1, n_channels, n_pixels))
        focus = out[(slice(None), *self.focus)]
        focus += of_density.transpose(0, 2, 1).reshape(focus.shape)
        return out.reshape(n, -1)

    def _pull_products(self, density, invariants, gradients, linear):
        """Return gradients by density and invariants, of linear sums and of products."""
        n_channels, n_components = density.shape[1], self.n_components
        weights = self.components.astype(density.dtype)
        # The rows of the linear sums and the components in one matrix product, there and back.
        weights = np.broadcast_to(weights, (len(linear), *weights.shape))
        rows = np.concatenate([linear, weights], axis=1)
        products = np.matmul(rows, invariants)
        of_density, components = products[:, :n_channels], products[:, n_channels:]
        components -= (self.components @ self.mean).astype(density.dtype)[:, None]
        i, j = np.triu_indices(n_components)
        of_products = np.empty_like(products)
        of_products[:, :n_channels] = density
        of_components = of_products[:, n_channels:]
        n_linear = linear.shape[1] * linear.shape[2]
        for c, of_channel in enumerate(np.split(gradients[:, n_linear:], n_channels, axis=1)):
            pairs = np.zeros((len(gradients), n_components, n_components), density.dtype)
            pairs[:, i, j] = of_channel
            # The gradient of a product by one factor is the other factor.
            partners = np.matmul(pairs + pairs.transpose(0, 2, 1), components)
            of_density[:, c] += 0.5 * np.einsum("nkp,nkp->np", components, partners)
            partners *= density[:, c, None]
            if c:
                of_components += partners
            else:
                of_components[:] = partners
        return of_density, np.matmul(rows.transpose(0, 2, 1), of_products)
