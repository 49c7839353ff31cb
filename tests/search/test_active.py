"""Active learning selects rare and unfamiliar structures, and survives failing labellers."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.exceptions import NoveltyWarning
from sk_ednn.search import ActiveLearning

MODEL = EDNNRegressor(make_pipeline(PolynomialFeatures(3), Ridge(1e-8)), GridTiling(1, 0))
N_COMMON, N_RARE = 180, 20


def total(field):
    return float((field**3 - field).sum())


@pytest.fixture(scope="module")
def pool():
    rng = np.random.default_rng(0)
    common, rare = rng.normal(size=(N_COMMON, 6)) * 0.05, rng.uniform(-3, 3, size=(N_RARE, 6))
    return np.concatenate([common, rare])


def test_it_finds_the_rare_ones(pool):
    results = {}
    for strategy in ("committee", "random"):
        learning = [
            ActiveLearning(
                MODEL, pool, lambda field: total(field) + 0.01 * np.sin(1e3 * field).sum(),
                strategy=strategy, random_state=seed,
            ).run(25)
            for seed in range(3)
        ]  # fmt: skip
        results[strategy] = np.mean(
            [np.sum(np.array(one.indices_) >= N_COMMON) for one in learning]
        )
    assert results["committee"] > 2 * results["random"]


def test_a_seed_gives_one_run_and_runs_go_on(pool):
    one = ActiveLearning(MODEL, pool, total, random_state=0).run(25)
    seen = []
    two = ActiveLearning(MODEL, pool, total, random_state=0)
    two.run(15, lambda learning: seen.append(len(learning.indices_))).run(25)
    assert one.indices_ == two.indices_ and seen == [10, 15]
    assert len(set(one.indices_)) == 25
    np.testing.assert_allclose(one.totals_, [total(pool[k]) for k in one.indices_])
    everything = ActiveLearning(MODEL, pool[:12], total, random_state=0).run(50)
    assert sorted(everything.indices_) == list(range(12))


def test_failed_labels_are_listed_and_never_learned(pool):
    def labeller(field):
        if field[0] > 0:
            raise RuntimeError("no SCF")
        return np.nan if field[1] > 0 else total(field)

    learning = ActiveLearning(MODEL, pool, labeller, random_state=0).run(20)
    assert len(learning.indices_) == 20 and (pool[learning.indices_][:, :2] <= 0).all()
    assert set(learning.failed_.values()) == {"RuntimeError: no SCF", "the total is nan"}
    with pytest.raises(ValueError, match="None of 10 labels succeeded"):
        ActiveLearning(MODEL, pool[:12], lambda field: np.inf).run(5)
    with pytest.raises(ValueError, match="Expected a strategy"):
        ActiveLearning(MODEL, pool, total, strategy="best").run(5)


def test_structures_are_a_pool_too():
    pytest.importorskip("vesin")
    from sk_ednn.descriptors import PowerSpectrum
    from sk_ednn.structures import Structure
    from sk_ednn.tiling import AtomTiling

    rng = np.random.default_rng(0)
    pool = [
        Structure([18, 18], [[0, 0, 0], [0, 0, r]], np.zeros((3, 3)), False)
        for r in rng.uniform(2, 4, size=30)
    ]
    model = EDNNRegressor(Ridge(1e-8), AtomTiling(PowerSpectrum(5.0, n_radial=4, max_l=0)))
    learning = ActiveLearning(
        model, pool, lambda pair: np.cos(np.asarray(pair.positions)[1, 2]), random_state=0
    ).run(20)
    error = learning.model_.predict(pool) - [np.cos(pair.positions[1][2]) for pair in pool]
    assert np.abs(error).max() < 0.05


def test_the_pool_is_no_surprise(recwarn):
    # Rare systems are far from all labelled ones: what the committee is there for.
    rng = np.random.default_rng(0)
    fields = np.concatenate([0.05 * rng.normal(size=(60, 6)), rng.uniform(-3, 3, size=(6, 6))])
    model = EDNNRegressor(Ridge(1e-6), GridTiling(1, 0))
    ActiveLearning(model, fields, np.sum, n_initial=10, random_state=0).run(20)
    assert not [w for w in recwarn if issubclass(w.category, NoveltyWarning)]
