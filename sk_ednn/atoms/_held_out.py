"""Errors of a potential on structures held out of its fit, and the intervals that follow."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..estimators._held_out_errors import HeldOutErrors

# Of forces the median of structures is compared: a third of those of a structure are larger anyway.
_OF_FORCES = 0.5


class HeldOut(NamedTuple):
    """Errors of energies and forces on structures held out.

    Attributes
    ----------
    energies : HeldOutErrors, in eV
    forces : HeldOutErrors or None, in eV/Å
        Root mean squares over each structure; None if no forces are known, or for a single network.
    """

    energies: HeldOutErrors
    forces: HeldOutErrors | None


def held_out_errors(measured, reach=None) -> HeldOut:
    """Return the errors of structures with known energies.

    Parameters
    ----------
    measured : Measured
        Of structures held out, with their novelty if it is known.
    reach : float, default=None, in Å
        Radius of the surroundings of an atom; None for models of images.
    """
    data, std = measured.data, measured.std
    sizes = data.structures.sizes
    energies = HeldOutErrors.of(
        data.energies, measured.predicted.energies, sizes,
        std=None if std is None else std.energies, novelty=mean_novelty(measured.novelty),
        widths=relative_widths(data.structures, reach),
    )  # fmt: skip
    if std is None or std.forces is None:
        return HeldOut(energies, None)
    errors = 1e-3 * measured.by_structure()["force_rmse"]
    squares = np.bincount(data.structures.owners, (std.forces**2).mean(axis=1), len(sizes)) / sizes
    known = np.where(np.isnan(errors), np.nan, 0.0)
    errors = np.where(np.isnan(errors), 0.0, errors)
    return HeldOut(energies, HeldOutErrors.of(known, errors, sizes, std=np.sqrt(squares)))


def mean_novelty(novelty) -> np.ndarray | None:
    """Return the mean over the atoms of each structure of their novelty, at least 1 for each.

    Energies are sums over atoms, and errors of atoms with known surroundings are as usual.

    Parameters
    ----------
    novelty : list of ndarray of shape (n_atoms,), or None
    """
    if novelty is None:
        return None
    return np.array([np.maximum(each, 1.0).mean() if len(each) else 1.0 for each in novelty])


def relative_widths(structures, reach) -> np.ndarray | None:
    """Return the widths of cells in units of the reach of a potential; None without one.

    Parameters
    ----------
    structures : Structures
    reach : float or None, in Å
    """
    return None if reach is None else structures.widths / reach


def std_factors(potential) -> dict[str, float]:
    """Return by how much deviations over the members of a potential are too small.

    Parameters
    ----------
    potential : EDNNPotential

    Returns
    -------
    dict of str to float
        ``"energy"`` and ``"forces"``; one is left out if it is not known.
    """
    of_energies = getattr(potential, "held_out_", None)
    of_forces = getattr(potential, "held_out_forces_", None)
    found = {
        "energy": None if of_energies is None else of_energies.std_factor(),
        "forces": None if of_forces is None else of_forces.std_factor(_OF_FORCES),
    }
    return {name: float(factor[0]) for name, factor in found.items() if factor is not None}


def scaled(std, factors):
    """Return deviations of a committee times the factors that errors held out show.

    Parameters
    ----------
    std : Prediction
    factors : dict of str to float
        Result of `std_factors`.
    """
    energies = std.energies * factors.get("energy", 1.0)
    forces = None if std.forces is None else std.forces * factors.get("forces", 1.0)
    return std._replace(energies=energies, forces=forces)
