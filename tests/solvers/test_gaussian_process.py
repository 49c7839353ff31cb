"""GaussianProcessSolver, compared with scikit-learn and a naive kernel between systems."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import (
    RBF,
    CompoundKernel,
    ConstantKernel,
    DotProduct,
    Exponentiation,
    Kernel,
    Matern,
    RationalQuadratic,
    WhiteKernel,
)
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.exceptions import TileMemoryError, TileModelError
from sk_ednn.solvers import GaussianProcessSolver, Term
from sk_ednn.solvers._gaussian_process import _summed
from tests._cases import TILINGS, left_as_it_was, make_field, make_spins

# Where a hyperparameter ends at a bound is not the matter here.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

KERNELS = {
    "rbf": ConstantKernel(0.5) * RBF(2.0),
    "matern": Matern(1.5, nu=2.5),
    "each axis": RBF([1.0, 2.0, 3.0]),
    "fixed": ConstantKernel(2.0, "fixed") * RBF(1.5),
    "sum": RBF(1.0) + 0.3 * DotProduct(0.5),
    "power": Exponentiation(RationalQuadratic(), 2.0),
}


class DoubleSum(Kernel):
    """The kernel between fields: the sum of `kernel` over all pairs of their tiles, naively.

    Rows are numbers of `fields`, so that fields may differ in size.
    """

    def __init__(self, kernel, fields, tiling):
        self.kernel = kernel
        self.fields = fields
        self.tiling = tiling

    @property
    def hyperparameters(self):
        return self.kernel.hyperparameters

    @property
    def theta(self):
        return self.kernel.theta

    @theta.setter
    def theta(self, theta):
        self.kernel.theta = theta

    @property
    def bounds(self):
        return self.kernel.bounds

    def rows(self, X):
        parts = [self.tiling.tiles([self.fields[int(i)]]).array() for i in X[:, 0]]
        owners = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
        rows = np.concatenate([part.reshape(len(part), -1) for part in parts])
        return rows, (np.arange(len(parts))[:, None] == owners).astype(float)

    def __call__(self, X, Y=None, eval_gradient=False):
        rows, S = self.rows(X)
        if eval_gradient:
            K, gradient = self.kernel(rows, eval_gradient=True)
            return S @ K @ S.T, np.einsum("it,tup,ju->ijp", S, gradient, S, optimize=True)
        others, Z = (rows, S) if Y is None else self.rows(Y)
        return S @ self.kernel(rows, others) @ Z.T

    def diag(self, X):
        return np.diag(self(X)).copy()

    def is_stationary(self):
        return False


def systems(name="1-D, wide", kind="float64", seed=0):
    """Return a tiling, training fields and totals, and fields of other sizes."""
    if name == "1-D, wide":
        tiling, shape, other = GridTiling(1, 1), (5,), (8,)
    else:
        tiling, shape, other = TILINGS[name]
    X = [*make_field(kind, 9, shape, seed), *make_field(kind, 5, other, seed + 1)]
    Z = [*make_field(kind, 3, shape, seed + 2), *make_field(kind, 4, other, seed + 3)]
    return tiling, X, np.array([np.sin(field.astype(float)).sum() for field in X]), Z


def naive(kernel, tiling, X, Z, y, alpha, noise=None, **params):
    """Fit scikit-learn's regressor with the naive kernel; return it and its prediction of Z."""
    summed = DoubleSum(kernel, [*X, *Z], tiling)
    process = GaussianProcessRegressor(
        summed if noise is None else summed + noise, alpha=alpha, **params
    )
    numbers = np.arange(len(X) + len(Z))[:, None]
    process.fit(numbers[: len(X)], y)
    return process, process.predict(numbers[len(X) :], return_std=True)


# --- posterior ------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", [None, WhiteKernel(0.3)])
@pytest.mark.parametrize("kernel", KERNELS)
def test_posterior_equals_that_of_the_naive_kernel(kernel, noise):
    tiling, X, y, Z = systems()
    given = KERNELS[kernel] if noise is None else KERNELS[kernel] + noise
    process = GaussianProcessRegressor(clone(given), alpha=1e-3, optimizer=None)
    model = EDNNRegressor(process, tiling, baseline=None).fit(X, y)
    reference, (mean, std) = naive(KERNELS[kernel], tiling, X, Z, y, 1e-3, noise, optimizer=None)
    ours = model.predict(Z, return_std=True)
    np.testing.assert_allclose(ours[0], mean, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(ours[1], std, rtol=1e-7, atol=1e-8)
    np.testing.assert_array_equal(model.predict(Z), ours[0])
    np.testing.assert_allclose(
        model.tile_model_.estimator.log_marginal_likelihood_value_,
        reference.log_marginal_likelihood_value_,
        rtol=1e-9,
    )


@pytest.mark.parametrize("kind", ["float64", "spins"])
@pytest.mark.parametrize("name", [name for name in TILINGS if name != "whole axis"])
def test_posterior_with_every_tiling(name, kind):
    tiling, X, y, Z = systems(name, kind)
    kernel, noise = ConstantKernel(0.5) * RBF(2.0), WhiteKernel(0.1)
    process = GaussianProcessRegressor(kernel + noise, optimizer=None)
    model = EDNNRegressor(process, tiling, baseline=None).fit(X, y)
    _, (mean, std) = naive(kernel, tiling, X, Z, y, 1e-10, noise, optimizer=None)
    ours = model.predict(Z, return_std=True)
    np.testing.assert_allclose(ours[0], mean, rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(ours[1], std, rtol=1e-6, atol=1e-7)


def test_default_kernel_is_that_of_scikit_learn():
    tiling, X, y, Z = systems()
    process = GaussianProcessRegressor(alpha=0.1)
    model = EDNNRegressor(process, tiling, baseline=None).fit(X, y)
    kernel = ConstantKernel(1.0, "fixed") * RBF(1.0, "fixed")
    _, (mean, std) = naive(kernel, tiling, X, Z, y, 0.1)
    np.testing.assert_allclose(model.predict(Z, return_std=True), [mean, std], rtol=1e-8)


@pytest.mark.parametrize("block", [1, 7])
@pytest.mark.parametrize("kernel", ["rbf", "each axis", "sum"])
def test_block_size_does_not_change_the_process(kernel, block):
    tiling, X, y, Z = systems()
    given = KERNELS[kernel] + WhiteKernel(0.1)
    model = EDNNRegressor(GaussianProcessRegressor(given, optimizer=None), tiling)
    model.fit(X[:6], y[:6])
    std = [
        model.tile_model_.total_std(model.tiling_, model.check_systems(Z), *blocks)
        for blocks in ((), (block,))
    ]
    np.testing.assert_allclose(*std, rtol=1e-10)
    process = model.tile_model_.estimator.process_.kernel_
    plain, by_blocks = (
        _summed(process.kernel, process.systems, True, *blocks) for blocks in ((), (block,))
    )
    for one, other in zip(plain, by_blocks, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9)
    kernel, _ = _summed(process.kernel, process.systems, False, block)
    np.testing.assert_allclose(kernel, plain[0], rtol=1e-9)


# --- hyperparameters ----------------------------------------------------------------------------


@pytest.mark.parametrize("noise", [None, WhiteKernel(0.3), WhiteKernel(0.3, "fixed")])
@pytest.mark.parametrize("kernel", KERNELS)
def test_likelihood_gradient_equals_finite_differences(kernel, noise):
    tiling, X, y, _ = systems()
    given = KERNELS[kernel] if noise is None else KERNELS[kernel] + noise
    process = GaussianProcessRegressor(clone(given), alpha=0.1, optimizer=None)
    model = EDNNRegressor(process, tiling).fit(X[:6], y[:6])
    fitted = model.tile_model_.estimator.process_
    theta = fitted.kernel_.theta + 0.1
    value, gradient = fitted.log_marginal_likelihood(theta, eval_gradient=True)
    assert gradient.shape == theta.shape
    np.testing.assert_allclose(value, fitted.log_marginal_likelihood(theta), rtol=1e-10)
    for p, step in enumerate(1e-5 * np.eye(len(theta))):
        ahead = fitted.log_marginal_likelihood(theta + step)
        behind = fitted.log_marginal_likelihood(theta - step)
        np.testing.assert_allclose(gradient[p], (ahead - behind) / 2e-5, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kernel", ["rbf", "each axis", "fixed"])
def test_optimised_hyperparameters_equal_those_of_scikit_learn(kernel):
    tiling, X, y, Z = systems()
    noise = WhiteKernel(0.05)
    process = GaussianProcessRegressor(KERNELS[kernel] + noise)
    model = EDNNRegressor(process, tiling, baseline=None).fit(X, y)
    reference, (mean, std) = naive(KERNELS[kernel], tiling, X, Z, y, 1e-10, noise)
    estimator = model.tile_model_.estimator
    np.testing.assert_allclose(estimator.kernel_.theta, reference.kernel_.theta, atol=1e-2)
    np.testing.assert_allclose(
        estimator.log_marginal_likelihood_value_,
        reference.log_marginal_likelihood_value_,
        rtol=1e-6,
    )
    ours = model.predict(Z, return_std=True)
    np.testing.assert_allclose(ours[0], mean, rtol=1e-2, atol=1e-2)
    np.testing.assert_allclose(ours[1], std, rtol=2e-2, atol=1e-3)


def test_restarts_and_the_users_kernel_are_not_changed():
    tiling, X, y, _ = systems()
    kernel = RBF(100.0)
    process = GaussianProcessRegressor(kernel, alpha=0.01, n_restarts_optimizer=2, random_state=0)
    model = EDNNRegressor(process, tiling).fit(X, y)
    assert kernel.length_scale == 100.0
    assert process.kernel is kernel
    assert not hasattr(process, "kernel_")
    assert model.tile_model_.estimator.regressor.get_params() == process.get_params()
    plain = EDNNRegressor(clone(process).set_params(n_restarts_optimizer=0), tiling).fit(X, y)
    reached = [m.tile_model_.estimator.log_marginal_likelihood_value_ for m in (plain, model)]
    assert reached[1] >= reached[0] - 1e-6


# --- noise, weights, scales -----------------------------------------------------------------


def test_white_kernel_is_noise_of_totals():
    tiling, X, y, Z = systems()
    white = GaussianProcessRegressor(RBF(1.0) + WhiteKernel(0.5), alpha=1e-12, optimizer=None)
    alpha = GaussianProcessRegressor(RBF(1.0), alpha=0.5, optimizer=None)
    one = EDNNRegressor(white, tiling).fit(X, y).predict(Z, return_std=True)
    other = EDNNRegressor(alpha, tiling).fit(X, y).predict(Z, return_std=True)
    np.testing.assert_allclose(one[0], other[0], rtol=1e-7)
    # As in scikit-learn: the WhiteKernel's noise is part of what is predicted, alpha's is not.
    np.testing.assert_allclose(one[1] ** 2, other[1] ** 2 + 0.5, rtol=1e-7)


@pytest.mark.parametrize("noise", [None, WhiteKernel(0.2)])
def test_weights_equal_repetitions(noise):
    tiling, X, y, Z = systems()
    kernel = RBF(1.0) if noise is None else RBF(1.0) + noise
    process = GaussianProcessRegressor(kernel, alpha=0.3, optimizer=None)
    times = 1 + np.arange(len(X)) % 3
    copies = np.repeat(np.arange(len(X)), times)
    model = EDNNRegressor(process, tiling)
    weighted = model.fit(X, y, sample_weight=times).predict(Z, return_std=True)
    repeated = model.fit([X[i] for i in copies], y[copies]).predict(Z, return_std=True)
    np.testing.assert_allclose(weighted, repeated, rtol=1e-6)


@pytest.mark.parametrize("n_outputs", [1, 2])
def test_normalize_y_removes_the_unit_of_y(n_outputs):
    tiling, X, y, Z = systems()
    Y = y if n_outputs == 1 else np.stack([y, np.cos(y)], axis=1)
    process = GaussianProcessRegressor(RBF(1.0), alpha=0.01, optimizer=None, normalize_y=True)
    model = EDNNRegressor(process, tiling)
    mean, std = model.fit(X, Y).predict(Z, return_std=True)
    assert mean.shape == std.shape == (len(Z), *Y.shape[1:])
    scaled = model.fit(X, 1e6 * Y).predict(Z, return_std=True)
    np.testing.assert_allclose(scaled[0], 1e6 * mean, rtol=1e-6)
    np.testing.assert_allclose(scaled[1], 1e6 * std, rtol=1e-6)


def test_several_outputs_share_the_kernel():
    tiling, X, y, Z = systems()
    process = GaussianProcessRegressor(RBF(1.0), alpha=0.01, optimizer=None)
    both = EDNNRegressor(process, tiling).fit(X, np.stack([y, -3 * y], axis=1))
    one = EDNNRegressor(process, tiling).fit(X, y)
    mean, std = both.predict(Z, return_std=True)
    expected = one.predict(Z, return_std=True)
    np.testing.assert_allclose(mean, np.outer(expected[0], [1, -3]), rtol=1e-7)
    np.testing.assert_allclose(std, np.stack([expected[1]] * 2, axis=1), rtol=1e-7)


def test_std_grows_with_size_and_far_from_training_tiles():
    X = make_spins(40, (8,)).astype(float)
    process = GaussianProcessRegressor(RBF(1.0), alpha=1e-3, optimizer=None)
    model = EDNNRegressor(process, GridTiling(1, 1)).fit(X, (X * np.roll(X, 1, 1)).sum(axis=1))
    small, large = X[:5], np.tile(X[:5], 4)
    std = [model.predict(list(fields), return_std=True)[1] for fields in (small, large, 2 * small)]
    # Four copies of one system are wrong together: four times the deviation, not twice.
    np.testing.assert_allclose(std[1], 4 * std[0], rtol=1e-3)
    assert (std[2] > 3 * std[0]).all()


# --- pipelines, and what cannot be summed -------------------------------------------------------


@pytest.mark.parametrize("scaler", [StandardScaler(), OneHotEncoder(handle_unknown="ignore")])
def test_kernel_acts_on_transformed_tiles(scaler):
    tiling, X, y, Z = systems(kind="spins")
    process = GaussianProcessRegressor(RBF(2.0) + WhiteKernel(0.1), optimizer=None)
    model = EDNNRegressor(make_pipeline(scaler, process), tiling, baseline=None).fit(X, y)
    tiles = tiling.tiles(X)
    scaler.fit(tiles.array().reshape(tiles.n_tiles, -1))

    class Scaled(RBF):
        def __call__(self, A, B=None, eval_gradient=False):
            A, B = (None if R is None else scaler.transform(R) for R in (A, B))
            A, B = (R.toarray() if hasattr(R, "toarray") else R for R in (A, B))
            return super().__call__(A, B, eval_gradient)

    _, (mean, std) = naive(Scaled(2.0), tiling, X, Z, y, 1e-10, WhiteKernel(0.1), optimizer=None)
    ours = model.predict(Z, return_std=True)
    np.testing.assert_allclose(ours[0], mean, rtol=1e-7)
    np.testing.assert_allclose(ours[1], std, rtol=1e-6)


def test_summed_gaussian_process_is_an_estimator():
    tiling, X, y, _ = systems()
    fitted = EDNNRegressor(GaussianProcessRegressor(alpha=0.1), tiling).fit(X, y)
    process = fitted.tile_model_.estimator
    assert "GaussianProcessRegressor(alpha=0.1)" in repr(process)
    assert clone(process).regressor.alpha == 0.1
    with pytest.raises(TileModelError, match="Fit an EDNNRegressor"):
        process.fit(X, y)


def test_list_of_one_term_has_std():
    tiling, X, y, Z = systems()
    process = GaussianProcessRegressor(RBF(1.0), alpha=0.1, optimizer=None)
    named = EDNNRegressor([("near", process, tiling)]).fit(X, y).predict(Z, return_std=True)
    plain = EDNNRegressor(process, tiling).fit(X, y).predict(Z, return_std=True)
    np.testing.assert_array_equal(named, plain)


@pytest.mark.parametrize(
    ("kernel", "words"),
    [
        (RBF() * WhiteKernel(), "must be a separate term. Use kernel . WhiteKernel"),
        (RBF() * (RBF() + WhiteKernel()), "must be a separate term"),
        (Exponentiation(WhiteKernel(), 2.0), "must be a separate term"),
        (RBF() + RBF() * WhiteKernel(), "must be a separate term"),
        (CompoundKernel([RBF(), RBF(2.0)]), "CompoundKernel has several values"),
    ],
)
def test_noise_within_a_product_is_rejected(kernel, words):
    tiling, X, y, _ = systems()
    model = EDNNRegressor(GaussianProcessRegressor(kernel), tiling)
    with left_as_it_was(model), pytest.raises(TileModelError, match=words):
        model.fit(X, y)


def test_other_models_have_no_std():
    tiling, X, y, Z = systems()
    model = EDNNRegressor(Ridge(), tiling).fit(X, y)
    with pytest.raises(TileModelError, match=r"Ridge has no standard deviation. Use a Gaussian"):
        model.predict(Z, return_std=True)


def test_samples_that_exceed_max_bytes_are_rejected():
    tiling, X, y, _ = systems()
    model = EDNNRegressor(
        GaussianProcessRegressor(), tiling, solver=GaussianProcessSolver(max_bytes=100)
    )
    words = f"A Gaussian process of {len(X)} samples needs .* KernelRidge"
    with left_as_it_was(model), pytest.raises(TileMemoryError, match=words):
        model.fit(X, y)


def test_suits_one_term():
    process = Term("a", GaussianProcessRegressor(), None)
    assert GaussianProcessSolver().suits([process])
    assert not GaussianProcessSolver().suits([process, process])
    assert not GaussianProcessSolver().suits([Term("a", Ridge(), None)])
