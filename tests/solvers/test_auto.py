"""AutoSolver: the choice of a solver by the tile model."""

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
def test_select_by_the_last_step(tile_model, expected):
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
def test_select_a_solver_for_several_terms(models, expected):
    terms = [(f"term{k}", model, GridTiling()) for k, model in enumerate(models)]
    assert type(AutoSolver().select(terms)).__name__ == expected


@pytest.mark.parametrize("tile_model", [StandardScaler(), BaseEstimator(), "ridge", 1.0, lm.Ridge])
def test_select_rejects_other_objects_than_regressors(tile_model):
    with pytest.raises(
        TileModelError, match=r"No solver can fit .* A tile model must be a scikit-learn"
    ):
        AutoSolver().select(tile_model)
    model = EDNNRegressor(tile_model)
    X = make_field("float64", 5, (4,))
    with left_as_it_was(model), pytest.raises(TileModelError, match="No solver can fit"):
        model.fit(X, X.sum(axis=1))


def test_select_rejects_classes():
    with pytest.raises(TileModelError, match=r"the class Ridge \(pass an instance, Ridge\(\)\)"):
        AutoSolver().select(lm.Ridge)


def test_solver_is_stored_and_can_be_set():
    X = make_field("float64", 20, (4,))
    y = X.sum(axis=1)
    assert isinstance(EDNNRegressor().fit(X, y).solver_, KernelSolver)
    assert isinstance(EDNNRegressor(lm.Ridge()).fit(X, y).solver_, LinearSolver)
    model = EDNNRegressor(lm.Ridge(), solver=BoostingSolver(n_stages=2)).fit(X, y)
    assert isinstance(model.solver_, BoostingSolver)
    assert model.solver_ is not model.solver
    assert AutoSolver().suits([]) is AutoSolver().suits([])


def test_fit_of_auto_solver_equals_fit_of_its_choice():
    X = make_field("float64", 20, (4,))
    one = EDNNRegressor(lm.Ridge(), solver=AutoSolver()).fit(X, X.sum(axis=1))
    assert isinstance(one.solver_, LinearSolver)
