"""NaN and infinity are refused by name, wherever they come from and whichever way they would go."""

import importlib.util

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor

from sk_ednn import EDNNCommittee, EDNNRegressor, GridTiling
from sk_ednn.evaluation import Direct, LocalUpdates, Unique
from sk_ednn.exceptions import TileModelError
from sk_ednn.solvers import BoostingSolver
from sk_ednn.tiling import BagTiling
from sk_ednn.uncertainty import NoveltyGuard
from tests._cases import left_as_it_was

TILING = GridTiling(2, 1)
X = np.random.default_rng(0).normal(size=(12, 4, 4))
Y = np.sin(X).sum(axis=(1, 2))
MODELS = {
    "linear": EDNNRegressor(Ridge(), TILING),
    "scaled": EDNNRegressor(make_pipeline(StandardScaler(), Ridge()), TILING),
    "kernel": EDNNRegressor(KernelRidge(), TILING),
    "process": EDNNRegressor(GaussianProcessRegressor(), TILING),
    "boosted": EDNNRegressor(DecisionTreeRegressor(), TILING, solver=BoostingSolver(n_stages=2)),
    "terms": EDNNRegressor([("a", Ridge(), TILING), ("b", Ridge(), GridTiling(1, 0))]),
    "committee": EDNNCommittee(EDNNRegressor(Ridge(), TILING), n_members=2, random_state=0),
}
BAD = {"NaN": np.nan, "infinity": np.inf}


def spoilt(values, value):
    values = np.array(values, dtype=float)
    values[(1,) * values.ndim] = value
    return values


NO_NUMBERS = {
    "complex": lambda: 1j,
    "date": lambda: np.datetime64("2020-01-01"),
    "duration": lambda: np.timedelta64(3, "s"),
    "timestamp": lambda: pytest.importorskip("pandas").Timestamp("2020-01-01"),
    "NA": lambda: pytest.importorskip("pandas").NA,
    "text": lambda: "1",
    "bytes": lambda: b"1",
}


@pytest.mark.parametrize("where", ["X", "y", "sample_weight"])
@pytest.mark.parametrize("as_list", [False, True])
@pytest.mark.parametrize("name", NO_NUMBERS)
def test_objects_that_are_no_numbers_are_named_with_their_place(name, as_list, where):
    given = {"X": X, "y": Y, "sample_weight": np.ones(12)}
    values = given[where].astype(object)
    values[(1,) * values.ndim] = NO_NUMBERS[name]()
    given[where] = values.tolist() if as_list else values
    words = "missing value" if name == "NA" else "must be real numbers"
    with pytest.raises(ValueError, match=rf"{where} .*{words}.* at \[1") as caught:
        EDNNRegressor(Ridge(), TILING).fit(**given)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("where", ["X", "y", "sample_weight"])
@pytest.mark.parametrize("number", [2**53 + 1, -(2**70) - 1, 10**400], ids=["53", "70", "1329"])
def test_integers_of_python_that_are_no_doubles_are_named_with_their_place(number, where):
    given = {"X": X, "y": Y, "sample_weight": np.ones(12)}
    given[where] = given[where].astype(object)
    given[where][(1,) * given[where].ndim] = abs(number) if where == "sample_weight" else number
    bits = abs(number).bit_length()
    with pytest.raises(ValueError, match=rf"{where} contains an integer of {bits} bits at \[1"):
        EDNNRegressor(Ridge(), TILING).fit(**given)


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("name", MODELS)
def test_fit_rejects_nan_and_infinity(name, bad):
    model = clone(MODELS[name])
    given = {
        "X": ((spoilt(X, BAD[bad]), Y), {}),
        "X of several sizes": (([X[0, :2], *spoilt(X, BAD[bad])[:5]], Y[:6]), {}),
        "y": ((X, spoilt(Y, BAD[bad])), {}),
        "sample_weight": ((X, Y), {"sample_weight": spoilt(np.ones(12), BAD[bad])}),
    }
    for where, (args, more) in given.items():
        with left_as_it_was(model), pytest.raises(ValueError, match=r"NaN|infinity|inf") as caught:
            model.fit(*args, **more)
        assert where.partition(" ")[0] in str(caught.value)


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("name", MODELS)
def test_predict_rejects_nan_and_infinity(name, bad):
    model = clone(MODELS[name]).fit(X, Y)
    fields = spoilt(X, BAD[bad])
    ways = [model.predict, lambda X: model.predict([X[0, :2], *X])]
    if hasattr(model, "predict_contributions"):
        ways.append(model.predict_contributions)
    if name in ("process", "committee"):
        ways.append(lambda X: model.predict(X, return_std=True))
    for way in ways:
        with pytest.raises(ValueError, match=r"X.*(NaN|infinity)"):
            way(fields)


@pytest.mark.parametrize("evaluation", [Direct(), Unique(), None], ids=repr)
@pytest.mark.parametrize("bad", BAD)
def test_contributions_that_are_not_finite_are_rejected(evaluation, bad):
    model = EDNNRegressor(Ridge(), TILING, evaluation=evaluation).fit(X, Y)
    model.tile_model_.estimator.intercept_ = BAD[bad]
    for way in (model.predict, model.predict_contributions, lambda X: LocalUpdates(model, X[0])):
        with pytest.raises(TileModelError, match="Ridge returned NaN or infinity"):
            way(X)


def test_standard_deviations_that_are_not_finite_are_rejected():
    model = clone(MODELS["process"]).fit(X, Y)
    model.tile_model_.estimator.process_.L_[2, 1] = np.nan
    assert np.isfinite(model.predict(X)).all()
    with pytest.raises(
        TileModelError, match="standard deviation of SummedGaussianProcess contains 12 NaN"
    ):
        model.predict(X, return_std=True)


@pytest.mark.skipif(importlib.util.find_spec("skorch") is None, reason="needs skorch")
@pytest.mark.parametrize("form", ["tiled", "dense"])
def test_networks_whose_outputs_are_not_finite_are_rejected(form):
    import torch
    from torch import nn

    from sk_ednn.solvers import GradientSolver

    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Tanh(), nn.Flatten(), nn.Linear(8, 1))
    evaluation = Direct() if form == "tiled" else None
    model = EDNNRegressor(net, TILING, solver=GradientSolver(max_epochs=1), evaluation=evaluation)
    for name, value in (("X", X), ("y", Y)):
        given = {"X": X, "y": Y, name: spoilt(value, np.nan)}
        with pytest.raises(ValueError, match=f"{name} contains NaN"):
            model.fit(**given)
    model.fit(X, Y)
    with torch.no_grad():
        model.tile_model_.estimator.module_[3].weight[0, 0] = torch.nan
    for way in (model.predict, model.predict_contributions):
        with pytest.raises(TileModelError, match="returned NaN or infinity"):
            way(X)
    with pytest.raises(TileModelError, match=r"gradient of NeuralNetRegressor contains .* NaN"):
        model.predict_gradient(X)


INTEGERS = {"odd": 2**53 + 1, "timestamp": 1_700_000_000_123_456_789, "largest": 2**63 - 1}


@pytest.mark.parametrize("dtype", [np.int64, np.uint64])
@pytest.mark.parametrize("value", INTEGERS.values(), ids=INTEGERS)
def test_integers_that_doubles_would_round_are_rejected(value, dtype, tmp_path):
    fields = np.zeros((12, 4, 4), dtype)
    fields[1, 2, 3] = value
    model, words = EDNNRegressor(Ridge(), TILING), f"{value} at .*beyond 2..53"
    with left_as_it_was(model), pytest.raises(ValueError, match=words):
        model.fit(fields, Y)
    model.fit(np.sign(fields), Y)
    np.save(tmp_path / "X.npy", fields)
    memory_map = np.load(tmp_path / "X.npy", mmap_mode="r")
    for given in (fields, list(fields), memory_map, [fields[1], fields[1, :2]]):
        with pytest.raises(ValueError, match=words):
            model.predict(given)
    bags = EDNNRegressor(Ridge(), BagTiling())
    with pytest.raises(ValueError, match=words):
        bags.fit(list(fields), Y)


@pytest.mark.parametrize("dtype", [np.int64, np.uint64])
@pytest.mark.parametrize("value", [2**53, 2**53 + 2, 2**62, 3 * 2**60])
def test_large_integers_that_are_doubles_are_as_floats(value, dtype):
    fields = np.zeros((12, 4, 4), dtype)
    fields[1:, 2, 3] = value
    model = EDNNRegressor(DecisionTreeRegressor(random_state=0), TILING, random_state=0)
    expected = model.fit(fields.astype(float), Y).predict(fields.astype(float))
    np.testing.assert_array_equal(model.fit(fields, Y).predict(fields), expected)


@pytest.mark.parametrize("where", ["y", "sample_weight", "groups"])
def test_committees_check_samples_that_no_member_draws(where):
    given = {"y": Y.copy(), "sample_weight": np.ones(12), "groups": np.arange(12.0)}
    given[where][3] = np.nan
    words = "entry 3 of groups" if where == "groups" else f"{where} contains NaN"
    for seed in range(8):  # in some of them, none of two members draws it
        model = EDNNCommittee(EDNNRegressor(Ridge(), TILING), n_members=2, random_state=seed)
        with left_as_it_was(model), pytest.raises(ValueError, match=words):
            model.fit(X, **given)


@pytest.mark.parametrize("where", ["y", "groups"])
def test_guards_check_samples_that_are_held_back(where):
    X = np.random.default_rng(0).normal(size=(80, 4, 4))
    given = {"y": X.sum(axis=(1, 2)), "groups": np.arange(80.0)}
    given[where][3] = np.nan
    words = "entry 3 of groups" if where == "groups" else r"y contains NaN at \[3\]"
    for seed in range(6):
        guard = NoveltyGuard(EDNNRegressor(Ridge(), TILING), held_out=0.5, random_state=seed)
        with pytest.raises(ValueError, match=words):
            guard.fit(X, **given)
