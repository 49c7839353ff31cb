"""Training of potentials: what is learned, what is missing, and how it goes on."""

import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("vesin")
pytest.importorskip("sphericart.torch")

from sklearn.base import clone  # noqa: E402
from torch.optim.optimizer import register_optimizer_step_post_hook  # noqa: E402

from sk_ednn._utils.clocks import kept_clocks  # noqa: E402
from sk_ednn.exceptions import TileModelError  # noqa: E402
from sk_ednn.networks._atomic import AtomicNetwork, SpectrumNetwork  # noqa: E402
from sk_ednn.solvers import LossWeights  # noqa: E402
from sk_ednn.solvers._potential import (  # noqa: E402
    PotentialLabels,
    PotentialTrainer,
    potential_errors,
)
from sk_ednn.solvers._potential._run import CLOCKS  # noqa: E402
from sk_ednn.structures import Structures  # noqa: E402
from tests._potentials import CUTOFF, NETWORKS, morse, structure  # noqa: E402


@pytest.fixture(scope="module")
def data():
    """Structures of a pair potential with energies, forces and stresses."""
    rng = np.random.default_rng(0)
    structures = Structures.of([structure(rng, "cubic", n=5 + k % 3) for k in range(48)])
    energies, forces, stress = morse(structures)
    energies = energies + np.add.reduceat(
        np.where(structures.numbers == 14, -4.0, -3.0), structures.offsets[:-1]
    )
    return structures, PotentialLabels.of(structures, energies, forces, stress)


def trainer(**changes):
    parameters = {
        "max_epochs": 3, "max_seconds": None, "batch_size": 4, "random_state": 0,
        "learning_rate": 5e-3,
    }  # fmt: skip
    return PotentialTrainer(**parameters | changes)


def small(species):
    return NETWORKS["spectrum"](species)


def states_equal(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.values(), b.values(), strict=True))


def split(data, n=36):
    structures, labels = data
    train, test = np.arange(n), np.arange(n, len(structures))
    return (
        structures.take(train), labels.take(structures, train),
        structures.take(test), labels.take(structures, test),
    )  # fmt: skip


def test_labels_of_a_pair_potential_are_consistent(data):
    structures, labels = data
    h = 1e-5
    moved = structures.positions.copy()
    moved[3] += h * np.array([1.0, -1.0, 0.5])
    other = Structures(
        structures.numbers, moved, structures.cells, structures.pbc, structures.offsets
    )
    slope = (morse(other)[0] - morse(structures)[0]).sum() / h
    assert slope == pytest.approx(-labels.forces[3] @ [1.0, -1.0, 0.5], rel=1e-3, abs=1e-4)


def test_a_pair_potential_is_learned_and_shuffled_labels_are_not(data):
    train, train_labels, test, true = split(data)
    spread = np.nanstd(true.forces)
    rng = np.random.default_rng(1)
    shuffled = PotentialLabels(
        rng.permutation(train_labels.energies),
        rng.permutation(train_labels.forces),
        train_labels.stress * np.nan,
    )
    errors = [
        potential_errors(
            trainer(max_epochs=8).fit(train, labels, small).potential, test, true
        )["force_rmse"] / 1e3 / spread
        for labels in (train_labels, shuffled)
    ]  # fmt: skip
    assert errors[0] < 0.4
    assert errors[1] > 0.8


@pytest.mark.parametrize("kinds", [("energies",), ("forces",), ("stress",), ("energies", "stress")])
def test_kinds_that_are_not_there_are_not_learned_as_zeros(data, kinds):
    train, train_labels, _, _ = split(data)
    given = {kind: getattr(train_labels, kind) for kind in kinds}
    labels = PotentialLabels.of(train, **given)
    result = trainer().fit(train, labels, small)
    singular = {"energies": "energy", "forces": "force", "stress": "stress"}
    parts = {name for name in ("energy", "force", "stress") if name in result.history[0]}
    assert parts == {singular[kind] for kind in kinds}
    losses = [record["loss"] for record in result.history]
    assert np.isfinite(losses).all()


def test_a_missing_label_equals_its_absence(data):
    # One structure without a label of any kind, and the same data without the structure.
    train, train_labels, _, _ = split(data, 9)
    energies, forces, stress = (
        train_labels.energies.copy(),
        train_labels.forces.copy(),
        train_labels.stress.copy(),
    )
    energies[8] = stress[8] = np.nan
    forces[train.offsets[8] :] = np.nan
    missing = PotentialLabels.of(train, energies, forces, stress)
    fewer = train.take(range(8)), train_labels.take(train, range(8))
    options = {"batch_size": 9, "max_epochs": 2, "dtype": "float64"}
    # Both begin from the same weights and the same standardisation.
    start = trainer(**options).fit(*fewer, small).potential
    a = trainer(**options).fit(train, missing, start)
    b = trainer(**options).fit(*fewer, start)
    x, y = (r.potential.predict(train).energies for r in (a, b))
    np.testing.assert_allclose(x, y, rtol=1e-8)
    zeros = PotentialLabels.of(train, np.nan_to_num(energies), np.nan_to_num(forces))
    c = trainer(**options).fit(train, zeros, start)
    assert np.abs(c.potential.predict(train).energies - x).max() > 1e-3


def test_weights_of_samples_repeat_structures(data):
    train, train_labels, _, _ = split(data, 6)
    weight = np.array([2.0, 1, 1, 0, 1, 1])
    rows = [0, 0, 1, 2, 4, 5]
    options = {"batch_size": 6, "max_epochs": 2, "dtype": "float64"}
    start = trainer(**options).fit(train, train_labels, small).potential
    a = trainer(**options).fit(train, train_labels, start, sample_weight=weight)
    b = trainer(**options).fit(train.take(rows), train_labels.take(train, rows), start)
    # Energies and stresses are means over structures and agree; forces are means over atoms,
    # which do not if sizes differ: compare the baseline, which is exact.
    for number, energy in a.potential.atomic_energies.items():
        assert b.potential.atomic_energies[number] == pytest.approx(energy, rel=1e-10)
    assert not states_equal(a.potential.network.state_dict(), start.network.state_dict())
    with pytest.raises(TileModelError, match="sample_weight must be 6 finite numbers"):
        trainer().fit(train, train_labels, small, sample_weight=[1, -1, 1, 1, 1, 1])
    with pytest.raises(TileModelError, match="All sample weights are 0"):
        trainer().fit(train, train_labels, small, sample_weight=np.zeros(6))


class Stopped(Exception):
    pass


def stop_after(epochs):
    def callback(record):
        if record["epoch"] == epochs:
            raise Stopped

    return callback


@pytest.mark.parametrize("optimizer", ["muon", "adam", "sgd", "nadam"])
def test_a_killed_training_goes_on_to_the_last_bit(data, optimizer, tmp_path):
    train, train_labels, _, _ = split(data)
    options = {
        "max_epochs": 4, "optimizer": optimizer, "validation_fraction": 0.2, "early_stopping": True,
    }  # fmt: skip
    whole = trainer(**options).fit(train, train_labels, small)
    path = tmp_path / "training.pt"
    with pytest.raises(Stopped):
        trainer(**options, checkpoint=path, callback=stop_after(2)).fit(train, train_labels, small)
    resumed = trainer(**options, checkpoint=path).fit(train, train_labels, small)
    assert states_equal(
        whole.potential.network.state_dict(), resumed.potential.network.state_dict()
    )
    assert len(resumed.history) == 4
    assert [r["loss"] for r in resumed.history] == [r["loss"] for r in whole.history]
    assert resumed.best_epoch == whole.best_epoch


@pytest.mark.parametrize(
    ("given", "dtype", "expected"),
    [
        ("double", None, torch.float64), ("float", None, torch.float32),
        ("double", "float32", torch.float32), ("float", "float64", torch.float64),
    ],
)  # fmt: skip
def test_the_precision_of_a_network_is_kept_unless_another_is_named(data, given, dtype, expected):
    train, train_labels, *_ = data

    def network(species):
        return getattr(small(species), given)()

    fitted = trainer(max_epochs=1, dtype=dtype).fit(train, train_labels, network).potential
    assert {each.dtype for each in fitted.network.parameters()} == {expected}
    again = trainer(max_epochs=1).fit(train, train_labels, fitted).potential
    assert {each.dtype for each in again.network.parameters()} == {expected}


def test_a_second_training_on_a_checkpoint_is_refused_while_the_first_one_runs(data, tmp_path):
    train, train_labels, *_ = data
    path, refused = tmp_path / "run.ckpt", []

    def again(record):
        with pytest.raises(TileModelError, match=r"run\.ckpt is the checkpoint of a training that"):
            trainer(max_epochs=2, checkpoint=path).fit(train, train_labels, small)
        refused.append(record["epoch"])

    trainer(max_epochs=2, checkpoint=path, callback=again).fit(train, train_labels, small)
    assert refused == [1, 2]
    assert {each.name for each in tmp_path.iterdir()} == {"run.ckpt"}  # and no lock


def test_checkpoints_of_other_trainings_and_damaged_ones_are_refused(data, tmp_path):
    train, train_labels, _, _ = split(data, 8)
    path = tmp_path / "training.pt"
    trainer(max_epochs=1, checkpoint=path).fit(train, train_labels, small)
    with pytest.raises(TileModelError, match="checkpoint of another training"):
        trainer(max_epochs=1, checkpoint=path, learning_rate=1e-3).fit(train, train_labels, small)
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(TileModelError, match="is not a checkpoint"):
        trainer(max_epochs=1, checkpoint=path).fit(train, train_labels, small)
    assert path.read_bytes() == b"not a checkpoint"


def test_equal_seeds_give_equal_networks(data):
    train, train_labels, _, _ = split(data, 12)
    states = [
        trainer(random_state=seed).fit(train, train_labels, small).potential.network.state_dict()
        for seed in (3, 3, 4)
    ]
    assert states_equal(states[0], states[1])
    assert not states_equal(states[0], states[2])


def test_a_network_that_is_given_is_not_changed(data):
    train, train_labels, _, _ = split(data, 8)
    network = small([14, 79])
    before = {k: v.clone() for k, v in network.state_dict().items()}
    trainer().fit(train, train_labels, network)
    assert states_equal(before, network.state_dict())


def test_training_goes_on_from_a_potential_on_more_data(data):
    train, train_labels, _, _ = split(data)
    some = train.take(range(12)), train_labels.take(train, range(12))
    first = trainer(max_epochs=6).fit(*some, small).potential
    again = trainer(max_epochs=1, learning_rate=1e-9).fit(train, train_labels, first).potential
    mean = first.network.first[14].mean
    assert torch.equal(again.network.first[14].mean, mean)
    assert first.network.layers[0][14].weight.dtype == torch.float32
    # The weights go on from where they were, and the baseline is that of all data.
    for a, b in zip(first.network.parameters(), again.network.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-6)
    assert again.atomic_energies != first.atomic_energies


def test_species_that_new_data_lack_stay_as_they_were(data):
    train, train_labels, _, _ = split(data)
    first = trainer(max_epochs=2).fit(train, train_labels, small).potential
    rng = np.random.default_rng(4)
    silicon = Structures.of([structure(rng, numbers=[14, 14, 14, 14]) for _ in range(4)])
    labels = PotentialLabels.of(silicon, *morse(silicon))
    again = trainer(max_epochs=1).fit(silicon, labels, first).potential
    assert again.atomic_energies[79] == first.atomic_energies[79]
    assert again.atomic_energies[14] != first.atomic_energies[14]
    # A network that could have more species than it has seen.
    alone = trainer(max_epochs=1).fit(silicon, labels, small([14, 79])).potential
    with pytest.raises(TileModelError, match=r"\[14\] .*contain \[79\]"):
        alone.predict(train)


def test_held_out_groups_stay_together_and_the_best_epoch_is_kept(data):
    structures, labels = data
    groups = np.arange(len(structures)) // 6
    seen = []
    result = trainer(
        max_epochs=8, validation_fraction=0.25, early_stopping=True, learning_rate=0.02,
        callback=lambda record: seen.append(record["epoch"]),
    ).fit(structures, labels, small, groups=groups)  # fmt: skip
    losses = [record["valid_loss"] for record in result.history]
    assert result.best_epoch == 1 + int(np.argmin(losses))
    assert seen == list(range(1, 9))
    assert {"valid_energy_mae", "valid_force_mae", "valid_stress_mae"} <= set(result.history[0])


def test_patience_ends_a_training_that_does_not_improve(data):
    train, train_labels, test, true = split(data, 8)
    result = trainer(
        max_epochs=50, early_stopping=True, patience=2, learning_rate=1e-12, ema_decay=0.0,
        energy_weight=1.0, stress_weight=1.0, schedule="constant",
    ).fit(train, train_labels, small, validation=(test, true))  # fmt: skip
    assert len(result.history) < 50


def test_a_callback_or_an_interrupt_ends_a_training_with_what_there_is(data):
    train, train_labels, _, _ = split(data, 8)
    ended = trainer(max_epochs=50, callback=lambda record: record["epoch"] == 2).fit(
        train, train_labels, small
    )
    assert ended.interrupted and len(ended.history) == 2

    def interrupt(record):
        if record["epoch"] == 3:
            raise KeyboardInterrupt

    ended = trainer(max_epochs=50, callback=interrupt).fit(train, train_labels, small)
    assert ended.interrupted and len(ended.history) == 3
    assert np.isfinite(ended.potential.predict(train).energies).all()


def test_seconds_end_a_training(data):
    train, train_labels, _, _ = split(data, 8)
    # Of the processor: other programs may leave it no time for the last steps.
    result = trainer(max_epochs=None, max_seconds=0.3, clock="processor").fit(
        train, train_labels, small
    )
    assert result.history[-1]["learning_rate"] < 1e-4


class Clock:
    """A clock that advances by so much with each step of the optimizer."""

    def __init__(self):
        self.now, self.seconds_per_step = 0.0, 0.0

    def advance(self, *_):
        self.now += self.seconds_per_step


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setitem(CLOCKS, "wall", lambda: clock.now)
    hook = register_optimizer_step_post_hook(clock.advance)
    yield clock
    hook.remove()


@pytest.mark.parametrize(("later", "epochs"), [(1.0, 10), (3.0, 5), (0.25, 33)])
def test_schedules_are_stretched_to_the_steps_that_fit(data, clock, later, epochs):
    """Also where the processor gets slower or faster while it trains."""
    train, train_labels, _, _ = split(data, 16)
    clock.seconds_per_step = 1.0

    def callback(record):
        if record["epoch"] == 2:
            clock.seconds_per_step = later

    batches = 8
    result = trainer(
        max_epochs=None, max_seconds=10.0 * batches, batch_size=2, callback=callback
    ).fit(train, train_labels, small)
    assert clock.now <= 10.0 * batches
    assert abs(len(result.history) - epochs) <= 2
    rates = [record["learning_rate"] for record in result.history]
    assert rates[-1] < 1e-2 * max(rates)


@pytest.mark.parametrize("name", ["wall", "processor"])
def test_only_the_chosen_clock_ends_a_training(data, clock, monkeypatch, name):
    train, train_labels, _, _ = split(data, 8)
    other = {"wall": "processor", "processor": "wall"}[name]
    monkeypatch.setitem(CLOCKS, name, lambda: clock.now)
    monkeypatch.setitem(CLOCKS, other, lambda: 0.0)
    clock.seconds_per_step = 1.0
    timed = trainer(max_epochs=None, max_seconds=8.0, batch_size=2, clock=name)
    assert len(timed.fit(train, train_labels, small).history) == 2
    counted = trainer(max_epochs=5, max_seconds=8.0, batch_size=2, clock=other)
    assert len(counted.fit(train, train_labels, small).history) == 5


def test_no_time_of_a_callback_counts(data, clock):
    """Recorded runs are paused there."""
    train, train_labels, _, _ = split(data, 8)
    clock.seconds_per_step = 1.0

    def paused(record):
        clock.now += 1e6

    options = {"max_epochs": None, "max_seconds": 40.0, "batch_size": 2}
    once = trainer(**options).fit(train, train_labels, small)
    again = trainer(**options, callback=paused).fit(train, train_labels, small)
    assert again.history == once.history and len(once.history) > 5


def test_replayed_clock_makes_the_same_potential_at_another_speed(data, clock, tmp_path):
    """Also where the first training was killed and resumed."""
    train, train_labels, _, _ = split(data, 16)
    options = {"max_epochs": None, "max_seconds": 20.0, "batch_size": 2}
    clock.seconds_per_step = 0.5
    path = tmp_path / "training.pt"
    with kept_clocks(), pytest.raises(Stopped):
        trainer(**options, checkpoint=path, callback=stop_after(2)).fit(train, train_labels, small)
    with kept_clocks() as first:
        whole = trainer(**options, checkpoint=path).fit(train, train_labels, small)
    clock.seconds_per_step = 0.125
    other = trainer(**options).fit(train, train_labels, small)
    assert len(other.history) > 2 * len(whole.history)  # the clock decides
    with kept_clocks(first.readings()) as second:
        again = trainer(**options).fit(train, train_labels, small)
    assert states_equal(whole.potential.network.state_dict(), again.potential.network.state_dict())
    assert again.history == whole.history
    np.testing.assert_array_equal(first.readings()["potential"], second.readings()["potential"])


def test_a_killed_training_of_some_seconds_goes_on_to_the_last_bit(data, clock, tmp_path):
    train, train_labels, _, _ = split(data, 16)
    options = {"max_epochs": None, "max_seconds": 20.0, "batch_size": 2}
    clock.seconds_per_step = 0.5
    whole = trainer(**options).fit(train, train_labels, small)
    path = tmp_path / "training.pt"
    with pytest.raises(Stopped):
        trainer(**options, checkpoint=path, callback=stop_after(2)).fit(train, train_labels, small)
    resumed = trainer(**options, checkpoint=path).fit(train, train_labels, small)
    assert states_equal(
        whole.potential.network.state_dict(), resumed.potential.network.state_dict()
    )
    assert resumed.history == whole.history


@pytest.mark.parametrize(
    "optimizer", ["muon", "adam", "adamw", "sgd", "adagrad", "adadelta", "rmsprop", "nadam",
                  torch.optim.RAdam],
)  # fmt: skip
@pytest.mark.parametrize("schedule", ["constant", "exponential", "cosine", "one-cycle"])
def test_optimizers_and_schedules_run(data, optimizer, schedule):
    train, train_labels, _, _ = split(data, 6)
    result = trainer(max_epochs=2, optimizer=optimizer, schedule=schedule).fit(
        train, train_labels, small
    )
    assert np.isfinite(result.history[-1]["loss"])


def test_a_robust_loss_withstands_a_wrong_label(data):
    train, train_labels, test, true = split(data)
    forces = train_labels.forces.copy()
    forces[5] = [300.0, -300.0, 300.0]
    wrong = PotentialLabels(train_labels.energies, forces, train_labels.stress)
    errors = [
        potential_errors(
            trainer(max_epochs=8, force_delta=delta, clip=None).fit(train, wrong, small).potential,
            test, true,
        )["force_mae"]
        for delta in (None, 0.5)
    ]  # fmt: skip
    assert errors[1] < 0.8 * errors[0]


def test_collinear_compositions_and_given_atomic_energies(data):
    rng = np.random.default_rng(2)
    # One composition throughout: only the sum of the two energies is known.
    structures = Structures.of([structure(rng, numbers=[14, 79, 14, 79]) for _ in range(6)])
    labels = PotentialLabels.of(structures, np.full(6, -14.0))
    fitted = trainer(max_epochs=1).fit(structures, labels, small).potential.atomic_energies
    assert fitted == pytest.approx({14: -3.5, 79: -3.5})
    given = {79: -3.0, 14: -4.0, 8: 1.0}
    kept = trainer(max_epochs=1, atomic_energies=given).fit(structures, labels, small)
    assert kept.potential.atomic_energies == given
    with pytest.raises(TileModelError, match=r"no energy for the atomic numbers \[79\]"):
        trainer(atomic_energies={14: -4.0}).fit(structures, labels, small)


def test_descriptors_are_computed_once_where_they_fit(data):
    train, train_labels, _, _ = split(data, 8)
    results = [
        trainer(cache_megabytes=size).fit(train, train_labels, NETWORKS["chebyshev"]).potential
        for size in (100.0, 0.0)
    ]
    assert states_equal(*[r.network.state_dict() for r in results])
    assert isinstance(results[0].network, AtomicNetwork)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"max_epochs": None}, "Set max_epochs or max_seconds"),
        ({"max_epochs": 0}, "'max_epochs' parameter of PotentialTrainer must be an int"),
        ({"schedule": "linear"}, "'schedule' .* must be a str among .*one-cycle"),
        ({"energy_weight": (1.0, -1.0)}, "energy_weight must be a number of at least 0 or a pair"),
        ({"optimizer": "lbfgs"}, "LBFGS evaluates the loss of all data several times"),
        ({"optimizer": "adan"}, "optimizer must be one of muon, adam, adamw"),
        ({"optimizer_params": {"decay": 1}}, "optimizer_params of Muon must be among"),
        ({"weight_decay": -0.1}, r"'weight_decay' .* in the range \[0.0, inf\) or None"),
        (
            {"weight_decay": 0.1, "optimizer_params": {"weight_decay": 0.1}},
            "weight_decay=0.1 is also given in optimizer_params",
        ),
        ({"validation_fraction": 1.0}, r"'validation_fraction' .* in the range \[0.0, 1.0\)"),
        ({"dtype": "float16"}, "'dtype' .* must be a str among"),
        ({"force_delta": 0.0}, r"'force_delta' .* in the range \(0.0, inf\) or None"),
        ({"learning_rate": 1e30, "clip": None}, "The training diverged in epoch"),
    ],
)
def test_bad_parameters_are_named(data, change, message):
    train, train_labels, _, _ = split(data, 8)
    with pytest.raises(ValueError, match=message):
        trainer(**change).fit(train, train_labels, small)


@pytest.mark.parametrize("optimizer", ["muon", "adamw", "sgd"])
def test_weights_decay_at_the_rate_that_is_named(data, optimizer):
    train, train_labels, _, _ = split(data, 8)

    def fitted(**decay):
        # Wide layers, since Muon leaves narrow matrices to Adam, without decay.
        settings = {"optimizer": optimizer, "max_epochs": 1, "learning_rate": 1e-3}
        result = trainer(**settings, **decay).fit(
            train, train_labels, lambda species: SpectrumNetwork(species, CUTOFF, hidden=(32, 32))
        )
        return result.potential.network.state_dict()

    by_name = fitted(weight_decay=3.0)
    assert states_equal(by_name, fitted(optimizer_params={"weight_decay": 3.0}))
    assert not states_equal(by_name, fitted())


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (np.zeros(8), "validation_fraction=0.5 leaves nothing to learn from. .* all 8 structures"),
        (np.zeros(7), r"groups must be of shape \(8,\)"),
        ([0, 0, 0, 0, 1, 1, 1, None], "The group of entry 7 of groups is missing"),
    ],
)
def test_bad_groups_are_named(data, groups, message):
    train, train_labels, _, _ = split(data, 8)
    with pytest.raises(ValueError, match=message):
        trainer(validation_fraction=0.5).fit(train, train_labels, small, groups=groups)


def test_bad_labels_are_named(data):
    structures, labels = data
    with pytest.raises(TileModelError, match="energies must be of shape"):
        PotentialLabels.of(structures, labels.energies[1:])
    forces = labels.forces.copy()
    forces[7, 1] = np.inf
    with pytest.raises(TileModelError, match="The force of structure 1, atom 2 is infinite"):
        PotentialLabels.of(structures, forces=forces)
    with pytest.raises(TileModelError, match="no energies, forces or stresses to learn from"):
        PotentialLabels.of(structures)
    dimer = Structures.of([
        {"numbers": [14, 79], "positions": [[0, 0, 0], [0, 0, 2.5]], "cell": np.zeros((3, 3)),
         "pbc": False}
    ])  # fmt: skip
    with pytest.raises(TileModelError, match="Structure 0 has a stress and no volume"):
        PotentialLabels.of(dimer, stress=np.zeros((1, 6)))


def test_a_trainer_is_cloned_as_an_estimator_is():
    copy = clone(trainer(energy_weight=(1.0, 2.0)))
    assert copy.get_params()["energy_weight"] == (1.0, 2.0)


# --- weights by last errors ---------------------------------------------------------------------


def test_last_errors_are_those_of_structures(data):
    from sk_ednn.networks._atomic import NeighborTable, energy_forces_stress
    from sk_ednn.solvers._potential._last_errors import LastErrors, relative_errors
    from sk_ednn.solvers._potential._loss import Targets
    from sk_ednn.structures import neighbor_pairs

    structures, labels = data
    forces, stress = labels.forces.copy(), labels.stress.copy()
    forces[: structures.offsets[1]] = np.nan
    forces[structures.offsets[2] + 1] = np.nan
    stress[3] = np.nan
    labels = PotentialLabels.of(structures, labels.energies, forces, stress)
    result = trainer(dtype="float64").fit(structures, labels, small)
    potential = result.potential
    base = np.add.reduceat(
        [potential.atomic_energies[int(z)] for z in structures.numbers], structures.offsets[:-1]
    )
    targets = Targets(labels, labels.energies - base, None, torch.float64, "cpu")
    weights = LossWeights(1.0, min_effective=1e-3)
    last = LastErrors(weights, targets, len(structures))
    table = NeighborTable(neighbor_pairs(structures, 4.0), torch.float64)
    for rows in (np.arange(20), np.arange(20, 48)[::-1].copy()):
        batch = table.batch(rows)
        predicted = energy_forces_stress(potential.network, batch, forces=True, stress=True)
        last.note(predicted, batch, torch.as_tensor(rows))
    true = potential.predict(structures, forces=True, stress=True)
    sizes = structures.sizes
    squares = [((true.energies - labels.energies) / sizes) ** 2]
    errors = np.split((true.forces - forces) ** 2, structures.offsets[1:-1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # means of nothing
        squares.append([np.nanmean(each) for each in errors])
        virials = (true.stress - stress) * structures.volumes[:, None] / sizes[:, None]
        squares.append(np.nanmean(virials**2, axis=1))
    np.testing.assert_allclose(last.squares.numpy(), np.transpose(squares), rtol=1e-8)
    last.reweight()
    expected = weights(relative_errors(last.squares.numpy()))
    np.testing.assert_allclose(targets.weight.numpy(), expected)
    assert targets.weight.mean() == pytest.approx(1.0)


def test_weights_of_exponent_zero_change_nothing(data):
    structures, labels, *_ = split(data)
    plain = trainer().fit(structures, labels, small)
    zero = trainer(weighting=LossWeights(0.0)).fit(structures, labels, small)
    steep = trainer(weighting=LossWeights(2.0)).fit(structures, labels, small)
    for mine, other in ((zero, True), (steep, False)):
        close = np.allclose(
            mine.potential.predict(structures).energies,
            plain.potential.predict(structures).energies, rtol=0, atol=1e-4,
        )  # fmt: skip
        assert close is other
    assert [record["exponent"] for record in steep.history] == [0.0, *[2.0] * 2] or (
        0 < steep.history[-1]["exponent"] < 2
    )


def test_training_with_weights_by_losses_resumes_bit_for_bit(data, tmp_path):
    structures, labels, *_ = split(data)
    whole = trainer(weighting=LossWeights(1.0)).fit(structures, labels, small)
    parts = trainer(weighting=LossWeights(1.0), checkpoint=tmp_path / "run.ckpt")
    stopped = clone(parts).set_params(callback=lambda record: record["epoch"] == 2)
    assert stopped.fit(structures, labels, small).interrupted
    resumed = parts.fit(structures, labels, small)
    assert states_equal(
        resumed.potential.network.state_dict(), whole.potential.network.state_dict()
    )
    with pytest.raises(TileModelError, match="checkpoint of another training"):
        clone(parts).set_params(weighting=LossWeights(2.0)).fit(structures, labels, small)
    with pytest.raises(ValueError, match=r"'weighting' .* must be an instance of .*LossWeights"):
        trainer(weighting="site").fit(structures, labels, small)


@pytest.mark.parametrize(("n_threads", "during"), [(1, 1), (None, 2)])
def test_trainings_use_one_thread_unless_told_otherwise(data, n_threads, during):
    seen, before = [], torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        trainer(
            max_epochs=1, n_threads=n_threads,
            callback=lambda record: seen.append(torch.get_num_threads()),
        ).fit(*data, small)  # fmt: skip
        assert seen == [during] and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
