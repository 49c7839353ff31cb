"""Operations of the point group of a lattice on the windows of its tiles."""

from __future__ import annotations

from itertools import permutations, product
from math import prod

import numpy as np

from ..exceptions import TileModelError

# "flip" changes the sign of all values, "reverse" the order of channels; neither moves sites.
POINT_GROUPS = ("reflect", "rotate", "flip", "reverse")


def checked_symmetries(symmetries) -> tuple[str, ...]:
    """Return the names of symmetries in the order of `POINT_GROUPS`.

    Raises
    ------
    TileModelError
        If there are none or others.
    """
    names = (symmetries,) if isinstance(symmetries, str) else tuple(symmetries)
    unknown = [name for name in names if name not in POINT_GROUPS]
    if unknown or not names:
        raise TileModelError(f"symmetries must be some of {POINT_GROUPS}, got {symmetries!r}.")
    return tuple(name for name in POINT_GROUPS if name in names)


def site_permutations(symmetries, window) -> np.ndarray:
    """Return where the operations of a point group move the sites of a window.

    Parameters
    ----------
    symmetries : tuple of {"reflect", "rotate", "flip"}
        "reflect" contains reflections along each axis, "rotate" rotations by multiples of 90
        degrees, and both all of the hypercube: 2 operations in one dimension, 8 in two (the group
        4mm) and 48 in three (m-3m). The identity is always among them.
    window : tuple of int
        With equal lengths if it is rotated.

    Returns
    -------
    ndarray of int of shape (n_operations, n_sites)
        A moved window contains ``values[permutation]``.

    Examples
    --------
    >>> from sk_ednn.tile_models._point_groups import site_permutations
    >>> site_permutations(("reflect",), (3,)).tolist()
    [[0, 1, 2], [2, 1, 0]]
    >>> [len(site_permutations(("reflect", "rotate"), (3,) * n)) for n in (1, 2, 3)]
    [2, 8, 48]
    """
    n_axes, sites = len(window), np.arange(prod(window)).reshape(window)
    orders = list(permutations(range(n_axes))) if "rotate" in symmetries else [tuple(range(n_axes))]
    moved = []
    for order, flips in product(orders, product((False, True), repeat=n_axes)):
        # Of signed permutations of the axes, those of determinant 1 are rotations.
        is_rotation = _is_even(order) != bool(sum(flips) % 2)
        if "reflect" not in symmetries and not (is_rotation and "rotate" in symmetries):
            continue
        axes = tuple(axis for axis, flipped in enumerate(flips) if flipped)
        moved.append(np.flip(sites.transpose(order), axes).ravel())
    return np.unique(moved if moved else [sites.ravel()], axis=0)


def _is_even(order) -> bool:
    inversions = sum(
        order[i] > order[j] for i in range(len(order)) for j in range(i + 1, len(order))
    )
    return inversions % 2 == 0
