"""Atoms that are listed twice."""

import numpy as np

# No two atoms of matter are this close, and rounding of a file's seven digits is.
CLOSEST = 1e-4  # Å

# Irrational, so that atoms of a crystal, in rows and columns, have keys of their own.
_WEIGHTS = np.array([1.0, np.sqrt(2) - 0.5, np.sqrt(3) - 1.1])


def check_overlaps(atoms):
    """Refuse two atoms of a structure at one place, as cells with both ends of a period have them.

    Atoms are sorted by one number that nearly equal places share; only neighbours in that order
    are compared.

    Parameters
    ----------
    atoms : Atoms

    Raises
    ------
    ValueError
        If two atoms are closer than `CLOSEST`.
    """
    n_axes = atoms.scaled.shape[1]
    # Along each normal of the cell's faces, how far CLOSEST is in edges.
    step = CLOSEST * np.sqrt((np.linalg.inv(atoms.vectors) ** 2).sum(axis=1)).max(axis=0)
    # An atom at the end of a period is one at its beginning.
    places = atoms.scaled - (atoms.scaled > 1 - step)
    weights = _WEIGHTS[:n_axes]
    keys = places @ weights
    near = float(step @ weights)
    if atoms.heights is not None:
        keys += 0.3 * atoms.heights
        near += 0.3 * CLOSEST
    owner = atoms.owner
    keys += 4.0 * owner
    order = np.argsort(keys)
    keys = keys[order]
    for lag in range(1, len(keys)):
        close = np.flatnonzero(keys[lag:] - keys[:-lag] <= near)
        if not close.size:
            return
        a, b = order[close], order[close + lag]
        apart = atoms.scaled[a] - atoms.scaled[b]
        apart -= np.round(apart) * atoms.periodic[owner[a]]
        squared = ((apart[:, :, None] * atoms.vectors[owner[a]]).sum(axis=1) ** 2).sum(axis=1)
        if atoms.heights is not None:
            squared += (atoms.heights[a] - atoms.heights[b]) ** 2
        found = np.flatnonzero((owner[a] == owner[b]) & (squared < CLOSEST**2))
        if found.size:
            first, second = sorted((int(a[found[0]]), int(b[found[0]])))
            raise ValueError(
                f"{atoms.place(first)}, and atom {second - atoms.start[owner[second]]} of it are "
                f"{np.sqrt(squared[found[0]]):.1e} Å apart, closer than any two atoms are "
                f"({CLOSEST:g} Å). Leave one out: a cell holds only one end of each period."
            )
