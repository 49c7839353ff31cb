"""Structures as those of ASE, labels by its calculators, and files of its formats."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .._utils.optional import needing
from .._utils.writing import replacing_path
from ..structures import Structure
from ..structures._write import require_format, write_structures
from ._label import Label

with needing("Structure search"):
    import ase.db
    from ase import Atoms
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.constraints import FixAtoms
    from ase.filters import UnitCellFilter
    from ase.optimize import BFGS


def to_atoms(structure, label=None):
    """Return a structure as ``ase.Atoms``, which carry the label where there is one."""
    atoms = Atoms(structure.numbers, structure.positions, cell=structure.cell, pbc=structure.pbc)
    if label is not None:
        results = {"energy": label.energy, "forces": label.forces}
        if label.stress is not None:
            xx, yy, zz = np.diag(label.stress)
            results["stress"] = np.array(
                [xx, yy, zz, label.stress[1, 2], label.stress[0, 2], label.stress[0, 1]]
            )
        results = {name: values for name, values in results.items() if values is not None}
        atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms


def label_of(atoms) -> Label:
    """Return the energy, the forces and, if it has one, the stress of the calculator of atoms."""
    stress = None
    # Also for a sheet: its stress times the volume of the cell does not depend on the vacuum.
    if np.any(atoms.pbc) and atoms.cell.rank == 3:
        try:
            stress = atoms.get_stress(voigt=False)
        except NotImplementedError:
            stress = None
    converged = getattr(atoms.calc, "converged", True)
    return Label(
        float(atoms.get_potential_energy()),
        np.array(atoms.get_forces()),
        None if stress is None else np.array(stress),
        bool(converged() if callable(converged) else converged),
    )


def export(store, path, state="labelled") -> int:
    """Write the structures of a search, with their labels, to a file of ASE.

    Parameters
    ----------
    store : SearchStore
    path : path-like
        ``.db`` for a database of ASE, else any format that ASE writes, such as ``.extxyz``. The
        file must not exist.
    state : str, default="labelled"

    Returns
    -------
    int
        Number of structures written.

    Raises
    ------
    FileExistsError
        If there is a file of this name.
    """
    path = Path(path)
    if path.exists():
        raise FileExistsError(f"{path} exists. Give another name, or remove it first.")
    require_format(path, several=True)
    rows = store.structures(state)
    atoms = [to_atoms(row["structure"], row["label"]) for row in rows]
    if path.suffix == ".db":
        with replacing_path(path) as temporary, ase.db.connect(temporary) as database:
            for row, each in zip(rows, atoms, strict=True):
                database.write(each, origin=row["origin"], search_id=row["id"])
        return len(rows)
    for row, each in zip(rows, atoms, strict=True):
        each.info.update(origin=row["origin"], search_id=row["id"])
    write_structures(path, atoms)
    return len(rows)


class _Evaluated:
    """Calculator of ASE's optimisers for a surrogate.

    No `Calculator`: the comparisons of atoms there cost more than small structures themselves.
    """

    def __init__(self, evaluate):
        self._evaluate = evaluate
        self._key = self.last = None

    def get_potential_energy(self, atoms=None, force_consistent=False):
        return self._of(atoms).energy

    def get_forces(self, atoms):
        return self._of(atoms).forces

    def get_stress(self, atoms):
        result = self._of(atoms)
        return (result.strain / atoms.get_volume())[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]

    def _of(self, atoms):
        key = atoms.positions.tobytes(), atoms.cell.array.tobytes()
        if key != self._key:
            structure = Structure(
                atoms.numbers.copy(), atoms.positions.copy(), np.array(atoms.cell), atoms.pbc.copy()
            )
            self.last = structure, self._evaluate(structure)
            self._key = key
        return self.last[1]


def bfgs_steps(structure, evaluate, variable_cell, max_force, max_steps, pressure, n_fixed):
    """Yield (structure, evaluation, converged) for each step of BFGS, the first one included."""
    atoms = to_atoms(structure)
    atoms.set_constraint(FixAtoms(range(n_fixed)) if n_fixed else None)
    x, y, z = atoms.pbc.tolist()
    atoms.calc = _Evaluated(evaluate)
    target = atoms
    if variable_cell:
        # FrechetCellFilter needs 9 ms a step for logarithms of matrices: more than a surrogate.
        mask = [x, y, z, y and z, x and z, x and y]
        target = UnitCellFilter(atoms, mask=mask, scalar_pressure=pressure)
    with BFGS(target, logfile=None, maxstep=0.2) as optimizer:
        for converged in optimizer.irun(fmax=max_force, steps=max_steps):
            yield (*atoms.calc.last, bool(converged))
            if converged:
                return
