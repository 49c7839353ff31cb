"""Structures that are held out, whole groups at a time."""

from __future__ import annotations

import numpy as np

from ...exceptions import TileModelError
from ...fields._in_memory import as_groups


def hold_out(n, fraction, groups, rng):
    """Split structures into those to learn from and those to watch.

    Parameters
    ----------
    n : int
        Structures.
    fraction : float
        Share of the structures, or of the groups.
    groups : array-like of shape (n,) or None
        Structures of one group stay together.
    rng : RandomState

    Returns
    -------
    train, valid : ndarray of int
        Ascending.

    Raises
    ------
    TileModelError
        If nothing would be left on one of the sides.
    """
    labels = (
        np.arange(n) if groups is None else np.unique(as_groups(groups), return_inverse=True)[1]
    )
    if labels.shape != (n,):
        raise TileModelError(f"groups must be of shape ({n},), one per structure.")
    n_groups = int(labels.max()) + 1
    n_held = max(1, round(fraction * n_groups))
    if n_held >= n_groups:
        raise TileModelError(
            f"validation_fraction={fraction} of {n_groups} group(s) leaves nothing to learn "
            "from: use a smaller one, or more groups."
        )
    is_held_out = np.isin(labels, rng.permutation(n_groups)[:n_held])
    return np.flatnonzero(~is_held_out), np.flatnonzero(is_held_out)
