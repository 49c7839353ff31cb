"""CountRegressor: totals of pictures of any size, and their errors and contributions."""

import copy
import json
import zipfile

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

pytest.importorskip("torch")

import torch

from sk_ednn.datasets import make_pictures
from sk_ednn.exceptions import DataWarning
from sk_ednn.files import load, save
from sk_ednn.images import (
    Box,
    CountRegressor,
    PictureError,
    as_picture,
    boxes_of_dots,
    read_pictures,
)
from sk_ednn.images._admission import admit
from sk_ednn.images._interval import PictureInterval
from sk_ednn.images._left_out import LeftOut
from sk_ednn.images._reduction import suited_reduction
from sk_ednn.images._zarr import MapWriter

DATA = make_pictures(16, (48, 56), n_objects=(20, 200), random_state=0)


def quick(**params):
    return CountRegressor(**{"max_epochs": 2, "n_members": 1, "random_state": 0, **params})


@pytest.fixture(scope="module")
def model():
    return quick(n_members=2).fit(DATA.pictures, DATA.totals)


@pytest.fixture(scope="module")
def large():
    return make_pictures(2, (90, 75), n_objects=(20, 200), random_state=1).pictures


def test_the_total_is_the_sum_of_the_contributions(model, large):
    maps = model.predict_contributions(large)
    assert [each.shape for each in maps] == [(23, 19)] * 2
    np.testing.assert_allclose(model.predict(large), [each.sum() for each in maps], rtol=1e-12)


def test_members_are_estimators_of_the_package(model):
    """Where the focus divides a picture and edges have no factors, their mean is the prediction."""
    assert model.edges_.shape == (2, 3) and model.edges_.any()
    model = copy.copy(model)
    model.edges_, model.maxima_, model.views = np.zeros((2, 3)), None, 1
    pictures = make_pictures(2, (64, 76), random_state=2).pictures
    members = [each.predict(pictures[..., None]) for each in model.estimators_]
    np.testing.assert_allclose(model.predict(pictures), np.mean(members, axis=0), rtol=1e-6)


def test_tiles_count_by_their_part_in_the_picture():
    """With contributions that are equal everywhere, totals are as the areas, to the pixel."""
    model = quick(maxima=False).fit(DATA.pictures, DATA.totals)
    with torch.no_grad():
        for weight in model.estimators_[0].tile_model_.estimator.module_.parameters():
            weight.zero_()
    model.edges_ = np.zeros((1, 3))
    sizes = [(16, 16), (17, 31), (64, 49), (30, 103)]
    noise = np.random.default_rng(0)
    pictures = [noise.integers(0, 255, size, dtype=np.uint8) for size in sizes]
    areas = [height * width for height, width in sizes]
    totals = model.predict(pictures)
    np.testing.assert_allclose(totals / totals[0], np.array(areas) / areas[0], rtol=1e-6)


def test_regions_change_nothing(model, large, tmp_path):
    whole = model.predict(large)
    zarr = pytest.importorskip("zarr")
    stored = zarr.create_array(
        str(tmp_path / "a.zarr"), shape=large[0].shape, chunks=(32, 32), dtype=large.dtype
    )
    stored[:] = large[0]
    by_regions = copy.copy(model)
    by_regions._region_pixels = 700
    np.testing.assert_allclose(by_regions.predict(large), whole, rtol=1e-6)
    np.testing.assert_allclose(by_regions.predict(str(tmp_path / "a.zarr")), whole[:1], rtol=1e-6)


@pytest.mark.parametrize("n_outputs", [1, 2])
def test_maps_are_written_by_regions(n_outputs, large, tmp_path):
    pytest.importorskip("zarr")
    totals = np.stack([DATA.totals, 2 * DATA.totals], axis=1)[:, :n_outputs]
    model = quick(max_epochs=1).fit(DATA.pictures, totals)
    expected = model.predict_contributions(large[:1])[0]
    model._region_pixels = 700
    path = tmp_path / "map.ome.zarr"

    def writer(picture):
        return MapWriter(path, picture.name, (23, 19), (4, 4), n_outputs)

    shares = []
    (row,) = model.count(
        large[:1], maps=True, writers=writer, progress=lambda _, share: shares.append(share)
    )
    assert len(shares) > 4 and shares == sorted(shares) and shares[-1] == 1
    assert "map" not in row
    (written,) = read_pictures(path)
    assert written.shape == expected.shape == (23, 19, n_outputs)
    np.testing.assert_allclose(written.array(), expected, rtol=1e-5)


def test_sizes_may_differ_in_one_fit():
    other = make_pictures(6, (40, 80), n_objects=(20, 200), random_state=3)
    pictures = [*DATA.pictures, *other.pictures]
    model = quick().fit(pictures, [*DATA.totals, *other.totals])
    assert model.predict(pictures).shape == (22,)


def test_several_totals_and_amounts_below_zero():
    totals = np.stack([DATA.totals, DATA.totals - 20.5], axis=1)
    model = quick().fit(DATA.pictures, totals)
    assert model.predict(DATA.pictures).shape == (16, 2)
    assert model.predict_contributions(DATA.pictures)[0].shape == (12, 14, 2)
    assert not model.estimators_[0].tile_model_.positive
    low, high = model.predict_interval(DATA.pictures)
    assert low.shape == (16, 2) and (low < high).all()
    with pytest.raises(ValueError, match=r"positive=True .* a total is -1"):
        quick(positive=True).fit(DATA.pictures, totals)


def test_counts_have_no_negative_contributions(model, large):
    assert min(each.min() for each in model.predict_contributions(large)) >= 0


@pytest.mark.parametrize("contrast_only", [True, False])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_contrast_only_ignores_the_level_of_the_background(contrast_only, precision):
    """Unless the network may see it."""
    colours = np.stack([DATA.pictures, DATA.pictures // 2, 255 - DATA.pictures], axis=-1) * 1.0
    model = quick(contrast_only=contrast_only, precision=precision, max_epochs=4)
    model.fit(colours, DATA.totals)
    level = np.array([40.0, -25.0, 9.0])
    before, after = (model.predict(each) for each in (colours, colours + level))
    differences = np.abs(after / before - 1)
    assert differences.max() < 1e-4 if contrast_only else differences.min() > 1e-3


def test_kernels_of_stacks_have_no_level():
    stacks = np.random.default_rng(0).integers(0, 255, (3, 10, 32, 36)).astype(float)
    model = quick(max_epochs=2, contrast_only=True).fit(list(stacks), [3, 5, 8])
    np.testing.assert_allclose(
        model.predict(list(stacks + 70)), model.predict(list(stacks)), rtol=1e-4
    )


@pytest.mark.parametrize(("factor", "counts"), [(1, True), (100, False)])
def test_whole_sums_of_brightness_are_no_counts(factor, counts):
    admitted = admit(DATA.pictures, factor * DATA.totals, None, [])
    assert admitted.counts == counts


@pytest.mark.parametrize(("n_planes", "totals"), [(0, [40.0]), (3, [40.0]), (0, [10.0, 30.0])])
def test_pictures_are_averaged_while_objects_are_seen(n_planes, totals):
    """Large blobs stay; dots of few pixels at the same distance, and noise, would fade."""
    rng = np.random.default_rng(0)
    rows, columns = np.indices((400, 420))
    blobs, dots = np.zeros((2, 400, 420))
    for row, column in rng.uniform(20, 380, (40, 2)):
        distance = np.hypot(rows - row, columns - column)
        blobs, dots = blobs + (distance < 14), dots + (distance < 1.5)
    noise = rng.normal(size=dots.shape)
    chosen = []
    for picture in (blobs, dots, noise):
        arrays = [np.stack([picture] * n_planes)[..., None] if n_planes else picture[..., None]] * 3
        chosen.append(suited_reduction(arrays, np.array([totals] * 3), True))
    assert chosen == [4, 1, 1]
    # Of crowded pictures the objects stay apart, and small ones stay wide enough.
    crowded = np.array([[1000.0]])
    assert suited_reduction([blobs[..., None]], crowded, True) == 1
    assert suited_reduction([blobs[:200, :200, None]], np.array([[10.0]]), True) == 2


def squares(width, n=24, noise=0.3, n_planes=0):
    """Return pictures of squares in noise, and the area of all squares of each."""
    rng = np.random.default_rng(0)
    pictures, areas = [], []
    for _ in range(n):
        picture = rng.normal(scale=noise, size=(400, 400, 1))
        seen = np.zeros((400, 400), bool)
        for row, column in rng.integers(0, 390, (rng.integers(5, 9 + 2000 // width**2), 2)):
            seen[row : row + width, column : column + width] = True
        picture[seen] += 1.0
        pictures.append(np.stack([picture] * n_planes) if n_planes else picture)
        areas.append([float(seen.sum())])
    return pictures, np.array(areas)


@pytest.mark.parametrize("n_planes", [0, 2])
def test_amounts_are_averaged_while_a_simple_model_loses_nothing(n_planes):
    """Large squares stay; in noise, single pixels fade where pixels are averaged."""
    large, small = squares(24, n_planes=n_planes), squares(1, n_planes=n_planes)
    assert suited_reduction(*large, False) == 4
    assert suited_reduction(*small, False) == 1
    # Units and the scale of the pixels change nothing.
    pictures, areas = large
    assert suited_reduction([1000 * each + 7 for each in pictures], areas / 1e4, False) == 4


def test_amounts_of_which_nothing_is_known_are_not_averaged():
    pictures, areas = squares(24)
    other = np.random.default_rng(1).normal(size=areas.shape)
    assert suited_reduction(pictures, other, False) == 1  # nothing is learned
    assert suited_reduction(pictures, np.ones_like(areas), False) == 1  # nothing to learn
    assert suited_reduction(pictures[:5], areas[:5], False) == 1
    # Of few pictures, some model has a small error by chance.
    rng = np.random.default_rng(2)
    few = [suited_reduction(pictures[:9], rng.normal(size=(9, 1)), False) for _ in range(10)]
    assert few.count(1) >= 7
    small = [each[:150, :150] for each in pictures]  # too small to be averaged
    assert suited_reduction(small, areas, False) == 1


def test_whole_amounts_are_no_counts():
    pictures, areas = squares(24, n=10)
    lines = []
    model = quick(max_epochs=1, counts=False, verbose=lines.append).fit(pictures, areas)
    assert model.geometry_[0] == suited_reduction(pictures, areas, False) and model.maxima_ is None
    assert any("reduction" in line and "means of" in line for line in lines)
    lines.clear()
    quick(max_epochs=1, reduction=2, verbose=lines.append).fit(pictures, areas)
    assert "the networks see means of 2 by 2 pixels" in lines
    with pytest.raises(ValueError, match=r"Expected counts, got 10\.5 for"):
        quick(counts=True).fit(DATA.pictures, DATA.totals + 0.5)


def test_stacks_of_planes():
    rng = np.random.default_rng(0)
    stacks = [rng.integers(0, 255, (10, 32, 36), dtype=np.uint8) for _ in range(3)]
    model = quick(max_epochs=1).fit(stacks, [3, 5, 8])
    assert model.predict_contributions(stacks)[0].shape == (10, 8, 9)
    with pytest.raises(PictureError, match="has 2 axes, and the model was fitted to stacks"):
        model.predict([stacks[0][0]])


def test_boxes_and_dots_are_more_samples():
    boxes = boxes_of_dots(0, DATA.positions[0], (48, 56), side=24)
    assert sum(box.totals for box in boxes) == DATA.totals[0]
    alone = np.full(16, np.nan)
    with pytest.warns(DataWarning, match="15 of 16 pictures have no total and no boxes"):
        model = quick().fit(DATA.pictures, alone, boxes=boxes)
    assert model.predict(DATA.pictures).shape == (16,)
    assert np.isnan(model.error_)
    with pytest.raises(PictureError, match=r"the box from \(0, 0\) to \(90, 10\) is not"):
        quick().fit(DATA.pictures, DATA.totals, boxes=[Box(3, (0, 0), (90, 10), 2.0)])


@pytest.mark.parametrize("unknown", [None, np.nan, np.ma.masked])
def test_unknown_totals_are_reported_and_left_out(unknown):
    totals = [float(total) for total in DATA.totals]
    of_known = quick().fit(DATA.pictures[1:], totals[1:])
    with pytest.warns(DataWarning, match="1 of 16 pictures have no total and no boxes.*picture 0"):
        model = quick().fit(DATA.pictures, [unknown, *totals[1:]])
    assert model.held_back_["index"].min() > 0
    assert len(model.held_back_["index"]) == len(of_known.held_back_["index"])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"y": DATA.totals.astype(str)}, "real numbers"),
        ({"y": DATA.totals + 1j}, "real numbers"),
        ({"X": [np.ma.masked_equal(x, x.max()) for x in DATA.pictures]}, "masked entries"),
        ({"groups": [np.nan] * 16}, "group of entry 0"),
        ({"groups": np.ma.masked_equal(np.arange(16), 3)}, "masked entries"),
    ],
)
def test_what_is_no_number_is_refused(changes, words):
    given = {"X": DATA.pictures, "y": DATA.totals} | changes
    with pytest.raises(ValueError, match=words):
        quick().fit(**given)


def test_dots_are_in_their_boxes():
    """A box around each dot, and no other, has it."""
    grid, dots = (70, 95), np.array([[0.2, 0.0], [69.4, 94.4], [31.0, 60.5]])
    for dot in dots:
        boxes = [box for box in boxes_of_dots(0, [dot], grid, side=30) if box.totals]
        (box,) = boxes
        assert (np.array(box.start) <= dot + 0.5).all() and (dot < np.array(box.stop)).all()
    with pytest.raises(ValueError, match=r"Dot \[10.0, 99.0\] is outside of picture 0"):
        boxes_of_dots(0, [[10, 99]], grid)


def test_series_are_held_back_together():
    groups = np.repeat(np.arange(8), 2)
    model = quick(n_members=4, max_epochs=1, validation_fraction=0.25)
    model.fit(DATA.pictures, DATA.totals, groups=groups)
    held = groups[model.held_back_["index"]]
    assert sorted(held.tolist()) == sorted(groups.tolist())  # four members, a quarter each


def test_a_random_state_gives_the_same_model(large):
    one, other = (quick().fit(DATA.pictures, DATA.totals).predict(large) for _ in range(2))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_either_precision_trains(precision):
    model = quick(precision=precision, max_epochs=12).fit(DATA.pictures, DATA.totals)
    errors = [row["train_error"] for row in model.history_[0]]
    assert errors[-1] < errors[0]


def test_a_failed_fit_leaves_the_model_as_it_was(model, large):
    before = model.predict(large)
    with pytest.raises(PictureError, match="picture 1: the same pixels as picture 0"):
        model.fit([large[0], large[0]], [3, 4])
    np.testing.assert_array_equal(model.predict(large), before)


def test_models_are_written_and_read(model, large, tmp_path):
    save(model, tmp_path / "a.ednn")
    read = load(tmp_path / "a.ednn")
    np.testing.assert_array_equal(read.predict(large), model.predict(large))
    for one, other in zip(read.predict_interval(large), model.predict_interval(large), strict=True):
        np.testing.assert_array_equal(one, other)
    assert read.count(large)[0].novelty == model.count(large)[0].novelty


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("edges_", 0), ("edges_", np.zeros((2, 2))), ("edges_", np.full((2, 3), np.nan)),
        ("geometry_", 1.5), ("geometry_", (0, 2)), ("geometry_", (2, 7)), ("geometry_", (3, 2)),
        ("n_channels_", 7), ("n_channels_", []), ("n_outputs_", 3), ("n_outputs_", "text"),
        ("interval_", None), ("novelty_", 1.0), ("maxima_", 1.0),
        ("density_range_", (1.0, 2.0)), ("density_range_", ()), ("left_out_", "text"),
        ("left_out_", LeftOut(np.array([[0, 0, 9, 9]]), (8, 8))),
        ("left_out_", LeftOut(np.array([[0.0, 0, 9, 9]]), (20, 20))),
        ("left_out_", LeftOut(np.array([0, 0, 9, 9]), (20, 20))),
        ("left_out_", LeftOut(np.array([[0, 0, 9, 9]]), (20, 20), 0)),
        ("left_out_", LeftOut(np.array([[0, 0, 9, 9]]), None)),
        ("left_out_", LeftOut(np.array([[0, 0, 9, 9]]), (20, 20), 3, (np.zeros((9, 8, 1)),))),
        ("left_out_", LeftOut(np.array([[0, 0, 1, 1]]), (9, 9), 3, (np.full((1, 1, 1), np.inf),))),
        ("left_out_", LeftOut(np.array([[0, 0, 2, 2]]), (20, 20), 3, (None,))),
    ],
)  # fmt: skip
def test_files_with_contradicting_parts_are_refused(name, value, model, tmp_path):
    """Whole by their hashes: a file that loads must count."""
    from sk_ednn.exceptions import ModelFileError
    from sk_ednn.files import _container
    from sk_ednn.images import _count

    wrong = copy.copy(model)
    setattr(wrong, name, value)
    with pytest.MonkeyPatch.context() as patch:  # saving tries the model, too
        patch.setattr(_count, "try_counter", lambda model: None)
        try:
            save(wrong, tmp_path / "wrong.ednn")
        except (TypeError, ValueError):
            return  # what cannot be written cannot be read
    for claims in ({}, {"tried": False}):
        with zipfile.ZipFile(tmp_path / "wrong.ednn") as archive:
            parts = {n: archive.read(n) for n in archive.namelist() if n != "manifest.json"}
        config = json.loads(parts["config.json"]) | claims
        _container.write(tmp_path / "w.ednn", parts | {"config.json": json.dumps(config).encode()})
        with pytest.raises(ModelFileError, match=r"w\.ednn"):
            load(tmp_path / "w.ednn")


def test_totals_of_a_table_are_matched(tmp_path):
    pictures = [as_picture(each, f"{k}.png") for k, each in enumerate(DATA.pictures)]
    text = "".join(f"{k},{total:.0f}\n" for k, total in enumerate(DATA.totals[:12]))
    (tmp_path / "counts.csv").write_text(text)
    model = quick(max_epochs=1)
    with pytest.warns(DataWarning, match=r"no total in the table for 12\.png, 13\.png"):
        model.fit(pictures, tmp_path / "counts.csv")
    boxes = [Box(15, (0, 0), (20, 20), 4.0), Box(3, (0, 0), (20, 20), 2.0)]
    with pytest.warns(DataWarning):
        admitted = admit(pictures, tmp_path / "counts.csv", None, boxes)
    # The table leaves out four pictures; one of them has a box, and comes last.
    assert [admitted.pictures[box.picture].name for box in admitted.boxes] == ["15.png", "3.png"]
    assert np.isnan(admitted.totals[-1, 0]) and len(admitted.pictures) == 13
    with pytest.raises(ValueError, match="Expected the total of at least one picture, or boxes"):
        model.fit(pictures, np.full(16, np.nan))
    with pytest.raises(ValueError, match=r"a total for each of 16 pictures, got .* shape"):
        model.fit(pictures, [1, 2])


def test_estimators_are_cloned_and_must_be_fitted():
    assert clone(quick(reduction=2)).reduction == 2
    with pytest.raises(NotFittedError):
        quick().predict(DATA.pictures)
    with pytest.raises(PictureError, match="A single picture goes into a list"):
        quick().fit(DATA.pictures[0], [3])


# -------------------------------------------------------------------------------- what is flagged


def test_totals_beyond_those_of_the_fit_are_flagged_from_a_share_of_their_range_on():
    data = make_pictures(12, (32, 32), random_state=0)
    model = CountRegressor(max_epochs=1, n_members=1, random_state=0)
    model.fit(data.pictures, data.totals)
    picture = data.pictures[0]
    (row,) = model.count([picture])
    density, seen = row.total / np.prod(np.shape(picture)[:2]), row.flag == "unlike"
    for low, high, beyond in (
        (0.0, density / 1.01, ""), (0.0, density / 1.05, "more"),
        (1.01 * density, 2 * density, ""), (1.2 * density, 2 * density, "less"),
    ):  # fmt: skip
        model.density_range_ = np.array([low]), np.array([high])
        (row,) = model.count([picture])
        assert row.beyond == beyond
        assert row.flag == ("unlike" if seen else "range" if beyond else "")


def test_pictures_unlike_those_of_the_fit_are_flagged():
    many = make_pictures(30, (96, 96), random_state=4)
    model = quick(max_epochs=1).fit(many.pictures, many.totals)
    alike = make_pictures(20, (96, 96), random_state=5).pictures
    flags = [row.flag == "unlike" for row in model.count(alike)]
    assert sum(flags) <= 1
    inverted, magnified = 255 - alike[:5], np.kron(alike[:5], np.ones((3, 3), np.uint8))
    assert all(row.flag == "unlike" for row in model.count(inverted))
    assert all(row.flag == "unlike" for row in model.count(magnified))


@pytest.mark.parametrize(("n", "too_few"), [(4, 0.06), (8, 0.06), (30, 0.06), (60, None)])
def test_intervals_contain_the_share_that_was_asked_for(n, too_few):
    """Over many calibrations, 90 % of the totals are inside; less than 85 % in few of them."""
    rng, inside = np.random.default_rng(n), []
    for _ in range(300):
        true = rng.uniform(50, 400, (n + 200, 1))
        predicted = true + rng.normal(scale=0.5 * np.sqrt(true))
        interval = PictureInterval.of(predicted[:n], true[:n])
        half = interval.half_width(predicted[n:], 0.9)
        inside.append(np.mean(np.abs(predicted[n:] - true[n:]) <= half))
    if too_few is None:
        assert 0.88 < np.mean(inside) < 0.92
    else:
        assert np.mean(inside) > 0.9 and np.mean(np.array(inside) < 0.85) < too_few


@pytest.mark.parametrize("confidence", [0.0, 1.0, 1.5, 90, np.nan])
def test_a_confidence_is_a_share(confidence):
    model = quick(max_epochs=1).fit(DATA.pictures, DATA.totals)
    with pytest.raises(ValueError, match="between 0 and 1"):
        model.predict_interval(DATA.pictures[:1], confidence)


def test_intervals_are_no_smaller_than_the_errors_say():
    """Of errors that are not Gaussian the largest may be far above the others."""
    errors = np.array([*[0.1] * 30, 8.0, 9.0, 9.0, 10.0])[:, None]
    true = np.full_like(errors, 100.0)
    interval = PictureInterval.of(true + errors, true)
    inside = errors <= interval.half_width(true, 0.9)
    assert inside.mean() >= 0.9
    few = PictureInterval.of(true[:3] + errors[-3:], true[:3])
    assert (errors[-3:] <= few.half_width(true[:3], 0.9)).all()


# --------------------------------------------------------------------------- that it learns at all


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_counts_of_crops_carry_over_to_larger_pictures():
    """Trained on crops with their counts alone: larger pictures, maps, and a control."""
    train = make_pictures(150, (64, 64), n_objects=(5, 80), unevenness=0.2, random_state=0)
    test = make_pictures(6, (256, 256), n_objects=(5, 80), unevenness=0.2, random_state=1)
    learnt = CountRegressor(max_epochs=70, n_members=2, random_state=0)
    learnt.fit(train.pictures, train.totals)
    error = np.abs(learnt.predict(test.pictures) - test.totals).mean()
    rng = np.random.default_rng(0)
    control = CountRegressor(max_epochs=20, n_members=1, random_state=0)
    control.fit(train.pictures, rng.permutation(train.totals))
    of_control = np.abs(control.predict(test.pictures) - test.totals).mean()
    of_mean = np.abs(test.totals - 16 * train.totals.mean()).mean()
    assert error < 0.15 * of_mean < 0.3 * of_control
    bias = learnt.predict(test.pictures).sum() / test.totals.sum() - 1
    assert abs(bias) < 0.06
    # The fit was not given positions of objects.
    found, true = [], []
    for each, positions in zip(
        learnt.predict_contributions(test.pictures), test.positions, strict=True
    ):
        found.append(each.reshape(8, 8, 8, 8).sum(axis=(1, 3)))
        edges = [np.arange(0, 257, 32)] * 2
        true.append(np.histogramdd(positions.clip(0, 255.9), bins=edges)[0])
    assert np.corrcoef(np.ravel(found), np.ravel(true))[0, 1] > 0.9
