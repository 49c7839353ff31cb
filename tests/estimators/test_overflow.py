"""Numbers whose squares overflow are named as such, and not as the NaN that comes of them."""

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from sklearn.svm import SVR

from sk_ednn import EDNNRegressor, GridTiling

X = np.random.default_rng(0).normal(size=(20, 4, 4))
Y = X.sum(axis=(1, 2))
LARGE = X.copy()
LARGE[3, 2, 1] = 1e300

FAIL = {
    "ridge": Ridge(),
    "least squares": LinearRegression(),
    "kernel": KernelRidge(kernel="rbf"),
    "process": GaussianProcessRegressor(optimizer=None),
    "products": make_pipeline(PolynomialFeatures(2), Ridge()),
    "scaled": make_pipeline(StandardScaler(), Ridge()),
    "support vectors": SVR(),
}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", FAIL)
def test_fields_that_overflow_are_named(name):
    model = EDNNRegressor(FAIL[name], GridTiling(1, 1))
    try:
        model.fit(LARGE, Y)
    except ValueError as error:
        assert "X has numbers as large as 1e+300, whose squares overflow" in str(error)
        assert not hasattr(model, "tile_model_")
    else:
        assert np.isfinite(model.predict(X)).all()


def test_what_does_not_square_its_inputs_is_fitted():
    trees = HistGradientBoostingRegressor(max_iter=2, max_leaf_nodes=4)
    model = EDNNRegressor(trees, GridTiling(1, 1)).fit(LARGE, Y)
    assert np.isfinite(model.predict(X)).all()


def test_errors_of_moderate_fields_are_what_they_were():
    with pytest.raises(ValueError, match="degree") as raised:
        EDNNRegressor(make_pipeline(PolynomialFeatures(-2), Ridge()), GridTiling(1, 1)).fit(X, Y)
    assert "overflow" not in str(raised.value)


@pytest.mark.parametrize("y", [Y * 1e300, np.stack([Y, Y * 1e200], axis=1)])
def test_totals_that_overflow_are_refused(y):
    with pytest.raises(ValueError, match=r"y has numbers as large as .* use larger units"):
        EDNNRegressor(Ridge(), GridTiling(1, 1)).fit(X, y)
