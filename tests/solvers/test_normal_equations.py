"""Normal equations of blocks of rows, compared with least squares on all rows."""

import numpy as np
import pytest
from scipy.linalg import lstsq
from sklearn import linear_model as lm
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.solvers import LinearSolver
from sk_ednn.solvers._normal_equations import NormalEquations
from sk_ednn.tiling import BagTiling


def penalised(rows, targets, weights, penalty):
    """Least squares by singular values of the rows, with the penalty as more rows."""
    roots, n = np.sqrt(weights)[:, None], rows.shape[1]
    left = np.concatenate([rows * roots, np.sqrt(penalty) * np.eye(n)])
    right = np.concatenate([targets * roots[:, 0], np.zeros(n)])
    return lstsq(left, right, lapack_driver="gelsd")[0]


@pytest.mark.parametrize("block_bytes", [1, 300, 2**26])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", [(50, 7), (4, 7), (1, 1)])
def test_solution_equals_least_squares_for_any_blocks(shape, weighted, block_bytes, rng):
    rows, targets = rng.normal(size=shape), rng.normal(size=shape[0])
    weights = rng.uniform(0.2, 2, size=shape[0]) if weighted else None
    equations = NormalEquations(shape[1], block_bytes)
    for some in np.array_split(np.arange(shape[0]), min(3, shape[0])):
        equations.add(rows[some], targets[some], None if weights is None else weights[some])
    expected = penalised(rows, targets, np.ones(shape[0]) if weights is None else weights, 0.1)
    np.testing.assert_allclose(equations.solve(0.1), expected, rtol=1e-9, atol=1e-12)


def test_matrix_of_several_tiles(rng):
    """Its lower triangle, the only one that is added up, is copied in tiles."""
    rows, targets = rng.normal(size=(30, 1100)), rng.normal(size=30)
    equations = NormalEquations(1100)
    equations.add(rows, targets)
    kernel = rows @ rows.T + 0.5 * np.eye(30)  # the dual form of the same problem
    expected = rows.T @ np.linalg.solve(kernel, targets)
    np.testing.assert_allclose(equations.solve(0.5), expected, rtol=1e-7, atol=1e-10)


def test_solution_of_least_norm_without_a_penalty(rng):
    rows = rng.normal(size=(20, 3)) @ rng.normal(size=(3, 6))
    rows[:, -1] = 0.0
    targets = rng.normal(size=20)
    equations = NormalEquations(6)
    equations.add(rows, targets)
    expected = np.linalg.lstsq(rows, targets, rcond=1e-10)[0]
    np.testing.assert_allclose(equations.solve(0.0), expected, atol=1e-6)


@pytest.mark.parametrize("condition", [1e2, 1e5])
def test_digits_are_those_of_the_solver_of_ridge(condition, rng):
    """Squares halve the digits, in `Ridge` as here; the penalty limits the condition."""
    u, v = (np.linalg.qr(rng.normal(size=(n, 8)))[0] for n in (60, 8))
    rows = u * np.geomspace(1, 1 / condition, 8) @ v.T
    targets, penalty = rng.normal(size=60), 1e-12
    equations = NormalEquations(8)
    equations.add(rows, targets)
    result = equations.solve(penalty)
    exact = penalised(rows, targets, np.ones(60), penalty)
    ridge = lm.Ridge(penalty, fit_intercept=False, solver="cholesky").fit(rows, targets).coef_
    off, of_ridge = (np.linalg.norm(each - exact) for each in (result, ridge))
    rounding = np.finfo(float).eps * condition**2 * np.linalg.norm(exact)
    assert off < 10 * of_ridge + 1e3 * rounding


# --- in LinearSolver --------------------------------------------------------------------------


class Sines(TransformerMixin, BaseEstimator):
    """The numbers of a tile and their sines, with exact derivatives: no step depends on blocks."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return np.hstack([X, np.sin(2 * X)])

    def push(self, X, direction):
        return np.hstack([direction, 2 * np.cos(2 * X) * direction])


class Rows(LinearSolver):
    """All rows in memory, and scikit-learn's `Ridge` on them."""

    _normal = ()
    _condensed = ()


class Triangle(LinearSolver):
    """A triangle from orthogonal decompositions, and scikit-learn's `Ridge` on it."""

    _normal = ()


class SmallBlocks(LinearSolver):
    _block_bytes = 1


def planes(rng):
    X = [*rng.normal(size=(6, 4, 5)), *rng.normal(size=(5, 3, 4)) + 0.5]
    y = np.array([np.sum(np.sin(x) * np.roll(x, 1, axis=1)) for x in X])
    gradient = [rng.normal(size=x.shape) for x in X]
    return X, y, gradient, GridTiling(1, (0, 1))


def bags(rng):
    X = [rng.normal(size=(n, 3)) + 0.5 for n in (3, 5, 4, 6, 2, 7, 5, 4, 3, 6, 5)]
    y = np.array([np.sum(x[:, 0] * x[:, 1]) for x in X])
    gradient = [rng.normal(size=x.shape) for x in X]
    return X, y, [*gradient[:-1], None], BagTiling()


@pytest.mark.parametrize("solver", [Rows, Triangle, SmallBlocks])
@pytest.mark.parametrize("fit_intercept", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("data", [planes, bags])
def test_all_ways_to_the_same_ridge_agree(data, weighted, fit_intercept, solver, rng):
    X, y, gradient, tiling = data(rng)
    weights = rng.uniform(0.2, 2, size=len(X)) if weighted else None

    def fitted(solver):
        ridge = make_pipeline(Sines(), lm.Ridge(1e-3, fit_intercept=fit_intercept))
        model = EDNNRegressor(ridge, tiling, solver=solver(6), random_state=0)
        return model.fit(X, y, sample_weight=weights, gradient=gradient)

    expected, result = fitted(LinearSolver), fitted(solver)
    np.testing.assert_allclose(result.predict(X), expected.predict(X), rtol=1e-8, atol=1e-9)
    last, of_result = (each.tile_model_.estimator[-1] for each in (expected, result))
    np.testing.assert_allclose(of_result.coef_, last.coef_, rtol=1e-6, atol=1e-9)
    assert vars(last).keys() == vars(of_result).keys()


def test_ridge_never_has_all_rows_of_gradients(rng):
    X, y, gradient, tiling = planes(rng)
    sizes = []

    class Watched(NormalEquations):
        def add(self, rows, targets, weights=None):
            sizes.append(len(rows))
            super().add(rows, targets, weights)

    class Watching(LinearSolver):
        _block_bytes = 8 * 9 * 20  # of 20 rows of nine features

        @staticmethod
        def _equations(*params):
            return Watched(*params)

    ridge = make_pipeline(PolynomialFeatures(2, include_bias=False), lm.Ridge(1e-3))
    EDNNRegressor(ridge, tiling, solver=Watching(10), random_state=0).fit(X, y, gradient=gradient)
    assert sizes[0] == len(X) and sum(sizes[1:]) == 10 * len(X)
    assert max(sizes[1:]) <= 20


@pytest.mark.parametrize("params", [{"solver": "svd"}, {"solver": "lsqr"}, {"positive": True}])
def test_other_solvers_of_ridge_are_its_own(params, rng):
    X, y, gradient, tiling = planes(rng)
    ridge = lm.Ridge(1e-2, **params)
    model = EDNNRegressor(ridge, tiling, solver=LinearSolver(4), random_state=0)
    model.fit(X, y, gradient=gradient)
    assert model.tile_model_.estimator.solver_ == params.get("solver", "lbfgs")


def test_an_invalid_penalty_is_rejected(rng):
    X, y, gradient, tiling = planes(rng)
    model = EDNNRegressor(lm.Ridge(-1.0), tiling)
    with pytest.raises(ValueError, match="'alpha' parameter of Ridge"):
        model.fit(X, y, gradient=gradient)
