"""Errors of potentials on labelled structures, in meV/atom, meV/Å and GPa."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ._potential_committee import PotentialCommittee

# eV/Å³ in GPa.
GPA = 160.21766208
_TITLES = {"energy": "energy (meV/atom)", "force": "forces (meV/Å)", "stress": "stress (GPa)"}


class Errors(NamedTuple):
    """Predicted minus true values; NaN for unknown labels.

    Attributes
    ----------
    energies : ndarray of shape (n_structures,), in meV/atom
    forces : ndarray of shape (n_atoms, 3), in meV/Å
    stress : ndarray of shape (n_structures, 6), in GPa
    """

    energies: np.ndarray
    forces: np.ndarray
    stress: np.ndarray


def differences(potential, data):
    """Return the predictions of a potential for labelled structures, and their errors.

    Parameters
    ----------
    potential : AtomicPotential, PotentialCommittee, TiledPotential or DrawnPotential
    data : LabelledStructures

    Returns
    -------
    predicted : Prediction
        Forces and stress are None if no structure has them.
    errors : Errors
    std : Prediction or None
        Standard deviations over the members of a committee.
    """
    has_forces = not np.isnan(data.forces).all()
    has_stress = not np.isnan(data.stress).all() and knows_stress(potential)
    if isinstance(potential, PotentialCommittee):
        predicted, std = potential.predict_with_std(
            data.structures, forces=has_forces, stress=has_stress
        )
    else:
        predicted = potential.predict(data.structures, forces=has_forces, stress=has_stress)
        std = None
    forces, stress = np.full_like(data.forces, np.nan), np.full_like(data.stress, np.nan)
    if has_forces:
        forces = 1e3 * (predicted.forces - data.forces)
    if has_stress:
        stress = GPA * (predicted.stress - data.stress)
    energies = 1e3 * (predicted.energies - data.energies) / data.structures.sizes
    return predicted, Errors(energies, forces, stress), std


def errors_of(potential, data) -> dict[str, float]:
    """Return mean errors; see `EDNNPotential.errors`."""
    return averages(differences(potential, data)[1])


def averages(errors: Errors) -> dict[str, float]:
    """Return mean absolute, median and root mean square errors over known labels."""
    out: dict[str, float] = {}
    for name, values in zip(("energy", "force", "stress"), errors, strict=True):
        size = np.abs(values[~np.isnan(values)])
        if not size.size:
            continue
        out[f"{name}_mae"] = float(size.mean())
        if name == "energy":
            out["energy_median"] = float(np.median(size))
        out[f"{name}_rmse"] = float(np.sqrt(np.mean(size**2)))
    return out


def spreads(data) -> dict[str, float]:
    """Return the errors of the composition alone, with which to compare others.

    Parameters
    ----------
    data : LabelledStructures

    Returns
    -------
    dict of str to float
        ``energy``, in meV/atom: standard deviation of energies from a sum over the species,
        fitted to these structures. ``force``, in meV/Å, and ``stress``, in GPa: root mean squares.
        Unknown labels are left out, and so are energies of too few structures for such a fit.
    """
    out: dict[str, float] = {}
    is_known = ~np.isnan(data.energies)
    species, which = np.unique(data.structures.numbers, return_inverse=True)
    counts = np.zeros((len(data.energies), len(species)))
    np.add.at(counts, (np.repeat(np.arange(len(counts)), data.structures.sizes), which), 1.0)
    sizes = data.structures.sizes[is_known]
    if is_known.any():
        # Per atom, so that large structures do not decide alone.
        shares = counts[is_known] / sizes[:, None]
        per_atom = data.energies[is_known] / sizes
        coefficients, _, rank, _ = np.linalg.lstsq(shares, per_atom, rcond=None)
        # Over the degrees of freedom: a sum over four species fits five structures far better than
        # it would predict others.
        if len(per_atom) > rank:
            rest = per_atom - shares @ coefficients
            out["energy"] = float(1e3 * np.sqrt(np.sum(rest**2) / (len(per_atom) - rank)))
    for name, values, unit in (("force", data.forces, 1e3), ("stress", data.stress, GPA)):
        values = values[~np.isnan(values)]
        if values.size:
            out[name] = float(unit * np.sqrt(np.mean(values**2)))
    return out


def table_of(errors, spreads) -> list[list]:
    """Return a table of errors, None where one is unknown; its first row is the header.

    Parameters
    ----------
    errors : dict of str to dict
        Results of `averages` by part of the data.
    spreads : dict of str to dict
        Results of `spreads` by part of the data.

    Examples
    --------
    >>> from sk_ednn.atoms._potential_errors import table_of
    >>> table_of({"test": {"force_mae": 61.0, "force_rmse": 80.0}}, {"test": {"force": 950.0}})[1]
    ['test, forces (meV/Å)', 61.0, None, 80.0, 950.0]
    """
    rows: list[list] = [["errors", "mean", "median", "rmse", "spread"]]
    for which, values in errors.items():
        for kind, title in _TITLES.items():
            if f"{kind}_mae" in values:
                numbers = [values.get(f"{kind}_{name}") for name in ("mae", "median", "rmse")]
                spread = spreads.get(which, {}).get(kind)
                rows.append([f"{which}, {title}", *numbers, spread])
    return rows


def knows_stress(potential) -> bool:
    """Return True if a potential predicts stresses; models of images need ``adjust > 0``."""
    pipeline = getattr(potential, "pipeline", None)
    return pipeline is None or pipeline.steps[0][1].adjust > 0
