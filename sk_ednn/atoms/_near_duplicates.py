"""Structures that are nearly those of another set, such as neighbouring frames of a trajectory."""

from __future__ import annotations

import numpy as np

# Root mean square displacement in Å and difference of lattice vectors, relative to the longest,
# below which structures are nearly equal: about the vibration of atoms at room temperature.
NEAR, _STRAIN = 0.1, 0.01
# Structures that are looked for, and numbers that are compared at once.
_CHOSEN, _AT_ONCE = 500, 1 << 22


def near_duplicates(structures, others) -> tuple[list[tuple[int, int]], int]:
    """Find structures that are nearly equal to one of other structures.

    Atoms are compared in their order and without a common shift.

    Parameters
    ----------
    structures, others : sequence of ase.Atoms

    Returns
    -------
    pairs : list of (int, int)
        Index of each structure that is, and of the nearest of the others.
    compared : int
        Some structures are compared, spread over all, if there are very many.
    """
    chosen = np.unique(np.linspace(0, len(structures) - 1, _CHOSEN).round().astype(int))
    alike: dict[bytes, list[int]] = {}
    for j, other in enumerate(others):
        alike.setdefault(_kind(other), []).append(j)
    stacks: dict[bytes, tuple] = {}
    pairs = []
    for k in chosen.tolist():
        kind = _kind(structures[k])
        if kind not in alike:
            continue
        if kind not in stacks:
            some = [others[j] for j in alike[kind]]
            stacks[kind] = (
                np.array([each.cell.array for each in some]),
                np.array([each.positions for each in some]),
            )
        nearest = _nearest(structures[k], *stacks[kind])
        if nearest is not None:
            pairs.append((k, alike[kind][nearest]))
    return pairs, len(chosen)


def _kind(structure) -> bytes:
    return structure.numbers.astype(np.int64).tobytes() + bytes(structure.pbc.tolist())


def _nearest(structure, cells, positions) -> int | None:
    """Return the index of the nearest, or None if it is not near."""
    nearest, least = None, NEAR
    cell = structure.cell.array
    size = max(float(np.linalg.norm(cell, axis=1).max()), 1e-12)
    same = np.flatnonzero(np.abs(cells - cell).max(axis=(1, 2)) <= _STRAIN * size)
    step = max(1, _AT_ONCE // max(1, positions[0].size))
    for begin in range(0, len(same), step):
        some = same[begin : begin + step]
        moves = positions[some] - structure.positions
        periodic = structure.pbc & cell.any(axis=1)
        if periodic.any():
            # A common shift first, so that it does not cross the images of some atoms alone.
            moves = moves - moves[:, :1]
            inverse = np.linalg.pinv(cell)
            turns = np.rint(moves @ inverse) * periodic
            moves = moves - turns @ cell
        moves = moves - moves.mean(axis=1, keepdims=True)
        distances = np.sqrt((moves**2).sum(axis=2).mean(axis=1))
        k = int(distances.argmin())
        if distances[k] < least:
            nearest, least = int(some[k]), float(distances[k])
    return nearest
