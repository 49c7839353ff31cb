"""Digests of the structures of a fit, by which they are recognised later."""

from __future__ import annotations

import hashlib

import numpy as np

# Decimals of positions and cells in Å that are compared: the same structure in another format.
_DECIMALS = 3


def digests_of(structures) -> np.ndarray:
    """Return a digest of each structure, without its labels.

    Parameters
    ----------
    structures : Structures

    Returns
    -------
    ndarray of int64 of shape (n_structures,)

    Examples
    --------
    >>> from sk_ednn.atoms._known_structures import digests_of
    >>> from sk_ednn.structures import Structures
    >>> pair = {"numbers": [6, 6], "positions": [[0, 0, 0], [0, 0, 1.4]], "pbc": False}
    >>> moved = pair | {"positions": [[0, 0, 0], [0, 0, 1.5]]}
    >>> first, same, other = digests_of(Structures.of([pair, pair, moved]))
    >>> bool(first == same), bool(first == other)
    (True, False)
    """
    return np.array([_digest(structure) for structure in structures], dtype=np.int64)


def _digest(structure) -> int:
    digest = hashlib.blake2b(digest_size=8)
    for values in (structure.numbers, structure.pbc):
        digest.update(np.asarray(values, dtype="<i8").tobytes())
    for values in (structure.positions, structure.cell):
        # In integers, since there are two zeros.
        digest.update(np.rint(np.asarray(values) * 10.0**_DECIMALS).astype("<i8").tobytes())
    return int.from_bytes(digest.digest(), "little", signed=True)
