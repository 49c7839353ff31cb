"""Structures stored one after another in arrays, taken apart."""

from itertools import pairwise

import numpy as np
from sklearn.utils import Bunch

from .._utils.optional import needing


def split(values, offsets):
    """List of the parts ``values[offsets[k]:offsets[k + 1]]``, which are views."""
    return [values[a:b] for a, b in pairwise(offsets)]


def assemble(numbers, positions, cells, *, as_ase):
    """Structures, as Bunches of numbers, positions and cell, or as `ase.Atoms`.

    Parameters
    ----------
    numbers : list of ndarray of shape (n_atoms,)

    positions : list of ndarray of shape (n_atoms, 2), in Å

    cells : ndarray of shape (n_structures, 3), in Å

    as_ase : bool

    Raises
    ------
    MissingExtraError
        If `as_ase` and ASE is not installed.
    """
    parts = zip(numbers, positions, cells, strict=True)
    if not as_ase:
        return [Bunch(numbers=Z, positions=xy, cell=cell) for Z, xy, cell in parts]
    with needing("as_ase=True", otherwise="The rasteriser draws what as_ase=False returns, too."):
        from ase import Atoms
    return [
        Atoms(Z, np.pad(xy, ((0, 0), (0, 1))), cell=cell, pbc=(True, True, False))
        for Z, xy, cell in parts
    ]
