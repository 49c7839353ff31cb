"""Files whose parts contradict each other: whole by their hashes, and refused."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures

pytest.importorskip("skops")

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.atoms import EDNNPotential, GaussianRasterizer
from sk_ednn.encoders import (
    AngleFields,
    ContextProducts,
    DensityFields,
    IntensiveContext,
    OneHotFields,
    ReciprocalContext,
)
from sk_ednn.exceptions import ModelFileError
from sk_ednn.files import load, save
from sk_ednn.structures import Density, Structure
from sk_ednn.tiling import BagTiling

RNG = np.random.default_rng(0)
FIELDS = RNG.normal(size=(10, 4, 4))
LABELS = RNG.integers(0, 3, size=(10, 4, 4))
BAGS = [RNG.normal(size=(n, 3)) for n in (3, 5, 4, 6, 2)]
CHANNELS = GridTiling(1, 0, channel_axis=-1)


def behind(encoder, X):
    return make_pipeline(encoder, EDNNRegressor(Ridge(), CHANNELS)).fit(X, np.arange(len(X)))


def densities():
    return [Density(RNG.random((3, 3, 3)), 0.5 * np.eye(3)) for _ in range(4)]


def bags():
    tile_model = make_pipeline(PolynomialFeatures(2), Ridge())
    return EDNNRegressor(tile_model, BagTiling()).fit(BAGS, np.arange(5))


def drawn():
    places = np.diag([2.0, 2.0, 2.0])
    cells = [
        Structure(np.full(3, 14), places + RNG.random((3, 3)), 5.0 * np.eye(3), True)
        for _ in range(5)
    ]
    draw = GaussianRasterizer(spacing=1.0, plane="xyz", width=0.8)
    images = make_pipeline(draw, EDNNRegressor(Ridge(), GridTiling(1, 0)))
    return EDNNPotential(images).fit(cells, np.arange(5.0))


MADE = {
    "drawn": drawn,
    "bags": bags,
    "labels": lambda: behind(OneHotFields(), LABELS),
    "angles": lambda: behind(AngleFields(), FIELDS),
    "averages": lambda: behind(IntensiveContext(), FIELDS),
    "filters": lambda: behind(ReciprocalContext(extensive=False), FIELDS),
    "densities": lambda: behind(DensityFields(), densities()),
}


def cut(values):
    return values[: len(values) // 2]


CHANGES = [
    ("drawn", "potential_.pipeline.steps.0.1._cosines", cut),
    ("drawn", "potential_.pipeline.steps.0.1._heights", cut),
    ("drawn", "potential_.pipeline.steps.0.1.periodic_", lambda old: -1),
    ("drawn", "potential_.pipeline.steps.1.1.tile_model_.baseline.coefficients", cut),
    ("drawn", "potential_.pipeline.steps.1.1.tile_model_.baseline.coefficients",
     lambda old: np.full_like(old, np.nan)),
    ("drawn", "potential_.pipeline.steps.1.1.evaluation_", lambda old: GridTiling()),
    ("bags", "tile_model_.baseline.coefficients", lambda old: np.arange(7.0)),
    ("bags", "_term_names", lambda old: [1]),
    ("bags", "_term_names", lambda old: ["a", "b"]),
    ("labels", "steps.0.1.categories_", lambda old: old[:0]),
    ("labels", "steps.0.1.categories_", lambda old: old[[0, 1, 1]]),
    ("labels", "steps.0.1.categories_", lambda old: old[0]),
    ("labels", "steps.0.1._grid_ndim", lambda old: [2]),
    ("angles", "steps.0.1._grid_ndim", lambda old: 10**6),
    ("angles", "steps.0.1.harmonics", lambda old: 0),
    ("angles", "steps.0.1.harmonics", lambda old: 65),
    ("averages", "steps.0.1.channel_axis", lambda old: 7),
    ("averages", "steps.0.1.n_channels_", lambda old: 0),
    ("filters", "steps.0.1.filters", lambda old: (True,)),
    ("filters", "steps.0.1.filters", lambda old: ()),
    ("densities", "steps.0.1.voxel_", cut),
    ("densities", "steps.0.1.voxel_", lambda old: old * np.nan),
    ("densities", "steps.0.1.unit_", lambda old: 1.0),
]  # fmt: skip


def placed(model, path, change):
    """Change one attribute of a part of a model."""
    *path, last = path.split(".")
    for key in path:
        model = model[int(key)] if key.isdecimal() else getattr(model, key)
    vars(model)[last] = change(getattr(model, last))  # past those that are frozen


@pytest.mark.parametrize("name", MADE)
def test_what_is_whole_is_read(name, tmp_path):
    save(MADE[name](), tmp_path / "a.ednn")
    assert hasattr(load(tmp_path / "a.ednn"), "predict")


@pytest.mark.parametrize(("name", "path", "change"), CHANGES)
def test_contradicting_parts_are_refused_when_the_file_is_read(name, path, change, tmp_path):
    model = MADE[name]()
    placed(model, path, change)
    save(model, tmp_path / "wrong.ednn")
    with pytest.raises(ModelFileError, match=r"wrong\.ednn"):
        load(tmp_path / "wrong.ednn")


def test_angles_of_files_without_harmonics_are_read(tmp_path):
    """Files that were written before the parameter was there."""
    model = MADE["angles"]()
    expected = model.predict(FIELDS)
    del model[0].harmonics
    save(model, tmp_path / "before.ednn")
    loaded = load(tmp_path / "before.ednn")
    assert loaded[0].harmonics == 1
    np.testing.assert_array_equal(loaded.predict(FIELDS), expected)


def test_encoders_that_are_fitted_can_encode_what_they_are_tried_on():
    """The trial of a file refuses no encoder that was fitted."""
    stacked = FIELDS[..., None] + np.arange(3)
    for encoder, X in (
        (OneHotFields([2, 0, 1]), LABELS),
        (OneHotFields(), LABELS + 0.5),
        (AngleFields(period=1.0), FIELDS[:, 0]),
        (AngleFields(harmonics=3), FIELDS),
        (IntensiveContext(channel_axis=-1), stacked),
        (IntensiveContext(("mean", "square")), [FIELDS[0], FIELDS[1, :2]]),
        (ReciprocalContext((0.0, (0.0, 2.0)), spacing=(0.1, 2.0)), FIELDS),
        (ReciprocalContext(extensive=False, channel_axis=0), stacked.transpose(0, 3, 1, 2)),
        (DensityFields(), densities()),
    ):
        encoder.fit(X)._try_stored()
    assert not hasattr(ContextProducts, "_try_stored")  # it is fitted to tiles
