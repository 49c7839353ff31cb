"""Sums over local maxima, and their part in the average with networks."""

import copy
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("skorch")

import torch

from sk_ednn.datasets import make_pictures
from sk_ednn.files import load, save
from sk_ednn.images import Box, CountRegressor, _maxima_fitting
from sk_ednn.images._arrays import as_picture
from sk_ednn.images._batches import Sample
from sk_ednn.images._evaluate import contributions
from sk_ednn.images._geometry import BANDS, CONTEXT, PLANES, Geometry
from sk_ednn.images._maxima import HEIGHTS, SCALES, MaximaCounter, maxima, standardised
from sk_ednn.images._maxima_fitting import MaximaFit, best_share
from sk_ednn.images._samples import prepared

DATA = make_pictures(24, (64, 64), n_objects=(20, 200), random_state=0)
N_HEIGHTS = len(HEIGHTS) - 1


def counter(n_channels=1, n_outputs=1, edges=None, share=1.0, rng=None):
    """Return a counter with random weights, some of them zero."""
    rng = np.random.default_rng(0) if rng is None else rng
    shape = (n_outputs, n_channels * len(SCALES) * 2, N_HEIGHTS)
    return MaximaCounter(
        np.zeros(n_channels), np.ones(n_channels), rng.normal(size=shape).clip(0),
        np.zeros(BANDS) if edges is None else edges, np.full(n_outputs, share),
    )  # fmt: skip


def total(model, values, geometry, **known):
    picture = as_picture(values, "a", channel_axis=-1)
    parts = np.ones((1, model.n_outputs))
    return contributions(picture, [model], model.edges[None], parts, geometry, **known)


@pytest.fixture(scope="module")
def fitted():
    # Networks after one pass know little.
    return CountRegressor(max_epochs=1, n_members=2, random_state=0).fit(DATA.pictures, DATA.totals)


@pytest.mark.parametrize(("n_axes", "reduction"), [(2, 1), (2, 3), (3, 1)])
def test_maps_have_the_totals_and_neither_regions_nor_far_pixels_change_them(n_axes, reduction):
    geometry, rng = Geometry(reduction, n_axes), np.random.default_rng(0)
    shape = (60, 48) if n_axes == 2 else (6, 60, 48)
    half = rng.normal(size=(*shape, 2))
    model = counter(2, n_outputs=2)
    totals, tile_map, _ = total(model, half, geometry)
    np.testing.assert_allclose(tile_map.reshape(-1, 2).sum(axis=0), totals[0], rtol=1e-12)
    assert (totals > 0).all() and (tile_map >= 0).all()
    by_regions, *_ = total(model, half, geometry, region_pixels=500)
    np.testing.assert_allclose(by_regions, totals, rtol=1e-12)
    # Tiles whose context is inside do not see what is beyond.
    larger = np.concatenate([half, rng.normal(size=half.shape)], axis=-2)
    _, map_of_larger, _ = total(model, larger, geometry)
    n_inside = (48 - CONTEXT * reduction) // (4 * reduction)
    np.testing.assert_allclose(
        map_of_larger[..., :n_inside, :], tile_map[..., :n_inside, :], rtol=1e-12
    )


def test_twice_the_period_has_twice_the_maxima():
    """On a periodic ground each tile is as any other one period on."""
    period = np.random.default_rng(0).normal(size=(1, 1, 32, 40)).astype(np.float32)
    n_maxima = []
    for repeats in (1, 2, 4):
        values = np.concatenate([period] * repeats, axis=-1)
        around = ((0, 0), (0, 0), (CONTEXT,) * 2, (CONTEXT,) * 2)
        _, found = maxima(np.pad(values, around, mode="wrap"))
        n_maxima.append(np.array([shares.sum() for *_, shares in found]))
    np.testing.assert_allclose(n_maxima[1], 2 * n_maxima[0], rtol=1e-12)
    np.testing.assert_allclose(n_maxima[2], 4 * n_maxima[0], rtol=1e-12)


@pytest.mark.parametrize("centre", [(40.0, 40.0), (40.5, 40.0), (40.5, 40.5)])
def test_a_spot_between_pixels_counts_once(centre):
    """Two or four pixels are then equally high, up to rounding."""
    y, x = np.indices((80, 80))
    spot = np.exp(-((y - centre[0]) ** 2 + (x - centre[1]) ** 2) / (2 * 3.0**2))
    _, found = maxima(spot[None, None].astype(np.float32))
    high = [
        shares[heights > 0.1].sum() for kind, _, heights, shares in found if kind % 2 == 0
    ]  # bright
    np.testing.assert_allclose(high, 1)


def test_levels_and_inverted_pictures():
    values = np.random.default_rng(0).normal(size=(1, 1, 60, 60)).astype(np.float32)
    inverted = {kind: rest for kind, *rest in maxima(-values)[1]}
    lifted = {kind: rest for kind, *rest in maxima(values + 3)[1]}
    for kind, tiles, heights, shares in maxima(values)[1]:
        _, of_lifted, shares_of_lifted = lifted[kind]
        np.testing.assert_allclose(heights @ shares, of_lifted @ shares_of_lifted, rtol=1e-2)
        for one, other in zip((tiles, heights, shares), inverted[kind ^ 1], strict=True):
            np.testing.assert_array_equal(one, other)


def test_planes_of_a_stack_share_a_maximum():
    """A ball is the highest in one plane alone."""
    z, y, x = np.indices((9, 60, 60)) - np.array([4, 30, 30])[:, None, None, None]
    ball = np.exp(-(z**2 + (y**2 + x**2) / 4) / 8.0).astype(np.float32)
    n_tiles, found = maxima(ball[None])
    assert n_tiles == (9 - 2 * PLANES) * 8 * 8
    for kind, _, heights, shares in found:
        if kind % 2 == 0:
            assert shares[heights > 0.1].sum() == 1


@pytest.mark.parametrize("reduction", [1, 2])
def test_totals_in_the_fit_are_those_of_predictions(reduction):
    geometry, rng = Geometry(reduction), np.random.default_rng(0)
    mean, scale = np.array([1.0, -1.0]), np.array([2.0, 0.5])
    pictures = [mean + scale * rng.normal(size=(*size, 2)) for size in ((90, 83), (70, 101))]
    samples = [
        Sample(prepared(each, each.shape[:2], geometry, mean, scale), each.shape[:2], geometry,
               torch.tensor([3.0, 5.0], dtype=torch.float64), 1.0)
        for each in pictures
    ]  # fmt: skip
    measured = MaximaFit(samples)
    weights, edges = rng.normal(size=(2, measured.features.shape[-1])).clip(0), np.full(3, -0.1)
    in_the_fit = measured.predict(weights, edges, [0, 1])
    model = MaximaCounter(mean, scale, weights.reshape(2, -1, N_HEIGHTS), edges, np.ones(2))
    predicted = [total(model, each, geometry)[0][0] for each in pictures]
    np.testing.assert_allclose(predicted, in_the_fit, rtol=1e-4)


def test_weights_are_found_where_totals_are_counts_of_maxima(fitted):
    """Better by far than networks of one pass; the average is better than these."""
    test = make_pictures(10, (96, 80), n_objects=(20, 200), random_state=1)
    alone = CountRegressor(max_epochs=1, n_members=2, random_state=0, maxima=False)
    alone.fit(DATA.pictures, DATA.totals)
    assert alone.maxima_ is None and fitted.maxima_.share[0] > 0.5
    for one, other in zip(alone.estimators_, fitted.estimators_, strict=True):
        np.testing.assert_array_equal(
            one.predict(test.pictures[..., None]), other.predict(test.pictures[..., None])
        )
    error, of_networks = (
        np.abs(model.predict(test.pictures) - test.totals).mean() for model in (fitted, alone)
    )
    assert error < 0.6 * of_networks and fitted.error_ < 0.6 * alone.error_


def test_the_average_is_of_networks_and_maxima(fitted):
    pictures = make_pictures(2, (70, 81), random_state=1).pictures
    one, other, both = (copy.copy(fitted) for _ in range(3))
    one.maxima_ = None
    other.maxima_ = replace(fitted.maxima_, share=np.ones(1))
    both.maxima_ = replace(fitted.maxima_, share=np.full(1, 0.3))
    expected = 0.7 * one.predict(pictures) + 0.3 * other.predict(pictures)
    np.testing.assert_allclose(both.predict(pictures), expected, rtol=1e-12)
    for row, found in zip(both.count(pictures, maps=True), expected, strict=True):
        assert row.low <= row.total <= row.high and row.spread > 0 and row.map.min() >= 0
        np.testing.assert_allclose([row.total, row.map.sum()], found, rtol=1e-12)
    one_by_one = [both.predict([each])[0] for each in pictures]
    np.testing.assert_array_equal(one_by_one, both.predict(list(pictures)))


def test_it_is_written_and_read(fitted, tmp_path):
    save(fitted, tmp_path / "a.ednn")
    read = load(tmp_path / "a.ednn")
    np.testing.assert_array_equal(read.predict(DATA.pictures), fitted.predict(DATA.pictures))
    np.testing.assert_array_equal(read.maxima_.weights, fitted.maxima_.weights)


def test_several_counts_boxes_and_unknown_totals():
    totals = np.stack([DATA.totals, np.round(DATA.totals / 3)], axis=1)
    totals[3, 1] = np.nan
    totals[4] = np.nan
    boxes = [
        Box(3, (0, 0), (64, 40), (np.nan, 5.0)),
        Box(4, (0, 0), (64, 40), (np.nan, 4.0)),
        Box(4, (8, 8), (40, 40), (9.0, np.nan)),
    ]
    model = CountRegressor(max_epochs=1, n_members=1, random_state=0)
    model.fit(list(DATA.pictures), totals, boxes=boxes)
    assert model.maxima_.share.shape == (2,) and (model.maxima_.share > 0.2).all()
    maps = model.predict_contributions(DATA.pictures[:2])
    np.testing.assert_allclose(
        [each.sum(axis=(0, 1)) for each in maps], model.predict(DATA.pictures[:2]), rtol=1e-12
    )


@pytest.mark.parametrize(
    ("factor", "params"),
    [(0.5, {}), (-1, {}), (1, {"maxima": False}), (1, {"validation_fraction": 0.0})],
)
def test_only_counts_are_sums_over_maxima(factor, params):
    """And only where pictures are held back, on which they are compared with networks."""
    model = CountRegressor(max_epochs=1, n_members=1, random_state=0, **params)
    assert model.fit(DATA.pictures, factor * (2 * DATA.totals + 1)).maxima_ is None


def test_the_share_follows_the_errors():
    few = np.full((4, 3), 6.0)
    share = best_share(few, np.array([1.0, 6.0, 30.0]))
    assert share[0] > 0.9 and share[1] == 0.5 and share[2] < share[1]
    many = best_share(np.full((400, 3), 6.0), np.array([1.0, 6.0, 30.0]))
    assert share[2] >= many[2] == 0


def test_errors_of_a_picture_do_not_choose_the_share_by_which_it_is_predicted(monkeypatch):
    """Errors of pictures that were held back are those of new ones only if they chose nothing."""
    seen = []

    def share(of_networks, of_maxima):
        seen.append(of_networks.ravel().round(9).tolist())
        return best_share(of_networks, of_maxima)

    monkeypatch.setattr(_maxima_fitting, "best_share", share)
    model = CountRegressor(max_epochs=1, n_members=2, random_state=0).fit(
        DATA.pictures, DATA.totals
    )
    of_all, *of_others = seen
    assert len(of_others) == len(model.held_back_["index"]) > 2
    for k, others in enumerate(of_others):
        assert others == of_all[:k] + of_all[k + 1 :]


def test_pictures_without_maxima_count_nothing():
    model = counter()
    totals, _, _ = total(model, np.full((40, 40, 1), 7.0), Geometry(1))
    np.testing.assert_allclose(totals, 0, atol=1e-6)
    values = standardised(np.full((68, 68, 1), 1.0), np.ones(1), np.ones(1), 1)
    assert all(len(heights) == 0 for _, _, heights, _ in maxima(values)[1])
