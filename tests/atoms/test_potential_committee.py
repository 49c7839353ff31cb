"""Several networks as one potential: means, spread, files, calculators and continued fits."""

import itertools
import warnings

import numpy as np
import pytest

pytest.importorskip("ase")
pytest.importorskip("torch")
pytest.importorskip("vesin")

from ase.calculators.fd import calculate_numerical_forces
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Ridge

from sk_ednn import EDNNRegressor
from sk_ednn._utils.clocks import kept_clocks
from sk_ednn.atoms import EDNNPotential, PotentialCommittee, PotentialTrainer
from sk_ednn.descriptors import PowerSpectrum
from sk_ednn.exceptions import TileModelError
from sk_ednn.files import load, save
from sk_ednn.report import potential_report
from sk_ednn.tiling import AtomTiling
from tests._labelled import labelled_atoms
from tests._potentials import CUTOFF

SMALL = {"n_radial": 3, "l_max": 2, "channels": 4, "partners": 2, "hidden": (8,)}
DOUBLE = PotentialTrainer(dtype="float64")


def committee(n_members=3, **params):
    params = {"cutoff": CUTOFF, "network_params": SMALL, "max_epochs": 2, "random_state": 0,
              "trainer": DOUBLE} | params  # fmt: skip
    return EDNNPotential(n_members=n_members, **params)


@pytest.fixture(scope="module")
def structures():
    return labelled_atoms(10)


@pytest.fixture(scope="module")
def fitted(structures):
    return committee().fit(structures)


def each_alone(potential):
    """Return the members as potentials by themselves."""
    alone = []
    for member in potential.potential_.members:
        one = committee(1)
        vars(one).update({**vars(potential), "n_members": 1, "potential_": member})
        alone.append(one)
    return alone


def test_members_differ_and_predictions_are_their_mean(fitted, structures):
    alone = each_alone(fitted)
    energies = np.array([one.predict(structures) for one in alone])
    forces = np.array([np.concatenate(one.predict_forces(structures)) for one in alone])
    assert energies.std(axis=0).min() > 0
    mean, std = fitted.predict(structures, return_std=True)
    np.testing.assert_allclose(mean, energies.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(std, energies.std(axis=0), rtol=1e-6, atol=1e-12)
    mean, std = fitted.predict_forces(structures, return_std=True)
    assert [part.shape for part in std] == [(len(each), 3) for each in structures]
    np.testing.assert_allclose(np.concatenate(mean), forces.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(np.concatenate(std), forces.std(axis=0), atol=1e-12)
    np.testing.assert_allclose(fitted.predict(structures), energies.mean(axis=0), rtol=1e-12)
    stress = np.mean([one.predict_stress(structures) for one in alone], axis=0)
    np.testing.assert_allclose(fitted.predict_stress(structures), stress, atol=1e-14)


def test_contributions_add_up_to_energies(fitted, structures):
    sums = [each.sum() for each in fitted.predict_contributions(structures)]
    np.testing.assert_allclose(sums, fitted.predict(structures), rtol=1e-12)


def test_a_mean_square_error_is_at_most_the_members_mean(fitted, structures):
    squares = [one.errors(structures)["force_rmse"] ** 2 for one in each_alone(fitted)]
    assert fitted.errors(structures)["force_rmse"] ** 2 < np.mean(squares)


def test_calculator_forces_are_the_gradient_of_the_mean(fitted, structures):
    atoms = structures[0].copy()
    atoms.calc = fitted.calculator(precision="float64")
    numerical = calculate_numerical_forces(atoms, eps=1e-4, iatoms=[0, 1])
    np.testing.assert_allclose(atoms.get_forces()[:2], numerical, atol=1e-6)
    assert atoms.calc.get_property("novelty", atoms).shape == (len(atoms),)


def test_files_keep_all_members(fitted, structures, tmp_path):
    save(fitted, tmp_path / "committee.ednn", unit="eV")
    again = load(tmp_path / "committee.ednn")
    for mine, theirs in zip(
        fitted.predict(structures, return_std=True),
        again.predict(structures, return_std=True),
        strict=True,
    ):
        np.testing.assert_array_equal(mine, theirs)


def test_history_counts_epochs_of_each_member(fitted):
    done = [(record["member"], record["epoch"]) for record in fitted.history_]
    assert done == [(member, epoch) for member in (1, 2, 3) for epoch in (1, 2)]


def test_the_same_seed_gives_the_same_committee(fitted, structures):
    again = committee().fit(structures)
    np.testing.assert_array_equal(again.predict(structures), fitted.predict(structures))
    # A seed of the trainer is that of all members together, not of each.
    seeded = committee(2, trainer=PotentialTrainer(random_state=1)).fit(structures)
    assert seeded.predict(structures, return_std=True)[1].min() > 0


def test_time_is_shared():
    trainers = []

    class Listening(PotentialTrainer):
        def fit(self, *args, **kwargs):
            trainers.append(self)
            return super().fit(*args, **kwargs)

    few = labelled_atoms(3)
    with kept_clocks(read=itertools.count(0, 0.01).__next__):
        committee(2, max_epochs=None, max_seconds=0.2, trainer=Listening()).fit(few)
    assert [each.max_seconds for each in trainers] == [0.1, 0.1]


def test_warm_start_continues_each_member(structures):
    short = committee(2, max_epochs=1).fit(structures)
    before = short.potential_.members
    short.set_params(warm_start=True, max_epochs=2).fit(structures)
    assert len(short.potential_.members) == 2
    # From scratch the standardisation would be drawn anew; continued, it stays.
    for old, new in zip(before, short.potential_.members, strict=True):
        for number in old.network.index.numbers:
            assert (old.network.first[number].mean == new.network.first[number].mean).all()
    with pytest.raises(TileModelError, match="continues 2 fitted member"):
        short.set_params(n_members=3).fit(structures)
    assert len(short.potential_.members) == 2


def test_a_callback_that_ends_the_training_ends_the_committee(structures):
    seen = []

    def callback(record):
        seen.append((record["member"], record["epoch"]))
        return record["member"] == 2

    trainer = PotentialTrainer(callback=callback)
    fitted = committee(4, trainer=trainer).fit(structures)
    assert seen == [(1, 1), (1, 2), (2, 1)]
    assert len(fitted.potential_.members) == 2


def test_a_killed_training_resumes_bit_for_bit(structures, tmp_path):
    path = tmp_path / "run.ckpt"
    whole = committee(2).fit(structures)

    class Killed(Exception):
        pass

    def killed(record):
        if (record["member"], record["epoch"]) == (2, 1):
            raise Killed

    def trainer(callback=None):
        return PotentialTrainer(dtype="float64", callback=callback)

    with pytest.raises(Killed):
        committee(2, checkpoint=path, trainer=trainer(killed)).fit(structures)
    assert sorted(each.name for each in tmp_path.glob("*.ckpt")) == ["run-1.ckpt", "run-2.ckpt"]
    resumed = committee(2, checkpoint=path, trainer=trainer()).fit(structures)
    np.testing.assert_array_equal(resumed.predict(structures), whole.predict(structures))


def test_models_without_members_are_refused_by_name(structures):
    linear = EDNNRegressor(Ridge(), AtomTiling(PowerSpectrum(CUTOFF, n_radial=3, max_l=2)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(TileModelError, match="n_members=2 is for networks"):
            EDNNPotential(linear, n_members=2).fit(structures)
    single = committee(1).fit(structures)
    assert not isinstance(single.potential_, PotentialCommittee)
    with pytest.raises(TileModelError, match="needs several members"):
        single.predict(structures, return_std=True)


def test_the_report_shows_a_line_for_each_member(fitted, structures):
    pytest.importorskip("matplotlib")
    html = potential_report(fitted, structures).html
    assert "of 3 networks, one line each" in html
    assert "3 × " in html


def test_members_trained_for_different_times_are_named(structures):
    now, pace = 0.0, 0.01

    def read():
        nonlocal now
        now += pace
        return now

    def slow(record):
        nonlocal pace
        pace = 0.01 if record["member"] == 1 else 0.1

    potential = committee(
        2, max_epochs=None, max_seconds=2.0, trainer=PotentialTrainer(callback=slow)
    )
    with (
        kept_clocks(read=read),
        pytest.warns(ConvergenceWarning, match=r"trained for \d+, \d+ epochs.*max_epochs"),
    ):
        potential.fit(structures)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        committee(2, trainer=PotentialTrainer(callback=slow)).fit(structures)
