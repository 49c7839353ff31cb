"""Linear models that learn gradients, compared with least squares on explicit rows."""

import numpy as np
import pytest
from sklearn import linear_model as lm
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.decomposition import PCA
from sklearn.kernel_approximation import Nystroem
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    OneHotEncoder,
    PolynomialFeatures,
    SplineTransformer,
    StandardScaler,
)

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.atoms import GaussianRasterizer, LocalInvariants
from sk_ednn.datasets import load_sheets
from sk_ednn.exceptions import TileMemoryError, TileModelError
from sk_ednn.fields import ArraySource
from sk_ednn.solvers import LinearSolver
from sk_ednn.solvers._push import features_along
from sk_ednn.solvers._random_directions import random_directions
from sk_ednn.structures import Structure
from tests._cases import TILINGS, left_as_it_was


class Waves(TransformerMixin, BaseEstimator):
    """The values of a tile and fifteen sines of their combinations, with fixed weights."""

    def fit(self, X, y=None):
        self.weights_ = np.random.default_rng(0).normal(size=(15, X.shape[1]))
        return self

    def transform(self, X):
        return np.hstack([X, np.sin(X @ self.weights_.T)])

    def pull(self, X, gradient):
        by_values, gradient = np.split(gradient, [X.shape[1]], axis=1)
        return by_values + (gradient * np.cos(X @ self.weights_.T)) @ self.weights_


class Pushing(Waves):
    """The same transformer with an analytic push."""

    def push(self, X, direction):
        change = np.cos(X @ self.weights_.T) * (direction @ self.weights_.T)
        return np.hstack([direction, change])


def fields(n_samples, shape, seed=0):
    return np.random.default_rng(seed).normal(size=(n_samples, *shape))


def bonds(X):
    """Return totals of products of neighbours in a periodic plane, and their gradients."""
    y = (X * np.roll(X, 1, axis=-1) + 0.3 * X**2 + X + 2).sum(axis=(-2, -1))
    return y, np.roll(X, 1, axis=-1) + np.roll(X, -1, axis=-1) + 0.6 * X + 1


def regressor(*steps, **params):
    steps = steps or (PolynomialFeatures(2, include_bias=False), lm.Ridge(1e-8))
    params = {"tiling": GridTiling(1, 1), "random_state": 0} | params
    return EDNNRegressor(make_pipeline(*steps), **params)


# --- laws -----------------------------------------------------------------------------------


@pytest.mark.parametrize("features", [Waves(), Pushing()])
@pytest.mark.parametrize("baseline", [None, "size", "content"])
@pytest.mark.parametrize("name", TILINGS)
def test_linear_model_is_recovered_from_few_totals_and_directions(name, baseline, features):
    tiling, shape, other = TILINGS[name]
    X = [*fields(3, shape), *fields(3, other, 1)]
    noise = np.random.default_rng(2).normal(size=60)
    truth = regressor(Waves(), lm.Ridge(0.1), tiling=tiling).fit(fields(60, shape, 5), noise)
    y, gradients = truth.predict(X), truth.predict_gradient(X)
    unseen = [*fields(3, shape, 3), *fields(3, other, 4)]
    solver = LinearSolver(n_directions=20)
    model = regressor(
        features, lm.LinearRegression(), tiling=tiling, baseline=baseline, solver=solver
    )
    alone = clone(model).fit(X, y).predict(unseen)
    model.fit(X, y, gradient=gradients)
    true = truth.predict(unseen)
    np.testing.assert_allclose(model.predict(unseen), true, rtol=1e-7, atol=1e-7)
    for result, expected in zip(
        model.predict_gradient(unseen), truth.predict_gradient(unseen), strict=True
    ):
        np.testing.assert_allclose(result, expected, rtol=1e-6, atol=1e-7)
    assert np.abs(alone - true).max() > 1e-3  # six totals do not determine as many numbers


def summed_features(X):
    """Return sums over sites of x and x², and their derivatives 1 and 2x."""
    sums = np.array([[x.sum(), (x**2).sum()] for x in X])
    return sums, [np.stack([np.ones_like(x), 2 * x], axis=-1).reshape(-1, 2) for x in X]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("fit_intercept", [False, True])
def test_fit_equals_normal_equations_of_all_rows(weighted, ragged, fit_intercept, rng):
    X = [*fields(5, (3, 4)), *fields(4, (5, 2) if ragged else (3, 4), 1)]
    y = rng.normal(size=9)
    gradient = [rng.normal(size=x.shape) for x in X]
    weights = rng.uniform(0.2, 2, size=9) if weighted else np.ones(9)
    alpha, weight = 0.3, 0.7
    # Each entry of the gradient is its own row: nothing is random.
    solver = LinearSolver(n_directions=1000, gradient_weight=weight)
    model = EDNNRegressor(
        make_pipeline(
            PolynomialFeatures(2, include_bias=False), lm.Ridge(alpha, fit_intercept=fit_intercept)
        ),
        GridTiling(1, 0),
        solver=solver,
        baseline=None,
    )
    model.fit(X, y, sample_weight=weights if weighted else None, gradient=gradient)

    sums, gradients = summed_features(X)
    counts = np.array([x.size for x in X], dtype=float)
    design = np.column_stack([sums, counts * fit_intercept])
    left, right = design.T * weights @ design, design.T * weights @ y
    mean_of_totals = (weights @ y**2) / weights.sum()
    entries = np.concatenate([g.ravel() for g in gradient])
    n_entries = weights @ counts
    # Both losses are means in units of mean squares; the first is brought to its plain sum.
    factor = weight * (mean_of_totals * weights.sum()) / (np.mean(entries**2) * n_entries)
    for w, jacobian, g in zip(weights, gradients, gradient, strict=True):
        rows = np.column_stack([jacobian, np.zeros(len(jacobian))])
        left += factor * w * rows.T @ rows
        right += factor * w * rows.T @ g.ravel()
    left[[0, 1], [0, 1]] += alpha
    solution = np.linalg.lstsq(left, right, rcond=1e-14)[0]
    np.testing.assert_allclose(model.predict(X), design @ solution, rtol=1e-7)
    np.testing.assert_allclose(model.tile_model_.estimator[-1].coef_, solution[:2], rtol=1e-7)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("last", [lm.Ridge(1e-3), lm.LinearRegression()])
def test_many_directions_take_no_more_memory_than_features(last, weighted, rng):
    X = fields(20, (4, 4))
    y, gradients = bonds(X)
    weights = rng.uniform(0.2, 2, size=20) if weighted else None
    shapes, models = [], []

    class Watched(type(last)):
        def fit(self, X, y, sample_weight=None):
            shapes.append(X.shape)
            return super().fit(X, y, sample_weight)

    class Condensing(LinearSolver):
        _condensed = (Watched,)

    for solver in (Condensing, LinearSolver):
        model = EDNNRegressor(
            make_pipeline(
                PolynomialFeatures(1, include_bias=False), Watched(**last.get_params())
            ),
            GridTiling(1, 1), solver=solver(n_directions=4), random_state=0,
        )  # fmt: skip
        models.append(model.fit(X, y, sample_weight=weights, gradient=gradients))
    assert shapes == [(20 + 9, 9), (20 + 80, 9)]
    few, all_rows = (model.predict_gradient(X) for model in models)
    np.testing.assert_allclose(few, all_rows, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(models[0].predict(X), models[1].predict(X), rtol=1e-8)


def test_random_directions_average_to_the_identity():
    # The expected squared residual along them is that of the whole gradient.
    random_state, shape = np.random.RandomState(0), (2, 3)
    drawn = [random_directions(shape, 4, random_state).reshape(4, -1) for _ in range(5000)]
    mean = np.mean([rows.T @ rows for rows in drawn], axis=0)
    np.testing.assert_allclose(mean, np.eye(6), atol=5 / np.sqrt(4 * 5000))
    np.testing.assert_allclose([np.sum(rows**2) for rows in drawn], 6.0)
    # Unit vectors if there are no more entries than directions.
    np.testing.assert_array_equal(
        random_directions(shape, 6, random_state), np.eye(6).reshape(6, 2, 3)
    )


class SmallBlocks(LinearSolver):
    _block_bytes = 1


def test_directions_depend_on_random_state():
    X = [*fields(6, (4, 5)), *fields(5, (3, 4), 1)]
    y, gradients = zip(*(bonds(x) for x in X), strict=True)

    def prediction(random_state, solver=None):
        model = regressor(Waves(), lm.Ridge(1e-3), solver=solver, random_state=random_state)
        return model.fit(X, y, gradient=gradients).predict(X)

    first = prediction(0)
    np.testing.assert_array_equal(prediction(0), first)
    assert np.abs(prediction(1) - first).max() > 1e-6
    of_its_own = [prediction(seed, LinearSolver(random_state=3)) for seed in (0, 1)]
    np.testing.assert_array_equal(*of_its_own)
    plain, by_blocks = (prediction(0, solver()) for solver in (LinearSolver, SmallBlocks))
    np.testing.assert_allclose(by_blocks, plain, rtol=1e-6)


LEAST_SQUARES = [
    lm.Ridge(0.5),
    lm.Lasso(0.05, tol=1e-10),
    lm.ElasticNet(0.05, tol=1e-10),
    lm.LassoLars(0.01),
    lm.OrthogonalMatchingPursuit(n_nonzero_coefs=2),
    lm.LassoCV(cv=3, tol=1e-10),
    lm.ElasticNetCV(cv=3, tol=1e-10),
    lm.LassoLarsCV(cv=3),
    lm.RidgeCV([0.1, 1.0, 10.0], cv=3),
]


@pytest.mark.parametrize(
    ("last", "weighted"),
    [(last, False) for last in LEAST_SQUARES]
    + [(last, True) for last in LEAST_SQUARES[:3] + LEAST_SQUARES[5:7]],
    ids=lambda e: type(e).__name__,
)
def test_gradients_of_zero_weight_have_no_effect(last, weighted, rng):
    # The penalty keeps its size beside the totals however many rows there are below them.
    X = fields(30, (2, 3))
    y = np.sin(X).sum(axis=(1, 2))
    weights = rng.uniform(0.2, 2, size=30) if weighted else None
    solver = LinearSolver(gradient_weight=1e-16)
    model = EDNNRegressor(clone(last), GridTiling((2, 3), 0), solver=solver, random_state=0)
    expected = clone(model).fit(X, y, sample_weight=weights).predict(X)
    model.fit(X, y, sample_weight=weights, gradient=np.cos(X))
    np.testing.assert_allclose(model.predict(X), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "last",
    [
        lm.LinearRegression(),
        lm.Lasso(1e-5, tol=1e-9, max_iter=100_000),
        lm.BayesianRidge(),
        lm.ARDRegression(),
        lm.HuberRegressor(alpha=0.0, max_iter=10_000),
        lm.RidgeCV([1e-8, 1e-4], cv=3),
    ],
    ids=lambda e: type(e).__name__,
)
def test_all_linear_models_learn_gradients(last):
    X = fields(8, (5, 5))
    y, gradients = bonds(X)
    model = regressor(PolynomialFeatures(2, include_bias=False), last, baseline="content")
    model.set_params(solver=LinearSolver(10)).fit(X, y, gradient=gradients)
    unseen = fields(3, (6, 7), 1)
    np.testing.assert_allclose(model.predict(unseen), bonds(unseen)[0], rtol=1e-3)
    np.testing.assert_allclose(model.predict_gradient(unseen), bonds(unseen)[1], atol=1e-2)


class Recorded(lm.Ridge):
    """Ridge that records the folds of its cv parameter."""

    seen: list = []

    def __init__(self, cv=None, alpha=1.0, fit_intercept=True):
        super().__init__(alpha, fit_intercept=fit_intercept)
        self.cv = cv

    def fit(self, X, y, sample_weight=None):
        self.seen.append((self.cv, len(X)))
        return super().fit(X, y, sample_weight)


def test_samples_are_held_out_with_their_gradients():
    X = fields(9, (4, 4))
    y, gradients = bonds(X)
    Recorded.seen.clear()
    model = regressor(PolynomialFeatures(2), Recorded(cv=3), solver=LinearSolver(2))
    model.fit(X, y, gradient=gradients)
    ((folds, n_rows),) = Recorded.seen
    assert n_rows == 9 + 18 and len(folds) == 3
    for train, test in folds:
        assert set(test) < set(range(9)) and not set(test) & set(train)
        derivatives = (train[train >= 9] - 9) // 2  # two a sample, in order
        assert sorted(set(derivatives)) == sorted(train[train < 9])
        assert len(train) == 3 * 6
    assert model.tile_model_.estimator[-1].cv == 3  # what the user gave


# --- what the fields are --------------------------------------------------------------------


@pytest.mark.parametrize("channel_axis", [0, -1])
def test_gradients_for_all_positions_of_the_channel_axis(channel_axis):
    def energy(X):
        a, b = np.moveaxis(X, 1 + channel_axis % 3, 0)
        gradients = np.stack([b + 1, a + 0.4 * b], axis=1)
        return (a * b + a + 0.2 * b**2).sum(axis=(1, 2)), np.moveaxis(
            gradients, 1, 1 + channel_axis % 3
        )

    shape = (2, 4, 5) if channel_axis == 0 else (4, 5, 2)
    X, unseen = fields(8, shape), fields(2, shape, 1)
    y, gradients = energy(X)
    for baseline in (None, "content"):
        model = regressor(
            tiling=GridTiling(1, 1, channel_axis=channel_axis), baseline=baseline,
            solver=LinearSolver(50),
        ).fit(X, y, gradient=list(gradients))  # fmt: skip
        np.testing.assert_allclose(model.predict_gradient(unseen), energy(unseen)[1], atol=1e-4)


def test_gradients_of_integer_fields():
    X = np.random.default_rng(0).choice([-1, 1], size=(10, 5, 5)).astype(np.int8)
    y, gradients = bonds(X.astype(float))
    model = regressor(solver=LinearSolver(10)).fit(X, y, gradient=gradients)
    unseen = fields(2, (6, 6), 1)
    np.testing.assert_allclose(model.predict_gradient(unseen), bonds(unseen)[1], atol=1e-4)


def test_float32_fields_are_differentiated_in_float64():
    X = fields(8, (5, 5)).astype(np.float32)
    y, gradients = bonds(X.astype(float))
    expected = regressor().fit(X.astype(float), y, gradient=gradients).predict(X.astype(float))
    model = regressor().fit(X, y, gradient=gradients.astype(np.float32))
    np.testing.assert_allclose(model.predict(X), expected, rtol=1e-5)


def test_gradients_of_lazy_fields():
    X = fields(12, (4, 6))
    y, gradients = bonds(X)
    for steps in ([lm.Ridge()], [StandardScaler(), lm.Ridge()]):
        expected = regressor(*steps).fit(X, y, gradient=gradients).predict(X)
        model = regressor(*steps).fit(ArraySource(X), y, gradient=gradients)
        np.testing.assert_allclose(model.predict(X), expected, rtol=1e-6)


def test_gradients_of_several_terms():
    X, unseen = fields(4, (6, 6)), fields(2, (8, 6), 1)
    y, gradients = bonds(X)
    last = lm.Ridge(1e-9)
    along = make_pipeline(PolynomialFeatures(2, interaction_only=True, include_bias=False), last)
    square = make_pipeline(PolynomialFeatures(2, include_bias=False), last)
    model = EDNNRegressor(
        [("bonds", along, GridTiling(1, (0, 1))), ("sites", square, GridTiling(1, 0))],
        solver=LinearSolver(6),
        random_state=0,
    ).fit(X, y, gradient=gradients)
    np.testing.assert_allclose(model.predict_gradient(unseen), bonds(unseen)[1], atol=1e-5)
    np.testing.assert_allclose(model.predict(unseen), bonds(unseen)[0], rtol=1e-6)


STEPS = {
    "scaled": [StandardScaler()],
    "components of products": [PolynomialFeatures(2), StandardScaler(), PCA(5)],
    "random features": [StandardScaler(), Nystroem(gamma=0.1, n_components=8, random_state=0)],
    "splines": [SplineTransformer(n_knots=5, extrapolation="linear")],
    "sparse splines": [SplineTransformer(n_knots=5, sparse_output=True, extrapolation="linear")],
    "sparse, then dense": [
        SplineTransformer(sparse_output=True, extrapolation="linear"),
        Nystroem(n_components=4, random_state=0),
    ],
    "pushed": [StandardScaler(), Pushing()],
    "pushed, and not": [Pushing(), FunctionTransformer(np.cos)],
    "none": [],
}


@pytest.mark.parametrize("offset", [0.0, 1e4])
@pytest.mark.parametrize("name", STEPS)
def test_features_along_equals_derivatives(name, offset, rng):
    rows = rng.normal(size=(40, 6)) * [1, 1, 2, 2, 0.1, 0.1] + offset
    tangents = [rng.normal(size=rows.shape) * scale for scale in (1e-6, 1e3)]
    steps, given = [], rows
    for step in STEPS[name]:
        steps.append(clone(step).fit(given))
        given = steps[-1].transform(given)

    def features(X):
        for step in steps:
            X = step.transform(X)
        return X.toarray() if hasattr(X, "toarray") else X

    for tangent, result in zip(tangents, features_along(steps, rows, tangents), strict=True):
        step = 1e-5 / np.abs(tangent).max()
        ends = [features(rows + k * step * tangent) for k in (-2, -1, 1, 2)]
        expected = np.tensordot([1, -8, 8, -1], ends, axes=1) / (12 * step)
        result = result.toarray() if hasattr(result, "toarray") else result
        # Splines are only so smooth at their knots, which some rows lie on.
        tolerance = (5e-3 if "spline" in name or "sparse" in name else 1e-5) * np.abs(
            expected
        ).max()
        np.testing.assert_allclose(result, expected, atol=tolerance)


class Stretched:
    """The gradient with respect to a common factor of all sites."""

    def __init__(self, x, gradient):
        self.x, self.values = x, np.array([np.sum(gradient * x)])

    def pull(self, gradient):
        return np.sum(gradient[0] * self.x)[None]

    def push(self, direction):
        return direction[0] * self.x[None]


class Unpushed(Stretched):
    push = property()


class WronglyPushed(Stretched):
    def push(self, direction):
        return self.x


class WronglyPulled(Stretched):
    def pull(self, gradient):
        return np.sum(gradient)


class PushedToNaN(Stretched):
    def push(self, direction):
        return np.nan * self.x[None]


def test_gradients_with_pull_and_push():
    X = fields(10, (4, 5))
    y, gradients = bonds(X)
    stretched = [Stretched(x, gradient) for x, gradient in zip(X, gradients, strict=True)]
    for baseline in (None, "content"):
        model = regressor(baseline=baseline)
        results = []
        for gradient in (None, stretched):
            model.fit(X, y, gradient=gradient)
            predicted = (model.predict_gradient(X) * X).sum(axis=(1, 2))
            results.append(np.mean((predicted - [k.values[0] for k in stretched]) ** 2))
        assert results[1] < 0.2 * results[0], results
    # Target gradients may be arrays for some samples and objects for others.
    mixed = [*stretched[:5], *gradients[5:]]
    model = regressor(solver=LinearSolver(5)).fit(X, y, gradient=mixed)
    np.testing.assert_allclose(model.predict_gradient(X), gradients, atol=1e-4)


# --- errors ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gradient": np.zeros((6, 4, 3))}, r"gradient\[0\] .* must have its shape \(4, 4\)"),
        ({"gradient": np.full((6, 4, 4), np.nan)}, r"gradient\[0\] contains NaN"),
        ({"gradient": np.zeros((7, 4, 4))}, "inconsistent numbers"),
        ({"gradient": [None] * 6}, r"gradient\[0\] contains NaN|must have its shape"),
        ({"gradient": 5}, "gradient must contain one entry for each of the 6 samples"),
        ({"gradient": ["up"] * 6}, r"gradient\[0\] must be an array of numbers"),
        ({"y": np.ones((6, 2))}, "one total per sample only, but y has 2 columns"),
        ({"kind": Unpushed}, r"gradient\[0\] \(Unpushed\) has no method push\(tangent\).* Add it"),
        ({"kind": WronglyPushed}, r"gradient\[0\].push must return .*\(1, 4, 4\).*\(4, 4\)"),
        ({"kind": PushedToNaN}, r"gradient\[0\].push must return .* NaN"),
        ({"kind": WronglyPulled}, r"gradient\[0\] has values of shape \(1,\), but its pull"),
        ({"steps": [OneHotEncoder(), lm.Ridge()]}, "OneHotEncoder cannot be differentiated"),
        ({"steps": [KBinsDiscretizer(3), lm.Ridge()]}, "KBinsDiscretizer|tiles do not change"),
        ({"steps": [FunctionTransformer(np.sign), lm.Ridge()]}, "tiles do not change"),
        ({"steps": [FunctionTransformer(np.floor), lm.Ridge()], "shift": 0},
         "FunctionTransformer jump"),
        ({"steps": [lm.RidgeCV()]}, "RidgeCV.* treats rows as samples.* cv=5"),
        ({"steps": [lm.LassoLarsIC()]}, "LassoLarsIC.* treats rows as samples"),
        ({"steps": [lm.SGDRegressor(early_stopping=True)]}, "SGDRegressor.* treats rows"),
        ({"steps": [lm.LassoCV(cv=GroupKFold(2))]}, "groups"),
        ({"solver": LinearSolver(0)}, "n_directions"),
        ({"solver": LinearSolver(gradient_weight=-1.0)}, "gradient_weight"),
    ],
)  # fmt: skip
def test_invalid_gradients_and_models_are_rejected(change, message):
    X = fields(6, (4, 4)) if change.get("shift") is None else np.zeros((6, 4, 4))
    y, gradients = bonds(X)
    gradient = change.get("gradient", gradients)
    if "kind" in change:
        gradient = [change["kind"](x, gradient) for x, gradient in zip(X, gradients, strict=True)]
    model = regressor(
        *change.get("steps", ()), baseline="content", solver=change.get("solver")
    )  # fmt: skip
    with left_as_it_was(model), pytest.raises(ValueError, match=message):
        model.fit(X, change.get("y", y), gradient=gradient)


def test_rows_that_exceed_the_memory_are_rejected(monkeypatch):
    X = fields(6, (4, 4))
    y, gradients = bonds(X)
    model = regressor(lm.Ridge())
    model.fit(X, y, gradient=gradients)
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("M", (), {"available": 100}))
    with pytest.raises(TileMemoryError, match=r"along 2 directions .*n_directions=1"):
        model.fit(X, y, gradient=gradients)


def test_models_without_sample_weight_are_rejected():
    X = fields(6, (4, 4))
    y, gradients = bonds(X)
    with pytest.raises(TileModelError, match="Lars does not support sample_weight"):
        regressor(lm.Lars()).fit(X, y, sample_weight=np.ones(6), gradient=gradients)


# --- atoms ----------------------------------------------------------------------------------


@pytest.mark.parametrize("with_forces", [False, True])
def test_gradients_with_respect_to_strain_and_positions(with_forces, rng):
    structures = [
        Structure(rng.choice([5, 7], 4), rng.random((4, 2)) * cell, cell)
        for cell in ([2.0, 3.0], [2.02, 2.96], [1.97, 3.05]) * 4
    ]
    draw = GaussianRasterizer(
        0.2, 0.3, channels=("B", "N"), adjust=0.03, dtype="float64"
    ).fit(structures)  # fmt: skip
    X, tiling = draw.transform(structures), GridTiling(1, 1, channel_axis=-1)
    truth = regressor(Waves(), lm.Ridge(0.1), tiling=tiling).fit(X, rng.normal(size=12))
    gradients = truth.predict_gradient(X)
    strains, forces = (
        draw.strain_gradients(structures, gradients),
        draw.forces(structures, gradients),
    )
    target_gradients = draw.position_gradients(
        structures, forces if with_forces else None, strain_gradients=strains
    )
    solver = LinearSolver(8, gradient_weight=1.0)
    model = regressor(Waves(), lm.LinearRegression(), tiling=tiling, solver=solver)
    if not with_forces:  # three numbers a structure, and its total: enough for 12 structures
        assert target_gradients[0].values.shape == (4,)
    model.fit(X, truth.predict(X), gradient=target_gradients)
    result = draw.strain_gradients(structures, model.predict_gradient(X))
    np.testing.assert_allclose(result, strains, atol=1e-6 * np.abs(strains).max())
    if with_forces:
        for off, force in zip(
            draw.forces(structures, model.predict_gradient(X)), forces, strict=True
        ):
            np.testing.assert_allclose(off, force, atol=1e-6)


def test_forces_reduce_errors_of_energies_and_forces():
    sheets = load_sheets()
    train, test = sheets.structures[:16], sheets.structures[16:22]
    spacing, ones = (12.5 / 32, 13.0 / 32), {"B": 1.0, "C": 1.0, "N": 1.0}
    draw = GaussianRasterizer(spacing, 0.4, weights=ones, channels=tuple(ones)).fit(train)
    describe = LocalInvariants(
        16, 6, spacing, n_channels=3, degree=4, n_components=12, random_state=0
    )
    tiling = GridTiling(16, 6, channel_axis=-1)
    target_gradients = draw.position_gradients(train, sheets.forces[:16])
    off = {}
    for name, gradient in (("energies", None), ("forces", target_gradients)):
        model = EDNNRegressor(
            make_pipeline(describe, lm.Ridge(1e-4)), tiling, baseline="content", random_state=0
        )
        X, unseen = draw.transform(train), draw.transform(test)
        model.fit(X, sheets.energies[:16], gradient=gradient)
        forces = draw.forces(test, model.predict_gradient(unseen))
        off[name] = [
            np.mean([np.abs(f - true).mean()
                     for f, true in zip(forces, sheets.forces[16:22], strict=True)]),
            np.abs(model.predict(unseen) - sheets.energies[16:22]).mean(),
        ]  # fmt: skip
    assert off["forces"][0] < 0.8 * off["energies"][0]
    assert off["forces"][1] < off["energies"][1]
