"""Filters of the whole field: exact, adjoint, extensive where they say so, refused where not."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures
from sklearn.tree import DecisionTreeRegressor

from sk_ednn import EDNNRegressor, GridTiling, files
from sk_ednn.encoders import ReciprocalContext
from sk_ednn.evaluation import LocalUpdates
from sk_ednn.exceptions import TileModelError, TilingError
from sk_ednn.solvers import BoostingSolver
from sk_ednn.testing import check_extensive_estimator

PAIRS = make_pipeline(PolynomialFeatures(2), Ridge(1e-6))
TILING = GridTiling(1, 0, channel_axis=-1)
BAND = (0.5, 2.0)


def along_by_matrix(field, power, spacing):
    """Filter a field with k^-p by a sum over all waves, one by one."""
    n, m = field.shape
    x, y = np.meshgrid(np.arange(n), np.arange(m), indexing="ij")
    out = np.zeros(field.shape)
    for a in range(n):
        for b in range(m):
            ka = 2 * np.pi * (a if a <= n // 2 else a - n) / (n * spacing[0])
            kb = 2 * np.pi * (b if b <= m // 2 else b - m) / (m * spacing[1])
            k = np.hypot(ka, kb)
            if k == 0:
                continue
            wave = np.exp(2j * np.pi * (a * x / n + b * y / m))
            out += (np.vdot(wave, field) / field.size * wave).real * k**-power
    return out


def charges(n=40, shape=(6, 8), seed=0):
    return np.random.default_rng(seed).normal(size=(n, *shape))


def test_filters_equal_sums_over_waves():
    X = charges(2, (5, 6))
    out = ReciprocalContext((2, 1.5), spacing=(0.3, 0.7)).fit_transform(X)
    np.testing.assert_array_equal(out[..., 0], X)
    for field, channels in zip(X, out, strict=True):
        for k, power in enumerate((2, 1.5)):
            np.testing.assert_allclose(
                channels[..., k + 1], along_by_matrix(field, power, (0.3, 0.7)), atol=1e-12
            )


def test_bands_partition_the_field_but_for_its_mean():
    X = charges(3)
    bands = ((0.0, 1.0), (1.0, 2.5), (2.5, np.inf))
    out = ReciprocalContext(bands).fit_transform(X)
    np.testing.assert_allclose(
        out[..., 1:].sum(axis=-1), X - X.mean(axis=(1, 2), keepdims=True), atol=1e-12
    )
    # Bands are orthogonal to each other.
    np.testing.assert_allclose((out[..., 1] * out[..., 2]).sum(axis=(1, 2)), 0.0, atol=1e-10)


@pytest.mark.parametrize("channel_axis", [0, -1])
def test_channels_are_filtered_one_by_one(channel_axis):
    X = charges(2, (4, 6, 3))
    given = np.moveaxis(X, -1, 1) if channel_axis == 0 else X
    out = ReciprocalContext((2, BAND), channel_axis=channel_axis).fit_transform(given)
    for c in range(3):
        alone = ReciprocalContext((2, BAND)).fit_transform(X[..., c])
        np.testing.assert_allclose(out[..., [c, 3 + c, 6 + c]], alone, atol=1e-14)


@pytest.mark.parametrize("spacing", [1.0, 0.3])
@pytest.mark.parametrize("filters", [(2,), (BAND, 1), ((0, np.pi / 2 / 0.3),)])
def test_repeated_fields_have_repeated_channels(filters, spacing):
    X = charges(2, (8, 4))
    encoder = ReciprocalContext(filters, spacing=spacing).fit(X)
    for repeats in ((1, 2, 1), (1, 1, 3)):
        np.testing.assert_allclose(
            encoder.transform(np.tile(X, repeats)),
            np.tile(encoder.transform(X), (*repeats, 1)),
            atol=1e-12,
        )


@pytest.mark.parametrize("tile_model", [PAIRS, DecisionTreeRegressor(max_depth=3)])
def test_totals_are_extensive_for_any_tile_model(tile_model):
    X = charges()
    y = np.tanh(X).sum(axis=(1, 2)) + np.abs(X).sum(axis=(1, 2))
    solver = BoostingSolver(n_stages=3) if tile_model is not PAIRS else None
    regressor = EDNNRegressor(clone(tile_model), TILING, solver=solver, random_state=0)
    model = make_pipeline(ReciprocalContext((BAND, 2)), regressor).fit(X, y)
    total = model.predict(X[:5])
    for axis in (1, 2):
        np.testing.assert_allclose(
            model.predict(np.concatenate([X[:5]] * 2, axis=axis)), 2 * total, rtol=1e-9
        )
        np.testing.assert_allclose(model.predict(np.roll(X[:5], 3, axis)), total, rtol=1e-9)


def test_the_public_check_passes_and_fails_by_name():
    X = charges()
    y = (X**2).sum(axis=(1, 2))
    model = make_pipeline(ReciprocalContext((2,)), EDNNRegressor(PAIRS, TILING))
    check_extensive_estimator(model, X, y, focus=1)
    model.set_params(reciprocalcontext__extensive=False)
    with pytest.raises(TilingError, match="Set extensive=True"):
        check_extensive_estimator(model, X, y, focus=1)


def test_powers_of_whole_fields_are_those_of_their_waves():
    X = charges(3)
    out = ReciprocalContext((BAND,), extensive=False).fit_transform(X)[..., 1]
    waves = np.abs(np.fft.fft2(X)) ** 2
    along = [2 * np.pi * np.fft.fftfreq(n) for n in X.shape[1:]]
    k = np.hypot(along[0][:, None], along[1])
    expected = (waves * ((k > BAND[0]) & (k <= BAND[1]))).sum(axis=(1, 2))
    np.testing.assert_allclose(out, np.broadcast_to(expected[:, None, None], X.shape), rtol=1e-10)


@pytest.mark.parametrize("extensive", [True, False])
def test_pull_equals_differences(extensive, rng):
    X = charges(2)
    encoder = ReciprocalContext((1, BAND), spacing=0.5, extensive=extensive).fit(X)
    gradient = rng.normal(size=encoder.transform(X).shape)
    direction, h = rng.normal(size=X.shape), 1e-6
    change = (encoder.transform(X + h * direction) - encoder.transform(X - h * direction)) / (2 * h)
    for one, (pulled, moved, given) in enumerate(
        zip(encoder.pull(X, gradient), change, gradient, strict=True)
    ):
        expected = (moved * given).sum()
        assert (pulled * direction[one]).sum() == pytest.approx(expected, rel=1e-7)


def test_lists_lazy_fields_and_files(tmp_path):
    X = charges()
    y = (X**2).sum(axis=(1, 2))
    model = make_pipeline(ReciprocalContext((2, BAND)), EDNNRegressor(PAIRS, TILING)).fit(X, y)
    expected = model.predict(X)
    ragged = [X[0], X[1, :4], X[2, :, :2]]
    alone = [model.predict(field[None])[0] for field in ragged]
    np.testing.assert_allclose(model.predict(ragged), alone, rtol=1e-12)
    files.save(model, tmp_path / "model.ednn")
    np.testing.assert_array_equal(files.load(tmp_path / "model.ednn").predict(X), expected)
    da = pytest.importorskip("dask.array")
    lazy = model.predict(da.from_array(X, chunks=(7, 3, 4)))
    np.testing.assert_allclose(np.asarray(lazy), expected, rtol=1e-10)


def test_float32_stays_and_integers_become_float64():
    X = charges(2)
    encoder = ReciprocalContext().fit(X)
    assert encoder.transform(X.astype(np.float32)).dtype == np.float32
    assert encoder.transform(np.ones((1, 4, 4), dtype=np.int8)).dtype == np.float64


def test_local_updates_are_refused():
    X = charges()
    model = make_pipeline(ReciprocalContext(), EDNNRegressor(PAIRS, TILING))
    model.fit(X, X.sum(axis=(1, 2)))
    message = "or a Pipeline of OneHotFields or AngleFields and one; got Pipeline"
    with pytest.raises(TileModelError, match=message):
        LocalUpdates(model, X[0])


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"filters": ()}, "at least one"),
        ({"filters": (-1,)}, "a number p >= 0"),
        ({"filters": ((2.0, 1.0),)}, "low < high"),
        ({"filters": ("coulomb",)}, "a number p >= 0"),
        ({"spacing": 0}, "spacing must be a positive number"),
        ({"spacing": (1.0,)}, "one for each of 2 axes"),
        ({"extensive": "no"}, "True or False"),
    ],
)
def test_invalid_parameters_are_named(params, message):
    with pytest.raises(ValueError, match=message):
        ReciprocalContext(**params).fit(charges(2))
