"""Random structures with a symmetry: crystals and sheets by pyxtal, clusters by point groups."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from .._utils.optional import needing

with needing("Structure search"):
    from ase import Atoms

# Space groups and layer groups beyond the one without any symmetry.
_N_GROUPS = {"crystal": 230, "sheet": 80}
_DIMENSIONS = {"crystal": 3, "sheet": 2}
# Groups of rotations; half of the clusters have inversions of them, too.
_ROTATIONS = ("C2", "C3", "C4", "C5", "C6", "D2", "D3", "D4", "D5", "D6", "T", "O", "I")
# Draws of a group, of which few fit the number of atoms.
_MOST_GROUPS = 20
_MOST_ORBITS = 60
_SAME = 1e-6


def symmetric_cell(numbers, kind, thickness, rng) -> Atoms | None:
    """Return a crystal or a sheet of a random space group or layer group, of any volume.

    Half of the crystals have the symmetry in the cell itself, and half are the primitive cell of
    a larger one.

    Parameters
    ----------
    numbers : ndarray of shape (n_atoms,)
    kind : {"crystal", "sheet"}
    thickness : float, in Å
        Of sheets.
    rng : RandomState

    Returns
    -------
    ase.Atoms or None
        None where no group that was drawn fits the number of atoms.
    """
    with needing("A start with a space group"):
        from pyxtal import pyxtal
        from pyxtal.msg import Comp_CompatibilityError

    species, counts = np.unique(numbers, return_counts=True)
    symbols = [Atoms([number]).get_chemical_symbols()[0] for number in species]
    for _ in range(_MOST_GROUPS):
        is_conventional = kind == "sheet" or rng.uniform() < 0.5
        crystal = pyxtal()
        try:
            crystal.from_random(
                _DIMENSIONS[kind],
                int(rng.randint(2, _N_GROUPS[kind] + 1)),
                symbols,
                counts.tolist(),
                thickness=thickness if kind == "sheet" else None,
                conventional=is_conventional,
                max_count=1,
                random_state=np.random.default_rng(rng.randint(2**31)),
            )
        except (Comp_CompatibilityError, RuntimeError):
            continue
        if not crystal.valid:
            continue
        atoms = crystal.to_ase(resort=False)
        atoms = atoms if is_conventional else _primitive(atoms)
        if np.array_equal(np.sort(atoms.numbers), numbers):
            return atoms
    return None


def _primitive(atoms):
    with needing("A start with a space group"):
        import spglib

    cell = (np.array(atoms.cell), atoms.get_scaled_positions(), atoms.numbers)
    reduced = spglib.find_primitive(cell, symprec=1e-3)
    if reduced is None:
        return atoms
    lattice, positions, numbers = reduced
    return Atoms(numbers, cell=lattice, scaled_positions=positions, pbc=True)


def symmetric_cluster(numbers, radius, is_close, rng) -> Atoms | None:
    """Return a cluster of a random point group about the origin.

    Each element takes whole orbits of the group: all images of a point, which may lie on an axis,
    on a plane or in the centre, so that it has fewer of them.

    Parameters
    ----------
    numbers : ndarray of shape (n_atoms,)
    radius : float, in Å
        Atoms are within this distance of the origin.
    is_close : function of Atoms to bool
        Tells whether atoms are too close.
    rng : RandomState

    Returns
    -------
    ase.Atoms or None
        None where the orbits that were drawn do not make up the number of atoms.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ednn.search._symmetric import symmetric_cluster
    >>> rng = np.random.RandomState(1)
    >>> len(symmetric_cluster(np.full(13, 79), 5.0, lambda atoms: False, rng))
    13
    """
    for _ in range(_MOST_GROUPS):
        cluster = _of_orbits(numbers, _point_group(rng), radius, is_close, rng)
        if cluster is not None:
            return cluster
    return None


def _of_orbits(numbers, group, radius, is_close, rng):
    """Return a cluster of whole orbits of a group; None if no orbits fit."""
    cluster = Atoms()
    for number in rng.permutation(np.unique(numbers)):
        left = int(np.sum(numbers == number))
        for _ in range(_MOST_ORBITS):
            orbit = _orbit(group, radius, rng)
            if len(orbit) > left:
                continue
            grown = cluster + Atoms(np.full(len(orbit), number), orbit)
            if is_close(grown):
                continue
            cluster, left = grown, left - len(orbit)
            if left == 0:
                break
        if left:
            return None
    return cluster


def _point_group(rng):
    """Return the matrices of a random point group."""
    matrices = Rotation.create_group(_ROTATIONS[rng.randint(len(_ROTATIONS))]).as_matrix()
    kind = rng.randint(3)
    if kind == 0:
        return matrices
    if kind == 1:
        return np.concatenate([matrices, -matrices])
    # A mirror makes a group only where it maps the rotations to themselves.
    mirror = np.eye(3)
    axis = rng.randint(3)
    mirror[axis, axis] = -1.0
    images = mirror @ matrices @ mirror
    is_kept = all(np.any(np.all(np.isclose(each, matrices), axis=(1, 2))) for each in images)
    return np.concatenate([matrices, mirror @ matrices]) if is_kept else matrices


def _orbit(group, radius, rng):
    """Return all images of a random point, which may be on an axis, on a plane or the centre."""
    direction = rng.normal(size=3)
    point = radius * rng.uniform() ** (1 / 3) * direction / np.linalg.norm(direction)
    if rng.uniform() < 0.6:
        # The mean over the powers of an element is the nearest point that the element keeps.
        element = group[rng.randint(len(group))]
        image, total, n = element @ point, point.copy(), 1
        while not np.allclose(image, point, atol=_SAME) and n < len(group):
            total, n, image = total + image, n + 1, element @ image
        point = total / n
    images = group @ point
    order = np.round(images / (10 * _SAME)).astype(np.int64)
    _, first = np.unique(order, axis=0, return_index=True)
    return images[np.sort(first)]
