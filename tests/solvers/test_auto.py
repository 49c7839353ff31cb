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
from sk_ednn.solvers import AutoSolver, BoostingSolver, KernelSolver, LinearSolver
from tests._cases import left_as_it_was, make_field

TABLE = {
    "LinearSolver": [
        lm.LinearRegression(),
        lm.LassoCV(),
        LinearSVR(),
        make_pipeline(Nystroem(), lm.Ridge()),
        make_pipeline(StandardScaler(), make_pipeline(StandardScaler(), lm.HuberRegressor())),
    ],
    "KernelSolver": [KernelRidge(), make_pipeline(StandardScaler(), KernelRidge())],
    "GaussianProcessSolver": [
        GaussianProcessRegressor(),
        make_pipeline(StandardScaler(), GaussianProcessRegressor()),
    ],
    "BoostingSolver": [
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
    assert type(AutoSolver().select(tile_model)).__name__ == expected


@pytest.mark.parametrize(
    ("models", "expected"),
    [
        ([lm.Ridge(), make_pipeline(StandardScaler(), lm.Ridge())], "LinearSolver"),
        ([KernelRidge(), KernelRidge(kernel="rbf")], "KernelSolver"),
        ([lm.Ridge(), KernelRidge()], "BoostingSolver"),
        ([GaussianProcessRegressor(), GaussianProcessRegressor()], "BoostingSolver"),
        ([SVR(), DecisionTreeRegressor()], "BoostingSolver"),
    ],
)
def test_several_terms_need_one_strategy(models, expected):
    terms = [(f"term{k}", model, GridTiling()) for k, model in enumerate(models)]
    assert type(AutoSolver().select(terms)).__name__ == expected


@pytest.mark.parametrize("tile_model", [StandardScaler(), BaseEstimator(), "ridge", 1.0, lm.Ridge])
def test_what_is_no_regressor_is_refused(tile_model):
    with pytest.raises(TileModelError, match=r"No strategy fits .* A tile model is a scikit-learn"):
        AutoSolver().select(tile_model)
    model = EDNNRegressor(tile_model)
    X = make_field("float64", 5, (4,))
    with left_as_it_was(model), pytest.raises(TileModelError, match="No strategy fits"):
        model.fit(X, X.sum(axis=1))


def test_a_class_in_the_place_of_its_instance_is_named():
    with pytest.raises(TileModelError, match=r"the class Ridge \(give an instance, Ridge\(\)\)"):
        AutoSolver().select(lm.Ridge)


def test_what_was_chosen_can_be_seen_and_overruled():
    X = make_field("float64", 20, (4,))
    y = X.sum(axis=1)
    assert isinstance(EDNNRegressor().fit(X, y).solver_, KernelSolver)
    assert isinstance(EDNNRegressor(lm.Ridge()).fit(X, y).solver_, LinearSolver)
    model = EDNNRegressor(lm.Ridge(), solver=BoostingSolver(n_stages=2)).fit(X, y)
    assert isinstance(model.solver_, BoostingSolver)
    assert model.solver_ is not model.solver
    assert AutoSolver().suits([]) is AutoSolver().suits([])


def test_fitting_with_auto_itself_is_fitting_with_its_choice():
    X = make_field("float64", 20, (4,))
    one = EDNNRegressor(lm.Ridge(), solver=AutoSolver()).fit(X, X.sum(axis=1))
    assert isinstance(one.solver_, LinearSolver)
