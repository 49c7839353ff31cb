"""Draw on lattices of pixels other than a periodic rectangle, for a fitted rasteriser."""

import warnings

import numpy as np

from ._gaussians import nearest_pixel
from ._lattice_gradients import LatticeGradient
from ._stencil import Stencil, draw_stencils, images_that_reach


def pixel_stencil(rasterizer, spacing):
    """A Gaussian on the pixels of a fitted rasteriser, stretched to this spacing."""
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
    """Gradient of one structure, see `LatticeGradient`."""
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
    """Tell of Gaussians that reach out of the box along axes that do not repeat."""
    if all(rasterizer.periodic_):
        return
    apart = 1 / np.sqrt((np.linalg.inv(atoms.vectors) ** 2).sum(axis=1))  # of opposite faces
    margin = np.minimum(atoms.scaled, 1 - atoms.scaled) * apart[atoms.owner]
    margin[:, list(rasterizer.periodic_)] = np.inf
    near = rasterizer.cutoff * rasterizer.width
    # A box that ends at the cutoff, as one made with that vacuum does, is large enough.
    cut = np.flatnonzero((margin < near * (1 - 1e-9)).any(axis=1))
    if cut.size:
        atom = int(margin.min(axis=1).argmin())
        warnings.warn(
            f"The Gaussians of {cut.size} atom(s) reach out of the cell where it does not repeat, "
            f"and are cut off there: {atoms.place(atom)}, is {margin[atom].min():.3g} Å from the "
            f"edge of its box. Leave {near:g} Å on each side, as ase.Atoms.center(vacuum={near:g}) "
            "does; or, if it does repeat, set pbc.",
            stacklevel=3,
        )
