"""Labelled structures for the tests of potentials: atoms of two species under a pair potential."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from sk_ednn.structures import Structures
from tests._potentials import CUTOFF, morse, structure


def labelled_atoms(n=12, seed=0, n_atoms=4, pbc="periodic", names=("energy", "forces", "stress")):
    """Return random structures of Si and Au as `ase.Atoms` with their labels."""
    rng = np.random.default_rng(seed)
    atoms = [Atoms(**structure(rng, "cubic", pbc, n=n_atoms)) for _ in range(n)]
    return [with_labels(each, names) for each in atoms]


def with_labels(atoms, names=("energy", "forces", "stress"), cutoff=CUTOFF):
    """Attach the energy, forces and stress of the pair potential."""
    energies, forces, stress = morse(Structures.of([atoms]), cutoff)
    results = {"energy": energies[0], "forces": forces, "stress": stress[0]}
    atoms.calc = SinglePointCalculator(atoms, **{name: results[name] for name in names})
    return atoms
