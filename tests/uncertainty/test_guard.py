"""NoveltyGuard: its p-values, its rate of alarms, and predictions that stay unchanged."""

import pickle
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, PolynomialFeatures

from sk_ednn import EDNNCommittee, EDNNRegressor, GridTiling
from sk_ednn.exceptions import NoveltyWarning, TileModelError
from sk_ednn.uncertainty import NoveltyGuard, novelty

MODEL = EDNNRegressor(Ridge(1e-3), GridTiling(2, 1))
COMMITTEE = EDNNCommittee(
    EDNNRegressor(make_pipeline(PolynomialFeatures(2), Ridge(1e-3)), GridTiling(2, 0)),
    4,
    random_state=0,
)


def fields(n, seed, size=6, scale=1.0):
    X = scale * np.random.default_rng(seed).normal(size=(n, size, size))
    return X, X.sum(axis=(1, 2)) + 0.1 * (X**3).sum(axis=(1, 2))


@pytest.mark.parametrize("indicator", ["distance", "spread"])
def test_p_values_are_ranks_among_the_samples_held_back(indicator):
    X, y = fields(150, 0)
    guard = NoveltyGuard(COMMITTEE, indicator=indicator, random_state=0).fit(X, y)
    assert len(guard.held_out_) == 30
    kept = np.setdiff1d(np.arange(150), guard.held_out_)
    for_new, _ = fields(20, 1)
    usual = novelty(guard.estimator_, X[kept], X[guard.held_out_], max_tiles=None)
    new = novelty(guard.estimator_, X[kept], for_new, max_tiles=None)
    scale = 9.0 if indicator == "spread" else 1.0  # tiles of a field
    np.testing.assert_allclose(guard.usual_, np.sort(usual[indicator]) / scale, rtol=1e-6)
    result = guard.novelty(for_new)
    expected = [(1 + np.sum(usual[indicator] >= v)) / 31 for v in new[indicator]]
    np.testing.assert_allclose(result.p_value, expected, atol=1.1 / 31)
    np.testing.assert_array_equal(result.novel, result.p_value <= 0.05)


def test_the_rate_of_alarms_is_at_most_alarm_rate():
    # Over fits and samples: the promise is about both.
    alarms = []
    for seed in range(8):
        X, y = fields(120, seed)
        guard = NoveltyGuard(MODEL, alarm_rate=0.1, held_out=0.3, random_state=seed)
        new, _ = fields(200, 100 + seed)
        alarms.append(guard.fit(X, y).novelty(new).novel.mean())
    # Expected: at most floor(0.1 · 37) / 37 = 0.081, and hardly less; 37 values scatter by 0.045.
    assert 0.03 < np.mean(alarms) < 0.081 + 3 * 0.045 / np.sqrt(8)


def test_predict_warns_only_about_novel_samples():
    X, y = fields(150, 0)
    guard = NoveltyGuard(MODEL, random_state=0).fit(X, y)
    familiar = X[np.setdiff1d(np.arange(150), guard.held_out_)][:3]  # of the fit: distance 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        expected = guard.predict(familiar)
    mixed = np.concatenate([familiar, 5 * familiar[:2]])
    with pytest.warns(NoveltyWarning, match=r"2 of 5 samples .* \(samples 3, 4\).*5\.0%"):
        predicted = guard.predict(mixed)
    np.testing.assert_array_equal(predicted, guard.estimator_.predict(mixed))
    np.testing.assert_allclose(predicted[:3], expected, rtol=1e-12)
    with pytest.warns(NoveltyWarning, match=r"samples 0, 1, 2, 3, 4, 5, 6, 7, \.\.\.\)"):
        guard.predict(5 * X[:9])


def test_other_sizes_pipelines_and_pickles():
    X, y = fields(150, 0)
    turned = make_pipeline(FunctionTransformer(np.negative), MODEL)
    guard = NoveltyGuard(turned, random_state=0).fit(X, y)
    large, _ = fields(40, 3, size=24)
    # Means over 16 times the tiles scatter less: of usual fields none is named.
    assert guard.novelty(large).novel.sum() <= 4
    assert guard.novelty(3 * large).novel.all()
    again = pickle.loads(pickle.dumps(guard)).novelty(large)
    np.testing.assert_array_equal(again.p_value, guard.novelty(large).p_value)
    assert novelty(guard, X, large).share.shape == (40,)


def test_a_frozen_estimator_is_not_refitted():
    X, y = fields(150, 0)
    model = clone(MODEL).fit(X, y)
    before = model.predict(X)
    guard = NoveltyGuard(FrozenEstimator(model), random_state=0).fit(*fields(100, 5))
    np.testing.assert_array_equal(guard.estimator_.predict(X), before)
    with pytest.warns(NoveltyWarning):
        np.testing.assert_array_equal(guard.predict(4 * X), model.predict(4 * X))


def test_groups_are_held_back_whole_and_weights_are_passed_on():
    X, y = fields(150, 0)
    groups = np.repeat(np.arange(50), 3)
    guard = NoveltyGuard(MODEL, random_state=0).fit(X, y, groups=groups)
    assert not set(groups[guard.held_out_]) & set(np.delete(groups, guard.held_out_))
    weights = np.where(np.arange(150) < 75, 1.0, 0.0)
    result = NoveltyGuard(MODEL, random_state=0).fit(X, y, weights).estimator_
    kept = np.setdiff1d(np.arange(75), NoveltyGuard(MODEL, random_state=0).fit(X, y).held_out_)
    alone = clone(MODEL).fit(X[kept], y[kept])
    np.testing.assert_allclose(result.predict(X), alone.predict(X), rtol=1e-8)


def test_impossible_parameters_are_rejected():
    X, y = fields(60, 0)
    with pytest.raises(ValueError, match=r"alarm_rate=0.05 needs at least 19 .* 60 samples are 12"):
        NoveltyGuard(MODEL).fit(X, y)
    with pytest.raises(TileModelError, match="indicator='spread' needs an EDNNCommittee"):
        NoveltyGuard(MODEL, indicator="spread", held_out=0.5).fit(X, y)
    with pytest.raises(ValueError, match="indicator"):
        NoveltyGuard(MODEL, indicator="luck").fit(X, y)
    with pytest.raises(ValueError, match="y is None"):
        NoveltyGuard(MODEL).fit(X, None)


def test_cross_validation_works():
    X, y = fields(200, 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NoveltyWarning)
        scores = cross_val_score(NoveltyGuard(MODEL, random_state=0), X, y, cv=2)
    assert (scores > 0.7).all()
