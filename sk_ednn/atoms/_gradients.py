"""From the derivative with respect to a drawn field to that with respect to the positions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ._gaussians import gaussians_near


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
        (rows, g, dg), (columns, h, dh) = (
            gaussians_near(self.centres[:, axis], n, self.width / s, self.cutoff)
            for axis, (n, s) in enumerate(zip(self.shape, self.spacing, strict=True))
        )
        near = slope[self.channels[:, None, None], rows[:, :, None], columns[:, None, :]]
        heights = self.heights[:, None]
        # For x the derivative is taken along the rows, for y along the columns.
        over_rows = np.stack([dg / self.spacing[0], g], axis=1) * heights[:, None]
        over_columns = np.stack([h, dh / self.spacing[1]], axis=1)
        if not isinstance(near, np.ndarray):
            over_rows, over_columns = near.new_tensor(over_rows), near.new_tensor(over_columns)
        along = (near[:, None] * over_columns[:, :, None, :]).sum(-1)
        return (along * over_rows).sum(-1)
