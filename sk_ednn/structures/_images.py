"""Neighbours by a k-d tree of the atoms and their images: for structures too wide for vesin.

vesin puts atoms into at most 10⁵ boxes; where that makes the boxes of one axis fewer than one, as
for a sheet a few thousand Å wide, it divides by zero and ends the process.
"""

import numpy as np
from scipy.spatial import cKDTree

from ._checks import complete_cells

_MOST_BOXES = 1e5  # of vesin


def searched_cells(structures, cutoff):
    """Return cells of full rank, and ranges of search that bound the work by the pairs found.

    vesin goes through all boxes of a cell that the cutoff reaches, also along axes that do not
    repeat: these get lengths of the cutoff. In a structure that does not repeat at all, no two
    atoms are farther apart than its extent.

    Parameters
    ----------
    structures : Structures
    cutoff : float, in Å

    Returns
    -------
    cells : ndarray of shape (n_structures, 3, 3), in Å
    reach : ndarray of shape (n_structures,), in Å
        At most `cutoff`.
    """
    cells = complete_cells(structures.cells, structures.pbc)
    starts = structures.offsets[:-1]
    low = np.minimum.reduceat(structures.positions, starts)
    high = np.maximum.reduceat(structures.positions, starts)
    extent = np.linalg.norm(high - low, axis=1) + 1.0
    reach = np.where(structures.pbc.any(axis=1), cutoff, np.minimum(cutoff, extent))
    heights = 1.0 / np.linalg.norm(np.linalg.inv(cells), axis=1)
    longer = np.maximum(np.minimum(cutoff, extent)[:, None] / heights, 1.0)
    return cells * np.where(structures.pbc, 1.0, longer)[:, :, None], reach


def expected_pairs(structures, cells, reach):
    """Estimate the number of pairs, from atoms that are spread evenly.

    Parameters
    ----------
    structures : Structures
    cells, reach : ndarray
        See `searched_cells`.
    """
    heights = 1.0 / np.linalg.norm(np.linalg.inv(cells), axis=1)
    around = 2.0 * reach[:, None] / heights
    share = np.prod(np.where(structures.pbc, around, np.minimum(around, 1.0)), axis=1)
    return float((0.5 * structures.sizes.astype(float) ** 2 * share).sum())


def exceeds_boxes(structures, cells, cutoff):
    """Decide for each structure whether vesin would have less than one box along an axis.

    Parameters
    ----------
    structures : Structures
    cells : ndarray of shape (n_structures, 3, 3), in Å
        Complete: of full rank.
    cutoff : float or ndarray of shape (n_structures, 1), in Å

    Returns
    -------
    ndarray of bool of shape (n_structures,)
    """
    inverse = np.linalg.inv(cells)
    heights = 1.0 / np.linalg.norm(inverse, axis=1)
    scaled = np.matmul(structures.positions[:, None], inverse[structures.owners])[:, 0]
    starts = structures.offsets[:-1]
    extents = np.maximum.reduceat(scaled, starts) - np.minimum.reduceat(scaled, starts)
    boxes = np.where(structures.pbc, heights, extents * heights) / cutoff
    boxes = np.maximum(boxes, 1.0)
    total = np.prod(boxes, axis=1)
    # With a margin: rounded to whole boxes they may be up to half as many.
    return (total > 0.5 * _MOST_BOXES) & (boxes.min(axis=1) * np.cbrt(_MOST_BOXES / total) < 2.0)


def pairs_by_images(positions, cell, pbc, cutoff):
    """Find the pairs of one structure.

    Parameters
    ----------
    positions : ndarray of shape (n_atoms, 3), in Å
    cell : ndarray of shape (3, 3), in Å
        Complete: of full rank.
    pbc : ndarray of bool of shape (3,)
    cutoff : float, in Å

    Returns
    -------
    i, j : ndarray of int of shape (n_pairs,)
    shifts : ndarray of int of shape (n_pairs, 3)
        Lattice shift of the image of j.
    vectors : ndarray of shape (n_pairs, 3), in Å
        From i to the image of j.
    """
    inverse = np.linalg.inv(cell)
    scaled = positions @ inverse
    home = np.floor(scaled).astype(np.int64) * pbc
    scaled = scaled - home
    reach = cutoff * np.linalg.norm(inverse, axis=0)  # in lattice vectors

    # Images that may be in reach of the cell, one axis after the other.
    atoms, shifts = np.arange(len(positions)), np.zeros((len(positions), 3), dtype=np.int64)
    for axis in np.flatnonzero(pbc):
        most = int(np.ceil(reach[axis]))
        kept = []
        for shift in range(-most, most + 1):
            at = scaled[atoms, axis] + shift
            near = np.flatnonzero((at >= -reach[axis]) & (at <= 1.0 + reach[axis]))
            moved = shifts[near]
            moved[:, axis] = shift
            kept.append((atoms[near], moved))
        atoms, shifts = (np.concatenate(part) for part in zip(*kept, strict=True))

    wrapped = scaled @ cell
    tree = cKDTree(wrapped[atoms] + shifts @ cell)
    # Pairs at the cutoff itself are sorted out below, by the distances that are returned.
    near = cKDTree(wrapped).sparse_distance_matrix(tree, cutoff * (1 + 1e-9), output_type="ndarray")
    i, image = near["i"].astype(np.int64), near["j"].astype(np.int64)
    j = atoms[image]
    shifts = shifts[image] - home[j] + home[i]
    vectors = positions[j] + shifts @ cell - positions[i]
    other = (i != j) | shifts.any(axis=1)
    kept = np.flatnonzero(other & (np.linalg.norm(vectors, axis=1) < cutoff))
    return i[kept], j[kept], shifts[kept], vectors[kept]
