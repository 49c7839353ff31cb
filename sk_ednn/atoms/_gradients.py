"""From the derivative with respect to a drawn field to that with respect to the positions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..fields._sources import as_array
from ..structures._cells import AXES
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
    n_channels : int
        Of the field.
    """

    values: np.ndarray
    centres: np.ndarray
    channels: np.ndarray
    heights: np.ndarray
    shape: tuple[int, int]
    spacing: tuple[float, float]
    width: float
    cutoff: float
    n_channels: int

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
        over_rows, over_columns = self._moved((g, dg), (h, dh))
        if not isinstance(near, np.ndarray):
            over_rows, over_columns = near.new_tensor(over_rows), near.new_tensor(over_columns)
        return ((near @ over_columns) * over_rows).sum(1)

    def push(self, direction):
        """Return how the field changes as the atoms move, the adjoint of `pull`.

        Parameters
        ----------
        direction : ndarray of shape (n_atoms, 2)
            How fast each atom moves along x and y.

        Returns
        -------
        ndarray of shape (n_channels, nx, ny), float64
            ``<pull(slope), direction> == <slope, push(direction)>`` for all slopes.
        """
        (rows, *along_x), (columns, *along_y) = self._near()
        over_rows, over_columns = self._moved(along_x, along_y)
        return self._drawn(
            (over_rows * direction[:, None]) @ over_columns.transpose(0, 2, 1), rows, columns
        )

    def strain(self, slope):
        """Return the derivative with respect to a strain of the cell, atoms and pixels with it.

        A pixel at a distance d from an atom is then at ``d + strain @ d``; the number of pixels
        and the width of the Gaussians stay.

        Parameters
        ----------
        slope : ndarray or Tensor of shape (n_channels, nx, ny)
            Derivative with respect to the field.

        Returns
        -------
        ndarray or Tensor of shape (2, 2)
            Symmetric; linear in `slope`, as `pull`.
        """
        rows, columns, across, along = self._stretched()
        near = self._seen(slope, rows, columns)
        if not isinstance(near, np.ndarray):
            along, across = near.new_tensor(along), near.new_tensor(across)
        moments = (across @ (near @ along)).sum(0)
        # xx, xy, yx, yy of the second moments.
        second = moments.reshape(-1)[[6, 4, 4, 2]].reshape(2, 2)
        return -second / self.width**2

    def push_strain(self, direction):
        """Return how the field changes with a strain of the cell, the adjoint of `strain`.

        Parameters
        ----------
        direction : ndarray of shape (2, 2)

        Returns
        -------
        ndarray of shape (n_channels, nx, ny), float64
        """
        rows, columns, across, along = self._stretched()
        (xx, xy), (yx, yy) = -np.asarray(direction) / self.width**2
        mixed = np.array([[0.0, 0.0, yy], [0.0, xy + yx, 0.0], [xx, 0.0, 0.0]])
        return self._drawn(
            across.transpose(0, 2, 1) @ mixed @ along.transpose(0, 2, 1), rows, columns
        )

    def _moved(self, along_x, along_y):
        """Factors of the change with x and with y, (n_atoms, n_near, 2) along rows and columns."""
        (g, dg), (h, dh) = along_x, along_y
        # For x the derivative is taken along the rows, for y along the columns.
        over_rows = np.stack([dg / self.spacing[0], g], axis=-1) * self.heights[:, None, None]
        return over_rows, np.stack([h, dh / self.spacing[1]], axis=-1)

    def _stretched(self):
        """Pixels near each atom, and Gaussians times powers of the distance along x and y."""
        (rows, g, _), (columns, h, _) = self._near()
        dx, dy = (
            (np.arange(p.shape[1]) - p.shape[1] // 2 - nearest_pixel(centre)[1][:, None]) * s
            for p, centre, s in zip((rows, columns), self.centres.T, self.spacing, strict=True)
        )
        along = np.stack([h, h * dy, h * dy**2], axis=-1)
        across = np.stack([g, g * dx, g * dx**2], axis=1) * self.heights[:, None, None]
        return rows, columns, across, along

    def _near(self):
        return [
            gaussians_near(self.centres[:, axis], n, self.width / s, self.cutoff)
            for axis, (n, s) in enumerate(zip(self.shape, self.spacing, strict=True))
        ]

    def _seen(self, slope, rows, columns):
        """Return what the pixels near each atom hold, (n_atoms, n_near, n_near)."""
        return slope.reshape(-1)[self._places(rows, columns)]

    def _drawn(self, near, rows, columns):
        """Add what each atom brings to the pixels near it: the adjoint of `_seen`."""
        n_pixels = self.n_channels * self.shape[0] * self.shape[1]
        places = self._places(rows, columns).ravel()
        field = np.bincount(places, near.ravel(), minlength=n_pixels)
        return field.reshape(self.n_channels, *self.shape)

    def _places(self, rows, columns):
        nx, ny = self.shape
        return (self.channels[:, None] * nx + rows)[:, :, None] * ny + columns[:, None, :]


@dataclass(frozen=True, eq=False)
class StrainedGradient:
    """How the total of one structure changes with a strain of its cell, and with its positions.

    Made by `GaussianRasterizer.position_gradients`, where derivatives with respect to strain are
    known.

    Attributes
    ----------
    positions : DrawnGradient or LatticeGradient
    strain : ndarray of shape (d, d)
        What is known of the derivative with respect to a strain, in the unit of the total.
    weight : float, in 1/Å
        What it counts as, beside derivatives with respect to positions.
    """

    positions: Any
    strain: np.ndarray
    weight: float

    @property
    def values(self) -> np.ndarray:
        """The weighted strain's entries, then, where they are known, those of the positions."""
        return self._joined(self.strain, self.positions.values)

    def pull(self, slope):
        """Return the derivatives with respect to what is known, in the order of `values`."""
        moved = self.positions.pull(slope) if self._knows_positions else None
        return self._joined(self.positions.strain(slope), moved)

    def push(self, direction):
        """Return how the field changes along a direction, the adjoint of `pull`.

        Parameters
        ----------
        direction : ndarray of the shape of `values`

        Returns
        -------
        ndarray of shape (n_channels, *grid), float64
        """
        d = len(self.strain)
        field = self.positions.push_strain(self.weight * direction[: d * d].reshape(d, d))
        if self._knows_positions:
            field += self.positions.push(direction[d * d :].reshape(-1, d))
        return field

    @property
    def _knows_positions(self) -> bool:
        return not np.isnan(self.positions.values).all()

    def _joined(self, strain, moved):
        strain = strain.reshape(-1) * self.weight
        if not self._knows_positions:
            return strain
        if isinstance(strain, np.ndarray):
            return np.concatenate([strain, moved.reshape(-1)])
        joined = strain.new_empty(len(strain) + moved.numel())
        joined[: len(strain)], joined[len(strain) :] = strain, moved.reshape(-1)
        return joined


def with_strain(gradients, known, weight, plane) -> list:
    """Return gradients that know derivatives with respect to strain too.

    Parameters
    ----------
    gradients : list of DrawnGradient or LatticeGradient
    known : sequence of array-like of shape (d, d) or (3, 3), or None where nothing is known
    weight : float, in 1/Å
    plane : str

    Raises
    ------
    ValueError
        If they are not one symmetric matrix for each structure.
    """
    if len(known) != len(gradients):
        raise ValueError(
            f"Expected derivatives with respect to strain for each of the {len(gradients)} "
            f"structures, got {len(known)}."
        )
    axes, out = list(AXES[plane]), []
    for k, (gradient, strain) in enumerate(zip(gradients, known, strict=True)):
        if strain is None:
            out.append(gradient)
            continue
        strain = as_array(strain, "strain", np.float64)
        strain = strain[np.ix_(axes, axes)] if strain.shape == (3, 3) else strain
        if strain.shape != (len(axes),) * 2 or not np.allclose(strain, strain.T, rtol=1e-4):
            raise ValueError(
                f"The derivative of structure {k} with respect to strain must be a symmetric "
                f"matrix of shape {(len(axes),) * 2} or (3, 3): stress times volume. Got shape "
                f"{strain.shape}{'' if strain.ndim != 2 else ', ' + str(strain.tolist())}."
            )
        out.append(StrainedGradient(gradient, strain, float(weight)))
    return out
