"""LocalUpdates, compared with the evaluation of the whole field."""

import copy
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.exceptions import NotFittedError
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sk_ednn import EDNNCommittee, EDNNRegressor, GridTiling
from sk_ednn.encoders import AngleFields, OneHotFields
from sk_ednn.evaluation import Direct, LocalUpdates, Unique
from sk_ednn.exceptions import NoveltyWarning, TileModelError, TilingError
from sk_ednn.tiling._windows import seen_by
from tests._cases import (
    TILE_MODELS,
    TILINGS,
    CountsCalls,
    fitted,
    make_field,
    make_ising,
    make_spins,
)


def grid_of(tiling, shape):
    """Return the shape of the grid of a field, and its channels."""
    if tiling.channel_axis is None:
        return shape, ()
    channel = tiling.channel_axis % len(shape)
    return shape[:channel] + shape[channel + 1 :], (shape[channel],)


def changed(tiling, field, sites, values):
    """Return a copy of a field with some sites changed."""
    field = field.copy()
    view = field if tiling.channel_axis is None else np.moveaxis(field, tiling.channel_axis, -1)
    for site, value in zip(sites, values, strict=True):
        view[tuple(site)] = value
    return field


def draw_move(rng, grid, channels, n_sites):
    flat = rng.choice(int(np.prod(grid)), size=n_sites, replace=False)
    sites = np.stack(np.unravel_index(flat, grid), axis=-1)
    return sites, rng.normal(size=(n_sites, *channels))


def ising(**params):
    X, y = make_ising(300, (8, 8))
    return EDNNRegressor(KernelRidge(kernel="rbf", gamma=0.1, alpha=1e-6), **params).fit(X, y)


# --- law 7: a local update equals full re-evaluation ------------------------------------------


@pytest.mark.parametrize("tile_model", TILE_MODELS)
@pytest.mark.parametrize("tiling", TILINGS)
def test_local_update_equals_full_evaluation(tile_model, tiling, rng):
    model = fitted(tile_model, tiling)
    tiling, _, shape = TILINGS[tiling]
    grid, channels = grid_of(tiling, shape)
    field = make_field("float64", 1, shape, 3)[0]
    local = LocalUpdates(model, field)
    original, n_most = field.copy(), min(4, int(np.prod(grid)))
    for step in range(12):
        sites, values = draw_move(rng, grid, channels, 1 + step % n_most)
        before = model.predict([field])[0]
        after = changed(tiling, field, sites, values)
        change = local.propose(sites, values)
        np.testing.assert_allclose(change, model.predict([after])[0] - before, atol=1e-10)
        np.testing.assert_allclose(local.total, before, atol=1e-10)  # proposing changes nothing
        if step % 3:
            local.accept()
            field = after
        np.testing.assert_array_equal(local.field, field)
        np.testing.assert_allclose(local.total, model.predict([field])[0], atol=1e-10)
    # What was handed in is still what it was.
    np.testing.assert_array_equal(make_field("float64", 1, shape, 3)[0], original)


@pytest.mark.parametrize("tiling", TILINGS)
def test_several_moves_are_independent(tiling, rng):
    model = fitted("kernel", tiling)
    tiling, _, shape = TILINGS[tiling]
    grid, channels = grid_of(tiling, shape)
    field = make_field("float64", 1, shape, 3)[0]
    n_sites = min(2, int(np.prod(grid)))
    moves = [draw_move(rng, grid, channels, n_sites) for _ in range(9)]
    local = LocalUpdates(model, field)
    changes = local.propose(np.array([m[0] for m in moves]), np.array([m[1] for m in moves]))
    alone = [model.predict([changed(tiling, field, *move)])[0] for move in moves]
    np.testing.assert_allclose(changes, np.array(alone) - local.total, atol=1e-10)
    one = np.arange(9) == 4
    local.accept(one)
    np.testing.assert_array_equal(local.field, changed(tiling, field, *moves[4]))
    np.testing.assert_allclose(local.total, alone[4], atol=1e-10)


@pytest.mark.parametrize("tiling", TILINGS)
def test_seen_by_and_affected_name_the_windows_that_contain_a_site(tiling):
    tiling, shape, _ = TILINGS[tiling]
    grid, _ = grid_of(tiling, shape)
    axes = tiling.axis_windows(shape)
    tables = [seen_by(windows, length) for windows, length in zip(axes, grid, strict=True)]
    for site in np.ndindex(grid):
        along = [
            np.flatnonzero((windows == s).any(axis=1))
            for windows, s in zip(axes, site, strict=True)
        ]
        for table, s, expected in zip(tables, site, along, strict=True):
            np.testing.assert_array_equal(table[s][table[s] >= 0], expected)
        product = np.stack(np.meshgrid(*along, indexing="ij"), axis=-1).reshape(-1, len(grid))
        np.testing.assert_array_equal(product, tiling.affected(shape, [site]))


@pytest.mark.parametrize("evaluation", [Direct(), Unique()])
def test_total_does_not_drift(evaluation):
    model = EDNNRegressor(LinearRegression(), GridTiling(1, 1), evaluation=evaluation)
    X, y = make_ising(60, (8, 8))
    model.fit(X, y)
    rng = np.random.default_rng(1)
    local = LocalUpdates(model, make_spins(1, (66, 66), 2)[0])
    # On sites three apart no tile sees two: as many flips at once as there are.
    for _ in range(250):
        corner = rng.integers(3, size=2)
        sites = np.stack(np.meshgrid(*(np.arange(c, 66, 3) for c in corner)), -1)
        sites = rng.permutation(sites.reshape(-1, 1, 2))[:400]
        local.propose(sites, rng.choice(np.array([-1, 1], dtype=np.int8), size=(400, 1)))
        local.accept()
    assert abs(local.total - model.predict(local.field[None])[0]) < 1e-9


def test_reversed_flips_restore_the_total(rng):
    model = ising()
    field = make_spins(1, (32, 32))[0]
    local = LocalUpdates(model, field)
    start = local.total
    for site in rng.integers(32, size=(300, 1, 2)):
        old = field[tuple(site[0])]
        forward = local.propose(site, [-old])
        local.accept()
        assert abs(local.propose(site, [old]) + forward) < 1e-12
        local.accept()
    assert abs(local.total - start) < 1e-12


@given(st.integers(1, 3), st.integers(1, 3), st.integers(0, 4), st.integers(1, 3), st.data())
def test_local_update_for_all_focuses_and_contexts(ndim, focus, context, repeats, data):
    shape = (focus * repeats,) * ndim
    tiling = GridTiling(focus, min(context, 6 // (focus * ndim)))
    X = make_field("float64", 6, shape)
    y = np.sin(X[:, 0]).reshape(6, -1).sum(axis=1)
    model = EDNNRegressor(LinearRegression(), tiling, baseline="content").fit(X, y)
    n_sites = data.draw(st.integers(1, min(3, X[0].size)))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    sites, values = draw_move(rng, shape, (), n_sites)
    local = LocalUpdates(model, X[0])
    after = model.predict([changed(tiling, X[0], sites, values)])[0]
    np.testing.assert_allclose(
        local.propose(sites, values) + local.total, after, rtol=1e-9, atol=1e-9
    )


# --- several terms, several totals, networks --------------------------------------------------


def test_local_update_of_several_terms(rng):
    X, y = make_ising(100, (6, 6))
    terms = [
        ("near", KernelRidge(kernel="rbf", gamma=0.1, alpha=1e-3), GridTiling(1, 1)),
        ("far", KernelRidge(kernel="rbf", gamma=0.05, alpha=1e-3), GridTiling(2, 1)),
    ]
    model = EDNNRegressor(terms).fit(X, y)
    field = make_spins(1, (12, 8), 4)[0]
    local = LocalUpdates(model, field)
    for _ in range(10):
        sites = np.array(np.unravel_index(rng.choice(96, 2, replace=False), (12, 8))).T
        after = field.copy()
        after[tuple(sites.T)] *= -1
        change = local.propose(sites, after[tuple(sites.T)])
        local.accept()
        field = after
        np.testing.assert_allclose(local.total, model.predict(field[None])[0], atol=1e-9)
    assert change != 0


def test_terms_with_different_channel_axes_are_rejected():
    terms = [
        ("a", LinearRegression(), GridTiling(1, 1, channel_axis=-1)),
        ("b", LinearRegression(), GridTiling(1, 1, channel_axis=0)),
    ]
    X = make_field("float64", 10, (4, 4, 4))
    model = EDNNRegressor(terms).fit(X, X.sum(axis=(1, 2, 3)))
    with pytest.raises(TilingError, match="same channel axis"):
        LocalUpdates(model, X[0])


def test_local_update_of_several_totals(rng):
    model = fitted("kernel", "2-D", n_outputs=3)
    field = make_field("float64", 1, (3, 5))[0]
    local = LocalUpdates(model, field)
    assert local.total.shape == (3,)
    sites, values = draw_move(rng, (3, 5), (), 2)
    after = model.predict([changed(TILINGS["2-D"][0], field, sites, values)])[0]
    np.testing.assert_allclose(local.total + local.propose(sites, values), after, atol=1e-10)
    assert local.propose(sites[None], values[None]).shape == (1, 3)


def test_local_update_of_networks(rng):
    torch = pytest.importorskip("torch")
    from sk_ednn.solvers import GradientSolver

    X, y = make_ising(50, (8, 8))
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(9, 8), torch.nn.Tanh(),
                              torch.nn.Linear(8, 1))  # fmt: skip
    model = EDNNRegressor(net, solver=GradientSolver(max_epochs=2), random_state=0).fit(X, y)
    field = make_field("float64", 1, (8, 8))[0]
    local = LocalUpdates(model, field)
    for _ in range(5):
        local.propose(*draw_move(rng, (8, 8), (), 3))
        local.accept()
    np.testing.assert_allclose(local.total, model.predict(local.field[None])[0], rtol=1e-5)


# --- evaluated and cached tiles ----------------------------------------------------------------


def test_only_affected_tiles_are_evaluated():
    X = make_field("float64", 12, (6, 6))
    model = EDNNRegressor(CountsCalls(kernel="rbf", gamma=0.1), GridTiling())
    model.fit(X, X.sum(axis=(1, 2)))
    local = LocalUpdates(model, make_field("float64", 1, (24, 24))[0])
    CountsCalls.n_tiles = 0
    local.propose([[3, 3]], [0.5])
    assert CountsCalls.n_tiles == 9
    local.propose([[3, 3], [3, 4]], [0.5, 0.1])
    assert CountsCalls.n_tiles == 9 + 12  # the two share six tiles


def test_repeated_tiles_are_cached(rng):
    X, y = make_ising(100, (8, 8))
    model = EDNNRegressor(CountsCalls(kernel="rbf", gamma=0.1), evaluation=Unique()).fit(X, y)
    local = LocalUpdates(model, make_spins(1, (128, 128))[0])
    CountsCalls.n_tiles = 0
    for n_moves in (1, 30):
        local.propose(rng.integers(128, size=(n_moves, 1, 2)), rng.choice([-1, 1], (n_moves, 1)))
    assert CountsCalls.n_tiles == 0  # all 512 states of 3 x 3 spins were in the field


# --- errors ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sites", "values", "message"),
    [
        ([[8, 0]], [1], r"within the grid \(8, 8\); got \[8, 0\]"),
        ([[0, -1]], [1], r"within the grid"),
        ([[0.0, 1.0]], [1], "integers of shape"),
        ([0, 1], [1], "integers of shape"),
        ([[0, 1, 2]], [1], "integers of shape"),
        (np.zeros((0, 2), int), [], "at least one site"),
        ([[0, 1]], 1, r"values must have shape \(1,\)"),
        ([[0, 1]], [np.nan], "NaN"),
        ([[0, 1]], [0.5], "int8, cannot represent 0.5"),
        ([[0, 1]], [300], "int8, cannot represent 300"),
        ([[0, 1]], ["up"], "must be numbers"),
        ([[0, 1], [2, 3], [0, 1]], [1, 1, -1], "changes a site twice"),
    ],
)
def test_invalid_moves_are_rejected(sites, values, message):
    local = LocalUpdates(ising(), make_spins(1, (8, 8))[0])
    total = local.total
    with pytest.raises(ValueError, match=message):
        local.propose(sites, values)
    with pytest.raises(ValueError, match="no proposal to accept"):
        local.accept()
    assert local.total == total


def test_moves_that_share_a_tile_cannot_be_accepted_together():
    local = LocalUpdates(ising(), make_spins(1, (8, 8))[0])
    before = local.field
    flips = -before[[0, 2, 3], 0][:, None]
    local.propose([[[0, 0]], [[2, 0]], [[3, 0]]], flips)
    with pytest.raises(ValueError, match="Moves 0 and 1 cannot be accepted together"):
        local.accept()
    np.testing.assert_array_equal(local.field, before)
    local.accept([True, False, True])  # three apart: no 3 x 3 window contains both
    np.testing.assert_allclose(local.total, local._incremental.totals[0, 0], atol=1e-9)
    with pytest.raises(ValueError, match="no proposal to accept"):
        local.accept()


def test_invalid_masks_are_rejected():
    local = LocalUpdates(ising(), make_spins(1, (8, 8))[0])
    local.propose([[[0, 0]], [[4, 0]]], [[1], [1]])
    for mask in ([True], [0, 1], [[True, False]]):
        with pytest.raises(ValueError, match=r"booleans of shape \(2,\)"):
            local.accept(mask)


def test_invalid_models_and_fields_are_rejected():
    spins = make_spins(1, (8, 8))[0]
    with pytest.raises(NotFittedError):
        LocalUpdates(EDNNRegressor(), spins)
    with pytest.raises(TileModelError, match=r"fitted EDNNRegressor, .*; got EDNNCommittee"):
        LocalUpdates(EDNNCommittee(EDNNRegressor()), spins)
    model = ising(tiling=GridTiling(2, 1))
    with pytest.raises(TilingError, match="not a multiple of focus=2"):
        LocalUpdates(model, make_spins(1, (8, 7))[0])
    with pytest.raises(TilingError, match=r"fields of 2 dimension"):
        LocalUpdates(model, spins[None])
    with pytest.raises(ValueError, match="NaN"):
        LocalUpdates(model, np.full((8, 8), np.nan))


@pytest.mark.parametrize("kind", ["labels", "angles"])
def test_sites_in_front_of_an_encoder_keep_their_values(kind, rng):
    """Moves of labels and angles: the totals are those of the Pipeline, the field is theirs."""
    if kind == "labels":
        encoder, values = OneHotFields(), np.array([4, 7, 2], dtype=np.int8)
    else:
        encoder, values = AngleFields(360), rng.uniform(0, 360, size=9).astype(np.float32)
    X = rng.choice(values, size=(40, 5, 6))
    tiling = GridTiling(1, (1, 0), channel_axis=-1)
    model = make_pipeline(encoder, EDNNRegressor(KernelRidge(alpha=1e-2, kernel="rbf"), tiling))
    model.fit(X, rng.normal(size=40))
    given = X[0].copy()
    local = LocalUpdates(model, given)
    alone = LocalUpdates(model[-1], encoder.transform(X[:1])[0])
    for _ in range(3):
        field = local.field
        sites = np.array([[[0, 0]], [[3, 3]], [[0, 3]]])
        moved = rng.choice(values, size=(3, 1))
        costs = local.propose(sites, moved)
        np.testing.assert_allclose(costs, alone.propose(sites, encoder._channels(moved)))
        mask = np.array([True, False, True])
        local.accept(mask)
        alone.accept(mask)
        for (site,), (value,) in zip(sites[mask], moved[mask], strict=True):
            field[tuple(site)] = value
        np.testing.assert_array_equal(local.field, field)
        assert local.field.dtype == X.dtype
        np.testing.assert_allclose(local.total, model.predict(field[None])[0])
    assert local.propose([[0, 0], [2, 2]], values[:2]) == pytest.approx(
        alone.propose([[0, 0], [2, 2]], encoder._channels(values[:2]))
    )
    np.testing.assert_array_equal(given, X[0])
    other = copy.copy(local)
    other.accept()
    np.testing.assert_array_equal(local.field, field)
    with pytest.raises(TilingError, match=r"values must have shape \(1,\), one for each site;"):
        local.propose([[0, 0]], encoder._channels(values[:1]))
    if kind == "labels":
        with pytest.raises(ValueError, match="not among the categories"):
            local.propose([[0, 0]], [5])
        with pytest.raises(ValueError, match="cannot represent"):
            local.propose([[0, 0]], [300])
        with pytest.raises(ValueError, match="no proposal"):
            local.accept()
        with pytest.raises(ValueError, match="not among the categories"):
            LocalUpdates(model, np.full((5, 6), 9))


def test_a_pipeline_without_an_encoder_is_its_last_step():
    model, field = ising(), make_spins(1, (8, 8))[0]
    piped = Pipeline([("nothing", "passthrough"), ("model", model)])
    assert LocalUpdates(piped, field).total == LocalUpdates(model, field).total
    scaled = make_pipeline(FunctionTransformer(np.negative), model)
    with pytest.raises(TileModelError, match=r"another Pipeline its last step, model\[-1\]"):
        LocalUpdates(scaled, field)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_copies_are_independent(copied):
    model = ising()
    field = make_spins(1, (8, 8))[0]
    local = LocalUpdates(model, field)
    local.propose([[0, 0]], [-field[0, 0]])
    other = copied(local)
    other.accept()
    np.testing.assert_array_equal(local.field, field)
    assert local.total == LocalUpdates(model, field).total
    np.testing.assert_allclose(other.total, model.predict(other.field[None])[0])
    local.accept()
    assert local.total == other.total


@pytest.mark.parametrize("channel_axis", [None, 0, -1])
def test_values_far_outside_of_the_fit_are_said_once(channel_axis):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20, 4, 4))
    several = channel_axis is not None
    fields = np.stack([X, 100 + X], axis=1 if channel_axis == 0 else -1) if several else X
    tiling = GridTiling(1, 1, channel_axis=channel_axis)
    model = EDNNRegressor(Ridge(), tiling).fit(fields, X.sum(axis=(1, 2)))
    local = LocalUpdates(model, fields[0])
    near = [[0.5, 100.5]] if several else [0.5]
    far = [[0.5, 0.5]] if several else [1e3]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        local.propose([[1, 2]], near)
    named = "of channel 1, " if several else ""
    with pytest.warns(NoveltyWarning, match=f"The fields have values .*{named}but the model"):
        local.propose([[1, 2]], far)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        local.propose([[[1, 2]], [[0, 0]]], [far, near])
    assert np.isfinite(local.total)
