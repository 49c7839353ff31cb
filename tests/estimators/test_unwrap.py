"""Models, regressors and terms inside Pipelines, searches, committees, averages and guards."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sk_ednn import EDNNCommittee, EDNNRegressor, GridTiling, ShiftAveraged
from sk_ednn.estimators._unwrap import (
    estimators_in,
    fitted_term,
    regressors_in,
    terms_in,
    unwrap,
    unwrap_search,
)
from sk_ednn.exceptions import TileModelError
from sk_ednn.uncertainty import NoveltyGuard

X = np.random.default_rng(0).normal(size=(40, 4, 4))
Y = X.sum(axis=(1, 2))
SINGLE = EDNNRegressor(Ridge(), GridTiling(2, 0))
NEGATIVE = FunctionTransformer(np.negative)


def search(estimator, name):
    return GridSearchCV(estimator, {name: [1e-3]}, cv=2)


# Name: (estimator, the model inside the fitted one, that model's regressors, sign of its fields).
CASES = {
    "single": (SINGLE, lambda m: m, lambda m: [m], 1),
    "frozen": (
        FrozenEstimator(EDNNRegressor(Ridge(), GridTiling(2, 0)).fit(X, Y)),
        lambda m: m.estimator, lambda m: [m], 1,
    ),
    "search": (
        search(SINGLE, "tile_model__alpha"), lambda m: m.best_estimator_, lambda m: [m], 1,
    ),
    "pipeline": (make_pipeline(NEGATIVE, SINGLE), lambda m: m[-1], lambda m: [m], -1),
    "search over pipelines": (
        search(make_pipeline(NEGATIVE, SINGLE), "ednnregressor__tile_model__alpha"),
        lambda m: m.best_estimator_[-1], lambda m: [m], -1,
    ),
    "pipeline of pipelines": (
        make_pipeline(NEGATIVE, make_pipeline(NEGATIVE, SINGLE)), lambda m: m[-1][-1],
        lambda m: [m], 1,
    ),
    "guard": (
        NoveltyGuard(make_pipeline(NEGATIVE, SINGLE), alarm_rate=0.2),
        lambda m: m.estimator_[-1], lambda m: [m], -1,
    ),
    "committee": (EDNNCommittee(SINGLE, 2), lambda m: m, lambda m: m.estimators_, 1),
    "average": (ShiftAveraged(SINGLE, 2), lambda m: m, lambda m: [m.estimator_], 1),
    "committee of averages": (
        EDNNCommittee(ShiftAveraged(SINGLE, 2), 2), lambda m: m,
        lambda m: [member.estimator_ for member in m.estimators_], 1,
    ),
    "committee of pipelines": (
        EDNNCommittee(make_pipeline(NEGATIVE, SINGLE), 2), lambda m: m,
        lambda m: [member[-1] for member in m.estimators_], 1,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_model_is_unwrapped_with_the_fields_it_sees(name):
    estimator, model_in, regressors_of, sign = CASES[name]
    outer = estimator.fit(X, Y)
    model, fields = unwrap(outer, X)
    assert model is model_in(outer)
    np.testing.assert_array_equal(fields, sign * X)
    np.testing.assert_array_equal(model.predict(fields), outer.predict(X))
    regressors = regressors_of(model)
    for wrapped in (model, outer):
        assert [id(r) for r in regressors_in(wrapped)] == [id(r) for r in regressors]
    assert terms_in(outer) == [term for r in regressors for term in r.fitted_terms()]
    if regressors == [model]:
        fitted = fitted_term(outer, X)
        assert fitted.regressor is model and fitted.tile_model is model.tile_model_
        np.testing.assert_array_equal(fitted.systems.unstacked(), sign * X)
    else:
        with pytest.raises(TileModelError, match=r"Pass (one member|the estimator inside it)"):
            fitted_term(outer, X)


def test_targets_may_be_transformed_around_a_regressor():
    outer = TransformedTargetRegressor(make_pipeline(NEGATIVE, SINGLE)).fit(X, Y)
    assert regressors_in(outer) == [outer.regressor_[-1]]
    names = [type(part).__name__ for part in estimators_in(outer)]
    expected = ["TransformedTargetRegressor", "Pipeline", "FunctionTransformer", "EDNNRegressor"]
    assert names == expected


def test_unwrap_search_leaves_what_is_no_search():
    chain = make_pipeline(NEGATIVE, SINGLE).fit(X, Y)
    assert unwrap_search(chain) is chain
    nested = FrozenEstimator(search(SINGLE, "tile_model__alpha").fit(X, Y))
    assert unwrap_search(nested) is nested.estimator.best_estimator_


@pytest.mark.parametrize("unfitted", [SINGLE, EDNNCommittee(SINGLE), ShiftAveraged(SINGLE)])
def test_unwrap_needs_a_fitted_model(unfitted):
    from sklearn.base import clone

    with pytest.raises(NotFittedError):
        unwrap(clone(unfitted))


def test_unwrap_names_the_class_that_is_no_model():
    other = FrozenEstimator(Ridge().fit(X[:, 0], Y))
    assert regressors_in(other) == []
    with pytest.raises(TileModelError, match=r"fitted EDNNRegressor.* got a Ridge\.$"):
        unwrap(other)


def test_fitted_term_needs_the_name_of_one_of_several_terms():
    terms = [("near", Ridge(), GridTiling(1, 0)), ("wide", Ridge(), GridTiling(2, 1))]
    model = EDNNRegressor(terms).fit(X, Y)
    assert fitted_term(model, X, "wide").tiling is model.tiling_[1]
    for term in (None, "far"):
        with pytest.raises(TileModelError, match=r"the terms \['near', 'wide'\].*got"):
            fitted_term(model, X, term)


def test_models_that_contain_regressors_name_the_part_to_pass():
    """Instead of a class that the caller does not have."""
    inner = EDNNRegressor(Ridge()).fit(np.ones((3, 4)), np.ones(3))
    members, potential, empty = BaseEstimator(), BaseEstimator(), BaseEstimator()
    members.estimators_, potential.potential_ = [inner], BaseEstimator()
    potential.potential_.regressor, empty.estimators_ = inner, []
    for model, words in (
        (members, r"got a BaseEstimator\. Pass a part of it, estimators_\[0\]\."),
        (potential, r"Pass a part of it, potential_\.regressor\."),
        (empty, r"got a BaseEstimator\.$"),
    ):
        with pytest.raises(TileModelError, match=words):
            unwrap(model)
