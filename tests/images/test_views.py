"""Predictions of pictures that may be turned do not depend on how they are turned."""

import numpy as np
import pytest

pytest.importorskip("torch")

from hypothesis import given
from hypothesis import strategies as st

from sk_ednn.datasets import make_pictures
from sk_ednn.images import CountRegressor, as_picture
from sk_ednn.images._views import InViews, views

VIEWS = list(views(8))


def turned(values, turns, is_flipped):
    values = np.rot90(values, turns, (0, 1))
    return np.ascontiguousarray(values[::-1] if is_flipped else values)


@pytest.fixture(scope="module")
def model():
    data = make_pictures(16, (48, 64), n_objects=(3, 30), random_state=0)
    model = CountRegressor(max_epochs=4, n_members=2, maxima=False, random_state=0)
    return model.fit(data.pictures, data.totals)


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("shape", [(40, 64), (72, 36)])
def test_maps_turn_with_their_pictures(model, shape, view):
    (picture,) = make_pictures(1, shape, random_state=3).pictures
    (straight,) = model.predict_contributions([picture])
    (other,) = model.predict_contributions([turned(picture, *view)])
    np.testing.assert_allclose(other, turned(straight, *view), atol=1e-5 * straight.max())


@pytest.mark.parametrize("n_views", [2, 4])
def test_fewer_views_are_a_group_of_their_own(model, n_views):
    (picture,) = make_pictures(1, (40, 64), random_state=4).pictures
    model.set_params(views=n_views)
    try:
        each = [model.predict([turned(picture, *view)])[0] for view in VIEWS]
    finally:
        model.set_params(views="auto")
    of_group, of_others = each[:n_views], each[n_views:]
    np.testing.assert_allclose(of_group, of_group[0], rtol=1e-5)
    assert not np.allclose(of_others, of_group[0], rtol=1e-5)


def test_all_views_are_the_mean_of_each(model):
    (picture,) = make_pictures(1, (44, 52), random_state=5).pictures
    total = model.predict([picture])[0]
    model.set_params(views=1)
    try:
        each = [model.predict([turned(picture, *view)])[0] for view in VIEWS]
    finally:
        model.set_params(views="auto")
    assert np.isclose(total, np.mean(each), rtol=1e-5)
    assert np.std(each) > 1e-4 * total


def test_pictures_that_may_not_be_turned_have_one_view():
    data = make_pictures(12, (40, 40), random_state=0)
    model = CountRegressor(max_epochs=1, n_members=1, symmetric=False, maxima=False, random_state=0)
    one = model.fit(data.pictures, data.totals).predict(data.pictures)
    np.testing.assert_array_equal(one, model.set_params(views=1).predict(data.pictures))
    assert not np.allclose(one, model.set_params(views=8).predict(data.pictures), rtol=1e-6)


def test_held_back_pictures_are_predicted_as_new_ones():
    data = make_pictures(20, (40, 40), random_state=0)
    model = CountRegressor(max_epochs=2, n_members=1, maxima=False, random_state=0)
    model.fit(data.pictures, data.totals)
    held = model.held_back_
    again = model.predict([data.pictures[k] for k in held["index"]])
    # Edges of the fit and of predictions differ by single precision.
    np.testing.assert_allclose(held["predicted"][:, 0], again, rtol=1e-3)


def test_stacks_turn_in_their_planes():
    rng = np.random.default_rng(0)
    stacks = [rng.normal(size=(3, 32, 40, 1)).astype(np.float32) for _ in range(6)]
    others = [np.ascontiguousarray(np.rot90(stack, 1, (1, 2))[:, ::-1]) for stack in stacks]
    pictures, turned_pictures = (
        [as_picture(stack, f"{k}", channel_axis=-1) for k, stack in enumerate(each)]
        for each in (stacks, others)
    )
    totals = [np.abs(stack).sum() for stack in stacks]
    model = CountRegressor(max_epochs=1, n_members=1, random_state=0).fit(pictures, totals)
    np.testing.assert_allclose(model.predict(turned_pictures), model.predict(pictures), rtol=1e-5)


@given(st.integers(-2, 20).filter(lambda n: n not in (1, 2, 4, 8)))
def test_other_numbers_of_views_are_rejected(n_views):
    with pytest.raises(ValueError, match="1, 2, 4 or 8"):
        InViews(None, n_views).dense_predict(np.zeros((1, 4, 4, 1)), None)
    data = make_pictures(4, (32, 32), random_state=0)
    with pytest.raises(ValueError, match="views"):
        CountRegressor(views=n_views).fit(data.pictures, data.totals)
