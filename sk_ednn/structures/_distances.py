"""Distances of nearest neighbours, by which structures in other units are recognised."""

from __future__ import annotations

import numpy as np

from ._elements import symbol
from ._neighbors import neighbor_pairs

# How far neighbours are searched in a fit, in Å, and the distance of those that have none.
_RADIUS, _ALONE = 6.0, 1e9
# Atoms that are compared, from whole structures, in a fit and in a prediction.
_ATOMS_OF_FIT, _ATOMS, _LARGEST = 4096, 256, 1024
# Atoms are too close within this many least distances of the fit, and alone without a neighbour in
# this many of the largest: less than nm or fractions of a cell, and less than Å in bohr.
_CLOSE, _APART = 0.5, 1.6
# Atoms within such a distance on average, of structures that are not searched for neighbours.
_DENSE = 1e3


def nearest_distances(structures, radius) -> np.ndarray:
    """Return the distance of the nearest neighbour of each atom, infinite beyond a radius.

    Parameters
    ----------
    structures : Structures
    radius : float, in Å
    """
    pairs = neighbor_pairs(structures, radius)
    nearest = np.full(structures.n_atoms, np.inf)
    np.minimum.at(nearest, pairs.atoms[pairs.centers], np.linalg.norm(pairs.vectors, axis=1))
    return nearest


def spread(sizes, n_atoms=_ATOMS) -> np.ndarray:
    """Return the numbers of structures, spread over all, with a bounded number of atoms.

    Parameters
    ----------
    sizes : ndarray of int
        Number of atoms of each structure.
    n_atoms : int
    """
    suited = np.flatnonzero((sizes > 0) & (sizes <= _LARGEST))
    if len(suited) == 0:
        return suited
    n = int(np.clip(n_atoms // max(1, int(np.mean(sizes[suited]))), 1, len(suited)))
    return suited[np.unique(np.linspace(0, len(suited) - 1, n).astype(int))]


def range_of_distances(structures) -> tuple[float, float] | None:
    """Return the least and the largest distance of nearest neighbours, None without any.

    Examples
    --------
    >>> from sk_ednn.structures import Structures
    >>> from sk_ednn.structures._distances import doubt_of_distances, range_of_distances
    >>> def dimer(length):
    ...     return {"numbers": [8, 8], "positions": [[0, 0, 0], [0, 0, length]], "pbc": False}
    >>> least, largest = range_of_distances(Structures.of([dimer(1.1), dimer(1.4)]))
    >>> least, largest
    (1.1, 1.4)
    >>> in_nm = Structures.of([dimer(1.2), dimer(0.12)])
    >>> doubt_of_distances(in_nm, least, largest).partition(" Å")[0]
    'structure 1, atom 0 (O), is 0.12'
    """
    some = structures.take(spread(structures.sizes, _ATOMS_OF_FIT))
    nearest = nearest_distances(some, _RADIUS)
    if not np.isfinite(nearest).any():
        return None
    return float(nearest.min()), float(np.where(np.isfinite(nearest), nearest, _ALONE).max())


def doubt_of_distances(structures, least, largest) -> str | None:
    """Return how structures are far from those of a fit, None where they are not.

    Parameters
    ----------
    structures : Structures
    least, largest : float, in Å
        Of `range_of_distances`.
    """
    chosen = spread(structures.sizes)
    some = structures.take(chosen)
    reach = min(_APART * largest, _RADIUS)
    atoms_within = np.divide(
        4 * reach**3 * some.sizes, some.volumes, out=np.zeros(len(some)), where=some.volumes > 0
    )
    radius = reach if (atoms_within < _DENSE).all() else _CLOSE * least
    nearest = nearest_distances(some, radius)
    if len(nearest) == 0:
        return None
    atom = int(np.argmin(nearest))
    k = int(some.owners[atom])
    where = f"structure {int(chosen[k])}, atom {atom - int(some.offsets[k])} "
    where += f"({symbol(int(some.numbers[atom]))})"
    advice = "Predictions are extrapolations. Check that positions and cells are in Å."
    if nearest[atom] < _CLOSE * least:
        return (
            f"{where}, is {nearest[atom]:.3g} Å from its nearest neighbour; atoms of the training "
            f"structures were {least:.3g} Å or more apart. {advice}"
        )
    # A single atom that leaves a surface is no other unit.
    pairs = (some.sizes > 1) | some.pbc.any(axis=1)
    compared = pairs[some.owners]
    alone = compared & ~np.isfinite(nearest)
    if radius == _APART * largest and alone.sum() > compared.sum() / 2:
        return (
            f"{int(alone.sum())} of {int(compared.sum())} atoms that were compared have no "
            f"neighbour within {radius:.3g} Å; those of the training structures had one within "
            f"{largest:.3g} Å. {advice}"
        )
    return None
