"""Labels and angles as channels: site by site, wherever the fields are."""

import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures

from sk_ednn import EDNNRegressor, GridTiling, ShiftAveraged, files
from sk_ednn.datasets import make_potts
from sk_ednn.encoders import AngleFields, OneHotFields
from sk_ednn.exceptions import NoveltyWarning, TilingError
from sk_ednn.fields import ArraySource
from sk_ednn.solvers import LinearSolver
from sk_ednn.uncertainty import novelty

PAIRS = make_pipeline(PolynomialFeatures(2), Ridge(1e-3))
CHANNELS = GridTiling(1, 1, channel_axis=-1)


def xy(n, shape, seed=0, period=2 * np.pi, multiples=(1,)):
    angles = np.random.default_rng(seed).uniform(0, period, size=(n, *shape))
    return angles, sum(xy_energy(k * angles, period) for k in multiples)


def xy_energy(angles, period=2 * np.pi):
    turns, axes = 2 * np.pi / period * angles, range(1, angles.ndim)
    bonds = sum(np.cos(turns - np.roll(turns, 1, axis)) for axis in axes)
    return -bonds.sum(axis=tuple(axes))


def labels(shape=(4, 5, 6), n_labels=3, seed=0):
    return np.random.default_rng(seed).integers(n_labels, size=shape).astype(np.uint8)


ENCODERS = {
    "labels": (OneHotFields(), labels()),
    "named labels": (OneHotFields(categories=[2, 0, 1]), labels()),
    "labels that are floats": (OneHotFields([0.0, 0.5, 1.0]), labels() / 2),
    "boolean labels": (OneHotFields([False, True]), labels() > 0),
    "angles": (AngleFields(), xy(4, (5, 6))[0]),
    "angles in float32": (AngleFields(), xy(4, (5, 6))[0].astype(np.float32)),
    "degrees": (AngleFields(360), labels() * 100),
    "axes": (AngleFields(period=180), xy(4, (5, 6), period=180)[0]),
    "three harmonics": (AngleFields(harmonics=3), xy(4, (5, 6))[0]),
}


# --- what they say ----------------------------------------------------------------------------


def test_each_label_is_a_channel():
    X = np.array([[[7, 3], [-1, 7]]])
    encoder = OneHotFields().fit(X)
    np.testing.assert_array_equal(encoder.categories_, [-1, 3, 7])
    expected = np.array([[[[0, 0, 1], [0, 1, 0]], [[1, 0, 0], [0, 0, 1]]]])
    np.testing.assert_array_equal(encoder.transform(X), expected)
    ordered = OneHotFields([7, -1, 3]).fit(X)
    np.testing.assert_array_equal(ordered.transform(X), expected[..., [2, 0, 1]])


@pytest.mark.parametrize("period", [2 * np.pi, 360, np.pi, 1.0])
def test_angles_are_equal_up_to_their_period(period):
    X = np.random.default_rng(0).uniform(-3, 3, size=(2, 4)) * period
    encoder = AngleFields(period).fit(X)
    result = encoder.transform(X)
    np.testing.assert_allclose(result[..., 0], np.cos(2 * np.pi * X / period), atol=1e-14)
    np.testing.assert_allclose(result[..., 1], np.sin(2 * np.pi * X / period), atol=1e-14)
    np.testing.assert_allclose(encoder.transform(X + 1000 * period), result, atol=1e-11)


@pytest.mark.parametrize("period", [2 * np.pi, 360])
@pytest.mark.parametrize("harmonics", [1, 2, 5])
def test_harmonics_are_encodings_of_multiples(period, harmonics):
    X = np.random.default_rng(0).uniform(0, period, size=(2, 4))
    result = AngleFields(period, harmonics).fit(X).transform(X)
    parts = [AngleFields(period).fit(X).transform(k * X) for k in range(1, harmonics + 1)]
    np.testing.assert_allclose(result, np.concatenate(parts, axis=-1), atol=1e-13)


@pytest.mark.parametrize("name", ENCODERS)
def test_fields_are_encoded_wherever_they_are(name):
    encoder, X = ENCODERS[name]
    encoder = clone(encoder).fit(X)
    expected = encoder.transform(X)
    assert expected.shape[:-1] == X.shape and expected.flags.c_contiguous
    assert expected.dtype == encoder._dtype_of(X.dtype)
    for listed, want in ((list(X), expected), ([X[0, :3], X[1]], [expected[0, :3], expected[1]])):
        result = encoder.transform(listed)
        assert isinstance(result, list)
        for one, other in zip(result, want, strict=True):
            np.testing.assert_array_equal(one, other)
    source = encoder.transform(ArraySource(X))
    assert source.shape == expected.shape and source.dtype == expected.dtype
    box = (slice(1, 3), slice(0, 4), slice(2, 6), slice(0, expected.shape[-1]))
    np.testing.assert_array_equal(source.read(box), expected[box])
    np.testing.assert_array_equal(source.read((*box[:-1], slice(1, 2))), expected[box][..., 1:2])
    other = clone(encoder).fit(X).transform(ArraySource(X + X.dtype.type(1) if X.dtype != bool
                                                        else ~X))  # fmt: skip
    assert source.identity() != other.identity()
    da = pytest.importorskip("dask.array")
    lazy = encoder.transform(da.from_array(X, chunks=(2, 3, 6)))
    assert lazy.shape == expected.shape and lazy.dtype == expected.dtype
    np.testing.assert_array_equal(lazy.compute(scheduler="synchronous"), expected)


def test_zarr_is_encoded_piece_by_piece(tmp_path):
    zarr = pytest.importorskip("zarr")
    X = labels((2, 8, 8)) + 1  # zarr leaves out chunks of zeros
    stored = zarr.create_array(tmp_path / "X.zarr", shape=X.shape, chunks=(1, 4, 4), dtype="u1")
    stored[:] = X
    source = OneHotFields([1, 2, 3]).fit(X).transform(stored)
    assert source.chunks == (1, 4, 4, 3)
    whole = tuple(slice(0, n) for n in source.shape)
    np.testing.assert_array_equal(source.read(whole), OneHotFields().fit(X).transform(X))


# --- what is wrong ----------------------------------------------------------------------------


def test_unknown_labels_are_named():
    encoder = OneHotFields().fit(labels())
    strange = labels()
    strange[2, 3, 4], strange[3, 0, 0] = 9, 17
    words = r"contain 9, 17, not among the categories 0, 1, 2, at 2 site.*\[2, 3, 4\]"
    with pytest.raises(ValueError, match=words):
        encoder.transform(strange)
    with pytest.raises(ValueError, match=words):
        encoder.transform(list(strange))
    box = tuple(slice(n // 2, n) for n in strange.shape)
    with pytest.raises(ValueError, match=r"contain 9, not among.*, at 1 site.*\[2, 3, 4\]"):
        encoder.transform(ArraySource(strange)).read((*box, slice(0, 3)))
    da = pytest.importorskip("dask.array")
    with pytest.raises(ValueError, match="contain 9, 17, not among"):
        encoder.transform(da.from_array(strange)).compute(scheduler="synchronous")
    with pytest.raises(ValueError, match="contain 2, not among"):
        OneHotFields([0, 1]).fit(labels())
    with pytest.raises(ValueError, match=r"contain 0\.5, 1\.5, not among"):
        encoder.transform(labels() / 2 + 0.5 * (labels() % 2 == 0))


@pytest.mark.parametrize(
    "encoder, X, words",
    [
        (OneHotFields(), np.random.default_rng(0).normal(size=(4, 9, 9)), "324 different values"),
        (OneHotFields([0, 0, 1]), labels(), "must differ"),
        (OneHotFields([]), labels(), "from 1 to 256 numbers"),
        (OneHotFields([[0, 1, 2]]), labels(), "from 1 to 256 numbers"),
        (OneHotFields(["up", "down"]), labels(), "real numbers"),
        (OneHotFields([0, np.nan]), labels(), "NaN"),
        (OneHotFields("all"), labels(), "'categories' parameter"),
        (OneHotFields(), ArraySource(labels()), r"set the labels.*\[0, 1, 2\]"),
        (AngleFields(0), labels(), "'period' parameter"),
        (AngleFields("degrees"), labels(), "'period' parameter"),
        (AngleFields(harmonics=0), labels(), "'harmonics' parameter"),
        (AngleFields(harmonics=1.5), labels(), "'harmonics' parameter"),
        (AngleFields(harmonics=10**9), labels(), "'harmonics' parameter"),
        (AngleFields(), np.full((2, 4), np.nan), "NaN"),
    ],
)
def test_what_cannot_be_encoded(encoder, X, words):
    with pytest.raises(ValueError, match=words):
        encoder.fit(X)


@pytest.mark.parametrize("encoder", [OneHotFields(), AngleFields()])
def test_other_dimensions_are_refused(encoder):
    encoder.fit(labels())
    with pytest.raises(TilingError, match="2 dimension"):
        encoder.transform(labels((4, 5)))


# --- what models make of them -----------------------------------------------------------------


@pytest.mark.parametrize("n_states", [3, 4, 5])
def test_one_hot_beats_labels_on_potts_energies(n_states):
    X, y = make_potts(n_states, 300, (6, 6), random_state=n_states, return_X_y=True)
    raw = EDNNRegressor(PAIRS, GridTiling(1, 1)).fit(X[:200], y[:200])
    model = make_pipeline(OneHotFields(range(n_states)), EDNNRegressor(PAIRS, CHANNELS))
    model.fit(X[:200], y[:200])
    errors = [np.abs(each.predict(X[200:]) - y[200:]).mean() for each in (raw, model)]
    assert errors[1] < 0.05 * errors[0]


@pytest.mark.parametrize("period", [2 * np.pi, 360])
def test_cosines_beat_angles_on_xy_energies(period):
    X, y = xy(300, (6, 6), period=period)
    raw = EDNNRegressor(PAIRS, GridTiling(1, 1)).fit(X[:200], y[:200])
    model = make_pipeline(AngleFields(period), EDNNRegressor(PAIRS, CHANNELS)).fit(X[:200], y[:200])
    errors = [np.abs(each.predict(X[200:]) - y[200:]).mean() for each in (raw, model)]
    assert errors[1] < 0.05 * errors[0]


@pytest.mark.parametrize(
    ("period", "multiples", "needed"), [(2 * np.pi, (1, 2), 2), (360, (1, 2), 2), (360, (1, 3), 3)]
)
def test_terms_with_multiples_of_angles_need_their_harmonics(period, multiples, needed):
    X, y = xy(400, (20,), period=period, multiples=multiples)  # rings
    errors = []
    for harmonics in (needed - 1, needed):
        model = make_pipeline(AngleFields(period, harmonics), EDNNRegressor(PAIRS, CHANNELS))
        model.fit(X[:300], y[:300])
        errors.append(np.abs(model.predict(X[300:]) - y[300:]).mean())
    assert errors[1] < 0.1 * errors[0]


PIPELINES = {
    "labels": (OneHotFields([0, 1, 2]), labels((20, 4, 6))),
    "angles": (AngleFields(), xy(20, (4, 6))[0]),
    "harmonics": (AngleFields(harmonics=2), xy(20, (4, 6))[0]),
}


@pytest.mark.parametrize("boundary", ["periodic", "zero"])
@pytest.mark.parametrize("name", PIPELINES)
def test_pipelines_predict_all_that_regressors_do(name, boundary, tmp_path):
    encoder, X = PIPELINES[name]
    y = np.cos(X).sum(axis=(1, 2))
    tiling = GridTiling(1, 1, channel_axis=-1, boundary=boundary)
    model = make_pipeline(encoder, EDNNRegressor(KernelRidge(kernel="rbf"), tiling)).fit(X, y)
    expected = model.predict(X)
    np.testing.assert_array_equal(model.predict(list(X)), expected)
    np.testing.assert_allclose(model.predict(ArraySource(X)).compute(scheduler="synchronous"),
                               expected, rtol=1e-12)  # fmt: skip
    da = pytest.importorskip("dask.array")
    lazy = model.predict(da.from_array(X, chunks=(20, 2, 6)))
    np.testing.assert_allclose(lazy.compute(scheduler="threads"), expected, rtol=1e-12)
    pytest.importorskip("skops")
    files.save(model, tmp_path / "model.ednn")
    loaded = files.load(tmp_path / "model.ednn")
    np.testing.assert_array_equal(loaded.predict(X), expected)
    assert novelty(model, X, X[:3]).share.max() == 0
    if boundary == "periodic":
        twice = np.concatenate([X, X], axis=1)
        np.testing.assert_allclose(model.predict(twice), 2 * expected, rtol=1e-12)
        averaged = ShiftAveraged.of(model, 1)
        np.testing.assert_allclose(averaged.predict(X), expected, rtol=1e-12)


def test_nothing_beyond_a_boundary_is_no_label():
    """A zero beyond the boundary is not label 0: all channels are 0 there."""
    X = np.zeros((1, 3), dtype=int)
    channels = OneHotFields([0, 1]).fit(X).transform(X)
    tiling = GridTiling(1, 1, channel_axis=-1, boundary="zero")
    tiles = tiling.tiles(channels).array()
    np.testing.assert_array_equal(tiles[0], [[0, 0], [1, 0], [1, 0]])


# --- derivatives ------------------------------------------------------------------------------


@pytest.mark.parametrize("period", [2 * np.pi, 360])
@pytest.mark.parametrize("harmonics", [1, 3])
@pytest.mark.parametrize("ragged", [False, True])
def test_slopes_with_respect_to_angles_are_those_of_differences(period, harmonics, ragged):
    X, y = xy(30, (4, 5), period=period)
    encoder = AngleFields(period, harmonics)
    model = make_pipeline(encoder, EDNNRegressor(PAIRS, CHANNELS)).fit(X, y)
    some = [X[0], X[1, :3]] if ragged else X[:2]
    encoder, regressor = model[0], model[1]
    slopes = encoder.pull(some, regressor.predict_gradient(encoder.transform(some)))
    assert isinstance(slopes, list) == ragged
    step = 1e-6 * period
    for place in ((0, 0), (2, 3)):
        moved = [[field.copy() for field in some] for _ in range(2)]
        for sign, fields in zip((1, -1), moved, strict=True):
            for field in fields:
                field[place] += sign * step
        difference = (model.predict(moved[0]) - model.predict(moved[1])) / (2 * step)
        result = [slope[place] for slope in slopes]
        np.testing.assert_allclose(result, difference, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("harmonics", [1, 2])
def test_pull_and_push_are_adjoint(harmonics, rng):
    X = xy(2, (4, 5))[0]
    for adjoint in AngleFields(harmonics=harmonics).fit(X).angle_gradients(X, X):
        slope, direction = rng.normal(size=(2 * harmonics, 4, 5)), rng.normal(size=(4, 5))
        left, right = (
            (adjoint.pull(slope) * direction).sum(),
            (slope * adjoint.push(direction)).sum(),
        )
        np.testing.assert_allclose(left, right, rtol=1e-12)


def torques(X):
    turned = sum(np.sin(X - np.roll(X, s, a)) for s in (1, -1) for a in (1, 2))
    return turned


def test_derivatives_with_respect_to_angles_are_learned():
    X, y = xy(12, (4, 4))
    test, expected = xy(20, (4, 4), seed=1)
    encoder = AngleFields().fit(X)
    errors = []
    for gradient in (None, encoder.angle_gradients(X, torques(X))):
        model = EDNNRegressor(PAIRS, CHANNELS, solver=LinearSolver(16), random_state=0)
        model.fit(encoder.transform(X), y, gradient=gradient)
        errors.append(np.abs(model.predict(encoder.transform(test)) - expected).mean())
    assert errors[1] < 0.5 * errors[0]


def test_networks_learn_derivatives_with_respect_to_angles():
    torch = pytest.importorskip("torch")
    from sk_ednn.solvers import GradientSolver

    X, y = xy(4, (4, 4))
    encoder = AngleFields().fit(X)
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(18, 4), torch.nn.Tanh(),
                              torch.nn.Linear(4, 1))  # fmt: skip
    model = EDNNRegressor(net, CHANNELS, solver=GradientSolver(max_epochs=2), random_state=0)
    model.fit(encoder.transform(X), y, gradient=encoder.angle_gradients(X, torques(X)))
    assert np.isfinite(model.predict(encoder.transform(X))).all()


def test_derivatives_that_do_not_fit_are_refused():
    X = xy(2, (4, 5))[0]
    encoder = AngleFields().fit(X)
    with pytest.raises(ValueError, match="each of 2 fields, got 1"):
        encoder.angle_gradients(X, X[:1])
    with pytest.raises(ValueError, match=r"field 0 must have their shape, \(4, 5\)"):
        encoder.angle_gradients(X, X[:, :2])
    with pytest.raises(ValueError, match="Expected 2 gradients"):
        encoder.pull(X, np.zeros((1, 4, 5, 2)))
    with pytest.raises(TypeError, match="is lazy"):
        encoder.angle_gradients([ArraySource(X[0]), X[1]], X)


@pytest.mark.parametrize(
    ("period", "factor", "warned"),
    [
        (2 * np.pi, 180 / np.pi, True),
        (np.pi, 180 / np.pi, True),
        (360, 1.0, True),
        (180, 1.0, True),
        (2 * np.pi, 1.0, False),
        (360, 180 / np.pi, False),
        (2 * np.pi, 3.0, False),
        (360, 0.0, False),
    ],
)
@pytest.mark.parametrize("ragged", [False, True])
def test_angles_in_another_unit_than_the_period_are_warned_of(period, factor, warned, ragged):
    turn = 2 * np.pi if period in (2 * np.pi, 360) else np.pi
    right = np.random.default_rng(0).uniform(0, turn, (4, 6, 6))
    unit = period / turn
    encoder = AngleFields(period).fit(right * unit)
    fields = right * factor
    given = [fields[0], fields[1][:3]] if ragged else fields
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        encoder.transform(given)
        encoder.transform(right * unit)
    said = [str(each.message) for each in caught if each.category is NoveltyWarning]
    assert len(said) == warned
    assert all("Check their unit" in text for text in said)
