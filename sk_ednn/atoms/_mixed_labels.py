"""Doubts about structures whose labels are not of the kind that the labels of the others are.

Data are gathered from several sources. One of them may be in other units, have the gradient in
place of the force, or list forces in another order of the atoms than positions.
"""

from __future__ import annotations

from itertools import permutations, product
from typing import NamedTuple

import numpy as np
from scipy.sparse.csgraph import connected_components

# Factors by which energies of some structures would be in eV.
_TO_EV = {
    "in hartree": 27.2114, "in rydberg": 13.6057, "in kcal/mol": 1 / 23.0605,
    "in kJ/mol": 1 / 96.4853, "in meV": 1e-3, "of the opposite sign": -1.0,
}  # fmt: skip
# By how much other units must reduce residuals of the composition, and structures at least.
_GAIN, _FEW = 0.3, 3
# The least part of forces that a pair potential must explain once some have the other sign, and how
# much more that must be than without. Of liquids, surfaces and alloys it is 0.4 to 0.99; of any of
# them other signs add less than 0.02.
_EXPLAINED, _MORE = 0.4, 1.1
# The most of forces in another order than atoms, and the least of forces that matter, in eV/Å.
_UNRELATED, _MATTERS = 0.1, 0.05
# Correlations of the forces of a structure that is described as well as most others, and is not.
_DESCRIBED, _NOT_DESCRIBED = 0.9, 0.3
# How much more of forces a pair potential must explain once their axes are exchanged.
_MORE_OF_AXES = 1.5
# Net forces beyond this part of those of forces that are independent, and in eV/Å for each atom:
# programs leave less.
_NET, _NET_PER_ATOM = 0.05, 0.02
_ITERATIONS = 50


class PairForces(NamedTuple):
    """Forces of structures, and forces that pair potentials may have.

    Attributes
    ----------
    columns : ndarray of shape (n_components, n_functions)
        Forces of each function of the distance.
    forces : ndarray of shape (n_components,)
    bounds : ndarray of int of shape (n_structures + 1,)
        Where the components of each structure are.
    structures : ndarray of int of shape (n_structures,)
    """

    columns: np.ndarray
    forces: np.ndarray
    bounds: np.ndarray
    structures: np.ndarray


def energies_of_other_units(energies, shares, places):
    """Yield a warning if energies of some structures are those of the others in another unit.

    Energies per atom are nearly linear in the composition, more so once all are in one unit.

    Parameters
    ----------
    energies : ndarray of shape (n_structures,)
        Per atom.
    shares : ndarray of shape (n_structures, n_species)
        Parts of the species.
    places : list of str
    """
    if len(energies) < 2 * _FEW:
        return
    before = _nonlinearity(energies, shares, np.ones_like(energies))
    found = []
    for name, factor in _TO_EV.items():
        for start in _starts(energies, shares, factor):
            other = _assigned(energies, shares, factor, start)
            if min(other.sum(), (~other).sum()) >= _FEW:
                after = _nonlinearity(energies, shares, np.where(other, factor, 1.0))
                found.append((after, name, other))
    after, name, other = min(found, key=lambda each: each[0], default=(np.inf, "", None))
    if after > _GAIN * before or other is None:
        return
    if name == "of the opposite sign" and other.sum() > len(other) / 2:
        other = ~other
    which = np.flatnonzero(other)
    yield (
        f"The energies of {len(which)} of {len(energies)} structures, the first "
        f"{places[which[0]]}, seem to be {name}, and those of the others not: with one unit and "
        "sign they would be "
        f"{before / max(after, 1e-12):.2g} times as linear in the composition. Convert them."
    )


def _nonlinearity(energies, shares, factors) -> float:
    """Return residuals of a fit to the composition, relative to the energies."""
    scaled = energies * factors
    rest = scaled - shares @ np.linalg.lstsq(shares, scaled, rcond=1e-6)[0]
    return float(np.sqrt(rest @ rest / max(scaled @ scaled, np.finfo(float).tiny)))


def _starts(energies, shares, factor):
    """Yield structures that may have the other unit: by a gap, and by their residuals."""
    if factor < 0:
        yield energies > 0
        return
    sizes = np.log(np.maximum(np.abs(energies), 1e-12))
    order = np.argsort(sizes)
    cut = int(np.argmax(np.diff(sizes[order]))) + 1
    small = np.zeros(len(energies), dtype=bool)
    small[order[:cut]] = True
    yield small if factor > 1 else ~small
    # Robust: the energies of most structures are linear in the composition.
    weights = np.ones(len(energies))
    for _ in range(_ITERATIONS):
        root = np.sqrt(weights)
        atomic = np.linalg.lstsq(shares * root[:, None], energies * root, rcond=1e-6)[0]
        rest = np.abs(energies - shares @ atomic)
        weights = 1 / np.maximum(rest, 1e-6 * max(rest.max(), 1e-12))
    expected = shares @ atomic
    yield np.abs(energies * factor - expected) < np.abs(energies - expected)


def _assigned(energies, shares, factor, other) -> np.ndarray:
    for _ in range(_ITERATIONS):
        scaled = np.where(other, factor * energies, energies)
        expected = shares @ np.linalg.lstsq(shares, scaled, rcond=1e-6)[0]
        now = np.abs(energies * factor - expected) < np.abs(energies - expected)
        if (now == other).all():
            break
        other = now
    return other


def forces_of_other_signs(pairs, places):
    """Yield a warning if the forces of some structures are those of the others with other signs.

    Signs are those with which one pair potential explains most of all forces. They maximise the
    norm of a sum of vectors, one for each structure; the leading eigenvector of their products is a
    good start.

    Parameters
    ----------
    pairs : PairForces
    places : list of str
    """
    vectors, power = _vectors(pairs), float(pairs.forces @ pairs.forces)
    if not power:
        return
    products = vectors @ vectors.T
    np.fill_diagonal(products, 0.0)  # of a structure with itself, which agrees with any sign
    signs = np.where(np.linalg.eigh(products)[1][:, -1] >= 0, 1.0, -1.0)
    for _ in range(_ITERATIONS):
        now = np.where(products @ signs >= 0, 1.0, -1.0)
        if (now == signs).all():
            break
        signs = now
    explained = [float(((s @ vectors) ** 2).sum()) / power for s in (np.ones_like(signs), signs)]
    if explained[1] < _EXPLAINED or explained[1] < _MORE * explained[0]:
        return
    # Structures without a common pair of species say nothing about each other.
    n_parts, parts = connected_components(np.abs(products) > 1e-9 * np.abs(products).max())
    for part in range(n_parts):
        if signs[parts == part].sum() < 0:
            signs[parts == part] *= -1
    other = np.sort(pairs.structures[signs < 0])
    if len(other) < _FEW:
        return
    yield (
        f"The forces of {len(other)} of {len(signs)} structures that were compared, the first "
        f"{places[other[0]]}, seem to have the sign opposite to those of the others: a pair "
        f"potential then explains {100 * explained[1]:.0f} % of all forces, and otherwise "
        f"{100 * explained[0]:.0f} %. Forces are negative gradients of the energy."
    )


def forces_along_other_axes(pairs):
    """Yield a warning if forces are those of a pair potential along other axes.

    Parameters
    ----------
    pairs : PairForces
    """
    power = float(pairs.forces @ pairs.forces)
    if not power:
        return
    root = np.linalg.cholesky(_gram(pairs.columns))
    by_axis = pairs.columns.reshape(-1, 3, pairs.columns.shape[1])
    forces = pairs.forces.reshape(-1, 3)
    # sums[i, j] are those of functions along axis i and forces along axis j.
    sums = np.einsum("aif,aj->ijf", by_axis, forces)
    explained = {}
    for axes, signs in product(permutations(range(3)), product((1, -1), repeat=3)):
        if signs[0] < 0:
            continue  # one sign of all forces changes nothing
        total = sum(sign * sums[i, j] for i, (j, sign) in enumerate(zip(axes, signs, strict=True)))
        explained[axes, signs] = float((np.linalg.solve(root, total) ** 2).sum()) / power
    (axes, signs), most = max(explained.items(), key=lambda each: each[1])
    given = explained[(0, 1, 2), (1, 1, 1)]
    if most < _EXPLAINED or most < _MORE_OF_AXES * given:
        return
    names = ", ".join(f"{'-' * (sign < 0)}{'xyz'[j]}" for j, sign in zip(axes, signs, strict=True))
    yield (
        f"The forces seem to be along other axes than the positions: with components {names} in "
        f"place of x, y, z a pair potential explains {100 * most:.0f} % of them, and otherwise "
        f"{100 * given:.0f} %. Check the order and the signs of the components."
    )


def net_forces(data):
    """Yield a warning if forces on all atoms do not add up to 0, as those between atoms do.

    Parameters
    ----------
    data : LabelledStructures
    """
    bounds, sizes = data.structures.offsets[:-1], data.structures.sizes
    # NaN, unknown, if the force on any atom is.
    net = np.linalg.norm(np.add.reduceat(data.forces, bounds), axis=1) / sizes
    scale = np.sqrt(np.add.reduceat((data.forces**2).sum(axis=1), bounds) / sizes)
    wrong = np.flatnonzero(
        (sizes > 1) & (net > _NET_PER_ATOM) & (net * np.sqrt(sizes) > _NET * scale)
    )
    if len(wrong) >= _FEW:
        k = wrong[np.argmax(net[wrong])]
        yield (
            f"The forces of {len(wrong)} structure(s) do not add up to 0, the first "
            f"{data.places[wrong[0]]}; the largest mean force on an atom is {net[k]:.3g} eV/Å, of "
            f"{data.places[k]}. Forces between atoms do: are forces of some atoms missing, set to "
            "0 or those of a field? A potential cannot learn the rest."
        )


def forces_of_other_atoms(pairs, places):
    """Yield a warning if forces have nothing in common with those of pairs of the same atoms.

    Parameters
    ----------
    pairs : PairForces
    places : list of str
    """
    columns, forces, bounds = pairs.columns, pairs.forces, pairs.bounds
    rows = np.diff(bounds)
    kept = np.ones(len(rows), dtype=bool)
    if np.sqrt(np.mean(forces**2)) < _MATTERS:
        return
    for _ in range(3):  # without structures that are described badly, others are described better
        predicted = columns @ _solution(columns, forces, np.repeat(kept, rows))
        correlations, sizes = _correlations(predicted, forces, bounds)
        if kept.all():
            noise = columns.shape[1] / len(forces)
            rest = forces - predicted
            explained = (1 - (rest @ rest) / (forces @ forces) - noise) / (1 - noise)
        kept = correlations > _NOT_DESCRIBED
        if kept.sum() < _FEW:
            break
    if explained < _UNRELATED:
        yield (
            f"A pair potential explains only {max(100 * explained, 0):.1f} % of the forces, and "
            "usually 40 % or more. Do forces belong to these positions, in the order of the atoms?"
        )
        return
    # Small forces are what remains of large ones.
    wrong = (correlations < _NOT_DESCRIBED) & (sizes > 0.3 * np.median(sizes)) & (rows > 9)
    if kept.sum() < len(rows) / 2 or wrong.sum() < _FEW:
        return
    if np.median(correlations[kept]) < _DESCRIBED:
        return
    which = np.sort(pairs.structures[wrong])
    yield (
        f"The forces of {len(which)} of {len(rows)} structures that were compared, the first "
        f"{places[which[0]]}, have little in common with those of a pair potential that describes "
        f"the others (correlation {np.median(correlations[wrong]):.2f}, of the others "
        f"{np.median(correlations[kept]):.2f}). Do these forces belong to these positions, in the "
        "order of the atoms?"
    )


def _correlations(predicted, forces, bounds) -> tuple[np.ndarray, np.ndarray]:
    """Return the correlation of the forces of each structure, and their root mean square."""
    sums = [
        np.add.reduceat(one * other, bounds[:-1])
        for one, other in ((predicted, forces), (predicted, predicted), (forces, forces))
    ]
    with np.errstate(divide="ignore", invalid="ignore"):
        correlations = sums[0] / np.sqrt(sums[1] * sums[2])
    return np.nan_to_num(correlations), np.sqrt(sums[2] / np.diff(bounds))


def _gram(columns) -> np.ndarray:
    gram = columns.T @ columns
    gram.flat[:: len(gram) + 1] += 1e-6 * len(columns)
    return gram


def _solution(columns, forces, kept) -> np.ndarray:
    return np.linalg.solve(_gram(columns[kept]), columns[kept].T @ forces[kept])


def _vectors(pairs) -> np.ndarray:
    """Return a vector for each structure; the norm of their sum is what a pair potential explains.

    Squared, and up to the penalty of the fit.
    """
    sums = np.add.reduceat(pairs.columns * pairs.forces[:, None], pairs.bounds[:-1])
    return np.linalg.solve(np.linalg.cholesky(_gram(pairs.columns)), sums.T).T
