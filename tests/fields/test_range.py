"""A fitted model keeps the range of its fields, and warns of fields far outside."""

import pickle
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor

from sk_ednn import EDNNCommittee, EDNNRegressor, GridTiling, ShiftAveraged
from sk_ednn.exceptions import NoveltyWarning
from sk_ednn.fields import ArraySource
from sk_ednn.fields._range import InputRange, WatchedSource, extremes
from tests._cases import TILINGS, make_field, make_spins

FAR = "values from .* but the model was fitted to values from"


def pictures(n=30, seed=0):
    """Return grey pictures from 0 to 1."""
    return np.random.default_rng(seed).uniform(size=(n, 6, 6))


def fitted(X=None, tiling=None, **params):
    X = pictures() if X is None else X
    y = np.array([np.sum(x, dtype=float) for x in X])
    return EDNNRegressor(Ridge(), tiling or GridTiling(1, 1), **params).fit(X, y)


def quiet(function, *args):
    with warnings.catch_warnings():
        warnings.simplefilter("error", NoveltyWarning)
        return function(*args)


# --- other scales --------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["predict", "predict_contributions", "predict_gradient"])
@pytest.mark.parametrize(
    "other",
    [
        lambda X: (65535 * X).astype(np.uint16),
        lambda X: 255 * X,
        lambda X: X - 300.0,
        lambda X: -5 * X,
        lambda X: X / 1000 + 0.5,  # within the range, and hardly anything of it
        lambda X: list(100 * X),
    ],
)
def test_another_scale_is_said(method, other):
    model = fitted()
    with pytest.warns(NoveltyWarning, match=FAR):
        getattr(model, method)(other(pictures(3, 1)))


@pytest.mark.parametrize("constant", [slice(0), slice(0, 1), slice(5, 30)])
def test_constant_fields_of_the_fit_hide_no_other_scale(constant):
    X = pictures()
    X[constant] = 0.5
    model = fitted(X)
    with pytest.warns(NoveltyWarning, match=FAR):
        model.predict(pictures(3, 1) / 1000 + 0.5)
    quiet(model.predict, pictures(3, 1))
    quiet(fitted(np.full((5, 6, 6), 0.5)).predict, np.full((5, 6, 6), 0.5))


def test_the_numbers_are_those_of_the_fields_and_of_the_fit():
    model = fitted(pictures() * 4 - 2)
    X = np.linspace(-1, 600, 36).reshape(1, 6, 6)
    low, high = model.input_range_[0, :2]
    with pytest.warns(NoveltyWarning, match=f"from -1 to 600, .* from {low:.6g} to {high:.6g}"):
        model.predict(X)


def test_fields_like_those_of_the_fit_are_not_remarked_upon():
    model = fitted()
    for X in (pictures(3, 1), pictures(3, 1) * 1.9, np.full((1, 6, 6), 0.5), np.zeros((2, 6, 6))):
        quiet(model.predict, X)
    spins = fitted(make_spins(30, (6, 6)))
    for X in (np.ones((1, 6, 6)), -np.ones((1, 6, 6)), make_spins(2, (20, 20), 1)):
        quiet(spins.predict, X)
    larger = np.random.default_rng(1).normal(size=(1, 600, 600))
    quiet(fitted(np.random.default_rng(0).normal(size=(30, 6, 6))).predict, larger)


@pytest.mark.parametrize("channel_axis", [0, 2, -1])
def test_each_channel_has_a_range(channel_axis):
    X = np.random.default_rng(0).uniform(size=(20, 6, 6, 3)) * [1.0, 100.0, 1e4]
    X = np.moveaxis(X, -1, 1 + channel_axis % 3)
    model = fitted(X, GridTiling(1, 1, channel_axis=channel_axis))
    assert model.input_range_.shape == (3, 3)
    quiet(model.predict, X)
    other = np.moveaxis(X.copy(), 1 + channel_axis % 3, 1)
    other[:, 1] += 1e3
    with pytest.warns(NoveltyWarning, match="from 1000.* to 1.* of channel 1, "):
        model.predict(np.moveaxis(other, 1, 1 + channel_axis % 3))


def test_a_channel_that_was_constant_has_no_width():
    X = np.stack([pictures(), np.ones((30, 6, 6))], axis=-1)
    model = fitted(X, GridTiling(1, 1, channel_axis=-1))
    quiet(model.predict, X * (1 + 1e-12))
    with pytest.warns(NoveltyWarning, match="of channel 1, .* from 1 to 1:"):
        model.predict(X * [1, 0])


# --- wherever fields come from -------------------------------------------------------------------


def test_fields_that_are_read_piece_by_piece(tmp_path):
    da = pytest.importorskip("dask.array")
    from sk_ednn.fields import ArraySource

    model = fitted()
    X = pictures(4, 1)
    np.save(tmp_path / "X.npy", 300 * X)
    for far in (da.from_array(300 * X, chunks=2), ArraySource(tmp_path / "X.npy")):
        for lazy in (model.predict(far), model.predict_contributions(far)):
            with pytest.warns(NoveltyWarning, match=FAR):
                lazy.compute(scheduler="synchronous")
    near = model.predict(da.from_array(X, chunks=2))
    np.testing.assert_array_equal(quiet(near.compute), model.predict(X))


def test_lazy_fields_of_a_far_smaller_scale():
    da = pytest.importorskip("dask.array")
    model = fitted(pictures() * 65535)
    for fields in (pictures(), pictures() * 65535 * 0.9):
        lazy = da.from_array(fields, chunks=(10, -1, -1))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model.predict(lazy).compute(scheduler="synchronous")
        said = any(issubclass(one.category, NoveltyWarning) for one in caught)
        assert said == (fields.max() < 2)


def test_a_flat_part_of_a_field_is_not_remarked_upon():
    training_range = InputRange(np.zeros(1), np.ones(1), np.ones(1))
    field = np.zeros((1, 8, 8))
    field[0, 0], field[0, 7, 7] = 1.0, 0.001
    source = WatchedSource(ArraySource(field))
    source.read((slice(0, 1), slice(4, 8), slice(0, 8)))
    assert source.doubt(training_range) is None
    flat = WatchedSource(ArraySource(0.001 * field))
    flat.read((slice(0, 1), slice(0, 8), slice(0, 8)))
    assert "to 0.001," in flat.doubt(training_range)


def test_workers_of_a_cluster_tell_the_client(tmp_path):
    distributed = pytest.importorskip("distributed")
    da = pytest.importorskip("dask.array")
    model = fitted()
    options = {"dashboard_address": None, "processes": False}
    with (
        distributed.Client(n_workers=1, threads_per_worker=1, **options),
        pytest.warns(NoveltyWarning, match=FAR),
    ):
        model.predict(da.from_array(300 * pictures(4, 1), chunks=2)).compute()


def test_a_fit_to_fields_read_piece_by_piece_knows_their_range():
    da = pytest.importorskip("dask.array")
    X = pictures()
    lazy = fitted(da.from_array(X, chunks=(7, 4, 6)))
    np.testing.assert_array_equal(lazy.input_range_, fitted(X).input_range_)


def test_large_fields_are_read_in_part():
    da = pytest.importorskip("dask.array")
    X = pictures()
    seen = InputRange.of(GridTiling(1, 1).check(da.from_array(X)), max_sites=80)
    chosen = InputRange.of(GridTiling(1, 1).check(X[[0, 29]]))
    np.testing.assert_array_equal(seen.array(), chosen.array())
    seen = InputRange.of(GridTiling(1, 1).check(da.from_array(X[:1])), max_sites=16)
    np.testing.assert_array_equal(
        seen.array(), InputRange.of(GridTiling(1, 1).check(X[:1, :4, :4])).array()
    )


def test_lists_of_fields_have_one_range():
    X = [pictures(1, k)[0, : 2 + k] * (1 + k) for k in range(4)]
    least, largest, _ = fitted(X).input_range_[0]
    assert least == min(x.min() for x in X) and largest == max(x.max() for x in X)


# --- with the rest of a model --------------------------------------------------------------------


@pytest.mark.parametrize(
    "around",
    [
        lambda model: EDNNCommittee(model, n_members=2, random_state=0),
        lambda model: ShiftAveraged(model, 2),
        lambda model: make_pipeline(model),
        lambda model: model.set_params(tile_model=make_pipeline(StandardScaler(), Ridge())),
    ],
)
def test_models_of_models_say_it_too(around):
    X = pictures()
    model = around(EDNNRegressor(Ridge(), GridTiling(1, 1))).fit(X, X.sum(axis=(1, 2)))
    quiet(model.predict, X)
    with pytest.warns(NoveltyWarning, match=FAR):
        model.predict(255 * X)


def test_a_warm_start_has_seen_both():
    X, y = pictures(), np.arange(30.0)
    tree = DecisionTreeRegressor(max_depth=2, random_state=0)
    model = EDNNRegressor(tree, GridTiling(1, 1), warm_start=True).fit(X, y)
    alone = model.input_range_
    both = model.fit(50 * X, y).input_range_
    np.testing.assert_array_equal(both, [[alone[0, 0], 50 * alone[0, 1], alone[0, 2]]])
    quiet(model.predict, X)
    anew = model.set_params(warm_start=False).fit(50 * X, y).input_range_
    np.testing.assert_array_equal(anew, 50 * alone)


def test_a_model_keeps_its_range_in_a_pickle_and_in_a_file(tmp_path):
    model = fitted()
    with pytest.warns(NoveltyWarning, match=FAR):
        pickle.loads(pickle.dumps(model)).predict(255 * pictures())
    pytest.importorskip("skops")
    from sk_ednn import files

    files.save(model, tmp_path / "m.ednn")
    loaded = files.load(tmp_path / "m.ednn")
    np.testing.assert_array_equal(loaded.input_range_, model.input_range_)


def test_a_fit_that_fails_leaves_the_range_as_it_was():
    model = fitted()
    before = model.input_range_
    with pytest.raises(ValueError):
        model.fit(pictures() * 7, np.full(30, np.nan))
    assert model.input_range_ is before


# --- the law: as in numpy ------------------------------------------------------------------------


@given(st.sampled_from(sorted(TILINGS)), st.integers(0, 5), st.sampled_from(["float64", "spins"]))
def test_extremes_are_those_of_each_field_and_channel(name, seed, kind):
    tiling, shape, _ = TILINGS[name]
    X = make_field(kind, 3, shape, seed)
    least, largest = extremes(X, tiling.channel_axis)
    apart = X[:, None] if tiling.channel_axis is None else np.moveaxis(X, tiling.channel_axis, 1)
    if tiling.channel_axis is not None and tiling.channel_axis >= 0:
        apart = np.moveaxis(X, 1 + tiling.channel_axis, 1)
    flat = apart.reshape(*apart.shape[:2], -1)
    np.testing.assert_array_equal(least, flat.min(axis=2))
    np.testing.assert_array_equal(largest, flat.max(axis=2))
