"""The network that is shipped predicts sheets it was not trained on, of any size, and forces."""

import numpy as np
import pytest

pytest.importorskip("torch")

from sk_ednn.datasets import load_sheets
from sk_ednn.pretrained import load_sheets_model
from sk_ednn.structures import Structure

SHEETS = load_sheets()
UNSEEN = np.random.default_rng(0).permutation(len(SHEETS.energies))[:480]


@pytest.fixture(scope="module")
def model():
    return load_sheets_model("image")


def test_energies_of_unseen_sheets(model):
    some = UNSEEN
    predicted = model.predict([SHEETS.structures[k] for k in some])
    off = 1e3 * np.abs(predicted - SHEETS.energies[some]) / SHEETS.cells[some, :2].prod(axis=1)
    assert np.mean(off) < 2.5 and np.median(off) < 1.6  # meV/Å²


def test_forces_of_unseen_sheets(model):
    draw, regress = model
    structures = [SHEETS.structures[k] for k in UNSEEN[:5]]
    forces = draw.forces(structures, regress.predict_gradient(draw.transform(structures)))
    true = [SHEETS.forces[k] for k in UNSEEN[:5]]
    off = np.concatenate(forces) - np.concatenate(true)
    assert np.abs(off).mean() < 0.22  # eV/Å


def test_the_potential_is_the_default_and_better():
    pytest.importorskip("vesin")
    potential = load_sheets_model()
    assert type(potential).__name__ == "EDNNPotential"
    structures = [SHEETS.structures[k] for k in UNSEEN]
    area = SHEETS.cells[UNSEEN, :2].prod(axis=1)
    off = 1e3 * np.abs(potential.predict(structures) - SHEETS.energies[UNSEEN]) / area
    assert np.mean(off) < 0.55 and np.median(off) < 0.25  # meV/Å²
    forces = np.concatenate(potential.predict_forces(structures[:20]))[:, :2]
    true = np.concatenate([SHEETS.forces[k] for k in UNSEEN[:20]])
    assert np.abs(forces - true).mean() < 0.1  # eV/Å


def test_there_are_two_kinds():
    with pytest.raises(ValueError, match="kind must be one of potential, image"):
        load_sheets_model("paper")


def test_a_repeated_sheet_has_repeated_energy(model):
    one = SHEETS.structures[UNSEEN[0]]
    positions, cell = np.asarray(one["positions"], float), np.asarray(one["cell"], float)
    twice = Structure(
        np.tile(one["numbers"], 2),
        np.concatenate([positions, positions + np.array([cell[0], 0.0])]),
        [2 * cell[0], cell[1]],
    )
    energy = model.predict([one])[0]
    assert model.predict([twice])[0] == pytest.approx(2 * energy, rel=1e-6)


@pytest.mark.parametrize("n_shifts", [None, 2])
def test_energies_of_supercells_are_multiples_to_ten_digits(model, n_shifts):
    pytest.importorskip("ase")
    from sk_ednn import ShiftAveraged
    from sk_ednn.atoms import EDNNCalculator

    model = model if n_shifts is None else ShiftAveraged.of(model, n_shifts)
    sheet, energies = load_sheets(as_ase=True).structures[UNSEEN[1]], {}
    for n, m in ((1, 1), (2, 1), (1, 2), (3, 2)):
        atoms = sheet.repeat((n, m, 1))
        atoms.calc = EDNNCalculator(model, precision="float64")
        energies[n * m] = atoms.get_potential_energy()
    for copies, energy in energies.items():
        assert energy == pytest.approx(copies * energies[1], rel=1e-12)
