"""Errors of a potential on labelled structures."""

from __future__ import annotations

import numpy as np

# eV/Å³ in GPa.
GPA = 160.21766208


def potential_errors(potential, structures, labels) -> dict[str, float]:
    """Return the errors of known labels, in customary units.

    Parameters
    ----------
    potential : AtomicPotential
    structures : Structures
    labels : PotentialLabels

    Returns
    -------
    dict of str to float
        ``energy_mae``, ``energy_median`` and ``energy_rmse`` in meV per atom, ``force_mae`` and
        ``force_rmse`` in meV/Å, ``stress_mae`` and ``stress_rmse`` in GPa, and the squared losses
        ``energy_loss``, ``force_loss``, ``stress_loss`` as a training counts them.
    """
    has = {
        "energy": not np.isnan(labels.energies).all(),
        "force": not np.isnan(labels.forces).all(),
        "stress": not np.isnan(labels.stress).all(),
    }
    predicted = potential.predict(structures, forces=has["force"], stress=has["stress"])
    out: dict[str, float] = {}
    sizes = structures.sizes
    if has["energy"]:
        error = predicted.energies - labels.energies
        out["energy_loss"] = float(np.nanmean(error**2 / sizes))
        size = 1e3 * np.abs(error / sizes)
        out["energy_mae"], out["energy_median"] = float(np.nanmean(size)), float(np.nanmedian(size))
        out["energy_rmse"] = float(np.sqrt(np.nanmean(size**2)))
    if has["force"]:
        error = predicted.forces - labels.forces
        out["force_loss"] = float(np.nanmean(error**2))
        out["force_mae"] = 1e3 * float(np.nanmean(np.abs(error)))
        out["force_rmse"] = 1e3 * float(np.sqrt(out["force_loss"]))
    if has["stress"]:
        error = predicted.stress - labels.stress
        virial = error * structures.volumes[:, None]
        out["stress_loss"] = float(np.nanmean(virial**2 / sizes[:, None]))
        out["stress_mae"] = GPA * float(np.nanmean(np.abs(error)))
        out["stress_rmse"] = GPA * float(np.sqrt(np.nanmean(error**2)))
    return out
