"""Common estimators are written attribute by attribute, without skops."""

import json
import subprocess
import sys

import numpy as np
import pytest
from sklearn import linear_model as lm
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process import kernels as gp
from sklearn.kernel_approximation import Nystroem, RBFSampler
from sklearn.kernel_ridge import KernelRidge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    PolynomialFeatures,
    RobustScaler,
    StandardScaler,
)

from sk_ednn import EDNNCommittee, EDNNRegressor, GridTiling
from sk_ednn.exceptions import ModelFileError
from sk_ednn.files import _container, describe, load, save
from tests.files._craft import at, parts_of, places

X = np.random.default_rng(0).normal(size=(30, 8))
Y = np.sin(X).sum(axis=1)
BOTH = np.stack([Y, -Y], axis=1)

LINEAR = [
    lm.LinearRegression(), lm.Ridge(), lm.RidgeCV(), lm.Lasso(1e-3), lm.ElasticNet(1e-3),
    lm.LassoCV(cv=2), lm.ElasticNetCV(cv=2), lm.BayesianRidge(), lm.ARDRegression(),
    lm.HuberRegressor(), lm.OrthogonalMatchingPursuit(), lm.Ridge(positive=True),
    lm.Ridge(fit_intercept=False),
]  # fmt: skip
SEVERAL = [
    lm.LinearRegression(), lm.Ridge(), lm.Lasso(1e-3), lm.MultiTaskLasso(1e-3), KernelRidge(),
    lm.MultiTaskElasticNet(1e-3), KernelRidge(kernel="rbf", gamma=0.1),
]  # fmt: skip
FRONTS = [
    StandardScaler(), StandardScaler(with_mean=False), MinMaxScaler(), MaxAbsScaler(),
    RobustScaler(), Normalizer(), FunctionTransformer(np.sin), FunctionTransformer(),
    PolynomialFeatures(2), PolynomialFeatures((2, 3), interaction_only=True, include_bias=False),
    PCA(2), PCA(0.9), TruncatedSVD(2, random_state=0), Nystroem(n_components=5, random_state=0),
    RBFSampler(n_components=5, random_state=0),
    StandardScaler().set_output(transform="default"),
]  # fmt: skip
KERNELS = [
    gp.RBF(2.0) + gp.WhiteKernel(0.1), gp.ConstantKernel(2.0) * gp.Matern([1.0, 2.0, 3.0]),
    gp.RationalQuadratic(), gp.DotProduct() + gp.WhiteKernel(), gp.RBF() ** 2,
    gp.RBF(length_scale_bounds="fixed"),
]  # fmt: skip
MODELS = [
    *map(EDNNRegressor, LINEAR),
    *(EDNNRegressor(make_pipeline(front, lm.Ridge())) for front in FRONTS),
    *(
        EDNNRegressor(GaussianProcessRegressor(k, alpha=0.1, optimizer=None), GridTiling(1, 1))
        for k in KERNELS
    ),
    EDNNRegressor(KernelRidge(kernel="laplacian", gamma=0.1)),
    EDNNCommittee(EDNNRegressor(make_pipeline(MinMaxScaler(), KernelRidge())), 2, random_state=0),
    EDNNRegressor([("a", lm.Ridge(), GridTiling(1, 0)), ("b", lm.Ridge(), GridTiling(2, 1))]),
    TransformedTargetRegressor(
        EDNNRegressor(lm.Ridge()), func=np.negative, inverse_func=np.negative
    ),
]


def check(model, y, tmp_path):
    model = clone(model).fit(X, y)
    save(model, tmp_path / "a.ednn")
    assert "estimators.skops" not in describe(tmp_path / "a.ednn")["parts"]
    loaded = load(tmp_path / "a.ednn")
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    assert str(loaded.get_params()) == str(model.get_params())
    save(loaded, tmp_path / "b.ednn")
    np.testing.assert_array_equal(load(tmp_path / "b.ednn").predict(X), model.predict(X))
    np.testing.assert_array_equal(loaded.fit(X, y).predict(X), model.fit(X, y).predict(X))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("model", MODELS, ids=lambda model: " ".join(repr(model).split())[:80])
def test_known_estimators_need_no_skops(model, tmp_path):
    check(model, Y, tmp_path)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("tile_model", SEVERAL, ids=repr)
def test_known_estimators_of_several_outputs(tile_model, tmp_path):
    check(EDNNRegressor(tile_model), BOTH, tmp_path)


FRESH = """
import sys
import numpy as np
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures
from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.files import describe, load, save
X = np.random.default_rng(0).normal(size=(20, 8))
tile_model = make_pipeline(PolynomialFeatures(2), Ridge())
save(EDNNRegressor(tile_model, GridTiling(1, 1)).fit(X, X.sum(axis=1)), sys.argv[1])
load(sys.argv[1]).predict(X)
describe(sys.argv[1])
print([name for name in ("skops", "torch", "skorch", "dask") if name in sys.modules])
"""


def test_a_ridge_is_saved_and_loaded_without_skops_torch_or_dask(tmp_path):
    run = [sys.executable, "-c", FRESH, str(tmp_path / "ridge.ednn")]
    assert subprocess.run(run, capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_not_even_files_with_other_estimators_need_skops_to_be_read():
    paths = [f"tests/files/golden/schema 1, {name}.ednn" for name in ("forest", "neighbours")]
    code = (
        "import sys; sys.modules['skops'] = None\nfrom sk_ednn.files import load\n"
        f"for path in {paths!r}: load(path)"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)


def test_a_source_of_random_numbers_is_kept(tmp_path):
    ridge = lm.Ridge(random_state=np.random.RandomState(7))
    save(EDNNRegressor(ridge).fit(X, Y), tmp_path / "a.ednn")
    assert "estimators.skops" not in describe(tmp_path / "a.ednn")["parts"]
    drawn = load(tmp_path / "a.ednn").tile_model.random_state.uniform(size=3)
    np.testing.assert_array_equal(drawn, np.random.RandomState(7).uniform(size=3))
    parts = parts_of(tmp_path / "a.ednn")
    text = parts["config.json"].decode().replace('"pos",', '"position",')
    _container.write(tmp_path / "b.ednn", parts | {"config.json": text.encode()})
    with pytest.raises(ModelFileError):
        load(tmp_path / "b.ednn")


def test_what_is_not_known_goes_to_skops(tmp_path):
    pytest.importorskip("skops")
    ridge = lm.Ridge()
    model = EDNNRegressor(ridge).fit(X, Y)
    model.tile_model_.estimator.note_ = "of mine"
    save(model, tmp_path / "a.ednn")
    assert "estimators.skops" in describe(tmp_path / "a.ednn")["parts"]
    assert load(tmp_path / "a.ednn").tile_model_.estimator.note_ == "of mine"


# --- what is refused --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("known") / "a.ednn"
    front = make_pipeline(PolynomialFeatures(2), StandardScaler(), PCA(3))
    tile_model = make_pipeline(*(step for _, step in front.steps), lm.Ridge())
    save(EDNNRegressor(tile_model, GridTiling(1, 1)).fit(X, Y), path)
    return path


def changed(file, tmp_path, name, change):
    """Load a file with the attributes of one estimator changed."""
    parts = parts_of(file)
    config = json.loads(parts["config.json"])
    wanted = places(
        config, lambda node: node.get("class") == name and "n_features_in_" in node["vars"]
    )
    (place,) = wanted
    change(at(config, place)["vars"])
    parts["config.json"] = json.dumps(config).encode()
    _container.write(tmp_path / "changed.ednn", parts)
    return load(tmp_path / "changed.ednn")


CHANGES = {
    "a missing attribute": ("Ridge", lambda v: v.pop("coef_"), "coef_ of a Ridge"),
    "another array": ("Ridge", lambda v: v.update(coef_=v["intercept_"]), "coef_ of a Ridge"),
    "a number for an array": ("Ridge", lambda v: v.update(coef_=3), "coef_ of a Ridge"),
    "objects": (
        "Ridge",
        lambda v: v.update(coef_={"$": "objects", "shape": [3], "values": [1, 2, "a"]}),
        "coef_ of a Ridge",
    ),
    "another width": ("Ridge", lambda v: v.update(n_features_in_=4), "coef_ of a Ridge"),
    "no width": ("Ridge", lambda v: v.pop("n_features_in_"), "n_features_in_ of a Ridge"),
    "a text for a width": (
        "PCA", lambda v: v.update(n_features_in_="3"), "n_features_in_ of a PCA",
    ),
    "an unknown attribute": ("Ridge", lambda v: v.update(more_=3), "no attribute 'more_'"),
    "a method": ("Ridge", lambda v: v.update(predict=3), "'predict' would hide"),
    "a wrong parameter": ("Ridge", lambda v: v.update(alpha="x"), "'alpha' parameter of Ridge"),
    "a parameter that is not data": (
        "Ridge", lambda v: v.update(alpha={"$": "slice", "values": [1, 2, 3]}), "alpha of a Ridge",
    ),
    "other components": (
        "PCA", lambda v: v.update(explained_variance_=v["mean_"]), "explained_variance_ of a PCA",
    ),
    "another count": ("PCA", lambda v: v.update(n_components_=2), "of a PCA"),
    "more products": (
        "PolynomialFeatures", lambda v: v.update(_n_out_full=10**12), "polynomial features",
    ),
    "more products than can be counted": (
        "PolynomialFeatures",
        lambda v: v.update(_max_degree=10**9, n_features_in_=10**9),
        "too many to count",
    ),
    "steps that do not follow": (
        "StandardScaler",
        lambda v: v.update(n_features_in_=3, mean_=None, var_=None, scale_=None),
        "expecting 3 features",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", CHANGES)
def test_attributes_have_their_types_and_shapes(what, file, tmp_path):
    name, change, words = CHANGES[what]
    with pytest.raises(ModelFileError, match=rf"changed\.ednn cannot be read: .*{words}"):
        changed(file, tmp_path, name, change)


def test_kernels_have_their_parameters(tmp_path):
    process = GaussianProcessRegressor(gp.RBF() + gp.WhiteKernel(), optimizer=None)
    save(EDNNRegressor(process).fit(X, Y), tmp_path / "a.ednn")
    for change in (
        {"k1": 3}, {"k1": "RBF"}, {"k2": {"$": "sklearn", "class": "Ridge", "vars": {}}}, {"k3": 1},
    ):  # fmt: skip
        parts = parts_of(tmp_path / "a.ednn")
        config = json.loads(parts["config.json"])
        for place in list(places(config, lambda node: node.get("class") == "Sum")):
            at(config, place)["vars"] |= change
        _container.write(tmp_path / "b.ednn", parts | {"config.json": json.dumps(config).encode()})
        with pytest.raises(ModelFileError, match=r"of a Sum|a Sum has no"):
            load(tmp_path / "b.ednn")
