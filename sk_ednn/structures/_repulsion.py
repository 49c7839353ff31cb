"""The repulsion of screened nuclei, which every potential approaches at short distances."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ._elements import symbol
from ._neighbors import Environments, neighbor_pairs
from ._stress import stress_of

# Covalent radii in Å from hydrogen to curium: Cordero et al., Dalton Trans. 2008, 2832 (sp3 carbon,
# low-spin iron group).
_RADII = np.array([
    0.31, 0.28, 1.28, 0.96, 0.84, 0.76, 0.71, 0.66, 0.57, 0.58, 1.66, 1.41, 1.21, 1.11, 1.07, 1.05,
    1.02, 1.06, 2.03, 1.76, 1.70, 1.60, 1.53, 1.39, 1.39, 1.32, 1.26, 1.24, 1.32, 1.22, 1.22, 1.20,
    1.19, 1.20, 1.20, 1.16, 2.20, 1.95, 1.90, 1.75, 1.64, 1.54, 1.47, 1.46, 1.42, 1.39, 1.45, 1.44,
    1.42, 1.39, 1.39, 1.38, 1.39, 1.40, 2.44, 2.15, 2.07, 2.04, 2.03, 2.01, 1.99, 1.98, 1.98, 1.96,
    1.94, 1.92, 1.92, 1.89, 1.90, 1.87, 1.87, 1.75, 1.70, 1.62, 1.51, 1.44, 1.41, 1.36, 1.36, 1.32,
    1.45, 1.46, 1.48, 1.40, 1.50, 1.50, 2.60, 2.21, 2.15, 2.06, 2.00, 1.96, 1.90, 1.87, 1.80, 1.69,
])  # fmt: skip
# The universal screening function: coefficients, and rates per screening length.
_SHARES = np.array([0.1818, 0.5099, 0.2802, 0.02817])
_RATES = np.array([3.2, 0.9423, 0.4028, 0.2016])
_SCREENING = 0.8854 * 0.529177  # Å
_EXPONENT = 0.23
_COULOMB = 14.399645  # eV Å: e² / 4πε₀
# Order of the polynomial that takes the repulsion to zero, with two derivatives.
_ORDER = 6


class Repulsion(NamedTuple):
    """Energies of atoms, and their derivatives.

    Attributes
    ----------
    contributions : ndarray of shape (n_atoms,), in eV
        Half the energies of the pairs of an atom.
    positions : ndarray of shape (n_atoms, 3), in eV/Å
        dE/dpositions: minus the forces.
    strain : ndarray of shape (n_structures, 3, 3), in eV
        Stress times volume.
    """

    contributions: np.ndarray
    positions: np.ndarray
    strain: np.ndarray


def screened_repulsion(structures, environments=None) -> Repulsion:
    """Return the repulsion of nuclei that are closer than the sum of their covalent radii.

    The universal potential of Ziegler, Biersack and Littmark, *The Stopping and Range of Ions in
    Solids* (1985), times ``1 − 28 u⁶ + 48 u⁷ − 21 u⁸``, where `u` is the distance over the sum of
    the covalent radii. Energies have two continuous derivatives.

    Parameters
    ----------
    structures : Structures
    environments : Environments, default=None
        All neighbours of all atoms, if they are known. They are used if their cutoff suffices.

    Returns
    -------
    Repulsion

    Raises
    ------
    ValueError
        For elements heavier than curium, whose covalent radii are not known.

    Examples
    --------
    >>> from sk_ednn.structures import Structures, screened_repulsion
    >>> def oxygens(distance):
    ...     positions = [[0.0, 0.0, 0.0], [0.0, 0.0, distance]]
    ...     return {"numbers": [8, 8], "positions": positions, "cell": None, "pbc": False}
    >>> pairs = Structures.of([oxygens(0.4), oxygens(0.8), oxygens(1.3), oxygens(1.4)])
    >>> screened_repulsion(pairs).contributions[::2].round(1)  # of one atom, in eV
    array([166.9,  16.5,   0. ,   0. ])
    """
    numbers = np.unique(structures.numbers)
    if numbers[-1] > len(_RADII):
        raise ValueError(
            f"There is no covalent radius of {symbol(int(numbers[-1]))}, which the repulsion of "
            f"nuclei needs. It is defined up to {symbol(len(_RADII))}: fit without repulsion."
        )
    widest = 2.0 * float(_RADII[numbers - 1].max())
    if environments is None or environments.cutoff < widest:
        environments = neighbor_pairs(structures, widest)
    pairs, distances, reach = _near(environments)
    energies, slopes = _pair_energies(
        pairs.center_numbers[pairs.centers].astype(float), pairs.neighbor_numbers.astype(float),
        distances, reach,
    )  # fmt: skip
    # Each pair is listed from both of its atoms.
    contributions = np.bincount(pairs.centers, 0.5 * energies, structures.n_atoms)
    pull = (0.5 * slopes / distances)[:, None] * pairs.vectors
    return Repulsion(contributions, *pairs.gradient(pull))


def without_repulsion(structures, energies, forces, stress):
    """Return labels less the repulsion; NaN, which is unknown, remains.

    Parameters
    ----------
    structures : Structures
    energies : ndarray of shape (n_structures,), in eV
    forces : ndarray of shape (n_atoms, 3), in eV/Å
    stress : ndarray of shape (n_structures, 6), in eV/Å³

    Returns
    -------
    energies, forces, stress : ndarray
    """
    repulsion = screened_repulsion(structures)
    return (
        energies - np.add.reduceat(repulsion.contributions, structures.offsets[:-1]),
        forces + repulsion.positions,
        stress - stress_of(repulsion.strain, structures.volumes),
    )


def covalent_radii(numbers) -> np.ndarray:
    """Return covalent radii in Å, NaN where they are not known.

    Parameters
    ----------
    numbers : ndarray of int
        Atomic numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ednn.structures._repulsion import covalent_radii
    >>> covalent_radii(np.array([1, 6, 110]))
    array([0.31, 0.76,  nan])
    """
    known = numbers <= len(_RADII)
    return np.where(known, _RADII[np.where(known, numbers, 1) - 1], np.nan)


def _near(environments):
    """Return the pairs that repel, their distances, and the sums of their covalent radii."""
    radii = _RADII[environments.structures.numbers - 1]
    reach = radii[environments.atoms][environments.centers] + radii[environments.neighbors]
    squares = np.einsum("ij,ij->i", environments.vectors, environments.vectors)
    near = np.flatnonzero(squares < reach**2)
    pairs = Environments(
        environments.structures, environments.atoms, environments.centers[near],
        environments.neighbors[near], environments.vectors[near], environments.cutoff,
    )  # fmt: skip
    return pairs, np.sqrt(squares[near]), reach[near]


def _pair_energies(one, other, distances, reach):
    """Return energies of pairs in eV, and their derivatives by the distance."""
    rates = _RATES / (_SCREENING / (one**_EXPONENT + other**_EXPONENT))[:, None]
    parts = _SHARES * np.exp(-rates * distances[:, None])
    screening, slope = parts.sum(1), -(rates * parts).sum(1)
    charge = _COULOMB * one * other / distances
    bare, bare_slope = charge * screening, charge * (slope - screening / distances)
    u, p = distances / reach, _ORDER
    a, b, c = (p + 1) * (p + 2) / 2, p * (p + 2), p * (p + 1) / 2
    taper = 1 - u**p * (a - b * u + c * u**2)
    taper_slope = -(u ** (p - 1)) * (a * p - b * (p + 1) * u + c * (p + 2) * u**2) / reach
    return bare * taper, bare_slope * taper + bare * taper_slope
