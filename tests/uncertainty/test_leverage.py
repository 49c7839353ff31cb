"""Leverages, against the formula and against refitted predictions."""

import numpy as np
import pytest
from sklearn.linear_model import BayesianRidge, Ridge, RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures

from sk_ednn import EDNNCommittee, EDNNRegressor, GridTiling
from sk_ednn.exceptions import TileModelError
from sk_ednn.uncertainty import NoveltyGuard, leverage


def ragged(n, seed):
    rng = np.random.default_rng(seed)
    sizes = rng.choice([4, 6, 8], size=n)
    return [rng.normal(size=(size, 4)) for size in sizes], rng.normal(size=n)


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("n_samples", [12, 90])  # fewer than the 55 features, and more
def test_leverage_equals_the_formula(n_samples, fit_intercept):
    X, y = ragged(n_samples, 0)
    new, _ = ragged(7, 1)
    pairs = make_pipeline(PolynomialFeatures(2, include_bias=False), Ridge(0.3))
    pairs.set_params(ridge__fit_intercept=fit_intercept)
    tiling = GridTiling(2, (1, 0))
    model = EDNNRegressor(pairs, tiling, baseline=None).fit(X, y)
    expand = model.tile_model_.estimator[:-1]

    def summed(fields):
        rows = []
        for field in fields:
            features = expand.transform(tiling.tiles([field]).array().reshape(-1, 8))
            rows.append(np.append(features.sum(axis=0), len(features)))
        return np.array(rows)

    train, test = summed(X), summed(new)
    penalty = np.full(train.shape[1], 0.3)
    penalty[-1] = 0.0  # the intercept is not penalised
    if not fit_intercept:
        train, test, penalty = train[:, :-1], test[:, :-1], penalty[:-1]
    expected = test @ np.linalg.inv(train.T @ train + np.diag(penalty)) @ test.T
    np.testing.assert_allclose(leverage(model, X, new), np.diag(expected), rtol=1e-7)


def test_leverage_of_training_samples_is_the_derivative_of_the_prediction_by_the_target():
    X, y = ragged(20, 2)
    model = EDNNRegressor(
        make_pipeline(PolynomialFeatures(2), Ridge(0.5)), GridTiling(2, (1, 0)), baseline=None
    )
    result = leverage(model.fit(X, y), X, X)
    before = model.predict(X)
    for k in (0, 7, 19):
        changed = y.copy()
        changed[k] += 1.0
        assert model.fit(X, changed).predict(X)[k] - before[k] == pytest.approx(result[k], rel=1e-6)


def test_leverage_grows_as_the_square_of_the_number_of_copies():
    X = np.random.default_rng(0).normal(size=(30, 6, 6))
    model = EDNNRegressor(Ridge(0.1), GridTiling(2, 1)).fit(X, X.sum(axis=(1, 2)))
    once = leverage(model, X, X[:4])
    np.testing.assert_allclose(leverage(model, X, np.tile(X[:4], (1, 2, 3))), 36 * once, rtol=1e-9)


def test_penalties_chosen_by_the_fit_are_used():
    X = np.random.default_rng(0).normal(size=(60, 6, 6))
    y = X.sum(axis=(1, 2)) + np.random.default_rng(1).normal(size=60)
    for final in (RidgeCV([0.1, 1.0, 10.0]), BayesianRidge()):
        model = EDNNRegressor(final, GridTiling(2, 1)).fit(X, y)
        fitted = model.tile_model_.estimator
        alpha = getattr(fitted, "lambda_", None)
        alpha = fitted.alpha_ if alpha is None else alpha / fitted.alpha_
        same = EDNNRegressor(Ridge(alpha), GridTiling(2, 1)).fit(X, y)
        np.testing.assert_allclose(leverage(model, X, X), leverage(same, X, X), rtol=1e-9)


def test_a_guard_by_leverage():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(150, 6, 6))
    member = EDNNRegressor(Ridge(0.1), GridTiling(2, 1))
    committee = EDNNCommittee(member, 2, random_state=0)
    guard = NoveltyGuard(committee, indicator="leverage", random_state=0)
    guard.fit(X, X.sum(axis=(1, 2)))
    kept = np.setdiff1d(np.arange(150), guard.held_out_)
    alone = leverage(guard.estimator_, X[kept], X[guard.held_out_])
    np.testing.assert_allclose(guard.usual_, np.sort(np.sqrt(alone) / 9), rtol=1e-9)
    assert guard.novelty(20 * X[:5]).novel.all()


def test_models_without_a_penalty_are_rejected():
    X = np.random.default_rng(0).normal(size=(10, 6))
    y = X.sum(axis=1)
    with pytest.raises(TileModelError, match=r"one positive penalty; got KernelRidge"):
        leverage(EDNNRegressor().fit(X, y), X, X)
    with pytest.raises(TileModelError, match=r"one positive penalty; got Ridge\(alpha=0\)"):
        leverage(EDNNRegressor(Ridge(0), GridTiling(2, 0)).fit(X, y), X, X)
