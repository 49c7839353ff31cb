"""Structures stored one after another in arrays, taken apart."""

from itertools import pairwise

import numpy as np
from sklearn.utils import Bunch


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
    try:
        from ase import Atoms
    except ImportError as error:
        from sk_ednn.exceptions import MissingExtraError

        raise MissingExtraError(
            "as_ase=True needs ASE, which is not installed. Install it with "
            "'pip install sk-ednn[atoms]', or use as_ase=False: the rasteriser draws those too."
        ) from error
    return [
        Atoms(Z, np.pad(xy, ((0, 0), (0, 1))), cell=cell, pbc=(True, True, False))
        for Z, xy, cell in parts
    ]
