"""A surrogate that is corrected by a label agrees with it, and is a smooth function."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("ase_ga")

from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones

from sk_ednn.search import CalculatorLabeller, Evaluation, relax
from sk_ednn.search._corrected import Corrected
from sk_ednn.search._label import Label, as_structure

STEP = 1e-5


def crystal():
    atoms = bulk("Cu", cubic=True)
    atoms.set_cell(atoms.cell @ (np.eye(3) + 0.05 * np.arange(9).reshape(3, 3) / 8), True)
    atoms.rattle(0.15, seed=0)
    return as_structure(atoms)


def cluster():
    atoms = molecule("C6H6", vacuum=4.0)
    atoms = Atoms("Cu12", 1.8 * atoms.positions, cell=2 * atoms.cell, pbc=False)
    atoms.rattle(0.1, seed=1)
    return as_structure(atoms)


def evaluated(calculator, structure):
    label = CalculatorLabeller(lambda: calculator).label(structure)
    strain = np.zeros((3, 3))
    if label.stress is not None:
        strain = abs(np.linalg.det(structure.cell)) * label.stress
    return Evaluation(label.energy, 0.1, label.forces, strain)


def surrogate(structure):
    return evaluated(LennardJones(sigma=2.2, epsilon=0.4, rc=5.0, smooth=True), structure)


def displaced(structure, size, seed=0):
    """Return a structure with other positions and, where it is periodic, another cell."""
    rng = np.random.default_rng(seed)
    strain = size * 0.1 * rng.normal(size=(3, 3)) if np.any(structure.pbc) else np.zeros((3, 3))
    moved = size * rng.normal(size=structure.positions.shape)
    there = strained(structure, 0.5 * (strain + strain.T))
    return replace(there, positions=there.positions + moved)


def strained(structure, strain):
    deformation = np.eye(3) + strain
    return replace(
        structure, positions=structure.positions @ deformation, cell=structure.cell @ deformation
    )


@pytest.mark.parametrize("make", [crystal, cluster])
def test_energy_forces_and_stress_equal_those_of_the_label(make):
    structure = make()
    corrected = Corrected(surrogate, structure, CalculatorLabeller(EMT).label(structure))
    here, true = corrected(structure), evaluated(EMT(), structure)
    assert np.isclose(here.energy, true.energy, atol=1e-10)
    np.testing.assert_allclose(here.forces, true.forces, atol=1e-10)
    np.testing.assert_allclose(here.strain, true.strain, atol=1e-10)
    assert here.std == surrogate(structure).std


@pytest.mark.parametrize("size", [0.0, 0.05, 0.3])
@pytest.mark.parametrize("make", [crystal, cluster])
def test_forces_and_stress_are_derivatives(make, size):
    structure = make()
    corrected = Corrected(surrogate, structure, CalculatorLabeller(EMT).label(structure))
    where = displaced(structure, size)
    rng = np.random.default_rng(1)
    there = corrected(where)
    direction = rng.normal(size=where.positions.shape)
    ends = [corrected(replace(where, positions=where.positions + sign * STEP * direction)).energy
            for sign in (1, -1)]  # fmt: skip
    slope = (ends[0] - ends[1]) / (2 * STEP)
    assert np.isclose(slope, -(there.forces * direction).sum(), rtol=1e-5, atol=1e-5)
    if np.any(where.pbc):
        strain = rng.normal(size=(3, 3))
        strain = 0.5 * (strain + strain.T)
        ends = [corrected(strained(where, sign * STEP * strain)).energy for sign in (1, -1)]
        slope = (ends[0] - ends[1]) / (2 * STEP)
        assert np.isclose(slope, (there.strain * strain).sum(), rtol=1e-5, atol=1e-5)


def test_far_away_only_a_constant_is_added():
    structure = crystal()
    label = CalculatorLabeller(EMT).label(structure)
    corrected = Corrected(surrogate, structure, label)
    far = replace(structure, positions=structure.positions + 5.0)
    shift = label.energy - surrogate(structure).energy
    assert np.isclose(corrected(far).energy - surrogate(far).energy, shift, atol=1e-6)
    np.testing.assert_allclose(corrected(far).forces, surrogate(far).forces, atol=1e-6)


def test_without_a_stress_that_of_the_surrogate_is_kept():
    structure = crystal()
    label = CalculatorLabeller(EMT).label(structure)
    here = Corrected(surrogate, structure, Label(label.energy, label.forces))(structure)
    np.testing.assert_allclose(here.forces, label.forces, atol=1e-10)
    np.testing.assert_allclose(here.strain, surrogate(structure).strain, atol=1e-10)


def test_a_minimum_of_the_reference_stays_and_few_labels_lead_to_it():
    labeller = CalculatorLabeller(EMT)
    best = relax(
        as_structure(bulk("Cu", cubic=True)), lambda s: evaluated(EMT(), s), variable_cell=True,
        max_force=1e-4,
    )  # fmt: skip
    kept = relax(
        best.structure, Corrected(surrogate, best.structure, labeller.label(best.structure)),
        variable_cell=True, max_force=0.01,
    )  # fmt: skip
    assert kept.n_steps == 0
    now, above = displaced(best.structure, 0.05), []
    for _ in range(8):
        label = labeller.label(now)
        above.append((label.energy - best.energy) / 4)
        now = relax(
            now, Corrected(surrogate, now, label), variable_cell=True, max_force=1e-3
        ).structure
    print(above)
    assert above[-1] < 0.1 * above[0]
