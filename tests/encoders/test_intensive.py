"""Averages of a field as channels: exactly extensive, and what no window contains."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures

from sk_ednn import EDNNRegressor, GridTiling, files
from sk_ednn.encoders import IntensiveContext
from sk_ednn.exceptions import TilingError

PAIRS = make_pipeline(PolynomialFeatures(2), Ridge(1e-4))


def pictures(n=60, shape=(6, 4), n_channels=None, seed=0):
    """Return fields of various mean brightness."""
    rng = np.random.default_rng(seed)
    channels = () if n_channels is None else (n_channels,)
    return rng.normal(size=(n, *shape, *channels)) + rng.normal(
        size=(n, *[1] * len(shape), *channels)
    )


@pytest.mark.parametrize("dtype", ["f2", "f4", "u1", "i2"])
def test_averages_of_narrow_types_neither_overflow_nor_wrap_around(dtype):
    X = np.random.default_rng(0).integers(0, 255, (3, 30, 20)).astype(dtype)
    X = X if dtype == "u1" else X * np.array(7, dtype)
    out = IntensiveContext(("mean", "square")).fit_transform(X)
    exact = IntensiveContext(("mean", "square")).fit_transform(X.astype(float))
    assert out.dtype == ("f4" if dtype in ("f2", "f4") else "f8")
    np.testing.assert_allclose(out, exact, rtol=1e-6)


@pytest.mark.parametrize("channel_axis", [None, 0, -1])
@pytest.mark.parametrize("statistics", [("mean",), ("mean", "square"), ("square",)])
def test_channels_are_averages(statistics, channel_axis):
    X = pictures(3, n_channels=None if channel_axis is None else 2)
    given = X if channel_axis is None else np.moveaxis(X, -1, 1 + channel_axis % 3)
    last = X[..., None] if channel_axis is None else X
    out = IntensiveContext(statistics, channel_axis=channel_axis).fit_transform(given)
    expected = [last]
    for name in statistics:
        average = (last if name == "mean" else last**2).mean(axis=(1, 2), keepdims=True)
        expected.append(np.broadcast_to(average, last.shape))
    np.testing.assert_allclose(out, np.concatenate(expected, axis=-1), rtol=1e-13)


@pytest.mark.parametrize("tile_model", [PAIRS, KernelRidge(kernel="rbf", gamma=0.1, alpha=1e-3)])
@pytest.mark.parametrize(
    "tiling", [GridTiling(1, 1, channel_axis=-1), GridTiling((2, 1), 0, channel_axis=-1)]
)
def test_totals_are_extensive_and_depend_on_the_whole(tile_model, tiling):
    X = pictures()
    y = np.abs(X - X.mean(axis=(1, 2), keepdims=True)).sum(axis=(1, 2))
    model = make_pipeline(
        IntensiveContext(("mean", "square")), EDNNRegressor(clone(tile_model), tiling)
    )
    model.fit(X, y)
    single = model.predict(X[:9])
    for axis in (1, 2):
        doubled = model.predict(np.concatenate([X[:9]] * 2, axis=axis))
        np.testing.assert_allclose(doubled, 2 * single, rtol=1e-11)
        np.testing.assert_allclose(model.predict(np.roll(X[:9], 2, axis=axis)), single, rtol=1e-9)
    contributions = model[1].predict_contributions(model[0].transform(X[:9]))
    np.testing.assert_allclose(contributions.sum(axis=(1, 2)), single, rtol=1e-10)
    # One far site changes what every tile sees.
    changed = X[:1].copy()
    changed[0, 5, 3] += 3.0
    moved = model[1].predict_contributions(model[0].transform(changed))[0]
    assert np.abs(moved[0, 0] - contributions[0][0, 0]) > 1e-6


def test_lists_lazy_fields_and_files(tmp_path):
    X = pictures()
    y = X.sum(axis=(1, 2)) ** 2 / X[0].size
    model = make_pipeline(
        IntensiveContext(), EDNNRegressor(PAIRS, GridTiling(1, 0, channel_axis=-1))
    )
    model.fit(X, y)
    expected = model.predict(X)
    ragged = [X[0], X[1, :4], X[2, :, :2]]
    np.testing.assert_allclose(
        model.predict(ragged), [model.predict(field[None])[0] for field in ragged], rtol=1e-12
    )
    da = pytest.importorskip("dask.array")
    lazy = model.predict(da.from_array(X, chunks=(7, 3, 4)))
    np.testing.assert_allclose(np.asarray(lazy), expected, rtol=1e-10)
    files.save(model, tmp_path / "context.ednn")
    np.testing.assert_array_equal(files.load(tmp_path / "context.ednn").predict(X), expected)


@pytest.mark.parametrize("channel_axis", [None, -1])
def test_gradients_reach_through_the_averages(channel_axis):
    X = pictures(40, n_channels=None if channel_axis is None else 2)
    y = (X**2).reshape(len(X), -1).sum(axis=1) + X.reshape(len(X), -1).sum(axis=1)
    context = IntensiveContext(("mean", "square"), channel_axis=channel_axis)
    model = make_pipeline(context, EDNNRegressor(PAIRS, GridTiling(1, 1, channel_axis=-1)))
    model.fit(X, y)
    field = X[:1]
    channels = model[0].transform(field)
    gradient = model[0].pull(field, model[1].predict_gradient(channels))[0]
    assert gradient.shape == field.shape[1:]
    rng = np.random.default_rng(0)
    along = rng.normal(size=gradient.shape)
    ends = [model.predict(field + h * along)[0] for h in (1e-5, -1e-5)]
    np.testing.assert_allclose(np.vdot(gradient, along), (ends[0] - ends[1]) / 2e-5, rtol=1e-5)


def test_bad_input_is_named():
    X = pictures(4)
    for statistics in ((), "mean", ("mean", "mean"), ("median",)):
        with pytest.raises(ValueError, match="statistics must be a tuple"):
            IntensiveContext(statistics).fit(X)
    with pytest.raises(TilingError, match="is not an axis of fields of 2"):
        IntensiveContext(channel_axis=5).fit(X)
    context = IntensiveContext(channel_axis=-1).fit(X)
    with pytest.raises(TilingError, match=r"3 channel\(s\), those of the fit had 4"):
        context.transform(X[:, :, :3])
