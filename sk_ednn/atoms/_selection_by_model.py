"""Structures to label next, by what a potential keeps of the structures that it learned from."""

from __future__ import annotations

import numpy as np
from sklearn.neighbors import NearestNeighbors

from ._known_structures import digests_of
from ._potential_kinds import features_of
from ._selection import Selection, more_for, require_number


def selection_unlike(potential, structures, n) -> Selection:
    """Choose structures that are unlike those of a fit and unlike each other.

    The distance of a structure is the mean over its atoms of their novelty: how far their
    surroundings are from the nearest of the fit, or of the structures chosen before. The one with
    the largest distance is chosen, again and again (farthest point sampling).

    Parameters
    ----------
    potential : EDNNPotential
        With `novelty_`, a sample of the atoms of its fit.
    structures : sequence of ase.Atoms, or Structures
        The pool. Structures of the fit have the distance 0.
    n : int

    Raises
    ------
    ValueError
        If there are fewer than `n` structures, or the potential is a model of images.
    """
    if potential.novelty_ is None:
        raise ValueError(
            "A model of images keeps nothing of the structures that it learned from: pass their "
            "files as the known ones."
        )
    batch, _ = potential._checked(structures)
    require_number(batch, n)
    nearest, points = potential.novelty_.compare_points(features_of(potential.potential_), batch)
    known = np.isin(digests_of(batch), getattr(potential, "digests_", ()))
    nearest[known[batch.owners]] = 0.0
    chosen, distances, left = [], [], np.ones(len(batch), dtype=bool)

    def add() -> float:
        """Choose the farthest; return the largest distance of those left."""
        means = np.where(left, _means(nearest, batch), -1.0)
        k = int(np.round(means, 7).argmax())
        chosen.append(k)
        distances.append(float(means[k]))
        left[k] = False
        _approach(nearest, points, slice(*batch.offsets[k : k + 2]))
        return float(_means(nearest, batch)[left].max(initial=0.0))

    for _ in range(n):
        rest = add()
    more = more_for(distances[:n], rest, add)
    return Selection(np.array(chosen[:n]), np.array(distances[:n]), rest, more)


def _means(nearest, batch) -> np.ndarray:
    return np.bincount(batch.owners, nearest, len(batch)) / np.maximum(batch.sizes, 1)


def _approach(nearest, points, atoms) -> None:
    """Take the atoms of one more structure into account, in place."""
    for owners, rows in points:
        of_kind = (owners >= atoms.start) & (owners < atoms.stop)
        if of_kind.any():
            near = NearestNeighbors(n_neighbors=1).fit(rows[of_kind])
            nearest[owners] = np.minimum(nearest[owners], near.kneighbors(rows)[0][:, 0])
