"""What all pictures of a fit show at one place is painted over, and nothing else."""

import io
import warnings

import numpy as np
import pytest

from sk_ednn import files
from sk_ednn.datasets import make_pictures
from sk_ednn.exceptions import DataWarning, NoveltyWarning
from sk_ednn.images import CountRegressor, as_picture
from sk_ednn.images._fixed import find_fixed
from sk_ednn.images._left_out import LeftOut, given_boxes, place_in_words

pytest.importorskip("torch")
SIZE = (160, 200)
BAR = (140, 130, 146, 185)


def slides(n=16, seed=0, n_objects=25, size=SIZE, level=200.0, dark=-120.0, spread=6.0):
    """Return bright pictures with dark discs at random places, and their numbers."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices(size)
    pictures, totals = [], []
    for _ in range(n):
        count = int(rng.integers(n_objects // 2, n_objects + 1))
        values = level + rng.normal(0, 5) + rng.normal(0, spread, size)
        for _ in range(count):
            i, j = (rng.uniform(0, length) for length in size)
            values[(rows - i) ** 2 + (columns - j) ** 2 < 20] += dark
        pictures.append(values.clip(0, 255).astype(np.uint8)[..., None])
        totals.append(count)
    return pictures, np.array(totals, dtype=float)


def with_bar(pictures, box=BAR, value=0, noise=3.0, seed=1):
    rng, burnt = np.random.default_rng(seed), []
    top, left, bottom, right = box
    for values in pictures:
        values = values.copy()
        of_bar = value + rng.normal(0, noise, values[top:bottom, left:right].shape)
        values[top:bottom, left:right] = of_bar.clip(0, 255).astype(values.dtype)
        burnt.append(values)
    return burnt


def found_in(arrays):
    return find_fixed([as_picture(each, str(k)) for k, each in enumerate(arrays)], arrays)


def covers(box, inner, margin=12):
    outer = (inner[0] - margin, inner[1] - margin, inner[2] + margin, inner[3] + margin)
    return (
        all(a <= b for a, b in zip(box[:2], inner[:2], strict=True))
        and all(a >= b for a, b in zip(box[2:], inner[2:], strict=True))
        and all(a >= b for a, b in zip(box[:2], outer[:2], strict=True))
        and all(a <= b for a, b in zip(box[2:], outer[2:], strict=True))
    )


@pytest.mark.parametrize("value", [0, 255])
@pytest.mark.parametrize("box", [BAR, (8, 10, 14, 60), (60, 190, 110, 196)])
@pytest.mark.parametrize("n_objects", [4, 60])
def test_a_bar_is_found_and_nothing_else(box, value, n_objects):
    pictures, _ = slides(n_objects=n_objects, level=200.0 if value == 0 else 90.0)
    left_out, others = found_in(with_bar(pictures, box, value))
    assert others == [] and len(left_out.boxes) == 1
    assert covers(left_out.boxes[0], box)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("n_objects", [0, 5, 150])
def test_nothing_is_found_where_objects_are_at_random_places(n_objects, seed):
    pictures, _ = slides(n_objects=n_objects, seed=seed)
    assert found_in(pictures) == (None, [])


@pytest.mark.parametrize("kind", ["gradient", "vignette", "rim"])
def test_light_and_the_rims_of_dishes_are_kept(kind):
    pictures, _ = slides()
    rows, columns = (np.indices(SIZE) - np.array(SIZE)[:, None, None] / 2) / 80
    radius = np.hypot(rows, columns)[..., None]
    gain = {
        "gradient": 0.8 + 0.15 * columns[..., None],
        "vignette": np.where(radius < 1.2, 1.0, 0.1),
        "rim": np.where(abs(radius - 0.95) < 0.02, 0.2, 1.0),
    }[kind]
    shaded = [(values * gain).astype(np.uint8) for values in pictures]
    left_out, _ = found_in(shaded)
    assert left_out is None


def test_what_is_in_the_middle_is_named_and_kept():
    pictures, totals = slides()
    burnt = with_bar(pictures, (70, 80, 80, 110))
    left_out, others = found_in(burnt)
    assert left_out is None and len(others) == 1 and covers(others[0], (70, 80, 80, 110))
    with pytest.warns(DataWarning, match="It is kept, since objects may be there"):
        model = CountRegressor(max_epochs=1, n_members=1, random_state=0).fit(burnt, totals)
    assert model.left_out_ is None


def test_a_strip_along_an_edge_is_left_out_to_the_edge():
    pictures, _ = slides()
    strip = (146, 0, 160, 200)
    left_out, _ = found_in(with_bar(pictures, strip))
    assert len(left_out.boxes) == 1
    top, *rest = left_out.boxes[0].tolist()
    assert 136 <= top <= 146 and rest == [0, 160, 200]


def test_few_pictures_or_other_sizes_show_nothing():
    pictures, _ = slides(n=7)
    assert found_in(with_bar(pictures)) == (None, [])


def test_a_bar_that_some_pictures_lack_is_left_out_of_the_others():
    pictures, totals = slides()
    mixed = [pictures[0], *with_bar(pictures[1:])]
    with pytest.warns(DataWarning, match="15 of 16 pictures show the same"):
        model = CountRegressor(max_epochs=1, n_members=1, random_state=0).fit(mixed, totals)
    seen, n_painted = model.left_out_.cleared(as_picture(pictures[0], "without"))
    assert n_painted == 0 and np.array_equal(seen.array(), pictures[0])


def test_painting_changes_the_box_alone_by_any_part_that_is_read():
    pictures, _ = slides()
    burnt = with_bar(pictures)
    left_out, _ = found_in(burnt)
    picture = as_picture(burnt[3], "a")
    seen, n_painted = left_out.cleared(picture)
    whole, (top, left, bottom, right) = seen.array(), left_out.boxes[0]
    outside = np.ones(SIZE, bool)
    outside[top:bottom, left:right] = False
    assert n_painted == 1 and np.array_equal(whole[outside], burnt[3][outside])
    # Without the bar, and without what else was there.
    assert abs(np.median(whole[~outside]) - np.median(burnt[3])) < 6 and whole[~outside].min() > 60
    for rows, columns in ((slice(130, 143), slice(100, 150)), (slice(0, 9), slice(0, 9)),
                          (slice(141, 143), slice(140, 141))):  # fmt: skip
        part = seen.read((rows, columns, slice(0, 1)))
        assert np.array_equal(part, whole[rows, columns])


def test_an_object_beside_the_bar_stays():
    pictures, _ = slides()
    burnt = with_bar(pictures)
    left_out, _ = found_in(burnt)
    rows, columns = np.indices(SIZE)
    crossed = pictures[0].copy()
    disc = (rows - 134) ** 2 + (columns - 150) ** 2 < 100
    crossed[disc] = 60
    crossed = with_bar([crossed])[0]
    seen, n_painted = left_out.cleared(as_picture(crossed, "a"))
    top, left, bottom, right = left_out.boxes[0]
    outside = disc.copy()
    outside[top:bottom, left:right] = False
    assert n_painted == 1
    assert np.array_equal(seen.array()[outside], crossed[outside]) and outside.sum() > 100


def test_a_bar_at_the_same_distance_from_the_corner_is_found_in_other_sizes():
    pictures, _ = slides()
    left_out, _ = found_in(with_bar(pictures))
    larger, _ = slides(1, seed=9, size=(240, 320))
    moved = (BAR[0] + 80, BAR[1] + 120, BAR[2] + 80, BAR[3] + 120)
    assert left_out.cleared(as_picture(larger[0], "a"))[1] == 0
    seen, n_painted = left_out.cleared(as_picture(with_bar(larger, moved)[0], "b"))
    assert n_painted == 1 and seen.array()[moved[0] : moved[2], moved[1] : moved[3]].min() > 60


@pytest.fixture(scope="module")
def fitted():
    data = make_pictures(24, (96, 128), random_state=0)
    bright = float(np.max([np.max(each) for each in data.pictures]))
    box = (84, 80, 89, 120)
    burnt = [np.asarray(each, dtype=np.float32).copy() for each in data.pictures]
    for values in burnt:
        values[box[0] : box[2], box[1] : box[3]] = 1.5 * bright
    model = CountRegressor(max_epochs=6, n_members=1, maxima=False, random_state=0)
    plain = model.fit([np.asarray(each, np.float32) for each in data.pictures], data.totals)
    of_plain = plain.predict(data.pictures)
    with pytest.warns(DataWarning, match="lower right corner"):
        model.fit(burnt, data.totals)
    return model, data, burnt, of_plain, box


def test_a_bar_in_all_pictures_hardly_changes_counts(fitted):
    model, data, burnt, of_plain, box = fitted
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        counts = model.predict(burnt)
    assert np.abs(counts - of_plain).mean() < 0.1 * data.totals.mean()
    maps = model.predict_contributions(burnt)
    top, left, bottom, right = (n // 4 for n in box)
    of_bar = np.mean([each[top - 1 : bottom + 1, left : right + 1].mean() for each in maps])
    assert of_bar < np.mean([each.mean() for each in maps])


def test_new_pictures_without_the_bar_are_named_and_kept(fitted):
    model, data, burnt, *_ = fitted
    new = [burnt[0], as_picture(np.asarray(data.pictures[1], np.float32), "no bar.png")]
    with pytest.warns(NoveltyWarning, match=r"1 of 2 pictures .* no bar\.png.*Nothing is left out"):
        rows = model.count(new)
    assert [row.name for row in rows][1] == "no bar.png"
    with pytest.warns(NoveltyWarning, match="1 of 2 pictures"):
        model.predict(new)


def test_parts_left_out_are_in_the_file(fitted, tmp_path):
    model, _, burnt, *_ = fitted
    files.save(model, tmp_path / "m.ednn")
    read = files.load(tmp_path / "m.ednn")
    assert np.array_equal(read.predict(burnt), model.predict(burnt))
    assert np.array_equal(read.left_out_.boxes, model.left_out_.boxes)


def test_pictures_without_a_bar_are_learned_from_as_they_are():
    data = make_pictures(24, (64, 64), random_state=0)
    model = CountRegressor(max_epochs=2, n_members=1, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        counts = model.fit(data.pictures, data.totals).predict(data.pictures)
    model.set_params(leave_out=None).fit(data.pictures, data.totals)
    assert np.array_equal(model.predict(data.pictures), counts)


def test_boxes_that_are_given_are_painted_over_in_pictures_of_that_size_alone():
    pictures, totals = slides(n=9)
    model = CountRegressor(max_epochs=1, n_members=1, random_state=0)
    model.set_params(leave_out=[(0, 0, 20, 30)]).fit(pictures, totals)
    changed = [values.copy() for values in pictures]
    for values in changed:
        values[:20, :30] = 0
    assert np.array_equal(model.predict(pictures), model.predict(changed))
    other, _ = slides(1, size=(120, 200))
    with pytest.warns(NoveltyWarning, match="have another size"):
        model.predict(other)


@pytest.mark.parametrize("box", [(0, 0, 161, 20), (-1, 0, 20, 20), (20, 0, 20, 20), (0, 0, 20)])
def test_boxes_that_are_not_in_the_pictures_are_refused(box):
    pictures, totals = slides(n=3)
    model = CountRegressor(max_epochs=1, n_members=1, leave_out=[box])
    with pytest.raises(ValueError, match="top, left, bottom and right"):
        model.fit(pictures, totals)
    assert not hasattr(model, "left_out_")


def test_given_boxes_need_pictures_of_one_size():
    pictures = [as_picture(np.zeros((20, 20 + k, 1)), str(k)) for k in range(2)]
    with pytest.raises(ValueError, match="Crop the pictures"):
        given_boxes([(0, 0, 5, 5)], pictures)


def test_stacks_and_channels_are_painted_over_in_all_planes():
    rng = np.random.default_rng(0)
    stack = as_picture(rng.integers(0, 200, (5, 40, 50, 2), np.uint16), "s", channel_axis=-1)
    left_out = LeftOut(np.array([[30, 30, 38, 48]]), (40, 50))
    seen, _ = left_out.cleared(stack)
    changed = (seen.array() != stack.array()).any(axis=-1)
    assert changed[:, 30:38, 30:48].mean() > 0.9
    changed[:, 30:38, 30:48] = False
    assert not changed.any()
    part = seen.read((slice(2, 4), slice(29, 33), slice(0, 50), slice(1, 2)))
    assert np.array_equal(part, seen.array()[2:4, 29:33, :, 1:2])


def test_a_picture_of_jpeg_shows_the_bar_as_others_do():
    image = pytest.importorskip("PIL.Image")
    pictures, _ = slides()
    read = []
    for values in with_bar(pictures):
        out = io.BytesIO()
        image.fromarray(values[..., 0]).save(out, format="JPEG", quality=60)
        read.append(np.asarray(image.open(out))[..., None])
    left_out, _ = found_in(read)
    assert len(left_out.boxes) == 1 and covers(left_out.boxes[0], BAR, 14)


def test_places_in_words():
    assert place_in_words((0, 0, 5, 200), SIZE).startswith("upper edge")
    assert place_in_words((70, 80, 80, 110), SIZE).startswith("x 80")


@pytest.mark.parametrize("n_fixed", [6, 30])
def test_objects_that_stay_where_they_are_are_kept(n_fixed):
    """As in pictures of one scene after each other."""
    pictures, _ = slides(n_objects=10)
    rng, (rows, columns) = np.random.default_rng(5), np.indices(SIZE)
    for k in range(n_fixed):
        i, j = (k + 0.5) / n_fixed * SIZE[0], rng.uniform(10, SIZE[1] - 10)
        for values in pictures:
            values[(rows - i) ** 2 + (columns - j) ** 2 < 20] = 60
    left_out, _ = found_in(pictures)
    assert left_out is None
