"""Structures whose labels have another unit, sign or order of atoms than the others are named."""

import re
from copy import deepcopy
from functools import cache
from itertools import product

import numpy as np
import pytest

pytest.importorskip("ase")
pytest.importorskip("vesin")

from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator

from sk_ednn.atoms._potential_checks import data_notes, notes_of_held_out
from sk_ednn.atoms._potential_data import labelled
from sk_ednn.datasets import load_siau
from tests._labelled import labelled_atoms


def alloys(n=30):
    rng, made = np.random.default_rng(0), []
    for _ in range(n):
        atoms = bulk("Cu", cubic=True, a=3.6 + 0.3 * rng.random()) * (2, 2, 1)
        atoms.symbols[:] = rng.choice(["Cu", "Au"], len(atoms))
        atoms.rattle(0.15, seed=int(rng.integers(1e6)))
        atoms.calc = EMT()
        # EMT's energies are 0 in crystals at rest.
        energy = atoms.get_potential_energy() - 4.0 * len(atoms)
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=atoms.get_forces())
        made.append(atoms)
    return made


def ab_initio(kind=None, n=80):
    """Structures of silicon and gold, of one kind or of all."""
    data = load_siau()
    kinds = np.array([data.kind_names[k] for k in data.kinds])
    some = np.arange(len(kinds)) if kind is None else np.flatnonzero(kinds == kind)
    some = np.random.default_rng(0).permutation(some)[:n]
    sizes = np.array([len(data.numbers[k]) for k in some])
    level = -5.0 - sum(data.energies[k] for k in some) / sizes.sum()  # as of isolated atoms
    made = []
    for k, size in zip(some, sizes, strict=True):
        atoms = Atoms(data.numbers[k], data.positions[k], cell=data.cells[k], pbc=True)
        results = {"energy": data.energies[k] + level * size, "forces": data.forces[k]}
        atoms.calc = SinglePointCalculator(atoms, **results)
        made.append(atoms)
    return made


MADE = {
    "alloys": alloys, "pairs": lambda: labelled_atoms(30, names=("energy", "forces")),
    "any": ab_initio, "liquid": lambda: ab_initio("liquid"),
    "packed": lambda: ab_initio("packed"), "hot crystal": lambda: ab_initio("hot crystal"),
}  # fmt: skip


@cache
def made_once(name):
    return MADE[name]()


# Tests change their copies.
SETS = {name: lambda name=name: deepcopy(made_once(name)) for name in MADE}


def changed(structures, change, part):
    """Return structures of which a part has other labels, and which these are."""
    rng = np.random.default_rng(1)
    which = rng.random(len(structures)) < part
    for k in np.flatnonzero(which):
        change(structures[k].calc.results, rng)
    return structures, np.flatnonzero(which)


def times(name, factor):
    def change(results, rng):
        results[name] = results[name] * factor

    return change


def shuffled(results, rng):
    results["forces"] = rng.permutation(results["forces"])


@pytest.mark.parametrize("name", SETS)
def test_labels_that_belong_together_are_not_doubted(name):
    assert data_notes(labelled(SETS[name]())) == []


@pytest.mark.parametrize("name", ["alloys", "any"])
@pytest.mark.parametrize("part", [0.2, 0.8])
@pytest.mark.parametrize(
    ("factor", "unit"),
    [
        (1 / 27.2114, "in hartree"), (1 / 13.6057, "in rydberg"), (23.0605, "in kcal/mol"),
        (96.4853, "in kJ/mol"), (1e3, "in meV"),
    ],
)  # fmt: skip
def test_energies_in_another_unit_are_counted_and_named(name, part, factor, unit):
    structures, which = changed(SETS[name](), times("energy", factor), part)
    notes = data_notes(labelled(structures))
    expected = (
        f"The energies of {len(which)} of {len(structures)} structures, the first structure "
        f"{which[0]}, seem to be {unit}, "
    )
    assert any(note.startswith(expected) for note in notes), notes


def test_energies_of_the_opposite_sign_are_counted_and_named():
    structures, which = changed(SETS["any"](), times("energy", -1), 0.3)
    notes = data_notes(labelled(structures))
    assert any(
        f"of {len(which)} of 80 structures, the first structure {which[0]}, seem to be of the "
        in note
        for note in notes
    ), notes


@pytest.mark.parametrize("unit", [1.0, 1 / 27.2114])
def test_energies_of_one_unit_are_not_mixed_though_some_are_near_zero(unit):
    """Separated atoms, molecules that are bound weakly, and crystals are of one unit."""
    structures = []
    for k in range(30):
        atoms = Atoms("Cu2", [[0, 0, 0], [0, 0, 2 + 0.1 * k]])
        energy = -2.0 * np.exp(-0.15 * k)
        if k % 2:
            atoms, energy = bulk("Cu", a=3.5 + 0.01 * k) * (2, 1, 1), -7.0 + 0.002 * (k - 10) ** 2
        atoms.calc = SinglePointCalculator(atoms, energy=unit * energy)
        structures.append(atoms)
    assert not [note for note in data_notes(labelled(structures)) if "seem to be" in note]


def numbers_in(note):
    return [int(each) for each in re.findall(r"\d+", note)[:3]]


@pytest.mark.parametrize(("name", "part"), list(product(SETS, [0.5, 0.7])))
def test_forces_of_the_opposite_sign_are_counted_and_named(name, part):
    structures, which = changed(SETS[name](), times("forces", -1), part)
    notes = [note for note in data_notes(labelled(structures)) if "opposite to those" in note]
    assert len(notes) == 1
    n, compared, first = numbers_in(notes[0])
    # Not every structure is compared, and either sign may be that of fewer structures.
    share = len(which) / len(structures)
    assert abs(n / compared - min(share, 1 - share)) < 0.2
    minority = which if len(which) < len(structures) / 2 else set(range(len(structures))) - {*which}
    if abs(share - 0.5) > 0.1:
        assert first in minority


@pytest.mark.parametrize("name", ["alloys", "any", "liquid", "packed", "hot crystal"])
def test_forces_in_another_order_than_atoms_are_doubted(name):
    structures, _ = changed(SETS[name](), shuffled, 1.1)
    notes = data_notes(labelled(structures))
    assert any("in the order of the atoms?" in note for note in notes), notes


@pytest.mark.parametrize("name", ["alloys", "any", "liquid"])
@pytest.mark.parametrize(
    ("axes", "signs", "words"),
    [
        ([2, 1, 0], (1, 1, 1), "components z, y, x in"),
        ([1, 2, 0], (1, 1, 1), "components z, x, y in"),
        ([0, 1, 2], (1, 1, -1), "components x, y, -z in"),
    ],
)
def test_forces_along_other_axes_than_positions_are_doubted(name, axes, signs, words):
    def change(results, rng):
        results["forces"] = results["forces"][:, axes] * signs

    structures, _ = changed(SETS[name](), change, 1.1)
    notes = data_notes(labelled(structures))
    assert any(words in note for note in notes), notes


@pytest.mark.parametrize(
    "change",
    [
        lambda forces: forces + np.array([0, 0, 1.0]),
        lambda forces: np.where(abs(forces) == abs(forces).max(), 0, forces),
        np.abs,
    ],
    ids=["field", "a component at 0", "sizes"],
)
def test_forces_that_do_not_add_up_to_zero_are_counted_and_named(change):
    def changes(results, rng):
        results["forces"] = change(results["forces"])

    structures, which = changed(alloys(), changes, 0.4)
    notes = [note for note in data_notes(labelled(structures)) if "add up to 0" in note]
    assert len(notes) == 1
    assert re.match(f"The forces of {len(which)} .*, the first structure {which[0]};", notes[0])


@pytest.mark.parametrize("part", [0.2, 0.4])
def test_single_structures_whose_forces_have_another_order_are_counted_and_named(part):
    structures, which = changed(alloys(), shuffled, part)
    notes = [note for note in data_notes(labelled(structures)) if "order of the atoms" in note]
    assert len(notes) == 1
    n, compared, first = numbers_in(notes[0])
    assert (compared, first) == (len(structures), which[0])
    assert len(which) - 1 <= n <= len(which)  # an order may be nearly that of the atoms


def held_out_notes(structures, held):
    """Return warnings about the structures held out."""
    test = [structures[k] for k in np.flatnonzero(held)]
    train = [structures[k] for k in np.flatnonzero(~held)]
    return notes_of_held_out(labelled(test), labelled(train), labelled(test + train))


@pytest.mark.parametrize("name", ["alloys", "any"])
def test_structures_held_out_that_belong_to_the_others_are_not_doubted(name):
    structures = SETS[name]()
    assert held_out_notes(structures, np.arange(len(structures)) % 3 == 0) == []


def test_structures_held_out_are_checked_alone():
    structures = ab_initio()
    held = np.arange(len(structures)) < 40
    for k in range(12):
        structures[k].calc.results["energy"] /= 27.2114
    (note,) = held_out_notes(structures, held)
    assert note.startswith("The energies of 12 of 40 structures, the first structure 0, seem to be")


def test_structures_held_out_are_checked_beside_the_others():
    """A group from another source is consistent, and in another unit than all others."""
    structures = ab_initio()
    held = np.arange(len(structures)) >= 60
    for k in np.flatnonzero(held):
        structures[k].calc.results["energy"] /= 27.2114
    notes = held_out_notes(structures, held)
    assert any(
        note.startswith("Beside the structures to learn from: The energies of 20 of 80")
        and "in hartree" in note
        for note in notes
    ), notes


def test_what_the_structures_of_the_fit_lack_is_no_doubt_of_those_held_out():
    structures = ab_initio()
    held = np.arange(len(structures)) >= 60
    for k in range(20):
        structures[k].calc.results["energy"] /= 27.2114
    assert held_out_notes(structures, held) == []
