"""Consistency checks of labelled structures: units, signs and close atoms."""

from __future__ import annotations

import numpy as np

from ..fields._marks import doubt_of_marks
from ..structures import neighbor_pairs
from ..structures._elements import symbol
from ._doubtful_labels import lengths, rounded, zeros
from ._mixed_labels import (
    energies_of_other_units,
    forces_along_other_axes,
    forces_of_other_atoms,
    forces_of_other_signs,
    net_forces,
)
from ._pair_consistency import compared_with_pairs

# The total energy of an atom is about -20.8 Z^(7/3) eV (Thomas and Fermi), a lower bound.
_THOMAS_FERMI = 20.8
_BINDING = 20.0  # eV, above any binding energy of an atom in a solid
_SPREAD = 10.0  # eV/atom, above the deviation of energies from linearity in composition
# Below any distance of atoms at pressures of a laboratory, except for hydrogen.
_CLOSE = 0.6  # Å
# Beyond forces at any distance above that, and stresses of any planet, in eV/Å and eV/Å³.
_LARGEST = {"forces": 1e4, "stresses": 100.0}
# Largest difference of labels of equal structures, above rounding of codes, in eV/atom and eV/Å.
_SAME = 1e-3
# Largest step (Å) and strain between structures that are compared, for which forces vary little.
_STEP, _STRAIN = 0.3, 0.1
# Least number of pairs.
_PAIRS = 5
# Slopes of energies over work between these are consistent; smaller correlations prove nothing.
_SLOPES, _CORRELATION = (0.5, 2.0), 0.9
# Slopes of energies over those of a pair potential from the forces between these are possible, and
# the correlation that shows a slope; units that are nearer than this factor are named.
_PAIR_SLOPES, _PAIR_CORRELATION, _PAIR_NEAR = (0.2, 5.0), 0.6, 2.0
# Forces of some structures beyond this multiple of those of others, and how many at least.
_MIXED, _FEW = 8.0, 3
# Ratios of energy differences to work, and their causes; the nearest within 8 % is reported.
_NEAR = 0.08
_OF_FORCES = {
    1 / 27.2114: "energies seem to be in hartree",
    1 / 13.6057: "energies seem to be in rydberg",
    23.0605: "energies seem to be in kcal/mol",
    96.4853: "energies seem to be in kJ/mol",
    51.4221: "forces seem to be in hartree/bohr",
    25.7110: "forces seem to be in rydberg/bohr",
    1 / 23.0605: "forces seem to be in kcal/mol/Å",
}
# Ratios of stresses to those in eV/Å³.
_OF_STRESS = {
    160.2177: "stresses seem to be in GPa",
    1602.177: "stresses seem to be in kbar",
    1602177.0: "stresses seem to be in bar",
    1 / 183.6315: "stresses seem to be in hartree/bohr³",
}


def data_notes(data) -> list[str]:
    """Return warnings about labelled structures.

    Parameters
    ----------
    data : LabelledStructures
    """
    return [note for notes in _notes_by_check(data).values() for note in notes]


def notes_of_held_out(held_out, learned, together) -> list[str]:
    """Return warnings about structures held out from a fit, alone and beside those of the fit.

    A group of structures may be consistent, and in another unit than all others.

    Parameters
    ----------
    held_out, learned, together : LabelledStructures
        Structures held out, those of the fit, and both.
    """
    alone, before = _notes_by_check(held_out), _notes_by_check(learned)
    beside = [
        f"Beside the structures to learn from: {note}"
        for name, notes in _notes_by_check(together).items()
        if not alone[name] and not before[name]
        for note in notes
    ]
    return [note for notes in alone.values() for note in notes] + beside


def _notes_by_check(data) -> dict[str, list[str]]:
    """Return the warnings of each check, by its name."""
    work = {"forces": [*_work_of_forces(data)], "stress": [*_work_of_stress(data)]}
    # Less exact, and for structures that are not steps of a trajectory, or cells that are equal.
    pairs = [*_pairs(data, *(not each for each in work.values()))]
    checks = (
        _marks, _composition, _close, _contradictions, _enormous, rounded, zeros, lengths,
        net_forces,
    )  # fmt: skip
    return {check.__name__: [*check(data)] for check in checks} | work | {"pairs": pairs}


def _marks(data):
    """Labels that seem to mark missing ones, which NaN does."""
    for name, values in (
        ("energies", data.energies), ("forces", data.forces), ("stresses", data.stress),
    ):  # fmt: skip
        doubt = doubt_of_marks(values, f"The array of {name}", "use NaN for unknown labels")
        if doubt is not None:
            yield doubt


def _composition(data):
    """Check atomic energies from a fit to the composition, and the residuals."""
    has_energy = ~np.isnan(data.energies)
    if has_energy.sum() < 2:
        return
    numbers, columns = np.unique(data.structures.numbers, return_inverse=True)
    counts = np.zeros((len(data.structures), len(numbers)))
    np.add.at(counts, (data.structures.owners, columns), 1.0)
    counts, energies = counts[has_energy], data.energies[has_energy]
    sizes = counts.sum(axis=1)
    shares = counts / sizes[:, None]
    atomic, _, rank, _ = np.linalg.lstsq(shares, energies / sizes, rcond=1e-6)
    spread = float(np.sqrt(np.mean((energies / sizes - shares @ atomic) ** 2)))
    places = [data.places[k] for k in np.flatnonzero(has_energy)]
    yield from energies_of_other_units(energies / sizes, shares, places)
    if spread > _SPREAD:
        yield (
            f"Energies deviate from linearity in composition by {spread:.3g} eV/atom, more than "
            "energies of bonds. Check that they are in eV, of whole cells, and of one method."
        )
    if rank < len(numbers):
        return
    for number, energy in zip(numbers.tolist(), atomic.tolist(), strict=True):
        if not -1.2 * _THOMAS_FERMI * number ** (7 / 3) - _BINDING <= energy <= 2 * _BINDING:
            yield (
                f"A fit to the composition gives {energy:.4g} eV per atom of {symbol(number)}, "
                "which is not a possible energy. Check that energies are in eV, and of whole cells."
            )


def _close(data):
    """Check distances of atoms."""
    heavy = data.structures.numbers > 1
    pairs = neighbor_pairs(data.structures, _CLOSE)
    near = np.flatnonzero(heavy[pairs.atoms[pairs.centers]] & heavy[pairs.neighbors])
    if near.size:
        lengths = np.linalg.norm(pairs.vectors[near], axis=1)
        pair = near[int(np.argmin(lengths))]
        atom = int(pairs.centers[pair])
        k = int(data.structures.owners[atom])
        yield (
            f"{len(np.unique(data.structures.owners[pairs.centers[near]]))} structure(s) have "
            f"atoms closer than {_CLOSE} Å; the shortest distance is {lengths.min():.3g} Å, in "
            f"{data.places[k]}, atom {atom - data.structures.offsets[k]}. Check that lengths are "
            "in Å, and that no atom is listed twice."
        )


def _contradictions(data):
    """Equal structures with energies or forces that differ by more than rounding."""
    first: dict[tuple, int] = {}
    contradictions = []
    for k, structure in enumerate(data.structures):
        key = (
            structure.numbers.tobytes(), structure.positions.tobytes(), structure.cell.tobytes(),
            structure.pbc.tobytes(),
        )  # fmt: skip
        before = first.setdefault(key, k)
        if before == k:
            continue
        energy = abs(data.energies[k] - data.energies[before]) / len(structure.numbers)
        forces = np.abs(data.forces_of(k) - data.forces_of(before))
        if energy > _SAME or (forces > _SAME).any():
            contradictions.append((before, k))
    if contradictions:
        before, k = contradictions[0]
        yield (
            f"{len(contradictions)} structure(s) are equal to an earlier one and have other "
            f"labels, first {data.places[k]} and {data.places[before]}. Are labels of two "
            "methods mixed?"
        )


def _enormous(data):
    """Check that forces and stresses are possible."""
    owners = data.structures.owners
    for name, values, unit in (
        ("forces", data.forces, "eV/Å"),
        ("stresses", data.stress, "eV/Å³"),
    ):
        values = np.where(np.isnan(values), 0.0, np.abs(values)).max(axis=1)
        large = np.flatnonzero(values > _LARGEST[name])
        if not large.size:
            continue
        row = int(large[np.argmax(values[large])])
        k = int(owners[row]) if name == "forces" else row
        where = f"{data.places[k]}, atom {row - data.structures.offsets[k]}"
        where = where if name == "forces" else data.places[k]
        yield (
            f"The {name} of {len(large)} {'atom' if name == 'forces' else 'structure'}(s) exceed "
            f"{_LARGEST[name]:,.0f} {unit}, the largest {values[row]:.3g} {unit} of {where}. Such "
            "labels dominate the fit: check units, and calculations that did not converge."
        )


def _work_of_forces(data):
    """Compare differences of energies along a trajectory with the work of the forces."""
    structures, work, gained, last = data.structures, [], [], {}
    for k, structure in enumerate(structures):
        forces = data.forces_of(k)
        if np.isnan(data.energies[k]) or np.isnan(forces).any():
            continue
        key = structure.numbers.tobytes(), structure.cell.tobytes(), structure.pbc.tobytes()
        before = last.get(key)
        last[key] = k
        if before is None:
            continue
        start = slice(*structures.offsets[before : before + 2])
        step = structure.positions - structures.positions[start]
        if 0 < np.abs(step).max() < _STEP:
            mean = (forces + data.forces[start]) / 2
            work.append(-(mean * step).sum())
            gained.append(data.energies[k] - data.energies[before])
    yield from _compared(
        np.array(work), np.array(gained), _OF_FORCES, "energies and forces",
        "differences of energies along trajectories are {slope:.3g} times the work of the forces",
    )  # fmt: skip


def _work_of_stress(data):
    """Compare differences of energies of strained cells with the work of the stress."""
    structures, work, gained, last = data.structures, [], [], {}
    for k, structure in enumerate(structures):
        if np.isnan(data.energies[k]) or np.isnan(data.stress[k]).any() or not structure.pbc.all():
            continue
        scaled = np.linalg.solve(structure.cell.T, structure.positions.T).T
        key = structure.numbers.tobytes()
        before = last.get(key)
        last[key] = (k, scaled)
        if before is None:
            continue
        other, positions = before
        apart = scaled - positions
        apart -= np.round(apart)
        if np.abs(apart - apart[0]).max() > 1e-3:
            continue
        strain = np.linalg.solve(structures.cells[other], structure.cell) - np.eye(3)
        strain = (strain + strain.T) / 2
        if not 1e-6 < np.abs(strain).max() < _STRAIN:
            continue
        mean = sum(data.stress[j] * structures.volumes[j] for j in (k, other)) / 2
        six = strain[(0, 1, 2, 1, 0, 0), (0, 1, 2, 2, 2, 1)] * (1, 1, 1, 2, 2, 2)
        work.append(float(mean @ six))
        gained.append(data.energies[k] - data.energies[other])
    yield from _compared(
        np.array(work), np.array(gained), {1 / ratio: unit for ratio, unit in _OF_STRESS.items()},
        "energies and stresses",
        "differences of energies of strained cells are {slope:.3g} times the work of the stress",
    )  # fmt: skip


def _pairs(data, forces, stress):
    """Compare labels with those of a pair potential that is fitted to the forces.

    Parameters
    ----------
    data : LabelledStructures
    forces, stress : bool
        Whether the energies, the stresses are compared.
    """
    energies, stresses, scales, of_pairs = compared_with_pairs(data)
    mixed = {name: [*_mixed(scale, name, data.places)] for name, scale in scales.items()}
    if of_pairs is not None:  # the first of them is the most specific
        mixed["forces"] = (
            [*forces_of_other_signs(of_pairs, data.places)]
            or mixed["forces"]
            or [*forces_along_other_axes(of_pairs)]
            or [*forces_of_other_atoms(of_pairs, data.places)]
        )
    for notes in mixed.values():
        yield from notes
    if forces:
        yield from _pairs_compared(energies, "energies", _OF_FORCES)
    if stress:
        units = _OF_STRESS | {stresses.volume: "stresses seem to be virials, times the volume"}
        yield from _pairs_compared(stresses, "stresses", units)


def _mixed(scales, name, places):
    """Warn of some structures whose labels are far smaller, larger or of the other sign."""
    if not len(scales.ratios):
        return
    # One of them: between two groups of equal size there is nothing.
    over = scales.ratios / np.sort(scales.ratios)[len(scales.ratios) // 2]
    wrong = np.flatnonzero((over < 1 / _MIXED) | (over > _MIXED))
    if len(wrong) < _FEW or len(over) - len(wrong) < _FEW:
        return
    ratio = float(np.median(over[wrong]))
    yield (
        f"The {name} of {len(wrong)} of {len(over)} structures that were compared are "
        f"{ratio:.2g} times those of the others, beside a pair potential; the first is "
        f"{places[scales.structures[wrong].min()]}. Are {name} of several units or signs mixed?"
    )


def _pairs_compared(compared, what, units):
    pair, labels = compared.pair, compared.labels
    if not pair.any() or not labels.any():
        return
    slope = float(pair @ labels / (pair @ pair))
    correlation = float(pair @ labels / np.sqrt((pair @ pair) * (labels @ labels)))
    if abs(correlation) < _PAIR_CORRELATION or _PAIR_SLOPES[0] < slope < _PAIR_SLOPES[1]:
        return
    text = f"{what} are {slope:.2g} times those of a pair potential fitted to the forces"
    far = {unit: abs(np.log(abs(slope) / ratio)) for ratio, unit in units.items()}
    near = [unit for unit, factor in far.items() if factor < np.log(_PAIR_NEAR)]
    hint = f" ({' or '.join(near)})" if near else ""
    if slope < 0:
        yield f"The {what} and forces have opposite signs{hint}: {text}."
        return
    yield f"The {what} and forces are inconsistent{hint}: {text}. Check their units."


def _compared(work, gained, units, what, sentence):
    """Yield a warning if energy differences are not equal to the work."""
    if len(work) < _PAIRS or not work.any():
        return
    slope = float(work @ gained / (work @ work))
    spread = np.sqrt((work @ work) * (gained @ gained))
    correlation = float(work @ gained / spread) if spread > 0 else 0.0
    if abs(correlation) < _CORRELATION or _SLOPES[0] < slope < _SLOPES[1]:
        return
    text = sentence.format(slope=slope)
    if slope < 0:
        yield f"The {what} have opposite signs: {text}."
        return
    ratio = min(units, key=lambda each: abs(np.log(slope / each)))
    if abs(np.log(slope / ratio)) < _NEAR:
        yield f"The {units[ratio]}: {text}."
    else:
        yield f"The {what} are inconsistent: {text}. Check their units."
