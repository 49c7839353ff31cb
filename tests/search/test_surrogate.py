"""Committees: gradients equal finite differences, what is held out is not seen."""

import numpy as np
import pytest

pytest.importorskip("ase")
pytest.importorskip("vesin")
from ase.build import bulk
from ase.calculators.emt import EMT

from sk_ednn.search import (
    CalculatorLabeller,
    CommitteeSurrogate,
    Fingerprint,
    Label,
    LinearCommittee,
    StructurePool,
    relax,
)
from sk_ednn.search._features import CACHE, FeatureCache, cached_features
from sk_ednn.search._label import Sanity, as_structure
from sk_ednn.search._pool import Member
from sk_ednn.structures import Structure


@pytest.fixture(scope="module", params=[CommitteeSurrogate, LinearCommittee])
def copper(request):
    cells = [bulk("Cu", a=3.55 + 0.01 * k, cubic=True) for k in range(15)]
    for k, cell in enumerate(cells):
        cell.rattle(0.12, seed=k)
    structures = [as_structure(cell) for cell in cells]
    labels = [CalculatorLabeller(EMT).label(structure) for structure in structures]
    return structures, labels, request.param(random_state=0).fit(structures, labels)


def strained(structure, strain):
    deform = np.eye(3) + strain
    return Structure(
        structure.numbers, structure.positions @ deform, structure.cell @ deform, structure.pbc
    )


def test_gradients_equal_finite_differences(copper):
    structures, _, surrogate = copper
    prediction = surrogate.evaluate(structures[0])
    energies, std = surrogate.predict(structures[:1])
    assert prediction.energy == pytest.approx(energies[0]) and prediction.std == pytest.approx(
        std[0]
    )
    h = 1e-4
    moved = []
    for sign in (1, -1):
        positions = structures[0].positions.copy()
        positions[2, 1] += sign * h
        moved.append(Structure(structures[0].numbers, positions, *vars_of(structures[0])))
    plus, minus = surrogate.predict(moved)[0]
    assert -(plus - minus) / (2 * h) == pytest.approx(prediction.forces[2, 1], abs=1e-6)
    strain = np.zeros((3, 3))
    strain[0, 2] = strain[2, 0] = h
    plus, minus = surrogate.predict([strained(structures[0], s) for s in (strain, -strain)])[0]
    both = prediction.strain[0, 2] + prediction.strain[2, 0]
    assert (plus - minus) / (2 * h) == pytest.approx(both, abs=1e-5)


def vars_of(structure):
    return structure.cell, structure.pbc


def test_held_out_errors_are_those_of_members_that_did_not_see(copper):
    structures, labels, fitted = copper
    # One label is wrong by 1 eV per atom; the member fitted without it cannot reproduce that.
    wrong = list(labels)
    wrong[4] = type(labels[4])(labels[4].energy + 4.0)
    surrogate = type(fitted)(random_state=0).fit(structures, wrong)
    assert surrogate.errors_[4] == pytest.approx(1.0, abs=0.02)
    assert surrogate.std_scale_ >= 1.0


def test_a_failed_fit_leaves_the_surrogate_as_it_was(copper):
    structures, labels, fitted = copper
    surrogate = type(fitted)(random_state=0).fit(structures, labels)
    before = vars(surrogate).copy()
    with pytest.raises(ValueError, match="at least 5 labels"):
        surrogate.fit(structures[:3], labels[:3])
    assert vars(surrogate) == before


def test_a_linear_committee_equals_least_squares_on_its_rows():
    cells = [bulk("CuAu", "rocksalt", a=5.0 + 0.02 * k) * (1, 1, 2) for k in range(6)]
    for k, cell in enumerate(cells):
        cell.rattle(0.2, seed=k)
    structures = [as_structure(cell) for cell in cells]
    labels = [CalculatorLabeller(EMT).label(structure) for structure in structures]
    labels[3] = Label(labels[3].energy)  # as of a method without forces
    weights = np.array([1.0, 2, 1, 3, 1, 1])
    settings = {"cutoff": 4.0, "n_radial": 2, "max_l": 1, "n_members": 2, "random_state": 0}
    model = LinearCommittee(**settings, force_weight=0.5).fit(structures, labels, weights)
    columns = model.coef_[0].size
    folds = np.random.RandomState(0).permutation(6) % 2
    seen = [cached_features(model.descriptor_, s) for s in structures]
    # The same problem by its textbook form, with rows from central differences.
    rows, targets, h = [], [], 1e-5
    for k in np.flatnonzero(folds != 0):
        structure, label, w, n = structures[k], labels[k], weights[k], 4
        rows.append(np.sqrt(w) / n * seen[k].sums)
        targets.append(np.sqrt(w) / n * label.energy)
        if label.forces is None:
            continue
        for a, b in np.ndindex(n, 3):
            move = np.zeros((n, 3))
            move[a, b] = h
            plus, minus = (
                cached_features(model.descriptor_, Structure(
                    structure.numbers, structure.positions + step, *vars_of(structure)
                )).sums for step in (move, -move)
            )  # fmt: skip
            rows.append(np.sqrt(w * 0.5 / 12) * (plus - minus) / (2 * h))
            targets.append(-np.sqrt(w * 0.5 / 12) * label.forces[a, b])
        volume = abs(np.linalg.det(structure.cell))
        for i, j in ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)):
            strain = np.zeros((3, 3))
            strain[i, j] = strain[j, i] = h if i == j else h / 2
            plus, minus = (
                cached_features(model.descriptor_, strained(structure, step)).sums
                for step in (strain, -strain)
            )
            rows.append(np.sqrt(w / 6) / n * (plus - minus) / (2 * h))
            targets.append(np.sqrt(w / 6) / n * volume * label.stress[i, j])
    sums = np.array([one.sums for one in seen]).sum(axis=0).reshape(2, -1)
    squares = np.array([one.squares for one in seen]).sum(axis=0).reshape(2, -1)
    scale = np.sqrt(squares / sums[:, :1] - (sums / sums[:, :1]) ** 2)
    scale[:, 0] = 1.0
    ridge = np.where(np.arange(columns) % (columns // 2) == 0, 1e-3, 1.0)
    ridge = np.diag(np.sqrt(model.penalty_ * weights.sum() * ridge))
    x = np.concatenate([np.array(rows) / scale.reshape(-1), ridge])
    expected = np.linalg.lstsq(x, np.concatenate([targets, np.zeros(columns)]), rcond=None)[0]
    coefficients = model.coef_[0].reshape(-1) * scale.reshape(-1)
    assert np.abs(x @ (coefficients - expected)).max() < 1e-5 * np.abs(targets).max()


def test_what_was_described_is_kept_within_a_limit(copper):
    structures, labels, _ = copper
    LinearCommittee(random_state=0).fit(structures, labels)
    used = CACHE.used
    LinearCommittee(random_state=1).fit(structures, labels)
    assert CACHE.used == used
    one = cached_features(LinearCommittee().fit(structures, labels).descriptor_, structures[0])
    small = FeatureCache(2 * one.by_positions.nbytes)
    for key in "abac":
        small.put(key, one) if small.get(key) is None else None
    assert [small.get(key) is not None for key in "abc"] == [True, False, True]


def test_relaxation_finds_the_minimum_of_the_surrogate(copper):
    structures, _, surrogate = copper
    relaxed = relax(structures[3], surrogate.evaluate, variable_cell=True)
    assert relaxed.reason == "converged"
    label = CalculatorLabeller(EMT).label(relaxed.structure)
    perfect = CalculatorLabeller(EMT).label(bulk("Cu", a=3.6, cubic=True))
    assert label.energy < perfect.energy + 0.04
    assert relaxed.energy == pytest.approx(label.energy, abs=0.05)


def test_relaxation_stops_where_it_makes_no_sense(copper):
    structures, _, surrogate = copper
    tight = Sanity(volume_range=(1.0, 11.0))
    squeezed = strained(structures[0], -0.03 * np.eye(3))
    relaxed = relax(squeezed, surrogate.evaluate, variable_cell=True, sanity=tight)
    assert relaxed.reason == "exploded"
    assert tight.fault_of_structure(relaxed.structure) is None
    with pytest.raises(ValueError, match="initial structure is implausible"):
        relax(structures[-1], surrogate.evaluate, sanity=tight)


def test_relaxation_stops_where_the_committee_disagrees(copper):
    structures, _, _ = copper

    def evaluate(structure):
        prediction = copper[2].evaluate(structure)
        calls.append(prediction)
        return type(prediction)(
            prediction.energy, 0.01 * len(calls), prediction.forces, prediction.strain
        )

    calls = []
    relaxed = relax(structures[0], evaluate, max_std=0.0, max_force=1e-6)
    assert relaxed.reason == "disagreement" and relaxed.n_steps == 1


class Constant:
    """A potential with a constant energy per atom."""

    def __init__(self, random_state=None):
        self.random_state = random_state

    def get_params(self, deep=True):
        return {"random_state": self.random_state}

    def set_params(self, random_state):
        self.random_state = random_state
        return self

    def fit(self, structures, y, *, forces=None, stress=None, sample_weight=None):
        assert len(forces) == len(stress) == len(structures) == len(sample_weight)
        assert stress.shape[1] == 6
        self.energy_ = np.mean(y / [len(s.numbers) for s in structures])
        return self

    def predict(self, structures):
        return np.array([self.energy_ * len(s.numbers) for s in structures])

    def predict_all(self, structures):
        from types import SimpleNamespace

        n = sum(len(s.numbers) for s in structures)
        stress = np.tile(np.arange(1.0, 7.0), (len(structures), 1))
        return SimpleNamespace(
            energies=self.predict(structures), forces=np.ones((n, 3)), stress=stress
        )


def test_potentials_are_members_too(copper):
    structures, labels, _ = copper
    surrogate = CommitteeSurrogate(Constant(), n_members=3, random_state=0).fit(structures, labels)
    prediction = surrogate.evaluate(structures[0])
    volume = np.linalg.det(structures[0].cell)
    np.testing.assert_allclose(prediction.strain / volume, [[1, 6, 5], [6, 2, 4], [5, 4, 3]])
    mean = np.mean([label.energy for label in labels])
    assert prediction.energy == pytest.approx(mean, abs=0.3)


class Remembering(Constant):
    """A member that remembers all energies that it was ever fitted to."""

    def __init__(self, warm_start=False, epochs=9, random_state=None):
        self.warm_start, self.epochs, self.random_state = warm_start, epochs, random_state

    def get_params(self, deep=True):
        names = ("warm_start", "epochs", "random_state")
        return {name: getattr(self, name) for name in names}

    def set_params(self, **params):
        vars(self).update(params)
        return self

    def fit(self, structures, y, **targets):
        before = self.seen_ if self.warm_start else set()
        self.seen_ = before | set(np.asarray(y).tolist())
        self.trained_ = [*(self.trained_ if self.warm_start else []), self.epochs]
        return super().fit(structures, y, **targets)


def test_members_that_continue_never_see_what_they_are_tested_on(copper):
    structures, labels, _ = copper
    rng = np.random.default_rng(0)
    surrogate = CommitteeSurrogate(Remembering(), n_members=3, retrain={"epochs": 2})
    for n in (8, 10, len(structures)):
        order = rng.permutation(n)  # labels end in any order
        surrogate.fit([structures[k] for k in order], [labels[k] for k in order], ids=order)
        energies = np.array([labels[k].energy for k in range(n)])
        for fold, member in enumerate(surrogate.members_):
            assert member.seen_ == set(energies[np.arange(n) % 3 != fold].tolist())
    assert [member.trained_ for member in surrogate.members_] == [[9, 2, 2]] * 3
    with pytest.raises(ValueError, match="ids of structures"):
        surrogate.fit(structures, labels)
    other = [bulk("Au", cubic=True) for _ in labels]
    surrogate.fit(other, labels, ids=np.arange(len(labels)))
    assert [member.trained_ for member in surrogate.members_] == [[9]] * 3
    begun = CommitteeSurrogate(Remembering(), n_members=3, random_state=0)
    for _ in range(2):
        begun.fit(structures, labels)
    assert [member.trained_ for member in begun.members_] == [[9]] * 3


def test_a_failed_continuation_leaves_the_members_as_they_were(copper):
    structures, labels, _ = copper
    surrogate = CommitteeSurrogate(Remembering(), n_members=3, retrain={"epochs": 2})
    surrogate.fit(structures[:8], labels[:8], ids=np.arange(8))
    before = surrogate.members_
    surrogate.set_params(retrain={"epochs": 2, "warm_start": "no such"})
    with pytest.raises(TypeError):
        surrogate.fit(structures, labels, ids=np.arange(len(labels)))
    assert surrogate.members_ is before and [m.trained_ for m in before] == [[9]] * 3


def test_networks_continue_their_training(copper):
    pytest.importorskip("torch")
    from sk_ednn.atoms import EDNNPotential

    structures, labels, _ = copper
    member = EDNNPotential(cutoff=4.5, max_epochs=40)
    surrogate = CommitteeSurrogate(member, 2, retrain={"max_epochs": 1}, random_state=0)
    ids = np.arange(len(labels))
    surrogate.fit(structures[:10], labels[:10], ids=ids[:10])
    before = surrogate.predict(structures)[0]
    surrogate.fit(structures, labels, ids=ids)
    after = surrogate.predict(structures)[0]
    short = EDNNPotential(cutoff=4.5, max_epochs=1)
    fresh = CommitteeSurrogate(short, 2, random_state=0)
    energies = np.array([label.energy for label in labels])
    anew = fresh.fit(structures, labels).predict(structures)[0]
    assert not np.array_equal(before, after)
    assert abs(after - energies).mean() < 0.5 * abs(anew - energies).mean()


# ------------------------------------------------------------------------------ what is distinct


def test_fingerprints_are_invariant_and_tell_crystals_apart():
    fingerprint = Fingerprint([29, 79])
    alloy = bulk("Cu", a=3.8, cubic=True)
    alloy.numbers[:2] = 79
    turned = alloy[[2, 0, 3, 1]]
    turned.rotate(40, (1, 2, 3), rotate_cell=True)
    turned.translate([0.3, 0.2, 0.1])
    assert fingerprint.distance(fingerprint(alloy), fingerprint(turned)) < 1e-10
    other = alloy.copy()
    other.numbers[:] = other.numbers[::-1]
    other.numbers[[0, 1]] = 79, 29
    other.rattle(0.1, seed=0)
    assert fingerprint.distance(fingerprint(alloy), fingerprint(other)) > 0.01


def test_pool_keeps_the_best_of_the_distinct():
    pool = StructurePool(size=2, min_distance=0.1)
    at = {"a": [1.0, 0.0], "near a": [1.0, 0.01], "b": [0.0, 1.0], "c": [-1.0, 0.0]}

    def add(k, energy, where):
        return pool.add(Member(k, None, energy, np.array(at[where])))

    assert add(1, -1.0, "a") and add(2, -0.5, "b")
    assert not add(3, -0.9, "near a")
    assert add(4, -1.1, "near a") and not add(5, -0.4, "c")
    assert [m.id for m in pool.members] == [4, 2]
    pool.energy_window = 0.1
    assert add(6, -2.0, "c") and [m.id for m in pool.members] == [6]
