"""Evaluation of models that cannot be pickled or hashed."""

import pickle
import threading

import joblib
import numpy as np
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sk_ednn import EDNNCommittee, EDNNRegressor, GridTiling, ShiftAveraged
from sk_ednn._utils.hashing import digest, reason, sent_to_processes
from sk_ednn.evaluation import Direct
from sk_ednn.exceptions import TileModelError
from sk_ednn.fields import ArraySource

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")
evaluation = pytest.importorskip("sk_ednn.evaluation._dask")
packing = pytest.importorskip("sk_ednn._parallel.payloads")
cloudpickle = pytest.importorskip("cloudpickle")

pytestmark = pytest.mark.filterwarnings("ignore:Chunks of")


class Locked(TransformerMixin, BaseEstimator):
    """A transformer with a lock after fit."""

    def fit(self, X, y=None):
        self.lock_ = threading.Lock()
        return self

    def transform(self, X):
        with self.lock_:
            return X**2


class Opened(Locked):
    """A large transformer with its own message that it cannot be pickled."""

    def __getstate__(self):
        if hasattr(self, "lock_"):
            raise RuntimeError("an open connection\nstays here", list(range(9999)))
        return super().__getstate__()


def of_a_function():
    class Local(TransformerMixin, BaseEstimator):
        def fit(self, X, y=None):
            self.fitted_ = True
            return self

        def transform(self, X):
            return X**2

    return Local()


def power(n):
    return FunctionTransformer(lambda X: X**n)


NAMELESS = {"lambda": lambda: power(2), "local class": of_a_function}  # cloudpickle takes them
STUCK = {"lock": Locked, "connection": Opened}


def fit(front, **params):
    X = np.random.default_rng(0).normal(size=(20, 8, 6))
    model = EDNNRegressor(make_pipeline(front, Ridge()), GridTiling(2, 1), **params)
    return model.fit(X, (X**2).sum(axis=(1, 2))), X


def locked_source(array):
    class Source:
        def __init__(self):
            self.shape, self.dtype, self.lock = array.shape, array.dtype, threading.Lock()
            self.spacing = None

        def read(self, slices):
            with self.lock:
                return array[tuple(slices)]

    return Source()


def one_line(message):
    return "\n" not in message and len(message) < 700


@pytest.mark.parametrize("front", {**NAMELESS, **STUCK})
@pytest.mark.parametrize("scheduler", ["synchronous", "threads"])
def test_threads_evaluate_models_with_lambdas(front, scheduler):
    model, X = fit({**NAMELESS, **STUCK}[front]())
    expected = model.predict(X), model.predict_contributions(X)
    sources = da.from_array(X, chunks=(4, 8, 3)), ArraySource(X), [ArraySource(x) for x in X]
    with dask.config.set(scheduler=scheduler):
        for source in (*sources, locked_source(X)):
            np.testing.assert_allclose(model.predict(source).compute(), expected[0], rtol=1e-12)
        maps = model.predict_contributions(sources[0]).compute()
        np.testing.assert_allclose(maps, expected[1], rtol=1e-12)
        averaged = ShiftAveraged.of(model, 2)
        lazy = averaged.predict(sources[0]).compute()
        np.testing.assert_allclose(lazy, averaged.predict(X), rtol=1e-12)


@pytest.mark.parametrize("front", NAMELESS)
def test_processes_evaluate_models_with_lambdas(front):
    model, X = fit(NAMELESS[front]())
    packed = evaluation.Work(_blocks(), model.tile_model_, model.tiling_, _lazy(model, X))
    packed = packing.pack(packed.term, "of the test", "tile model")
    arrived = cloudpickle.loads(cloudpickle.dumps(packed))
    packing._opened.clear()
    tiles = X[:2, :4, :4]
    np.testing.assert_array_equal(
        arrived.open().tile_model.predict(tiles), model.tile_model_.predict(tiles)
    )
    packing._opened.clear()


@pytest.mark.parametrize("front", STUCK)
def test_error_names_the_model_that_cannot_be_pickled(front):
    model, X = fit(STUCK[front]())
    lazy = model.predict(da.from_array(X))
    # What a worker is handed, of any scheduler of processes.
    arrived = cloudpickle.loads(cloudpickle.dumps(lazy))
    packing._opened.clear()
    with pytest.raises(TileModelError, match="cannot be sent to another process") as raised:
        arrived.compute(scheduler="synchronous")
    assert one_line(str(raised.value)) and "Ridge" not in str(raised.value)
    assert ("lock" if front == "lock" else "an open connection stays here") in str(raised.value)
    np.testing.assert_allclose(lazy.compute(scheduler="threads"), model.predict(X), rtol=1e-12)


def test_error_names_the_source_that_cannot_be_pickled():
    model, X = fit(power(2))
    arrived = cloudpickle.loads(cloudpickle.dumps(model.predict(locked_source(X))))
    packing._opened.clear()
    with pytest.raises(TileModelError, match="cannot be sent to another process"):
        arrived.compute(scheduler="synchronous")


@pytest.mark.slow
def test_unpicklable_models_with_a_multiprocessing_scheduler():
    model, X = fit(power(2))
    lazy = da.from_array(X)
    with dask.config.set(scheduler="processes", num_workers=1):
        np.testing.assert_allclose(model.predict(lazy).compute(), model.predict(X), rtol=1e-12)
        model, X = fit(Locked())
        with pytest.raises(TileModelError, match="cannot be sent to another process"):
            model.predict(lazy).compute()


@pytest.mark.parametrize("front", {**NAMELESS, **STUCK})
def test_journal_rejects_unhashable_models(front, tmp_path):
    journal = evaluation.DaskBlocks(Direct(), journal=tmp_path / "journal")
    model, X = fit({**NAMELESS, **STUCK}[front](), evaluation=journal)
    with pytest.raises(TileModelError, match=r"names the .* journal=None") as raised:
        model.predict(da.from_array(X))
    assert one_line(str(raised.value)) and "Ridge" not in str(raised.value)
    # Nor does a traceback show the model: joblib's own words contain all of it.
    assert raised.value.__suppress_context__
    assert not (tmp_path / "journal").exists()


def test_journal_rejects_unhashable_sources(tmp_path):
    journal = evaluation.DaskBlocks(Direct(), journal=tmp_path / "journal")
    model, X = fit(FunctionTransformer(np.square), evaluation=journal)
    with pytest.raises(TileModelError, match="names the source by"):
        model.predict(locked_source(X))


def test_lambdas_of_one_line_are_distinct():
    """Two lambdas of the same line in one process."""
    square, X = fit(power(2))
    cube, _ = fit(power(3))
    lazy = da.from_array(X)
    one, other = square.predict(lazy), cube.predict(lazy)
    for _ in range(2):
        both = dask.compute(one, other, scheduler="threads")
        np.testing.assert_allclose(both[0], square.predict(X), rtol=1e-12)
        np.testing.assert_allclose(both[1], cube.predict(X), rtol=1e-12)


def test_module_with_a_lambda_is_evaluated():
    torch = pytest.importorskip("torch")
    from sk_ednn.solvers import GradientSolver

    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 1))
    module.register_forward_hook(lambda module, inputs, out: 2 * out)
    X = np.random.default_rng(0).normal(size=(20, 8, 6)).astype(np.float32)
    model = EDNNRegressor(module, GridTiling(2, 1), solver=GradientSolver(max_epochs=1))
    model.fit(X, X.sum(axis=(1, 2)))
    lazy = model.predict(da.from_array(X)).compute(scheduler="threads")
    np.testing.assert_allclose(lazy, model.predict(X), rtol=1e-5)


# --- joblib -----------------------------------------------------------------------------------


def test_joblib_threads_share_unpicklable_models():
    model, X = fit(Locked(), evaluation=Direct(n_jobs=2, max_tiles=7))
    expected = fit(Locked())[0].predict(X)
    np.testing.assert_allclose(model.predict(X), expected, rtol=1e-12)


def test_joblib_processes_reject_unpicklable_models():
    model, X = fit(Locked(), evaluation=Direct(n_jobs=2, max_tiles=7))
    with joblib.parallel_config("loky", n_jobs=2):
        with pytest.raises(TileModelError, match=r"cannot be sent .*\(cannot pickle .*lock"):
            model.predict(X)
        committee = EDNNCommittee(model, n_members=2, n_jobs=2)
        with pytest.raises(TileModelError, match=r"cannot be sent .*\(cannot pickle .*lock"):
            committee.fit(X, X.sum(axis=(1, 2)))
    with joblib.parallel_config("threading", n_jobs=2):
        committee.fit(X, X.sum(axis=(1, 2)))


def test_other_errors_of_workers_are_not_translated():
    with pytest.raises(TypeError, match="has no len"), sent_to_processes():
        len(None)


# --- names ------------------------------------------------------------------------------------


class Keyed(KernelRidge):
    """An estimator that a dict may contain."""


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_digest_rejects_unpicklable_parts(depth):
    """Within dicts of dicts joblib's own goes on without it, by where objects are in memory."""
    held = Keyed()
    held.lock = threading.Lock()
    for level in range(depth):
        held = {"level": level, "held": make_pipeline(held) if level % 2 else [held]}
    with pytest.raises(TypeError, match="cannot pickle"):
        digest(held)


def test_digest_does_not_depend_on_the_order_of_keys():
    one = {"b": 1, "a": 2, 3: "c", None: 4, (1, 2): 5}
    other = dict(reversed(one.items()))
    assert digest(one) == digest(other) == digest(pickle.loads(pickle.dumps(other)))
    assert digest(one) != digest({**one, None: 5})


def test_error_messages_are_short():
    assert reason(ValueError()) == "ValueError"
    assert one_line(reason(TypeError("no\nway " * 999)))


def _blocks():
    return evaluation.DaskBlocks()


def _lazy(model, X):
    return model.check_systems(da.from_array(X))
