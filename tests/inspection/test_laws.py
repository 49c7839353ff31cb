"""Measures equal exact values for models whose range is known."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, PolynomialFeatures
from sklearn.tree import DecisionTreeRegressor

from sk_ednn import EDNNCommittee, EDNNRegressor, GridTiling, ShiftAveraged
from sk_ednn.exceptions import TileModelError, TilingError
from sk_ednn.inspection import (
    context_sensitivity,
    extensivity_report,
    interaction_map,
    interaction_profile,
    locality_profile,
    null_space,
    size_transfer,
    suggest_tiling,
)
from sk_ednn.uncertainty import error_ranking, novelty
from tests._cases import PERIODIC, TILINGS, left_as_it_was, make_field, make_ising, make_spins

PAIRS = make_pipeline(PolynomialFeatures(2, interaction_only=True), Ridge(1e-3))


class Known(RegressorMixin, BaseEstimator):
    """A tile model whose function of the tile is given; there is nothing to fit."""

    def __init__(self, function=None):
        self.function = function

    def fit(self, X, y, sample_weight=None):
        self.n_features_in_ = X.shape[1]
        return self

    def predict(self, X):
        return self.function(X)


def known(function, tiling, X):
    """Return a fitted regressor whose tile model is this function of the window's sites."""
    model = EDNNRegressor(LinearRegression(), tiling, baseline=None).fit(X, np.arange(len(X)))
    object.__setattr__(model.tile_model_, "estimator", Known(function))
    object.__setattr__(model.tile_model_, "scale", 1.0)
    return model


# --- locality ----------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["difference", "swap"])
def test_the_influence_on_a_linear_model_equals_its_coefficients(method):
    """Derivatives are the coefficients; swaps move by them times what a value moves."""
    X = make_field("float64", 30, (8, 8))
    weights = np.zeros((6, 6))
    weights[2:4, 2:4] = 1.0  # the focus
    weights[1, 2:4] = -0.25  # one site away, above
    model = known(lambda t: t @ weights.ravel(), GridTiling(2, 2), X)
    profile = locality_profile(model, X, method=method, max_tiles=None, random_state=0)
    np.testing.assert_array_equal(profile.distances, [0, 1, 2])
    assert profile.influence[2] == 0.0  # beyond its range, exactly
    if method == "difference":
        np.testing.assert_allclose(profile.map, np.abs(weights), atol=1e-9)
        np.testing.assert_allclose(profile.influence, [1.0, 0.5 / 12, 0.0], atol=1e-9)
        np.testing.assert_allclose(profile.share, [4 / 4.5, 0.5 / 4.5, 0.0], atol=1e-9)
    else:
        # Differences of two independent standard normal numbers: 2 / sqrt(pi) in the mean.
        np.testing.assert_allclose(profile.map[2:4, 2:4], 2 / np.sqrt(np.pi), rtol=0.15)
    assert profile.reach == 1
    assert profile.focus == (slice(2, 4), slice(2, 4))


def test_the_influence_on_a_product_equals_its_gradient():
    """c = x[i] x[j]: the mean absolute derivative by the one is the mean of the other."""
    X = make_field("float64", 20, (10,))
    model = known(lambda t: t[:, 2] * t[:, 3], GridTiling(1, 2), X)
    profile = locality_profile(model, list(X), max_tiles=None)
    mean = np.abs(X).mean()
    assert profile.method == "difference"
    np.testing.assert_allclose(profile.map, [0, 0, mean, mean, 0], rtol=1e-9)
    assert profile.reach == 1


def test_the_baseline_can_be_excluded():
    """A total that is the content: all of it is the baseline's, nothing the tile model's."""
    X = make_field("float64", 40, (6, 6))
    model = EDNNRegressor(Ridge(), GridTiling(2, 1), baseline="content")
    model = model.fit(X, 3 * X.sum(axis=(1, 2)))
    profile = locality_profile(model, X, max_tiles=20)
    np.testing.assert_allclose(profile.influence, [3, 0], atol=1e-6)
    alone = locality_profile(model, X, max_tiles=20, with_baseline=False)
    np.testing.assert_allclose(alone.influence, [0, 0], atol=1e-6)
    hidden = context_sensitivity(model, X, kinds="noise", random_state=0)
    assert hidden.errors[0, 1].min() > 1
    alone = context_sensitivity(model, X, kinds="noise", with_baseline=False, random_state=0)
    assert alone.errors.max() < 1e-6


def test_swaps_see_steps_that_differences_do_not():
    """A step of 4 at the sign of the central spin, which half of all swaps cross."""
    X = make_spins(60, (6, 6))
    model = known(lambda t: np.where(t[:, 4] > 0, 3.0, -1.0), GridTiling(1, 1), X)
    profile = locality_profile(model, X, max_tiles=None, random_state=0)
    assert profile.method == "swap"
    # The mean of 2,160 numbers that are 0 or 4: six standard deviations are 0.26.
    assert profile.map[1, 1] == pytest.approx(2.0, abs=0.26)
    assert np.delete(profile.map.ravel(), 4).tolist() == [0.0] * 8
    differences = locality_profile(model, X, method="difference", max_tiles=None)
    assert differences.influence.tolist() == [0.0, 0.0]


def test_swaps_of_spins_in_a_fitted_tree():
    X = make_spins(60, (6, 6))
    tiling = GridTiling(1, 1)
    tree = DecisionTreeRegressor(max_depth=4, random_state=0)
    model = EDNNRegressor(tree, tiling, random_state=0).fit(X, X.sum(axis=(1, 2)).astype(float))
    profile = locality_profile(model, X, max_tiles=None, random_state=0)
    tiles = tiling.tiles(X).array().reshape(-1, 9)
    expected = np.empty(9)
    for site in range(9):
        flipped = tiles.copy()
        flipped[:, site] *= -1
        change = np.abs(model.tile_model_.predict(flipped.reshape(-1, 3, 3))[:, 0]
                        - model.tile_model_.predict(tiles.reshape(-1, 3, 3))[:, 0])  # fmt: skip
        others = [np.mean(tiles[:, site] != value) for value in (-1, 1)]
        expected[site] = np.mean(change * np.where(tiles[:, site] < 0, *others))
    assert expected.max() > 0.1
    np.testing.assert_allclose(profile.map.ravel(), expected, rtol=0.2, atol=0.02)


def test_networks_are_differentiated():
    torch = pytest.importorskip("torch")
    from sk_ednn.solvers import GradientSolver

    X = make_field("float64", 12, (4, 6, 2))
    y = np.sin(X).sum(axis=(1, 2, 3))
    net = torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(32, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1)
    )
    model = EDNNRegressor(
        net,
        GridTiling(2, 1, channel_axis=-1),
        solver=GradientSolver(max_epochs=2),
        baseline="content",
        random_state=0,
    ).fit(X, y)
    exact = locality_profile(model, X, max_tiles=None)
    assert exact.method == "gradient"
    differences = locality_profile(model, X, max_tiles=None, method="difference", step=0.05)
    np.testing.assert_allclose(exact.map, differences.map, rtol=2e-3)

    # By hand: the derivative of each contribution, its signs kept.
    tiles = np.array(model.tiling_.tiles(X).array())[:5]
    gradient = model.tile_model_.input_gradient(tiles)
    for place in [(0, 0, 0), (1, 2, 1), (3, 3, 0)]:
        moved = tiles.copy(), tiles.copy()
        moved[0][(slice(None), *place)] += 0.05
        moved[1][(slice(None), *place)] -= 0.05
        plain = model.tile_model_.with_baseline(None)
        slope = (plain.predict(moved[0]) - plain.predict(moved[1]))[:, 0] / 0.1
        np.testing.assert_allclose(gradient[(slice(None), *place)], slope, rtol=2e-2, atol=1e-4)


def test_the_embedding_is_the_input_of_the_last_layer():
    torch = pytest.importorskip("torch")
    from sk_ednn.solvers import GradientSolver

    X = make_field("float64", 12, (6,))
    net = torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(3, 5), torch.nn.ReLU(), torch.nn.Linear(5, 1)
    )
    model = EDNNRegressor(
        net, GridTiling(1, 1), solver=GradientSolver(max_epochs=1), random_state=0, baseline=None
    ).fit(X, X.sum(axis=1))
    tile_model = model.tile_model_
    tiles = model.tiling_.tiles(X).array()
    hidden = tile_model.embedding(tiles)
    assert hidden.shape == (len(tiles), 5) and hidden.min() == 0.0  # behind the ReLU
    last = tile_model.estimator.module_[-1]
    weight, bias = last.weight.detach().numpy(), last.bias.detach().numpy()
    by_hand = (hidden @ weight.T + bias) * tile_model.scale
    np.testing.assert_allclose(by_hand, tile_model.predict(tiles), rtol=1e-4, atol=1e-5)


def test_method_gradient_needs_a_gradient():
    X, y = make_ising(20, (4, 4))
    model = EDNNRegressor(PAIRS, GridTiling(1, 1)).fit(X, y)
    with pytest.raises(TileModelError, match="needs a network without transformers"):
        locality_profile(model, X, method="gradient")
    with pytest.raises(TileModelError, match=r"1 output\(s\), got output=3"):
        locality_profile(model, X, output=3)


def test_sites_are_sampled():
    X = make_field("float64", 10, (8, 8))
    model = EDNNRegressor(Ridge(), GridTiling(2, 3)).fit(X, X.sum(axis=(1, 2)))
    profile = locality_profile(model, X, max_sites=3, random_state=0)
    assert [int(np.isfinite(profile.map[ring(profile, d)]).sum()) for d in range(4)] == [3, 3, 3, 3]
    assert abs(profile.share.sum() - 1) < 1e-12


def ring(profile, d):
    from sk_ednn.inspection._locality import site_distances

    return site_distances(profile.focus, profile.map.shape) == d


# --- interactions ------------------------------------------------------------------------------


@pytest.mark.parametrize("distance", [1, 2, 3])
def test_interaction_profile_recovers_the_range(distance):
    """Whatever way the contributions are divided, the total interacts at one distance alone."""
    X = make_spins(400, (16,))
    y = -np.sum(X * np.roll(X, distance, axis=1), axis=1).astype(float)
    model = EDNNRegressor(PAIRS, GridTiling(1, 2)).fit(X, y)
    profile = interaction_profile(model, list(X), n_pairs=30, max_distance=6, random_state=0)
    exact = np.zeros(6)
    exact[distance - 1] = 4.0  # (2 s_i) (2 s_j)
    np.testing.assert_allclose(profile.strength[0], exact, atol=0.02)
    # No tile of five sees both: nothing but rounding.
    assert profile.strength[0, 4:].max() < 1e-11


def test_a_sum_over_sites_does_not_interact():
    X = make_field("float64", 30, (6, 4, 2))
    model = EDNNRegressor(Ridge(), GridTiling(2, 1, channel_axis=-1)).fit(X, X.sum(axis=(1, 2, 3)))
    profile = interaction_profile(model, X, n_pairs=10, random_state=0)
    assert profile.strength.shape == (2, 3) and profile.window == (4, 4)
    assert np.isnan(profile.strength[1, 2])  # half of four sites is two
    assert np.nanmax(profile.strength) < 1e-10


@pytest.mark.parametrize("boundary", ["periodic", "zero"])
@pytest.mark.parametrize(
    ("shape", "couplings"),
    [
        ((12,), {(1,): -1.0, (2,): 0.3}),
        ((7, 8), {(1, 0): -1.0, (0, 1): 0.5, (1, -1): 2.0}),
        ((4, 4, 5), {(1, 0, 0): 1.0, (1, 1, 0): -0.4, (1, -1, 1): 0.7}),
    ],
    ids=["1-D", "2-D", "3-D"],
)
def test_interaction_map_recovers_couplings_in_all_directions(shape, couplings, boundary):
    """Of occupied and empty sites, the change of both is that of one product."""
    X = np.random.default_rng(0).integers(0, 2, size=(900, *shape)).astype(float)
    y, axes = np.zeros(len(X)), tuple(range(1, X.ndim))
    reach = max(max(map(abs, step)) for step in couplings)
    for step, coupling in couplings.items():
        if boundary == "periodic":
            y += coupling * (X * np.roll(X, [-n for n in step], axes)).sum(axes)
            continue
        first = tuple(slice(max(0, -n), min(L, L - n)) for n, L in zip(step, shape, strict=True))
        other = tuple(slice(max(0, n), min(L, L + n)) for n, L in zip(step, shape, strict=True))
        y += coupling * (X[:, *first] * X[:, *other]).sum(axes)
    model = EDNNRegressor(PAIRS, GridTiling(1, reach, boundary=boundary)).fit(X, y)
    found = interaction_map(model, X, n_pairs=8, max_distance=reach, random_state=0)
    exact = np.zeros((2 * reach + 1,) * len(shape))
    for step, coupling in couplings.items():
        exact[tuple(reach + np.array(step))] = exact[tuple(reach - np.array(step))] = abs(coupling)
    exact[(reach,) * len(shape)] = np.nan
    np.testing.assert_allclose(found.strength, exact, atol=0.02)
    assert found.max_distance == reach and found.std_error.shape == exact.shape


def test_interaction_map_leaves_out_what_does_not_fit():
    X = make_field("float64", 30, (6, 4, 2))
    model = EDNNRegressor(Ridge(), GridTiling(2, 1, channel_axis=-1)).fit(X, X.sum(axis=(1, 2, 3)))
    found = interaction_map(model, X, n_pairs=5, max_distance=3, random_state=0)
    missing = np.isnan(found.strength)
    expected = np.zeros((7, 7), dtype=bool)
    expected[:, [0, 6]] = expected[3, 3] = True  # half of four sites is two
    np.testing.assert_array_equal(missing, expected)
    assert np.nanmax(found.strength) < 1e-10
    one = EDNNRegressor(Ridge(), GridTiling(1, 0)).fit(X[:, :1, :1, 0], X[:, 0, 0, 0])
    with pytest.raises(TilingError, match="interaction_map needs fields of at least 2 sites"):
        interaction_map(one, X[:, :1, :1, 0])


# --- context -----------------------------------------------------------------------------------


def test_hiding_unused_sites_changes_nothing():
    X = make_field("float64", 30, (8, 8))
    focus = np.zeros((4, 4))
    focus[1:3, 1:3] = 1
    for weights, silent in ((focus, 0), (1 - focus, 1)):
        model = known(lambda t, w=weights: t @ w.ravel(), GridTiling(2, 1), X)
        sensitivity = context_sensitivity(model, X, random_state=0, n_repeats=2)
        assert sensitivity.errors.shape == (3, 2, 4, 2)
        assert sensitivity.errors[:, silent].max() < 1e-12
        # One site: a blur of the whole focus may keep its sum.
        assert sensitivity.errors[:, 1 - silent, 0].min() > 1e-3
        assert sensitivity.reference == 0.0


def test_occlusion_is_the_mean_and_noise_another_tile():
    """Hide the whole focus of a model that reads it off: the total becomes a known number."""
    X = make_field("float64", 10, (6, 6)) + 3.0
    focus = np.zeros((4, 4))
    focus[1:3, 1:3] = 1
    model = known(lambda t: t @ focus.ravel(), GridTiling(2, 1), X)
    y = np.zeros(10)
    sensitivity = context_sensitivity(model, X, y, kinds="occlude", areas=[4], random_state=0)
    np.testing.assert_allclose(sensitivity.errors[0, 1], 36 * X.mean(), rtol=1e-12)
    np.testing.assert_allclose(sensitivity.reference, X.sum(axis=(1, 2)).mean())
    noise = context_sensitivity(model, X, y, kinds="noise", areas=[4], random_state=0).errors[0, 1]
    np.testing.assert_allclose(noise, 36 * X.mean(), rtol=0.05)


def test_errors_are_relative_to_the_true_totals():
    X, y = make_ising(40, (4, 4))
    model = EDNNRegressor(PAIRS, GridTiling(1, 1)).fit(X, y)
    with left_as_it_was(model):
        sensitivity = context_sensitivity(model, list(X), y + 5.0, random_state=0)
    np.testing.assert_allclose(sensitivity.reference, np.abs(model.predict(X) - y - 5).mean())
    assert sensitivity.n_sites == {"context": 8, "focus": 1}
    same = context_sensitivity(model, list(X), y + 5.0, random_state=0)
    np.testing.assert_array_equal(sensitivity.errors, same.errors)


def test_invalid_areas_and_kinds_are_rejected():
    X, y = make_ising(20, (4, 4))
    model = EDNNRegressor(Ridge(), GridTiling(2, 0)).fit(X, y)
    with pytest.raises(TilingError, match="the tiles have no context"):
        context_sensitivity(model, X)
    model = EDNNRegressor(Ridge(), GridTiling(2, 1)).fit(X, y)
    with pytest.raises(TilingError, match="between 1 and 4"):
        context_sensitivity(model, X, areas=[5])
    with pytest.raises(ValueError, match="kinds must be some of"):
        context_sensitivity(model, X, kinds="smear")


@pytest.mark.parametrize("outside", ["pipeline", "search", "terms"])
def test_estimators_around_the_regressor(outside):
    X, y = make_ising(40, (4, 4))
    inner = EDNNRegressor(PAIRS, GridTiling(1, 1))
    expected = context_sensitivity(inner.fit(X, y), X, y, kinds="noise", random_state=0)
    if outside == "pipeline":
        model = make_pipeline(FunctionTransformer(np.negative), inner).fit(X, y)
        given = -X  # the pipeline turns it round once more
        model.steps[-1] = ("ednnregressor", EDNNRegressor(PAIRS, GridTiling(1, 1)).fit(X, y))
        sensitivity = context_sensitivity(model, given, y, kinds="noise", random_state=0)
    elif outside == "search":
        search = GridSearchCV(inner, {"tiling__context": [1]}, cv=2).fit(X, y)
        sensitivity = context_sensitivity(search, X, y, kinds="noise", random_state=0)
    else:
        terms = [("near", PAIRS, GridTiling(1, 1)), ("far", PAIRS, GridTiling(2, 1))]
        model = EDNNRegressor(terms).fit(X, y)
        with pytest.raises(TileModelError, match="name one of them with `term`"):
            context_sensitivity(model, X)
        sensitivity = context_sensitivity(model, X, y, term="far", random_state=0)
        assert sensitivity.n_sites == {"context": 12, "focus": 4}
        return
    np.testing.assert_allclose(sensitivity.errors, expected.errors)


def test_other_estimators_are_rejected():
    with pytest.raises(TileModelError, match="Expected a fitted EDNNRegressor"):
        locality_profile(Ridge(), np.zeros((2, 3)))


# --- extensivity -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PERIODIC)
def test_periodic_models_are_extensive(name):
    tiling, shape, _ = TILINGS[name]
    X = make_field("float64", 20, shape)
    model = EDNNRegressor(PAIRS, tiling).fit(X, X.reshape(20, -1).sum(axis=1))
    report = extensivity_report(model, X)
    assert report.copies.max() < 1e-12
    assert report.additivity < 1e-12
    assert report.shift_by_focus.max() < 1e-12
    assert len(report.shifts) == len(report.copies) == len(tiling.tile_grid(shape))
    for shifts in report.shifts:
        assert shifts[0] == 0.0
    assert report.size_transfer is None


def test_shifts_below_a_focus_are_measured():
    X, y = make_ising(50, (8, 8))
    model = EDNNRegressor(Ridge(), GridTiling((4, 2), 0)).fit(X, y)
    report = extensivity_report(model, X)
    total = model.predict(X)
    assert [len(shifts) for shifts in report.shifts] == [4, 2]
    by_hand = [
        np.sqrt(np.mean((model.predict(np.roll(X, k, axis=1)) - total) ** 2)) for k in range(4)
    ]
    np.testing.assert_allclose(report.shifts[0], by_hand)


@pytest.mark.parametrize("wrap", [None, EDNNCommittee])
def test_averages_over_all_shifts_do_not_change_with_them(wrap):
    X, y = make_ising(50, (8, 8))
    model = ShiftAveraged(EDNNRegressor(Ridge(), GridTiling((4, 2), 0)), "all")
    model = model.fit(X, y) if wrap is None else wrap(model, 2, random_state=0).fit(X, y)
    report = extensivity_report(model, X)
    assert [len(shifts) for shifts in report.shifts] == [4, 2]
    assert max(shifts.max() for shifts in report.shifts) < 1e-10
    assert report.additivity < 1e-12


def test_copies_measure_the_surface():
    X = np.abs(make_field("float64", 20, (6,)))
    model = EDNNRegressor(PAIRS, GridTiling(1, 1, boundary="zero"))
    model = model.fit(list(X), (X[:, 1:] * X[:, :-1]).sum(axis=1))
    report = extensivity_report(model, list(X))
    assert report.copies[0] > 1e-3 and report.shifts == []
    assert report.additivity < 1e-12


@given(st.integers(0, 10_000))
def test_size_transfer_recovers_bias_and_noise(seed):
    rng = np.random.default_rng(seed)
    bias, noise = rng.uniform(-0.01, 0.01), rng.uniform(0.05, 0.2)
    N = rng.choice([64, 256, 1024, 4096], size=2000).astype(float)
    errors = bias * N + noise * np.sqrt(N) * rng.normal(size=len(N))
    transfer = size_transfer(-2 * N, -2 * N + errors, N)
    assert abs(transfer.bias - bias) < 6 * transfer.bias_std_error
    assert abs(transfer.noise / noise - 1) < 6 / np.sqrt(2 * len(N))
    np.testing.assert_allclose(transfer.expected, transfer.rmse, rtol=0.3)


def test_pure_bias_and_pure_noise():
    N = np.repeat([10.0, 100.0, 1000.0], 4)
    transfer = size_transfer(np.zeros(12), 0.5 * N, N)
    np.testing.assert_allclose(
        [transfer.bias, transfer.noise, transfer.exponent], [0.5, 0, 1], atol=1e-12
    )
    signs = np.tile([1.0, -1.0], 6)
    transfer = size_transfer(np.zeros(12), signs * np.sqrt(N), N)
    np.testing.assert_allclose([transfer.bias, transfer.exponent], [0, 0.5], atol=1e-12)
    np.testing.assert_allclose(transfer.noise, np.sqrt(12 / 11))
    with pytest.raises(ValueError, match="of positive size"):
        size_transfer([1.0, 2.0], [1.0, 2.0], [4.0, 0.0])


def test_transfer_of_a_model_between_sizes():
    X, y = make_ising(30, (4, 4))
    model = EDNNRegressor(PAIRS, GridTiling(1, 1)).fit(X, y)
    large, more = make_ising(5, (6, 8), 1)
    both, totals = [*X, *large], np.concatenate([y, more])
    report = extensivity_report(model, both, totals)
    np.testing.assert_array_equal(report.size_transfer.sizes, [16, 48])
    by_hand = size_transfer(totals, model.predict(both), [16.0] * 30 + [48.0] * 5)
    np.testing.assert_allclose(report.size_transfer.bias, by_hand.bias)


# --- gauge -------------------------------------------------------------------------------------


def exact_rank(matrix) -> int:
    """Return the rank by elimination in fractions: no rounding."""
    rows = [[Fraction(int(v)) for v in row] for row in matrix]
    rank = 0
    for column in range(len(rows[0])):
        pivot = next((r for r in range(rank, len(rows)) if rows[r][column]), None)
        if pivot is None:
            continue
        rows[rank], rows[pivot] = rows[pivot], rows[rank]
        for r in range(rank + 1, len(rows)):
            if rows[r][column]:
                factor = rows[r][column] / rows[rank][column]
                rows[r] = [a - factor * b for a, b in zip(rows[r], rows[rank], strict=True)]
        rank += 1
    return rank


@given(
    n=st.integers(1, 12),
    length=st.sampled_from([2, 4, 6]),
    context=st.integers(0, 1),
    focus=st.sampled_from([1, 2]),
    seed=st.integers(0, 1000),
)
def test_null_space_is_exact(n, length, context, focus, seed):
    tiles = GridTiling(focus, context).tiles(make_spins(n, (length,), seed))
    counts = tiles.unique()[0].sum_matrix.toarray()
    space = null_space(tiles)
    assert space.rank == exact_rank(counts)
    assert space.dimension == counts.shape[1] - space.rank == space.basis.shape[1]
    np.testing.assert_allclose(counts @ space.basis, 0, atol=1e-12 * length)
    np.testing.assert_allclose(space.basis.T @ space.basis, np.eye(space.dimension), atol=1e-12)
    assert null_space(tiles, max_basis=0).rank == space.rank
    assert null_space(tiles, max_basis=0).basis is None


@pytest.mark.parametrize("context", [0, 1])
@pytest.mark.parametrize("n_states", [2, 3])
def test_null_space_of_all_rings(context, n_states):
    """Windows of w sites on all rings leave open a function of w - 1 sites, less a constant.

    Windows are the edges of a graph whose nodes are runs of w - 1 sites, rings are its cycles:
    what vanishes on every cycle is the difference of a function of the nodes.
    """
    w = 1 + 2 * context
    # Every cycle is a sum of simple ones, which pass each node once.
    longest = n_states ** (w - 1)
    states = range(n_states)
    rings = [
        np.array(ring)
        for n in range(1, min(longest, 8) + 1)
        for ring in itertools.islice(itertools.product(states, repeat=n), 2000)
    ]
    space = null_space(GridTiling(1, context).tiles(rings))
    assert space.n_distinct == n_states**w
    assert space.dimension == n_states ** (w - 1) - 1


def test_null_space_of_planes(rng):
    """Neighbouring tiles of 3 x 3 both see 2 x 3 spins, along either axis."""
    space = null_space(GridTiling(1, 1).tiles(rng.choice([-1, 1], size=(600, 8, 8))))
    assert space.n_distinct == 2**9
    assert space.dimension == 2**6 + 2**6 - 2**4 - 1


def test_moving_along_the_null_space_changes_no_total():
    X, y = make_ising(60, (4, 4))
    model = EDNNRegressor(PAIRS, GridTiling(1, 1)).fit(X, y)
    tiles = model.tiling_.tiles(X)
    space = null_space(tiles)
    assert space.dimension > 0
    distinct, _ = tiles.unique()
    contributions = model.tile_model_.predict(space.tiles)[:, 0]
    moved = contributions + space.basis @ np.arange(1.0, 1 + space.dimension)
    assert np.abs(moved - contributions).max() > 1
    np.testing.assert_allclose(distinct.total(moved), model.predict(X), atol=1e-9)


def test_many_samples_are_processed_in_blocks():
    tiles = GridTiling(1, 1).tiles(make_spins(5000, (6,)))
    counts = tiles.unique()[0].sum_matrix.toarray()
    assert null_space(tiles).rank == np.linalg.matrix_rank(counts)


# --- a tiling from data ------------------------------------------------------------------------


def chain(distance, n=150, noise=0.1):
    rng = np.random.default_rng(0)
    X = rng.choice([-1, 1], size=(n, 16))
    return X, -np.sum(X * np.roll(X, distance, axis=1), axis=1) + noise * rng.normal(size=n)


@pytest.mark.parametrize(("distance", "context"), [(1, 1), (2, 1), (3, 2), (4, 2)])
def test_the_context_is_half_the_range(distance, context):
    X, y = chain(distance)
    suggestion = suggest_tiling(
        X, y, estimator=EDNNRegressor(PAIRS, GridTiling(1, 1)), patience=2, max_context=4
    )
    assert (suggestion.focus, suggestion.context) == (1, context)
    assert suggestion.contexts == list(range(context + 3))
    assert suggestion.tiling.get_params() == GridTiling(1, context).get_params()
    assert suggestion.scores.shape == (context + 3, 5) and (suggestion.fit_times > 0).all()
    assert suggestion.std_errors[np.argmax(suggestion.mean_scores)] == 0


def test_no_interaction_needs_no_context():
    X, y = chain(1, noise=0.0)
    y = X.sum(axis=1) + 0.1 * np.random.default_rng(1).normal(size=len(y))
    suggestion = suggest_tiling(X, y, estimator=EDNNRegressor(Ridge(1e-3), GridTiling(1, 1)))
    assert (suggestion.context, suggestion.contexts) == (0, [0, 1])
    exact = suggest_tiling(
        X, X.sum(axis=1), estimator=EDNNRegressor(Ridge(1e-3)), min_gain=0.01, max_context=3
    )
    assert exact.context == 0 and len(exact.contexts) == 2


def test_focuses_and_functions():
    X, y = chain(2)
    seen = []

    def make(focus, context):
        seen.append((focus, context))
        return EDNNRegressor(PAIRS, GridTiling(focus, context))

    suggestion = suggest_tiling(X, y, estimator=make, focuses=[2, 1], max_context=2, cv=3)
    assert seen == list(zip(suggestion.focuses, suggestion.contexts, strict=True))
    assert {focus for focus, _ in seen} == {1, 2}
    pipeline = make_pipeline(FunctionTransformer(), EDNNRegressor(PAIRS, GridTiling()))
    inside = suggest_tiling(X, y, estimator=pipeline, cv=3)
    assert inside.context == 1
    with pytest.raises(TilingError, match="varies one GridTiling"):
        suggest_tiling(X, y, estimator=Ridge())
    with pytest.raises(TilingError, match="an estimator, or a function"):
        suggest_tiling(X, y, estimator=3)
    with pytest.raises(TilingError, match="an instance, such as EDNNRegressor"):
        suggest_tiling(X, y, estimator=EDNNRegressor)
    for focuses in (2, [], "12"):
        with pytest.raises(TilingError, match="focuses must be a list of one focus or more"):
            suggest_tiling(X, y, focuses=focuses)
    with pytest.raises(ValueError, match="needs samples"):
        suggest_tiling(X[:0], y[:0])


# --- novelty -------------------------------------------------------------------------------


def familiar_model(kind):
    X = make_field("float64", 20, (6, 6))
    y = X.sum(axis=(1, 2))
    if kind == "network":
        torch = pytest.importorskip("torch")
        from sk_ednn.solvers import GradientSolver

        net = torch.nn.Sequential(
            torch.nn.Flatten(), torch.nn.Linear(9, 6), torch.nn.Softplus(), torch.nn.Linear(6, 1)
        )
        solver = GradientSolver(max_epochs=2)
        return EDNNRegressor(net, GridTiling(1, 1), solver=solver, random_state=0).fit(X, y), X
    if kind == "committee":
        return EDNNCommittee(EDNNRegressor(Ridge(1e-3)), 3, random_state=0).fit(X, y), X
    return EDNNRegressor(PAIRS if kind == "features" else Ridge()).fit(X, y), X


@pytest.mark.parametrize("kind", ["tiles", "features", "network", "committee"])
def test_training_tiles_are_familiar_and_distant_tiles_are_novel(kind):
    model, X = familiar_model(kind)
    distances = novelty(model, X, [X[0], X[1], 50 + X[2], np.full((9, 6), -50.0)])
    np.testing.assert_array_equal(distances.share, [0, 0, 1, 1])
    assert distances.distance[0] == pytest.approx(0, abs=1e-5)
    assert distances.distance[2:].min() > distances.threshold
    assert distances.space == ("features" if kind in ("features", "network") else "tiles")
    assert (distances.spread is not None) == (kind == "committee")
    if kind == "committee":
        assert distances.spread.shape == (4,)
        assert distances.spread[2] > distances.spread[0]


def test_the_share_of_novel_tiles_follows_from_the_quantile():
    """Tiles drawn from the same distribution exceed it as often as the quantile implies."""
    X = make_field("float64", 60, (40,), 1)
    model = EDNNRegressor(Ridge(), GridTiling(1, 1)).fit(X, X.sum(axis=1))
    unseen = make_field("float64", 200, (40,), 2)
    distances = novelty(model, X, unseen, quantile=0.9)
    assert abs(distances.share.mean() - 0.1) < 0.02


def test_each_tile_that_sees_a_changed_site_is_novel():
    X = make_field("float64", 20, (8, 8))
    model = EDNNRegressor(Ridge(), GridTiling(2, 1)).fit(X, X.sum(axis=(1, 2)))
    strange = X[:1].copy()
    strange[0, 2, 2] = 100.0
    share = novelty(model, X, strange).share[0]
    assert share == len(model.tiling_.affected((8, 8), [[2, 2]])) / 16


def test_training_tiles_are_sampled():
    model, X = familiar_model("tiles")
    few = novelty(model, X, X, max_tiles=300, random_state=0)
    assert 0 < few.share.mean() < 0.1
    with pytest.raises(ValueError, match="no features but the tiles"):
        novelty(model, X, X, space="features")


def test_error_ranking_equals_spearman():
    from scipy.stats import spearmanr

    rng = np.random.default_rng(0)
    indicator, errors = rng.uniform(size=40), rng.normal(size=40)
    ranking = error_ranking(indicator, errors, n_bins=4)
    assert ranking.spearman == pytest.approx(spearmanr(indicator, np.abs(errors))[0])
    assert ranking.kept[-1] == pytest.approx(np.abs(errors).mean())
    np.testing.assert_allclose(ranking.bin_error.mean(), np.abs(errors).mean())
    assert (np.diff(ranking.bin_indicator) > 0).all()
    assert error_ranking(np.arange(5), -np.arange(5.0), n_bins=2).spearman == 1.0
    assert np.isnan(error_ranking(np.ones(5), np.arange(5.0), n_bins=2).spearman)
    with pytest.raises(ValueError, match="two arrays of shape"):
        error_ranking([1.0], [1.0])
