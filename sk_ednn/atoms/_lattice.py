"""Drawing on oblique, open and three-dimensional grids, for a fitted rasteriser."""

import warnings

import numpy as np

from .._utils.stacklevel import outside_package
from ._gaussians import nearest_pixel
from ._lattice_gradients import LatticeGradient
from ._stencil import Stencil, draw_stencils, images_that_reach


def pixel_stencil(rasterizer, spacing):
    """Return a Gaussian on pixels of this spacing and the fitted angles."""
    return Stencil(spacing, rasterizer._cosines, rasterizer.width, rasterizer.cutoff)


def draw_lattices(stencil, centres, image, heights, out, periodic):
    """Draw Gaussians on whole images of one shape.

    Parameters
    ----------
    stencil : Stencil
    centres : ndarray of shape (n, d), in pixels
        In ``[0, grid]``.
    image : ndarray of int of shape (n,)
    heights : ndarray of shape (n,)
    out : ndarray of shape (n_images, *grid)
    periodic : sequence of d bools
    """
    grid = out.shape[1:]
    pixel, fraction = nearest_pixel(centres)
    index, pixel = images_that_reach(
        pixel, grid, periodic, stencil.reach, np.zeros(len(grid), dtype=int), grid
    )
    draw_stencils(stencil, pixel, fraction[index], image[index], heights[index], out)


def lattice_gradient(rasterizer, values, centres, channels, heights, shape, spacing, vectors):
    """Return the gradient object of one structure, see `LatticeGradient`."""
    return LatticeGradient(
        values,
        centres,
        channels,
        heights,
        tuple(shape.tolist()),
        vectors / shape[:, None],
        rasterizer.periodic_,
        pixel_stencil(rasterizer, spacing),
        rasterizer._n_channels,
    )


def warn_of_open_edges(atoms, rasterizer):
    """Warn of Gaussians that are truncated at faces of the cell that are not periodic."""
    if all(rasterizer.periodic_):
        return
    between_faces = 1 / np.sqrt((np.linalg.inv(atoms.vectors) ** 2).sum(axis=1))
    margin = np.minimum(atoms.scaled, 1 - atoms.scaled) * between_faces[atoms.owner]
    margin[:, list(rasterizer.periodic_)] = np.inf
    near = rasterizer.cutoff * rasterizer.width
    # With tolerance for cells whose vacuum equals the cutoff.
    cut = np.flatnonzero((margin < near * (1 - 1e-9)).any(axis=1))
    if cut.size:
        atom = int(margin.min(axis=1).argmin())
        warnings.warn(
            f"The Gaussians of {cut.size} atom(s) are truncated at faces of the cell that are not "
            f"periodic: {atoms.place(atom)}, is {margin[atom].min():.3g} Å from such a face. Leave "
            f"{near:g} Å on each side, for example with ase.Atoms.center(vacuum={near:g}), or set "
            "pbc if the structure is periodic.",
            stacklevel=outside_package(),
        )
