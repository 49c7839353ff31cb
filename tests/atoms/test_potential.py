"""The potential as one estimator: every kind of model, and what scikit-learn does with it."""

import dataclasses
import itertools
import re
import signal

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.ensemble import RandomForestRegressor
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge
from sklearn.model_selection import cross_validate, learning_curve
from sklearn.pipeline import make_pipeline

pytest.importorskip("ase")
pytest.importorskip("torch")
pytest.importorskip("vesin")

import torch

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn._utils.clocks import kept_clocks
from sk_ednn.atoms import (
    EDNNPotential,
    GaussianRasterizer,
    LocalInvariants,
    PotentialTrainer,
    SpectrumNetwork,
)
from sk_ednn.atoms._potential_data import labelled
from sk_ednn.atoms._potential_errors import spreads
from sk_ednn.atoms._potential_progress import Progress
from sk_ednn.descriptors import ChebyshevDescriptor, PowerSpectrum
from sk_ednn.exceptions import DataWarning, TileModelError
from sk_ednn.structures import Structures, screened_repulsion
from sk_ednn.tiling import AtomTiling
from tests._labelled import labelled_atoms
from tests._potentials import CUTOFF

SMALL = {"n_radial": 3, "l_max": 2, "channels": 4, "partners": 2, "hidden": (8,)}
SPECTRUM = PowerSpectrum(cutoff=CUTOFF, n_radial=3, max_l=2)


def network(**params):
    params = {
        "cutoff": CUTOFF,
        "network_params": SMALL,
        "max_epochs": 2,
        "random_state": 0,
    } | params
    return EDNNPotential(**params)


POTENTIALS = {
    "spectrum": network(),
    "context": network(context=2),
    "deep-pot": network(model="deep-pot", network_params={"embedding": (4, 8), "axis": 2}),
    "symmetry functions": network(model="symmetry-functions", network_params={"hidden": (4,)}),
    "a descriptor": network(model=ChebyshevDescriptor(CUTOFF), network_params=None),
    "a tiling": network(model=AtomTiling(SPECTRUM), network_params=None),
    "a function": network(
        model=lambda species: SpectrumNetwork(species, CUTOFF, **SMALL), network_params=None
    ),
    "repulsion": network(repulsion=True),
    "linear": EDNNPotential(EDNNRegressor(Ridge(1e-6), AtomTiling(SPECTRUM))),
    "linear, repulsion": EDNNPotential(
        EDNNRegressor(Ridge(1e-6), AtomTiling(SPECTRUM)), repulsion=True
    ),
    "kernel": EDNNPotential(
        EDNNRegressor(KernelRidge(kernel="rbf", gamma=0.1, alpha=1e-6), AtomTiling(SPECTRUM))
    ),
}
NO_FORCES = ("linear", "linear, repulsion", "kernel")


@pytest.fixture(scope="module")
def atoms():
    return labelled_atoms(12)


@pytest.fixture(scope="module")
def fitted(atoms):
    made = {}

    def fit(name):
        if name not in made:
            off = {"forces": False, "stress": False} if name in NO_FORCES else {}
            made[name] = clone(POTENTIALS[name]).fit(atoms, **off)
        return made[name]

    return fit


@pytest.mark.parametrize("name", POTENTIALS)
def test_predictions_of_every_kind_belong_together(name, atoms, fitted):
    potential = fitted(name)
    energies = potential.predict(atoms)
    forces, stress = potential.predict_forces(atoms), potential.predict_stress(atoms)
    parts = potential.predict_contributions(atoms)
    assert energies.shape == (12,) and stress.shape == (12, 6)
    assert [f.shape for f in forces] == [(*p.shape, 3) for p in parts] == [(4, 3)] * 12
    np.testing.assert_allclose([part.sum() for part in parts], energies, rtol=1e-6)
    # Doubling along one edge doubles the energy; forces and stress stay.
    double = atoms[0].repeat((2, 1, 1))
    np.testing.assert_allclose(potential.predict([double]), 2 * energies[:1], rtol=1e-5)
    np.testing.assert_allclose(potential.predict_forces([double])[0][:4], forces[0], atol=1e-4)
    np.testing.assert_allclose(potential.predict_stress([double])[0], stress[0], atol=1e-5)
    # Packed structures and dicts are structures, too.
    np.testing.assert_array_equal(potential.predict(Structures.of(atoms)), energies)


@pytest.mark.parametrize("name", POTENTIALS)
def test_forces_are_the_derivative_of_the_energy(name, atoms, fitted):
    calculator = fitted(name).calculator(precision="float64")
    moved = atoms[3].copy()
    forces = calculator.get_property("forces", moved)
    h = 1e-4
    for atom, axis in ((0, 0), (2, 1), (3, 2)):
        energies = []
        for step in (h, -h):
            moved.positions[atom, axis] += step
            energies.append(calculator.get_potential_energy(moved))
            moved.positions[atom, axis] -= step
        slope = (energies[1] - energies[0]) / (2 * h)
        assert forces[atom, axis] == pytest.approx(slope, abs=2e-6)


def test_other_tile_models_learn_energies_and_have_no_forces(atoms):
    forest = EDNNRegressor(RandomForestRegressor(3), AtomTiling(SPECTRUM))
    potential = EDNNPotential(forest, random_state=0).fit(atoms, forces=False, stress=False)
    assert potential.score(atoms) > 0.5
    with pytest.raises(TileModelError, match=r"derivative|gradient"):
        potential.predict_forces(atoms)


def test_learning_pays(atoms):
    """Energies and forces of unseen structures, against what composition alone gives."""
    train, test = labelled_atoms(40, seed=1), labelled_atoms(10, seed=2)
    model = EDNNPotential(cutoff=CUTOFF, max_epochs=40, random_state=0, network_params=SMALL)
    errors = model.fit(train).errors(test)
    before = model.set_params(max_epochs=1).fit(train).errors(test)
    assert errors["energy_mae"] < 0.5 * before["energy_mae"]
    assert errors["force_mae"] < 0.7 * before["force_mae"]
    assert errors["stress_mae"] < before["stress_mae"]


def test_images_learn_forces_in_the_same_call():
    from sk_ednn.datasets import load_sheets

    sheets = load_sheets(as_ase=True, subset="graphene")
    structures = sheets.structures[:30]
    forces = [np.pad(each, ((0, 0), (0, 1))) for each in sheets.forces[:30]]
    tiling = GridTiling(8, 8, channel_axis=-1)
    draw = GaussianRasterizer((12.5 / 32, 13 / 32), width=0.4, channels=("C",))
    describe = LocalInvariants(8, 8, (12.5 / 32, 13 / 32), n_channels=1, random_state=0)
    ridge = EDNNRegressor(make_pipeline(describe, Ridge(1e-3)), tiling, baseline="content")
    potential = EDNNPotential(make_pipeline(draw, ridge), random_state=0)
    potential.fit(structures[:25], sheets.energies[:25], forces=forces[:25])
    errors = potential.errors(structures[25:], sheets.energies[25:30], forces=forces[25:])
    zero = 1e3 * np.abs(np.concatenate(forces[25:])).mean()
    assert errors["force_mae"] < 0.6 * zero
    energies_alone = clone(potential).fit(structures[:25], sheets.energies[:25], forces=False)
    again = energies_alone.errors(structures[25:], sheets.energies[25:30], forces=forces[25:])
    assert again["force_mae"] > errors["force_mae"]
    with pytest.raises(TileModelError, match="adjust"):
        potential.predict_stress(structures)
    with pytest.raises(TileModelError, match="no energies of atoms"):
        potential.predict_contributions(structures)
    assert "novelty" not in potential.calculator().implemented_properties


def test_scikit_learn_takes_it_for_a_regressor(atoms):
    energies = np.array([each.get_potential_energy() for each in atoms])
    names = {"forces": None, "stress": None}
    linear = EDNNPotential(EDNNRegressor(Ridge(1e-6), AtomTiling(SPECTRUM)), labels=names)
    result = cross_validate(linear, atoms, energies, cv=3, return_train_score=True)
    assert result["test_score"].shape == (3,) and result["train_score"].min() > 0.9
    for model in (linear, network(max_epochs=1)):
        sizes, train, _ = learning_curve(model, atoms, energies, train_sizes=[4, 6], cv=2)
        assert sizes.tolist() == [4, 6] and np.isfinite(train).all()
    copy = clone(network(trainer=PotentialTrainer(batch_size=3)))
    assert copy.get_params()["trainer__batch_size"] == 3
    assert copy.set_params(trainer__batch_size=2).trainer.batch_size == 2


def test_the_same_seed_gives_the_same_potential(atoms):
    one, other = (network().fit(atoms).predict(atoms) for _ in range(2))
    np.testing.assert_array_equal(one, other)
    assert np.abs(network(random_state=1).fit(atoms).predict(atoms) - one).max() > 1e-6


def test_warm_start_goes_on_with_more_data(atoms):
    potential = network(max_epochs=6, warm_start=True).fit(atoms[:6])
    weights = {k: v.clone() for k, v in potential.potential_.network.state_dict().items()}
    rate = PotentialTrainer(learning_rate=1e-12)
    potential.set_params(trainer=rate).fit(atoms)
    for name, weight in potential.potential_.network.state_dict().items():
        torch.testing.assert_close(weight, weights[name], rtol=1e-5, atol=1e-6)
    assert potential.labels_["structures"] == 12
    before = potential.predict(atoms)
    with pytest.raises(TileModelError, match=r"\b47\b"):
        silver = atoms[0].copy()
        silver.numbers[0] = 47
        potential.fit([silver], [-1.0])
    np.testing.assert_array_equal(potential.predict(atoms), before)


def test_an_interrupted_training_goes_on_from_its_checkpoint(atoms, tmp_path):
    whole = network(max_epochs=4).fit(atoms)
    calls = []

    def stop(record):
        calls.append(record["epoch"])
        return record["epoch"] == 2

    path = tmp_path / "run.ckpt"
    network(max_epochs=4, checkpoint=path, trainer=PotentialTrainer(callback=stop)).fit(atoms)
    resumed = network(max_epochs=4, checkpoint=path).fit(atoms)
    assert calls == [1, 2] and len(resumed.history_) == 4
    np.testing.assert_array_equal(resumed.predict(atoms), whole.predict(atoms))


def test_ctrl_c_keeps_what_was_trained(atoms):
    def interrupt(record):
        if record["epoch"] == 3:
            signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # none in the background
    try:
        potential = network(max_epochs=50, trainer=PotentialTrainer(callback=interrupt)).fit(atoms)
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(potential.history_) == 3 and np.isfinite(potential.predict(atoms)).all()


def test_validation_and_progress_are_printed(atoms, capsys):
    trainer = PotentialTrainer(validation_fraction=0.25, early_stopping=True)
    potential = network(trainer=trainer, verbose=1).fit(atoms)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("12 structures, 48 atoms (Si, Au): energy from 'energy' of 12 of 12")
    assert lines[1].startswith("epoch 1 of 2, ") and "meV/Å" in lines[1]
    assert {"loss", "valid_energy_mae"} < set(potential.history_[-1])


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({"max_epochs": 2}, r"member 1, epoch 1 of 2, \d+ s, about [\d.]+ \w+ left: loss "),
        (
            {"max_epochs": None, "max_seconds": 0.5},
            r"member 1, epoch 1, \d+ of 0\.25 s, about 1 s left: loss ",
        ),
        (
            {"max_epochs": 2, "max_seconds": 90.0},
            r"member 1, epoch 1 of 2, \d+ of 45 s, about [\d.]+ \w+ left: loss ",
        ),
    ],
)
def test_progress_names_the_limits_of_each_member(limits, expected, atoms, capsys):
    with kept_clocks(read=itertools.count(0, 0.01).__next__):
        network(verbose=1, n_members=2, **limits).fit(atoms)
    assert re.match(expected, capsys.readouterr().err.splitlines()[1])


def test_long_trainings_print_some_epochs_of_each_member(capsys):
    called = []
    progress = Progress(called.append)
    for member in (1, 2):
        for epoch in range(1, 201):
            progress({"epoch": epoch, "seconds": 0.5 * epoch, "loss": 1.0, "member": member})
    lines = capsys.readouterr().err.splitlines()
    assert len(called) == 400
    for member in (1, 2):
        epochs = [int(line.split("epoch ")[1].split(",")[0]) for line in lines
                  if line.startswith(f"member {member}, ")]  # fmt: skip
        assert epochs[:4] == [1, 2, 3, 4] and len(epochs) < 60 and epochs[-1] > 180


@pytest.mark.parametrize(
    ("limits", "left"),
    [
        ({}, None),
        ({"max_seconds": 100.0}, "about 80 s left"),
        ({"max_epochs": 20}, "about 50 s left"),
        ({"max_epochs": 20, "max_seconds": 40.0}, "about 20 s left"),
        ({"max_epochs": 20, "n_members": 3}, "about 3 min left"),  # of all of them
        ({"max_seconds": 15.0}, "about 1 s left"),
        ({"max_seconds": 100.0, "clock": "processor"}, "20 of 100 s of the processor, about 80 s"),
    ],
)
def test_progress_says_how_much_time_is_left(limits, left, capsys):
    member = {"member": 1} if limits.get("n_members", 1) > 1 else {}
    Progress(None, **limits)({"epoch": 6, "seconds": 20.0, "loss": 1.0, **member})
    (line,) = capsys.readouterr().err.splitlines()
    assert left in line if left else "left" not in line


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"model": "soap"}, "model must be one of spectrum"),
        ({"model": 3.0}, "model must be a name, a descriptor"),
        ({"model": AtomTiling(SPECTRUM, species="Si")}, "species=None"),
        ({"model": EDNNRegressor(Ridge(), GridTiling())}, "needs an AtomTiling"),
        ({"model": EDNNRegressor(Ridge(), AtomTiling(SPECTRUM)), "max_epochs": 3}, "max_epochs is"),
        ({"model": GaussianRasterizer(0.3, width=0.4)}, "must be followed by a regressor"),
        ({"cutoff": -1.0}, "cutoff"),
        ({"labels": {"charge": "q"}}, "keys of labels must be among energy, forces, stress"),
        ({"atomic_energies": {14: -4.0}}, "79"),
        ({"trainer": Ridge()}, "must be a PotentialTrainer"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(params, message, atoms):
    with pytest.raises((ValueError, TypeError), match=message):
        EDNNPotential(**{"max_epochs": None} | params).fit(atoms)


def test_given_atomic_energies_are_where_it_starts(atoms):
    linear = EDNNRegressor(Ridge(1e-6), AtomTiling(SPECTRUM), baseline=None)
    given = {14: -3.0, 79: -2.0}
    potential = EDNNPotential(linear, atomic_energies=given).fit(atoms, forces=False, stress=False)
    assert potential.potential_.atomic_energies == given
    lone = Structures.of([{"numbers": [14], "positions": [[0, 0, 0.0]], "pbc": False}])
    shifted = EDNNPotential(linear).fit(
        atoms,
        np.array([a.get_potential_energy() + sum(given[z] for z in a.numbers) for a in atoms]),
        forces=False, stress=False,
    )  # fmt: skip
    assert np.isfinite(potential.predict(lone)).all()
    assert np.isfinite(shifted.predict(atoms)).all()


@pytest.mark.parametrize("kind", ["spectrum", "linear"])
def test_repulsion_reaches_where_no_training_atoms_are(kind, atoms):
    """Two atoms that approach one another: as the nuclei, not as an extrapolation."""
    model = clone(POTENTIALS[kind])
    off = {"forces": False, "stress": False} if kind == "linear" else {}
    close = Structures.of([
        {"numbers": [14, 14], "positions": [[0, 0, 0], [0, 0, r]], "pbc": False}
        for r in (0.5, 1.0)
    ])  # fmt: skip
    repulsion = screened_repulsion(close).contributions
    energies = model.set_params(repulsion=True).fit(atoms, **off).predict(close)
    without = model.potential_.predict(close)  # the same, by the fitted potential
    np.testing.assert_array_equal(energies, without.energies)
    model.potential_ = dataclasses.replace(model.potential_, repulsion=False)
    np.testing.assert_allclose(
        energies - model.predict(close), repulsion.reshape(2, 2).sum(1), rtol=1e-9
    )


def test_labels_that_are_repulsion_alone_leave_nothing_to_learn():
    rng = np.random.default_rng(0)
    cells = [
        {
            "numbers": [14, 79],
            "positions": [[0, 0, 0], [0, 0, r]],
            "cell": 6 * np.eye(3),
            "pbc": True,
        }
        for r in rng.uniform(1.8, 2.4, 12)
    ]
    batch = Structures.of(cells)
    found = screened_repulsion(batch)
    energies = np.add.reduceat(found.contributions, batch.offsets[:-1])
    linear = EDNNPotential(
        EDNNRegressor(Ridge(1e-3), AtomTiling(SPECTRUM), baseline=None), repulsion=True
    )
    linear.fit(
        batch, energies, forces=list((0.0 - found.positions).reshape(12, 2, 3)), stress=False
    )
    np.testing.assert_allclose(linear.predict(batch), energies, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(
        np.concatenate(linear.predict_forces(batch)), 0.0 - found.positions, atol=1e-8
    )


def test_a_continued_potential_keeps_its_repulsion(atoms):
    potential = network(repulsion=True, warm_start=True).fit(atoms)
    assert potential.set_params(repulsion=False).fit(atoms).potential_.repulsion is True
    plain = network(warm_start=True).fit(atoms)
    before = plain.predict(atoms)
    with pytest.raises(TileModelError, match="fitted with repulsion=False"):
        plain.set_params(repulsion=True).fit(atoms)
    np.testing.assert_array_equal(plain.predict(atoms), before)


def test_images_have_no_repulsion(atoms):
    drawn = make_pipeline(
        GaussianRasterizer(0.3, width=0.4), EDNNRegressor(Ridge(), GridTiling(4, 2))
    )
    with pytest.raises(TileModelError, match="not for models of images"):
        EDNNPotential(drawn, repulsion=True).fit(atoms)


def test_unknown_species_are_named(atoms, fitted):
    odd = atoms[1].copy()
    odd.numbers[2] = 6
    with pytest.raises(TileModelError, match=r"structure 1, atom 2, is C.*fitted to Si, Au"):
        fitted("spectrum").predict([atoms[0], odd])


def test_energies_are_needed_where_nothing_else_is_learned(atoms):
    linear = EDNNPotential(EDNNRegressor(Ridge(), AtomTiling(SPECTRUM)))
    y = [np.nan, *[1.0] * 11]
    with pytest.warns(DataWarning, match="1 of 12 structures have no energy"):
        with pytest.raises(TileModelError, match="structure 0 has none"):
            linear.fit(atoms, y, forces=False, stress=False)


def test_labels_that_a_model_does_not_learn_are_reported(atoms):
    kernel = EDNNPotential(EDNNRegressor(KernelRidge(alpha=1e-6), AtomTiling(SPECTRUM)))
    with pytest.warns(DataWarning, match="forces and stress, which this model does not learn"):
        kernel.fit(atoms)
    assert kernel.labels_["unread"] == ["forces", "stress"]


def test_linear_models_learn_forces_and_stress():
    atoms = labelled_atoms(60, seed=5)
    train, test = atoms[:40], atoms[40:]
    linear = EDNNPotential(EDNNRegressor(Ridge(1e-6), AtomTiling(SPECTRUM)), random_state=0)
    both = clone(linear).fit(train)
    alone = clone(linear).fit(train, forces=False, stress=False)
    assert both.labels_["unread"] == []
    errors = [each.errors(test) for each in (both, alone)]
    assert errors[0]["force_mae"] < 0.8 * errors[1]["force_mae"]
    assert errors[0]["stress_mae"] < errors[1]["stress_mae"]
    forces = [each.get_forces() for each in train]
    forces[3][1] = np.nan
    with pytest.warns(DataWarning, match="1 of 40 structures have no forces"):
        with pytest.raises(TileModelError, match="structure 3 has atoms without forces"):
            linear.fit(train, forces=forces)
    # Structures without any are learned from their energies.
    forces[3][:] = np.nan
    with pytest.warns(DataWarning, match="forces"):
        clone(linear).fit(train, forces=forces)


def test_the_context_of_an_atom_tiling_is_for_other_models(atoms):
    tiling = AtomTiling(SPECTRUM, context=SPECTRUM)
    with pytest.raises(TileModelError, match="context=8"):
        EDNNPotential(tiling, max_epochs=1).fit(atoms)
    model = EDNNPotential(EDNNRegressor(Ridge(1e-3), tiling), random_state=0).fit(atoms)
    assert [term[2].context is not None for term in model.potential_.regressor.tile_model]
    assert np.isfinite(model.errors(atoms)["force_mae"])
    assert max(each.max() for each in model.novelty(atoms)) < 3


def test_spreads_are_the_errors_of_the_composition_alone(atoms):
    data = labelled(atoms)
    energies = 2.0 * np.array([(each.numbers == 14).sum() for each in atoms])
    energies -= 3.0 * np.array([(each.numbers == 79).sum() for each in atoms])
    shifted = labelled(atoms, data.energies + energies)
    before, after = spreads(data), spreads(shifted)
    assert after["energy"] == pytest.approx(before["energy"]) and before["energy"] > 0
    assert before["force"] == pytest.approx(1e3 * np.sqrt(np.mean(data.forces**2)))
    only = spreads(labelled(atoms[:1], forces=False, stress=False))
    assert only == {}  # one structure determines no energies of species
    exact = spreads(labelled(atoms, energies, forces=False, stress=False))
    assert exact["energy"] == pytest.approx(0.0, abs=1e-6)


def test_the_spread_of_few_structures_is_that_of_many():
    """Otherwise a sum over species, fitted to the few, would seem hard to improve on."""
    rng = np.random.default_rng(0)
    atoms = labelled_atoms(6)
    few = [
        spreads(labelled(atoms, rng.normal(size=6) * len(atoms[0]), forces=False, stress=False))
        for _ in range(300)
    ]
    variance = np.mean([each["energy"] ** 2 for each in few])
    assert variance == pytest.approx(1e6, rel=0.15)  # 1 eV per atom


@pytest.mark.parametrize(
    ("channels", "axis", "message"),
    [
        (None, -1, r"no axis of channels, but the tiling has channel_axis=-1"),
        (None, 0, r"no axis of channels, but the tiling has channel_axis=0"),
        ("species", None, r"set GridTiling\(channel_axis=-1\); got None"),
        ("species", 0, r"set GridTiling\(channel_axis=-1\); got 0"),
    ],
)
@pytest.mark.parametrize("forces", [None, False])
def test_axes_of_images_are_not_taken_for_channels(channels, axis, message, forces):
    """Without forces the fit took an axis of space for channels in silence."""
    draw = GaussianRasterizer(1.0, width=0.8, plane="xyz", channels=channels, adjust=0.4)
    images = make_pipeline(draw, EDNNRegressor(Ridge(), GridTiling(1, 0, channel_axis=axis)))
    with pytest.raises(TileModelError, match=message):
        EDNNPotential(images).fit(labelled_atoms(4), forces=forces, stress=False)
