"""Layers for napari, by plain functions: napari itself is not needed."""

from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("tifffile")
pytest.importorskip("PIL")
yaml = pytest.importorskip("yaml")

from sk_ednn.datasets import make_pictures  # noqa: E402
from sk_ednn.files import save  # noqa: E402
from sk_ednn.images import CountRegressor, PictureError, peaks  # noqa: E402
from sk_ednn.images import _napari as plugin  # noqa: E402
from sk_ednn.images._output import write_map, write_peaks  # noqa: E402

DATA = make_pictures(10, (48, 56), n_objects=(20, 200), random_state=0)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("napari") / "model.ednn"
    counter = CountRegressor(max_epochs=1, n_members=1, random_state=0)
    save(counter.fit(DATA.pictures, DATA.totals), path)
    return path


def test_a_layer_is_counted_in(model):
    layer = SimpleNamespace(
        data=DATA.pictures[0], rgb=False, name="dish", scale=(2.0, 2.0), translate=(10.0, 0.0)
    )
    (values, image, kind), (positions, points, dots) = plugin.count_in_layer(layer, model)
    assert (kind, dots) == ("image", "points") and values.shape == (12, 14)
    assert image["name"].startswith(f"dish: {values.sum():.4g}")
    # The centre of the first tile is 1.5 pixels from that of the first pixel, of 2 units each.
    np.testing.assert_array_equal(image["scale"], [8, 8])
    np.testing.assert_array_equal(image["translate"], [13, 3])
    expected, shares = peaks(values, (4, 4))
    np.testing.assert_allclose(positions, 2 * expected + [10, 0])
    np.testing.assert_array_equal(points["features"]["share"], shares)


def test_other_channels_are_refused_by_name(model):
    colour = np.stack([DATA.pictures[0]] * 3, axis=-1)
    with pytest.raises(PictureError, match="dish: the picture is colour"):
        plugin.layers_of_counts(colour, model, "dish")


def test_files_of_predict_are_read_as_layers(tmp_path):
    values = np.random.default_rng(0).random((7, 9))
    write_map(tmp_path / "a.tif", values, (4, 4))
    write_peaks(tmp_path / "a peaks.csv", values, (4, 4))
    ((read, image, _),) = plugin.napari_get_reader(tmp_path / "a.tif")(None)
    np.testing.assert_allclose(read, values, rtol=1e-6)
    np.testing.assert_array_equal(image["scale"], [4, 4])
    ((positions, points, _),) = plugin.napari_get_reader(str(tmp_path / "a peaks.csv"))(None)
    np.testing.assert_allclose(positions, peaks(values, (4, 4))[0], atol=0.06)
    assert points["features"]["share"].sum() == pytest.approx(values.sum(), rel=1e-3)


@pytest.mark.parametrize("n_axes", [2, 3])
@pytest.mark.parametrize("header", ["X,Y,Z,share", "column,row,plane,share"])
@pytest.mark.parametrize("rows", [[], [(3.0, 5.0, 1.0, 0.5), (7.0, 2.0, 0.0, 1.5)]])
def test_peaks_are_read_by_the_names_of_their_columns(n_axes, header, rows, tmp_path):
    """Also where there are none."""
    chosen = [0, 1, 3] if n_axes == 2 else [0, 1, 2, 3]
    lines = [header.split(","), *([str(cell) for cell in row] for row in rows)]
    text = "\n".join(",".join(line[k] for k in chosen) for line in lines)
    (tmp_path / "a peaks.csv").write_text(text + "\n")
    ((positions, points, _),) = plugin.napari_get_reader(tmp_path / "a peaks.csv")(None)
    expected = np.array([row[:n_axes][::-1] for row in rows]).reshape(-1, n_axes)
    np.testing.assert_array_equal(positions, expected)
    np.testing.assert_array_equal(points["features"]["share"], [row[3] for row in rows])


def test_other_files_are_left_to_other_readers(tmp_path):
    import tifffile

    tifffile.imwrite(tmp_path / "photo.tif", DATA.pictures[0])
    assert plugin.napari_get_reader(tmp_path / "photo.tif") is None
    assert plugin.napari_get_reader([str(tmp_path / "photo.tif")]) is None
    assert plugin.napari_get_reader(tmp_path / "table.csv") is None


def test_the_manifest_names_functions():
    manifest = yaml.safe_load(Path(plugin.__file__).with_name("napari.yaml").read_text())
    commands = {each["id"]: each["python_name"] for each in manifest["contributions"]["commands"]}
    for name in commands.values():
        module, function = name.split(":")
        assert callable(getattr(import_module(module), function))
    used = [each["command"] for kind in ("widgets", "readers")
            for each in manifest["contributions"][kind]]  # fmt: skip
    assert set(used) == set(commands)
