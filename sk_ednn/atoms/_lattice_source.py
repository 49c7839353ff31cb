"""Spatial index of the atoms of one structure, to draw boxes of a field."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from ._gaussians import nearest_pixel
from ._lattice import pixel_stencil
from ._stencil import draw_stencils, images_that_reach

# Sides of the blocks of the index, in pixels, by the number of axes.
_SIDE = {2: 256, 3: 64}


@dataclass(frozen=True, eq=False)
class LatticeAtoms:
    """Atoms in memory, sorted by blocks of pixels.

    Attributes
    ----------
    grid : tuple of d ints
    numbers : ndarray of int of shape (n_atoms,)
    pixel, fraction : ndarray of shape (n_atoms, d)
        The nearest pixel of each atom, and the remaining fraction.
    order : ndarray of int of shape (n_atoms,)
        Atoms by block.
    starts : ndarray of int of shape (n_blocks + 1,)
        Start of each block in `order`.
    """

    grid: tuple[int, ...]
    numbers: np.ndarray
    pixel: np.ndarray
    fraction: np.ndarray
    order: np.ndarray
    starts: np.ndarray

    @classmethod
    def of(cls, atoms, grid) -> LatticeAtoms:
        """Sort the atoms of the one structure of `atoms`."""
        pixel, fraction = nearest_pixel(atoms.scaled * grid)
        side = _SIDE[len(grid)]
        blocks = np.minimum(np.maximum(pixel, 0), np.subtract(grid, 1)) // side
        flat = np.ravel_multi_index(tuple(blocks.T), _n_blocks(grid))
        order = np.argsort(flat, kind="stable")
        starts = np.searchsorted(flat[order], np.arange(np.prod(_n_blocks(grid)) + 1))
        return cls(tuple(grid), atoms.numbers, pixel, fraction, order, starts)

    def near(self, first, last, periodic):
        """Return sorted indices of the atoms whose nearest pixels are in a box or close to it."""
        along = []
        for low, high, n, repeats in zip(first, last, self.grid, periodic, strict=True):
            # One more pixel, since an atom at the end of a period is stored there.
            pixels = np.arange(low - 1, high + 1)
            pixels = pixels % n if repeats else np.clip(pixels, 0, n - 1)
            along.append(np.unique(pixels // _SIDE[len(self.grid)]))
        flat = [np.ravel_multi_index(block, _n_blocks(self.grid)) for block in product(*along)]
        return np.sort(
            np.concatenate([self.order[self.starts[b] : self.starts[b + 1]] for b in flat])
        )

    def draw(self, rasterizer, spacing, first, last, channels):
        """Draw a box of the field.

        Parameters
        ----------
        rasterizer : GaussianRasterizer
        spacing : sequence of d floats, in Å
        first, last : ndarray of int of shape (d,)
        channels : sequence of int or None
            Atomic numbers; None for all atoms.

        Returns
        -------
        ndarray of shape (*(last - first), len(channels))
        """
        stencil = pixel_stencil(rasterizer, spacing)
        near = self.near(first - stencil.reach, last + stencil.reach, rasterizer.periodic_)
        index, pixel = images_that_reach(
            self.pixel[near], self.grid, rasterizer.periodic_, stencil.reach, first, last
        )
        atom = near[index]
        numbers = self.numbers[atom]
        box = np.zeros((1, *(last - first), len(channels)), dtype=rasterizer.dtype)
        for c, number in enumerate(channels):
            drawn = slice(None) if number is None else numbers == number
            draw_stencils(
                stencil,
                pixel[drawn],
                self.fraction[atom[drawn]],
                np.zeros(len(pixel[drawn]), dtype=np.int64),
                rasterizer._heights[numbers[drawn]],
                box[..., c],
            )
        return box[0]


def _n_blocks(grid):
    side = _SIDE[len(grid)]
    return tuple(-(-n // side) for n in grid)
