"""Gradients by positions and strain, from gradients by a drawn field."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..fields._in_memory import as_array
from ..structures._cells import AXES
from ._gaussians import gaussians_near, nearest_pixel


@dataclass(frozen=True, eq=False)
class DrawnGradient:
    """Gradient of the total of one structure with respect to the positions of its atoms.

    Returned by `GaussianRasterizer.position_gradients`.

    Attributes
    ----------
    values : ndarray of shape (n_atoms, 2)
        The gradient by x and y; NaN if it is not known.
    centres : ndarray of shape (n_atoms, 2), in pixels
    channels : ndarray of int of shape (n_atoms,)
        The channel of each atom.
    heights : ndarray of shape (n_atoms,)
    shape : tuple of int
        Pixels along x and y.
    spacing : tuple of float, in Å
    width : float, in Å
        Standard deviation of a Gaussian.
    cutoff : float, in widths
    n_channels : int
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

    def pull(self, gradient):
        """Return the gradient by the positions.

        Parameters
        ----------
        gradient : ndarray or Tensor of shape (n_channels, nx, ny)
            Gradient by the field.

        Returns
        -------
        ndarray or Tensor of shape (n_atoms, 2)
            Linear in `gradient`, and differentiable if that is a Tensor.
        """
        (rows, g, dg), (columns, h, dh) = self._near()
        near = self._seen(gradient, rows, columns)
        over_rows, over_columns = self._moved((g, dg), (h, dh))
        if not isinstance(near, np.ndarray):
            over_rows, over_columns = near.new_tensor(over_rows), near.new_tensor(over_columns)
        return ((near @ over_columns) * over_rows).sum(1)

    def push(self, direction):
        """Return the change of the field as the atoms move, the adjoint of `pull`.

        Parameters
        ----------
        direction : ndarray of shape (n_atoms, 2)
            Velocities of the atoms along x and y.

        Returns
        -------
        ndarray of shape (n_channels, nx, ny), float64
            ``<pull(gradient), direction> == <gradient, push(direction)>`` for all gradients.
        """
        (rows, *along_x), (columns, *along_y) = self._near()
        over_rows, over_columns = self._moved(along_x, along_y)
        return self._drawn(
            (over_rows * direction[:, None]) @ over_columns.transpose(0, 2, 1), rows, columns
        )

    def strain(self, gradient):
        """Return the gradient by a strain of the cell, the atoms and the pixels.

        A pixel at a distance d from an atom moves to ``d + strain @ d``; the number of pixels and
        the width of the Gaussians are constant.

        Parameters
        ----------
        gradient : ndarray or Tensor of shape (n_channels, nx, ny)
            Gradient by the field.

        Returns
        -------
        ndarray or Tensor of shape (2, 2)
            Symmetric, and linear in `gradient`.
        """
        rows, columns, across, along = self._stretched()
        near = self._seen(gradient, rows, columns)
        if not isinstance(near, np.ndarray):
            along, across = near.new_tensor(along), near.new_tensor(across)
        moments = (across @ (near @ along)).sum(0)
        # xx, xy, yx, yy of the second moments.
        second = moments.reshape(-1)[[6, 4, 4, 2]].reshape(2, 2)
        return -second / self.width**2

    def push_strain(self, direction):
        """Return the change of the field with a strain of the cell, the adjoint of `strain`.

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
        """Return factors of derivatives by x and y, for rows and columns, (n_atoms, n_near, 2)."""
        (g, dg), (h, dh) = along_x, along_y
        # For x the factor of the rows is differentiated, for y that of the columns.
        over_rows = np.stack([dg / self.spacing[0], g], axis=-1) * self.heights[:, None, None]
        return over_rows, np.stack([h, dh / self.spacing[1]], axis=-1)

    def _stretched(self):
        """Return pixels near each atom, and Gaussians times powers of distances along x and y."""
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

    def _seen(self, gradient, rows, columns):
        """Return the gradient at the pixels near each atom, (n_atoms, n_near, n_near)."""
        return gradient.reshape(-1)[self._places(rows, columns)]

    def _drawn(self, near, rows, columns):
        """Add the contributions of atoms to the pixels near them: the adjoint of `_seen`."""
        n_pixels = self.n_channels * self.shape[0] * self.shape[1]
        pixels = self._places(rows, columns).ravel()
        field = np.bincount(pixels, near.ravel(), minlength=n_pixels)
        return field.reshape(self.n_channels, *self.shape)

    def _places(self, rows, columns):
        nx, ny = self.shape
        return (self.channels[:, None] * nx + rows)[:, :, None] * ny + columns[:, None, :]


@dataclass(frozen=True, eq=False)
class StrainedGradient:
    """Gradient of the total of one structure with respect to a strain and to positions.

    Returned by `GaussianRasterizer.position_gradients` for structures with strain gradients.

    Attributes
    ----------
    positions : DrawnGradient or LatticeGradient
    strain : ndarray of shape (d, d)
        The gradient by strain, in the unit of the total.
    weight : float, in 1/Å
        Factor of the strain gradient in the loss, relative to gradients by positions.
    """

    positions: Any
    strain: np.ndarray
    weight: float

    @property
    def values(self) -> np.ndarray:
        """The weighted gradient by strain, flat, and that by positions if it is known."""
        return self._joined(self.strain, self.positions.values)

    def pull(self, gradient):
        """Return the gradient by strain and positions, in the order of `values`."""
        moved = self.positions.pull(gradient) if self._knows_positions else None
        return self._joined(self.positions.strain(gradient), moved)

    def push(self, direction):
        """Return the change of the field along a direction, the adjoint of `pull`.

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


def with_strain(gradients, strain_gradients, weight, plane) -> list:
    """Add gradients by strain to gradients by positions.

    Parameters
    ----------
    gradients : list of DrawnGradient or LatticeGradient
    strain_gradients : sequence of array-like of shape (d, d) or (3, 3), or None if unknown
    weight : float, in 1/Å
    plane : str

    Raises
    ------
    ValueError
        If `strain_gradients` is not one symmetric matrix per structure.
    """
    if len(strain_gradients) != len(gradients):
        raise ValueError(
            f"Expected strain gradients of {len(gradients)} structures, got those of "
            f"{len(strain_gradients)}."
        )
    axes, out = list(AXES[plane]), []
    for k, (gradient, strain) in enumerate(zip(gradients, strain_gradients, strict=True)):
        if strain is None:
            out.append(gradient)
            continue
        strain = as_array(strain, "strain", np.float64)
        strain = strain[np.ix_(axes, axes)] if strain.shape == (3, 3) else strain
        if strain.shape != (len(axes),) * 2 or not np.allclose(strain, strain.T, rtol=1e-4):
            raise ValueError(
                f"The strain gradient of structure {k}, its stress times its volume, must be a "
                f"symmetric matrix of shape {(len(axes),) * 2} or (3, 3); got shape "
                f"{strain.shape}{'' if strain.ndim != 2 else ', ' + str(strain.tolist())}."
            )
        out.append(StrainedGradient(gradient, strain, float(weight)))
    return out
