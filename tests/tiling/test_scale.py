"""ChannelScaler: one scale per channel for all sites, and its inverse and gradients."""

import numpy as np
import pytest
from sklearn import config_context
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.exceptions import TileModelError
from sk_ednn.files import load, save
from sk_ednn.tiling import ChannelScaler

ROWS = np.random.default_rng(0).normal([5.0, -3.0], [2.0, 0.5], size=(40, 6, 2)).reshape(40, 12)


def test_each_channel_has_mean_0_and_std_1_over_all_sites():
    scaled = ChannelScaler(2).fit_transform(ROWS).reshape(40, 6, 2)
    np.testing.assert_allclose(scaled.mean(axis=(0, 1)), 0.0, atol=1e-12)
    np.testing.assert_allclose(scaled.std(axis=(0, 1)), 1.0)
    one = ChannelScaler().fit_transform(ROWS)
    np.testing.assert_allclose(one, (ROWS - ROWS.mean()) / ROWS.std())


def test_single_sites_equal_standard_scaler():
    np.testing.assert_allclose(
        ChannelScaler(12).fit_transform(ROWS), StandardScaler().fit_transform(ROWS)
    )


def test_inverse_transform_and_pull_as_adjoint_of_push():
    scaler = ChannelScaler(2).fit(ROWS)
    np.testing.assert_allclose(scaler.inverse_transform(scaler.transform(ROWS)), ROWS)
    tangent, gradient = np.random.default_rng(1).normal(size=(2, 40, 12))
    assert (scaler.push(ROWS, tangent) * gradient).sum() == pytest.approx(
        (tangent * scaler.pull(ROWS, gradient)).sum()
    )
    step = 1e-6
    change = (scaler.transform(ROWS + step * tangent) - scaler.transform(ROWS)) / step
    np.testing.assert_allclose(scaler.push(ROWS, tangent), change, atol=1e-6)


def test_partial_fit_equals_fit():
    whole, pieces = ChannelScaler(2).fit(ROWS), ChannelScaler(2)
    for part in np.array_split(ROWS, 5):
        pieces.partial_fit(part)
    np.testing.assert_allclose(pieces.transform(ROWS), whole.transform(ROWS))
    again = pieces.fit(ROWS[:10])  # and not on top of what was seen
    np.testing.assert_allclose(
        again.transform(ROWS), ChannelScaler(2).fit(ROWS[:10]).transform(ROWS)
    )


@pytest.mark.parametrize("value", [0, 4000, 65535])
def test_constant_channel_is_not_scaled(value):
    rows = np.full((10, 4), value, dtype=np.uint16)
    scaler = ChannelScaler().fit(rows)
    np.testing.assert_array_equal(scaler.transform(rows), 0.0)
    np.testing.assert_array_equal(scaler.transform(rows + np.uint16(0) * 1.0 + 2.0), 2.0)


def test_constant_site_is_not_amplified():
    rows = np.random.default_rng(0).normal(4000, 50, size=(30, 4))
    rows[:, 0] = 4000.0
    seen = ChannelScaler().fit(rows).transform(np.full((1, 4), 4050.0))
    assert np.all((seen > 0.8) & (seen < 1.6))


def test_equal_tiles_and_distances_stay_equal():
    """Distances between spins do not depend on the site at which they differ."""
    spins = np.random.default_rng(0).choice([-1, 1], size=(50, 9))
    scaled = ChannelScaler().fit(spins).transform(spins)
    flipped = spins[0] * np.where(np.eye(9), -1, 1)  # each differs at one place
    distances = np.abs(ChannelScaler().fit(spins).transform(flipped) - scaled[0]).sum(axis=1)
    assert len(np.unique(distances)) <= 2  # up and down may be rounded otherwise
    assert len(np.unique(scaled)) == 2


def test_incomplete_sites_are_rejected():
    with pytest.raises(
        TileModelError, match="features of a tile, 12, is not a multiple of n_channels=5"
    ):
        ChannelScaler(5).fit(ROWS)


def test_gradients_files_and_output_formats_of_pipelines(tmp_path):
    pytest.importorskip("skops")
    X = np.random.default_rng(0).normal([4000.0, 1.0], [50.0, 3.0], size=(30, 5, 5, 2))
    y = (X[..., 0] * X[..., 1]).sum(axis=(1, 2))
    tile_model = make_pipeline(ChannelScaler(2), PolynomialFeatures(2), Ridge(1e-9))
    model = EDNNRegressor(tile_model, GridTiling(1, 0, channel_axis=-1)).fit(X, y)
    np.testing.assert_allclose(model.predict(X), y, rtol=1e-6)
    np.testing.assert_allclose(model.predict_gradient(X[:2]), X[:2, ..., ::-1], rtol=1e-3)
    save(model, tmp_path / "scaled.ednn")
    np.testing.assert_array_equal(load(tmp_path / "scaled.ednn").predict(X), model.predict(X))
    with config_context(transform_output="pandas"):
        pytest.importorskip("pandas")
        ChannelScaler(2).fit_transform(ROWS)
