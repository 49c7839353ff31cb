"""Derivatives with respect to positions, for fields on any lattice of pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ._gaussians import nearest_pixel
from ._stencil import Stencil

# Pixels of windows looked at together: 8 MB of float64.
_AT_A_TIME = 2**20


@dataclass(frozen=True, eq=False)
class LatticeGradient:
    """How the total of one structure changes with the positions of its atoms.

    Made by `GaussianRasterizer.position_gradients` for cells that are not upright rectangles which
    repeat along both axes.

    Attributes
    ----------
    values : ndarray of shape (n_atoms, d)
        What is known of the derivative with respect to the coordinates along the axes of the
        field; NaN where nothing is.
    centres : ndarray of shape (n_atoms, d), in pixels
    channels : ndarray of int of shape (n_atoms,)
        Which channel each atom is drawn in.
    heights : ndarray of shape (n_atoms,)
    shape : tuple of d ints
        Pixels along the axes.
    edges : ndarray of shape (d, d)
        Of a pixel, as rows.
    periodic : tuple of d bools
    stencil : Stencil
    n_channels : int
        Of the field.
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

    def pull(self, slope):
        """Return the derivative with respect to the positions.

        Parameters
        ----------
        slope : ndarray or Tensor of shape (n_channels, *shape)
            Derivative with respect to the field.

        Returns
        -------
        ndarray or Tensor of shape (n_atoms, d)
            Linear in `slope`; of a Tensor that needs a gradient it can be differentiated.
        """
        parts = [self._pull(slope, some) for some in self._parts()]
        if isinstance(slope, np.ndarray):
            return np.concatenate(parts)
        # Of the slope's library, which this module does not import.
        joined = slope.new_empty((len(self.centres), len(self.shape)))
        for some, part in zip(self._parts(), parts, strict=True):
            joined[some] = part
        return joined

    def push(self, direction):
        """Return how the field changes as the atoms move, the adjoint of `pull`.

        Parameters
        ----------
        direction : ndarray of shape (n_atoms, d)
            How fast each atom moves along the axes of the field.

        Returns
        -------
        ndarray of shape (n_channels, *shape), float64
            ``<pull(slope), direction> == <slope, push(direction)>`` for all slopes.
        """

        def change(some, fraction, values, _):
            return np.einsum("nd,ndp->np", direction[some], self._moved(fraction, values))

        return self._drawn(change)

    def push_strain(self, direction):
        """Return how the field changes with a strain of the cell, the adjoint of `strain`.

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

    def strain(self, slope):
        """Return the derivative with respect to a strain of the cell, atoms and pixels with it.

        A pixel at a distance r from an atom is then at ``r + strain @ r``; the number of pixels
        and the width of the Gaussians stay.

        Parameters
        ----------
        slope : ndarray or Tensor of shape (n_channels, *shape)
            Derivative with respect to the field.

        Returns
        -------
        ndarray or Tensor of shape (d, d)
            Symmetric; linear in `slope`, as `pull`.
        """
        total = 0.0
        for some in self._parts():
            fraction, values, places = self._windows(some)
            near = self._seen(slope, places)
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
        # The metric is that of the pixel's edges, over width squared.
        return np.sqrt((self.edges[0] ** 2).sum() / self.stencil.metric[0, 0])

    def _parts(self):
        step = max(1, _AT_A_TIME // self.stencil.size)
        return [slice(start, start + step) for start in range(0, len(self.centres), step)]

    def _windows(self, some):
        """Fractions, Gaussians at the pixels of their windows, and where these are."""
        pixel, fraction = nearest_pixel(self.centres[some])
        values = self.stencil.values(fraction, self.heights[some])
        n, n_axes = fraction.shape
        places = [self.channels[some].reshape(-1, *[1] * n_axes)]
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
            places.append(along.reshape(form))
        return fraction, values, tuple(places)

    def _seen(self, slope, places):
        """What a slope holds at the pixels of windows, (n, n_pixels)."""
        return slope[places].reshape(len(places[0]), -1)

    def _drawn(self, change):
        """Field of what each atom adds to the pixels of its window: the adjoint of `_seen`."""
        field = np.zeros((self.n_channels, *self.shape))
        for some in self._parts():
            fraction, values, places = self._windows(some)
            added = change(some, fraction, values, self._apart(fraction))
            # An atom that is wider than the cell comes to a pixel more than once.
            np.add.at(field, places, added.reshape(values.shape))
        return field

    def _apart(self, fraction):
        """From each centre to the pixels of its window, (n, n_pixels, d), in Å."""
        mesh = np.stack(np.meshgrid(*self.stencil.offsets, indexing="ij"), axis=-1)
        return (mesh.reshape(1, -1, mesh.shape[-1]) - fraction[:, None]) @ self.edges

    def _pull(self, slope, some):
        fraction, values, places = self._windows(some)
        near, weights = self._seen(slope, places), self._moved(fraction, values)
        if not isinstance(near, np.ndarray):
            weights = near.new_tensor(weights)
        return (weights @ near[:, :, None])[:, :, 0]

    def _moved(self, fraction, values):
        """How the pixels of windows change as atoms move, (n, d, n_pixels)."""
        n = len(fraction)
        # exp(-(p - f)·G(p - f) / 2) changes with f as itself times G(p - f), f with the position
        # as the inverse of the pixel's edges.
        change = self.stencil.metric @ np.linalg.inv(self.edges).T
        moments = np.concatenate(
            [
                (values * offset).reshape(1, n, -1)
                for offset in np.meshgrid(*self.stencil.offsets, indexing="ij")
            ]
        )
        moments -= fraction.T[:, :, None] * values.reshape(n, -1)
        return np.tensordot(change.T, moments, axes=1).transpose(1, 0, 2)
