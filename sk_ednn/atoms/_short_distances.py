"""Distances of atoms in sums of covalent radii, which tell where nuclei repel each other."""

from __future__ import annotations

import numpy as np

from ..structures._neighbors import neighbor_pairs
from ..structures._repulsion import covalent_radii

# Of the structures with the largest errors this share is compared, but at least so many.
_WORST, _FEWEST = 0.1, 3
# In sums of covalent radii; bonds are about 1.
_CLOSE = 0.8
# Structures with distances in this lowest share are unusual among others.
_UNUSUAL = 0.25


def shortest_distances(structures) -> np.ndarray:
    """Return the least distance of two atoms in sums of their covalent radii, (n_structures,).

    Infinite where no atoms are within such a sum, or radii are not known.

    Parameters
    ----------
    structures : Structures

    Examples
    --------
    >>> from ase.build import bulk
    >>> from sk_ednn.atoms._short_distances import shortest_distances
    >>> from sk_ednn.structures import Structures
    >>> shortest_distances(Structures.of([bulk("Cu"), bulk("Cu", a=3.0)])).round(2)
    array([0.97, 0.8 ])
    """
    radii = covalent_radii(structures.numbers)
    found = np.full(len(structures), np.inf)
    if not np.isfinite(radii).any():
        return found
    pairs = neighbor_pairs(structures, 2 * float(np.nanmax(radii)))
    centers = pairs.atoms[pairs.centers]
    sums = radii[centers] + radii[pairs.neighbors]
    relative = np.linalg.norm(pairs.vectors, axis=1) / sums
    near = relative < 1  # not those that are not known
    np.minimum.at(found, structures.owners[centers[near]], relative[near])
    return found


def worst_are_close(errors, distances) -> float | None:
    """Return the distance in the structures with the largest errors, if it is unusually short.

    Parameters
    ----------
    errors : ndarray of shape (n_structures,)
        NaN where they are not known.
    distances : ndarray of shape (n_structures,)
        Result of `shortest_distances`.

    Returns
    -------
    float or None
        The median of their shortest distances, in sums of covalent radii. None if it is more than
        0.8, or not below those of three quarters of all structures.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ednn.atoms._short_distances import worst_are_close
    >>> distances = np.linspace(0.6, 0.9, 20)
    >>> round(worst_are_close(1 / distances, distances), 3)
    0.616
    >>> worst_are_close(distances, distances)
    """
    known = np.flatnonzero(~np.isnan(errors))
    n_worst = max(_FEWEST, round(_WORST * len(known)))
    if len(known) < 3 * n_worst:
        return None
    worst = known[np.argsort(-np.abs(errors[known]), kind="stable")[:n_worst]]
    median = float(np.median(distances[worst]))
    usual = np.quantile(distances[known], _UNUSUAL, method="lower")
    return median if median <= min(_CLOSE, usual) else None
