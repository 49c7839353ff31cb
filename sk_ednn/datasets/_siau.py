"""The bundled structures of silicon and gold."""

from importlib.resources import as_file, files

import numpy as np
from sklearn.utils import Bunch
from sklearn.utils._param_validation import StrOptions, validate_params

from .._utils.optional import needing
from ._structures import split

_KINDS = ("element", "compound", "alloy", "packed", "hot crystal", "liquid")
_FILES = {"small": "siau.npz", "large": "siau_large.npz"}
_UNITS = {
    "positions": "Å", "cells": "Å", "energies": "eV", "forces": "eV/Å", "stress": "eV/Å³",
}  # fmt: skip


@validate_params(
    {"cells": [StrOptions(set(_FILES))], "as_ase": ["boolean"], "return_X_y": ["boolean"]},
    prefer_skip_nested_validation=True,
)
def load_siau(*, cells="small", as_ase=False, return_X_y=False):
    """Load structures of silicon and gold in three dimensions, with energies, forces and stresses.

    2,000 cells of 8 to 64 atoms, and 10 of 216 to 448 to test transfer: elements, compounds,
    alloys, random packings, hot crystals and liquids, under a MEAM potential. Computed for this
    project with LAMMPS 22 Jul 2025; see ``DESCR``. The potential is a synthetic reference: good for
    the elements, but only plausible for the alloy.

    Parameters
    ----------
    cells : {"small", "large"}, default="small"

    as_ase : bool, default=False
        Whether structures are `ase.Atoms` that carry their labels, which needs ASE, or Bunches of
        ``numbers``, ``positions`` and ``cell``.

    return_X_y : bool, default=False
        Return ``(structures, energies)`` instead of a `Bunch`.

    Returns
    -------
    data : Bunch
        structures : list of n_structures Bunch or ase.Atoms
            Structures for `sk_ednn.atoms.EDNNPotential`.

        numbers : list of n_structures ndarray of shape (n_atoms,), uint8
            Atomic numbers: 14 or 79.

        positions : list of n_structures ndarray of shape (n_atoms, 3), float32, in Å

        forces : list of n_structures ndarray of shape (n_atoms, 3), float32, in eV/Å

        energies : ndarray of shape (n_structures,), float64, in eV

        stress : ndarray of shape (n_structures, 6), float64, in eV/Å³
            xx, yy, zz, yz, xz, xy, positive under tension.

        cells : ndarray of shape (n_structures, 3, 3), float64, in Å
            Lattice vectors as rows; periodic along all.

        kinds : ndarray of shape (n_structures,), int8
            Index into `kind_names`.

        kind_names : list of str

        parents : ndarray of shape (n_structures,)
            The starting cell or trajectory. Structures of one parent are related: keep them
            together when you split the data.

        units : dict
            Unit of each array, by its name.

        DESCR : str
            Source of the data.

    Raises
    ------
    MissingExtraError
        If `as_ase` and ASE is not installed.

    Examples
    --------
    >>> from sk_ednn.datasets import load_siau
    >>> siau = load_siau()
    >>> len(siau.structures), sum(map(len, siau.numbers))
    (2000, 67710)
    >>> gold = [k for k, numbers in enumerate(siau.numbers) if (numbers == 79).all()]
    >>> print(f"{min(siau.energies[k] / len(siau.numbers[k]) for k in gold):.2f} eV per atom")
    -3.91 eV per atom
    """
    folder = files(__package__) / "data"
    with as_file(folder / _FILES[cells]) as path, np.load(path, allow_pickle=False) as stored:
        stored = {name: stored[name] for name in stored.files}
    numbers, positions, forces = (
        split(stored[name], stored["offsets"]) for name in ("numbers", "positions", "forces")
    )
    parts = zip(numbers, positions, stored["cell"], strict=True)
    structures = [Bunch(numbers=Z, positions=xyz, cell=cell) for Z, xyz, cell in parts]
    if as_ase:
        with needing("as_ase=True", otherwise="Potentials take what as_ase=False returns, too."):
            structures = _as_ase(structures, stored["energy"], forces, stored["stress"])
    if return_X_y:
        return structures, stored["energy"]
    return Bunch(
        structures=structures,
        numbers=numbers,
        positions=positions,
        forces=forces,
        energies=stored["energy"],
        stress=stored["stress"],
        cells=stored["cell"],
        kinds=stored["kind"],
        kind_names=list(_KINDS),
        parents=stored["parent"],
        units=dict(_UNITS),
        DESCR=(folder / "siau.rst").read_text(encoding="utf-8"),
    )


def _as_ase(structures, energies, forces, stress):
    from ase import Atoms
    from ase.calculators.singlepoint import SinglePointCalculator

    made = []
    for k, each in enumerate(structures):
        atoms = Atoms(each.numbers, each.positions, cell=each.cell, pbc=True)
        atoms.calc = SinglePointCalculator(
            atoms, energy=float(energies[k]), forces=forces[k].astype(np.float64), stress=stress[k]
        )
        made.append(atoms)
    return made
