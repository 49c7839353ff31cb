"""Porous graphene: the bundled sheets, or a file of them."""

from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
from sklearn.utils import Bunch
from sklearn.utils._param_validation import StrOptions, validate_params

from ._structures import assemble, split

_CARBON = 6
_FILES = {"small": "porous.npz", "large": "porous_large.npz"}


@validate_params(
    {
        "path": [str, Path, None],
        "cells": [StrOptions(set(_FILES))],
        "as_ase": ["boolean"],
        "return_X_y": ["boolean"],
    },
    prefer_skip_nested_validation=True,
)
def load_porous(path=None, *, cells="small", as_ase=False, return_X_y=False):
    """Load porous graphene sheets.

    Snapshots of flat, porous, thermally moving sheets with their energies: 332 of 35 by 35 Å, and
    34 larger ones to test transfer, of up to 95,987 atoms. Computed with the REBO potential for
    this project, as the counterpart of the porous sheets of Mills et al. 2019 (Fig. 7). See
    ``DESCR``.

    Parameters
    ----------
    path : str or Path, default=None
        None for the sheets that come with the package. Or an ``.npz`` file of others, with
        ``positions`` (n_atoms, 2) of all structures one after another, ``energy`` (n_structures,),
        ``cell`` (n_structures, 3) and ``offsets`` (n_structures + 1,), the first atom of each
        structure. Without ``offsets``, the file is one structure, with ``energy`` of shape () and
        ``cell`` of shape (3,). ``forces`` (n_atoms, 2), ``sheet``, ``snapshot`` and ``nholes``
        (n_structures,) may be absent. All atoms are carbon. In Å, eV and eV/Å.

    cells : {"small", "large"}, default="small"
        Bundled sheets: the small ones, or the larger ones, which are 32 of 70 by 70 Å, one of 175
        by 175 Å and one of 525 by 525 Å.

    as_ase : bool, default=False
        Whether structures are `ase.Atoms` or Bunches, as in `load_sheets`.

    return_X_y : bool, default=False
        Return ``(structures, energies)`` instead of a `Bunch`.

    Returns
    -------
    data : Bunch
        structures : list of n_structures Bunch or ase.Atoms

        numbers : list of n_structures ndarray of shape (n_atoms,), uint8
            Atomic numbers.

        positions : list of n_structures ndarray of shape (n_atoms, 2), in Å
            x and y; the sheets are flat.

        forces : list of n_structures ndarray of shape (n_atoms, 2), in eV/Å, or None
            Forces on each atom; None if the file does not contain them.

        energies : ndarray of shape (n_structures,), float64, in eV
            Total energies.

        cells : ndarray of shape (n_structures, 3), in Å
            Edges of the orthogonal cells; periodic in x and y.

        groups : ndarray of shape (n_structures,), int64
            The sheet of each snapshot. Snapshots of one sheet are correlated: split them with
            `sklearn.model_selection.GroupKFold` or a similar class. Without ``sheet`` in the file,
            each structure is its own group.

        snapshots, n_holes : ndarray of shape (n_structures,), or None
            Index in the trajectory of the sheet, and number of holes of the sheet.

        DESCR : str
            Description of the bundled sheets.

    Raises
    ------
    ValueError
        If the file lacks an array, or the arrays are inconsistent.

    MissingExtraError
        If `as_ase` and ASE is not installed.

    Examples
    --------
    The binding energy grows with the size of a sheet:

    >>> from sk_ednn.datasets import load_porous
    >>> small, large = load_porous(), load_porous(cells="large")
    >>> [len(data.energies) for data in (small, large)]
    [332, 34]
    >>> atoms = [len(numbers) for numbers in large.numbers]
    >>> print(f"{atoms[-1]:,} atoms, {large.energies[-1] / atoms[-1]:.2f} eV each")
    95,987 atoms, -7.19 eV each
    """
    if path is None:
        folder = files(__package__) / "data"
        about = {"DESCR": (folder / "porous.rst").read_text(encoding="utf-8")}
        with as_file(folder / _FILES[cells]) as bundled:
            return _read(bundled, as_ase, return_X_y, about)
    if cells != "small":
        raise ValueError(
            f"cells={cells!r} selects bundled sheets, and does not apply to the file {path}. "
            "Leave out one of the two."
        )
    return _read(path, as_ase, return_X_y, {})


def _read(path, as_ase, return_X_y, about):
    with np.load(path, allow_pickle=False) as stored:
        stored = {name: stored[name] for name in stored.files}
    missing = {"positions", "energy", "cell"} - set(stored)
    if missing:
        raise ValueError(
            f"{path} lacks {', '.join(sorted(missing))}; it has {', '.join(sorted(stored))}. "
            "Expected a file of porous sheets, laid out as in the documentation of load_porous."
        )
    n_atoms = len(stored["positions"])
    offsets = stored.get("offsets", np.array([0, n_atoms]))
    energies = np.atleast_1d(stored["energy"]).astype(np.float64)
    cells = np.atleast_2d(stored["cell"])
    if not len(offsets) - 1 == len(energies) == len(cells) or offsets[-1] != n_atoms:
        raise ValueError(
            f"The arrays of {path} do not fit together: {len(offsets) - 1} structures with "
            f"{offsets[-1]} atoms by offsets, {len(energies)} energies, {len(cells)} cells, "
            f"{n_atoms} positions."
        )
    positions = split(stored["positions"], offsets)
    numbers = split(np.full(n_atoms, _CARBON, dtype=np.uint8), offsets)
    structures = assemble(numbers, positions, cells, as_ase=as_ase)
    if return_X_y:
        return structures, energies

    def by_structure(name):
        return np.atleast_1d(stored[name]) if name in stored else None

    sheet = by_structure("sheet")
    return Bunch(
        structures=structures,
        numbers=numbers,
        positions=positions,
        forces=split(stored["forces"], offsets) if "forces" in stored else None,
        energies=energies,
        cells=cells,
        groups=np.arange(len(energies)) if sheet is None else sheet,
        snapshots=by_structure("snapshot"),
        n_holes=by_structure("nholes"),
        **about,
    )
