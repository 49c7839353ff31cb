"""Random structures, and new ones made of good ones, by the operators of ase-ga."""

from __future__ import annotations

import numpy as np

from .._utils.optional import needing
from ..structures import Structure
from ._ase import to_atoms

with needing("Structure search"):
    from ase import Atoms
    from ase.data import covalent_radii
    from ase_ga.cutandsplicepairing import CutAndSplicePairing
    from ase_ga.standardmutations import PermutationMutation, RattleMutation, StrainMutation
    from ase_ga.startgenerator import StartGenerator
    from ase_ga.utilities import CellBounds, closest_distances_generator

# Share of a cell that spheres of the covalent radii fill, between diamond's and that of metals.
_FILLING = 0.5
# Vacuum on each side of a cluster's box, Å; nothing depends on it.
_VACUUM = 5.0
_MOST_TRIES = 200


class Operators:
    """Make structures of one composition.

    Parameters
    ----------
    numbers : sequence of int
        Atomic numbers.
    kind : {"crystal", "cluster"}
        Repeating along all axes in a cell that varies, or free.
    volume : float, default=None, in Å³ per atom
        Of random cells, within 30 %; None for that of the covalent radii.
    closeness : float, default=0.7
        No two atoms are closer than this share of the sum of their covalent radii.

    Attributes
    ----------
    names : tuple of str
        What `make` makes of parents.
    """

    def __init__(self, numbers, kind, *, volume=None, closeness=0.7):
        self.numbers = np.sort(np.asarray(numbers, dtype=int))
        self.kind = kind
        species = np.unique(self.numbers).tolist()
        self._closest = closest_distances_generator(species, closeness)
        if volume is None:
            spheres = 4.0 / 3.0 * np.pi * covalent_radii[self.numbers] ** 3
            volume = float(spheres.mean()) / _FILLING
        self.volume = volume
        self.names = ("again", "cut_and_splice", "rattle")
        if kind == "crystal":
            self.names += ("strain",)
        if len(species) > 1:
            self.names += ("permutation",)

    @property
    def n_cell_vectors(self) -> int:
        """Number of lattice vectors that vary."""
        return 3 if self.kind == "crystal" else 0

    def shortest(self, closeness) -> float:
        """Return the least sum of two covalent radii times a factor, in Å."""
        return 2.0 * closeness * float(covalent_radii[self.numbers].min())

    def n_parents(self, name) -> int:
        """Return the number of structures that an operator makes one of."""
        return {"start": 0, "cut_and_splice": 2}.get(name, 1)

    def make(self, name, parents, rng):
        """Make a structure.

        Parameters
        ----------
        name : str
            "start" for a random one, or one of `names`; "again" returns the parent.
        parents : sequence of Structure
        rng : RandomState

        Returns
        -------
        Structure or None
            None where the operator finds none in which atoms keep their distance.
        """
        if name == "start":
            return self._start(rng)
        atoms = [self._boxed(to_atoms(parent)) for parent in parents]
        if name == "again":
            return _structure(atoms[0])
        if name == "cut_and_splice":
            child = self._pairing(rng).cross(*atoms)
        else:
            child = self._mutation(name, rng).mutate(atoms[0])
        return None if child is None else _structure(child)

    def _start(self, rng):
        n = len(self.numbers)
        volume = n * self.volume * rng.uniform(0.7, 1.3)
        blocks = [(int(z), int(np.sum(self.numbers == z))) for z in np.unique(self.numbers)]
        edge = volume ** (1 / 3)
        if self.kind == "crystal":
            generator = StartGenerator(
                Atoms(cell=np.eye(3), pbc=True), blocks, self._closest, 3, box_volume=volume,
                cellbounds=self._bounds(edge), test_too_far=False, rng=rng,
            )  # fmt: skip
        else:
            corner = np.full(3, (self._box - edge) / 2)
            generator = StartGenerator(
                Atoms(cell=self._box * np.eye(3), pbc=False), blocks, self._closest,
                box_to_place_in=[corner, edge * np.eye(3)], test_too_far=False, rng=rng,
            )  # fmt: skip
        atoms = generator.get_new_candidate(maxiter=_MOST_TRIES)
        return None if atoms is None else _structure(atoms)

    def _pairing(self, rng):
        n = len(self.numbers)
        slab = Atoms(cell=np.eye(3), pbc=self.kind == "crystal")
        if self.kind == "cluster":
            slab.cell[:] = self._box * np.eye(3)
        return CutAndSplicePairing(
            slab, n, self._closest, self.n_cell_vectors, cellbounds=self._bounds(), rng=rng
        )

    def _mutation(self, name, rng):
        n = len(self.numbers)
        if name == "rattle":
            return RattleMutation(self._closest, n, rng=rng)
        if name == "permutation":
            return PermutationMutation(n, blmin=self._closest, rng=rng)
        return StrainMutation(self._closest, cellbounds=self._bounds(), rng=rng)

    @property
    def _box(self) -> float:
        """Edge of the box of a cluster, the same for all, in Å."""
        return (1.3 * len(self.numbers) * self.volume) ** (1 / 3) + 2 * _VACUUM

    def _boxed(self, atoms):
        if self.kind == "cluster":
            atoms.cell[:] = self._box * np.eye(3)
            atoms.center()
        return atoms

    def _bounds(self, edge=None):
        edge = (len(self.numbers) * self.volume) ** (1 / 3) if edge is None else edge
        lengths = [0.4 * edge, 2.5 * edge]
        angles = [35, 145]
        return CellBounds(
            {"phi": angles, "chi": angles, "psi": angles, "a": lengths, "b": lengths, "c": lengths}
        )


def numbers_of(composition) -> np.ndarray:
    """Return the atomic numbers of a composition, a formula or a dict of counts."""
    if isinstance(composition, str):
        return np.sort(Atoms(composition).numbers)
    symbols = [symbol for symbol, count in composition.items() for _ in range(count)]
    return np.sort(Atoms(symbols).numbers)


def _structure(atoms) -> Structure:
    # By number, so that all structures of a composition list their atoms alike.
    order = np.argsort(atoms.numbers, kind="stable")
    return Structure(
        atoms.numbers[order].astype(np.int64), atoms.positions[order].copy(),
        np.array(atoms.cell), atoms.pbc.copy(),
    )  # fmt: skip
