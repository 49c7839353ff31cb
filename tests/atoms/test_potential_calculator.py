"""The calculator of a potential in ASE's own simulations, and the laws that they rest on."""

import copy
import warnings

import numpy as np
import pytest

pytest.importorskip("ase")
pytest.importorskip("torch")
pytest.importorskip("vesin")

from ase import Atoms, units
from ase.build import bulk
from ase.calculators.calculator import PropertyNotImplementedError
from ase.calculators.emt import EMT
from ase.filters import FrechetCellFilter
from ase.io import read
from ase.md.verlet import VelocityVerlet
from ase.mep import NEB
from ase.optimize import BFGS
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import Ridge

try:
    from ase.md.melchionna import MelchionnaNPT
except ImportError:  # its name until ASE 3.26
    from ase.md.npt import NPT as MelchionnaNPT

from sk_ednn import EDNNRegressor
from sk_ednn.atoms import EDNNPotential
from sk_ednn.descriptors import ChebyshevDescriptor, DeepPotFrame, PowerSpectrum, SymmetryFunctions
from sk_ednn.exceptions import ModelFileError, NoveltyWarning, TileModelError
from sk_ednn.files import load, save
from sk_ednn.tiling import AtomTiling
from tests._labelled import with_labels

CUTOFF = 4.0
TINY = {"n_radial": 3, "l_max": 1, "channels": 4, "partners": 2, "hidden": (8,)}


def crystals(n=24, seed=0, amplitude=0.15):
    """Rattled and strained silicon-gold on a bcc lattice, under the pair potential."""
    rng, made = np.random.default_rng(seed), []
    for _ in range(n):
        atoms = bulk("Si", "bcc", a=2.9 + 0.3 * rng.random(), cubic=True).repeat((2, 2, 1))
        atoms.numbers[rng.permutation(8)[:3]] = 79
        atoms.set_cell(atoms.cell[:] @ (np.eye(3) + 0.04 * rng.normal(size=(3, 3))), True)
        atoms.positions += amplitude * rng.normal(size=(8, 3))
        made.append(with_labels(atoms))
    return made


@pytest.fixture(scope="module")
def potential():
    params = {"n_radial": 4, "l_max": 2, "channels": 6, "partners": 3, "hidden": (16, 16)}
    model = EDNNPotential(
        cutoff=CUTOFF, network_params=params, max_epochs=40, context=2, random_state=0
    )
    return model.fit(crystals())


def start(seed=7, amplitude=0.05):
    return crystals(1, seed, amplitude)[0].copy()


def test_a_calculator_is_that_of_the_fit_it_was_made_of():
    """Also if the potential is fitted again, to other structures and species."""
    params = {"network_params": TINY, "max_epochs": 2, "random_state": 0}
    potential = EDNNPotential(cutoff=CUTOFF, **params).fit(crystals(6))
    calculator, atoms = potential.calculator(), start()
    names = ("energy", "forces", "novelty")
    before = {name: np.copy(calculator.get_property(name, atoms)) for name in names}
    silicon = crystals(6, seed=3)
    for each in silicon:
        each.numbers[:] = 14
    potential.fit([with_labels(each) for each in silicon])
    calculator.reset()
    for name, values in before.items():
        np.testing.assert_array_equal(calculator.get_property(name, atoms), values)


def test_results_are_those_of_the_estimator(potential):
    atoms = start()
    atoms.calc = potential.calculator()
    predicted = potential.predict_all([atoms], per_atom=True)
    assert atoms.get_potential_energy() == predicted.energies[0]
    np.testing.assert_array_equal(atoms.get_forces(), predicted.forces)
    np.testing.assert_array_equal(atoms.get_stress(), predicted.stress[0])
    np.testing.assert_array_equal(atoms.get_potential_energies(), predicted.contributions)
    assert atoms.calc.get_property("free_energy") == predicted.energies[0]
    assert atoms.calc.get_property("novelty", atoms).shape == (8,)
    atoms.set_pbc(False)
    with pytest.raises(PropertyNotImplementedError, match="periodic cell has no stress"):
        atoms.get_stress()
    assert np.isfinite(atoms.get_forces()).all()
    atoms.numbers[0] = 6
    with pytest.raises(TileModelError, match="The structure, atom 0, is C"):
        atoms.get_potential_energy()


def test_forces_and_stress_are_derivatives_in_double_precision(potential):
    atoms = start()
    calculator = potential.calculator(precision="float64")
    forces = calculator.get_property("forces", atoms)
    stress = calculator.get_property("stress", atoms)
    h = 1e-4

    def slope(move):
        up, down = (move(atoms.copy(), sign * h) for sign in (1, -1))
        ends = [calculator.get_potential_energy(each) for each in (up, down)]
        return (ends[0] - ends[1]) / (2 * h)

    for atom, axis in ((0, 0), (3, 1), (5, 2), (7, 0)):

        def displaced(copy, step, atom=atom, axis=axis):
            copy.positions[atom, axis] += step
            return copy

        assert forces[atom, axis] == pytest.approx(-slope(displaced), abs=1e-6)
    for component, (a, b) in enumerate([(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]):

        def strained(copy, step, a=a, b=b):
            strain = np.eye(3)
            strain[a, b] += step / 2
            strain[b, a] += step / 2
            copy.set_cell(copy.cell[:] @ strain, scale_atoms=True)
            return copy

        expected = slope(strained) / atoms.get_volume()
        assert stress[component] == pytest.approx(expected, abs=1e-7)
    np.testing.assert_allclose(forces.sum(axis=0), 0.0, atol=1e-10)


@pytest.fixture(scope="module")
def copper():
    """A potential of a stable crystal, EMT's copper around its minimum."""
    rng, cells = np.random.default_rng(0), []
    for _ in range(30):
        cell = bulk("Cu", cubic=True, a=3.6 + 0.1 * rng.normal())
        cell.positions += 0.25 * rng.random() * rng.normal(size=(4, 3))
        cell.calc = EMT()
        cells.append(cell)
    params = {"n_radial": 4, "l_max": 2, "channels": 6, "partners": 3, "hidden": (16, 16)}
    model = EDNNPotential(cutoff=4.5, network_params=params, max_epochs=60, random_state=0)
    return model.fit(cells)


def heat(atoms, temperature):
    """Give velocities of a temperature, without a drift."""
    normal = np.random.default_rng(0).normal(size=(len(atoms), 3))
    momenta = normal * np.sqrt(atoms.get_masses() * units.kB * temperature)[:, None]
    atoms.set_momenta(momenta - momenta.mean(axis=0))


def drift(potential, n_steps):
    """Return the change of the total energy per atom from the first to the last fifth, in eV."""
    atoms = bulk("Cu", cubic=True, a=3.6)
    atoms.calc = potential.calculator(precision="float64", novel_above=None)
    heat(atoms, 600)
    totals, temperatures = [], []

    def record():
        totals.append(atoms.get_total_energy())
        temperatures.append(atoms.get_temperature())

    dynamics = VelocityVerlet(atoms, 2.0 * units.fs)
    dynamics.attach(record, interval=5)
    dynamics.run(n_steps)
    fifth = len(totals) // 5
    # It has moved, and the two energies take turns. The temperature of four atoms at one time may
    # be anything from 10 to 300 K; its mean is about half of what they were given.
    assert 100 < np.mean(temperatures) < 400 and np.std(temperatures) > 20
    return abs(np.mean(totals[-fifth:]) - np.mean(totals[:fifth])) / len(atoms)


def test_energy_is_conserved(copper):
    assert drift(copper, 300) < 1e-3


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_energy_is_conserved_for_long(copper):
    assert drift(copper, 10_000) < 1e-3


def test_cells_relax_and_barostats_run(potential):
    atoms = start()
    atoms.calc = potential.calculator(novel_above=None)
    before = atoms.get_potential_energy()
    BFGS(FrechetCellFilter(atoms), logfile=None).run(fmax=0.05, steps=20)
    assert atoms.get_potential_energy() < before
    atoms.set_cell(np.triu(atoms.cell.standard_form("upper")[0][:]), scale_atoms=True)
    heat(atoms, 100)
    dynamics = MelchionnaNPT(
        atoms, 1.0 * units.fs, temperature_K=100, externalstress=0.0,
        ttime=25 * units.fs, pfactor=100 * units.fs**2,
    )  # fmt: skip
    dynamics.run(5)
    assert np.isfinite(atoms.get_potential_energy())


def test_paths_between_minima_run(potential):
    first = start()
    last = first.copy()
    last.positions[0] += 0.3
    images = [first, *[first.copy() for _ in range(2)], last]
    for image in images:
        image.calc = potential.calculator(novel_above=None)
    path = NEB(images, method="improvedtangent")
    path.interpolate()
    BFGS(path, logfile=None).run(steps=3)
    assert np.isfinite([image.get_potential_energy() for image in images]).all()


def test_results_are_written_with_structures(potential, tmp_path):
    atoms = start()
    atoms.calc = potential.calculator(novel_above=None)
    forces = atoms.get_forces()
    atoms.write(tmp_path / "one.extxyz")
    np.testing.assert_allclose(read(tmp_path / "one.extxyz").get_forces(), forces, atol=1e-7)


# --- novelty ----------------------------------------------------------------------------------


def test_atoms_in_other_surroundings_are_named(potential):
    train, seen = crystals(5, seed=3), start()
    assert max(each.max() for each in potential.novelty(train)) < 3
    seen.positions[4] = seen.positions[5] + [1.1, 0.0, 0.0]
    novelty = potential.novelty([seen])[0]
    assert novelty.argmax() in (4, 5) and novelty.max() > 3
    seen.calc = potential.calculator()
    with pytest.warns(NoveltyWarning, match=r"novelty is [0-9.]+, of atom [45] \((Si|Au)\)"):
        seen.get_potential_energy()
    seen.positions[0] += 0.01
    seen.get_potential_energy()  # said once
    quiet = potential.calculator(novel_above=None)
    quiet.get_potential_energy(seen)
    assert "novelty" not in quiet.results


@pytest.mark.parametrize("change", ["lengths", "species", "pbc", "another size"])
def test_one_calculator_compares_every_other_structure(potential, change):
    calculator = potential.calculator()
    with warnings.catch_warnings():
        warnings.simplefilter("error", NoveltyWarning)
        known = crystals(3, amplitude=0.02)
        for atoms in known:
            atoms.calc = calculator
            atoms.get_potential_energy()
    other = known[-1].copy()
    if change == "lengths":
        other.set_cell(0.1 * other.cell, scale_atoms=True)
    elif change == "species":
        other.numbers[:] = 79
        other.positions *= 0.8
    elif change == "pbc":
        other.pbc = False
        other.positions *= 0.8
    else:
        other = Atoms("Si3", positions=[[0, 0, 0], [0, 0, 1.2], [0, 0, 2.4]])
    other.calc = calculator
    with pytest.warns(NoveltyWarning, match="unlike those of the training data"):
        other.get_potential_energy()


def test_steps_of_dynamics_are_compared_now_and_then(potential, monkeypatch):
    calls = []
    novelty_of = type(potential)._novelty_of
    monkeypatch.setattr(
        type(potential),
        "_novelty_of",
        lambda self, batch: calls.append(1) or novelty_of(self, batch),
    )
    atoms = start()
    atoms.calc = potential.calculator(check_every=4)
    for _ in range(9):
        atoms.positions += 0.001
        atoms.get_potential_energy()
    assert len(calls) == 3


def test_predictions_of_structures_far_from_the_training_are_warned_of(potential):
    """Lengths in nm or other units, say; whatever is predicted."""
    train = crystals(5, seed=3)
    uses = {
        "energies": potential.predict,
        "forces": potential.predict_forces,
        "contributions": potential.predict_contributions,
        "before predict_all": potential.warn_if_far,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("error", NoveltyWarning)
        for use in uses.values():
            use(train)
    for scale in (0.1, 0.529177):
        far = start()
        far.set_cell(far.cell[:] * scale, scale_atoms=True)
        for use in uses.values():
            with pytest.warns(NoveltyWarning, match=r"structure 2, atom \d \((Si|Au)\) has surr"):
                use([*train[:2], far])


def test_novelty_grows_with_what_was_not_seen(potential):
    seen = start()
    squeezed = []
    for share in (1.0, 0.85, 0.7):
        copy = seen.copy()
        copy.set_cell(seen.cell[:] * share, scale_atoms=True)
        squeezed.append(potential.novelty([copy])[0].max())
    assert squeezed[0] < 3 and squeezed[2] > 3 and np.all(np.diff(squeezed) > 0)


@pytest.mark.parametrize("descriptor", [
    PowerSpectrum(CUTOFF, n_radial=3, max_l=2), SymmetryFunctions(CUTOFF),
    ChebyshevDescriptor(CUTOFF), DeepPotFrame(CUTOFF, 48),
], ids=lambda each: type(each).__name__)  # fmt: skip
@pytest.mark.parametrize("by_species", [True, False])
def test_novelty_of_tile_models_on_any_descriptor(descriptor, by_species):
    if by_species:
        forest = RandomForestRegressor(3, random_state=0)
        model = EDNNRegressor(AtomTiling.per_species(forest, descriptor, ["Si", "Au"]))
    elif isinstance(descriptor, DeepPotFrame):
        pytest.skip("An array per atom needs a term per species.")
    else:
        model = EDNNRegressor(Ridge(), AtomTiling(descriptor))
    known = {"forces": False, "stress": False} if by_species else {}
    fitted = EDNNPotential(model, random_state=0).fit(crystals(10), **known)
    far = start()
    far.set_cell(far.cell[:] * 0.7, scale_atoms=True)
    near, beyond = fitted.novelty([start(), far])
    assert near.shape == beyond.shape == (8,)
    for number in (14, 79):  # each atom is compared with its own species
        assert beyond[far.numbers == number].max() > near[far.numbers == number].max()


def test_lengths_in_bohr_are_warned_of_if_atoms_without_neighbours_are_known():
    """Their energies are those of the isolated atoms of the fit, which have no novelty."""
    crystals = [bulk("Cu", cubic=True, a=3.2 * 1.06**k) for k in range(12)]
    for k, each in enumerate(crystals):
        each.rattle(0.1, seed=k)
    structures = [*crystals, Atoms("Cu"), Atoms("Cu2", [[0, 0, 0], [0, 0, 4.0]])]
    model = EDNNPotential(cutoff=4.5, max_epochs=1, network_params=TINY, random_state=0)
    model.fit(structures, np.arange(14.0))
    assert model.distances_[29] == pytest.approx(3.2, abs=0.3)
    far = crystals[6].copy()
    far.set_cell(far.cell[:] * 1.889726, scale_atoms=True)
    assert model.novelty([far])[0].max() < 1
    for use in (model.predict, model.predict_forces, model.warn_if_far):
        with pytest.warns(NoveltyWarning, match=r"structure 0, atom 0 \(Cu\), like 4 of 4 .* bohr"):
            use([far])
    with pytest.warns(NoveltyWarning, match=r"The structure, atom 0 \(Cu\)"):
        model.calculator().get_potential_energy(far)
    with warnings.catch_warnings():
        warnings.simplefilter("error", NoveltyWarning)
        model.predict([*crystals, structures[-2]])
        model.predict([far, *crystals])  # one among many may be so on purpose
        model.predict([structures[-2]])


def test_files_without_distances_are_read_and_wrong_ones_are_not(potential, tmp_path):
    for distances, fine in (({14: 2.0}, True), ({14: -1.0}, False), ([1.0], False), (None, False)):
        changed = copy.copy(potential)
        changed.distances_ = distances
        save(changed, tmp_path / "a.ednn")
        if fine:
            assert load(tmp_path / "a.ednn").distances_ == distances
            continue
        with pytest.raises(ModelFileError, match="distances_"):
            load(tmp_path / "a.ednn")
    del changed.distances_
    save(changed, tmp_path / "a.ednn")
    assert len(load(tmp_path / "a.ednn").predict([start()])) == 1


@pytest.mark.parametrize("n", [2, 4])
def test_large_structures_relax_without_a_full_hessian(n, monkeypatch):
    """The minimum is the same; the work of a step grows with the atoms, not with their cube."""
    from sk_ednn.atoms import _dynamics

    used = []
    for name in ("BFGS", "LBFGS"):
        kind = getattr(_dynamics, name)
        monkeypatch.setattr(
            _dynamics, name, lambda *a, kind=kind, **k: used.append(kind.__name__) or kind(*a, **k)
        )
    atoms = bulk("Cu", cubic=True).repeat((2, n, n))
    exact = atoms.copy()
    atoms.rattle(0.05, seed=0)
    done = _dynamics.relax(atoms, EMT(), fmax=0.01)
    exact.calc = EMT()
    assert used == (["BFGS"] if len(atoms) <= 100 else ["LBFGS"])
    assert done.converged
    assert done.energy == pytest.approx(exact.get_potential_energy(), abs=1e-3 * len(atoms))
