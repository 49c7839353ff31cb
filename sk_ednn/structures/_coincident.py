"""Search for coincident atoms."""

import numpy as np

# Far below any distance of atoms, and above the rounding of files with seven digits.
CLOSEST = 1e-4  # Å

# Irrational, so that atoms in the rows and columns of a crystal have different keys.
_WEIGHTS = np.array([1.0, np.sqrt(2) - 0.5, np.sqrt(3) - 1.1])
_PHASES = np.array([0.3, 1.1, 2.3])


def check_overlaps(atoms, periods=None):
    """Reject coincident atoms, e.g. from a cell that lists both ends of a period.

    Parameters
    ----------
    atoms : Atoms
    periods : ndarray of shape (n_structures,), in Å, default=None
        Along the normal of the plane; 0 if a structure is not periodic along it.

    Raises
    ------
    ValueError
        If two atoms are closer than `CLOSEST`.
    """
    duplicate = first_duplicate(
        atoms.scaled, atoms.vectors, atoms.periodic, atoms.owner, _in_first_period(atoms, periods)
    )
    if duplicate is not None:
        first, second, distance = duplicate
        raise ValueError(
            f"{atoms.place(first).capitalize()}, and atom "
            f"{second - atoms.start[atoms.owner[second]]} of it are {distance:.1e} Å apart, "
            f"periodic images included; no two atoms are closer than {CLOSEST:g} Å. Leave one "
            "out: a cell contains only one end of each period."
        )


def first_duplicate(scaled, vectors, periodic, owners, heights=None):
    """Find two atoms of a structure that are closer than `CLOSEST`, periodic images included.

    Atoms are sorted by a key that is a continuous function of the position; only atoms whose keys
    are close are compared.

    Parameters
    ----------
    scaled : ndarray of shape (n_atoms, d)
        Positions in units of the lattice vectors.
    vectors : ndarray of shape (n_structures, d, d), in Å
        Lattice vectors as rows, of full rank.
    periodic : ndarray of bool of shape (n_structures, d)
    owners : ndarray of int of shape (n_atoms,)
        Structure of each atom, ascending.
    heights : ndarray of shape (n_atoms,), in Å, default=None
        Coordinates along one more axis, normal to the others.

    Returns
    -------
    tuple of int, int and float, or None
        The two atoms, and their distance in Å.
    """
    n_axes = scaled.shape[1]
    # Large structures come alone, and need no owner of each atom.
    alone = not len(owners) or owners[0] == owners[-1]
    rows = slice(0, 1) if alone else owners
    angles = 2.0 * np.pi * scaled
    # A cosine is continuous across the end of a period.
    keys = np.where(periodic[rows], np.cos(angles + _PHASES[:n_axes]), angles)
    keys = keys @ _WEIGHTS[:n_axes]
    # CLOSEST in units of the lattice vectors, along the normal of each pair of faces.
    step = CLOSEST * np.linalg.norm(np.linalg.inv(vectors), axis=1)
    reach = ((2.0 * np.pi * step) @ _WEIGHTS[:n_axes])[rows]
    if heights is not None:
        keys, reach = keys + 0.3 * heights, reach + 0.3 * CLOSEST
    order = np.argsort(keys) if alone else np.lexsort((keys, owners))
    keys, owners = keys[order], owners[order]
    reach = reach if alone else reach[order]
    for lag in range(1, len(keys)):
        close = keys[lag:] - keys[:-lag] <= (reach if alone else reach[lag:])
        if not alone:
            close &= owners[lag:] == owners[:-lag]
        near = np.flatnonzero(close)
        if not near.size:
            return None
        a, b, owner = order[near], order[near + lag], owners[near]
        apart = scaled[a] - scaled[b]
        apart -= np.round(apart) * periodic[owner]
        squared = (np.matmul(apart[:, None], vectors[owner])[:, 0] ** 2).sum(axis=1)
        if heights is not None:
            squared += (heights[a] - heights[b]) ** 2
        at = np.flatnonzero(squared < CLOSEST**2)
        if at.size:
            first, second = sorted((int(a[at[0]]), int(b[at[0]])))
            return first, second, float(np.sqrt(squared[at[0]]))
    return None


def _in_first_period(atoms, periods):
    """Return heights in the first period; those at its end are moved to its beginning."""
    if atoms.heights is None or periods is None or not periods.any():
        return atoms.heights
    period = np.where(periods > 0, periods, np.inf)[atoms.owner]
    n_periods = np.floor((atoms.heights + CLOSEST) / period)
    return atoms.heights - np.where(np.isfinite(period), n_periods, 0.0) * periods[atoms.owner]
