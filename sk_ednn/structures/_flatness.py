"""A check that structures are flat enough to be drawn in a plane.

A flat, buckled or rippled sheet has one height at each point of its plane, and unless it is steep
its projection onto the plane determines the energy. Crystals, slabs, tubes, molecules and clusters
have atoms above one another or upright bonds, so their projection does not.

Hence the check is of pairs of atoms, not of the thickness: it accepts a ripple of 4 Å over 30 Å and
rejects two layers of copper, which are 1.8 Å apart.
"""

from itertools import product

import numpy as np
from scipy.spatial import cKDTree

from ._cells import AXES

# A pair with a steeper slope is upright; the projection of a bond is then a fifth shorter. Slopes
# of ripples are 0.1 to 0.5; those of stacked layers are 0.707 for (100) of bcc and diamond, 1 for
# (100) and 1.41 for (111) of fcc.
_MAX_SLOPE = 0.7
# Any bond is longer, so thinner structures are sheets.
_MAX_THICKNESS = 0.5  # Å
# Atoms farther apart in the plane are not bonded: 3 Å, or the distance of nearest neighbours if
# that is larger, as in xenon (4.4 Å) and caesium (5.2 Å).
_MIN_REACH = 3.0  # Å
_LONGEST_BOND = 6.0  # Å
# Layers of a crystal are closer, 3.35 Å in graphite; a vacuum is wider.
_VACUUM = 4.0  # Å
_ROUNDING = 1e-6  # relative
_ATOMS_PER_BLOCK = 2**13


def check_flatness(atoms, periods, plane):
    """Reject structures with atoms above one another.

    Parameters
    ----------
    atoms : Atoms
    periods : ndarray of shape (n_structures,), in Å
        Along the normal of the plane; 0 if a structure is not periodic along it.
    plane : {"xy", "xz", "yz"}

    Raises
    ------
    ValueError
        The message names the first such structure, and atoms of it.
    """
    if atoms.heights is None:
        return
    (normal,) = {0, 1, 2} - set(AXES[plane])
    first = atoms.start[:-1]
    lowest, highest = (f.reduceat(atoms.heights, first) for f in (np.minimum, np.maximum))
    # The vacuum is at least this wide, and wider if the structure crosses the end of a period.
    vacuum = periods - (highest - lowest)
    thick = np.flatnonzero(
        (highest - lowest > _MAX_THICKNESS) | ((periods > 0) & (vacuum <= _LONGEST_BOND))
    )
    for k in thick.tolist():
        of_structure = slice(atoms.start[k], atoms.start[k + 1])
        heights, vacuum = _unwrapped(atoms.heights[of_structure], periods[k])
        where = f"Structure {k} is not flat enough for the plane {plane}: "
        z = "xyz"[normal]
        is_stacked = vacuum < _VACUUM
        if not is_stacked:
            scaled, vectors = atoms.scaled[of_structure], atoms.vectors[k]
            positions, images = scaled @ vectors, _images(scaled, vectors, atoms.periodic[k])
            nearest = _nearest(positions, heights, *images)
            # In crystals of large atoms with one layer in a period, neighbours above an atom are as
            # near as those beside it.
            is_stacked = vacuum <= min(nearest.min(), _LONGEST_BOND) * (1 + _ROUNDING)
        if is_stacked:
            raise ValueError(
                f"{where}it is periodic along {z} with a period of {periods[k]:.4g} Å and at most "
                f"{vacuum:.3g} Å between its layers, which would be drawn on top of one another. "
                f"{_remedy(z, heights)} If it is not periodic along {z}, set its pbc to False "
                "there."
            )
        pair = _upright_pair(positions, heights, *images, nearest)
        if pair is not None:
            below, above, across, up = pair
            raise ValueError(
                f"{where}atom {above} is {up:.3g} Å above atom {below} along {z}, but only "
                f"{across:.3g} Å away in the plane, so the field would not show their distance. "
                f"{_remedy(z, heights)}"
            )


def _remedy(z, heights):
    low, high = np.floor(10 * heights.min()) / 10, np.ceil(10 * heights.max()) / 10
    return (
        "Draw it in three dimensions, with GaussianRasterizer(plane='xyz'), or rotate it. If the "
        f"heights of atoms do not matter, pass bounds of {z}: "
        f"slab=({low - 0.1:.4g}, {high + 0.1:.4g})."
    )


def _unwrapped(heights, period):
    """Return the heights of one structure, cut at its widest gap, and the width of the gap."""
    if not period:
        return heights, np.inf
    wrapped = heights - np.floor(heights / period) * period
    levels = np.sort(wrapped)
    gaps = np.diff(levels, append=levels[0] + period)
    widest = int(gaps.argmax())
    if widest == len(levels) - 1:
        return wrapped, gaps[widest]
    return np.where(wrapped > levels[widest], wrapped - period, wrapped), gaps[widest]


def _images(scaled, vectors, periodic):
    """Return the atoms of a cell and of its surroundings: index and position in the plane."""
    # Periodic images within the longest bond of the cell; the margin is in units of edges.
    margin = _LONGEST_BOND * np.sqrt((np.linalg.inv(vectors) ** 2).sum(axis=0))
    far = np.where(periodic, np.ceil(margin), 0).astype(int)
    index, images = [], []
    for shift in product(*(range(-n, n + 1) for n in far.tolist())):
        moved = scaled + shift
        near = np.flatnonzero(((moved >= -margin) & (moved <= 1 + margin)).all(axis=1))
        index.append(near)
        images.append(moved[near] @ vectors)
    return np.concatenate(index), np.concatenate(images)


def _upright_pair(positions, heights, index, images, nearest):
    """Return the steepest pair of a block: two atoms, their distances in and normal to the plane.

    None if no pair is steep.
    """
    if np.ptp(heights) <= _MAX_THICKNESS:
        return None
    tree = cKDTree(images)
    reach = max(_MIN_REACH, float(nearest[nearest <= _LONGEST_BOND].max(initial=0.0)))
    for start in range(0, len(positions), _ATOMS_PER_BLOCK):
        block = cKDTree(positions[start : start + _ATOMS_PER_BLOCK])
        pairs = block.sparse_distance_matrix(tree, reach, output_type="ndarray")
        lower, upper = pairs["i"] + start, index[pairs["j"]]
        up = heights[upper] - heights[lower]
        steep = np.flatnonzero((up > _MAX_THICKNESS) & (up > _MAX_SLOPE * pairs["v"]))
        if steep.size:
            steepest = steep[np.argmin(pairs["v"][steep] / up[steep])]
            return (
                int(lower[steepest]), int(upper[steepest]),
                float(pairs["v"][steepest]), float(up[steepest]),
            )  # fmt: skip
    return None


def _nearest(positions, heights, index, images):
    """Return the distance of each atom to its nearest neighbour; infinite if there is none."""
    tree = cKDTree(np.column_stack([images, heights[index]]))
    distances, _ = tree.query(np.column_stack([positions, heights]), k=2)  # the first is the atom
    return distances[:, 1]
