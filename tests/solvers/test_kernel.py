"""KernelSolver, compared with explicit double sums over pairs of tiles."""

import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import EfficiencyWarning
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge
from sklearn.metrics.pairwise import PAIRWISE_KERNEL_FUNCTIONS
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, PolynomialFeatures, StandardScaler

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.exceptions import TileMemoryError, TileModelError
from sk_ednn.solvers import KernelSolver, Term
from tests._cases import TILINGS, ising_energy, left_as_it_was, make_field, make_spins

# Of KernelRidge, which solves such systems by least squares then.
pytestmark = pytest.mark.filterwarnings("ignore:Singular matrix in solving dual problem")

INDEFINITE = ("additive_chi2", "sigmoid")


def decaying(a, b, scale=1.0):
    return np.exp(-np.abs(a - b).max() / scale)


def chi2_distance(a, b):
    numerator, denominator = (a - b) ** 2, a + b
    return np.sum(numerator / np.where(numerator == 0, 1.0, denominator), axis=-1)


# Kernels of two rows, written out; g, d and c are gamma, degree and coef0.
FORMULAS = {
    "linear": lambda a, b, g, d, c: np.sum(a * b, axis=-1),
    "poly": lambda a, b, g, d, c: (g * np.sum(a * b, axis=-1) + c) ** d,
    "rbf": lambda a, b, g, d, c: np.exp(-g * np.sum((a - b) ** 2, axis=-1)),
    "laplacian": lambda a, b, g, d, c: np.exp(-g * np.sum(np.abs(a - b), axis=-1)),
    "sigmoid": lambda a, b, g, d, c: np.tanh(g * np.sum(a * b, axis=-1) + c),
    "cosine": lambda a, b, g, d, c: (
        np.sum(a * b, axis=-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)
    ),
    "chi2": lambda a, b, g, d, c: np.exp(-g * chi2_distance(a, b)),
    "additive_chi2": lambda a, b, g, d, c: -chi2_distance(a, b),
}
FORMULAS["polynomial"] = FORMULAS["poly"]


def kernel_of(model):
    """Return the kernel of a KernelRidge between rows of two arrays, from its formula."""

    def kernel(A, B):
        A, B = np.asarray(A, dtype=float), np.asarray(B, dtype=float)
        if callable(model.kernel):
            params = model.kernel_params or {}
            return np.array([[model.kernel(a, b, **params) for b in B] for a in A])
        gamma = 1.0 / A.shape[1] if model.gamma is None else model.gamma
        formula = FORMULAS[model.kernel]
        return formula(A[:, None], B[None], gamma, model.degree, model.coef0)

    return kernel


def test_every_kernel_of_scikit_learn_has_a_formula():
    assert FORMULAS.keys() == PAIRWISE_KERNEL_FUNCTIONS.keys()


def double_sum(kernel, tiling, X, Z, transform=lambda rows: rows):
    """Return the sum of k(t, u) over the tiles t of each X and u of each Z."""
    left, right = tiling.tiles(X), tiling.tiles(Z)
    rows = [transform(t.array().reshape(t.n_tiles, -1)) for t in (left, right)]
    pairs = kernel(*rows)
    out = np.zeros((left.n_samples, right.n_samples))
    for i in range(left.n_samples):
        for j in range(right.n_samples):
            mine, other = left.sum_matrix[[i]].indices, right.sum_matrix[[j]].indices
            out[i, j] = pairs[np.ix_(mine, other)].sum()
    return out


def ridge_between_systems(K, y, alpha, weight=None):
    """Return the dual coefficients that minimise sum w (y - K a)^2 + alpha a' K a."""
    weight = np.ones(len(y)) if weight is None else weight
    y = np.asarray(y, dtype=float).reshape(len(y), -1)
    alphas = np.broadcast_to(alpha, (y.shape[1],))
    columns = [
        np.linalg.solve(K + np.diag(one / weight), column)
        for one, column in zip(alphas, y.T, strict=True)
    ]
    return np.stack(columns, axis=1)


def few_samples(name="2-D", kind="float64"):
    """Return fewer samples than distinct tiles, of two sizes: the dual path."""
    tiling, shape, other = TILINGS[name]
    X = [*make_field(kind, 8, shape), *make_field(kind, 5, other, 1)]
    return tiling, X, np.array([np.sin(field.astype(float)).sum() for field in X])


def many_samples(n=12):
    """Return more samples than distinct tiles: the primal path."""
    tiling = GridTiling(1, 1)
    X = [*make_spins(n, (8,)), *make_spins(n // 2, (12,), 1)]
    return tiling, X, np.array([np.sum(x * np.roll(x, 1)) + 0.3 * abs(x.sum()) for x in X])


PATHS = {"dual": few_samples, "primal": many_samples}


@pytest.mark.parametrize("name", [name for name in TILINGS if name != "whole axis"])
@pytest.mark.parametrize("kind", ["float64", "spins"])
def test_solution_equals_ridge_between_systems_for_all_tilings(name, kind):
    tiling, X, y = few_samples(name, kind)
    model = KernelRidge(kernel="rbf", gamma=0.05, alpha=0.01)
    fitted = EDNNRegressor(clone(model), tiling, baseline=None).fit(X, y)
    _, Z, _ = few_samples(name, kind)
    K = double_sum(kernel_of(model), tiling, X, X)
    expected = double_sum(kernel_of(model), tiling, Z, X) @ ridge_between_systems(K, y, 0.01)
    np.testing.assert_allclose(fitted.predict(Z), expected[:, 0], rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    "kernel", [*(k for k in PAIRWISE_KERNEL_FUNCTIONS if k not in INDEFINITE), decaying]
)
def test_all_kernels_in_dual_and_primal(kernel, weighted, path, rng):
    tiling, X, y = PATHS[path]()
    if "chi2" in str(kernel):  # of numbers that are not negative
        X = [np.abs(field) + (field < 0) for field in X]
    params = {"kernel_params": {"scale": 2.0}} if callable(kernel) else {"gamma": 0.1}
    model = KernelRidge(kernel=kernel, alpha=0.1, **params)
    weight = rng.uniform(0.3, 2, size=len(X)) if weighted else None
    fitted = EDNNRegressor(clone(model), tiling, baseline=None).fit(X, y, sample_weight=weight)

    distinct = tiling.tiles(X).condensed().n_tiles
    assert (len(X) <= distinct) == (path == "dual")
    K = double_sum(kernel_of(model), tiling, X, X)
    dual = ridge_between_systems(K, y, 0.1, weight)
    np.testing.assert_allclose(fitted.predict(X), (K @ dual)[:, 0], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("kernel", INDEFINITE)
def test_indefinite_kernels_use_the_dual(kernel, path):
    tiling, X, y = PATHS[path]()
    X = [np.abs(field) + (field < 0) for field in X] if kernel == "additive_chi2" else X
    model = KernelRidge(kernel=kernel, alpha=0.37, gamma=0.1, coef0=-1.0)
    fitted = EDNNRegressor(clone(model), tiling, baseline=None).fit(X, y)
    K = double_sum(kernel_of(model), tiling, X, X)
    expected = K @ ridge_between_systems(K, y, 0.37)
    np.testing.assert_allclose(fitted.predict(X), expected[:, 0], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("alpha", [0.01, [0.01, 10.0]])
@pytest.mark.parametrize("weighted", [False, True])
def test_several_outputs_with_separate_alphas(alpha, weighted, path, rng):
    tiling, X, y = PATHS[path]()
    Y = np.stack([y, 2 * y - 1], axis=1)
    weight = rng.uniform(0.3, 2, size=len(X)) if weighted else None
    model = KernelRidge(kernel="rbf", gamma=0.1, alpha=alpha)
    fitted = EDNNRegressor(clone(model), tiling, baseline=None).fit(X, Y, sample_weight=weight)
    K = double_sum(kernel_of(model), tiling, X, X)
    expected = K @ ridge_between_systems(K, Y, alpha, weight)
    np.testing.assert_allclose(fitted.predict(X), expected, rtol=1e-7, atol=1e-7)
    assert fitted.tile_model_.estimator.dual_coef_.shape[1] == 2


@pytest.mark.parametrize("weighted", [False, True])
def test_dual_and_primal_have_the_same_minimum(weighted, rng):
    tiling, X, y = many_samples()
    weight = rng.uniform(0.3, 2, size=len(X)) if weighted else None
    model = EDNNRegressor(KernelRidge(kernel="rbf", gamma=0.1, alpha=1e-3), tiling)
    primal = model.fit(X, y, sample_weight=weight).predict(X)

    class Dual(KernelSolver):
        _fit_primal = KernelSolver._fit_dual

    model.set_params(solver=Dual())
    np.testing.assert_allclose(
        model.fit(X, y, sample_weight=weight).predict(X), primal, rtol=1e-8, atol=1e-8
    )


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("block", [7, 16])
def test_block_size_does_not_change_the_kernel(path, block):
    tiling, X, y = PATHS[path]()
    model = EDNNRegressor(KernelRidge(kernel="rbf", gamma=0.1, alpha=1e-2), tiling)
    expected = model.fit(X, y).predict(X)

    class InBlocks(KernelSolver):
        _block_rows = block

    model.set_params(solver=InBlocks())
    np.testing.assert_allclose(model.fit(X, y).predict(X), expected, rtol=1e-9, atol=1e-9)


def test_weights_equal_repetitions():
    tiling, X, y = few_samples()
    times = np.arange(len(X)) % 3
    copies = np.repeat(np.arange(len(X)), times)
    model = EDNNRegressor(KernelRidge(kernel="rbf", gamma=0.1, alpha=0.1), tiling)
    weighted = model.fit(X, y, sample_weight=times).predict(X)
    repeated = model.fit([X[i] for i in copies], y[copies]).predict(X)
    np.testing.assert_allclose(weighted, repeated, rtol=1e-8, atol=1e-8)


def test_more_samples_than_the_rank_of_the_kernel():
    # A linear kernel of three features: all but three eigenvalues are rounding errors.
    tiling, X, y = many_samples()
    model = EDNNRegressor(KernelRidge(kernel="linear", alpha=0.5), tiling, baseline=None)
    ridge = EDNNRegressor(Ridge(0.5, fit_intercept=False), tiling, baseline=None)
    np.testing.assert_allclose(
        model.fit(X, y).predict(X), ridge.fit(X, y).predict(X), rtol=1e-8, atol=1e-8
    )


# --- pipelines and terms ----------------------------------------------------------------------


@pytest.mark.parametrize("path", PATHS)
def test_transformers_are_fitted_on_tiles(path):
    tiling, X, y = PATHS[path]()
    steps = [StandardScaler(), PolynomialFeatures(2)]
    model = KernelRidge(kernel="rbf", gamma=0.02, alpha=0.1)
    fitted = EDNNRegressor(make_pipeline(*steps, model), tiling, baseline=None).fit(X, y)
    tiles = tiling.tiles(X)
    transform = make_pipeline(*steps).fit(tiles.array().reshape(tiles.n_tiles, -1)).transform
    K = double_sum(kernel_of(model), tiling, X, X, transform)
    expected = K @ ridge_between_systems(K, y, 0.1)
    np.testing.assert_allclose(fitted.predict(X), expected[:, 0], rtol=1e-6, atol=1e-6)


def test_sparse_features():
    tiling, X, y = many_samples()
    model = KernelRidge(kernel="rbf", gamma=0.1, alpha=0.1)
    sparse = EDNNRegressor(make_pipeline(OneHotEncoder(), clone(model)), tiling)
    plain = EDNNRegressor(make_pipeline(OneHotEncoder(sparse_output=False), model), tiling)
    np.testing.assert_allclose(
        sparse.fit(X, y).predict(X), plain.fit(X, y).predict(X), rtol=1e-9, atol=1e-9
    )


@pytest.mark.parametrize("path", PATHS)
def test_kernels_of_several_terms_are_summed(path):
    tiling, X, y = PATHS[path]()
    far = GridTiling(1, 0, boundary="zero")
    one = KernelRidge(kernel="rbf", gamma=0.1, alpha=0.05)
    two = KernelRidge(kernel="polynomial", gamma=0.2, degree=2, alpha=0.05)
    model = EDNNRegressor([("near", one, tiling), ("far", two, far)], baseline=None).fit(X, y)
    K = double_sum(kernel_of(one), tiling, X, X) + double_sum(kernel_of(two), far, X, X)
    expected = K @ ridge_between_systems(K, y, 0.05)
    np.testing.assert_allclose(model.predict(X), expected[:, 0], rtol=1e-7, atol=1e-7)


def test_terms_must_share_alpha():
    tiling, X, y = few_samples()
    model = EDNNRegressor(
        [("a", KernelRidge(alpha=1.0), tiling), ("b", KernelRidge(alpha=2.0), tiling)]
    )
    with (
        left_as_it_was(model),
        pytest.raises(TileModelError, match=r"must share one alpha, got \[1"),
    ):
        model.fit(X, y)


# --- what is learned, what is refused -----------------------------------------------------------


def test_ising_learned_on_small_systems():
    spins = make_spins(60, (8,))
    model = EDNNRegressor(KernelRidge(kernel="rbf", gamma=0.1, alpha=1e-8))
    model.fit(spins, ising_energy(spins))
    large = list(make_spins(5, (1000,), 1))
    assert np.abs(model.predict(large) - ising_energy(large)).max() < 1e-4
    assert len(model.tile_model_.estimator.X_fit_) == 8
    assert len(model.tile_model_.estimator.X_fit_) <= 512


def test_precomputed_kernels_are_rejected():
    tiling, X, y = few_samples()
    model = EDNNRegressor(KernelRidge(kernel="precomputed"), tiling)
    with (
        left_as_it_was(model),
        pytest.raises(TileModelError, match="kernel='precomputed' cannot be"),
    ):
        model.fit(X, y)


@pytest.mark.parametrize("path", PATHS)
def test_distinct_tiles_that_exceed_max_bytes_are_rejected(path):
    tiling, X, y = PATHS[path]()
    n_tiles = tiling.tiles(X).condensed().n_tiles
    model = EDNNRegressor(KernelRidge(), tiling, solver=KernelSolver(max_bytes=100))
    words = f"Storing {n_tiles} distinct tiles.* are available. Fit fewer or smaller .*Nystroem"
    with left_as_it_was(model), pytest.raises(TileMemoryError, match=words):
        model.fit(X, y)
    kept = 3 * 8 * n_tiles * np.prod(tiling.tile_shape(X[0].shape))
    model.set_params(solver__max_bytes=int(kept))
    what = {"dual": f"between {len(X)} samples", "primal": f"between {n_tiles} distinct tiles"}
    if 4 * 8 * min(len(X), n_tiles) ** 2 > kept:
        with pytest.raises(TileMemoryError, match=f"A kernel matrix {what[path]} needs"):
            model.fit(X, y)
    model.set_params(solver__max_bytes=10**7).fit(X, y)


def test_many_distinct_tiles_cause_a_warning(rng):
    class Cautious(KernelSolver):
        _many_tiles = 30

    X = rng.normal(size=(5, 8))
    model = EDNNRegressor(KernelRidge(kernel="rbf"), GridTiling(1, 1), solver=Cautious())
    with pytest.warns(EfficiencyWarning, match="have 40 distinct tiles.*PolynomialFeatures"):
        model.fit(X, X.sum(axis=1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(np.sign(X), X.sum(axis=1))  # eight states, whatever the number of tiles


def test_suits_terms_that_end_in_kernel_ridge():
    solver = KernelSolver()
    assert solver.suits([Term("a", KernelRidge(), None)])
    assert solver.suits([Term("a", make_pipeline(StandardScaler(), KernelRidge()), None)])
    assert not solver.suits([Term("a", KernelRidge(), None), Term("b", Ridge(), None)])
