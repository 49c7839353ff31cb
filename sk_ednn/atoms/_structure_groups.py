"""Groups of related structures, which are held out together."""

from __future__ import annotations

import numpy as np

# Files are groups, too, unless structures carry a label of this name.
BY_FILE = "file"


def groups_of(structures, places, key) -> np.ndarray:
    """Return the group of each structure: an entry of ``info``, or the name of its file.

    Parameters
    ----------
    structures : sequence of ase.Atoms
    places : sequence of str
        File and index of each structure.
    key : str
        Name of the entry, or "file".

    Raises
    ------
    ValueError
        If some structures have no such entry.
    """
    infos = [getattr(structure, "info", {}) for structure in structures]
    lacking = [k for k, info in enumerate(infos) if key not in info]
    if key == BY_FILE and len(lacking) == len(infos):
        return np.array([place.rpartition(", structure ")[0] for place in places])
    if lacking:
        names = sorted({str(name) for info in infos for name in info})
        raise ValueError(
            f"{len(lacking)} of {len(infos)} structures have no {key!r}, the first "
            f"{places[lacking[0]]}. Their entries are: {', '.join(names[:20]) or 'none'}; "
            f"{BY_FILE!r} takes the files as groups."
        )
    return np.array([str(info[key]) for info in infos])


def split_by_groups(groups, fraction, rng):
    """Split structures in two, without dividing groups.

    Parameters
    ----------
    groups : ndarray of shape (n_structures,)
    fraction : float
        Wanted share of the second part; groups are added in random order where they bring its
        size closer to that.
    rng : numpy.random.Generator

    Returns
    -------
    rest, chosen : ndarray of int
        Sorted indices.

    Raises
    ------
    ValueError
        If there is a single group.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ednn.atoms._structure_groups import split_by_groups
    >>> groups = np.repeat(["bulk", "slab", "melt"], [4, 4, 2])
    >>> rest, chosen = split_by_groups(groups, 0.2, np.random.default_rng(0))
    >>> set(groups[rest]) & set(groups[chosen])
    set()
    """
    names, which, counts = np.unique(groups, return_inverse=True, return_counts=True)
    wanted = fraction * len(groups)
    if fraction == 0:
        return np.arange(len(groups)), np.zeros(0, dtype=int)
    if len(names) < 2:
        raise ValueError(
            f"Groups are held out as a whole, but all {len(groups)} structures are of one, "
            f"{str(names[0])!r}."
        )
    order, taken, size = rng.permutation(len(names)), [], 0
    for group in order:
        if abs(size + counts[group] - wanted) < abs(size - wanted):
            taken.append(group)
            size += counts[group]
    if not taken:  # all are larger than twice the share
        taken = [order[np.argmin(counts[order])]]
    is_chosen = np.isin(which, taken)
    if is_chosen.all():
        is_chosen = which != order[-1]
    return np.flatnonzero(~is_chosen), np.flatnonzero(is_chosen)
