"""The bundled electron densities of hydrogen."""

from importlib.resources import as_file, files

import numpy as np
from sklearn.utils import Bunch
from sklearn.utils._param_validation import StrOptions, validate_params

from ..structures import Density

_SPACING = 0.5  # Å
_UNITS = {"densities": "e/Å^3", "energies": "eV", "positions": "Å"}


@validate_params(
    {"cells": [StrOptions({"small", "large"})], "return_X_y": ["boolean"]},
    prefer_skip_nested_validation=True,
)
def load_hydrogen(*, cells="small", return_X_y=False):
    """Load electron densities of hydrogen molecules with their energies.

    160 cubic cells of 6 Å with 2 to 5 molecules, and 4 of 12 Å with 20 to 36. Computed for this
    project with GPAW 22.8 in the local density approximation; see ``DESCR``.

    Parameters
    ----------
    cells : {"small", "large"}, default="small"

    return_X_y : bool, default=False
        Return ``(densities, energies)`` instead of a `Bunch`.

    Returns
    -------
    data : Bunch
        densities : list of n_cells Density, in e/Å^3
            All-electron densities smoothed by a Gaussian of 0.3 Å, on points 0.5 Å apart.

        energies : ndarray of shape (n_cells,), in eV
            Relative to free, spin-paired atoms; at the gamma point.

        denser_energies : ndarray of shape (n_denser,), in eV
            Energies of the first small cells, with 2 × 2 × 2 k-points: those of the gamma point
            in a cell of eight times the volume. Empty for "large".

        positions : list of n_cells ndarray of shape (n_atoms, 3), float32, in Å

        n_atoms : ndarray of shape (n_cells,)

        units : dict

        DESCR : str

    Notes
    -----
    Energies at the gamma point are not extensive: those of the small cells are 12.5 meV/atom too
    high on average, as `denser_energies` show. A model fitted to them predicts too high energies of
    large cells.

    Examples
    --------
    >>> from sk_ednn.datasets import load_hydrogen
    >>> small = load_hydrogen()
    >>> print(f"{small.n_atoms[0]} atoms, {small.densities[0].integral:.2f} electrons")
    10 atoms, 10.00 electrons
    >>> n = len(small.denser_energies)
    >>> shift = (small.denser_energies - small.energies[:n]) / small.n_atoms[:n]
    >>> print(f"{1e3 * shift.mean():.1f} meV/atom")
    -12.5 meV/atom
    """
    folder = files(__package__) / "data"
    with as_file(folder / "hydrogen.npz") as path, np.load(path, allow_pickle=False) as stored:
        part = {
            key.removeprefix(f"{cells}_"): stored[key]
            for key in stored.files
            if key.startswith(f"{cells}_")
        }
    low, high = part["range"]
    values = low + (high - low) / 65535 * part["density"].astype(np.float64)
    voxel = _SPACING * np.eye(3)
    densities = [Density(each, voxel) for each in values]
    if return_X_y:
        return densities, part["energy"]
    return Bunch(
        densities=densities,
        energies=part["energy"],
        denser_energies=part.get("denser", np.zeros(0)),
        positions=np.split(part["positions"], np.cumsum(part["n_atoms"])[:-1]),
        n_atoms=part["n_atoms"],
        units=dict(_UNITS),
        DESCR=(folder / "hydrogen.rst").read_text(encoding="utf-8"),
    )
