"""Draw atoms with a fitted rasteriser on pixels of any shape, and differentiate fields."""

import math

import numpy as np

from .._utils.memory import require_memory
from ..structures._cells import is_straight
from ._gaussians import draw_gaussians
from ._gradients import DrawnGradient
from ._lattice import draw_lattices, lattice_gradient, pixel_stencil
from ._parameters import gradient_in_plane


def gradients_of(rasterizer, atoms, shapes, forces=None):
    """Return a gradient object for each structure, for given numbers of pixels."""
    if forces is not None and len(forces) != len(atoms):
        raise ValueError(
            f"Expected forces for each of the {len(atoms)} structures, got {len(forces)}."
        )
    centres = atoms.scaled * shapes[atoms.owner]
    channels = rasterizer._channel_of(atoms.numbers)
    spacings, gradients = rasterizer._spacings(atoms.lengths, shapes), []
    for k, shape in enumerate(shapes):
        here = atoms.owner == k
        values = np.full((int(here.sum()), len(shape)), np.nan)
        if forces is not None:
            values = gradient_in_plane(forces[k], k, len(values), rasterizer.plane)
        if not (rasterizer._separable and is_straight(atoms.vectors[k])):
            gradients.append(
                lattice_gradient(
                    rasterizer, values, centres[here], channels[here],
                    rasterizer._heights[atoms.numbers[here]], shape, spacings[k], atoms.vectors[k],
                )
            )  # fmt: skip
            continue
        gradients.append(
            DrawnGradient(
                values, centres[here], channels[here], rasterizer._heights[atoms.numbers[here]],
                tuple(shape.tolist()), tuple(spacings[k].tolist()), rasterizer.width,
                rasterizer.cutoff, rasterizer._n_channels,
            )
        )  # fmt: skip
    return gradients


def draw_fields(rasterizer, atoms, shapes):
    """Return fields with given numbers of pixels: an array, or a list if the numbers differ."""
    spacings = rasterizer._spacings(atoms.lengths, shapes)
    grids = np.hstack([shapes, spacings])
    distinct, group = np.unique(grids, axis=0, return_inverse=True)
    group = group.ravel()  # numpy 2.0 returns a column
    if len(distinct) == 1:
        return _draw(rasterizer, atoms, np.arange(len(atoms)), shapes[0], spacings[0])
    fields = [None] * len(atoms)
    for g in range(len(distinct)):
        members = np.flatnonzero(group == g)
        drawn = _draw(rasterizer, atoms, members, shapes[members[0]], spacings[members[0]])
        for k, field in zip(members, drawn, strict=True):
            fields[k] = field
    return np.stack(fields) if (shapes == shapes[0]).all() else fields


def _draw(rasterizer, atoms, members, shape, spacing):
    """Return the fields of the structures `members`, all on one grid."""
    image = np.full(len(atoms), -1)
    image[members] = np.arange(len(members))
    image = image[atoms.owner]
    centres = atoms.scaled * shape
    channels = (None,) if rasterizer.channels_ is None else rasterizer.channels_
    size = (len(members), *(int(n) for n in shape), len(channels))
    require_memory(
        math.prod(size) * np.dtype(rasterizer.dtype).itemsize,
        f"A field of {' × '.join(map(str, size[1:-1]))} pixels for each of {len(members)} "
        "structure(s)",
        "Check the cells, which are in Å, or draw fewer structures at once.",
    )
    fields = np.zeros(size, dtype=rasterizer.dtype)
    stencil = None if rasterizer._separable else pixel_stencil(rasterizer, spacing)
    for c, number in enumerate(channels):
        drawn = image >= 0 if number is None else (image >= 0) & (atoms.numbers == number)
        heights = rasterizer._heights[atoms.numbers[drawn]]
        if stencil is not None:
            draw_lattices(
                stencil, centres[drawn], image[drawn], heights, fields[..., c], rasterizer.periodic_
            )
            continue
        draw_gaussians(
            centres[drawn],
            image[drawn],
            heights,
            fields[..., c],
            width=[rasterizer.width / s for s in spacing],
            cutoff=rasterizer.cutoff,
            n_jobs=rasterizer.n_jobs,
        )
    return fields[..., 0] if rasterizer.channels_ is None else fields
