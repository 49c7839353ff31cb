"""Pictures of files: formats, axes, channels, and files that are none."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("PIL")
tifffile = pytest.importorskip("tifffile")
zarr = pytest.importorskip("zarr")

from PIL import Image  # noqa: E402

from sk_ednn import EDNNRegressor, GridTiling  # noqa: E402
from sk_ednn.images import PictureError, as_picture, match_totals, read_pictures  # noqa: E402
from sk_ednn.images._checks import (  # noqa: E402
    pixel_digest,
    require_alike,
    require_distinct,
    require_picture,
)

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (20, 30), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)
DEEP = RNG.integers(0, 65536, (20, 30), dtype=np.uint16)
STACK = RNG.integers(0, 65536, (5, 20, 30), dtype=np.uint16)
FLOAT = RNG.normal(size=(20, 30)).astype(np.float32)
CHANNELS = RNG.integers(0, 65536, (4, 20, 30), dtype=np.uint16)


def png(values, **params):
    return lambda path: Image.fromarray(values).save(path, **params)


def tiff(values, **params):
    return lambda path: tifffile.imwrite(path, values, **params)


def gdal(values, nodata=None, **items):
    """Write a GeoTIFF with a mark of missing values, or scales, as GDAL does."""
    tags = [] if nodata is None else [(42113, "s", 0, nodata, True)]
    if items:
        inner = "".join(
            f'<Item name="x" sample="0" role="{k}">{v}</Item>' for k, v in items.items()
        )
        tags.append((42112, "s", 0, f"<GDALMetadata>{inner}</GDALMetadata>", True))
    return lambda path: tifffile.imwrite(path, values, extratags=tags)


@pytest.mark.parametrize(
    "write",
    [
        gdal(GREY, nodata="0"), gdal(GREY, nodata="255"), gdal(GREY, nodata="nan"),
        gdal(GREY, nodata="-9999"), gdal(GREY, scale="1", offset="0"), gdal(GREY, nodata="none"),
    ],
)  # fmt: skip
def test_tags_of_gdal_that_mean_nothing_change_nothing(write, tmp_path):
    write(str(tmp_path / "a.tif"))
    np.testing.assert_array_equal(read_pictures(tmp_path)[0].array()[..., 0], GREY)


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (gdal(GREY, nodata="0"), True), (gdal(GREY, nodata="255"), True),
        (gdal(GREY.astype("u2"), nodata="65535"), True), (gdal(GREY, nodata="-9999"), False),
        (gdal(GREY), False),
    ],
)  # fmt: skip
def test_black_or_white_that_a_file_declares_missing_is_noted(write, said, tmp_path):
    write(str(tmp_path / "a.tif"))
    notes = read_pictures(tmp_path)[0].notes
    assert any("as missing (GDAL_NODATA)" in note for note in notes) == said


def test_a_transparent_colour_that_no_pixel_has_changes_nothing(tmp_path):
    values = np.where(GREY == 5, 6, GREY).astype(np.uint8)
    png(values, transparency=5)(tmp_path / "a.png")
    np.testing.assert_array_equal(read_pictures(tmp_path)[0].array()[..., 0], values)


def ome_zarr(values, axes):
    def write(path):
        root = zarr.open_group(path, mode="w")
        for level, step in enumerate((1, 2)):
            root.create_array(str(level), data=values[..., ::step, ::step])
        described = [{"name": axis} for axis in axes]
        datasets = [{"path": "0"}, {"path": "1"}]
        root.attrs["ome"] = {"multiscales": [{"axes": described, "datasets": datasets}]}

    return write


GOOD = {
    "grey.png": (png(GREY), GREY[..., None]),
    "colour.png": (png(COLOUR), COLOUR),
    "deep.png": (png(DEEP), DEEP[..., None]),
    "opaque.png": (png(np.dstack([COLOUR, np.full((20, 30), 255, np.uint8)])), COLOUR),
    "grey.tif": (tiff(GREY), GREY[..., None]),
    "colour.tif": (tiff(COLOUR, photometric="rgb"), COLOUR),
    "planar.tif": (
        tiff(COLOUR.transpose(2, 0, 1), photometric="rgb", planarconfig="separate"),
        COLOUR,
    ),
    "deep.tif": (tiff(DEEP, photometric="minisblack"), DEEP[..., None]),
    "float.tif": (tiff(FLOAT), FLOAT[..., None]),
    "white.tif": (tiff(GREY, photometric="miniswhite"), 255 - GREY[..., None]),
    "tiled.tif": (tiff(GREY, tile=(16, 16)), GREY[..., None]),
    "zlib.tif": (tiff(DEEP, compression="zlib"), DEEP[..., None]),
    "imagej.tif": (tiff(STACK, imagej=True, metadata={"axes": "ZYX"}), STACK[..., None]),
    "imagej_channels.tif": (
        tiff(CHANNELS, imagej=True, metadata={"axes": "CYX"}),
        CHANNELS.transpose(1, 2, 0),
    ),
    "pages.tif": (tiff(STACK, photometric="minisblack"), STACK[..., None]),
    "stack.ome.tif": (tiff(STACK, metadata={"axes": "ZYX"}), STACK[..., None]),
    "channels.ome.tif": (
        tiff(CHANNELS, metadata={"axes": "CYX"}, photometric="minisblack"),
        CHANNELS.transpose(1, 2, 0),
    ),
    "all.ome.zarr": (ome_zarr(CHANNELS, "cyx"), CHANNELS.transpose(1, 2, 0)),
    "planes.zarr": (ome_zarr(STACK, "zyx"), STACK[..., None]),
    "grey.npy": (lambda path: np.save(path, GREY), GREY[..., None]),
}


@pytest.mark.parametrize("name", GOOD)
def test_every_format_gives_its_numbers_channels_last(name, tmp_path):
    write, expected = GOOD[name]
    write(str(tmp_path / name))
    (picture,) = read_pictures(tmp_path)
    assert picture.name == name
    assert (picture.shape, picture.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_array_equal(picture.array(), expected)
    box = tuple(slice(n // 3, n // 3 + max(1, n // 2)) for n in expected.shape)
    np.testing.assert_array_equal(picture.read(box), expected[box])


def test_jpeg_is_read_as_colour(tmp_path):
    smooth = np.add.outer(np.arange(64), np.arange(48)).astype(np.uint8)
    Image.fromarray(np.dstack([smooth] * 3)).save(tmp_path / "a.jpg", quality=95)
    (picture,) = read_pictures(tmp_path / "a.jpg")
    assert picture.shape == (64, 48, 3)
    assert np.abs(picture.array()[..., 0].astype(int) - smooth).mean() < 3


@pytest.mark.parametrize("compression", ["lzw", "zstd"])
def test_compressions_of_microscopes(compression, tmp_path, monkeypatch):
    pytest.importorskip("imagecodecs")
    tiff(COLOUR, compression=compression, photometric="rgb")(tmp_path / "a.tif")
    np.testing.assert_array_equal(read_pictures(tmp_path)[0].array(), COLOUR)
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    with pytest.raises(PictureError, match=r"a\.tif: its compression, .*: pip install imagecodecs"):
        read_pictures(tmp_path)


def test_archives_hold_one_picture_an_array(tmp_path):
    np.savez(tmp_path / "set.npz", b=GREY, a=COLOUR)
    result = read_pictures(tmp_path / "set.npz")
    assert [each.name for each in result] == ["set.npz::b", "set.npz::a"]
    np.testing.assert_array_equal(result[1].array(), COLOUR)


def test_folders_patterns_and_lists(tmp_path):
    for day in ("day1", "day2"):
        (tmp_path / day).mkdir()
        png(GREY)(tmp_path / day / "a.png")
    (tmp_path / "day1" / "counts.csv").write_text("file,count\na.png,3\n")
    (tmp_path / "day1" / "Thumbs.db").write_bytes(b"x")
    assert [each.name for each in read_pictures(tmp_path / "day1")] == ["a.png"]
    assert [each.name for each in read_pictures(f"{tmp_path}/*/*.png")] == [
        os.path.join("day1", "a.png"),
        os.path.join("day2", "a.png"),
    ]
    assert len(read_pictures([tmp_path / "day1", GREY, COLOUR])) == 3


@pytest.mark.parametrize("orientation", [None, 1, 3, 6])
@pytest.mark.parametrize("ending", [".jpg", ".png"])
def test_pictures_that_viewers_turn_are_read_as_stored_with_a_word(tmp_path, ending, orientation):
    values = np.arange(48, dtype=np.uint8).reshape(6, 8)
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    Image.fromarray(values).save(tmp_path / f"a{ending}", exif=exif)
    (picture,) = read_pictures(tmp_path)
    assert picture.grid == (6, 8)
    turned = orientation in (3, 6)
    assert any("turned or flipped" in note for note in picture.notes) is turned


def test_the_opaque_alpha_channel_is_left_out_with_a_word(tmp_path):
    GOOD["opaque.png"][0](tmp_path / "a.png")
    assert read_pictures(tmp_path)[0].notes == (
        "its alpha channel is opaque everywhere and was left out",
    )


@pytest.mark.parametrize(
    ("shape", "channel_axis", "expected"),
    [
        ((40, 30), None, (40, 30, 1)),
        ((40, 30, 3), None, (40, 30, 3)),
        ((5, 40, 30), 0, (40, 30, 5)),
        ((12, 40, 30), None, (12, 40, 30, 1)),
        ((12, 40, 30, 2), None, (12, 40, 30, 2)),
    ],
)
def test_channels_of_arrays(shape, channel_axis, expected):
    assert as_picture(np.zeros(shape), channel_axis=channel_axis).shape == expected


def test_channels_that_may_be_planes_are_asked_for():
    with pytest.raises(
        PictureError, match=r"a\.npy: shape \(5, 40, 30\) may be a stack or have chan"
    ):
        as_picture(np.zeros((5, 40, 30)), "a.npy")


# ----------------------------------------------------------------------------------- bad files


def truncated(write, share):
    def write_half(path):
        write(path)
        data = Path(path).read_bytes()
        Path(path).write_bytes(data[: int(share * len(data))])

    return write_half


def palette(path):
    Image.fromarray(COLOUR).convert("P").save(path)


def cmyk(path):
    Image.fromarray(COLOUR).convert("CMYK").save(path)


def holes(path):
    values = FLOAT.copy()
    values[3, 4] = np.nan
    tifffile.imwrite(path, values)


def deep_colour(path):
    # The head of a PNG of 30 × 20 pixels with three channels of 16 bits.
    head = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x1e\0\0\0\x14\x10\x02\0\0\0"
    Path(path).write_bytes(head + b"\0" * 40)


BAD = {
    "empty.png": (lambda path: Path(path).touch(), "the file is empty"),
    "text.png": (lambda path: Path(path).write_text("no picture at all"), "not a picture"),
    "half.png": (truncated(png(COLOUR), 0.6), "truncated or damaged"),
    "half.tif": (truncated(tiff(DEEP), 0.5), "(cannot be read|truncated or damaged)"),
    "stub.tif": (truncated(tiff(DEEP), 0.01), "cannot be read"),
    "half.jpg": (truncated(png(COLOUR), 0.7), "damaged"),
    "cmyk.jpg": (cmyk, r"those of printing \(CMYK\)"),
    "cmyk.tif": (
        lambda path: tifffile.imwrite(path, np.dstack([COLOUR, GREY]), photometric="separated"),
        r"of printing \(CMYK\)",
    ),
    "palette.png": (palette, "palette"),
    "palette.tif": (
        lambda path: tifffile.imwrite(
            path, GREY, photometric="palette", colormap=np.zeros((3, 256), np.uint16)
        ),
        "palette",
    ),
    "bits.png": (lambda path: Image.fromarray(GREY > 9).save(path), "as in a mask"),
    "holes.tif": (holes, r"1 pixel value\(s\) are NaN or infinite, the first at \(3, 4, 0\)"),
    "clear colour.png": (png(GREY, transparency=int(GREY[3, 4])), "declares to be transparent"),
    "nodata.tif": (gdal(np.where(FLOAT > 2, -9999, FLOAT), nodata="-9999"), "mark as missing"),
    "nodata.i2.tif": (gdal(GREY.astype("i2") - 99, nodata="-1"), "as missing"),
    "scaled.tif": (gdal(GREY, scale="0.5", offset="10"), r"scale_factor=0\.5, add_offset=10"),
    "clear.png": (png(np.dstack([COLOUR, GREY])), "% of the pixels are transparent"),
    "deep.png": (deep_colour, "colours of 16 bits"),
    "times.tif": (
        lambda path: tifffile.imwrite(path, STACK, imagej=True, metadata={"axes": "TYX"}),
        "5 times, but one count",
    ),
    "frames.gif": (
        lambda path: Image.fromarray(GREY).save(
            path, save_all=True, append_images=[Image.fromarray(GREY.T.copy().T // 2)]
        ),
        "(palette|2 frames)",
    ),
    "broken.npz": (lambda path: Path(path).write_bytes(b"PK\x03\x04 nothing"), "cannot be read"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_named_in_one_line(name, tmp_path):
    write, why = BAD[name]
    write(str(tmp_path / name))
    with pytest.raises(PictureError, match=why) as caught:
        read_pictures(tmp_path)[0].array()
    assert str(caught.value).startswith(f"{name}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (np.zeros((1, 1), np.uint8), "1 × 1 pixels is too small"),
        (np.full((20, 20), 7, np.uint8), "all pixels are 7"),
        ((GREY > 100).astype(np.uint8) * 255, "two values 0 and 255 only, as in a mask"),
    ],
)
def test_pictures_without_a_picture(values, why):
    picture = as_picture(values, "dish.png")
    with pytest.raises(PictureError, match=why) as caught:
        require_picture(picture, picture.array())
    assert str(caught.value).startswith("dish.png: ")


def test_a_picture_twice_and_others_that_do_not_go_together():
    one, two, three = as_picture(GREY, "a"), as_picture(GREY.copy(), "b"), as_picture(COLOUR, "c")
    digests = [pixel_digest(each.array()) for each in (one, two)]
    with pytest.raises(PictureError, match="b: the same pixels as a"):
        require_distinct([one, two], digests)
    require_distinct([one], digests[:1])
    with pytest.raises(PictureError, match=r"c: the picture is colour \(3 channels\), and a is gr"):
        require_alike([one, three], 2, 1)


# ------------------------------------------------------------------------------- large pictures


@pytest.mark.slow
def test_slides_are_read_by_regions(tmp_path):
    """Of a tiled TIFF of 400 MB only the tiles are read that a region touches."""
    path, side = str(tmp_path / "slide.tif"), 20_000
    code = f"""if True:
        import tifffile, numpy as np
        def tiles():
            for k in range((({side} + 511) // 512) ** 2):
                yield np.full((512, 512), k % 251, np.uint8)
        tifffile.imwrite({path!r}, tiles(), shape=({side}, {side}), dtype=np.uint8,
                         tile=(512, 512), compression="zlib")"""
    subprocess.run([sys.executable, "-c", code], check=True)
    code = f"""if True:
        import resource
        from sk_ednn.images import read_pictures
        (picture,) = read_pictures({path!r})
        assert picture.by_region and picture.shape == ({side}, {side}, 1)
        box = (slice(510, 514), slice(510, 514), slice(0, 1))
        picture.read(box)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for k in range(0, {side} - 600, 1000):
            values = picture.read((slice(k, k + 600), slice(k, k + 600), slice(0, 1)))
        print(picture.read(box)[..., 0].tolist(),
              resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    result, _, grown = done.stdout.rpartition(" ")
    assert json.loads(result) == [[0, 0, 1, 1]] * 2 + [[40, 40, 41, 41]] * 2
    assert int(grown) < 60_000  # kB; the picture has 400,000


def test_pictures_are_fields_of_any_model(tmp_path):
    """`EDNNRegressor` takes pictures, in memory or from files, as it takes arrays."""
    from sklearn.linear_model import Ridge

    arrays = [RNG.normal(size=(8, 12, 1)) for _ in range(6)]
    paths = [tmp_path / f"{k}.npy" for k in range(6)]
    for path, values in zip(paths, arrays, strict=True):
        np.save(path, values)
    totals = [values.sum() for values in arrays]
    tiling = GridTiling(4, 1, boundary="reflect", channel_axis=-1)
    model = EDNNRegressor(Ridge(1e-9), tiling).fit(read_pictures(paths), totals)
    np.testing.assert_allclose(model.predict(arrays), totals, rtol=1e-6)


def test_all_pictures_that_cannot_be_used_are_named_at_once(tmp_path):
    for k in range(14):
        np.save(tmp_path / f"{k:02d}.npy", RNG.normal(size=(20, 20)))
    for k in range(1, 14):
        (tmp_path / f"{k:02d}.npy").write_bytes(b"")
    with pytest.raises(PictureError) as caught:
        read_pictures(tmp_path)
    said = str(caught.value)
    assert said.startswith("01.npy: the file is empty. These cannot be used either: 02.npy, 03.npy")
    assert said.endswith("11.npy and 2 more.")


def pages(path, **params):
    """Write pages one by one, as programs of microscopes do."""
    with tifffile.TiffWriter(path) as writer:
        for plane in STACK:
            writer.write(plane, contiguous=False, metadata=None, **params)


STACKS = {
    "ome": tiff(STACK, metadata={"axes": "ZYX"}, ome=True),
    "imagej": tiff(STACK, imagej=True, metadata={"axes": "ZYX"}),
    "plain": tiff(STACK, photometric="minisblack", metadata=None),
    "shaped": tiff(STACK, photometric="minisblack"),
    "zlib": tiff(STACK, photometric="minisblack", metadata=None, compression="zlib"),
    "pages": pages,
    "tiled pages": lambda path: pages(path, tile=(16, 16)),
}


@pytest.mark.parametrize("kind", STACKS)
def test_stacks_that_are_cut_short_have_no_fewer_planes(kind, tmp_path):
    """tifffile ends a stack at the first page that it cannot read, without an error."""
    STACKS[kind](tmp_path / "whole.tif")
    np.testing.assert_array_equal(read_pictures(tmp_path)[0].array()[..., 0], STACK)
    content = (tmp_path / "whole.tif").read_bytes()
    for share in np.linspace(0.02, 0.999, 40):
        (tmp_path / "cut.tif").write_bytes(content[: int(share * len(content))])
        try:
            (picture,) = read_pictures(tmp_path / "cut.tif")
            values = picture.array()[..., 0]
        except PictureError as error:
            assert str(error).startswith("cut.tif: ") and "\n" not in str(error)
        else:  # only what is behind the pixels was cut
            np.testing.assert_array_equal(values, STACK)


def test_tiles_that_are_not_in_the_file_are_errors_or_zeros(tmp_path):
    tiles = [np.full((16, 16), k + 1, np.uint8) for k in range(4)]
    given = (None if k == 2 else tile for k, tile in enumerate(tiles))
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, given, shape=(32, 32), dtype=np.uint8, tile=(16, 16))
    with pytest.raises(PictureError, match=r"a\.tif: 1 of 4 tiles are not in the file.*'fill'"):
        read_pictures(path)
    (picture,) = read_pictures(path, missing_chunks="fill")
    tiles[2][:] = 0
    np.testing.assert_array_equal(picture.array()[..., 0], np.block([tiles[:2], tiles[2:]]))


@pytest.mark.parametrize("is_there", [True, False])
def test_planes_in_other_files_are_refused(is_there, tmp_path):
    parts = "".join(
        f'<TiffData IFD="0" FirstZ="{k}" PlaneCount="1"><UUID FileName="{k}.ome.tif">urn:uuid:{k}'
        "</UUID></TiffData>"
        for k in range(2)
    )
    described = (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" '
        'SizeX="30" SizeY="20" SizeZ="2" SizeC="1" SizeT="1"><Channel ID="Channel:0:0" '
        f'SamplesPerPixel="1"/>{parts}</Pixels></Image></OME>'
    )
    for k in range(1 + is_there):
        tiff(DEEP, description=described, metadata=None)(tmp_path / f"{k}.ome.tif")
    with pytest.raises(PictureError, match="its planes are in several files"):
        read_pictures(tmp_path / "0.ome.tif")


def pnm(kind, white, values):
    def write(path):
        rows = values.reshape(20, -1)
        if kind in "23":
            text = "\n".join(" ".join(map(str, row)) for row in rows.tolist())
            content = text.encode()
        else:
            content = values.astype(">u2" if white > 255 else "u1").tobytes()
        path.write_bytes(f"P{kind} # by a camera\n30 20\n# white\n{white}\n".encode() + content)

    return write


def patched(write, mark, *changes):
    """Write a picture, and change bytes at some distances behind a mark."""

    def write_and_patch(path):
        write(path)
        content = bytearray(path.read_bytes())
        start = content.index(mark)
        for offset, bits in changes:
            content[start + offset] |= bits
        path.write_bytes(content)

    return write_and_patch


def other(values, form, **params):
    return lambda path: Image.fromarray(values).save(path, format=form, **params)


SIZES = b"\xff\x4f\xff\x51"
EXACT = {
    "a.pgm": (pnm("5", 255, GREY), GREY), "b.pgm": (pnm("2", 255, GREY), GREY),
    "c.pgm": (pnm("5", 65535, DEEP), DEEP), "d.pgm": (pnm("2", 65535, DEEP), DEEP),
    "e.ppm": (pnm("6", 255, COLOUR), COLOUR), "f.ppm": (pnm("3", 255, COLOUR), COLOUR),
    "g.jp2": (other(GREY, "JPEG2000"), GREY), "h.jp2": (other(DEEP, "JPEG2000"), DEEP),
    "i.jp2": (other(COLOUR, "JPEG2000"), COLOUR), "j.sgi": (other(GREY, "SGI"), GREY),
}  # fmt: skip
NARROWED = {
    "a.pgm": (pnm("5", 4095, DEEP >> 4), "white is 4095"),
    "b.pgm": (pnm("2", 15, GREY >> 4), "white is 15"),
    "c.pgm": (pnm("5", 100, GREY % 101), "white is 100"),
    "d.ppm": (pnm("6", 65535, np.repeat(DEEP, 3)), "only 8 bits"),
    "e.ppm": (pnm("3", 100, COLOUR % 101), "white is 100"),
    "g.jp2": (patched(other(COLOUR, "JPEG2000"), SIZES, (42, 8), (45, 8), (48, 8)), "JPEG 2000"),
    "h.sgi": (other(GREY, "SGI", bpc=2), "SGI"),
}  # fmt: skip


@pytest.mark.parametrize("name", EXACT)
def test_numbers_are_those_of_the_file(name, tmp_path):
    write, values = EXACT[name]
    write(tmp_path / name)
    (picture,) = read_pictures(tmp_path / name)
    np.testing.assert_array_equal(picture.array().squeeze(), values)


@pytest.mark.parametrize("name", NARROWED)
def test_numbers_that_would_be_narrowed_or_stretched_are_refused(name, tmp_path):
    write, words = NARROWED[name]
    write(tmp_path / name)
    with pytest.raises(PictureError, match=f"{name}: .*({words}).*Save it as TIFF"):
        read_pictures(tmp_path / name)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_orientations_of_tiff_are_noted(orientation, tmp_path):
    tiff(GREY, extratags=[(274, "H", 1, orientation, True)])(tmp_path / "a.tif")
    [picture] = read_pictures(tmp_path / "a.tif")
    np.testing.assert_array_equal(picture.array()[..., 0], GREY)
    assert any("turned or flipped" in note for note in picture.notes) == (orientation != 1)


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("tiled", [{}, {"tile": (16, 16)}])
def test_previews_are_not_taken_for_the_picture(first, tiled, tmp_path, monkeypatch):
    monkeypatch.setattr("sk_ednn.images._tifffile.READ_WHOLE_BYTES", 0 if tiled else 1 << 26)
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        pages = [(GREY[::4, ::4], {"subfiletype": 1}), (GREY, tiled)]
        for values, options in pages if first else pages[::-1]:
            file.write(values, photometric="minisblack", **options)
    [picture] = read_pictures(tmp_path / "a.tif")
    np.testing.assert_array_equal(picture.array()[..., 0], GREY)
    assert picture.by_region == bool(tiled) and picture.notes == ()
    if tiled:
        picture.reader._opened.store.close()


def test_equal_names_in_two_folders_have_their_folder(tmp_path):
    """Otherwise no table could tell them apart."""
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        png(GREY if folder == "a" else 255 - GREY)(tmp_path / folder / "dish.png")
    png(GREY)(tmp_path / "a" / "other.png")
    pictures = read_pictures([tmp_path / "a", tmp_path / "b"])
    assert [each.name for each in pictures] == ["a/dish.png", "other.png", "b/dish.png"]
    np.testing.assert_array_equal(pictures[2].array()[..., 0], 255 - GREY)
    (tmp_path / "t.csv").write_text("file,count\na/dish.png,1\nb/dish.png,2\nother,3\n")
    assert match_totals(pictures, tmp_path / "t.csv").totals.tolist() == [1, 3, 2]
    alone = read_pictures([tmp_path / "a", tmp_path / "a" / "dish.png"])  # one file, twice
    assert [each.name for each in alone] == ["dish.png", "other.png", "dish.png"]
