"""Sums of invariants over the focus of tiles, for `LocalInvariants`, and their gradients.

The functions work on blocks of tiles with matrix products, and do not validate their input.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .._utils.scratch import Scratch
from ._power_spectrum import power_spectrum, pull_spectrum, push_spectrum, spectrum_size


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
        components = self._components(invariants)
        upper = self._upper()
        sums = [linear]
        for c in range(n_channels):
            products = np.matmul(density[:, c, None] * components, components.transpose(0, 2, 1))
            sums.append(products.reshape(n, -1).take(upper, axis=1))
        return np.hstack(sums)

    def invariants(self, X):
        """Return density (n, n_channels, n_pixels) and invariants (n, n_invariants, n_pixels)."""
        density, modes = self.surroundings(X)
        return density, _by_tile(power_spectrum(modes, self.n_vectors), len(X))

    def surroundings(self, X, scratch=None):
        """Return density (n, n_channels, n_pixels), and modes (n_rows, n * n_pixels)."""
        n, n_channels = len(X), self.n_channels
        tiles = X.reshape(n, *self.window, n_channels)
        density = tiles[(slice(None), *self.focus)].reshape(n, -1, n_channels)
        density = np.ascontiguousarray(density.transpose(2, 0, 1)).transpose(1, 0, 2)
        # In memory, the pixels of all tiles are last.
        modes = self.modes(tiles, scratch).transpose(1, 2, 0, 3)
        return density, modes.reshape(modes.shape[0] * n_channels, -1)

    def push(self, X, directions):
        """Return directional derivatives of the sums, (n, n_features_out), not scaled."""
        density, modes = self.surroundings(X)
        of_density, of_modes = self.surroundings(directions)  # they are linear in the tiles
        n = len(X)
        invariants = _by_tile(power_spectrum(modes, self.n_vectors), n)
        of_invariants = _by_tile(push_spectrum(modes, of_modes, self.n_vectors), n)
        linear = np.matmul(of_density, invariants.transpose(0, 2, 1))
        linear += np.matmul(density, of_invariants.transpose(0, 2, 1))
        sums = [linear.reshape(n, -1)]
        if self.n_components:
            components = self._components(invariants)
            of_components = np.matmul(self.components.astype(X.dtype), of_invariants)
            upper = self._upper()
            for c in range(self.n_channels):
                # Half of the derivative of the product, which is symmetric.
                half = of_density[:, c, None] * components / 2
                half += density[:, c, None] * of_components
                half = np.matmul(half, components.transpose(0, 2, 1))
                products = half + half.transpose(0, 2, 1)
                sums.append(products.reshape(n, -1).take(upper, axis=1))
        return np.hstack(sums)

    def _components(self, invariants):
        components = np.matmul(self.components.astype(invariants.dtype), invariants)
        components -= (self.components @ self.mean).astype(invariants.dtype)[:, None]
        return components

    def _upper(self):
        """Return the indices of the upper triangle of flat products of components."""
        i, j = np.triu_indices(self.n_components)
        return i * self.n_components + j

    def weights(self, gradients, dtype):
        """Return gradients by the sums as the matrices that `pull` multiplies with.

        Parameters
        ----------
        gradients : ndarray of shape (n, n_features_out)
            A row for each tile, or one row for all.
        dtype : numpy dtype
            That of the tiles.

        Returns
        -------
        rows : ndarray of shape (n, n_channels + n_components, n_invariants)
            Gradients by the linear sums, and the components.
        pairs : ndarray of shape (n, n_channels * n_components, n_components)
            The symmetric matrices of gradients by products of components.
        """
        gradients = gradients.astype(dtype, copy=False)
        n, n_channels, n_components = len(gradients), self.n_channels, self.n_components
        n_invariants = spectrum_size(self.n_vectors)
        linear = gradients[:, : n_channels * n_invariants]
        rows = np.empty((n, n_channels + n_components, n_invariants), dtype)
        rows[:, :n_channels] = linear.reshape(n, n_channels, -1)
        pairs = np.zeros((n, n_channels, n_components, n_components), dtype)
        if n_components:
            rows[:, n_channels:] = self.components
            i, j = np.triu_indices(n_components)
            products = gradients[:, linear.shape[1] :].reshape(n, n_channels, -1)
            pairs[:, :, i, j] = products
            pairs[:, :, j, i] += products  # the diagonal counts twice
        return rows, pairs.reshape(n, n_channels * n_components, n_components)

    def pull(self, X, weights, scratch=None):
        """Return gradients by the tiles from the `weights` of gradients by the sums.

        This is the adjoint of `push`. The result is valid until the next call with `scratch`.
        """
        rows, pairs = weights
        scratch = scratch or Scratch()
        density, modes = self.surroundings(X, scratch)
        n, n_channels, n_pixels = density.shape

        def empty(name, n_rows):
            return scratch.empty(name, (n_rows, n, n_pixels), X.dtype)

        invariants = empty("invariants", rows.shape[2]).reshape(rows.shape[2], -1)
        power_spectrum(modes, self.n_vectors, out=invariants)
        products = empty("sums", rows.shape[1])
        _multiply(rows, invariants, products)
        of_density, components = products[:n_channels], products[n_channels:]
        of_products = empty("gradients of sums", rows.shape[1])
        of_products[:n_channels] = density.transpose(1, 0, 2)
        if self.n_components:
            offset = (self.components @ self.mean).astype(X.dtype)
            components -= offset[:, None, None]
            partners = empty("partners", pairs.shape[1])
            _multiply(pairs, components, partners)
            self._pull_products(partners, components, of_density, of_products)
        # The invariants are no longer needed: their gradients take the same memory.
        _multiply(rows.transpose(0, 2, 1), of_products, invariants)
        of_modes = empty("gradients of modes", len(modes)).reshape(modes.shape)
        pull_spectrum(modes, self.n_vectors, invariants, out=of_modes)
        of_modes = of_modes.reshape(-1, n_channels, n, n_pixels).transpose(2, 0, 1, 3)
        out = self.modes.adjoint(of_modes, scratch)
        focus = out[(slice(None), *self.focus)]
        focus += of_density.transpose(1, 2, 0).reshape(focus.shape)
        return out.reshape(n, -1)

    def _pull_products(self, partners, components, of_density, of_products):
        """Add gradients by density, and write those by components, of products of components.

        The gradient of a product by one factor is the other factor: the `partners` of a component
        are the others, multiplied by the gradients by their products.
        """
        of_components = of_products[self.n_channels :]
        for c, of_channel in enumerate(partners.reshape(-1, *components.shape)):
            of_density[c] += 0.5 * np.einsum("knp,knp->np", components, of_channel)
            if c:
                of_channel *= of_products[c]
                of_components += of_channel
            else:
                np.multiply(of_channel, of_products[c], out=of_components)


def _multiply(matrices, rows, out):
    """Write the products of a matrix for each tile, or of one for all, with `rows` to `out`.

    Rows are those of `_by_tile`. One product for all tiles is faster than one for each.
    """
    if len(matrices) == 1:
        np.matmul(matrices[0], rows.reshape(len(rows), -1), out=out.reshape(len(out), -1))
    else:
        n = len(matrices)
        np.matmul(matrices, _by_tile(rows, n), out=_by_tile(out, n))


def _by_tile(rows, n):
    """Return a view (n, n_rows, n_pixels) of rows (n_rows, n * n_pixels)."""
    return rows.reshape(len(rows), n, -1).transpose(1, 0, 2)
