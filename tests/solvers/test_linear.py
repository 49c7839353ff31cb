"""LinearSolver, compared with explicit least squares on summed features."""

import numpy as np
import pytest
from sklearn import linear_model as lm
from sklearn.base import clone
from sklearn.cross_decomposition import PLSRegression
from sklearn.decomposition import PCA
from sklearn.feature_selection import SelectKBest
from sklearn.kernel_approximation import Nystroem
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    OneHotEncoder,
    PolynomialFeatures,
    SplineTransformer,
    StandardScaler,
    TargetEncoder,
)
from sklearn.svm import LinearSVR

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.exceptions import TileMemoryError, TileModelError
from sk_ednn.solvers import LinearSolver, Term
from tests._cases import TILINGS, ising_energy, left_as_it_was, make_field, make_spins


def equal_sizes(seed=0, n_outputs=1, kind="float64"):
    X = make_field(kind, 30, (4, 3), seed)
    y = np.stack([np.sin(X.astype(float) + k).sum(axis=(1, 2)) for k in range(n_outputs)], axis=1)
    return X, y[:, 0] if n_outputs == 1 else y


def mixed_sizes(seed=0, n_outputs=1, kind="float64"):
    X, y = equal_sizes(seed, n_outputs, kind)
    more = make_field(kind, 20, (5, 6), seed + 1)
    z = np.stack(
        [np.sin(more.astype(float) + k).sum(axis=(1, 2)) for k in range(n_outputs)], axis=1
    )
    return [*X, *more], np.concatenate([y, z[:, 0] if n_outputs == 1 else z])


def summed(transformers, tiling, X, unseen=None):
    """Return sums of features over tiles, one tile at a time, and tile counts."""
    tiles = tiling.tiles(X)
    rows = tiles.array().reshape(tiles.n_tiles, -1)
    fitted = []
    for transformer in transformers:
        fitted.append(clone(transformer).fit(rows))
        rows = fitted[-1].transform(rows)
    if unseen is not None:
        tiles = tiling.tiles(unseen)
        rows = tiles.array().reshape(tiles.n_tiles, -1)
        for transformer in fitted:
            rows = transformer.transform(rows)
    rows = rows.toarray() if hasattr(rows, "toarray") else np.asarray(rows, dtype=float)
    sums = np.zeros((tiles.n_samples, rows.shape[1]))
    counts = np.zeros(tiles.n_samples)
    for sample, tile in zip(*tiles.sum_matrix.nonzero(), strict=True):
        sums[sample] += rows[tile]
        counts[sample] += 1
    return sums, counts


def normal_equations(sums, counts, y, weight, alpha):
    """Minimise sum w (y - sums a - counts b)^2 + alpha |a|^2; b is not penalised."""
    design = np.column_stack([sums, counts])
    penalty = alpha * np.eye(design.shape[1])
    penalty[-1, -1] = 0
    weighted = design.T * weight
    return np.linalg.lstsq(weighted @ design + penalty, weighted @ y, rcond=1e-14)[0]


PIPELINES = {
    "identity": [],
    "products": [PolynomialFeatures(2, include_bias=False)],
    "scaled": [StandardScaler()],
    "scaled products": [StandardScaler(), PolynomialFeatures(2), StandardScaler()],
    "components": [PCA(4)],
    "random features": [Nystroem(n_components=20, gamma=0.1, random_state=0)],
    "splines": [SplineTransformer(n_knots=4)],
    "sparse splines": [SplineTransformer(n_knots=4, sparse_output=True)],
    "sparse bins": [KBinsDiscretizer(4, encode="onehot", strategy="uniform")],
    "function": [FunctionTransformer(np.tanh)],
}


@pytest.mark.parametrize("sizes", [equal_sizes, mixed_sizes])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n_outputs", [1, 2])
@pytest.mark.parametrize("name", PIPELINES)
def test_ridge_equals_normal_equations_of_sums(name, sizes, weighted, n_outputs, rng):
    X, y = sizes(0, n_outputs)
    unseen, _ = mixed_sizes(5, n_outputs)
    weight = rng.uniform(0.2, 2, size=len(X)) if weighted else np.ones(len(X))
    tiling, steps, alpha = GridTiling(1, 1), PIPELINES[name], 0.3
    model = EDNNRegressor(make_pipeline(*steps, lm.Ridge(alpha)), tiling, baseline=None)
    model.fit(X, y, sample_weight=weight if weighted else None)

    sums, counts = summed(steps, tiling, X)
    solution = normal_equations(sums, counts, y, weight, alpha)
    expected = np.column_stack(summed(steps, tiling, X, unseen)) @ solution
    np.testing.assert_allclose(model.predict(unseen), expected, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("sizes", [equal_sizes, mixed_sizes])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", [n for n in TILINGS if n != "whole axis"])
def test_linear_regression_equals_least_squares_for_all_tilings(name, sizes, weighted, rng):
    tiling, shape, other = TILINGS[name]
    X = list(make_field("float64", 15, shape))
    if sizes is mixed_sizes:
        X += list(make_field("float64", 10, other, 1))
    y = np.array([np.sin(field).sum() for field in X])
    weight = rng.uniform(0.2, 2, size=len(X)) if weighted else np.ones(len(X))
    model = EDNNRegressor(lm.LinearRegression(), tiling, baseline=None)
    model.fit(X, y, sample_weight=weight if weighted else None)
    design = np.column_stack(summed([], tiling, X))
    root = np.sqrt(weight)
    solution = np.linalg.lstsq(design * root[:, None], y * root, rcond=1e-10)[0]
    np.testing.assert_allclose(model.predict(X), design @ solution, rtol=1e-8, atol=1e-8)


def test_intercept_is_per_tile():
    X, _ = mixed_sizes()
    y = np.array([2.0 * field.size + 3.0 * field.sum() for field in X])
    model = EDNNRegressor(lm.LinearRegression(), GridTiling(1, 0), baseline=None).fit(X, y)
    estimator = model.tile_model_.estimator
    np.testing.assert_allclose(estimator.intercept_, 2.0)
    np.testing.assert_allclose(estimator.coef_, [3.0])
    assert estimator.n_features_in_ == 1


@pytest.mark.parametrize("alpha", [1e-3, 1e3, 1e9])
@pytest.mark.parametrize("baseline", [None, "size"])
def test_intercept_is_not_penalised(alpha, baseline):
    X, _ = mixed_sizes()
    y = np.array([field.size * 5.0 for field in X])
    model = EDNNRegressor(lm.Ridge(alpha), GridTiling(1, 1), baseline=baseline).fit(X, y)
    np.testing.assert_allclose(model.predict(X), y, rtol=1e-9)


def test_fit_intercept_false():
    X, y = mixed_sizes()
    tiling = GridTiling(1, 1)
    model = EDNNRegressor(lm.Ridge(0.1, fit_intercept=False), tiling, baseline=None).fit(X, y)
    sums, _ = summed([], tiling, X)
    expected = sums @ lm.Ridge(0.1, fit_intercept=False).fit(sums, y).coef_
    np.testing.assert_allclose(model.predict(X), expected, rtol=1e-9, atol=1e-9)
    assert model.tile_model_.estimator.intercept_ == 0.0


ESTIMATORS = [
    lm.LinearRegression(),
    lm.Ridge(0.5),
    lm.RidgeCV([0.5]),
    lm.Lasso(0.05, tol=1e-10),
    lm.ElasticNet(0.05, tol=1e-10),
    lm.Lars(n_nonzero_coefs=3),
    lm.LassoLars(0.01),
    lm.OrthogonalMatchingPursuit(n_nonzero_coefs=2),
    lm.BayesianRidge(),
    lm.ARDRegression(),
    lm.HuberRegressor(max_iter=1000),
    LinearSVR(C=0.1, max_iter=100_000, random_state=0, intercept_scaling=10.0),
    lm.QuantileRegressor(alpha=0.01),
]


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: type(e).__name__)
def test_equal_sizes_equal_the_estimators_fit_to_sums(estimator):
    X, y = equal_sizes()
    tiling = GridTiling((2, 3), 0)  # six features that are not copies of each other
    model = EDNNRegressor(clone(estimator), tiling, baseline=None).fit(X, y)
    sums, _ = summed([], tiling, X)
    expected = clone(estimator).fit(sums, y).predict(sums)
    np.testing.assert_allclose(model.predict(X), expected, rtol=1e-4, atol=1e-4)
    assert type(model.tile_model_.estimator) is type(estimator)
    assert model.tile_model_.estimator.get_params() == estimator.get_params()


@pytest.mark.filterwarnings("ignore:Orthogonal matching pursuit ended prematurely")
@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: type(e).__name__)
def test_all_linear_models_recover_a_linear_law(estimator):
    X, _ = mixed_sizes()
    y = np.array([3.0 * field.size + 2.0 * field[:, ::3].sum() for field in X])
    model = EDNNRegressor(clone(estimator), GridTiling((1, 3), 0, boundary="zero")).fit(X, y)
    assert model.score(X, y) > 0.98


@pytest.mark.parametrize(
    "estimator", [lm.MultiTaskLasso(0.01), lm.MultiTaskElasticNet(0.01), lm.MultiTaskLassoCV(cv=3)]
)
def test_multi_task_models(estimator):
    X, y = mixed_sizes(n_outputs=2)
    model = EDNNRegressor(estimator, GridTiling(1, 0)).fit(X, y)
    assert model.predict(X).shape == y.shape
    assert model.score(X, y) > 0.8


def test_ising_is_linear_in_products():
    spins = make_spins(100, (4, 4))
    tile_model = make_pipeline(PolynomialFeatures(2), lm.LinearRegression())
    model = EDNNRegressor(tile_model, GridTiling(1, 1)).fit(spins, ising_energy(spins))
    large = make_spins(3, (16, 32), 1)
    np.testing.assert_allclose(model.predict(large), ising_energy(large), atol=1e-8)


def test_sparse_features_are_summed():
    states = np.random.default_rng(0).integers(0, 3, size=(60, 5))
    y = np.array([0.5, -1.0, 4.0])[states].sum(axis=1)
    model = EDNNRegressor(make_pipeline(OneHotEncoder(), lm.Ridge(1e-8)), GridTiling(1, 0))
    np.testing.assert_allclose(model.fit(states, y).predict(states), y, atol=1e-5)


@pytest.mark.parametrize("block_bytes", [1, 1000, 1 << 26])
def test_features_are_summed_block_by_block(block_bytes):
    X, y = mixed_sizes()
    tile_model = make_pipeline(PolynomialFeatures(2), lm.Ridge())
    expected = EDNNRegressor(tile_model, GridTiling()).fit(X, y).predict(X)

    class InBlocks(LinearSolver):
        _block_bytes = block_bytes

    again = EDNNRegressor(tile_model, GridTiling(), solver=InBlocks()).fit(X, y).predict(X)
    np.testing.assert_allclose(again, expected, rtol=1e-9, atol=1e-9)


def test_nested_pipelines_with_passthrough():
    X, y = equal_sizes()
    flat = make_pipeline(StandardScaler(), PolynomialFeatures(2), lm.Ridge())
    nested = Pipeline(
        [
            ("scale", StandardScaler()),
            ("nothing", "passthrough"),
            ("inner", make_pipeline(PolynomialFeatures(2), lm.Ridge())),
        ]
    )
    expected = EDNNRegressor(flat).fit(X, y).predict(X)
    np.testing.assert_allclose(EDNNRegressor(nested).fit(X, y).predict(X), expected, rtol=1e-10)


# --- several terms --------------------------------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True])
def test_several_terms_are_columns_of_one_fit(weighted, rng):
    X, y = mixed_sizes()
    weight = rng.uniform(0.2, 2, size=len(X)) if weighted else np.ones(len(X))
    near, far = GridTiling(1, 0), GridTiling(1, 1, boundary="zero")
    quadratic = make_pipeline(PolynomialFeatures(2, include_bias=False), lm.Ridge(0.1))
    model = EDNNRegressor([("near", quadratic, near), ("far", lm.Ridge(0.1), far)], baseline=None)
    model.fit(X, y, sample_weight=weight if weighted else None)

    def design(fields):
        one, counts = summed([PolynomialFeatures(2, include_bias=False)], near, fields)
        return np.column_stack([one, summed([], far, fields)[0]]), counts

    solution = normal_equations(*design(X), y, weight, 0.1)
    unseen, _ = mixed_sizes(7)
    np.testing.assert_allclose(
        model.predict(unseen), np.column_stack(design(unseen)) @ solution, rtol=1e-8, atol=1e-8
    )
    maps = model.predict_contributions(unseen)
    assert list(maps) == ["near", "far"]
    total = [a.sum() + b.sum() for a, b in zip(maps["near"], maps["far"], strict=True)]
    np.testing.assert_allclose(total, model.predict(unseen), rtol=1e-9, atol=1e-9)


def test_terms_may_differ_in_random_state():
    X, y = equal_sizes()
    terms = [
        ("a", lm.Ridge(), GridTiling(1, 0)),
        ("b", lm.Ridge(), GridTiling(2, 0, boundary="zero")),
    ]
    X = np.pad(X, [(0, 0), (0, 0), (0, 1)])
    EDNNRegressor(terms, random_state=0).fit(X, y)


@pytest.mark.parametrize("other", [lm.Ridge(2.0), lm.Lasso(1.0), lm.LinearRegression()])
def test_terms_with_different_models_are_rejected(other):
    X, y = equal_sizes()
    model = EDNNRegressor([("a", lm.Ridge(1.0), GridTiling()), ("b", other, GridTiling(1, 0))])
    with left_as_it_was(model), pytest.raises(TileModelError, match="last steps must be "):
        model.fit(X, y)


# --- what cannot be summed ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tile_model", "expected"),
    [
        (lm.Ridge(), True),
        (make_pipeline(StandardScaler(), lm.LassoCV()), True),
        (LinearSVR(), True),
        (lm.PoissonRegressor(), False),
        (lm.TweedieRegressor(), False),
        (lm.RANSACRegressor(), False),
        (PLSRegression(), False),
    ],
)
def test_suits_linear_models(tile_model, expected):
    assert LinearSolver().suits([Term("a", tile_model, GridTiling())]) is expected


@pytest.mark.parametrize("transformer", [SelectKBest(k=2), TargetEncoder(), PLSRegression(1)])
def test_transformers_that_need_y_are_rejected(transformer):
    X, y = equal_sizes()
    model = EDNNRegressor(make_pipeline(transformer, lm.Ridge()))
    with (
        left_as_it_was(model),
        pytest.raises(TileModelError, match="of a single tile is not known"),
    ):
        model.fit(X, y)


def test_models_without_sample_weight_are_rejected():
    X, y = equal_sizes()
    model = EDNNRegressor(lm.Lars())
    with pytest.raises(TileModelError, match="Lars does not support sample_weight"):
        model.fit(X, y, sample_weight=np.ones(len(X)))


def test_unsuitable_models_are_rejected():
    X, y = equal_sizes()
    model = EDNNRegressor(lm.PoissonRegressor(), solver=LinearSolver())
    with pytest.raises(TileModelError, match="LinearSolver cannot fit PoissonRegressor"):
        model.fit(X, y)


def test_transformers_that_exceed_the_memory_are_rejected(monkeypatch):
    X, y = equal_sizes()
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("M", (), {"available": 100}))
    model = EDNNRegressor(make_pipeline(StandardScaler(), lm.Ridge()))
    with pytest.raises(TileMemoryError, match=r"Fitting the transformers of Pipeline .* GiB"):
        model.fit(X, y)
