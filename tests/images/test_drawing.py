"""Channels that are drawn in colours, and sizes of pixels that maps have from their pictures."""

import io

import numpy as np
import pytest

pytest.importorskip("PIL")
pytest.importorskip("tifffile")

import tifffile
from PIL import Image

from sk_ednn.images import as_picture, read_pictures
from sk_ednn.images._channels import channels_in_words, drawn_pixels
from sk_ednn.images._output import read_map, write_map
from sk_ednn.images._overlay import drawn_overlay, overlay_png, picture_image, write_overlay
from sk_ednn.images._pixel_size import PixelSize
from sk_ednn.images._zarr import MapWriter

RNG = np.random.default_rng(0)
HUES = {"blue": (2,), "green": (1,), "red": (0,), "grey": (0, 1, 2), "cyan": (1, 2),
        "magenta": (0, 2), "yellow": (0, 1)}  # fmt: skip


@pytest.mark.parametrize("n_channels", range(2, 8))
@pytest.mark.parametrize("faint", [1.0, 1e-3])
def test_each_channel_has_the_colour_that_is_named(n_channels, faint):
    """Also where one is much fainter than the others."""
    values = RNG.normal(100, 1, (40, 60, n_channels))
    for k in range(n_channels):
        values[4 * k : 4 * k + 3, 10:50, k] += 1000
    values[..., -1] *= faint
    picture = as_picture(values, channel_axis=-1)
    colours, grey = drawn_pixels(picture, 1)
    names = channels_in_words(picture).partition(";")[0].split(", ")
    assert [each.split()[-2] for each in names] == [str(k + 1) for k in range(n_channels)]
    for k, name in enumerate(each.split()[-1] for each in names):
        hue = set(HUES[name])
        red_green_blue = colours[4 * k : 4 * k + 3, 10:50].mean(axis=(0, 1))
        least, others = min(red_green_blue[list(hue)]), set(range(3)) - hue
        assert least > 1.5 * max((red_green_blue[j] for j in others), default=0) and least > 200
        assert grey[4 * k : 4 * k + 3, 10:50].mean() > 200
    assert grey[35:].mean() < 60


def test_more_channels_than_colours_are_grey_and_none_is_lost():
    values = np.zeros((20, 30, 9))
    values[:, 15, 8] = 1.0
    picture = as_picture(values, channel_axis=-1)
    colours, grey = drawn_pixels(picture, 1)
    assert channels_in_words(picture) == "the brightest of 9 channels in grey"
    assert (colours[:, 15] == 255).all() and (np.delete(grey, 15, axis=1) == 0).all()


def test_photographs_keep_their_hues(tmp_path):
    values = np.full((30, 40, 3), (220, 200, 120), np.uint8)
    values[10:20, 10:20] = (120, 20, 40)
    Image.fromarray(values).save(tmp_path / "a.png")
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb")
    for picture in (*read_pictures(str(tmp_path)), as_picture(values)):
        assert picture.is_rgb and channels_in_words(picture) == ""
        (light, dark) = (np.asarray(picture_image(picture))[i, i].astype(int) for i in (2, 15))
        assert light[0] > light[1] > light[2] + 50 and dark[0] > dark[2] + 50 > dark[1] + 50


@pytest.mark.parametrize("axes", ["CYX", "ZCYX"])
def test_channels_of_microscopes_are_no_photographs(axes, tmp_path):
    values = RNG.integers(0, 255, (3, 3, 20, 30)[-len(axes) :], dtype=np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", values, imagej=True, metadata={"axes": axes})
    (picture,) = read_pictures(str(tmp_path / "a.tif"))
    assert channels_in_words(picture) == "channel 1 blue, 2 green, 3 red"
    assert np.asarray(picture_image(picture)).shape == (20, 30, 3)


def test_overlays_of_channels_have_the_picture_beside_them(tmp_path):
    values = RNG.integers(0, 255, (24, 900, 2), dtype=np.uint8)
    picture = as_picture(values, channel_axis=-1)
    write_overlay(tmp_path / "a.png", picture, np.zeros((6, 225)), (4, 4))
    drawn = np.asarray(Image.open(tmp_path / "a.png"), dtype=int)
    np.testing.assert_array_equal(drawn[:24, :900], np.asarray(picture_image(picture)))
    assert (np.ptp(drawn[:24, 930:], axis=-1) == 0).all()
    assert (np.ptp(drawn[:24, :900], axis=-1) > 50).mean() > 0.5


@pytest.mark.parametrize("is_colour", [False, True], ids=["grey", "colour"])
def test_rings_are_around_peaks_alone(is_colour):
    shape = (240, 800, 3) if is_colour else (240, 800)
    picture = as_picture(RNG.integers(60, 200, shape, dtype=np.uint8))
    peaks = np.array([(10, 20), (30, 150)])
    contributions = np.zeros((60, 200))
    contributions[tuple(peaks.T)] = 1.0
    without, ringed = (
        np.asarray(
            drawn_overlay(picture, contributions, (4, 4), rings=rings, beside=is_colour)[0], int
        )
        for rings in (False, True)
    )
    places = np.argwhere((without != ringed).any(axis=-1))
    away = np.hypot(*(places[:, None] - (4 * peaks + 1.5)).transpose(2, 0, 1))
    # The object in a ring is still to be seen.
    assert 2 < away.min(axis=1).min() and away.min(axis=1).max() < 12
    assert (away < 12).any(axis=0).all()


def test_overlays_are_titled(tmp_path):
    """The legend has a line more; letters that the font lacks are left out."""
    picture, contributions = as_picture(np.zeros((60, 400), np.uint8)), np.zeros((15, 100))
    heights = []
    for title in ("", "Körner: 17.5", "\u4e2d"):
        write_overlay(tmp_path / "a.png", picture, contributions, (4, 4), title=title)
        with Image.open(tmp_path / "a.png") as image:
            heights.append(image.height)
    assert heights[1] > heights[0] == heights[2]


@pytest.mark.parametrize("span", [20, 200])
def test_photographs_keep_their_colours_unless_they_are_flat(span):
    values = RNG.integers(30, 30 + span, (40, 50, 3), dtype=np.uint8)
    picture = as_picture(values)
    assert picture.is_rgb
    drawn = np.asarray(picture_image(picture))
    if span == 200:
        np.testing.assert_array_equal(drawn, values)
    else:
        assert drawn.min() < 5 and drawn.max() > 250


@pytest.mark.parametrize("longest", [50, 100, 4096])
def test_overlays_are_no_longer_than_asked_for(longest):
    picture = as_picture(RNG.integers(0, 255, (300, 200), dtype=np.uint8))
    image, pixels = drawn_overlay(picture, np.ones((75, 50)), (4, 4), longest=longest)
    assert max(image.size) <= longest and pixels == max(1, -(-300 // longest))


# --- sizes of pixels

SIZE = PixelSize(0.325, 0.65)


def write_imagej(path, values):
    tifffile.imwrite(path, values, imagej=True, resolution=(1 / 0.65, 1 / 0.325),
                     metadata={"unit": "micron"})  # fmt: skip


def write_ome(path, values):
    sizes = {"PhysicalSizeX": 650, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 0.325}
    tifffile.imwrite(path, values, ome=True, metadata=sizes)


def write_in(unit, length):
    def write(path, values):
        resolution = (length / 0.65, length / 0.325)
        tifffile.imwrite(path, values, resolution=resolution, resolutionunit=unit)

    return write


def write_png(path, values):
    Image.fromarray(values).save(path, dpi=(25400 / 0.65, 25400 / 0.325))


WRITERS = {
    "imagej.tif": write_imagej, "ome.tif": write_ome, "inch.tif": write_in("INCH", 25400),
    "cm.tif": write_in("CENTIMETER", 1e4), "a.png": write_png,
}  # fmt: skip


@pytest.mark.parametrize("name", WRITERS)
def test_maps_and_overlays_have_the_size_of_the_pixels_of_a_picture(name, tmp_path):
    path = tmp_path / name
    WRITERS[name](path, RNG.integers(0, 255, (24, 400), dtype=np.uint8))
    (picture,) = read_pictures(str(path))
    size = picture.pixel_size
    assert (size.y, size.x) == (pytest.approx(SIZE.y, 1e-4), pytest.approx(SIZE.x, 1e-4))
    write_map(tmp_path / "map.tif", np.ones((3, 50)), (8, 8), size)
    (again,) = read_pictures(str(tmp_path / "map.tif"))
    assert again.pixel_size.x == pytest.approx(8 * SIZE.x, 1e-4)
    assert read_map(tmp_path / "map.tif")[1] == 8.0
    with tifffile.TiffFile(tmp_path / "map.tif") as file:  # as programs without OME read it
        x, y = file.pages[0].resolution
        assert (1e4 / x, 1e4 / y) == (pytest.approx(5.2, 1e-4), pytest.approx(2.6, 1e-4))
    drawn = io.BytesIO(overlay_png(picture, np.ones((3, 50)), (8, 8)))
    per_x, per_y = Image.open(drawn).info["dpi"]
    assert 25400 / per_x == pytest.approx(0.65, 1e-3) and 25400 / per_y == pytest.approx(
        0.325, 1e-3
    )


def test_an_enlarged_overlay_has_smaller_pixels_and_one_of_some_pixels_larger_ones(tmp_path):
    write_imagej(tmp_path / "a.tif", RNG.integers(0, 255, (24, 100), dtype=np.uint8))
    (picture,) = read_pictures(str(tmp_path / "a.tif"))
    for options in ({"legend": True}, {"longest": 30}):
        png = io.BytesIO(overlay_png(picture, np.ones((6, 25)), (4, 4), **options))
        with Image.open(png) as image:
            um = 25400 / image.info["dpi"][0]
            assert um * image.width == pytest.approx(100 * 0.65, rel=0.1)


@pytest.mark.parametrize("in_um", [True, False])
def test_a_map_of_a_slide_has_the_size_of_its_tiles(in_um, tmp_path):
    pytest.importorskip("zarr")
    with MapWriter(tmp_path / "a.zarr", "a", (3, 5), (4, 4), 1, SIZE if in_um else None) as write:
        write((slice(0, 3), slice(0, 5)), np.ones((3, 5, 1)))
    (picture,) = read_pictures(str(tmp_path / "a.zarr"))
    assert picture.pixel_size == (PixelSize(1.3, 2.6) if in_um else None)


@pytest.mark.parametrize("z", [None, 2.0])
def test_planes_of_a_stack_have_their_distance_where_it_is_known(z, tmp_path):
    more = {} if z is None else {"spacing": z}
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((3, 20, 30), np.uint8), imagej=True,
                     resolution=(2, 2), metadata={"axes": "ZYX", "unit": "um", **more})  # fmt: skip
    (picture,) = read_pictures(str(tmp_path / "a.tif"))
    assert picture.pixel_size == PixelSize(0.5, 0.5, z)
    write_map(tmp_path / "map.tif", np.ones((3, 5, 8)), (1, 4, 4), picture.pixel_size)
    (again,) = read_pictures(str(tmp_path / "map.tif"))
    assert again.pixel_size == PixelSize(2.0, 2.0, z)


@pytest.mark.parametrize("hostile", ["0", "-1", "NaN", "1e999", "a", ""])
def test_sizes_that_are_none_are_left_out(hostile, tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((20, 30), np.uint8), ome=True,
                     metadata={"PhysicalSizeX": 1234.5, "PhysicalSizeY": 1.0})  # fmt: skip
    content = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(content.replace(b"1234.5", hostile.ljust(6).encode()))
    (picture,) = read_pictures(str(tmp_path / "a.tif"))
    assert (
        picture.pixel_size is None
        and picture.read((slice(0, 2), slice(0, 2), slice(0, 1))).any() == 0
    )


def test_maps_of_before_are_read(tmp_path):
    described = {"axes": "YX", "PhysicalSizeX": 4, "PhysicalSizeXUnit": "pixel"}
    tifffile.imwrite(tmp_path / "a.tif", np.ones((3, 5), np.float32), metadata=described, ome=True)
    assert read_map(tmp_path / "a.tif")[1] == 4.0
    tifffile.imwrite(tmp_path / "b.tif", np.ones((3, 5), np.float32))
    assert read_map(tmp_path / "b.tif") is None
