"""Evaluations: blocks, workers, the cache of Unique, and the choice of AutoEvaluation."""

import gc
import math
import pickle
import time
from importlib.util import find_spec

import numpy as np
import pytest
from joblib import parallel_config
from sklearn.base import clone
from sklearn.linear_model import LinearRegression
from threadpoolctl import threadpool_info

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn._parallel.workers import map_blocks
from sk_ednn.evaluation import AutoEvaluation, Direct, Unique
from sk_ednn.exceptions import TileModelError
from tests._cases import CountsCalls, Returns, as_nan, fitted, make_field, make_spins


def case(kind="spins", n_samples=4, shape=(9, 7), tile_model="kernel"):
    """Return a tile model, a tiling, and fields with many blocks."""
    model = fitted(tile_model, "2-D", kind)
    return model.tile_model_, model.tiling_, model.tiling_.check(make_field(kind, n_samples, shape))


def counting(kind="spins"):
    """Return a case whose tile model counts the tiles that it evaluates."""
    X = make_field(kind, 12, (4, 3))
    model = EDNNRegressor(CountsCalls(kernel="rbf", gamma=0.1), GridTiling())
    model.fit(X, X.astype(float).sum(axis=(1, 2)))
    CountsCalls.n_tiles = 0
    fields = model.tiling_.check(make_field(kind, 4, (9, 7), 3))
    return model.tile_model_, model.tiling_, fields


def rest_a_little(block):
    time.sleep(0.005 * (1 + block % 3))
    return block


# --- workers ----------------------------------------------------------------------------------


@pytest.mark.parametrize("evaluation", [Direct(max_tiles=20), Unique(max_tiles=20)])
@pytest.mark.parametrize("backend", ["threading", "loky", "sequential"])
@pytest.mark.parametrize("n_jobs", [2, 3])
def test_all_workers_give_equal_totals(backend, n_jobs, evaluation):
    arguments = case("float64")
    expected = clone(evaluation).set_params(n_jobs=1).totals(*arguments)
    maps = clone(evaluation).set_params(n_jobs=1).contributions(*arguments)
    several = clone(evaluation).set_params(n_jobs=n_jobs)
    with parallel_config(backend):
        np.testing.assert_array_equal(several.totals(*arguments), expected)
        for one, other in zip(several.contributions(*arguments), maps, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.skipif(find_spec("distributed") is None, reason="distributed is not installed")
def test_workers_of_a_dask_cluster_give_equal_totals():
    from distributed import Client, LocalCluster

    arguments = case("float64")
    expected = Direct(max_tiles=20).totals(*arguments)
    cluster = LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None
    )
    with cluster, Client(cluster), parallel_config("dask"):
        np.testing.assert_array_equal(Direct(n_jobs=2, max_tiles=20).totals(*arguments), expected)


def test_joblib_config_sets_n_jobs():
    arguments = case("float64")
    expected = Direct(max_tiles=20).totals(*arguments)
    with parallel_config("threading", n_jobs=2):
        np.testing.assert_array_equal(Direct(max_tiles=20).totals(*arguments), expected)


def test_thread_limits_of_the_process_are_restored():
    # Of libraries that have one number for all threads of a process, it is easily lost.
    before = {pool["filepath"]: pool["num_threads"] for pool in threadpool_info()}
    for _ in range(2):
        work = map_blocks(rest_a_little, list(range(16)), n_jobs=2, verbose=0)
        assert [result for _, result in work] == list(range(16))
    after = {pool["filepath"]: pool["num_threads"] for pool in threadpool_info()}
    assert {path: after[path] for path in before} == before


# --- blocks -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Direct, Unique])
def test_blocks_respect_max_tiles_and_max_bytes(kind):
    tile_model, tiling, fields = case("float64")
    seen = []

    class Spy(type(tile_model)):
        def predict(self, tiles):
            seen.append(len(tiles))
            return super().predict(tiles)

    spy = Spy(tile_model.estimator, tile_model.tile_shape, tile_model.n_outputs)
    kind(max_tiles=10).totals(spy, tiling, fields)
    assert max(seen) <= 10
    seen.clear()
    kind(max_bytes=10 * spy.bytes_per_tile if kind is Direct else 800).totals(spy, tiling, fields)
    assert max(seen) <= 10
    seen.clear()
    kind().totals(spy, tiling, fields)
    assert seen == [4 * 9 * 7]


def test_totals_of_many_blocks_are_correctly_rounded():
    """With parts that nearly cancel, in an order in which naive summation loses digits."""
    X = np.zeros((1, 3_000))
    X[0, ::3], X[0, 1::3], X[0, 2::3] = 1e16, 1.0, -1e16
    model = EDNNRegressor(LinearRegression(), GridTiling(1, 0), baseline=None)
    model.fit([np.ones(3), 2 * np.ones(3), np.ones(5)], [3.0, 6.0, 5.0])
    tile_model, tiling = model.tile_model_, model.tiling_
    fields = tiling.check(list(X))
    exact = math.fsum(Direct().contributions(tile_model, tiling, fields)[0].ravel())
    total = Direct(max_tiles=1).totals(tile_model, tiling, fields)[0, 0]
    assert total == exact


@pytest.mark.parametrize(
    "evaluation", [Direct(max_tiles=10), Unique(max_tiles=10), AutoEvaluation()]
)
def test_tile_model_that_returns_nan_is_rejected(evaluation):
    X = make_field("float64", 12, (4, 3))
    model = EDNNRegressor(Returns(as_nan), GridTiling()).fit(X, X.sum(axis=(1, 2)))
    with pytest.raises(TileModelError, match="Returns returned NaN or infinity"):
        evaluation.totals(model.tile_model_, model.tiling_, model.tiling_.check(X))


# --- the cache of Unique --------------------------------------------------------------------------


def test_unique_evaluates_each_distinct_tile_once():
    tile_model, tiling, fields = counting()
    evaluation = Unique()
    totals = evaluation.totals(tile_model, tiling, fields)
    assert 0 < CountsCalls.n_tiles <= 512
    assert evaluation.table_length(tile_model) == CountsCalls.n_tiles
    CountsCalls.n_tiles = 0
    np.testing.assert_array_equal(evaluation.totals(tile_model, tiling, fields), totals)
    evaluation.contributions(tile_model, tiling, fields)
    assert CountsCalls.n_tiles == 0
    others = tiling.check(make_spins(4, (8, 8), 9))
    np.testing.assert_allclose(
        evaluation.totals(tile_model, tiling, others),
        Unique(table_size=0).totals(tile_model, tiling, others),
        rtol=1e-12,
    )


def test_cache_persists_between_calls_of_predict():
    X = make_spins(100, (4, 4))
    model = EDNNRegressor(CountsCalls(kernel="rbf", gamma=0.1)).fit(X, X.sum(axis=(1, 2)))
    first = model.predict(X)
    CountsCalls.n_tiles = 0
    np.testing.assert_array_equal(model.predict(X), first)
    assert CountsCalls.n_tiles == 0
    assert isinstance(model.evaluation_, AutoEvaluation)


@pytest.mark.parametrize("max_tiles", [None, 9])
@pytest.mark.parametrize("size", [0, 1, 10, 10_000])
def test_cache_is_bounded_by_table_size(size, max_tiles):
    tile_model, tiling, fields = counting()
    expected = Direct().totals(tile_model, tiling, fields)
    evaluation = Unique(table_size=size, max_tiles=max_tiles)
    for _ in range(3):
        np.testing.assert_allclose(
            evaluation.totals(tile_model, tiling, fields), expected, rtol=1e-12
        )
        assert evaluation.table_length(tile_model) <= size


@pytest.mark.parametrize("kind", ["levels", "float32", "bool"])
def test_cache_distinguishes_dtypes_correctly(kind):
    tile_model, tiling, fields = case(kind)
    evaluation = Unique()
    for dtype in (None, np.float64, np.float32):
        X = fields.stacks[0].values
        X = X if dtype is None else X.astype(dtype)
        np.testing.assert_allclose(
            evaluation.totals(tile_model, tiling, tiling.check(X)),
            Direct().totals(tile_model, tiling, tiling.check(X)),
            rtol=1e-6,
        )


def test_cache_treats_negative_zero_as_zero():
    tile_model, tiling, _ = counting("levels")
    zeros = tiling.check(np.zeros((1, 4, 4)))
    evaluation = Unique()
    total = evaluation.totals(tile_model, tiling, zeros)
    CountsCalls.n_tiles = 0
    np.testing.assert_array_equal(
        evaluation.totals(tile_model, tiling, tiling.check(-np.zeros((1, 4, 4)))), total
    )
    assert CountsCalls.n_tiles == 0


def test_cache_lives_as_long_as_its_tile_model():
    tile_model, tiling, fields = counting()
    doubled = tile_model.__class__(
        tile_model.estimator, tile_model.tile_shape, tile_model.n_outputs, scale=2.0
    )
    evaluation = Unique()
    once = evaluation.totals(tile_model.with_baseline(None), tiling, fields)
    np.testing.assert_allclose(evaluation.totals(doubled, tiling, fields), 2 * once, rtol=1e-12)
    assert evaluation.table_length(doubled) > 0
    gc.collect()
    assert len(evaluation._tables()) == 1  # the first model is gone, and its table
    assert evaluation.table_length(tile_model) == 0


@pytest.mark.parametrize("evaluation", [Unique(), AutoEvaluation()])
def test_caches_are_not_pickled_or_cloned(evaluation):
    arguments = case()
    evaluation = clone(evaluation)
    totals = evaluation.totals(*arguments)
    for copy in (pickle.loads(pickle.dumps(evaluation)), clone(evaluation)):
        assert vars(copy) == copy.get_params()
        np.testing.assert_array_equal(copy.totals(*arguments), totals)


# --- AutoEvaluation -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("spins", Unique), ("bool", Unique), ("float64", Direct), ("float32", Direct)],
)
def test_auto_selects_by_repetition_of_tiles(kind, expected):
    arguments = case(kind, 12, (9, 9))
    auto = AutoEvaluation(n_jobs=2, max_tiles=50, verbose=0)
    chosen = auto.select(*arguments)
    assert type(chosen) is expected
    assert (chosen.n_jobs, chosen.max_tiles) == (2, 50)
    assert auto.select(*arguments) is chosen  # which remembers
    plain = expected(max_tiles=50)
    np.testing.assert_array_equal(auto.totals(*arguments), plain.totals(*arguments))


@pytest.mark.parametrize("kind", [Direct, Unique, AutoEvaluation])
@pytest.mark.parametrize(("param", "value"), [("max_tiles", 0), ("max_bytes", 0), ("n_jobs", 1.5)])
def test_parameters_are_validated(kind, param, value):
    with pytest.raises(ValueError, match=f"The '{param}' parameter of .* must be"):
        kind(**{param: value}).totals(*case())


def test_n_jobs_defaults_to_that_of_the_regressor():
    X = make_field("float64", 12, (4, 3))
    y = X.sum(axis=(1, 2))
    assert EDNNRegressor(n_jobs=2).fit(X, y).evaluation_.n_jobs == 2
    assert EDNNRegressor(n_jobs=2, evaluation=Direct(1)).fit(X, y).evaluation_.n_jobs == 1
    model = EDNNRegressor(evaluation=Direct()).fit(X, y)
    assert model.evaluation.n_jobs is None
    assert model.evaluation_ is not model.evaluation


@pytest.mark.parametrize("channel_axis", [None, 0, -1])
def test_auto_detects_noise_without_cutting_tiles(channel_axis, monkeypatch):
    rng = np.random.default_rng(0)
    noise = rng.random((2, 3, 12, 12) if channel_axis == 0 else (2, 12, 12, 3))
    noise = noise[..., 0] if channel_axis is None else noise
    tiling = GridTiling(2, 1, channel_axis=channel_axis)
    model = EDNNRegressor(tiling=tiling).fit(noise, noise.reshape(2, -1).sum(axis=1))
    checked, kind = model.tiling_, model.tile_model_
    cut = []
    real = type(checked).block_tiles
    monkeypatch.setattr(type(checked), "block_tiles", lambda *args: cut.append(args) or real(*args))
    auto = AutoEvaluation()
    assert not isinstance(auto.select(kind, checked, noise), Unique) and not cut
    # One site of each focus is the same, the rest is not: tiles have to be looked at.
    same = noise.copy()
    same[(slice(None), *[slice(None, None, 2) if n == 12 else 0 for n in noise.shape[1:]])] = 0.5
    assert not isinstance(auto.select(kind, checked, same), Unique) and len(cut) == 1
    assert isinstance(auto.select(kind, checked, np.sign(noise)), Unique) and len(cut) == 2
