"""Pixels that lie in stores, or in arrays of other libraries: the same numbers, or refused."""

import shutil
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("PIL")
pytest.importorskip("torch")
zarr = pytest.importorskip("zarr")

from PIL import Image  # noqa: E402

from sk_ednn.datasets import make_pictures  # noqa: E402
from sk_ednn.exceptions import NoveltyWarning  # noqa: E402
from sk_ednn.images import CountRegressor, PictureError, read_pictures  # noqa: E402
from sk_ednn.images._zarr import MapWriter  # noqa: E402

DATA = make_pictures(10, (48, 56), n_objects=(20, 200), random_state=0)
PIXELS = np.asarray(DATA.pictures[0])
CHUNKS = (16, 16)


@pytest.fixture(scope="module")
def model():
    return CountRegressor(max_epochs=1, n_members=1, random_state=0).fit(DATA.pictures, DATA.totals)


def ome(path, attributes=None, **params):
    """Write an OME-Zarr folder."""
    group = zarr.open_group(str(path), mode="w")
    array = group.create_array("0", shape=PIXELS.shape, chunks=CHUNKS, dtype=PIXELS.dtype, **params)
    array[:] = PIXELS
    array.attrs.update(attributes or {})
    datasets = [{"path": "0"}]
    axes = [{"name": "y"}, {"name": "x"}]
    group.attrs["ome"] = {"multiscales": [{"axes": axes, "datasets": datasets}]}
    return path


def h5(folder, attributes=None, rows=None):
    h5py = pytest.importorskip("h5py")
    file = h5py.File(folder / "a.h5", "w")
    data = file.create_dataset("a", shape=PIXELS.shape, chunks=CHUNKS, dtype=PIXELS.dtype)
    data[:rows] = PIXELS[:rows]
    data.attrs.update(attributes or {})
    return data


def without(path, chunk):
    (path / "0" / "c" / chunk).unlink()
    return path


def linked(path, folder):
    """Let a folder of chunks lie outside of its store."""
    shutil.move(path / "0" / "c" / "1", folder / "elsewhere")
    (path / "0" / "c" / "1").symlink_to(folder / "elsewhere")
    return path


def dask(values):
    return pytest.importorskip("dask.array").from_array(values, chunks=20)


def xarray(attributes=None):
    module = pytest.importorskip("xarray")
    return module.DataArray(PIXELS, dims=("y", "x"), attrs=attributes or {})


def tensor(**params):
    import torch

    return torch.tensor(PIXELS.astype(np.float32), **params)


def masked():
    return np.ma.masked_less(PIXELS, int(np.median(PIXELS)))


PACKED = {"scale_factor": 0.1}
REFUSED = {
    "chunk": (lambda f: str(without(ome(f / "a.zarr"), "1/1")), "chunk '0/c/1/1' is not in .*fill"),
    "shard": (
        lambda f: str(without(ome(f / "a.zarr", shards=(32, 32)), "1/0")),
        "chunk '0/c/1/0' is not in",
    ),
    "array": (
        lambda f: [zarr.open(str(without(ome(f / "a.zarr"), "1/1")), mode="r")["0"]],
        "chunk '0/c/1/1' is not in",
    ),
    "hdf5": (lambda f: [h5(f, rows=16)], "was never written"),
    "packed zarr": (lambda f: str(ome(f / "a.zarr", PACKED)), "is packed: .*scale_factor=0.1"),
    "packed hdf5": (lambda f: [h5(f, PACKED)], "is packed: .*scale_factor=0.1"),
    "packed xarray": (lambda f: [xarray(PACKED)], "is packed: .*scale_factor=0.1"),
    "mark": (
        lambda f: str(ome(f / "a.zarr", {"_FillValue": int(PIXELS[3, 3])})),
        "its attributes .* mark as missing",
    ),
    "link": (lambda f: str(linked(ome(f / "a.zarr"), f)), "is a link to .*, outside of the store"),
    "masked": (lambda f: [masked()], "contains masked entries"),
    "masked batch": (lambda f: masked()[None], "contains masked entries"),
    "masked blocks": (lambda f: [dask(masked())], "contains masked entries"),
    "masked blocks of a batch": (lambda f: dask(masked()[None]), "contains masked entries"),
    "gradient": (lambda f: [tensor(requires_grad=True)], r"requires a gradient\. Give X\.detach"),
    "palette": (lambda f: [Image.fromarray(PIXELS).convert("P")], "the picture has a palette"),
    "bits": (lambda f: [Image.fromarray(PIXELS).convert("1")], "single bits"),
    "single": (lambda f: dask(PIXELS), "A single picture goes into a list"),
}
READ = {
    "folder": lambda f: str(ome(f / "a.zarr")),
    "array": lambda f: [zarr.open(str(ome(f / "a.zarr")), mode="r")["0"]],
    "hdf5": lambda f: [h5(f)],
    "dask": lambda f: [dask(PIXELS)],
    "dask batch": lambda f: dask(PIXELS[None]),
    "dask batch with channels": lambda f: dask(PIXELS[None, ..., None]),
    "xarray": lambda f: [xarray()],
    "tensor": lambda f: [tensor()],
    "pillow": lambda f: [Image.fromarray(PIXELS)],
    "opaque": lambda f: [Image.fromarray(PIXELS).convert("LA")],
    "unmasked": lambda f: [np.ma.masked_less(PIXELS, -1)],
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_library_would_fill_in_is_refused_by_name(name, model, tmp_path):
    make, words = REFUSED[name]
    given = make(tmp_path)
    uses = {
        "predict": lambda: model.predict(given),
        "contributions": lambda: model.predict_contributions(given),
        "interval": lambda: model.predict_interval(given),
        "count": lambda: model.count(given),
        "fit": lambda: CountRegressor(max_epochs=1, n_members=1).fit(given, [3.0]),
    }
    for use in uses.values():
        with pytest.raises(PictureError, match=words) as caught:
            use()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", READ)
def test_the_numbers_are_those_of_the_array(name, model, tmp_path):
    expected = model.predict([PIXELS])
    np.testing.assert_allclose(model.predict(READ[name](tmp_path)), expected, rtol=1e-6)


def test_chunks_that_are_not_there_may_be_read_as_the_fill_value(tmp_path):
    path = without(ome(tmp_path / "a.zarr"), "1/1")
    (picture,) = read_pictures(path, missing_chunks="fill")
    expected = PIXELS.copy()
    expected[16:32, 16:32] = 0
    np.testing.assert_array_equal(picture.array()[..., 0], expected)
    with pytest.raises(ValueError, match="must be 'error' or 'fill', got 'zero'"):
        read_pictures(path, missing_chunks="zero")


@pytest.mark.parametrize("change", [lambda x: x.astype(float) * 257, lambda x: x / 255])
def test_pixels_on_another_scale_are_warned_of_by_name_and_number(change, model):
    values = change(PIXELS)
    words = (
        f"pixels of picture 0 have values from {values.min():.6g} to {values.max():.6g}, but the "
        f"model was fitted to values from {np.min(DATA.pictures)} to {np.max(DATA.pictures)}"
    )
    for use in (model.predict, model.predict_contributions, model.predict_interval):
        with pytest.warns(NoveltyWarning, match=words):
            use([values])
    assert model.count([values])[0].flag == "unlike"


# ---------------------------------------------------------------------------------------- maps


def writer(path):
    return MapWriter(path, "a", (6, 7), (4, 4), 1)


def write(path, value):
    with writer(path) as region:
        region((slice(0, 6), slice(0, 7)), np.full((6, 7, 1), value))


def stored(path):
    (picture,) = read_pictures(str(path))
    return picture.array()[..., 0]


def test_a_map_appears_when_it_is_complete_and_replaces_the_old_one(tmp_path):
    path = tmp_path / "map.ome.zarr"
    write(path, 1.0)
    with writer(path) as region:
        region((slice(0, 3), slice(0, 7)), np.full((3, 7, 1), 2.0))
        np.testing.assert_array_equal(stored(path), np.full((6, 7), 1.0))
        region((slice(3, 6), slice(0, 7)), np.full((3, 7, 1), 2.0))
    np.testing.assert_array_equal(stored(path), np.full((6, 7), 2.0))
    with pytest.raises(KeyboardInterrupt), writer(path) as region:
        region((slice(0, 3), slice(0, 7)), np.full((3, 7, 1), 3.0))
        raise KeyboardInterrupt
    np.testing.assert_array_equal(stored(path), np.full((6, 7), 2.0))
    assert list(tmp_path.iterdir()) == [path]


def test_a_map_of_zeros_is_complete(tmp_path):
    write(tmp_path / "map.ome.zarr", 0.0)
    np.testing.assert_array_equal(stored(tmp_path / "map.ome.zarr"), np.zeros((6, 7)))


def test_a_map_replaces_nothing_but_maps(tmp_path):
    ome(tmp_path / "picture.zarr")
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("picture.zarr", "folder", "file", "link"):
        with pytest.raises(FileExistsError, match=f"{name} exists, and is not a map"):
            writer(Path(tmp_path, name))
