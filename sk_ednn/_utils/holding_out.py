"""Structures that are held out, whole groups at a time."""

from __future__ import annotations

import numpy as np


def hold_out(groups, fraction, rng):
    """Split structures into those to learn from and those to hold out, without dividing groups.

    Both parts contain at least one group, unless `fraction` is 0.

    Parameters
    ----------
    groups : ndarray of shape (n_structures,)
        Numbers or names; ``np.arange(n_structures)`` if each structure is a group by itself.
    fraction : float
        Wanted share of the structures that are held out. Groups are added in random order where
        they bring the share closer to it, so that a few large groups do not make it much larger.
    rng : numpy.random.Generator or RandomState

    Returns
    -------
    rest, held : ndarray of int
        Sorted indices.

    Raises
    ------
    ValueError
        If there is a single group.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ednn._utils.holding_out import hold_out
    >>> groups = np.repeat(["bulk", "slab", "melt"], [4, 4, 2])
    >>> rest, held = hold_out(groups, 0.2, np.random.default_rng(0))
    >>> set(groups[rest]) & set(groups[held])
    set()
    """
    if fraction == 0:
        return np.arange(len(groups)), np.zeros(0, dtype=int)
    names, which, counts = np.unique(groups, return_inverse=True, return_counts=True)
    if len(names) < 2:
        raise ValueError(
            f"Groups are held out as a whole, but all {len(groups)} structures are of one, "
            f"{str(names[0])!r}."
        )
    wanted = fraction * len(groups)
    order, taken, size = rng.permutation(len(names)), [], 0
    for group in order:
        if abs(size + counts[group] - wanted) < abs(size - wanted):
            taken.append(group)
            size += counts[group]
    if not taken:  # all are larger than twice the share
        taken = [order[np.argmin(counts[order])]]
    is_held = np.isin(which, taken)
    if is_held.all():
        is_held = which != order[-1]
    return np.flatnonzero(~is_held), np.flatnonzero(is_held)
