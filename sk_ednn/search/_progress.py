"""The state of a search: its structures and labels, and the best ones of each composition."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from ._fingerprint import Fingerprint
from ._hull import ConvexHull
from ._label import as_structure
from ._operator_record import FLOORS, OperatorRecord
from ._pool import Member, StructurePool
from ._result import HullPoint

# Origin of the user's own structures.
GIVEN = "given"


@dataclass
class Group:
    """Operators that make structures of one composition, and the best ones so far."""

    operators: Any
    pool: StructurePool


class SearchProgress:
    """The state of a search, as read from its file and as it is extended.

    Parameters
    ----------
    search : StructureSearch
    store : SearchStore
        Structures that are in it are read at once.

    Attributes
    ----------
    groups : dict of tuple of int to Group
        One for each composition, by its sorted atomic numbers.
    n_fixed : int
        Atoms of the substrate, which are the first ones of each structure.
    rows : dict of int to dict
        Structures by their number in the file.
    fingerprints : list of ndarray
        Fingerprints of all structures, those without a label included.
    given : list of Structure
        The user's own structures, as those that are made.
    waiting : list of int
        Structures that are to be labelled.
    record : OperatorRecord
    """

    def __init__(self, search, store):
        from ._ase_ga import Operators, compositions_of

        self.store = store
        substrate = None if search.substrate is None else as_structure(search.substrate)
        self.groups: dict[tuple, Group] = {}
        for numbers in compositions_of(search.composition):
            operators = Operators(
                numbers, search.kind, volume=search.volume, substrate=substrate,
                thickness=search.thickness, symmetric=search.starts == "symmetric",
            )  # fmt: skip
            pool = StructurePool(search.pool_size)
            self.groups[tuple(operators.numbers.tolist())] = Group(operators, pool)
        self.given = [
            self._admitted(k, as_structure(one)) for k, one in enumerate(search.initial_structures)
        ]
        self.n_fixed = 0 if substrate is None else len(substrate.numbers)
        fixed = [] if substrate is None else substrate.numbers.tolist()
        self.fingerprint = Fingerprint([*(z for key in self.groups for z in key), *fixed])
        names = dict.fromkeys(n for g in self.groups.values() for n in g.operators.names)
        self.record = OperatorRecord(
            [*names, *(["transmute"] if len(self.groups) > 1 else [])], floors=FLOORS
        )
        self.rows, self.fingerprints, self.waiting = {}, [], []
        self._hull: ConvexHull | None = None
        self._read()

    def _admitted(self, k, structure):
        """Check a structure of the user; return it in the form of generated ones."""
        n_fixed = next(iter(self.groups.values())).operators.n_fixed
        key = tuple(sorted(structure.numbers[n_fixed:].tolist()))
        # Of another composition: the message is that of the first.
        group = self.groups.get(key) or next(iter(self.groups.values()))
        try:
            return group.operators.admitted(structure)
        except ValueError as error:
            raise ValueError(f"initial_structures[{k}]: {error}.") from error

    def _read(self):
        for row in self.store.structures():
            self._insert(row)
            if row["state"] == "queued":
                self.waiting.append(row["id"])
            elif row["state"] == "labelled":
                self.take_label(row["id"], row["label"])

    # --- adding -------------------------------------------------------------------------------

    def add(self, structure, origin, parents, **predicted) -> int:
        """Store a structure that is to be labelled; return its number."""
        number = self.store.add_structure(structure, origin, parents, **predicted)
        self._insert(
            {"id": number, "structure": structure, "label": None, "origin": origin, **predicted}
        )
        return number

    def _insert(self, row):
        self.rows[row["id"]] = row
        row["fingerprint"] = self.fingerprint(row["structure"])
        # Failed ones too: what is like them fails again.
        self.fingerprints.append(row["fingerprint"])

    def take_label(self, number, label):
        """Add the label of a structure, which may be among the best of its composition."""
        row = self.rows[number]
        row["label"] = label
        member = Member(number, row["structure"], energy_per_atom(row), row["fingerprint"])
        is_better = self.group_of(row["structure"]).pool.add(member)
        self._hull = None
        self.record.add(row["origin"], is_better)

    # --- asking -------------------------------------------------------------------------------

    @property
    def n_asked(self) -> int:
        """Labels requested so far."""
        return len(self.rows)

    @property
    def n_starts(self) -> int:
        """Structures so far that no surrogate chose: random ones, and the user's own."""
        return sum(row["origin"] in ("start", GIVEN) for row in self.rows.values())

    @property
    def n_given(self) -> int:
        """The user's own structures so far."""
        return sum(row["origin"] == GIVEN for row in self.rows.values())

    def labelled(self) -> list:
        """Return the rows that have a label, in the order in which they were chosen."""
        return [row for _, row in sorted(self.rows.items()) if row["label"] is not None]

    def best(self) -> list[Member]:
        """Return the best structure of each composition that has one."""
        return [group.pool.members[0] for group in self.groups.values() if group.pool.members]

    def group_of(self, structure) -> Group:
        """Return the group of the composition of a structure."""
        return self.groups[self._composition(structure)]

    def reference_energy(self, structure) -> float:
        """Return the energy of the hull at a composition, per atom; 0 where there is only one."""
        if len(self.groups) == 1:
            return 0.0
        rows = self.labelled()
        if not rows:
            return 0.0
        if self._hull is None:
            counts = [self._counts(row["structure"]) for row in rows]
            self._hull = ConvexHull(counts, [energy_per_atom(row) for row in rows])
        energy = self._hull.energy(self._counts(structure))
        # Where nothing is known, whatever is found is welcome.
        return energy if np.isfinite(energy) else max(energy_per_atom(row) for row in rows)

    def draw_group(self, rng) -> Group:
        """Return the group of the next structure.

        Large cells have more structures to try, so chances are proportional to the atoms; those of
        elements are doubled, since their energies are the ends of every hull.
        """
        groups = list(self.groups.values())
        if len(groups) == 1:
            return groups[0]
        chances = np.array([len(key) * (2.0 if len(set(key)) == 1 else 1.0) for key in self.groups])
        return groups[rng.choice(len(groups), p=chances / chances.sum())]

    def hull_members(self) -> list[Member]:
        """Return the best structures that no mixture of others beats."""
        best = self.best()
        if len(best) < 2:
            return best
        hull = ConvexHull([self._counts(m.structure) for m in best], [m.energy for m in best])
        return [best[k] for k in hull.vertices()]

    def hull_points(self) -> list[HullPoint]:
        """Return what `hull_members` are made of, and their energies."""
        return [
            HullPoint(dict(Counter(self._composition(m.structure))), m.structure, m.energy)
            for m in self.hull_members()
        ]

    def _composition(self, structure) -> tuple:
        return tuple(sorted(structure.numbers[self.n_fixed :].tolist()))

    def _counts(self, structure) -> list:
        elements = sorted({number for key in self.groups for number in key})
        counts = Counter(self._composition(structure))
        return [counts[element] for element in elements]


def energy_per_atom(row) -> float:
    """Return the energy of a labelled row, in eV per atom."""
    return row["label"].energy / len(row["structure"].numbers)
