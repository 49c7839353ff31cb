"""DaskBlocks: lazy evaluation with totals that are bitwise equal to serial evaluation."""

import math
import os
import pickle
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import joblib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.evaluation import Direct, Unique
from sk_ednn.evaluation._exact import ExactTotals, exact_parts
from sk_ednn.exceptions import BlockError, MissingExtraError, TileModelError, TilingError
from sk_ednn.fields import ArraySource
from sk_ednn.fields._fields import check_fields
from tests._cases import Returns, as_nan
from tests._sources import Formula, Slow, lines

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")
DaskBlocks = pytest.importorskip("sk_ednn.evaluation._dask").DaskBlocks
packing = pytest.importorskip("sk_ednn._parallel.payloads")

pytestmark = pytest.mark.filterwarnings("ignore:Chunks of")
ROOT = Path(__file__).parents[2]
BOUNDARIES = ("periodic", "zero", "reflect", "nearest")


@pytest.fixture(autouse=True)
def one_by_one(request):
    scheduler = None if "client" in request.fixturenames else "synchronous"
    with dask.config.set(scheduler=scheduler):
        yield


def numbers(shape, seed=0, dtype=np.float64):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def fit(tiling=None, tile_model=None, evaluation=None, shape=(12, 8), n_outputs=1, **params):
    X = numbers((20, *shape), 1)
    y = np.stack([(X**2).reshape(20, -1).sum(axis=1), X.reshape(20, -1).sum(axis=1)], axis=1)
    model = EDNNRegressor(
        Ridge() if tile_model is None else tile_model,
        tiling or GridTiling(2, 3),
        evaluation=evaluation or Direct(max_tiles=10),
        **params,
    )
    return model.fit(X, y[:, 0] if n_outputs == 1 else y)


# --- equality with serial evaluation --------------------------------------------------------


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("chunks", [(1, 24, 20), (2, 7, 20), (3, 5, 1), ((1, 2), (20, 4), (3, 17))])
def test_totals_equal_serial_totals_for_all_chunks_and_boundaries(boundary, chunks):
    """With chunks larger than a task, unaligned chunks, and chunks smaller than the context."""
    model = fit(GridTiling(2, 3, boundary=boundary))
    X = numbers((3, 24, 20))
    lazy = model.predict(da.from_array(X, chunks=chunks))
    maps = model.predict_contributions(da.from_array(X, chunks=chunks))
    assert isinstance(lazy, da.Array)
    assert isinstance(maps, da.Array)
    assert (lazy.shape, maps.shape) == ((3,), (3, 12, 10))
    np.testing.assert_array_equal(lazy.compute(), model.predict(X))
    np.testing.assert_array_equal(maps.compute(), model.predict_contributions(X))


@given(st.data())
def test_totals_equal_serial_totals_for_all_shapes_and_groups(data):
    ndim = data.draw(st.integers(1, 3))
    focus = data.draw(st.lists(st.integers(1, 3), min_size=ndim, max_size=ndim))
    context = data.draw(st.lists(st.integers(0, 4), min_size=ndim, max_size=ndim))
    shape = [f * data.draw(st.integers(1, 4)) for f in focus]
    channels = data.draw(st.sampled_from([None, 0, -1]))
    if channels is not None:
        shape.insert(0 if channels == 0 else ndim, 2)
    tiling = GridTiling(
        tuple(focus), tuple(context), channel_axis=channels,
        boundary=data.draw(st.sampled_from(BOUNDARIES)),
    )  # fmt: skip
    model = EDNNRegressor(
        Ridge(), tiling, evaluation=Direct(max_tiles=data.draw(st.integers(1, 20)))
    )
    X = numbers((data.draw(st.integers(2, 5)), *shape))
    model.fit(X, X.reshape(len(X), -1).sum(axis=1))
    expected = model.predict(X)
    chunks = tuple(data.draw(st.integers(1, n)) for n in X.shape)
    model.evaluation_ = DaskBlocks(model.evaluation_, blocks_per_task=data.draw(st.integers(1, 9)))
    lazy = da.from_array(X, chunks=chunks)
    np.testing.assert_array_equal(model.predict(lazy).compute(), expected)
    np.testing.assert_array_equal(model.predict(X), expected)
    np.testing.assert_array_equal(
        model.predict_contributions(lazy).compute(), model.predict_contributions(X)
    )


@pytest.mark.parametrize("scheduler", ["threads", "synchronous"])
@pytest.mark.parametrize("evaluation", [Direct(max_tiles=30), Unique(max_tiles=30, table_size=0)])
@pytest.mark.parametrize("n_outputs", [1, 2])
def test_totals_equal_serial_totals_for_all_evaluations(scheduler, evaluation, n_outputs):
    model = fit(evaluation=evaluation, n_outputs=n_outputs)
    X = np.sign(numbers((2, 24, 32))).astype(np.int8)
    lazy = model.predict(da.from_array(X, chunks=(1, 10, 10)))
    assert lazy.shape == (2,) if n_outputs == 1 else (2, 2)
    np.testing.assert_array_equal(lazy.compute(scheduler=scheduler), model.predict(X))


def test_network_runs_in_its_dense_form():
    torch = pytest.importorskip("torch")
    from sk_ednn.evaluation import Network
    from sk_ednn.solvers import GradientSolver

    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3), torch.nn.SiLU(), torch.nn.Flatten(), torch.nn.Linear(144, 1)
    )
    model = fit(
        GridTiling(4, 2), net, Network(max_tiles=20), (16, 16),
        solver=GradientSolver(max_epochs=1), random_state=0,
    )  # fmt: skip
    X = numbers((2, 64, 48), dtype=np.float32)
    lazy = model.predict(da.from_array(X, chunks=(1, 30, 30)))
    np.testing.assert_array_equal(lazy.compute(scheduler="threads"), model.predict(X))
    # What it is known by does not change with where its weights lie, nor with what was evaluated.
    again = pickle.loads(pickle.dumps(model.tile_model_))
    assert again.identity() == model.tile_model_.identity()
    with torch.no_grad():
        next(iter(again.estimator.module_.parameters()))[...] += 1
    assert again.identity() != model.tile_model_.identity()


def test_lists_of_fields_of_several_sizes_and_terms():
    terms = [("near", Ridge(), GridTiling(2, 1)), ("far", Ridge(), GridTiling(4, 4))]
    model = EDNNRegressor(terms, evaluation=Direct(max_tiles=10))
    model.fit(numbers((20, 12, 8), 1), numbers(20, 2))
    X = [numbers((24, 16)), numbers((8, 8)), numbers((24, 16), 1), numbers((4, 40))]
    lazy = [da.from_array(x, chunks=6) if k != 1 else x for k, x in enumerate(X)]
    np.testing.assert_array_equal(model.predict(lazy).compute(), model.predict(X))
    maps, expected = model.predict_contributions(lazy), model.predict_contributions(X)
    for name in ("near", "far"):
        for one, other in zip(maps[name], expected[name], strict=True):
            np.testing.assert_array_equal(one.compute(), other)


def test_predict_is_lazy():
    def refuse(block):
        raise AssertionError("computed")

    X = da.from_array(numbers((2, 24, 20)), chunks=10).map_blocks(
        refuse, dtype=float, meta=np.empty((0, 0, 0))
    )
    for evaluation in (None, Direct()):
        model = fit(evaluation=evaluation).set_params(evaluation=evaluation)
        lazy, maps = model.predict(X), model.predict_contributions(X)
        with pytest.raises(AssertionError, match="computed"):
            lazy.compute()
        with pytest.raises(AssertionError, match="computed"):
            maps[0, :1, :1].compute()


def test_part_of_a_map_computes_only_that_part():
    computed = []

    def watch(block, block_info=None):
        computed.append(block_info[0]["chunk-location"])
        return block

    X = da.from_array(numbers((1, 200, 200)), chunks=(1, 20, 20))
    X = X.map_blocks(watch, dtype=X.dtype, meta=np.empty((0, 0, 0)))
    maps = fit(GridTiling(2, 2)).predict_contributions(X)
    maps[0, 50, 50].compute()
    assert 0 < len(computed) <= 9


def test_graph_is_small_and_contains_the_model_once():
    X = da.zeros((1, 20_000, 20_000), chunks=2000)
    model = fit(GridTiling(10, 5), evaluation=Direct(max_tiles=400), shape=(20, 20))
    lazy = model.predict(X)
    keys = [key for key in dict(lazy.dask) if "sk-ednn" in str(key)]
    assert 10_000 / 64 <= len(keys) < 400
    payloads = [key for key in keys if str(key).startswith("sk-ednn-term")]
    assert len(payloads) == 1


def test_equal_arguments_give_equal_names():
    X = numbers((2, 24, 20))
    one, other = fit(), fit()
    assert one.predict(da.from_array(X)).name == other.predict(da.from_array(X)).name
    changed = fit(tile_model=Ridge(alpha=2.0))
    assert one.predict(da.from_array(X)).name != changed.predict(da.from_array(X)).name


# --- exact sums -------------------------------------------------------------------------------

floats = st.floats(-1e300, 1e300, allow_nan=False, allow_subnormal=True)


@given(st.lists(floats, max_size=40), st.randoms())
def test_exact_totals_do_not_depend_on_order_or_grouping(values, random):
    expected = math.fsum(values)
    parts = exact_parts(values)
    assert math.fsum(parts) == expected
    shuffled = random.sample(values, len(values))
    cut = random.randint(0, len(values))
    merged = ExactTotals(1)
    for part in (shuffled[:cut], shuffled[cut:]):
        totals = ExactTotals(1)
        for value in part:
            totals.add(np.array([0]), np.array([[value]]), whole=False)
        merged.merge(totals.condensed())
    assert merged.rounded(1)[0, 0] == expected


def test_exact_totals_condense_long_sums():
    totals = ExactTotals(1)
    values = numbers(20_000) * 10.0 ** np.random.default_rng(1).integers(-12, 12, 20_000)
    for value in values:
        totals.add(np.array([0]), np.array([[value]]), whole=False)
    assert sum(len(column) for column in totals._parts[0]) < 5000
    assert len(totals.condensed()._parts[0][0]) < 10
    assert totals.rounded(1)[0, 0] == math.fsum(values)


def test_progress_bar_counts_each_block_once(capsys):
    model = fit(evaluation=DaskBlocks(Direct(max_tiles=10), verbose=1))
    model.evaluation_._delay_seconds = 0.0
    lazy = model.predict(da.from_array(numbers((3, 24, 20)), chunks=10))
    for _ in range(2):
        lazy.compute()
        assert "48/48" in capsys.readouterr().err


def test_verbose_prints_the_dashboard_address(capsys):
    distributed = pytest.importorskip("distributed")
    pytest.importorskip("bokeh")
    model = fit(evaluation=DaskBlocks(Direct(), verbose=1))
    lazy = da.from_array(numbers((2, 8, 8)), chunks=4)
    with distributed.Client(
        processes=False, n_workers=1, threads_per_worker=1, dashboard_address="127.0.0.1:0"
    ) as client:
        model.predict(lazy)
        assert f"Dashboard: {client.dashboard_link}" in capsys.readouterr().err
    model.predict(lazy)
    assert "Dashboard" not in capsys.readouterr().err


# --- killed workers ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def client():
    distributed = pytest.importorskip("distributed")
    cluster = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1"
    )
    with cluster, distributed.Client(cluster) as client:
        yield client


def slow(seconds, tmp_path, **params):
    """Return a model with 64 slow blocks, and its prediction without Dask."""
    model = fit(GridTiling(2, 1), Slow(log=str(tmp_path / "log"), seconds=seconds), shape=(8, 8))
    source = [Formula((160, 160))]
    quick = fit(GridTiling(2, 1), Slow(), Direct(max_tiles=100), shape=(8, 8))
    model.evaluation_ = DaskBlocks(Direct(max_tiles=100), **params)
    (tmp_path / "log").unlink(missing_ok=True)
    fields = check_fields(source)
    expected = quick.evaluation_.totals(quick.tile_model_, quick.tiling_, fields)
    return model, source, expected[:, 0]


@pytest.mark.slow
def test_cluster_gives_equal_totals_and_counts_blocks(client, tmp_path, capsys):
    model, source, expected = slow(0.03, tmp_path, verbose=1)
    model.evaluation_._delay_seconds = 0.0
    lazy = model.predict(source)
    assert client.compute(lazy).result(timeout=60) == expected
    assert len(lines(tmp_path / "log")) == 64
    assert len(set(lines(tmp_path / "log"))) == 2
    shown = []
    until(lambda: shown.append(capsys.readouterr().err) or "64/64" in "".join(shown))


@pytest.mark.slow
def test_grid_search_on_a_cluster(client):
    """With joblib's dask backend, all fits run on workers, with the scores of the serial search."""
    model = EDNNRegressor(Ridge(), GridTiling(1, 1))
    X = numbers((30, 8, 8))
    y = X.sum(axis=(1, 2))
    grid = {"tiling__context": [0, 1], "tile_model__alpha": [1e-3, 1.0]}
    search = GridSearchCV(model, grid, cv=3)
    serial = clone(search).fit(X, y)
    with joblib.parallel_config("dask"):
        spread = clone(search).set_params(n_jobs=-1).fit(X, y)
    scores = "mean_test_score"
    np.testing.assert_array_equal(spread.cv_results_[scores], serial.cv_results_[scores])
    assert spread.best_params_ == serial.best_params_


@pytest.mark.parametrize("journal", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_totals_are_equal_after_workers_are_killed(client, tmp_path, journal):
    """Kill one worker early and both later, with the model and all sums."""
    folder = str(tmp_path / "journal") if journal else None
    model, source, expected = slow(0.03, tmp_path, journal=folder)
    future = client.compute(model.predict(source))
    for n_done, how_many in ((10, 1), (35, 2)):
        until(lambda n=n_done: len(lines(tmp_path / "log")) >= n)
        for pid in list(client.run(os.getpid).values())[:how_many]:
            os.kill(pid, signal.SIGKILL)
    assert future.result(timeout=60) == expected
    # At least 30 of 64 blocks were finished by workers that died. With a journal, those that took
    # their places found them; what one worker had done and the other was given is done again.
    if journal:
        assert len(lines(tmp_path / "log")) <= 80


# --- killed runs that resume --------------------------------------------------------------------

RUN = """
import signal, sys, time, dask
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background of a shell
from tests.evaluation.test_dask import slow
from pathlib import Path
folder = Path(sys.argv[1])
model, source, expected = slow(float(sys.argv[2]), folder, journal=folder / "journal")
with dask.config.set(scheduler=sys.argv[3]):
    print(model.predict(source).compute()[0].hex(), expected[0].hex())
"""


def run(tmp_path, seconds, scheduler="synchronous"):
    return subprocess.Popen(
        [sys.executable, "-c", RUN, str(tmp_path), str(seconds), scheduler],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("how", "scheduler"),
    [
        (signal.SIGKILL, "synchronous"),
        pytest.param(signal.SIGINT, "threads", marks=pytest.mark.slow),
    ],
)
def test_journal_resumes_a_stopped_run(tmp_path, how, scheduler):
    """Finished blocks are not computed again after a kill or Ctrl-C."""
    process = run(tmp_path, 0.03, scheduler)
    until(lambda: len(lines(tmp_path / "log")) >= 20)
    process.send_signal(how)
    process.wait(timeout=30)
    assert process.returncode != 0
    n_recorded = sum(len(lines(path)) for path in (tmp_path / "journal").iterdir())
    assert 18 <= n_recorded <= 63
    if how == signal.SIGKILL:  # as if it had been killed while it wrote
        (path,) = (tmp_path / "journal").iterdir()
        path.write_bytes(path.read_bytes()[:-7])
        n_recorded -= 1
    model, source, expected = slow(0.03, tmp_path, journal=tmp_path / "journal")
    assert model.predict(source).compute() == expected
    assert len(lines(tmp_path / "log")) == 64 - n_recorded
    # A third time nothing is left to do.
    assert model.predict(source).compute() == expected
    assert len(lines(tmp_path / "log")) == 64 - n_recorded


def test_journal_recomputes_damaged_records(tmp_path):
    model, source, expected = slow(0.0, tmp_path, journal=tmp_path / "journal")
    assert model.predict(source).compute() == expected
    (path,) = (tmp_path / "journal").iterdir()
    whole = path.read_bytes()
    damaged = bytearray(whole)
    for place in np.random.default_rng(0).integers(0, len(whole), 20):
        damaged[place] ^= 4
    path.write_bytes(damaged)
    (tmp_path / "log").unlink()
    assert model.predict(source).compute() == expected
    assert 5 <= len(lines(tmp_path / "log")) <= 40


def test_journal_separates_models_sources_and_tilings(tmp_path):
    model, source, _ = slow(0.0, tmp_path, journal=tmp_path)
    model.predict(source).compute()
    other = fit(GridTiling(2, 1), Slow(alpha=2.0), shape=(8, 8))
    other.evaluation_ = model.evaluation_
    for one, X in ((other, source), (model, [Formula((162, 160))])):
        fields = check_fields(X)
        expected = Direct(max_tiles=100).totals(one.tile_model_, one.tiling_, fields)[:, 0]
        assert one.predict(X).compute() == expected


def test_journal_skips_chunks_of_finished_groups(tmp_path):
    computed = []

    def watch(block):
        computed.append(block.shape)
        return block

    X = da.from_array(numbers((1, 40, 40)), chunks=(1, 10, 10))
    X = X.map_blocks(watch, dtype=X.dtype, meta=np.empty((0, 0, 0)))
    model = fit()
    model.evaluation_ = DaskBlocks(Direct(max_tiles=20), journal=str(tmp_path))
    first = model.predict(X).compute()
    assert len(computed) == 16
    assert model.predict(X).compute() == first
    assert len(computed) == 16


# --- files and stores -------------------------------------------------------------------------


def sources(folder, X):
    """Return the same values as each kind of source."""
    np.save(folder / "x.npy", X)
    np.save(folder / "f.npy", np.asfortranarray(X))
    result = {
        "ndarray": X,
        "path": folder / "x.npy",
        "memmap": np.load(folder / "x.npy", mmap_mode="r"),
        "fortran": np.load(folder / "f.npy", mmap_mode="r"),
        "part of a memmap": np.load(folder / "x.npy", mmap_mode="r")[:, 2:],
        "dask": da.from_array(X, chunks=5),
    }
    h5py = pytest.importorskip("h5py")
    with h5py.File(folder / "x.h5", "w") as file:
        file.create_dataset("a/chunked", data=X, chunks=(1, 5, 7), compression="gzip")
        file.create_dataset("whole", data=X)
    file = h5py.File(folder / "x.h5", "r")
    result["h5py, chunked"], result["h5py"] = file["a/chunked"], file["whole"]
    zarr = pytest.importorskip("zarr")
    stored = zarr.create_array(folder / "x.zarr", shape=X.shape, chunks=(1, 5, 7), dtype=X.dtype)
    stored[...] = X
    result["zarr"] = zarr.open_array(folder / "x.zarr", mode="r")
    sharded = zarr.create_array(
        folder / "s.zarr", shape=X.shape, chunks=(1, 5, 7), shards=(1, 10, 14), dtype=X.dtype
    )
    sharded[...] = X
    result["zarr, sharded"] = sharded
    return result


def test_all_sources_give_equal_totals(tmp_path):
    X = numbers((2, 24, 20), dtype=np.float32)
    model = fit()
    for name, array in sources(tmp_path, X).items():
        source = ArraySource(array)
        whole = X[:, 2:] if source.shape[1] < 24 else X
        assert source.dtype == X.dtype
        # By way of its pickle, as in another process; what is pickled is a name, not the data.
        there = pickle.loads(pickle.dumps(source))
        if name not in ("ndarray", "dask", "part of a memmap"):
            assert len(pickle.dumps(source)) < 2000, name
        assert there.identity() == source.identity(), name
        for one in (source, there):
            np.testing.assert_array_equal(
                model.predict(one).compute(), model.predict(whole), err_msg=name
            )
        np.testing.assert_array_equal(
            model.predict_contributions(source).compute(), model.predict_contributions(whole)
        )


def test_labelled_arrays_equal_their_values(tmp_path):
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("zarr")
    X = numbers((2, 24, 20), dtype=np.float32)
    model, names = fit(), ("sample", "x", "y")
    labelled = xarray.DataArray(X, dims=names, name="density")
    path, plain = tmp_path / "x.zarr", {"consolidated": False}
    labelled.to_dataset().to_zarr(path, zarr_format=3, **plain)
    stored = xarray.open_dataset(path, engine="zarr", **plain)["density"]
    expected = model.predict(X)
    assert isinstance(model.predict(labelled), np.ndarray)
    np.testing.assert_array_equal(model.predict(labelled), expected)
    np.testing.assert_array_equal(model.predict([labelled[1]]), expected[1:])
    lazy = {
        "chunked": labelled.chunk({"x": 10}),
        "stored": stored,
        "stored, chunked": xarray.open_zarr(path, **plain)["density"],
        "a source": ArraySource(stored),
    }
    for name, array in lazy.items():
        result = model.predict(array)
        assert isinstance(result, da.Array), name
        np.testing.assert_array_equal(result.compute(), expected, err_msg=name)
    np.testing.assert_array_equal(model.predict([stored[0], stored[1]]).compute(), expected)
    assert not stored._in_memory  # nothing has loaded it
    # Arrays of one name are told apart by what they contain.
    other = xarray.DataArray(X + 1, dims=names, name="density").chunk({"x": 10})
    assert ArraySource(other).identity() != ArraySource(lazy["chunked"]).identity()


def test_journal_detects_rewritten_sources(tmp_path):
    X = numbers((2, 24, 20))
    for name, array in sources(tmp_path, X).items():
        if name in ("dask", "part of a memmap"):
            continue
        before = ArraySource(array).identity()
        for file in [tmp_path / "x.npy", tmp_path / "f.npy", tmp_path / "x.h5"]:
            os.utime(file, ns=(1, 1))
        for file in (path for path in tmp_path.rglob("c/0/*/*") if path.is_file()):
            os.utime(file, ns=(1, 1))
        assert (ArraySource(array).identity() != before) == (name != "ndarray"), name
        for file in (path for path in tmp_path.rglob("*") if path.is_file()):
            os.utime(file)


def test_planning_a_huge_field_takes_little_memory():
    model = fit(GridTiling(100, 10), evaluation=Direct(max_tiles=16), shape=(100, 100))
    lazy = model.predict([Formula((100_000, 100_000))])
    assert lazy.shape == (1,)
    part = model.predict_contributions([Formula((100_000, 100_000))])[0][750, 999:]
    rows = slice(74_990, 75_110)  # the tile sees the other end of the columns
    field = Formula((100_000, 100_000))
    seen = [field.read((rows, slice(*ends))) for ends in ((99_890, 100_000), (0, 10))]
    expected = model.tile_model_.predict(np.concatenate(seen, axis=1)[None])[0, 0]
    np.testing.assert_allclose(part.compute(), [expected], rtol=1e-9)


# --- errors -----------------------------------------------------------------------------------


def test_error_names_the_unreadable_block():
    model = fit(GridTiling(2, 3, boundary="nearest"), evaluation=Direct(max_tiles=25))
    lazy = model.predict([Formula((40, 40), bad=(25, 37))])
    with pytest.raises(BlockError, match=r"block of tiles \[10:15, 15:20\] of sample\(s\) 0:1.*"
                       r"OSError: checksum does not match.*write it again"):  # fmt: skip
        lazy.compute()


class Damaged(Formula):
    """A source that cannot be read in one place, with the identity of the intact source."""

    def identity(self):
        return Formula(self.shape).identity()


def test_journal_keeps_blocks_finished_before_a_failure(tmp_path):
    model = fit(GridTiling(2, 3, boundary="nearest"), shape=(8, 8))
    model.evaluation_ = DaskBlocks(Direct(max_tiles=16), journal=tmp_path / "journal")

    def recorded():
        return sum(len(lines(path)) for path in (tmp_path / "journal").glob("*.jsonl"))

    with pytest.raises(BlockError, match="only failed blocks are computed again"):
        model.predict([Damaged((84, 84), bad=(70, 70))]).compute()
    packing._opened.clear()  # as in another process: what is open is known by its identity
    n_blocks = 11 * 11  # 42 tiles an axis, 4 of them in a block
    assert 0 < recorded() < n_blocks
    total = model.predict([Formula((84, 84))]).compute()
    assert recorded() == n_blocks
    model.evaluation_ = Direct(max_tiles=16)
    whole = Formula((84, 84)).read((slice(0, 84), slice(0, 84)))
    assert total == model.predict(whole[None])


class Full:
    """A linear tile model that runs out of memory above some number of tiles."""

    def __init__(self, inner, most):
        self.inner, self.most = inner, most
        self.sizes = []

    def __call__(self, tiles):
        self.sizes.append(len(tiles))
        if len(tiles) > self.most:
            raise MemoryError(f"no room for {len(tiles)}")
        return self.inner(tiles)


@pytest.mark.parametrize("most", [1, 7])
def test_blocks_that_exceed_the_memory_are_split(monkeypatch, most):
    model = fit(GridTiling(2, 1), evaluation=Direct(max_tiles=36))
    X = numbers((3, 20, 24))
    expected, maps = model.predict(X), model.predict_contributions(X)
    predict = type(model.tile_model_.estimator).predict
    full = Full(None, most)

    def crowded(self, rows):
        full.inner = lambda tiles: predict(self, tiles)
        return full(rows)

    monkeypatch.setattr(type(model.tile_model_.estimator), "predict", crowded)
    lazy = da.from_array(X, chunks=(2, 9, 9))
    np.testing.assert_allclose(model.predict(lazy).compute(), expected, rtol=1e-12)
    np.testing.assert_allclose(model.predict_contributions(lazy).compute(), maps, rtol=1e-12)
    assert max(full.sizes) > most and min(full.sizes) <= most
    full.most = 0
    with pytest.raises(MemoryError, match="no room for 1"):
        model.predict(lazy).compute()


def test_error_names_the_block_with_nan():
    X = numbers((2, 24, 20))
    X[1, 13, 7] = np.nan
    model = fit(GridTiling(2, 0))
    with pytest.raises(BlockError, match=r"of sample\(s\) 1:2 .*X\[.*NaN"):
        model.predict(da.from_array(X, chunks=10)).compute()


def test_error_names_the_block_for_which_the_model_returns_nan():
    model = EDNNRegressor(Returns(as_nan), GridTiling(2, 1), evaluation=Direct(max_tiles=20))
    model.fit(numbers((20, 8, 8)), numbers(20))
    with pytest.raises(TileModelError, match=r"block of tiles .* returned NaN or infinity"):
        model.predict(da.zeros((1, 24, 24))).compute()


@pytest.mark.parametrize("damage", ["missing", "corrupt"])
def test_error_names_the_missing_or_corrupt_chunk(tmp_path, damage):
    zarr = pytest.importorskip("zarr")
    X = numbers((1, 40, 40))
    stored = zarr.create_array(tmp_path / "x.zarr", shape=X.shape, chunks=(1, 20, 20), dtype="f8")
    stored[...] = X
    chunk = tmp_path / "x.zarr" / "c" / "0" / "1" / "0"
    model = fit(GridTiling(2, 0))
    if damage == "missing":
        chunk.unlink()
        message = "'c/0/1/0' is not in the store.*missing_chunks='fill'"
    else:
        chunk.write_bytes(chunk.read_bytes()[:50])
        message = "block of tiles .* failed"
    with pytest.raises(BlockError, match=message):
        model.predict(ArraySource(stored)).compute()
    if damage == "missing":
        X[0, 20:, :20] = 0
        filled = ArraySource(stored, missing_chunks="fill")
        assert model.predict(filled).compute() == model.predict(X)


def test_error_names_the_library_missing_on_a_worker(monkeypatch):
    torch = pytest.importorskip("torch")
    net = torch.nn.Linear(9, 1)
    packed = packing.pack(net, "some network", "tile model")
    monkeypatch.setitem(sys.modules, "torch", None)
    for name in [name for name in sys.modules if name.startswith("torch.")]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match=r"torch.*pip install sk-ednn\[torch\]"):
        packing.Packed(packed.payload, packed.identity, packed.what).open()
    assert "some network" not in packing._opened


def test_unknown_chunk_sizes_are_rejected():
    X = da.from_array(numbers((4, 8, 8)))
    with pytest.raises(TilingError, match="compute_chunk_sizes"):
        fit().predict(X[X[:, 0, 0] > 0])


def test_invalid_dask_arrays_are_rejected():
    model = fit()
    with pytest.raises(ValueError, match="must be numbers"):
        model.predict(da.zeros((1, 8, 8), dtype=complex))
    with pytest.raises(TilingError, match="axis 1 has length 9"):
        model.predict(da.zeros((1, 8, 9)))
    with pytest.raises(ValueError, match=r"0 sample\(s\)"):
        model.predict(da.zeros((0, 8, 8)))
    with pytest.raises(TilingError, match="one dimension"):
        model.predict([da.zeros((8, 8)), da.zeros((8, 8, 8))])
    with pytest.raises(TileModelError, match="return_std=True needs all tiles"):
        model.predict(da.zeros((1, 8, 8)), return_std=True)


def test_small_chunks_cause_a_warning():
    model = fit(GridTiling(2, 10), shape=(20, 20))
    with pytest.warns(da.PerformanceWarning, match="smaller than the context.*rechunk"):
        lazy = model.predict(da.zeros((1, 24, 24), chunks=8))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        expected = model.predict(da.zeros((1, 24, 24), chunks=24))
    assert lazy.compute() == expected.compute()


def until(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)
