"""Transformers that return tables change no number, wherever their setting comes from."""

import pickle

import numpy as np
import pytest
import sklearn
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.neighbors import KNeighborsRegressor
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    PolynomialFeatures,
    StandardScaler,
)
from sklearn.svm import SVR
from sklearn.tree import DecisionTreeRegressor

from sk_ednn import EDNNRegressor, GridTiling, files
from sk_ednn._utils.steps import front_and_last, plain, transformed, with_values
from sk_ednn.solvers import BoostingSolver
from sk_ednn.uncertainty import TileNovelty, leverage, novelty
from tests._cases import make_field

pd = pytest.importorskip("pandas")

FINALS = {
    "linear": Ridge(),
    "kernel": KernelRidge(kernel="rbf"),
    "process": GaussianProcessRegressor(),
    "tree": DecisionTreeRegressor(max_depth=3, random_state=0),
    "neighbours": KNeighborsRegressor(3),
    "support vectors": SVR(),
    "perceptron": MLPRegressor(hidden_layer_sizes=(4,), max_iter=3, random_state=0),
}
BOOSTED = ("tree", "neighbours", "support vectors")


def as_table(X):
    return pd.DataFrame(np.asarray(X))


def columns_by_name():
    scaled = StandardScaler().set_output(transform="pandas")
    chosen = ColumnTransformer([("some", StandardScaler(), ["x0", "x4"]), ("rest", "passthrough",
                                ["x1", "x8"])])  # fmt: skip
    return make_pipeline(scaled, chosen)


FRONTS = {
    "scaler": StandardScaler,
    "several": lambda: make_pipeline(StandardScaler(), PolynomialFeatures(2)),
    "union": lambda: make_union(StandardScaler(), PolynomialFeatures(2)),
    "sparse": lambda: KBinsDiscretizer(4, quantile_method="averaged_inverted_cdf"),
    "a function's": lambda: FunctionTransformer(as_table),
    "chosen by name": columns_by_name,
}


def net(width):
    torch, skorch = pytest.importorskip("torch"), pytest.importorskip("skorch")
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(width, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
    return skorch.NeuralNetRegressor(module, max_epochs=2, train_split=None, verbose=0)


def fit_and_predict(final, front, X, y, **params):
    solver = BoostingSolver(3) if final in BOOSTED else None
    if final == "net":
        tiles = GridTiling(1, 1).tiles(X).array().reshape(-1, 9)
        with sklearn.config_context(transform_output="default"):
            final = net(clone(front).fit_transform(tiles).shape[1])
    else:
        final = clone(FINALS[final])
    tile_model = make_pipeline(front, final)
    model = EDNNRegressor(tile_model, GridTiling(1, 1), solver=solver, random_state=0, **params)
    return model.fit(X, y)


@pytest.mark.filterwarnings("error:X (has|does not have)")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("final", [*FINALS, "net"])
@pytest.mark.parametrize("front", FRONTS)
def test_a_table_is_the_array_that_it_holds(final, front):
    X = make_field("float64", 20, (4, 4))
    y = (X**2).sum(axis=(1, 2))
    expected = fit_and_predict(final, FRONTS[front](), X, y).predict(X)
    with sklearn.config_context(transform_output="pandas"):
        model = fit_and_predict(final, FRONTS[front](), X, y)
        np.testing.assert_array_equal(model.predict(X), expected)
    # The setting may differ at prediction: in another thread, or process.
    np.testing.assert_array_equal(model.predict(X), expected)
    if front != "sparse":  # of which scikit-learn makes no tables
        model = fit_and_predict(final, FRONTS[front]().set_output(transform="pandas"), X, y)
        np.testing.assert_array_equal(model.predict(X), expected)
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(X), expected)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("where", ["globally", "on a step"])
def test_all_that_looks_at_features_takes_tables(where):
    X = make_field("float64", 20, (4, 4))
    y = (X**2).sum(axis=(1, 2))
    results = {}
    for output in ("default", "pandas"):
        front = make_pipeline(StandardScaler(), PolynomialFeatures(2))
        if where == "on a step":
            front.set_output(transform=output)
        here = output if where == "globally" else "default"
        with sklearn.config_context(transform_output=here):
            linear = fit_and_predict("linear", front, X, y)
            gradients = linear.predict_gradient(X)
            taught = EDNNRegressor(
                make_pipeline(clone(front), LinearRegression()), GridTiling(1, 1), random_state=0
            ).fit(X, y, gradient=2 * X)
            process = fit_and_predict("process", clone(front), X, y)
            results[output] = [
                gradients,
                taught.predict_gradient(X),
                process.predict(X, return_std=True)[1],
                process.predict_gradient(X),
                leverage(linear, X, X[:3]),
                novelty(linear, X, X + 0.1).distance,
                TileNovelty(linear, X).compare(X + 0.1).distance,
            ]
    for one, other in zip(results["default"], results["pandas"], strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("final", ["linear", "support vectors", "process"])
def test_files_keep_the_setting_of_a_step(final, tmp_path):
    X = make_field("float64", 20, (4, 4))
    model = fit_and_predict(final, StandardScaler().set_output(transform="pandas"), X, X[:, 0, 0])
    files.save(model, tmp_path / "model.ednn")
    loaded = files.load(tmp_path / "model.ednn")
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))


def test_workers_do_as_this_thread_does():
    X = make_field("float64", 20, (4, 4))
    with sklearn.config_context(transform_output="pandas"):
        model = fit_and_predict("tree", StandardScaler(), X, X[:, 0, 0])
        expected = model.predict(X)
        da = pytest.importorskip("dask.array")
        lazy = model.predict(da.from_array(X, chunks=(5, 4, 4)))
        np.testing.assert_allclose(lazy.compute(scheduler="threads"), expected, rtol=1e-12)


# --- the one place ----------------------------------------------------------------------------


class FakeFrame:
    """A data frame with the interface of polars."""

    def __init__(self, values, schema):
        self.values, self.columns = np.asarray(values), list(schema)

    def __array__(self, dtype=None, copy=None):
        return np.array(self.values, dtype=dtype)


def test_frames_of_any_library_become_arrays():
    frame = FakeFrame([[1.0, 2.0]], ["a", "b"])
    assert type(plain(frame)) is np.ndarray
    again = with_values(frame, np.array([[3.0, 4.0]]))
    assert isinstance(again, FakeFrame) and again.columns == ["a", "b"]
    np.testing.assert_array_equal(plain(again), [[3.0, 4.0]])
    table = pd.DataFrame({"a": [1.0], "b": [2]}, index=[7])
    again = with_values(table, np.array([[3.0, 4.0]]))
    assert list(again.columns) == ["a", "b"] and list(again.index) == [7]
    mixed = pd.DataFrame({"a": [1.5], "b": [True]})
    assert plain(mixed).dtype == np.float64
    values = np.ones((2, 2))
    assert plain(values) is values and with_values(values, values) is values


def test_steps_are_those_of_pipelines_alone():
    class Net:
        """A network that has layers by the name of steps."""

        steps = ("one", "two")

    net = Net()
    assert front_and_last(net) == ([], net)
    inner = make_pipeline(StandardScaler(), "passthrough")
    front, last = front_and_last(make_pipeline(inner, None, make_pipeline(PolynomialFeatures(),
                                               Ridge())))  # fmt: skip
    assert [type(step) for step in front] == [StandardScaler, PolynomialFeatures]
    assert isinstance(last, Ridge)
    rows = np.ones((3, 2))
    assert transformed([], rows) is rows
