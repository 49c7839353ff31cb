"""scikit-learn's common checks, and the same promises for fields of any dimension."""

import pickle
from contextlib import nullcontext

import numpy as np
import pytest
import sklearn
from joblib import dump, load
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import RandomForestRegressor, StackingRegressor, VotingRegressor
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    HalvingGridSearchCV,
    KFold,
    cross_val_predict,
    cross_val_score,
    cross_validate,
    train_test_split,
)
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, PolynomialFeatures, StandardScaler
from sklearn.tree import DecisionTreeRegressor
from sklearn.utils.estimator_checks import parametrize_with_checks

from sk_ednn import EDNNCommittee, EDNNRegressor, GridTiling, ShiftAveraged
from sk_ednn.exceptions import ExtensivityWarning
from sk_ednn.solvers import BoostingSolver
from tests._cases import TILE_MODELS, TILINGS, fitted, left_as_it_was, make_field, regressor

# --- common checks ------------------------------------------------------------------------------

FEW = BoostingSolver(n_stages=5)
WEIGHTS = "check_sample_weight_equivalence_on_dense_data"
# Each with the checks it is not expected to pass, and why.
CHECKED = [
    (EDNNRegressor(), {}),
    (EDNNRegressor(LinearRegression()), {}),
    (EDNNRegressor(Ridge()), {}),
    (
        EDNNRegressor(make_pipeline(StandardScaler(), Ridge())),
        {WEIGHTS: "transformers see no sample weights, as in scikit-learn's own Pipeline"},
    ),
    (EDNNRegressor(KernelRidge()), {}),
    (EDNNRegressor(KernelRidge(), GridTiling(None, 0)), {}),
    (EDNNRegressor(GaussianProcessRegressor()), {}),
    (EDNNRegressor(DecisionTreeRegressor(max_depth=3), solver=FEW), {}),
    # Repeated samples repeat their tiles, which are merged: a bootstrap draws from the same ones.
    (EDNNRegressor(RandomForestRegressor(3, max_depth=3), solver=FEW), {}),
    (EDNNRegressor(KNeighborsRegressor(), solver=FEW), {}),
    (
        EDNNRegressor([("near", Ridge(), GridTiling()), ("far", Ridge(), GridTiling(context=2))]),
        {},
    ),
    (
        EDNNCommittee(EDNNRegressor(Ridge()), n_members=2),
        {WEIGHTS: "a bootstrap draws other samples where they are repeated"},
    ),
    (ShiftAveraged(EDNNRegressor(Ridge())), {}),
    (ShiftAveraged(EDNNRegressor(Ridge(), GridTiling(None, 0)), 2), {}),
    (GridTiling(), {}),
]


def expected_failures(estimator):
    return next(reasons for checked, reasons in CHECKED if repr(checked) == repr(estimator))


@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks(
    [estimator for estimator, _ in CHECKED], expected_failed_checks=expected_failures
)
def test_common_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("tile_model", [None, Ridge(), KernelRidge(kernel="rbf")])
def test_a_single_tile_fits_what_the_plain_estimator_fits(tile_model):
    """The tag `poor_score` is about shared weights: without sharing the score is not poor."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 10))
    y = X @ rng.normal(size=10)
    model = EDNNRegressor(tile_model, GridTiling(None, 0)).fit(X, y)
    assert model.score(X, y) > 0.5
    assert EDNNRegressor().__sklearn_tags__().regressor_tags.poor_score


# --- the same for n-D fields ----------------------------------------------------------------------

MODELS = [*TILE_MODELS]
LAYOUTS = ("2-D", "3-D, reflect", "channels last")
models = pytest.mark.parametrize("name", MODELS)
layouts = pytest.mark.parametrize("layout", LAYOUTS)


def batch(layout, n=12, seed=0):
    X = make_field("float64", n, TILINGS[layout][1], seed)
    return X, np.sin(X).reshape(n, -1).sum(axis=1)


def ragged(layout, container=list):
    _, shape, other = TILINGS[layout]
    fields = [*make_field("float64", 6, shape), *make_field("float64", 4, other, 1)]
    y = np.array([np.sin(x).sum() for x in fields])
    if container is list:
        return fields, y
    X = np.empty(len(fields), dtype=object)
    X[:] = fields
    return X, y


def unfitted(name, layout, **params):
    return regressor(name, TILINGS[layout][0], **params)


@models
@layouts
def test_clones_learn_the_same(name, layout):
    X, y = batch(layout)
    model = unfitted(name, layout).fit(X, y)
    copy = clone(model)
    assert not hasattr(copy, "tile_model_")
    np.testing.assert_array_equal(copy.fit(X, y).predict(X), model.predict(X))


@models
@layouts
@pytest.mark.parametrize("way", ["pickle", "joblib"])
def test_pickled_models_predict_the_same_bits(name, layout, way, tmp_path):
    model = fitted(name, layout)
    X, _ = batch(layout, seed=1)
    if way == "pickle":
        copy = pickle.loads(pickle.dumps(model))
    else:
        dump(model, tmp_path / "model")
        copy = load(tmp_path / "model")
    np.testing.assert_array_equal(copy.predict(X), model.predict(X))
    np.testing.assert_array_equal(copy.predict_contributions(X), model.predict_contributions(X))
    assert copy.get_params().keys() == model.get_params().keys()


def as_memmap(X, path):
    dump(X, path / "X")
    return load(path / "X", mmap_mode="r")


def read_only(X, path):
    X = X.copy()
    X.setflags(write=False)
    return X


MEMORIES = {
    "memory map": as_memmap,
    "read-only": read_only,
    "Fortran": lambda X, path: np.asfortranarray(X),
    "every other": lambda X, path: np.repeat(X, 2, axis=-1)[..., ::2],
    "backwards": lambda X, path: X[..., ::-1].copy()[..., ::-1],
    "big endian": lambda X, path: X.astype(X.dtype.newbyteorder(">")),
}


@models
@pytest.mark.parametrize("memory", MEMORIES)
@layouts
def test_the_memory_of_the_fields_does_not_matter(name, memory, layout, tmp_path):
    X, y = batch(layout)
    other = MEMORIES[memory](X, tmp_path)
    np.testing.assert_array_equal(other, X)
    model = unfitted(name, layout).fit(other, y)
    expected = fitted_on(name, layout)
    np.testing.assert_allclose(model.predict(other), expected, rtol=1e-9, atol=1e-10)


def fitted_on(name, layout):
    X, y = batch(layout)
    return unfitted(name, layout).fit(X, y).predict(X)


@models
@pytest.mark.parametrize("container", [list, "object array"])
def test_lists_and_object_arrays_are_the_same(name, container):
    X, y = ragged("2-D", container)
    one, expected = unfitted(name, "2-D").fit(X, y), unfitted(name, "2-D").fit(*ragged("2-D"))
    np.testing.assert_array_equal(one.predict(X), expected.predict(ragged("2-D")[0]))
    equal, y = batch("2-D")
    one, expected = unfitted(name, "2-D").fit(list(equal), y), unfitted(name, "2-D").fit(equal, y)
    np.testing.assert_array_equal(one.predict(list(equal)), expected.predict(equal))


@models
@layouts
def test_subsets_and_orders_are_predicted_alike(name, layout):
    model = fitted(name, layout)
    X, _ = batch(layout, seed=2)
    together = model.predict(X)
    parts = np.concatenate([model.predict(X[i : i + 5]) for i in range(0, len(X), 5)])
    np.testing.assert_allclose(parts, together, rtol=1e-10, atol=1e-12)
    order = np.random.default_rng(0).permutation(len(X))
    np.testing.assert_allclose(model.predict(X[order]), together[order], rtol=1e-10, atol=1e-12)


@models
@layouts
def test_fitting_again_changes_nothing(name, layout):
    X, y = batch(layout)
    model = unfitted(name, layout).fit(X, y)
    first = model.predict(X)
    np.testing.assert_array_equal(model.fit(X, y).predict(X), first)


@models
@layouts
def test_data_and_parameters_are_left_alone(name, layout):
    X, y = batch(layout)
    weight = np.linspace(0.5, 1.5, len(X))
    groups = np.arange(len(X)) // 2
    copies = [array.copy() for array in (X, y, weight, groups)]
    model = unfitted(name, layout)
    params = {key: (value, repr(value)) for key, value in model.get_params().items()}
    model.fit(X, y, sample_weight=weight, groups=groups)
    with left_as_it_was(model):
        model.predict(X)
        model.predict_contributions(X)
    for now, before in zip((X, y, weight, groups), copies, strict=True):
        np.testing.assert_array_equal(now, before)
    for key, value in model.get_params().items():
        assert value is params[key][0]
        assert repr(value) == params[key][1]


@models
def test_only_2d_input_keeps_its_width(name):
    X, y = batch("1-D")
    model = unfitted(name, "1-D").fit(X, y)
    assert model.n_features_in_ == X.shape[1]
    with pytest.raises(ValueError, match="12 features, but EDNNRegressor is expecting 8 features"):
        model.predict(make_field("float64", 2, (12,)))
    assert model.predict(list(make_field("float64", 2, (12,)))).shape == (2,)
    model.fit(list(X), y)
    assert not hasattr(model, "n_features_in_")
    X, y = batch("2-D")
    assert not hasattr(unfitted(name, "2-D").fit(X, y), "n_features_in_")


def test_representations():
    model = EDNNRegressor(
        [
            ("near", make_pipeline(StandardScaler(), Ridge(2.0)), GridTiling(2)),
            ("far", Ridge(), GridTiling()),
        ]
    )
    assert repr(EDNNRegressor()) == "EDNNRegressor()"
    assert "GridTiling(focus=2)" in repr(model)
    X, y = batch("2-D")
    for estimator in (model, EDNNRegressor(Ridge()).fit(X, y), EDNNCommittee(), GridTiling()):
        assert type(estimator).__name__ in estimator._repr_html_()
    fitted_model = EDNNRegressor(Ridge(), GridTiling(1)).fit(X, y)
    assert "TileModel" in repr(fitted_model.tile_model_)


def test_no_containers_of_columns_are_offered():
    assert not hasattr(EDNNRegressor(), "set_output")
    assert not hasattr(EDNNCommittee(), "set_output")


# --- model selection ------------------------------------------------------------------------------


@layouts
def test_splits_and_scores(layout):
    X, y = batch(layout, 30)
    model = unfitted("linear", layout)
    train, test, y_train, y_test = train_test_split(X, y, random_state=0)
    assert model.fit(train, y_train).score(test, y_test) == cross_score(model, test, y_test)
    assert cross_val_score(model, X, y, cv=3).shape == (3,)
    assert cross_val_predict(model, X, y, cv=3).shape == (30,)


def cross_score(model, X, y):
    from sklearn.metrics import r2_score

    return r2_score(y, model.predict(X))


@pytest.mark.parametrize("container", [list, "object array"])
def test_lists_of_fields_are_split_too(container):
    X, y = ragged("2-D", container)
    model = unfitted("linear", "2-D")
    train, test, y_train, y_test = train_test_split(X, y, random_state=0)
    assert np.isfinite(model.fit(train, y_train).score(test, y_test))
    assert np.isfinite(cross_val_score(model, X, y, cv=2)).all()


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_grid_search_over_tilings_and_tile_models(n_jobs):
    X = make_field("float64", 30, (4, 4))
    y = (X * np.roll(X, 1, axis=1)).sum(axis=(1, 2))
    model = EDNNRegressor(make_pipeline(PolynomialFeatures(2), Ridge()), GridTiling())
    grid = {
        "tiling__focus": [1, 2],
        "tiling__context": [0, 1],
        "tile_model__ridge__alpha": [1e-6, 1e6],
        "tile_model__polynomialfeatures__degree": [1, 2],
    }
    search = GridSearchCV(model, grid, cv=2, n_jobs=n_jobs).fit(X, y)
    best = search.best_params_
    assert search.best_score_ > 0.99
    assert best["tile_model__polynomialfeatures__degree"] == 2
    assert best["tile_model__ridge__alpha"] == 1e-6
    assert (best["tiling__context"], best["tiling__focus"]) != (0, 1)
    assert search.predict(make_field("float64", 2, (8, 6))).shape == (2,)


@pytest.mark.filterwarnings("ignore:One or more of the test scores are non-finite")
def test_a_focus_that_does_not_fit_is_no_end_of_the_search():
    X, y = batch("2-D", 12)  # 4 x 3 sites
    search = GridSearchCV(
        EDNNRegressor(Ridge()), {"tiling": [GridTiling(f) for f in (1, 2, (4, 3), 5)]}, cv=2
    )
    with pytest.warns(Warning, match="not a multiple of focus=2"):
        search.fit(X, y)
    scores = search.cv_results_["mean_test_score"]
    np.testing.assert_array_equal(np.isnan(scores), [False, True, False, True])


def test_parameters_of_terms_are_searched():
    X = make_field("float64", 30, (4, 4))
    y = np.abs(X).sum(axis=(1, 2)) + (X * np.roll(X, 2, axis=1)).sum(axis=(1, 2))
    model = EDNNRegressor(
        [
            ("near", KernelRidge(kernel="rbf", gamma=0.5, alpha=1e-4), GridTiling(1, 0)),
            ("far", KernelRidge(kernel="polynomial", degree=2, alpha=1e-4), GridTiling(1, 0)),
        ]
    )
    grid = {"far__tiling__context": [0, (2, 0)], "near__tile_model__gamma": [0.5, 50.0]}
    search = GridSearchCV(model, grid, cv=2).fit(X, y)
    assert search.best_params_ == {"far__tiling__context": (2, 0), "near__tile_model__gamma": 0.5}


def test_halving_search():
    X, y = batch("2-D", 48)
    search = HalvingGridSearchCV(
        EDNNRegressor(Ridge(), GridTiling()),
        {"tiling__context": [0, 1], "tile_model__alpha": [0.1, 10.0]},
        cv=2, min_resources=12, random_state=0,
    )  # fmt: skip
    search.fit(X, y)
    assert search.best_params_.keys() == {"tiling__context", "tile_model__alpha"}


def test_groups_stay_together_in_cross_validation():
    X, y = batch("2-D", 24)
    groups = np.arange(24) // 4
    result = cross_validate(
        unfitted("linear", "2-D"), X, y, groups=groups, cv=GroupKFold(3), return_indices=True
    )
    assert np.isfinite(result["test_score"]).all()
    for train, test in zip(result["indices"]["train"], result["indices"]["test"], strict=True):
        assert not set(groups[train]) & set(groups[test])


# --- as a part of something else ------------------------------------------------------------------


def test_within_a_pipeline():
    X, y = batch("2-D")
    steps = Pipeline(
        [
            ("square", FunctionTransformer(np.square)),
            ("sum", EDNNRegressor(Ridge(), GridTiling(1, 0))),
        ]
    )
    expected = EDNNRegressor(Ridge(), GridTiling(1, 0)).fit(X**2, y).predict(X**2)
    np.testing.assert_array_equal(steps.fit(X, y).predict(X), expected)
    steps.set_params(sum__tiling__context=1, sum__tile_model__alpha=3.0).fit(X, y)
    assert steps[-1].tile_model_.tile_shape == (3, 3)


def test_the_tiling_as_a_transformer_in_a_pipeline():
    X, y = batch("2-D")
    mean_of_tiles = FunctionTransformer(lambda tiles: tiles.reshape(len(tiles), -1))
    model = make_pipeline(GridTiling(1, 0), mean_of_tiles, Ridge()).fit(X, y)
    expected = Ridge().fit(X.reshape(12, -1), y).predict(X.reshape(12, -1))
    np.testing.assert_allclose(model.predict(X), expected)


def test_several_totals_at_once():
    X, y = batch("2-D")
    Y = np.stack([y, y**2], axis=1)
    for name in MODELS:
        model = unfitted(name, "2-D", baseline=None).fit(X, Y)
        assert model.predict(X).shape == (12, 2)
        one = unfitted(name, "2-D", baseline=None).fit(X, Y[:, 0]).predict(X)
        if name != "tree":  # whose stages draw other seeds
            np.testing.assert_allclose(model.predict(X)[:, 0], one, rtol=1e-6, atol=1e-8)
    assert np.isscalar(model.score(X, Y))


def test_voting_and_stacking():
    X, y = batch("2-D", 30)
    parts = [("near", unfitted("linear", "2-D")), ("far", EDNNRegressor(Ridge(), GridTiling(1, 2)))]
    voting = VotingRegressor(parts).fit(X, y)
    expected = np.mean([part.fit(X, y).predict(X) for _, part in parts], axis=0)
    np.testing.assert_allclose(voting.predict(X), expected)
    stacking = StackingRegressor(parts, LinearRegression(), cv=3).fit(X, y)
    assert stacking.predict(X).shape == (30,)
    committee = EDNNCommittee(unfitted("linear", "2-D"), 3, random_state=0)
    assert np.isfinite(cross_val_score(committee, X, y, cv=2)).all()


@pytest.mark.parametrize(
    ("transformer", "warned"),
    [
        (StandardScaler(), True),
        (StandardScaler(with_mean=False), False),
        (FunctionTransformer(lambda y: y / 10, lambda y: 10 * y), False),
    ],
)
def test_scaled_targets_are_warned_of_where_they_are_shifted(transformer, warned):
    X, y = batch("2-D", 30)
    model = TransformedTargetRegressor(EDNNRegressor(Ridge()), transformer=transformer)
    warns = pytest.warns(ExtensivityWarning, match="not extensive") if warned else nullcontext()
    with warns:
        model.fit(X, y)
    assert model.predict(X).shape == (30,)


def test_weights_are_routed():
    X, y = batch("2-D", 30)
    weight = np.linspace(0.1, 2.0, 30)
    with sklearn.config_context(enable_metadata_routing=True):
        model = EDNNRegressor(Ridge(), GridTiling()).set_fit_request(sample_weight=True)
        model.set_score_request(sample_weight=False)
        routed = cross_validate(
            model, X, y, cv=KFold(2), params={"sample_weight": weight}, return_estimator=True
        )
        search = GridSearchCV(model, {"tiling__context": [0]}, cv=2).fit(X, y, sample_weight=weight)
        pipeline = make_pipeline(FunctionTransformer(), model).fit(X, y, sample_weight=weight)
        with pytest.raises(ValueError, match="sample_weight"):
            cross_validate(EDNNRegressor(Ridge()), X, y, cv=2, params={"sample_weight": weight})
    train = np.arange(15, 30)
    expected = EDNNRegressor(Ridge()).fit(X[train], y[train], sample_weight=weight[train])
    np.testing.assert_array_equal(routed["estimator"][0].predict(X), expected.predict(X))
    expected = EDNNRegressor(Ridge()).fit(X, y, sample_weight=weight).predict(X)
    np.testing.assert_array_equal(pipeline.predict(X), expected)
    expected = EDNNRegressor(Ridge(), GridTiling(context=0)).fit(X, y, sample_weight=weight)
    np.testing.assert_array_equal(search.predict(X), expected.predict(X))


def test_groups_are_routed():
    X, y = batch("2-D", 60)
    groups = np.arange(60) // 4
    with sklearn.config_context(enable_metadata_routing=True):
        model = unfitted("tree", "2-D").set_fit_request(groups=True)
        result = cross_validate(model, X, y, cv=GroupKFold(2), params={"groups": groups})
    assert np.isfinite(result["test_score"]).all()


def test_a_failed_fit_or_predict_leaves_a_model_as_it_was():
    X, y = batch("2-D")
    for name in MODELS:
        model = unfitted(name, "2-D")
        with left_as_it_was(model), pytest.raises(ValueError, match="not a multiple"):
            clone(model).set_params(tiling=GridTiling(3)).fit(X, y)
        for state in ("unfitted", "fitted"):
            if state == "fitted":
                model.fit(X, y)
            with left_as_it_was(model), pytest.raises(ValueError, match="NaN"):
                model.fit(X, y * np.nan)
            with left_as_it_was(model), pytest.raises(ValueError, match="inconsistent"):
                model.fit(X, y[:-1])
        with left_as_it_was(model), pytest.raises(ValueError, match=r"fields of 2 dimension\(s\)"):
            model.predict(X[0])
        with left_as_it_was(model), pytest.raises(ValueError, match="NaN"):
            model.predict(X * np.nan)
