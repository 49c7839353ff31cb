"""Loaded models equal saved ones: predictions, contributions and gradients to the last bit."""

import json
import re
import warnings
import zipfile

import numpy as np
import pytest
from sklearn.base import BaseEstimator, RegressorMixin, TransformerMixin, clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingRegressor,
    HistGradientBoostingRegressor,
    RandomForestRegressor,
)
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.kernel_approximation import Nystroem
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Lasso, LinearRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    PolynomialFeatures,
    PowerTransformer,
    StandardScaler,
)
from sklearn.svm import SVR
from threadpoolctl import threadpool_limits

pytest.importorskip("skops")

from sk_ednn import EDNNCommittee, EDNNRegressor, GridTiling, ShiftAveraged
from sk_ednn.atoms import GaussianRasterizer, LocalInvariants
from sk_ednn.evaluation import Direct, Unique
from sk_ednn.exceptions import ModelFileError
from sk_ednn.files import _container, describe, load, save
from sk_ednn.solvers import BoostingSolver
from sk_ednn.structures import Structure

RNG = np.random.default_rng(0)
X, LARGER = RNG.normal(size=(30, 4, 4)), RNG.normal(size=(2, 4, 6))
Y = np.sin(X).sum(axis=(1, 2))


@pytest.fixture(autouse=True)
def one_thread():
    """Histograms of so few numbers are not made faster by more."""
    with threadpool_limits(1):
        yield


class Twice(TransformerMixin, BaseEstimator):
    """A user's own transformer."""

    def __init__(self, factor=2.0):
        self.factor = factor

    def fit(self, X, y=None):
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X):
        return self.factor * X


class MeanOfRows(RegressorMixin, BaseEstimator):
    """A user's own regressor."""

    def fit(self, X, y, sample_weight=None):
        self.slope_ = float(np.mean(X.mean(axis=1) * y))
        return self

    def predict(self, X):
        return self.slope_ * X.mean(axis=1)


def boosted(tile_model, **params):
    return EDNNRegressor(tile_model, solver=BoostingSolver(n_stages=3), random_state=0, **params)


FAMILIES = {
    "linear": EDNNRegressor(LinearRegression()),
    "ridge on products": EDNNRegressor(make_pipeline(PolynomialFeatures(2), Ridge())),
    "scaled lasso": EDNNRegressor(make_pipeline(StandardScaler(), Lasso(1e-3)), GridTiling(2, 1)),
    "Nystroem": EDNNRegressor(make_pipeline(Nystroem(n_components=20, random_state=0), Ridge())),
    "kernel ridge": EDNNRegressor(KernelRidge(kernel="rbf", gamma=0.1, alpha=1e-3)),
    "kernel ridge, unique tiles": EDNNRegressor(KernelRidge(), evaluation=Unique()),
    "zero boundary, no baseline": EDNNRegressor(
        Ridge(), GridTiling((2, 1), (0, 1), boundary="zero"), baseline=None, evaluation=Direct()
    ),
    "baseline of content": EDNNRegressor(Ridge(), GridTiling(1, 1), baseline="content"),
    "process": EDNNRegressor(
        GaussianProcessRegressor(RBF(2.0) + WhiteKernel(1e-2), optimizer=None)
    ),
    "forest": boosted(RandomForestRegressor(3, random_state=0)),
    "extra trees": boosted(ExtraTreesRegressor(3, max_depth=4, random_state=0)),
    "gradient boosting": boosted(GradientBoostingRegressor(n_estimators=5)),
    "histogram boosting": boosted(HistGradientBoostingRegressor(max_iter=2, max_leaf_nodes=4)),
    "neighbours": boosted(KNeighborsRegressor(3)),
    "neighbours, ball tree": boosted(KNeighborsRegressor(3, algorithm="ball_tree", p=1)),
    "support vectors": boosted(SVR()),
    "terms": EDNNRegressor(
        [("near", Ridge(), GridTiling(1, 1)), ("far", Ridge(), GridTiling(2, 2))]
    ),
    "committee": EDNNCommittee(EDNNRegressor(Ridge()), n_members=3, random_state=0),
    "shifts": ShiftAveraged(EDNNRegressor(KernelRidge(), GridTiling(2, 1)), 3),
    "transformed target": TransformedTargetRegressor(
        EDNNRegressor(Ridge()), func=np.negative, inverse_func=np.negative
    ),
    "user's transformer": EDNNRegressor(make_pipeline(Twice(3.0), Ridge())),
    "user's regressor": boosted(MeanOfRows()),
}


def returned(model, path, **given):
    save(model, path)
    return load(path, **given)


@pytest.mark.parametrize("family", FAMILIES)
def test_predictions_are_the_same_to_the_last_bit(family, tmp_path):
    model = clone(FAMILIES[family]).fit(X, Y)
    loaded = returned(model, tmp_path / "a.ednn", modules=[Twice, MeanOfRows])
    assert type(loaded) is type(model)
    for fields in (X, LARGER):
        np.testing.assert_array_equal(loaded.predict(fields), model.predict(fields))
        if hasattr(model, "predict_contributions"):
            maps, expected = (m.predict_contributions(fields) for m in (loaded, model))
            several = isinstance(maps, dict)
            for name in maps if several else [...]:
                np.testing.assert_array_equal(maps[name], expected[name])
    assert str(loaded.get_params()) == str(model.get_params())
    if family == "histogram boosting":  # is slow to fit, with threads that wait for one another
        return
    # It can be fitted anew, as the one that was saved.
    np.testing.assert_array_equal(loaded.fit(X, Y).predict(X), model.fit(X, Y).predict(X))


@pytest.mark.parametrize("dtype", [np.int8, bool, np.float16, np.float32])
@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "user's regressor"])
def test_models_of_fields_of_any_type_are_read(family, dtype, tmp_path):
    """Estimators that keep what they were fitted to keep its type, too."""
    fields = (X > 0).astype(dtype)
    model = clone(FAMILIES[family]).fit(fields, Y)
    loaded = returned(model, tmp_path / "a.ednn", modules=[Twice, MeanOfRows])
    np.testing.assert_array_equal(loaded.predict(fields), model.predict(fields))


def test_standard_deviations_are_the_same(tmp_path):
    for family in ("process", "committee"):
        model = clone(FAMILIES[family]).fit(X, Y)
        loaded = returned(model, tmp_path / "a.ednn")
        for one, other in zip(
            loaded.predict(X, return_std=True), model.predict(X, return_std=True), strict=True
        ):
            np.testing.assert_array_equal(one, other)


def test_a_gaussian_process_keeps_its_likelihood(tmp_path):
    model = clone(FAMILIES["process"]).fit(X, Y)
    process = returned(model, tmp_path / "a.ednn").tile_model_.estimator.process_
    theta = process.kernel_.theta
    expected = model.tile_model_.estimator.process_.log_marginal_likelihood(theta)
    assert process.log_marginal_likelihood(theta, clone_kernel=True) == expected


@pytest.mark.parametrize("dtype", [np.int8, bool, np.float32])
def test_several_outputs_and_kinds_of_field(dtype, tmp_path):
    fields = (X > 0).astype(dtype)
    y = np.stack([fields.sum(axis=(1, 2)), Y], axis=1)
    model = EDNNRegressor(KernelRidge(kernel="rbf")).fit(fields, y)
    loaded = returned(model, tmp_path / "a.ednn")
    np.testing.assert_array_equal(loaded.predict(fields), model.predict(fields))


def test_names_and_width_of_tables_are_kept(tmp_path):
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(X[:, 0], columns=list("abcd"))
    model = EDNNRegressor(Ridge()).fit(table, Y)
    loaded = returned(model, tmp_path / "a.ednn")
    assert loaded.feature_names_in_.tolist() == list("abcd")
    np.testing.assert_array_equal(loaded.predict(table), model.predict(table))
    with pytest.raises(ValueError, match="3 features, but EDNNRegressor is expecting 4"):
        loaded.predict(table[["a", "b", "c"]].to_numpy())


# --- atoms in front ---------------------------------------------------------------------------


def structures(n, seed=0):
    rng = np.random.default_rng(seed)
    return [
        Structure(rng.choice([5, 6, 7], 4), rng.uniform(0, 2.4, (4, 2)), [2.4, 2.4])
        for _ in range(n)
    ]


@pytest.mark.parametrize("invariant", [False, True])
def test_pipelines_of_atoms(invariant, tmp_path):
    tile_model = Ridge()
    if invariant:
        front = LocalInvariants(4, 4, 0.2, n_channels=3, degree=3, n_components=4, random_state=0)
        tile_model = make_pipeline(front, Ridge())
    model = make_pipeline(
        GaussianRasterizer(0.2, 0.2, channels=("B", "C", "N")),
        EDNNRegressor(tile_model, GridTiling(4, 4, channel_axis=-1), baseline="content"),
    )
    some, others = structures(20), structures(5, seed=1)
    model.fit(some, np.arange(20.0))
    loaded = returned(model, tmp_path / "a.ednn")
    np.testing.assert_array_equal(loaded.predict(others), model.predict(others))
    assert describe(tmp_path / "a.ednn")["spacing"] == [0.2, 0.2]
    with pytest.raises(ValueError, match="A fitted model needs its fitted spacing"):
        loaded.predict([Structure([6], [[0.0, 0.0]], [2.5, 2.5])])


# --- descriptions of files ---------------------------------------------------------------------


def test_what_a_file_says_of_itself(tmp_path):
    path = tmp_path / "a.ednn"
    model = clone(FAMILIES["kernel ridge"]).fit(X, Y)
    digest = save(model, path, unit="eV", about={"data": "noise", "n": 30})
    result = describe(path)
    assert result["digest"] == digest
    assert result["size"] == path.stat().st_size
    assert result["units"] == "eV" and result["about"] == {"data": "noise", "n": 30}
    assert result["spacing"] is None
    assert result["training"] == {
        "strategy": "KernelSolver", "n_outputs": 1, "tile_model": "KernelRidge",
        "distinct tiles": 30 * 16,
    }  # fmt: skip
    assert result["versions"]["numpy"] == np.__version__
    assert result["parameters"]["tiling"] == "None"
    assert "gamma=0.1" in result["parameters"]["tile_model"]
    # Any zip tool lists the same parts, and any hash tool computes the same hashes.
    import hashlib

    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        for name, about in result["parts"].items():
            content = archive.read(name)
            expected = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            assert about == expected
    assert hashlib.sha256(path.read_bytes()[:-64]).hexdigest() == digest


def test_arrays_are_safetensors(tmp_path):
    safetensors = pytest.importorskip("safetensors.numpy")
    model = clone(FAMILIES["process"]).fit(X, Y)
    save(model, tmp_path / "a.ednn")
    with zipfile.ZipFile(tmp_path / "a.ednn") as archive:
        arrays = safetensors.load(archive.read("weights.safetensors"))
    coefficients = model.tile_model_.baseline.coefficients
    np.testing.assert_array_equal(arrays["tile_model_.baseline.coefficients"], coefficients)
    # Several attributes contain the training tiles, and they are stored once.
    rows = model.tile_model_.estimator.X_train_
    assert sum(array.shape == rows.shape for array in arrays.values()) == 1


def test_equal_models_give_equal_files(tmp_path):
    model = clone(FAMILIES["forest"]).fit(X, Y)
    assert save(model, tmp_path / "a.ednn") == save(model, tmp_path / "b.ednn")
    assert (tmp_path / "a.ednn").read_bytes() == (tmp_path / "b.ednn").read_bytes()


def test_saving_leaves_the_model_as_it_was(tmp_path):
    from tests._cases import left_as_it_was

    model = clone(FAMILIES["forest"]).fit(X, Y)
    with left_as_it_was(model):
        save(model, tmp_path / "a.ednn")


# --- what is refused --------------------------------------------------------------------------


def test_only_fitted_models_are_saved(tmp_path):
    from sklearn.exceptions import NotFittedError

    with pytest.raises(NotFittedError):
        save(EDNNRegressor(), tmp_path / "a.ednn")
    with pytest.raises(ModelFileError, match="Expected a fitted model, got 3"):
        save(3, tmp_path / "a.ednn")
    assert not list(tmp_path.iterdir())


def test_functions_are_named_and_not_stored(tmp_path):
    model = EDNNRegressor(make_pipeline(FunctionTransformer(lambda x: x), Ridge())).fit(X, Y)
    words = r"tile_model\.steps\.0\.1, a FunctionTransformer, cannot be stored: .*lambda"
    with pytest.raises(ModelFileError, match=words):
        save(model, tmp_path / "a.ednn")
    assert not list(tmp_path.iterdir())
    model = EDNNRegressor(KernelRidge(kernel=lambda a, b: a @ b)).fit(X, Y)
    with pytest.raises(ModelFileError, match=r"tile_model, a KernelRidge, cannot be stored"):
        save(model, tmp_path / "a.ednn")


def test_a_users_class_is_asked_for(tmp_path):
    save(clone(FAMILIES["user's transformer"]).fit(X, Y), tmp_path / "a.ednn")
    with pytest.raises(ModelFileError, match=re.escape("load(path, modules=[Twice])")):
        load(tmp_path / "a.ednn")
    with pytest.raises(TypeError, match="modules must be classes, or a mapping"):
        load(tmp_path / "a.ednn", modules=["Twice"])


def test_an_interrupted_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.ednn"
    model = clone(FAMILIES["linear"]).fit(X, Y)
    save(model, path)
    before = path.read_bytes()

    def full(*args):
        raise OSError("No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        save(model, path, about={"more": 1})
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["a.ednn"]


def test_what_is_said_must_be_json(tmp_path):
    model = clone(FAMILIES["linear"]).fit(X, Y)
    for about in ({"x": np.zeros(2)}, {"x": float("nan")}):
        with pytest.raises(ModelFileError, match="must be JSON values"):
            save(model, tmp_path / "a.ednn", about=about)


def test_older_or_newer_libraries_are_reported(tmp_path):
    """scikit-learn's own warning of another version reaches the user."""
    path, other = tmp_path / "a.ednn", tmp_path / "b.ednn"
    save(clone(FAMILIES["support vectors"]).fit(X, Y), path)
    from sk_ednn.files import _container

    with zipfile.ZipFile(path) as archive:
        parts = {n: archive.read(n) for n in archive.namelist() if n != "manifest.json"}
    import sklearn

    name = "estimators.skops"
    parts[name] = _with_text(parts[name], f'\\"{sklearn.__version__}\\"', '\\"0.99.9\\"')
    _container.write(other, parts)
    with pytest.warns(UserWarning, match=r"from version 0\.99\.9"):
        load(other)


def _with_text(content, old, new):
    import io

    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as given, zipfile.ZipFile(out, "w") as changed:
        for name in given.namelist():
            part = given.read(name)
            if name == "schema.json":
                assert old.encode() in part
                part = part.replace(old.encode(), new.encode())
                json.loads(part)
            changed.writestr(name, part)
    return out.getvalue()


def test_no_warning_of_our_own(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        returned(clone(FAMILIES["forest"]).fit(X, Y), tmp_path / "a.ednn")


def test_parameters_that_files_do_not_know_have_their_defaults(tmp_path):
    model = EDNNRegressor(Ridge(), GridTiling(2, 1)).fit(X, Y)
    expected = model.predict(LARGER)
    # As a version without them wrote it.
    del model.tiling_.remainder, model.verbose
    save(model, tmp_path / "old.ednn")
    loaded = load(tmp_path / "old.ednn")
    assert loaded.tiling_.get_params() == GridTiling(2, 1).get_params()
    assert loaded.verbose == 0
    np.testing.assert_array_equal(loaded.predict(LARGER), expected)


def test_of_a_search_what_it_found_is_saved(tmp_path):
    search = GridSearchCV(EDNNRegressor(Ridge()), {"tiling": [GridTiling(1, 0)]}, cv=2).fit(X, Y)
    with pytest.raises(ModelFileError, match="Save its best_estimator_"):
        save(search, tmp_path / "a.ednn")
    assert not list(tmp_path.iterdir())
    save(search.best_estimator_, tmp_path / "a.ednn")
    assert (load(tmp_path / "a.ednn").predict(X) == search.predict(X)).all()


def test_arrays_are_distinguished_from_a_damaged_model(tmp_path):
    np.savez(tmp_path / "data.npz", X=X, y=Y)
    with pytest.raises(
        ModelFileError, match=r"is not a model: it is an \.npz file of the arrays 'X', 'y'"
    ):
        load(tmp_path / "data.npz")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("words.txt", "a" * 200)
    with pytest.raises(ModelFileError, match="does not end with its sha256"):
        load(tmp_path / "other.zip")


UNDEFINED = {
    "function": lambda: make_pipeline(FunctionTransformer(np.arccosh), Ridge()),
    "logarithm": lambda: make_pipeline(
        PolynomialFeatures(1, include_bias=False), FunctionTransformer(np.log), Ridge()
    ),
    "Box and Cox": lambda: make_pipeline(PowerTransformer("box-cox"), Ridge()),
}


def undefined(name):
    """Return a model that its test fields are outside the domain of, and its data."""
    fields = np.abs(X) + np.arange(4) + 1.5
    model = EDNNRegressor(UNDEFINED[name](), GridTiling(2, 0)).fit(fields, Y)
    model.input_range_ = np.full((1, 3), -1.0)  # as if it had seen nothing else
    return model, fields


@pytest.mark.parametrize("name", UNDEFINED)
def test_a_model_that_is_not_defined_where_it_is_tried_is_read_all_the_same(name, tmp_path):
    """Nothing of what can be saved is lost by the trial that `load` makes."""
    model, fields = undefined(name)
    loaded = returned(model, tmp_path / "a.ednn")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.testing.assert_array_equal(loaded.predict(fields), model.predict(fields))


@pytest.mark.parametrize("claim", [True, False])
@pytest.mark.parametrize("name", UNDEFINED)
def test_a_file_does_not_decide_whether_its_model_is_tried(name, claim, tmp_path):
    """Parts that do not fit are found behind functions that are not defined, too."""
    model, _ = undefined(name)
    ridge = model.tile_model_.estimator[-1]
    ridge.coef_, ridge.n_features_in_ = ridge.coef_[..., :-1], ridge.n_features_in_ - 1
    save(model, tmp_path / "a.ednn")
    with zipfile.ZipFile(tmp_path / "a.ednn") as archive:
        parts = {n: archive.read(n) for n in archive.namelist() if n != "manifest.json"}
    config = json.loads(parts["config.json"]) | {"tried": claim}
    _container.write(tmp_path / "b.ednn", parts | {"config.json": json.dumps(config).encode()})
    with pytest.raises(ModelFileError, match=r"b\.ednn"):
        load(tmp_path / "b.ednn")
