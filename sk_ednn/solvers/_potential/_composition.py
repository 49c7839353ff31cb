"""Energies linear in composition: where a potential starts."""

from __future__ import annotations

import numpy as np

from ...exceptions import TileModelError


def composition(structures, numbers) -> np.ndarray:
    """Count the atoms of each species in each structure.

    Parameters
    ----------
    structures : Structures
    numbers : sequence of int
        Atomic numbers, ascending.

    Returns
    -------
    ndarray of shape (n_structures, n_species), float64
    """
    numbers = np.asarray(numbers)
    columns = np.searchsorted(numbers, structures.numbers)
    cells = structures.owners * len(numbers) + columns
    counts = np.bincount(cells, minlength=len(structures) * len(numbers))
    return counts.reshape(len(structures), len(numbers)).astype(np.float64)


def fit_atomic_energies(structures, energies, numbers, sample_weight=None) -> dict[int, float]:
    """Fit an energy per species to the energies of structures, by least squares.

    Energies per atom count alike. Where compositions do not tell species apart, the energies of
    least norm are taken; their sum is right for every composition of the training data.

    Parameters
    ----------
    structures : Structures
    energies : ndarray of shape (n_structures,)
        NaN where not known.
    numbers : sequence of int
        Atomic numbers, ascending.
    sample_weight : ndarray of shape (n_structures,), default=None

    Returns
    -------
    dict of int to float
        In eV; 0 for all where no energy is known.
    """
    numbers = [int(number) for number in numbers]
    has_energy = ~np.isnan(energies)
    if not has_energy.any():
        return dict.fromkeys(numbers, 0.0)
    counts, sizes = composition(structures, numbers)[has_energy], structures.sizes[has_energy]
    root = np.ones(len(sizes)) if sample_weight is None else np.sqrt(sample_weight[has_energy])
    root = root / sizes
    solution = np.linalg.lstsq(counts * root[:, None], energies[has_energy] * root, rcond=1e-10)[0]
    return dict(zip(numbers, solution.tolist(), strict=True))


def check_atomic_energies(energies, numbers) -> dict[int, float]:
    """Return given energies of atoms by atomic number.

    Raises
    ------
    TileModelError
        If a species has none, or one that is not finite.
    """
    energies = {int(number): float(energy) for number, energy in energies.items()}
    missing = [int(number) for number in numbers if int(number) not in energies]
    if missing:
        raise TileModelError(
            f"atomic_energies has no energy for the atomic numbers {missing}; it has "
            f"{sorted(energies)}."
        )
    if not np.isfinite(list(energies.values())).all():
        raise TileModelError(f"atomic_energies must be finite, got {energies}.")
    return energies
