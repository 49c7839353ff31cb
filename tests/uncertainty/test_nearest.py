"""Distances to the nearest training tile against brute force, in any number of dimensions."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.metrics import pairwise_distances

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.uncertainty import TileNovelty, _nearest, _novelty, novelty
from sk_ednn.uncertainty._nearest import NearestRows

SPREADS = {
    "noise": lambda rng, n, d: rng.normal(size=(n, d)),
    "spins": lambda rng, n, d: rng.choice([-1.0, 1.0], size=(n, d)),
    "far from zero": lambda rng, n, d: 1e6 + rng.normal(size=(n, d)),
    "pairs that are nearly equal": lambda rng, n, d: np.repeat(
        rng.normal(size=(n, d)), 2, axis=0
    )[:n] + 1e-6 * rng.normal(size=(n, d)),
}  # fmt: skip


@pytest.mark.parametrize("kind", SPREADS)
@pytest.mark.parametrize("n_numbers", [3, 40])
def test_distances_are_those_of_brute_force(kind, n_numbers, monkeypatch):
    monkeypatch.setattr(_nearest, "_IN_HAND", 1000)
    rng = np.random.default_rng(0)
    rows = SPREADS[kind](rng, 150, n_numbers)
    others = np.concatenate([SPREADS[kind](rng, 60, n_numbers), rows[:20]])
    nearest = NearestRows(rows)
    differences = np.linalg.norm(others[:, None] - rows, axis=2)
    found = nearest.distances(others)
    np.testing.assert_allclose(found, differences.min(axis=1), rtol=1e-4, atol=1e-8)
    assert np.all(found[-20:] == 0)
    between = pairwise_distances(rows - rows.mean(axis=0))
    np.fill_diagonal(between, np.inf)
    atol = 1e-6 if kind == "far from zero" else 1e-7
    np.testing.assert_allclose(
        nearest.distances_between(), between.min(axis=1), rtol=1e-3, atol=atol
    )


def test_equal_rows_are_neighbours_of_each_other():
    rows = np.tile(np.random.default_rng(0).normal(size=(5, 30)), (2, 1))
    np.testing.assert_array_equal(NearestRows(rows).distances_between(), np.zeros(10))


def test_rows_far_beyond_single_precision_are_far():
    rows = np.random.default_rng(0).normal(size=(50, 30))
    found = NearestRows(rows).distances(1e30 * np.ones((1, 30)))
    np.testing.assert_allclose(found, 1e30 * np.sqrt(30))


def spins(n, shape, seed):
    return np.random.default_rng(seed).choice([-1, 1], size=(n, *shape)).astype(np.int8)


def model_of(X, context=2):
    return EDNNRegressor(Ridge(), GridTiling(1, context)).fit(X, X.sum(axis=(1, 2), dtype=float))


@pytest.mark.parametrize("dtype", ["i1", "f8"])
def test_tiles_that_were_seen_are_not_novel_although_few_are_compared_with(dtype):
    X = np.concatenate([spins(2, (12, 12), 0)] * 20)
    model = model_of(X)
    reference = TileNovelty(model, X, max_tiles=50, random_state=0)
    found = reference.compare(X[:2].astype(dtype))
    assert np.all(found.share == 0) and np.all(found.distance == 0)
    assert np.all(reference.compare(spins(2, (12, 12), 1)).distance > 0)


def test_results_do_not_depend_on_the_sizes_of_blocks(monkeypatch):
    X, others = spins(20, (8, 8), 0), spins(4, (16, 16), 1)
    model = model_of(X)
    expected = novelty(model, X, others, max_tiles=300, random_state=0)
    monkeypatch.setattr(_novelty, "_BLOCK_TILES", (7, 7))
    monkeypatch.setattr(_novelty, "_BLOCK_BYTES", 1 << 10)
    found = novelty(model, X, others, max_tiles=300, random_state=0)
    np.testing.assert_allclose(found.share, expected.share)
    np.testing.assert_allclose(found.distance, expected.distance)


def test_training_tiles_are_fewer_where_they_have_many_features(monkeypatch):
    X = np.random.default_rng(0).normal(size=(20, 8, 8))
    model = model_of(X, context=1)
    monkeypatch.setattr(_novelty, "_LEAST_TILES", 30)
    for numbers, expected in ((9 * 100, 100), (9, 30), (10**9, 20 * 64)):
        monkeypatch.setattr(_novelty, "_MAX_NUMBERS", numbers)
        reference = TileNovelty(model, X, random_state=0)
        assert len(reference._nearest.distances_between()) == expected


def test_progress_is_shown_on_request(monkeypatch, capsys):
    monkeypatch.setattr(_novelty, "_DELAY", 0.0)
    X = spins(10, (8, 8), 0)
    model = model_of(X)
    novelty(model, X, X, verbose=0)
    assert "novelty" not in capsys.readouterr().err
    novelty(model, X, X, verbose=1)
    assert "novelty: 100%" in capsys.readouterr().err
