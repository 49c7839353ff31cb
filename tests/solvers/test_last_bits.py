"""Fits do not depend on round-off in their data, which differs between processors.

Targets and tiles are changed by a few units in the last place, as with other BLAS kernels, vector
widths or numbers of threads.
"""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.ensemble import (
    AdaBoostRegressor,
    GradientBoostingRegressor,
    HistGradientBoostingRegressor,
    RandomForestRegressor,
)
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Lasso, Ridge
from sklearn.neighbors import KNeighborsRegressor
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from sklearn.svm import SVR
from sklearn.tree import DecisionTreeRegressor, ExtraTreeRegressor

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.descriptors import PowerSpectrum
from sk_ednn.solvers import BoostingSolver
from sk_ednn.structures import Structure
from sk_ednn.tiling import AtomTiling, BagTiling
from tests._cases import make_field, make_ising

BOOSTED = {
    "shallow tree": DecisionTreeRegressor(max_depth=2, random_state=0),
    "deep tree": DecisionTreeRegressor(max_depth=6, random_state=0),
    "whole tree": DecisionTreeRegressor(random_state=0),
    "random tree": ExtraTreeRegressor(random_state=0),
    "forest": RandomForestRegressor(5, random_state=0),
    "gradient boosting": GradientBoostingRegressor(n_estimators=5, random_state=0),
    "histograms": HistGradientBoostingRegressor(max_iter=3, max_bins=31),
    "AdaBoost": AdaBoostRegressor(DecisionTreeRegressor(max_depth=3), n_estimators=3),
    "neighbours": make_pipeline(StandardScaler(), KNeighborsRegressor(3)),
    # By matrix products, distances of about zero have a round-off of 1e-8.
    "nearest by distance": KNeighborsRegressor(3, weights="distance", algorithm="kd_tree"),
    "nearest by brute force": KNeighborsRegressor(2, algorithm="brute"),
    "support vectors": make_pipeline(StandardScaler(), SVR()),
}
SMOOTH = {
    "ridge": make_pipeline(StandardScaler(), PolynomialFeatures(2), Ridge(1e-6)),
    "lasso": make_pipeline(PolynomialFeatures(2), Lasso(1e-3)),
    "kernel": KernelRidge(kernel="rbf", gamma=0.1, alpha=1e-6),
    "process": GaussianProcessRegressor(RBF(2.0) + WhiteKernel(1e-2)),
    "perceptron": MLPRegressor(hidden_layer_sizes=(8,), max_iter=20),
}


def systems(kind, seed):
    """Return symmetric spins with many ties, or real numbers, and their totals."""
    if kind == "spins":
        return make_ising(60, (6, 6), seed)
    X = make_field("float64", 60, (12,), seed)
    return X, (np.abs(X) + X * np.roll(X, 1, axis=1)).sum(axis=1)


def in_the_last_bits(y, seed):
    """Return totals that differ from y by up to two units in the last place of the largest."""
    steps = np.random.default_rng(seed).integers(-2, 3, y.shape)
    return y + steps * np.spacing(np.abs(y).max())


def worst_change(model, kind, seed):
    X, y = systems(kind, seed)
    expected = clone(model).fit(X, y).predict(X)
    changed = [clone(model).fit(X, in_the_last_bits(y, k)).predict(X) for k in range(2)]
    return max(np.abs(other - expected).max() for other in changed) / y.std()


@pytest.mark.parametrize(("kind", "seed"), [("spins", 0), ("real numbers", 1)])
@pytest.mark.parametrize("name", BOOSTED)
def test_boosting_does_not_depend_on_last_bits(name, kind, seed):
    solver = BoostingSolver(n_stages=6, validation_fraction=None)
    model = EDNNRegressor(BOOSTED[name], GridTiling(1, 1), solver=solver, random_state=0)
    assert worst_change(model, kind, seed) < 1e-7


@pytest.mark.parametrize("kind", ["spins", "real numbers"])
@pytest.mark.parametrize("name", SMOOTH)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_other_solvers_do_not_depend_on_last_bits(name, kind):
    model = EDNNRegressor(SMOOTH[name], GridTiling(1, 1), random_state=0)
    # A likelihood is maximised to a tolerance, and rounding grows with each epoch of training.
    assert worst_change(model, kind, 0) < {"process": 1e-3, "perceptron": 1e-5}.get(name, 1e-7)


def test_order_of_samples_does_not_decide_ties():
    X, y = make_ising(60, (6, 6))
    order = np.random.default_rng(0).permutation(60)
    model = EDNNRegressor(BOOSTED["deep tree"], GridTiling(1, 1), random_state=0)
    model.set_params(solver=BoostingSolver(n_stages=6, validation_fraction=None))
    expected, other = model.fit(X, y).predict(X), model.fit(X[order], y[order]).predict(X)
    np.testing.assert_allclose(other, expected, rtol=1e-7)


# --- tiles that differ in their last bits ---------------------------------------------------------


def off_by_bits(X, seed):
    """Return fields whose numbers are off by up to four units in the last place."""
    rng = np.random.default_rng(seed)
    return [x * (1 + rng.integers(-4, 5, x.shape) * 2.0**-52) for x in X]


class NoisyPowerSpectrum(PowerSpectrum):
    """A descriptor with round-off as of another processor, relative to its largest value."""

    noise = None

    def values(self, environments):
        """Return the values of `PowerSpectrum` with noise."""
        exact = super().values(environments).round(9)  # no noise except ours
        if self.noise is None:
            return exact
        return exact + self.noise.integers(-4, 5, exact.shape) * 2.0**-52 * np.abs(exact).max()


def copies_of_alloys():
    """Return copper-gold alloys on one lattice, where many atoms have equal surroundings."""
    rng = np.random.default_rng(0)
    sites = 3.6 * np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    kinds = [np.where(rng.random(4) < 0.4, 79, 29) for _ in range(16)]
    X = [Structure(numbers, sites, 3.6 * np.eye(3), True) for numbers in kinds]
    return X, np.array([np.sum(numbers == 79) ** 2.0 for numbers in kinds])


def levels_in_tenths(n=16):
    X = np.random.default_rng(0).integers(0, 4, (n, 6, 6)) * 0.1
    return X, (X * np.roll(X, 1, axis=1) ** 2).sum(axis=(1, 2))


def bags_of_tenths():
    X = list(np.random.default_rng(0).integers(0, 4, (16, 5, 3)) * 0.1)
    return X, np.array([(x[:, 0] * x[:, 1] - x[:, 2]).sum() for x in X])


@pytest.mark.parametrize("tiling", ["windows", "wide windows", "bags", "atoms"])
@pytest.mark.parametrize("name", BOOSTED)
def test_last_bits_of_tiles_change_nothing(name, tiling):
    """A fit and its predictions are the same on processors with other round-off."""
    descriptor = NoisyPowerSpectrum(3.0, n_radial=2, max_l=2)
    tilings = {
        "windows": GridTiling(1, 1), "wide windows": GridTiling(1, 2), "bags": BagTiling(),
        "atoms": AtomTiling(descriptor),
    }  # fmt: skip
    data = {"bags": bags_of_tenths, "atoms": copies_of_alloys}.get(tiling, levels_in_tenths)
    X, y = data()
    solver = BoostingSolver(n_stages=3, subsample=0.8, validation_fraction=None)
    totals = []
    for seed in range(2):
        if tiling == "atoms":
            NoisyPowerSpectrum.noise = np.random.default_rng(seed) if seed else None
            systems = X
        else:
            systems = off_by_bits(X, seed) if seed else list(X)
        model = EDNNRegressor(BOOSTED[name], tilings[tiling], solver=solver, random_state=0)
        totals.append(model.fit(systems[:12], y[:12]).predict(systems))
    np.testing.assert_array_equal(*totals)


def test_atoms_with_equal_surroundings_are_one_row():
    X, y = copies_of_alloys()
    rows = {}
    for seed in (0, 1):
        NoisyPowerSpectrum.noise = np.random.default_rng(seed)
        tiling = AtomTiling(NoisyPowerSpectrum(3.0, n_radial=2, max_l=2))
        model = EDNNRegressor(KNeighborsRegressor(2), tiling).fit(X, y)
        rows[seed] = model.tile_model_.estimator.estimators_[0]._fit_X
        # Distances to nearest neighbours far exceed round-off.
        distances, _ = model.tile_model_.estimator.estimators_[0].kneighbors()
        assert distances[:, 0].min() > 1e-6
    np.testing.assert_array_equal(rows[0], rows[1])
