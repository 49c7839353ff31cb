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
    """

    values: np.ndarray
    centres: np.ndarray
    channels: np.ndarray
    heights: np.ndarray
    shape: tuple[int, ...]
    edges: np.ndarray
    periodic: tuple[bool, ...]
    stencil: Stencil

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
        step = max(1, _AT_A_TIME // self.stencil.size)
        parts = [
            self._pull(slope, slice(start, start + step))
            for start in range(0, len(self.centres), step)
        ]
        if isinstance(slope, np.ndarray):
            return np.concatenate(parts)
        # Of the slope's library, which this module does not import.
        joined = slope.new_empty((len(self.centres), len(self.shape)))
        for number, part in enumerate(parts):
            joined[number * step : number * step + len(part)] = part
        return joined

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
        step = max(1, _AT_A_TIME // self.stencil.size)
        total = 0.0
        mesh = np.stack(np.meshgrid(*self.stencil.offsets, indexing="ij"), axis=-1)
        for start in range(0, len(self.centres), step):
            some = slice(start, start + step)
            fraction, values, near = self._windows(slope, some)
            apart = (mesh.reshape(1, -1, mesh.shape[-1]) - fraction[:, None]) @ self.edges
            values = values.reshape(near.shape)
            if not isinstance(near, np.ndarray):
                apart, values = near.new_tensor(apart), near.new_tensor(values)
            weights = (values * near)[:, :, None]
            n_axes = apart.shape[-1]
            total = total - (weights * apart).reshape(-1, n_axes).T @ apart.reshape(-1, n_axes)
        # The metric is that of the pixel's edges, over width squared.
        width = np.sqrt((self.edges[0] ** 2).sum() / self.stencil.metric[0, 0])
        return total / width**2

    def _windows(self, slope, some):
        """Fractions, Gaussians at the pixels of their windows, and what `slope` holds there."""
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
        return fraction, values, slope[tuple(places)].reshape(n, -1)

    def _pull(self, slope, some):
        fraction, values, near = self._windows(slope, some)
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
        weights = np.tensordot(change.T, moments, axes=1).transpose(1, 0, 2)
        if not isinstance(near, np.ndarray):
            weights = near.new_tensor(weights)
        return (weights @ near[:, :, None])[:, :, 0]
