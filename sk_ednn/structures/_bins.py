"""Atoms of a large structure sorted into boxes, and the atoms around some of them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from ._batch import PackedStructure
from ._checks import complete_cells

# Edge of the boxes by which the atoms of a large structure are put in order, in Å.
_EDGE = 12.0


@dataclass(frozen=True, eq=False)
class Bins:
    """Atoms in boxes of a grid along the lattice vectors, each at least a cutoff wide.

    Attributes
    ----------
    shape : ndarray of int of shape (3,)
        Number of boxes along each vector.
    low, span : ndarray of shape (3,)
        Where the boxes begin, and how far they reach, in fractional coordinates.
    inverse : ndarray of shape (3, 3)
        From positions to fractional coordinates.
    reach : ndarray of int of shape (3,)
        Boxes in which what is within the width of a box may be: more than 1 where the cell is
        narrower.
    shifts : ndarray of int of shape (n_atoms, 3)
        Lattice vectors that were taken off each atom to put it into the cell.
    box : ndarray of int of shape (n_atoms,)
    order, offsets : ndarray of int
        The atoms by their boxes, and where each box begins.
    """

    shape: np.ndarray
    low: np.ndarray
    span: np.ndarray
    inverse: np.ndarray
    reach: np.ndarray
    shifts: np.ndarray
    box: np.ndarray
    order: np.ndarray
    offsets: np.ndarray


def bins_of(structure: PackedStructure, width) -> Bins:
    """Sort the atoms of a structure into boxes no narrower than `width`, in Å."""
    cell = complete_cells(structure.cell[None], structure.pbc[None])[0]
    inverse = np.linalg.inv(cell)
    scaled = structure.positions @ inverse
    shifts = np.where(structure.pbc, np.floor(scaled), 0.0)
    scaled = scaled - shifts
    # Atoms of an open structure may be outside of its cell.
    low = np.where(structure.pbc, 0.0, scaled.min(axis=0))
    span = np.where(structure.pbc, 1.0, scaled.max(axis=0) - low)
    heights = np.abs(np.linalg.det(cell)) / np.linalg.norm(
        np.cross(cell[[1, 2, 0]], cell[[2, 0, 1]]), axis=1
    )
    shape = np.maximum(1, np.floor(span * heights / width)).astype(np.int64)
    reach = np.ceil(width * shape / np.maximum(span * heights, 1e-300)).astype(np.float64)
    reach = np.where(structure.pbc, np.maximum(1, reach), 1).astype(np.int64)
    span = np.where(span > 0, span, 1.0)
    place = (scaled - low) / span * shape
    place = np.clip(place.astype(np.int64), 0, shape - 1)
    box = np.ravel_multi_index(tuple(place.T), tuple(shape))
    order = np.argsort(box, kind="stable")
    offsets = np.searchsorted(box[order], np.arange(np.prod(shape) + 1))
    return Bins(shape, low, span, inverse, reach, shifts.astype(np.int64), box, order, offsets)


def spatial_order(structure: PackedStructure) -> np.ndarray:
    """Return the atoms of a structure box by box, so that neighbours have near places."""
    return bins_of(structure, _EDGE).order


def surroundings(structure: PackedStructure, bins: Bins, atoms):
    """Return some atoms of a structure, and all others that are within a box of them.

    Parameters
    ----------
    structure : PackedStructure
    bins : Bins
        As wide as the cutoff.
    atoms : ndarray of int
        No atom twice.

    Returns
    -------
    index : ndarray of int of shape (n,)
        Atoms, the requested ones first, in their order; then those around them, and images of any.
    positions : ndarray of shape (n, 3), in Å
        As an open cluster.
    """
    shape, pbc = bins.shape, structure.pbc
    boxes = np.stack(np.unravel_index(np.unique(bins.box[atoms]), tuple(shape)), axis=1)
    around = np.array(list(product(*(range(-n, n + 1) for n in bins.reach.tolist()))))
    near = (boxes[:, None] + around[None]).reshape(-1, 3)
    turns = np.floor_divide(near, shape)
    near = near[((turns == 0) | pbc).all(axis=1)]
    near = np.unique(near, axis=0)
    turns, inside = np.divmod(near, shape)
    number = np.ravel_multi_index(tuple(inside.T), tuple(shape))
    counts = bins.offsets[number + 1] - bins.offsets[number]
    begins = np.cumsum(counts) - counts
    index = np.arange(counts.sum()) + np.repeat(bins.offsets[number] - begins, counts)
    index = bins.order[index]
    # Where an atom is in its box, and its box is `turns` cells away.
    lattice = np.repeat(turns, counts, axis=0) - bins.shifts[index]
    home = np.zeros(len(bins.box), dtype=bool)
    home[atoms] = True
    # The requested atoms, at their positions in the cell that they were taken from.
    is_center = home[index] & (np.repeat(turns, counts, axis=0) == 0).all(axis=1)
    index = np.concatenate([atoms, index[~is_center]])
    lattice = np.concatenate([-bins.shifts[atoms], lattice[~is_center]])
    positions = structure.positions[index] + lattice @ np.where(pbc[:, None], structure.cell, 0.0)
    return index, positions
