"""Atoms in boxes that are kept up to date while atoms move one by one."""

from __future__ import annotations

from itertools import product

import numpy as np

from ._batch import PackedStructure
from ._bins import bins_of


class CellLists:
    """The atoms of one structure, by the boxes that they are in.

    Parameters
    ----------
    structure : PackedStructure
    width : float
        Least width of a box, in Å. Open axes are cut into boxes that begin where the atoms do;
        atoms that leave them stay in the outermost boxes.
    """

    def __init__(self, structure: PackedStructure, width):
        bins = bins_of(structure, width)
        self.positions = structure.positions.copy()
        self.cell, self.pbc, self.shape = structure.cell, structure.pbc, bins.shape
        self._low, self._span, self._inverse = bins.low, bins.span, bins.inverse
        self._around = list(product(*(range(-n, n + 1) for n in bins.reach.tolist())))
        self._shifts = bins.shifts.copy()
        self._box = bins.box.copy()
        self._members = [
            set(bins.order[a:b].tolist())
            for a, b in zip(bins.offsets[:-1], bins.offsets[1:], strict=True)
        ]

    def move(self, atom, position) -> None:
        """Put an atom at another position."""
        self._members[self._box[atom]].discard(atom)
        self.positions[atom] = position
        place, self._shifts[atom] = self._place(position)
        self._box[atom] = np.ravel_multi_index(place, tuple(self.shape))
        self._members[self._box[atom]].add(atom)

    def near(self, position, cutoff) -> np.ndarray:
        """Return the atoms that are, or have an image, within a cutoff of a position, ascending."""
        place, shift = self._place(position)
        index, positions = self._gathered([place])
        inside = position - shift @ np.where(self.pbc[:, None], self.cell, 0.0)
        distance = np.linalg.norm(positions - inside, axis=1)
        return np.unique(index[distance < cutoff])

    def cluster(self, atoms) -> tuple[np.ndarray, np.ndarray]:
        """Return atoms, then all others and images in the boxes around them, with positions."""
        boxes = {tuple(self._place(self.positions[atom])[0]) for atom in atoms}
        index, positions = self._gathered(sorted(boxes))
        lattice = np.where(self.pbc[:, None], self.cell, 0.0)
        centers = self.positions[atoms] - self._shifts[atoms] @ lattice
        # The requested atoms are among those gathered in the cell itself; they are listed once.
        home = np.isin(index, atoms) & self._in_cell
        return (
            np.concatenate([atoms, index[~home]]),
            np.concatenate([centers, positions[~home]]),
        )

    def _place(self, position):
        scaled = position @ self._inverse
        shift = np.where(self.pbc, np.floor(scaled), 0.0)
        place = (scaled - shift - self._low) / self._span * self.shape
        place = np.clip(place.astype(np.int64), 0, self.shape - 1)
        return tuple(place.tolist()), shift.astype(np.int64)

    def _gathered(self, boxes):
        near = {
            tuple(a + b for a, b in zip(place, step, strict=True))
            for place in boxes
            for step in self._around
        }
        index, turns = [], []
        for place in sorted(near):
            turn, inside = np.divmod(place, self.shape)
            if np.any((turn != 0) & ~self.pbc):
                continue
            members = sorted(self._members[np.ravel_multi_index(inside, tuple(self.shape))])
            index.extend(members)
            turns.extend([turn] * len(members))
        index = np.array(index, dtype=np.int64)
        turns = np.array(turns, dtype=np.int64).reshape(-1, 3)
        self._in_cell = (turns == 0).all(axis=1)
        lattice = np.where(self.pbc[:, None], self.cell, 0.0)
        return index, self.positions[index] + (turns - self._shifts[index]) @ lattice
