"""Pictures of a fit and others: recognition, sizes, and what is said of them."""

import shutil

import numpy as np
import pytest

pytest.importorskip("tifffile")
pytest.importorskip("PIL")
from PIL import Image

from sk_ednn._utils.wording import note_on_trend
from sk_ednn.cli._count_inputs import check_inputs, pictures_and_table
from sk_ednn.cli._count_of_fit import (
    are_of_fit,
    how_to_recount,
    note_on_larger,
    note_on_seen,
    pictures_of_fit,
    size_of_fit,
    times_larger,
)
from sk_ednn.cli._paths import check_pictures
from sk_ednn.images import read_pictures


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "fit").mkdir()
    for k in range(4):
        np.save(tmp_path / "fit" / f"{k}.npy", rng.integers(0, 255, (20, 30), dtype=np.uint8))
    return tmp_path


def written(path, pixels):
    if path.suffix == ".npy":
        np.save(path, pixels)
    else:
        Image.fromarray(pixels).save(path)


@pytest.mark.parametrize("kind", ["npy", "png", "tif"])
def test_pictures_of_the_fit_are_recognised_by_content_and_not_by_name(kind, tmp_path):
    of_fit, others, rng = tmp_path / "fit", tmp_path / "others", np.random.default_rng(0)
    for each in (of_fit, others):
        each.mkdir()
    for k in range(3):
        written(of_fit / f"{k}.{kind}", rng.integers(0, 255, (20, 30), dtype=np.uint8))
    about = {"of_fit": pictures_of_fit(read_pictures(of_fit))}
    shutil.copy(of_fit / f"0.{kind}", others / f"renamed.{kind}")
    written(others / f"1.{kind}", np.zeros((20, 30), dtype=np.uint8))
    found = read_pictures(others)
    assert [each.name for each in found] == [f"1.{kind}", f"renamed.{kind}"]
    assert are_of_fit(found, about) == [False, True]
    assert are_of_fit(found, {}) == [False, False]


def test_arrays_in_one_file_are_told_apart(folder):
    arrays = {name: np.full((20, 30), k, dtype=np.uint8) for k, name in enumerate("abc")}
    np.savez(folder / "all.npz", **arrays)
    every = read_pictures(folder / "all.npz")
    about = {"of_fit": pictures_of_fit(every[:2])}
    assert are_of_fit(every, about) == [True, True, False]


@pytest.mark.parametrize("groups, held, said", [
    (None, [0, 1], "no series were held back"), (list("aabb"), [2, 3], "of the 1 series that were"),
])  # fmt: skip
def test_of_larger_pictures_is_said_what_their_intervals_assume(folder, groups, held, said):
    about = {"of_fit": pictures_of_fit(read_pictures(folder / "fit"), groups, held)}
    np.save(folder / "small.npy", np.zeros((30, 40), dtype=np.uint8))
    np.save(folder / "large.npy", np.zeros((100, 120), dtype=np.uint8))
    times = times_larger(read_pictures([folder / "small.npy", folder / "large.npy"]), about)
    assert times == [20.0] and size_of_fit(about) == "20 × 30"
    assert said in note_on_larger(times, about) and "20 × 30" in how_to_recount(times, about)
    assert times_larger(read_pictures(folder / "large.npy"), {}) == []
    assert "(20 × 30)" in note_on_trend("cells", 1.0, -1.0, 9, size_of_fit(about))


@pytest.mark.parametrize("wrong", [None, 3, [], {"grid": "x", "digests": 7, "series": "s"},
                                   {"grid": [-1, 2], "digests": [{}]}])  # fmt: skip
def test_files_of_others_may_say_anything_of_their_fit(wrong, folder):
    found, about = read_pictures(folder / "fit"), {"of_fit": wrong}
    assert not any(are_of_fit(found, about)) and not times_larger(found, about)


def test_pictures_of_the_fit_are_counted_in_the_warning():
    assert note_on_seen(0, 5) == ""
    assert note_on_seen(2, 5).startswith("2 of 5") and note_on_seen(5, 5).startswith("all 5")


def test_several_names_are_pictures_and_a_table(folder):
    photos = str(folder / "fit")
    assert pictures_and_table(["a.tif", "b.png"]) == (["a.tif", "b.png"], None)
    assert pictures_and_table(["a.tif", "b.png", "t.txt"]) == (["a.tif", "b.png"], "t.txt")
    assert pictures_and_table([photos, "t.xlsx"]) == (photos, "t.xlsx")


def test_a_name_of_several_that_is_not_there_and_one_given_twice_are_refused(folder):
    class Options:
        pictures = [str(folder / "fit"), str(folder / "gone.tif")]

    with pytest.raises(FileNotFoundError, match="gone"):
        check_inputs(Options())
    twice = read_pictures([folder / "fit", folder / "fit" / "1.npy"])
    with pytest.raises(ValueError, match="twice"):
        check_pictures(Options(), twice)
