"""The bundled sheets of carbon, boron and nitrogen."""

from importlib.resources import as_file, files

import numpy as np
from sklearn.utils import Bunch
from sklearn.utils._param_validation import StrOptions, validate_params

from ._structures import assemble, split

_KINDS = ("graphene", "boron_nitride", "heterostructure")
_FILES = {"small": "sheets.npz", "large": "sheets_large.npz"}
_UNITS = {
    "positions": "Å",
    "cells": "Å",
    "energies": "eV",
    "energies_t0": "eV",
    "forces": "eV/Å",
    "amplitudes": "Å (mode 0) or K (mode 1)",
}


@validate_params(
    {
        "cells": [StrOptions(set(_FILES))],
        "subset": [StrOptions({"all", *_KINDS})],
        "as_ase": ["boolean"],
        "return_X_y": ["boolean"],
    },
    prefer_skip_nested_validation=True,
)
def load_sheets(*, cells="small", subset="all", as_ase=False, return_X_y=False):
    """Load sheets of graphene, boron nitride and both, with energies and forces.

    4,655 cells of 12.5 by 13.0 Å with 0 to 4 vacancies, and 21 larger cells of the same kind to
    test transfer. Computed with GFN1-xTB for this project, as the counterpart of the hexagonal
    sheets of Mills et al. 2019 (Fig. 5). See ``DESCR``.

    Parameters
    ----------
    cells : {"small", "large"}, default="small"
        The 4,655 cells, or the 21 larger ones, which have the size of 2 by 1, 1 by 2, 2 by 2 and 3
        by 1 of these.

    subset : {"all", "graphene", "boron_nitride", "heterostructure"}, default="all"
        The kind of sheet.

    as_ase : bool, default=False
        Whether structures are `ase.Atoms`, which needs ASE, or Bunches of ``numbers``,
        ``positions`` and ``cell``.

    return_X_y : bool, default=False
        Return ``(structures, energies)`` instead of a `Bunch`.

    Returns
    -------
    data : Bunch
        structures : list of n_structures Bunch or ase.Atoms
            Structures for `sk_ednn.atoms.GaussianRasterizer`.

        numbers : list of n_structures ndarray of shape (n_atoms,), uint8
            Atomic numbers: 5, 6 or 7.

        positions : list of n_structures ndarray of shape (n_atoms, 2), float32, in Å
            x and y; the sheets are flat.

        forces : list of n_structures ndarray of shape (n_atoms, 2), float32, in eV/Å
            On each atom.

        energies : ndarray of shape (n_structures,), float64, in eV
            Mermin free energies; the forces are their negative gradients.

        energies_t0 : ndarray of shape (n_structures,), float64, in eV
            Extrapolated to 0 K.

        cells : ndarray of shape (n_structures, 3), float64, in Å
            Edges of the orthogonal cells; periodic in x and y.

        repeats : ndarray of shape (n_structures, 2), int8
            Size in cells of 12.5 by 13.0 Å.

        kinds : ndarray of shape (n_structures,), int8
            Index into `kind_names`.

        kind_names : list of str
            Description of each kind.

        n_vacancies : ndarray of shape (n_structures,), int8
            Number of removed atoms.

        modes : ndarray of shape (n_structures,), int8
            How atoms were displaced: 0 independently, 1 by molecular dynamics.

        amplitudes : ndarray of shape (n_structures,), float32
            Standard deviation in Å (mode 0), or temperature in K (mode 1).

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
    >>> from sk_ednn.datasets import load_sheets
    >>> sheets = load_sheets(subset="graphene")
    >>> pristine = sheets.n_vacancies == 0
    >>> print(f"{sheets.energies[pristine].min() / 60:.2f} eV per atom")
    -57.82 eV per atom
    """
    folder = files(__package__) / "data"
    with as_file(folder / _FILES[cells]) as path, np.load(path, allow_pickle=False) as stored:
        stored = {name: stored[name] for name in stored.files}
    chosen = (
        slice(None) if subset == "all" else np.flatnonzero(stored["kind"] == _KINDS.index(subset))
    )

    def parts(name):
        every = split(stored[name], stored["offsets"])
        return every if subset == "all" else [every[k] for k in chosen]

    numbers, positions = parts("numbers"), parts("positions")
    edges, energies = stored["cell"][chosen], stored["energy"][chosen]
    structures = assemble(numbers, positions, edges, as_ase=as_ase)
    if return_X_y:
        return structures, energies
    return Bunch(
        structures=structures,
        numbers=numbers,
        positions=positions,
        forces=parts("forces"),
        energies=energies,
        energies_t0=stored["energy_t0"][chosen],
        cells=edges,
        repeats=stored["repeats"][chosen],
        kinds=stored["kind"][chosen],
        kind_names=list(_KINDS),
        n_vacancies=stored["n_vacancies"][chosen],
        modes=stored["mode"][chosen],
        amplitudes=stored["amplitude"][chosen],
        units=dict(_UNITS),
        DESCR=(folder / "sheets.rst").read_text(encoding="utf-8"),
    )
