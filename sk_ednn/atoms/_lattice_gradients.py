"""Gradients by positions and strain, for fields on any lattice of pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ._gaussians import nearest_pixel
from ._stencil import Stencil


@dataclass(frozen=True, eq=False)
class LatticeGradient:
    """Gradient of the total of one structure with respect to the positions of its atoms.

    Returned by `GaussianRasterizer.position_gradients` in three dimensions, and for cells that are
    oblique or not periodic along both axes.

    Attributes
    ----------
    values : ndarray of shape (n_atoms, d)
        The gradient by the coordinates along the axes of the field; NaN if it is not known.
    centres : ndarray of shape (n_atoms, d), in pixels
    channels : ndarray of int of shape (n_atoms,)
        The channel of each atom.
    heights : ndarray of shape (n_atoms,)
    shape : tuple of d ints
        Pixels along the axes.
    edges : ndarray of shape (d, d)
        Edges of a pixel as rows.
    periodic : tuple of d bools
    stencil : Stencil
    n_channels : int
    block_pixels : int
        Pixels of windows in a block; the default is 8 MB of float64.
    """

    values: np.ndarray
    centres: np.ndarray
    channels: np.ndarray
    heights: np.ndarray
    shape: tuple[int, ...]
    edges: np.ndarray
    periodic: tuple[bool, ...]
    stencil: Stencil
    n_channels: int
    block_pixels: int = 2**20

    def pull(self, gradient):
        """Return the gradient by the positions.

        Parameters
        ----------
        gradient : ndarray or Tensor of shape (n_channels, *shape)
            Gradient by the field.

        Returns
        -------
        ndarray or Tensor of shape (n_atoms, d)
            Linear in `gradient`, and differentiable if that is a Tensor.
        """
        parts = [self._pull(gradient, some) for some in self._parts()]
        if isinstance(gradient, np.ndarray):
            return np.concatenate(parts)
        # With methods of the tensor, since this module does not import torch.
        joined = gradient.new_empty((len(self.centres), len(self.shape)))
        for some, part in zip(self._parts(), parts, strict=True):
            joined[some] = part
        return joined

    def push(self, direction):
        """Return the change of the field as the atoms move, the adjoint of `pull`.

        Parameters
        ----------
        direction : ndarray of shape (n_atoms, d)
            Velocities of the atoms along the axes of the field.

        Returns
        -------
        ndarray of shape (n_channels, *shape), float64
            ``<pull(gradient), direction> == <gradient, push(direction)>`` for all gradients.
        """

        def change(some, fraction, values, _):
            return np.einsum("nd,ndp->np", direction[some], self._moved(fraction, values))

        return self._drawn(change)

    def push_strain(self, direction):
        """Return the change of the field with a strain of the cell, the adjoint of `strain`.

        Parameters
        ----------
        direction : ndarray of shape (d, d)

        Returns
        -------
        ndarray of shape (n_channels, *shape), float64
        """

        def change(some, fraction, values, apart):
            stretched = ((apart @ direction) * apart).sum(axis=-1)
            return -values.reshape(stretched.shape) * stretched / self._width**2

        return self._drawn(change)

    def strain(self, gradient):
        """Return the gradient by a strain of the cell, the atoms and the pixels.

        A pixel at a distance r from an atom moves to ``r + strain @ r``; the number of pixels and
        the width of the Gaussians are constant.

        Parameters
        ----------
        gradient : ndarray or Tensor of shape (n_channels, *shape)
            Gradient by the field.

        Returns
        -------
        ndarray or Tensor of shape (d, d)
            Symmetric, and linear in `gradient`.
        """
        total = 0.0
        for some in self._parts():
            fraction, values, pixels = self._windows(some)
            near = self._seen(gradient, pixels)
            apart = self._apart(fraction)
            values = values.reshape(near.shape)
            if not isinstance(near, np.ndarray):
                apart, values = near.new_tensor(apart), near.new_tensor(values)
            weights = (values * near)[:, :, None]
            n_axes = apart.shape[-1]
            total = total - (weights * apart).reshape(-1, n_axes).T @ apart.reshape(-1, n_axes)
        return total / self._width**2

    @property
    def _width(self):
        # The metric contains the scalar products of edges divided by the squared width.
        return np.sqrt((self.edges[0] ** 2).sum() / self.stencil.metric[0, 0])

    def _parts(self):
        step = max(1, self.block_pixels // self.stencil.size)
        return [slice(start, start + step) for start in range(0, len(self.centres), step)]

    def _windows(self, some):
        """Return fractions, Gaussians at pixels of windows, and indices of these pixels."""
        pixel, fraction = nearest_pixel(self.centres[some])
        values = self.stencil.values(fraction, self.heights[some])
        n, n_axes = fraction.shape
        pixels = [self.channels[some].reshape(-1, *[1] * n_axes)]
        for axis, (length, offsets) in enumerate(
            zip(self.shape, self.stencil.offsets, strict=True)
        ):
            along = pixel[:, axis, None] + offsets
            form = (n, *[1] * axis, len(offsets), *[1] * (n_axes - axis - 1))
            if self.periodic[axis]:
                along %= length
            else:
                values = values * ((along >= 0) & (along < length)).reshape(form)
                along = np.clip(along, 0, length - 1)
            pixels.append(along.reshape(form))
        return fraction, values, tuple(pixels)

    def _seen(self, gradient, pixels):
        """Return a gradient at the pixels of windows, (n, n_pixels)."""
        return gradient[pixels].reshape(len(pixels[0]), -1)

    def _drawn(self, change):
        """Add contributions of atoms to the pixels of their windows: the adjoint of `_seen`."""
        field = np.zeros((self.n_channels, *self.shape))
        for some in self._parts():
            fraction, values, pixels = self._windows(some)
            added = change(some, fraction, values, self._apart(fraction))
            # A Gaussian that is wider than the cell visits pixels repeatedly.
            np.add.at(field, pixels, added.reshape(values.shape))
        return field

    def _apart(self, fraction):
        """Return vectors from each centre to the pixels of its window, (n, n_pixels, d), in Å."""
        mesh = np.stack(np.meshgrid(*self.stencil.offsets, indexing="ij"), axis=-1)
        return (mesh.reshape(1, -1, mesh.shape[-1]) - fraction[:, None]) @ self.edges

    def _pull(self, gradient, some):
        fraction, values, pixels = self._windows(some)
        near, weights = self._seen(gradient, pixels), self._moved(fraction, values)
        if not isinstance(near, np.ndarray):
            weights = near.new_tensor(weights)
        return (weights @ near[:, :, None])[:, :, 0]

    def _moved(self, fraction, values):
        """Return derivatives of the pixels of windows by positions, (n, d, n_pixels)."""
        n = len(fraction)
        # The derivative of exp(-(p - f)·G(p - f) / 2) by f is itself times G(p - f); that of f by
        # the position is the inverse of the pixel's edges.
        change = self.stencil.metric @ np.linalg.inv(self.edges).T
        moments = np.concatenate(
            [
                (values * offset).reshape(1, n, -1)
                for offset in np.meshgrid(*self.stencil.offsets, indexing="ij")
            ]
        )
        moments -= fraction.T[:, :, None] * values.reshape(n, -1)
        return np.tensordot(change.T, moments, axes=1).transpose(1, 0, 2)
