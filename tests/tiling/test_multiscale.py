"""Terms of several scales: averages over blocks, and the laws of a sum over tiles."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures

from sk_ednn import EDNNRegressor, GridTiling, files
from sk_ednn.evaluation import Direct, LocalUpdates, Unique
from sk_ednn.exceptions import TileModelError, TilingError
from sk_ednn.solvers import BoostingSolver
from sk_ednn.testing import check_extensive_estimator
from sk_ednn.tiling import TilePool, multiscale
from tests._cases import TILE_MODELS, make_field

SCALES = (1, 2, 4)


def fitted(tile_model="linear", n_channels=None, scales=SCALES):
    """Return a model of 16 x 8 sites of several scales."""
    channel = None if n_channels is None else -1
    shape = (16, 8) if n_channels is None else (16, 8, n_channels)
    X = make_field("float64", 20, shape)
    y = np.sin(X).reshape(20, -1).sum(axis=1)
    terms = multiscale(TILE_MODELS[tile_model], GridTiling(1, 1, channel_axis=channel), scales)
    solver = BoostingSolver(n_stages=3) if tile_model == "tree" else None
    return EDNNRegressor(terms, solver=solver, random_state=0).fit(X, y)


# --- averages over blocks -------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.int8, np.float32, np.float64])
def test_blocks_are_averages(dtype, rng):
    tiles = rng.integers(-4, 5, size=(5, 6, 4, 3)).astype(dtype)
    pool = TilePool((3, 2), window=(6, 4), n_channels=3)
    out = pool.fit_transform(tiles.reshape(5, -1)).reshape(5, 2, 2, 3)
    for i in range(2):
        for j in range(2):
            block = tiles[:, 3 * i : 3 * i + 3, 2 * j : 2 * j + 2].astype(float)
            np.testing.assert_allclose(out[:, i, j], block.mean(axis=(1, 2)), rtol=1e-6)
    assert out.dtype == (np.float32 if dtype == np.float32 else np.float64)


def test_pull_is_the_adjoint_of_push_and_the_derivative(rng):
    rows = rng.normal(size=(4, 6 * 4 * 2))
    pool = TilePool((3, 2), window=(6, 4), n_channels=2).fit(rows)
    tangent, gradient = rng.normal(size=rows.shape), rng.normal(size=(4, 2 * 2 * 2))
    pushed = pool.push(rows, tangent)
    np.testing.assert_allclose(pushed, pool.transform(rows + tangent) - pool.transform(rows))
    assert (pushed * gradient).sum() == pytest.approx((tangent * pool.pull(rows, gradient)).sum())


def test_windows_that_are_no_multiple_are_rejected():
    with pytest.raises(TileModelError, match="multiples of its size"):
        TilePool(2, window=(3, 4)).fit(np.zeros((2, 12)))
    with pytest.raises(TileModelError, match="does not know the shape"):
        TilePool(2).fit(np.zeros((2, 12)))
    model = EDNNRegressor(make_pipeline(TilePool(2), Ridge()), GridTiling(1, 1))
    with pytest.raises(TileModelError, match="multiples of its size"):
        model.fit(np.zeros((4, 4, 4)), np.zeros(4))
    model.set_params(tile_model=make_pipeline(TilePool(2, window=(4, 4)), Ridge()))
    with pytest.raises(TileModelError, match="Leave out window"):
        model.fit(np.zeros((4, 4, 4)), np.zeros(4))


# --- terms ------------------------------------------------------------------------------------


def test_terms_have_the_scaled_tiling_and_unchanged_names_of_parameters():
    terms = multiscale(TILE_MODELS["linear"], GridTiling((1, 2), 1, boundary="zero"), (1, 4))
    (first, _, near), (second, pooled, far) = terms
    assert (first, second) == ("scale_1", "scale_4")
    assert (near.focus, near.context) == ((1, 2), 1)
    assert (far.focus, far.context, far.boundary) == ((4, 8), 4, "zero")
    assert pooled[0].size == 4
    model = EDNNRegressor(terms).set_params(scale_4__tile_model__ridge__alpha=7.0)
    assert model.tile_model[1][1][-1].alpha == 7.0
    assert TILE_MODELS["linear"][-1].alpha == 1.0  # a clone


@pytest.mark.parametrize("scales", [(), (0, 1), (1, 1), (1.5,), (True, 2)])
def test_invalid_scales_are_rejected(scales):
    with pytest.raises(TilingError, match="scales must be different positive integers"):
        multiscale(Ridge(), GridTiling(), scales)


def test_whole_axes_have_no_scales():
    with pytest.raises(TilingError, match="there are no other scales"):
        multiscale(Ridge(), GridTiling((None, 1), 0))


def test_a_coarse_term_is_the_same_model_of_the_coarse_field(rng):
    X = rng.normal(size=(40, 8, 12))
    coarse = X.reshape(40, 4, 2, 6, 2).mean(axis=(2, 4))
    y = (coarse * np.roll(coarse, 1, axis=1)).sum(axis=(1, 2))
    tile_model, tiling = TILE_MODELS["linear"], GridTiling(1, 1)
    several = EDNNRegressor(multiscale(tile_model, tiling, (2,))).fit(X, y)
    single = EDNNRegressor(clone(tile_model), tiling).fit(coarse, y)
    np.testing.assert_allclose(several.predict(X), single.predict(coarse), rtol=1e-10)
    np.testing.assert_allclose(
        several.predict_contributions(X)["scale_2"], single.predict_contributions(coarse),
        rtol=1e-9, atol=1e-12,
    )  # fmt: skip


# --- the laws of a sum over tiles ---------------------------------------------------------------


@pytest.mark.parametrize("tile_model", ["linear", "kernel", "tree"])
def test_doubling_doubles_and_shifts_by_the_coarsest_focus_change_nothing(tile_model):
    model = fitted(tile_model)
    X = make_field("float64", 3, (8, 16), 5)
    total = model.predict(list(X))
    for axis in (1, 2):
        doubled = model.predict(list(np.concatenate([X, X], axis=axis)))
        np.testing.assert_allclose(doubled, 2 * total, rtol=1e-12)
        shifted = model.predict(list(np.roll(X, max(SCALES), axis=axis)))
        np.testing.assert_allclose(shifted, total, rtol=1e-12)
    maps = model.predict_contributions(list(X))
    summed = sum(np.array([part.sum() for part in maps[name]]) for name in maps)
    np.testing.assert_allclose(summed, total, rtol=1e-11)


def test_the_public_check_of_extensivity_passes():
    X = make_field("float64", 30, (8, 8))
    y = np.tanh(X).sum(axis=(1, 2))
    model = EDNNRegressor(multiscale(TILE_MODELS["linear"], GridTiling(1, 1), (1, 2)))
    check_extensive_estimator(model, X, y, focus=2)


@pytest.mark.parametrize("n_channels", [None, 2])
def test_evaluations_agree(n_channels):
    model = fitted(n_channels=n_channels, scales=(1, 2))
    shape = (8, 12) if n_channels is None else (8, 12, n_channels)
    X = make_field("float64", 4, shape, 5)
    expected = model.predict(X)
    for evaluation in (Direct(max_tiles=7), Unique(), Direct(n_jobs=2, max_tiles=7)):
        model.evaluation_ = evaluation
        np.testing.assert_allclose(model.predict(X), expected, rtol=1e-12)
    da = pytest.importorskip("dask.array")
    lazy = model.predict(da.from_array(X, chunks=(2, 5, *shape[1:])[: X.ndim]))
    np.testing.assert_allclose(np.asarray(lazy), expected, rtol=1e-12)


def test_local_updates_equal_predictions(rng):
    model = fitted()
    field = make_field("float64", 1, (16, 16), 3)[0]
    local = LocalUpdates(model, field)
    for _ in range(10):
        site, value = rng.integers(16, size=(1, 2)), rng.normal(size=1)
        changed = field.copy()
        changed[tuple(site[0])] = value[0]
        change = local.propose(site, value)
        assert change == pytest.approx(
            model.predict([changed])[0] - model.predict([field])[0], abs=1e-9
        )
        local.accept()
        field = changed
    assert local.total == pytest.approx(model.predict([field])[0], rel=1e-11)


def test_gradients_equal_differences(rng):
    model = fitted()
    field = make_field("float64", 1, (8, 8), 3)
    direction, h = rng.normal(size=field.shape), 1e-5
    slope = model.predict(list(field + h * direction)) - model.predict(list(field - h * direction))
    gradient = model.predict_gradient(list(field))[0]
    assert (gradient * direction[0]).sum() == pytest.approx(slope[0] / (2 * h), rel=1e-6)


def test_gradients_can_be_learned(rng):
    X = rng.uniform(-1, 1, size=(6, 8, 8))
    y = (X**2).sum(axis=(1, 2))
    pairs = make_pipeline(PolynomialFeatures(2), Ridge(1e-6))
    model = EDNNRegressor(multiscale(pairs, GridTiling(1, 0), (1, 2)), random_state=0)
    model.fit(X, y, gradient=2 * X)
    np.testing.assert_allclose(model.predict_gradient(X), 2 * X, atol=1e-3)


def test_models_are_kept_in_files(tmp_path):
    model = fitted()
    X = make_field("float64", 2, (8, 8), 3)
    files.save(model, tmp_path / "model.ednn")
    again = files.load(tmp_path / "model.ednn")
    np.testing.assert_array_equal(again.predict(list(X)), model.predict(list(X)))


# --- networks -----------------------------------------------------------------------------------


def test_networks_see_averages_and_have_a_dense_form(tmp_path):
    torch = pytest.importorskip("torch")
    from sk_ednn.solvers import GradientSolver

    net = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3), torch.nn.SiLU(), torch.nn.Flatten(), torch.nn.Linear(4, 1)
    )
    tiling = GridTiling((1, 1), (1, 1))
    model = EDNNRegressor(
        multiscale(net, tiling, (1, 2)), solver=GradientSolver(max_epochs=2), random_state=0
    )
    X = make_field("float32", 12, (8, 8))
    model.fit(X, np.tanh(X).sum(axis=(1, 2)).astype(float))
    total = model.predict(X)
    np.testing.assert_allclose(model.predict(np.concatenate([X, X], axis=1)), 2 * total, rtol=1e-4)
    parts = model.predict_contributions(X)
    assert parts["scale_1"].shape == (12, 8, 8) and parts["scale_2"].shape == (12, 4, 4)
    summed = sum(part.sum(axis=(1, 2)) for part in parts.values())
    np.testing.assert_allclose(summed, total, rtol=1e-4)
    files.save(model, tmp_path / "model.ednn")
    np.testing.assert_allclose(files.load(tmp_path / "model.ednn").predict(X), total, rtol=1e-6)


def test_networks_need_the_number_of_axes_and_an_instance():
    torch = pytest.importorskip("torch")
    with pytest.raises(TileModelError, match="number of axes"):
        multiscale(torch.nn.Linear(9, 1), GridTiling(1, 1))
    with pytest.raises(TileModelError, match="instance of a torch module"):
        multiscale(torch.nn.Linear, GridTiling((1, 1), 1))
