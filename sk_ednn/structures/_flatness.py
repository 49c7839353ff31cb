"""Structures that a field in a plane cannot hold: those with atoms above one another.

A sheet is a height over its plane: flat, buckled or rippled, each place has one. A projection onto
the plane keeps what matters of it as long as the sheet is not steep. Crystals, slabs, tubes,
molecules and clusters have atoms above atoms, or bonds that stand upright, and a projection takes
away what their energy depends on.

So the test is of pairs, and not of how thick a structure is: a ripple of 4 Å over 30 Å is drawn,
and two layers of copper, 1.8 Å apart, are not.
"""

from itertools import product

import numpy as np
from scipy.spatial import cKDTree

from ..structures._cells import AXES

# A pair is upright if it is steeper than this: a bond then looks shorter by a fifth. Above the
# slopes of ripples, 0.1 to 0.5, and below those of stacked layers: 0.707 for (100) of bcc and
# diamond, 1 for (100) and 1.41 for (111) of fcc.
_STEEPEST = 0.7
# No bond is so short that it could be upright within less, so flatter structures are sheets.
_FLAT = 0.5  # Å
# Atoms farther apart in the plane have no bond between them: 3 Å, or the distance of nearest
# neighbours where it is longer, as in xenon (4.4 Å) and caesium (5.2 Å).
_BESIDE = 3.0  # Å
_LONGEST_BOND = 6.0  # Å
# Layers of a crystal are closer than this, 3.35 Å in graphite; a vacuum is wider.
_VACUUM = 4.0  # Å
# Atoms whose neighbours are looked for at a time.
_AT_A_TIME = 2**13


def check_flatness(atoms, periods, plane):
    """Refuse structures with atoms above one another, of which a plane would hold a projection.

    Parameters
    ----------
    atoms : Atoms
    periods : ndarray of shape (n_structures,), in Å
        Along the normal of the plane; 0 where a structure does not repeat.
    plane : {"xy", "xz", "yz"}

    Raises
    ------
    ValueError
        Naming the first such structure, the atoms, and what to do.
    """
    if atoms.heights is None:
        return
    (normal,) = {0, 1, 2} - set(AXES[plane])
    first = atoms.start[:-1]
    lowest, highest = (f.reduceat(atoms.heights, first) for f in (np.minimum, np.maximum))
    # What is left of a period is vacuum at least where it is not wrapped through the cell.
    thick = np.flatnonzero(
        (highest - lowest > _FLAT) | ((periods > 0) & (periods - (highest - lowest) < _VACUUM))
    )
    for k in thick.tolist():
        own = slice(atoms.start[k], atoms.start[k + 1])
        heights, vacuum = _unwrapped(atoms.heights[own], periods[k])
        where = f"Structure {k} is not flat enough for the plane {plane}: "
        z = "xyz"[normal]
        if vacuum < _VACUUM:
            raise ValueError(
                f"{where}it repeats along {z} every {periods[k]:.4g} Å, with no more than "
                f"{vacuum:.3g} Å between its layers, which would be drawn on top of one another. "
                f"{_remedy(z, heights)} Where it does not repeat along {z}, set pbc to False there."
            )
        pair = _upright_pair(atoms.scaled[own], atoms.vectors[k], atoms.periodic[k], heights)
        if pair is not None:
            below, above, beside, up = pair
            raise ValueError(
                f"{where}atom {above} lies {up:.3g} Å above atom {below}, along {z}, and only "
                f"{beside:.3g} Å beside it; the field would not show how far apart they are. "
                f"{_remedy(z, heights)}"
            )


def _remedy(z, heights):
    low, high = np.floor(10 * heights.min()) / 10, np.ceil(10 * heights.max()) / 10
    return (
        "Draw it in three dimensions, GaussianRasterizer(plane='xyz'), or turn it. Where the "
        f"heights of atoms say nothing that matters, give the bounds of {z} in which they are, "
        f"slab=({low - 0.1:.4g}, {high + 0.1:.4g})."
    )


def _unwrapped(heights, period):
    """Heights of one structure, cut in its widest gap, and how wide that is."""
    if not period:
        return heights, np.inf
    wrapped = heights - np.floor(heights / period) * period
    levels = np.sort(wrapped)
    gaps = np.diff(levels, append=levels[0] + period)
    widest = int(gaps.argmax())
    if widest == len(levels) - 1:
        return wrapped, gaps[widest]
    return np.where(wrapped > levels[widest], wrapped - period, wrapped), gaps[widest]


def _upright_pair(scaled, vectors, periodic, heights):
    """A lower and an upper atom, and how far apart they are in the plane and along its normal.

    None where no pair is steep.
    """
    if np.ptp(heights) <= _FLAT:
        return None
    # Images near the cell, by how far the longest bond is in edges along the normal of each side.
    margin = _LONGEST_BOND * np.sqrt((np.linalg.inv(vectors) ** 2).sum(axis=0))
    far = np.where(periodic, np.ceil(margin), 0).astype(int)
    index, images = [], []
    for shift in product(*(range(-n, n + 1) for n in far.tolist())):
        moved = scaled + shift
        near = np.flatnonzero(((moved >= -margin) & (moved <= 1 + margin)).all(axis=1))
        index.append(near)
        images.append(moved[near] @ vectors)
    index, images = np.concatenate(index), np.concatenate(images)
    tree, places = cKDTree(images), scaled @ vectors
    nearest = _nearest(places, heights, images, heights[index])
    beside = max(_BESIDE, float(nearest[nearest <= _LONGEST_BOND].max(initial=0.0)))
    for start in range(0, len(places), _AT_A_TIME):
        some = cKDTree(places[start : start + _AT_A_TIME])
        pairs = some.sparse_distance_matrix(tree, beside, output_type="ndarray")
        lower, upper = pairs["i"] + start, index[pairs["j"]]
        up = heights[upper] - heights[lower]
        found = np.flatnonzero((up > _FLAT) & (up > _STEEPEST * pairs["v"]))
        if found.size:
            steepest = found[np.argmin(pairs["v"][found] / up[found])]
            return (
                int(lower[steepest]), int(upper[steepest]),
                float(pairs["v"][steepest]), float(up[steepest]),
            )  # fmt: skip
    return None


def _nearest(places, heights, images, image_heights):
    """Distance of each atom's nearest neighbour, infinite where there is none."""
    tree = cKDTree(np.column_stack([images, image_heights]))
    distances, _ = tree.query(np.column_stack([places, heights]), k=2)  # the first is the atom
    return distances[:, 1]
