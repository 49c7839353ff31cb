"""Tile models: shapes, scale and baseline, and checks of outputs."""

import pickle

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, PolynomialFeatures

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.exceptions import TileModelError
from sk_ednn.tile_models._base import checked_outputs, flat, is_torch, module_input
from sk_ednn.tile_models._baseline import Baseline
from sk_ednn.tile_models._tile_model import TileModel
from tests._cases import Returns

TILES = np.random.default_rng(0).normal(size=(10, 3, 2))


def tile_model(n_outputs=1, estimator=None, **params):
    estimator = LinearRegression() if estimator is None else estimator
    rows = TILES.reshape(10, -1)
    y = np.stack([rows.sum(axis=1) * (k + 1) for k in range(n_outputs)], axis=1)
    estimator.fit(rows, y[:, 0] if n_outputs == 1 else y)
    return TileModel(estimator, (3, 2), n_outputs, **params)


@pytest.mark.parametrize("n_outputs", [1, 2])
def test_predict_returns_one_row_of_outputs_per_tile(n_outputs):
    contributions = tile_model(n_outputs).predict(TILES)
    assert contributions.shape == (10, n_outputs)
    assert contributions.dtype == np.float64
    expected = np.outer(TILES.sum(axis=(1, 2)), np.arange(1, 1 + n_outputs))
    np.testing.assert_allclose(contributions, expected, atol=1e-12)
    assert tile_model(n_outputs).predict(TILES[:0]).shape == (0, n_outputs)


def test_predict_applies_scale_and_baseline():
    focus = (slice(1, 2), slice(0, 2))
    baseline = Baseline(np.array([[0.5], [2.0]]), focus, "content", 2)
    model = tile_model(scale=3.0).with_baseline(baseline)
    content = TILES[:, 1].sum(axis=1)
    expected = 3 * TILES.sum(axis=(1, 2)) + 0.5 * 2 + 2.0 * content
    np.testing.assert_allclose(model.predict(TILES)[:, 0], expected, atol=1e-12)


def test_predict_applies_a_scale_per_output():
    model = tile_model(2, scale=np.array([1.0, -2.0]))
    np.testing.assert_allclose(
        model.predict(TILES), np.outer(TILES.sum(axis=(1, 2)), [1, -4]), atol=1e-12
    )


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [np.float32, np.int8, bool])
def test_estimators_get_contiguous_rows_of_any_dtype(order, dtype):
    tiles = np.asarray(TILES * 3, dtype=dtype, order=order)
    rows = flat(tiles)
    assert rows.flags.c_contiguous
    assert rows.dtype == dtype
    np.testing.assert_array_equal(rows[4].reshape(3, 2), tiles[4])
    tile_model().predict(tiles)


@pytest.mark.parametrize(
    ("shape", "has_channels", "words"),
    [
        ((3, 3), False, r"fitted to tiles of shape \(3, 2\), but these fields have .* \(3, 3\)"),
        ((6,), False, r"fitted to tiles of shape \(3, 2\), but these fields have .* \(6,\)"),
        ((3, 5), True, r"fitted to fields with 2 channel\(s\), but these have 5"),
        ((4, 2), True, "With focus=None the model applies to one size of fields"),
    ],
)
def test_predict_rejects_tiles_of_another_shape(shape, has_channels, words):
    with pytest.raises(TileModelError, match=words):
        tile_model(has_channels=has_channels).predict(np.zeros((1, *shape)))


@pytest.mark.parametrize(
    ("tamper", "n_outputs", "words"),
    [
        (lambda y: y[:-1], 1, r"shape \(10,\) or \(10, 1\); it returned shape \(9,\)"),
        (lambda y: np.stack([y, y], axis=1), 1, r"it returned shape \(10, 2\)"),
        (lambda y: y.sum(), 1, r"it returned shape \(\)"),
        (lambda y: y[:, 0], 2, r"shape \(10, 2\); it returned shape \(10,\)"),
        (lambda y: y.T, 2, r"shape \(10, 2\); it returned shape \(2, 10\)"),
        (
            lambda y: np.where(np.arange(10) == 4, np.nan, y),
            1,
            r"NaN or .* 1 contribution.* tile 4",
        ),
        (lambda y: y / 0, 1, "NaN or infinity for 10 contribution"),
    ],
)
def test_errors_name_invalid_outputs(tamper, n_outputs, words):
    model = tile_model(n_outputs, Returns(tamper))
    with np.errstate(divide="ignore"), pytest.raises(TileModelError, match="Returns .*" + words):
        model.predict(TILES)


@pytest.mark.parametrize("outputs", [np.arange(3), np.arange(3.0)[:, None], [0, 1, 2]])
def test_checked_outputs_are_columns_of_float64(outputs):
    checked = checked_outputs(outputs, 3, 1, None)
    assert checked.dtype == np.float64
    np.testing.assert_array_equal(checked, [[0.0], [1.0], [2.0]])


def test_module_input_has_channels_first():
    with_channels = module_input(TILES, True)
    assert with_channels.dtype == np.float32
    assert with_channels.flags.c_contiguous
    np.testing.assert_array_equal(with_channels, np.moveaxis(TILES, -1, 1).astype(np.float32))
    np.testing.assert_array_equal(module_input(TILES, False)[:, 0], TILES.astype(np.float32))


def test_bytes_per_tile_includes_intermediate_results():
    plain = tile_model().bytes_per_tile
    wide = tile_model(estimator=make_pipeline(PolynomialFeatures(3), LinearRegression()))
    assert wide.bytes_per_tile > plain
    assert tile_model(estimator=KNeighborsRegressor(2)).bytes_per_tile > plain


def test_pickled_tile_models_predict_the_same():
    model = tile_model(2, scale=2.0)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(TILES), model.predict(TILES))


def test_is_torch_rejects_scikit_learn_models():
    assert not is_torch(LinearRegression())
    assert not is_torch(LinearRegression)


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "u8", "f2", bool])
@pytest.mark.parametrize("context", [0, 1])
def test_steps_that_compute_in_the_type_of_their_input_do_not_wrap_around(dtype, context):
    """The square of 16 in 8 bits is 0, and of 300 in half precision infinite."""
    largest = {"u1": 255, "i1": 127, "u2": 65535, "u8": 2**33, "f2": 2000, bool: 1}[dtype]
    X = np.random.default_rng(0).integers(0, largest, (40, 6, 6), endpoint=True).astype(dtype)
    X64 = X.astype(np.float64)
    y = (X64**2).sum(axis=(1, 2)) - X64.sum(axis=(1, 2))
    steps = FunctionTransformer(lambda tiles: np.hstack([np.square(tiles), -tiles, tiles + tiles]))
    model = EDNNRegressor(make_pipeline(steps, Ridge()), GridTiling(1, context))
    np.testing.assert_array_equal(model.fit(X, y).predict(X), model.fit(X64, y).predict(X64))
    np.testing.assert_array_equal(*map(model.predict_contributions, (X, X64)))
