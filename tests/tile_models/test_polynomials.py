"""Linear models of products against scikit-learn's own, over all kinds of products."""

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, PoissonRegressor, Ridge, RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.tile_models import SymmetricFeatures, _polynomials
from sk_ednn.tile_models._polynomials import polynomial_outputs
from sk_ednn.tiling import ChannelScaler

ROWS = np.random.default_rng(0).normal(size=(70, 9))


def fitted(products, model=None, n_outputs=None):
    features = products.fit(ROWS).transform(ROWS)
    rng = np.random.default_rng(1)
    y = rng.normal(size=(len(ROWS), n_outputs) if n_outputs else len(ROWS))
    return products, (Ridge(0.1) if model is None else model).fit(features, y)


@pytest.mark.parametrize("degree", [2, 3, (1, 2), (2, 2), (0, 3), (3, 3)])
@pytest.mark.parametrize("options", [{}, {"interaction_only": True}, {"include_bias": False}])
@pytest.mark.parametrize("n_outputs", [None, 1, 2])
def test_outputs_are_those_of_the_products(degree, options, n_outputs, monkeypatch):
    monkeypatch.setattr(_polynomials, "_IN_HAND", 300)
    products, model = fitted(PolynomialFeatures(degree, **options), n_outputs=n_outputs)
    expected = model.predict(products.transform(ROWS))
    found = polynomial_outputs(products, model, ROWS)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("degree", [2, 3])
@pytest.mark.parametrize("symmetries", ["reflect", ("reflect", "rotate", "flip")])
def test_products_of_a_point_group_are_added_up_in_the_coefficients(degree, symmetries):
    features = SymmetricFeatures(PolynomialFeatures(degree), symmetries, window=(3, 3))
    features, model = fitted(features)
    expected = model.predict(features.transform(ROWS))
    found = polynomial_outputs(features, model, ROWS)
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("model", [LinearRegression(fit_intercept=False), RidgeCV()])
def test_any_linear_model_is_evaluated(model):
    products, model = fitted(PolynomialFeatures(2), model)
    found = polynomial_outputs(products, model, ROWS)
    np.testing.assert_allclose(found, model.predict(products.transform(ROWS)), atol=1e-9)


class Doubled(Ridge):
    """Predicts something else than its coefficients say."""

    def predict(self, X):
        return 2 * super().predict(X)


def test_other_models_are_left_to_themselves(monkeypatch):
    products, model = fitted(PolynomialFeatures(2), Doubled(0.1))
    assert polynomial_outputs(products, model, ROWS) is None
    products, model = fitted(PolynomialFeatures(2))
    assert polynomial_outputs(products, model, ROWS.astype("f4")) is None
    assert polynomial_outputs(products, model, ROWS[:, :5]) is None
    assert polynomial_outputs(*fitted(PolynomialFeatures(4)), ROWS) is None
    monkeypatch.setattr(_polynomials, "_MOST_EXPONENTS", 55 * 9 - 1)
    assert polynomial_outputs(products, model, ROWS) is None
    positive = PoissonRegressor().fit(products.transform(ROWS), np.arange(70.0))
    assert polynomial_outputs(products, positive, ROWS) is None


@pytest.mark.parametrize("degree", [2, 3])
@pytest.mark.parametrize("dtype", ["i1", "f4", "f8"])
def test_totals_are_those_of_the_pipeline_on_tiles(degree, dtype):
    rng = np.random.default_rng(0)
    X = rng.integers(-1, 2, size=(30, 6, 6)).astype(dtype)
    tiling = GridTiling(1, 1)
    pipeline = make_pipeline(ChannelScaler(), PolynomialFeatures(degree), Ridge(0.1))
    model = EDNNRegressor(pipeline, tiling, baseline=None).fit(X, rng.normal(size=30))
    tiles = tiling.tiles(X).array().reshape(-1, 9).astype(float)
    by_tile = model.tile_model_.estimator.predict(tiles) * model.tile_model_.scale
    expected = by_tile.reshape(30, -1).sum(axis=1)
    np.testing.assert_allclose(model.predict(X), expected, rtol=1e-6, atol=1e-6)


def test_a_changed_coefficient_counts_at_once():
    products, model = fitted(PolynomialFeatures(2))
    before = polynomial_outputs(products, model, ROWS)
    model.coef_[0] += 1.0  # of the bias
    np.testing.assert_allclose(polynomial_outputs(products, model, ROWS), before + 1.0)
