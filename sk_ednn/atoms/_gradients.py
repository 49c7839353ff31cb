"""From the derivative with respect to a drawn field to that with respect to the positions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ._gaussians import gaussians_near, nearest_pixel


@dataclass(frozen=True, eq=False)
class DrawnGradient:
    """How the total of one structure changes with the positions of its atoms.

    Made by `GaussianRasterizer.position_gradients`.

    Attributes
    ----------
    values : ndarray of shape (n_atoms, 2)
        What is known of the derivative with respect to x and y; NaN where nothing is.
    centres : ndarray of shape (n_atoms, 2), in pixels
    channels : ndarray of int of shape (n_atoms,)
        Which channel each atom is drawn in.
    heights : ndarray of shape (n_atoms,)
    shape : tuple of int
        Pixels along x and y.
    spacing : tuple of float
        Of the pixels.
    width : float
        Of a Gaussian, in the unit of `spacing`.
    cutoff : float, in widths
    """

    values: np.ndarray
    centres: np.ndarray
    channels: np.ndarray
    heights: np.ndarray
    shape: tuple[int, int]
    spacing: tuple[float, float]
    width: float
    cutoff: float

    def pull(self, slope):
        """Return the derivative with respect to the positions.

        Parameters
        ----------
        slope : ndarray or Tensor of shape (n_channels, nx, ny)
            Derivative with respect to the field.

        Returns
        -------
        ndarray or Tensor of shape (n_atoms, 2)
            Linear in `slope`; of a Tensor that needs a gradient it can be differentiated.
        """
        (rows, g, dg), (columns, h, dh) = self._near()
        near = self._seen(slope, rows, columns)
        heights = self.heights[:, None]
        # For x the derivative is taken along the rows, for y along the columns.
        over_rows = np.stack([dg / self.spacing[0], g], axis=-1) * heights[:, None]
        over_columns = np.stack([h, dh / self.spacing[1]], axis=-1)
        if not isinstance(near, np.ndarray):
            over_rows, over_columns = near.new_tensor(over_rows), near.new_tensor(over_columns)
        return ((near @ over_columns) * over_rows).sum(1)

    def strain(self, slope):
        """Return the derivative with respect to a strain of the cell, atoms and pixels with it.

        A pixel at a distance d from an atom is then at ``d + strain @ d``; the number of pixels
        and the width of the Gaussians stay.

        Parameters
        ----------
        slope : ndarray of shape (n_channels, nx, ny)
            Derivative with respect to the field.

        Returns
        -------
        ndarray of shape (2, 2)
            Symmetric.
        """
        (rows, g, _), (columns, h, _) = self._near()
        near = self._seen(slope, rows, columns)
        dx, dy = (
            (np.arange(p.shape[1]) - p.shape[1] // 2 - nearest_pixel(centre)[1][:, None]) * s
            for p, centre, s in zip((rows, columns), self.centres.T, self.spacing, strict=True)
        )
        along = near @ np.stack([h, h * dy, h * dy**2], axis=-1)
        across = np.stack([g, g * dx, g * dx**2], axis=-1) * self.heights[:, None, None]
        moments = np.einsum("api,apj->ij", across, along, optimize=True)
        second = np.array([[moments[2, 0], moments[1, 1]], [moments[1, 1], moments[0, 2]]])
        return -second / self.width**2

    def _near(self):
        return [
            gaussians_near(self.centres[:, axis], n, self.width / s, self.cutoff)
            for axis, (n, s) in enumerate(zip(self.shape, self.spacing, strict=True))
        ]

    def _seen(self, slope, rows, columns):
        """Return what the pixels near each atom hold, (n_atoms, n_near, n_near)."""
        nx, ny = self.shape
        places = (self.channels[:, None] * nx + rows)[:, :, None] * ny + columns[:, None, :]
        return slope.reshape(-1)[places]
