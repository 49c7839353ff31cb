"""Structures to label next: some at random, and those that are least like the others."""

from __future__ import annotations

from numbers import Integral, Real
from typing import NamedTuple

import numpy as np
from sklearn.decomposition import PCA
from sklearn.utils import check_random_state

from ..descriptors import ChebyshevDescriptor
from ..structures import Structures, neighbor_pairs

# Orders of the expansions, components of the fingerprints, and atoms described at once.
_N_RADIAL, _N_ANGULAR, _COMPONENTS, _AT_ONCE = 10, 4, 32, 5000
# Lower bound of the spread of a component, relative to the widest: a narrow one is mostly noise, of
# which there is much in many dimensions. Below the second, a descriptor only varies by rounding.
_FLOOR, _LEAST = 0.1, 1e-6
# Part of the first distance below which structures that are left are taken for represented, and
# the most beyond those chosen that are tried for it.
_REPRESENTED, _MOST_MORE = 0.5, 200
# Decimals of distances that are compared, so that equal ones are equal on every processor.
_DECIMALS = 7


class Selection(NamedTuple):
    """The structures that were chosen, in this order."""

    indices: np.ndarray  # (n,)
    distances: np.ndarray  # (n,), to the nearest one chosen before; NaN for those drawn at random
    left: float  # the largest distance of a structure that was left from those chosen
    more: int = 0  # that bring this below half the first distance; 0 if it is, or they are many


def select_structures(structures, n, *, known=None, unlike=None, cutoff=5.5, random_state=None):
    """Choose structures to label: some at random, the others unlike those chosen before.

    Structures at random are what a pool mostly contains; the errors of a model that learned from
    these alone are ruled by the few that are unlike them, such as compressed cells. A part of the
    structures is therefore chosen one after the other, each as far as possible from its nearest
    neighbour among those known or chosen before (farthest point sampling). No label is used.

    Structures are compared by the mean, the smallest and the largest value over their atoms, for
    each element, of Chebyshev descriptors, and by their composition, along up to 32 principal
    components in units of their spread. Turned or shifted structures, supercells and
    structures with their atoms in another order are equal.

    Parameters
    ----------
    structures : sequence of ase.Atoms, or Structures
        The pool.

    n : int
        How many to choose.

    known : sequence of ase.Atoms, or Structures, default=None
        Structures that have labels. What is like them is not chosen for being unlike others.

    unlike : float between 0 and 1, default=None
        The part of `n` that is chosen for being unlike the others. 1 covers the pool evenly, but
        knows little about how often its structures occur. None for 0.3, or, with structures that
        are known, for 1: what the pool mostly contains is then among these.

    cutoff : float, default=5.5, in Å
        Radius of the surroundings of an atom.

    random_state : int, RandomState or None, default=None
        For those at random.

    Returns
    -------
    ndarray of int of shape (n,)
        Indices of structures: first those at random, then the others in the order of their
        selection.

    Raises
    ------
    ValueError
        If there are fewer than `n` structures, or a parameter is out of its range.

    References
    ----------
    Gonzalez, Clustering to minimize the maximum intercluster distance, Theor. Comput. Sci. 38, 293
    (1985): the largest distance of a structure from those chosen is at most twice the least that
    is possible. As a choice of training structures: Imbalzano et al., J. Chem. Phys. 148, 241730
    (2018).

    Examples
    --------
    Of 50 crystals of copper the five compressed ones are found:

    >>> from ase.build import bulk
    >>> from sk_ednn.atoms import select_structures
    >>> pool = [bulk("Cu", a=3.6 + 0.001 * k) for k in range(45)]
    >>> pool += [bulk("Cu", a=2.9 + 0.1 * k) for k in range(5)]
    >>> chosen = select_structures(pool, 10, unlike=0.5, random_state=0)
    >>> sorted(chosen[5:].tolist())
    [45, 46, 47, 48, 49]
    """
    return selection(
        structures, n, known=known, unlike=unlike, cutoff=cutoff, random_state=random_state
    ).indices


def selection(
    structures, n, *, known=None, unlike=None, cutoff=5.5, random_state=None
) -> Selection:
    """Choose structures as `select_structures` does, and return their distances, too."""
    structures = Structures.of(structures)
    known = Structures.of(known) if known is not None and len(known) else None
    unlike = default_unlike(known is not None) if unlike is None else unlike
    _check(structures, n, unlike, cutoff)
    n_random = round((1.0 - unlike) * n)
    order = check_random_state(random_state).permutation(len(structures))
    together = structures if known is None else Structures.concatenate([structures, known])
    points = _fingerprints(together, float(cutoff))
    points, before = points[: len(structures)], points[len(structures) :]
    nearest = np.full(len(points), np.inf)
    for point in before:
        _approach(nearest, points, point)
    chosen, distances = [], []
    for k in range(n):
        if k < n_random:
            index, distance = int(order[k]), np.nan
        elif np.isinf(nearest.max()):
            # None is known or chosen: begin with the one that is farthest from the mean.
            index, distance = int(_rounded(np.linalg.norm(points, axis=1)).argmax()), np.nan
        else:
            index = int(_rounded(nearest).argmax())
            distance = float(nearest[index])
        chosen.append(index)
        distances.append(distance)
        _approach(nearest, points, points[index])
        nearest[index] = -1.0  # is not chosen again, even if all others are equal to it
    left = max(0.0, float(nearest.max()))

    def add() -> float:
        index = int(_rounded(nearest).argmax())
        _approach(nearest, points, points[index])
        nearest[index] = -1.0
        return float(nearest.max())

    return Selection(np.array(chosen), np.array(distances), left, more_for(distances, left, add))


def more_for(distances, left, add) -> int:
    """Return how many more structures represent those that are left.

    Parameters
    ----------
    distances : sequence of float
        Of those chosen, NaN for some.
    left : float
        The largest distance of those left.
    add : callable
        Adds the farthest of them to those chosen; returns the largest distance then.

    Examples
    --------
    >>> from sk_ednn.atoms._selection import more_for
    >>> rest = iter([0.7, 0.4])
    >>> more_for([1.0, 0.9], 0.8, lambda: next(rest)), more_for([1.0, 0.9], 0.5, None)
    (2, 0)
    """
    first = next((each for each in distances if each > 0), np.inf)
    if np.isinf(first):
        return 0
    for more in range(_MOST_MORE + 1):
        if left <= _REPRESENTED * first:
            return more
        left = add()
    return 0


def default_unlike(has_known) -> float:
    """Return the part that is chosen for being unlike others, if none is given."""
    return 1.0 if has_known else 0.3


def require_number(structures, n) -> None:
    """Raise if there are fewer structures than are to be chosen, or `n` is no number of them."""
    if isinstance(n, bool) or not isinstance(n, Integral) or int(n) < 1:
        raise ValueError(f"n must be a positive number of structures; got {n!r}.")
    if int(n) > len(structures):
        raise ValueError(
            f"There are {len(structures)} structures, of which {n} cannot be chosen. Choose "
            f"{len(structures)} or fewer."
        )


def _check(structures, n, unlike, cutoff):
    require_number(structures, n)
    if not isinstance(unlike, Real) or not 0 <= unlike <= 1:
        raise ValueError(f"unlike must be a share between 0 and 1; got {unlike!r}.")
    if not isinstance(cutoff, Real) or not 0 < cutoff < np.inf:
        raise ValueError(f"cutoff must be a positive length in Å; got {cutoff!r}.")


def _rounded(distances):
    return np.round(distances, _DECIMALS)


def _approach(nearest, points, point):
    """Take the distance from one more point into account, in place."""
    np.minimum(nearest, np.linalg.norm(points - point, axis=1), out=nearest)


def _fingerprints(structures, cutoff):
    """Return coordinates of structures, (n_structures, n_components), of about unit spread."""
    species = np.unique(structures.numbers)
    descriptor = ChebyshevDescriptor(
        cutoff, n_radial=_N_RADIAL, n_angular=_N_ANGULAR, species=tuple(species.tolist())
    )
    parts = np.cumsum(structures.sizes) // _AT_ONCE
    rows = np.concatenate([
        _of_atoms(structures.take(some), descriptor, species)
        for some in np.split(np.arange(len(parts)), np.flatnonzero(np.diff(parts)) + 1)
    ])  # fmt: skip
    mean, spread = np.nanmean(rows, axis=0), np.nanstd(rows, axis=0)
    varies = spread > _LEAST * np.maximum(1.0, np.abs(mean))
    # Where an element is missing its atoms say nothing; that it is missing is in the composition.
    rows = np.nan_to_num((rows[:, varies] - mean[varies]) / spread[varies])
    if not rows.size:
        return np.zeros((len(rows), 1))
    n_components = min(_COMPONENTS, *rows.shape)
    pca = PCA(n_components, svd_solver="full").fit(rows)
    spreads = np.sqrt(pca.explained_variance_)
    return pca.transform(rows) / np.hypot(spreads, _FLOOR * spreads[0])


def _of_atoms(structures, descriptor, species):
    """Return mean and extremes of the atoms of each element, and its share, of each structure."""
    values = descriptor.values(neighbor_pairs(structures, descriptor.cutoff))
    columns = []
    for number in species:
        counts = np.bincount(
            structures.owners[structures.numbers == number], minlength=len(structures)
        )
        of_kind = np.full((3, len(structures), values.shape[1]), np.nan)
        has = counts > 0
        own = values[structures.numbers == number]
        starts = np.concatenate([[0], np.cumsum(counts[has])[:-1]])
        if has.any():
            of_kind[0, has] = np.add.reduceat(own, starts) / counts[has, None]
            of_kind[1, has] = np.minimum.reduceat(own, starts)
            of_kind[2, has] = np.maximum.reduceat(own, starts)
        columns += [*of_kind, (counts / structures.sizes)[:, None]]
    return np.hstack(columns)
