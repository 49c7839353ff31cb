"""BoostingSolver: decreasing loss, and all kinds of regressors."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import (
    ExtraTreesRegressor,
    HistGradientBoostingRegressor,
    RandomForestRegressor,
)
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVR
from sklearn.tree import DecisionTreeRegressor, ExtraTreeRegressor

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.exceptions import TileMemoryError, TileModelError
from sk_ednn.solvers import BoostedSum, BoostingSolver, Term
from tests._cases import (
    Returns,
    all_but_one,
    as_nan,
    ising_energy,
    left_as_it_was,
    make_field,
    make_ising,
    make_spins,
)

TREE = DecisionTreeRegressor(max_depth=2, random_state=0)


def noisy(n=40, n_outputs=1, seed=0):
    """Return fields of two sizes with totals that are not exactly sums over tiles."""
    X = [*make_field("float64", n, (6,), seed), *make_field("float64", n // 2, (10,), seed + 1)]
    rng = np.random.default_rng(seed)
    y = np.array(
        [[np.abs(x).sum() + k * (x * np.roll(x, 1)).sum() for k in range(n_outputs)] for x in X]
    )
    y += rng.normal(scale=0.5, size=y.shape)
    return X, y[:, 0] if n_outputs == 1 else y


def boosted(tile_model=TREE, tiling=None, random_state=0, **params):
    params.setdefault("validation_fraction", None)
    solver = BoostingSolver(**params)
    return EDNNRegressor(clone(tile_model), tiling, solver=solver, random_state=random_state)


def losses(model):
    return model.tile_model_.estimator.validation_errors_


# --- the loss -------------------------------------------------------------------------------


@pytest.mark.parametrize("corrective", ["each", "final", None])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n_outputs", [1, 2])
@pytest.mark.parametrize("tile_model", [TREE, KNeighborsRegressor(3), Ridge()])
def test_training_loss_decreases_at_every_stage(tile_model, n_outputs, weighted, corrective, rng):
    X, y = noisy(n_outputs=n_outputs)
    weight = rng.uniform(0.2, 2, size=len(X)) if weighted else None
    model = boosted(tile_model, n_stages=8, corrective=corrective, n_iter_no_change=100)
    model.fit(X, y, sample_weight=weight)
    loss = losses(model)
    assert len(loss) == 8
    assert (np.diff(loss) <= 1e-7 * loss[0]).all()
    assert loss[-1] < loss[0]
    # The loss of the last stage is that of the fitted model, which the final refit may lower.
    result = np.average((model.predict(X) - y) ** 2, axis=0, weights=weight).mean()
    if corrective == "final":
        assert result <= loss[-1] * (1 + 1e-6)
    else:
        np.testing.assert_allclose(result, loss[-1], rtol=1e-6)


def test_corrective_each_reduces_the_loss():
    X, y = noisy()
    last = {
        corrective: losses(boosted(n_stages=10, corrective=corrective).fit(X, y))[-1]
        for corrective in ("each", None)
    }
    assert last["each"] < last[None]


def test_one_stage_of_a_constant_takes_the_exact_step():
    """A regressor that always returns 1 gets the least squares weight."""
    X, y = noisy()
    sizes = np.array([len(x) for x in X], dtype=float)

    class One(DummyRegressor):
        def predict(self, X):
            return np.ones(len(X))

    model = boosted(One(), n_stages=1, corrective=None)
    model.baseline = None
    model.fit(X, y)
    exact = sizes @ y / (sizes @ sizes)
    np.testing.assert_allclose(model.predict(X), exact * sizes, rtol=1e-10)
    model.solver.learning_rate = 0.25
    np.testing.assert_allclose(model.fit(X, y).predict(X), 0.25 * exact * sizes, rtol=1e-10)


def test_smaller_learning_rate_takes_smaller_steps():
    X, y = noisy()
    fast, slow = (
        losses(boosted(n_stages=5, corrective=None, learning_rate=rate).fit(X, y))
        for rate in (1.0, 0.1)
    )
    assert (slow > fast).all()
    assert (np.diff(slow) < 0).all()


def test_weights_equal_repetitions():
    X, y = noisy(12)
    times = np.arange(len(X)) % 3
    copies = np.repeat(np.arange(len(X)), times)
    model = boosted(n_stages=3)
    weighted = model.fit(X, y, sample_weight=times).predict(X)
    repeated = model.fit([X[i] for i in copies], y[copies]).predict(X)
    np.testing.assert_allclose(weighted, repeated, rtol=1e-6, atol=1e-8)


# --- when it stops ----------------------------------------------------------------------------


def test_early_stopping_on_held_out_samples(rng):
    X = make_field("float64", 80, (6,))
    model = boosted(
        DecisionTreeRegressor(random_state=0),
        n_stages=60,
        validation_fraction=0.3,
        n_iter_no_change=3,
    ).fit(X, rng.normal(size=80))
    loss, kept = losses(model), len(model.tile_model_.estimator.estimators_)
    assert len(loss) < 60
    assert kept <= max(1, 1 + int(np.argmin(loss)))
    assert len(loss) - kept >= 3


def test_stops_at_zero_residuals():
    spins = make_spins(100, (8,))
    model = boosted(DecisionTreeRegressor(), n_stages=100).fit(spins, ising_energy(spins))
    assert len(model.tile_model_.estimator.estimators_) < 40
    np.testing.assert_allclose(model.predict(spins), ising_energy(spins), atol=1e-3)


@pytest.mark.parametrize("n_samples", [1, 5, 80])
def test_no_stage_if_the_baseline_is_exact(n_samples):
    X = make_field("float64", n_samples, (6,))
    model = boosted(validation_fraction=0.1).fit(X, np.full(n_samples, 12.0))
    assert model.tile_model_.estimator.estimators_ == []
    np.testing.assert_allclose(model.predict([np.ones(3)]), [6.0])


def test_groups_are_held_out_together():
    X, y = noisy(60)
    groups = np.arange(len(X)) // 3
    seen = []

    class Spy(DecisionTreeRegressor):
        def fit(self, X, y, sample_weight=None):
            seen.append(X.copy())
            return super().fit(X, y, sample_weight=sample_weight)

    boosted(Spy(), GridTiling(1, 0), validation_fraction=0.4, n_stages=1).fit(X, y, groups=groups)
    # Regressors see rounded values.
    used = np.array([(np.abs(x[:, None] - seen[0].T).min(axis=1) < 1e-5).all() for x in X])
    assert 0 < used.sum() < len(X)
    for group in np.unique(groups):
        assert len(set(used[groups == group])) == 1


def test_subsamples_are_drawn_at_each_stage():
    X, y = noisy()
    counted = []

    class Spy(DecisionTreeRegressor):
        def fit(self, X, y, sample_weight=None):
            counted.append(sample_weight.sum())
            return super().fit(X, y, sample_weight=sample_weight)

    model = boosted(Spy(max_depth=2), subsample=0.5, n_stages=6).fit(X, y)
    n_tiles = sum(len(x) for x in X)
    assert all(0.3 * n_tiles < n < 0.7 * n_tiles for n in counted)
    assert len(set(counted)) > 1
    assert model.score(X, y) > 0.3


# --- going on -----------------------------------------------------------------------------------


def test_warm_start_adds_stages():
    X, y = noisy()
    model = boosted(n_stages=4).set_params(warm_start=True).fit(X, y)
    first, before = model.tile_model_.estimator.estimators_, model.score(X, y)
    model.fit(X, y)
    again = model.tile_model_.estimator.estimators_
    assert len(again) == 8
    assert again[:4] == first
    assert model.score(X, y) > before
    cold = clone(model).set_params(solver__n_stages=8).fit(X, y)
    np.testing.assert_allclose(model.predict(X), cold.predict(X), rtol=1e-5, atol=1e-5)


def test_warm_start_rejects_other_terms_and_models():
    X, y = noisy()
    model = boosted(n_stages=2).set_params(warm_start=True).fit(X, y)
    model.set_params(tile_model=[("near", TREE, GridTiling())])
    with (
        left_as_it_was(model),
        pytest.raises(TileModelError, match="warm_start=True continues the fit of"),
    ):
        model.fit(X, y)
    model = EDNNRegressor(LinearRegression(), warm_start=True).fit(X, y)
    model.set_params(tile_model=TREE)
    with (
        left_as_it_was(model),
        pytest.raises(TileModelError, match="only resume from a BoostedSum"),
    ):
        model.fit(X, y)


# --- terms, outputs, regressors -----------------------------------------------------------------


@pytest.mark.parametrize("n_stages", [3, 6])
def test_several_terms_alternate(n_stages):
    X, y = noisy()
    terms = [("near", TREE, GridTiling(1, 0)), ("far", KNeighborsRegressor(4), GridTiling(2, 1))]
    model = EDNNRegressor(
        terms, solver=BoostingSolver(n_stages=n_stages, validation_fraction=None), random_state=0
    ).fit(X, y)
    near, far = (tile_model.estimator for tile_model in model.tile_model_)
    assert [len(near.estimators_), len(far.estimators_)] == [-(-n_stages // 2), n_stages // 2]
    assert isinstance(near.estimators_[0], DecisionTreeRegressor)
    assert isinstance(far.estimators_[0], KNeighborsRegressor)
    assert (np.diff(near.validation_errors_) <= 0).all()
    result = np.mean((model.predict(X) - y) ** 2)
    np.testing.assert_allclose(result, near.validation_errors_[-1], rtol=1e-6)


def test_several_outputs_are_fitted_separately():
    X, y = noisy(n_outputs=3)
    model = boosted(n_stages=5, corrective=None).fit(X, y)
    assert model.predict(X).shape == y.shape
    one = boosted(n_stages=5, corrective=None).fit(X, y[:, 1])
    np.testing.assert_allclose(model.predict(X)[:, 1], one.predict(X), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "tile_model",
    [
        DecisionTreeRegressor(max_depth=4),
        ExtraTreeRegressor(),
        RandomForestRegressor(5, max_depth=5),
        ExtraTreesRegressor(5),
        HistGradientBoostingRegressor(max_iter=3, min_samples_leaf=1),
        KNeighborsRegressor(5),
        SVR(C=10.0),
        make_pipeline(StandardScaler(), SVR(C=10.0)),
        make_pipeline(OneHotEncoder(), DecisionTreeRegressor()),
    ],
    ids=str,
)
def test_all_regressors_learn_ising(tile_model):
    spins = make_spins(150, (10,))
    model = boosted(tile_model, n_stages=15).fit(spins, ising_energy(spins))
    large = list(make_spins(20, (100,), 1))
    assert model.score(large, ising_energy(large)) > 0.99
    assert isinstance(
        getattr(model.tile_model_.estimator, "steps", [(0, model.tile_model_.estimator)])[-1][1],
        BoostedSum,
    )


def test_two_dimensional_ising():
    spins, energy = make_ising(260, (8, 8))
    tree = DecisionTreeRegressor(random_state=0)
    model = boosted(tree, GridTiling(1, 1), n_stages=25, validation_fraction=0.1)
    model.fit(spins[:220], energy[:220])
    assert model.score(spins[220:], energy[220:]) > 0.99


@pytest.mark.parametrize("seeded", ["regressor", "tile model", "solver"])
def test_equal_seeds_give_equal_models(seeded):
    X, y = noisy()
    tree = ExtraTreeRegressor(max_depth=3, random_state=0 if seeded == "tile model" else None)
    solver = BoostingSolver(n_stages=4, random_state=0, validation_fraction=0.3, subsample=0.7)
    if seeded != "solver":
        solver.random_state = None
    totals = []
    for _ in range(2):
        if seeded == "regressor":
            model = EDNNRegressor(clone(tree), solver=clone(solver), random_state=3)
        else:
            tree.random_state = solver.random_state = 0
            model = EDNNRegressor(clone(tree), solver=clone(solver))
        totals.append(model.fit(X, y).predict(X))
    np.testing.assert_array_equal(*totals)


def test_generator_seeds_each_stage_differently():
    X, y = noisy()
    generator = np.random.RandomState(0)
    seeds = []

    class Spy(ExtraTreeRegressor):
        def fit(self, X, y, sample_weight=None):
            seeds.append(self.random_state)
            return super().fit(X, y, sample_weight=sample_weight)

    boosted(Spy(max_depth=2, random_state=generator), n_stages=4).fit(X, y)
    assert len(set(seeds)) == 4


def test_equal_tiles_are_merged_and_weighted():
    spins = make_spins(50, (8,))
    rows = []

    class Spy(DecisionTreeRegressor):
        def fit(self, X, y, sample_weight=None):
            rows.append((len(X), sample_weight.sum()))
            return super().fit(X, y, sample_weight=sample_weight)

    boosted(Spy(), n_stages=2).fit(spins, ising_energy(spins))
    assert rows == [(8, 400.0)] * 2


# --- rounded tiles ----------------------------------------------------------------------------


@pytest.mark.parametrize("unit", [1e-35, 1e-7, 1.0, 3e5, 1e30])
@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_resolution_keeps_what_regressors_learn_from(unit, offset):
    """Whatever the unit, and beside a mean of a hundred deviations, values keep six digits."""
    X = np.random.default_rng(0).integers(0, 4, (16, 6, 6)) * 0.1
    y = (X * np.roll(X, 1, axis=1)).sum(axis=(1, 2))
    seen = []

    class Spy(DecisionTreeRegressor):
        def fit(self, X, y, sample_weight=None):
            seen.append(X)
            return super().fit(X, y, sample_weight=sample_weight)

    boosted(Spy(), GridTiling(1, 0), n_stages=1).fit((X + offset) * unit, y)
    np.testing.assert_allclose(
        seen[0].ravel() / unit - offset, [0, 0.1, 0.2, 0.3], atol=1e-6 * (1 + offset / 100)
    )


@pytest.mark.parametrize(
    ("dtype", "scale"),
    [(np.int8, 1), (np.int64, 2**40), (bool, 1), (float, 1), (float, 2.0**40), (np.float32, 255)],
)
def test_whole_numbers_stay_as_they_are(dtype, scale):
    X = (np.random.default_rng(0).integers(0, 2, (12, 6)) * scale).astype(dtype)
    if dtype is float and scale > 1:
        X += np.arange(6) * (X > 0)
    seen = []

    class Spy(DecisionTreeRegressor):
        def fit(self, X, y, sample_weight=None):
            seen.append(X)
            return super().fit(X, y, sample_weight=sample_weight)

    y = X.astype(float).sum(axis=1) + np.arange(12.0) * scale
    boosted(Spy(), GridTiling(1, 0), n_stages=1).fit(X, y)
    assert seen[0].dtype == X.dtype
    np.testing.assert_array_equal(seen[0].ravel(), np.unique(X))


def test_resumed_fit_keeps_the_steps_of_the_first():
    X, y = noisy()
    model = boosted(n_stages=2).set_params(warm_start=True).fit(X, y)
    first = model.tile_model_.resolution
    wider = [3.7 * x for x in X]
    np.testing.assert_array_equal(model.fit(wider, y).tile_model_.resolution, first)


# --- what is refused ----------------------------------------------------------------------------


def test_error_names_the_regressor_that_returns_nan():
    X, y = noisy()
    model = boosted(Returns(as_nan), n_stages=2)
    with left_as_it_was(model), pytest.raises(TileModelError, match="Returns returned NaN"):
        model.fit(X, y)


def test_error_names_the_regressor_that_returns_another_shape():
    X, y = noisy()
    model = boosted(Returns(all_but_one), n_stages=2)
    with left_as_it_was(model), pytest.raises(TileModelError, match="one row of outputs per tile"):
        model.fit(X, y)


def test_tiles_that_exceed_max_bytes_are_rejected():
    X, y = noisy()
    model = boosted(max_bytes=100)
    with (
        left_as_it_was(model),
        pytest.raises(TileMemoryError, match=r"Boosting on .* distinct tiles"),
    ):
        model.fit(X, y)


@pytest.mark.parametrize(
    ("param", "value"),
    [("n_stages", 0), ("learning_rate", 0.0), ("corrective", "some"), ("subsample", 0.0),
     ("validation_fraction", 1.0), ("n_iter_no_change", 0), ("tol", -1.0), ("alpha", -1.0)],
)  # fmt: skip
def test_parameters_are_validated(param, value):
    X, y = noisy()
    with pytest.raises(ValueError, match=f"The '{param}' parameter of BoostingSolver must be"):
        boosted(**{param: value}).fit(X, y)


def test_suits_all_regressors():
    class NoPredict(RegressorMixin, BaseEstimator):
        def fit(self, X, y):
            return self

    assert BoostingSolver().suits([Term("a", SVR(), None), Term("b", TREE, None)])
    assert not BoostingSolver().suits([Term("a", NoPredict(), None)])


def test_boosted_sum_is_an_estimator():
    X, y = noisy()
    model = boosted(n_stages=2).fit(X, y).tile_model_.estimator
    assert "DecisionTreeRegressor" in repr(model)
    assert clone(model).estimator.max_depth == 2
    with pytest.raises(TileModelError, match="Fit an EDNNRegressor"):
        model.fit(X, y)


def test_error_names_the_number_of_distinct_tiles():
    X = make_spins(20, (6,))
    with pytest.raises(TileModelError, match="KNeighborsRegressor cannot predict the 2 distinct"):
        boosted(KNeighborsRegressor(3), GridTiling(1, 0)).fit(X, X.sum(axis=1))
