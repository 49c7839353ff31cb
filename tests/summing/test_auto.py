"""Which strategy fits which tile model."""

import pytest
from sklearn import linear_model as lm
from sklearn.base import BaseEstimator
from sklearn.ensemble import RandomForestRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.kernel_approximation import Nystroem
from sklearn.kernel_ridge import KernelRidge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR, LinearSVR
from sklearn.tree import DecisionTreeRegressor

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.exceptions import TileModelError
from sk_ednn.summing import AutoSumFit, BoostingSumFit, KernelSumFit, LinearSumFit
from tests._cases import left_as_it_was, make_field

TABLE = {
    "LinearSumFit": [
        lm.LinearRegression(),
        lm.LassoCV(),
        LinearSVR(),
        make_pipeline(Nystroem(), lm.Ridge()),
        make_pipeline(StandardScaler(), make_pipeline(StandardScaler(), lm.HuberRegressor())),
    ],
    "KernelSumFit": [KernelRidge(), make_pipeline(StandardScaler(), KernelRidge())],
    "GaussianProcessSumFit": [
        GaussianProcessRegressor(),
        make_pipeline(StandardScaler(), GaussianProcessRegressor()),
    ],
    "BoostingSumFit": [
        RandomForestRegressor(),
        SVR(),
        lm.PoissonRegressor(),
        make_pipeline(StandardScaler(), DecisionTreeRegressor()),
    ],
}


@pytest.mark.parametrize(
    ("tile_model", "expected"), [(m, name) for name, models in TABLE.items() for m in models]
)
def test_chosen_by_the_last_step(tile_model, expected):
    assert type(AutoSumFit().select(tile_model)).__name__ == expected


@pytest.mark.parametrize(
    ("models", "expected"),
    [
        ([lm.Ridge(), make_pipeline(StandardScaler(), lm.Ridge())], "LinearSumFit"),
        ([KernelRidge(), KernelRidge(kernel="rbf")], "KernelSumFit"),
        ([lm.Ridge(), KernelRidge()], "BoostingSumFit"),
        ([GaussianProcessRegressor(), GaussianProcessRegressor()], "BoostingSumFit"),
        ([SVR(), DecisionTreeRegressor()], "BoostingSumFit"),
    ],
)
def test_several_terms_need_one_strategy(models, expected):
    terms = [(f"term{k}", model, GridTiling()) for k, model in enumerate(models)]
    assert type(AutoSumFit().select(terms)).__name__ == expected


@pytest.mark.parametrize("tile_model", [StandardScaler(), BaseEstimator(), "ridge", 1.0, lm.Ridge])
def test_what_is_no_regressor_is_refused(tile_model):
    with pytest.raises(TileModelError, match=r"No strategy fits .* A tile model is a scikit-learn"):
        AutoSumFit().select(tile_model)
    model = EDNNRegressor(tile_model)
    X = make_field("float64", 5, (4,))
    with left_as_it_was(model), pytest.raises(TileModelError, match="No strategy fits"):
        model.fit(X, X.sum(axis=1))


def test_a_class_in_the_place_of_its_instance_is_named():
    with pytest.raises(TileModelError, match=r"the class Ridge \(give an instance, Ridge\(\)\)"):
        AutoSumFit().select(lm.Ridge)


def test_what_was_chosen_can_be_seen_and_overruled():
    X = make_field("float64", 20, (4,))
    y = X.sum(axis=1)
    assert isinstance(EDNNRegressor().fit(X, y).summing_, KernelSumFit)
    assert isinstance(EDNNRegressor(lm.Ridge()).fit(X, y).summing_, LinearSumFit)
    model = EDNNRegressor(lm.Ridge(), summing=BoostingSumFit(n_stages=2)).fit(X, y)
    assert isinstance(model.summing_, BoostingSumFit)
    assert model.summing_ is not model.summing
    assert AutoSumFit().suits([]) is AutoSumFit().suits([])


def test_fitting_with_auto_itself_is_fitting_with_its_choice():
    X = make_field("float64", 20, (4,))
    one = EDNNRegressor(lm.Ridge(), summing=AutoSumFit()).fit(X, X.sum(axis=1))
    assert isinstance(one.summing_, LinearSumFit)
