"""Attributes by which numbers are not what they look like: packing, and marks of missing values."""

import pickle

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.exceptions import DataWarning
from sk_ednn.fields import ArraySource
from sk_ednn.fields._packing import Packing
from tests.fields._stored import X, Y, model

PACKED = [
    {"scale_factor": 0.01},
    {"add_offset": 273.15},
    {"scale_factor": np.array([0.5]), "add_offset": np.float32(0)},
    {"scale_factor": "0.01"},
    {"add_offset": b"3"},
    {"_Unsigned": "true"},
    {"ScaleFactor": 1.0, "Offset": 20.0},  # as HDF-EOS spells it
    {"Slope": 0.1, "Intercept": 0.0},
    {"RescaleSlope": "1", "RescaleIntercept": "-1024"},
    {"scale": 0.01, "offset": 3.0},
    {"Gain": 2.0, "Offset": 0.0},
    {"multiplier": 1.0, "offset": 5},
    {"scaling_factor": 0.1},
    {"BSCALE": 1.0, "BZERO": 32768},  # of FITS
]
UNPACKED = [
    {},
    {"scale_factor": 1.0, "add_offset": 0.0},
    {"scale_factor": np.array([1], dtype="i2")},
    {"units": "K", "long_name": "temperature"},
    {"_FillValue": -32768},
    {"missing_value": np.array([999, 998])},
    {"valid_range": [-300, 300]},
    {"_Unsigned": "false"},
    {"offset": [3, 0, 0]},
    {"scale": [0.1, 0.1, 0.2], "offset": [3, 0, 0]},  # of voxels
    {"slope": 1.0, "intercept": 0.0},
    {"scale": 1.0},
    {"gain": 1, "offset": 0},
]
# Each may be a factor or an offset, or describe something else.
HINTS = [{name: 3.5} for name in ("scale", "offset", "gain", "slope", "intercept", "multiplier")]
MISSING = [
    {"_FillValue": 7},
    {"missing_value": np.array([7], dtype="i2")},
    {"missing_value": [99, 7]},
    {"_FillValue": "7"},
    {"valid_range": np.array([0, 6], dtype="i2")},
    {"valid_max": 6},
    {"valid_min": 1},
    {"MissingValue": 7, "ScaleFactor": 1.0},
    {"CodeMissingValue": "7"},
    {"nodata": 7},
]
COUNTS = np.random.default_rng(0).integers(0, 7, (12, 8, 6)).astype("i2")
COUNTS[4, 2, 1] = 7


def stored(kind, tmp_path, attributes, values=COUNTS):
    if kind == "h5py":
        h5py = pytest.importorskip("h5py")
        array = h5py.File(tmp_path / "a.h5", "w").create_dataset("X", data=values)
    elif kind.startswith("zarr"):
        zarr = pytest.importorskip("zarr")
        if any(isinstance(value, (np.ndarray, np.generic, bytes)) for value in attributes.values()):
            attributes = {
                key: value.decode() if isinstance(value, bytes) else np.asarray(value).tolist()
                for key, value in attributes.items()
            }
        array = zarr.create_array(tmp_path / "a", data=values, zarr_format=int(kind[-1]))
    else:
        xarray = pytest.importorskip("xarray")
        array = xarray.DataArray(values, attrs=attributes)
        return array.chunk() if kind == "lazy xarray" else array
    array.attrs.update(attributes)
    return array


KINDS = ["h5py", "zarr 2", "zarr 3", "xarray", "lazy xarray"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("attributes", PACKED)
def test_packed_numbers_are_refused(kind, attributes, tmp_path):
    pytest.importorskip("dask.array")
    array = stored(kind, tmp_path, attributes)
    for given in (array, [array[k] for k in range(12)] if "xarray" in kind else array):
        with pytest.raises(ValueError, match=r"is packed: .*xarray\.open_dataset"):
            model().predict(given)
        with pytest.raises(ValueError, match="is packed"):
            model().fit(given, Y)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("attributes", MISSING)
def test_values_that_stand_for_missing_ones_are_refused(kind, attributes, tmp_path):
    pytest.importorskip("dask.array")
    array = stored(kind, tmp_path, attributes)
    with pytest.raises((ValueError, RuntimeError), match="mark as missing"):
        totals = model().predict(array)
        totals.compute(scheduler="synchronous")
    with pytest.raises((ValueError, RuntimeError), match="mark as missing"):
        EDNNRegressor(Ridge(), GridTiling(1, 1)).fit(array, Y)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("attributes", UNPACKED)
def test_other_attributes_change_nothing(kind, attributes, tmp_path):
    pytest.importorskip("dask.array")
    fitted = EDNNRegressor(Ridge(), GridTiling(1, 1)).fit(COUNTS, Y)
    predicted = np.asarray(fitted.predict(stored(kind, tmp_path, attributes)))
    np.testing.assert_allclose(predicted, fitted.predict(COUNTS), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("attributes", HINTS)
def test_a_factor_or_offset_alone_is_doubted_of_integers(kind, attributes, tmp_path):
    pytest.importorskip("dask.array")
    (name,) = attributes
    array = stored(kind, tmp_path, attributes)
    with pytest.warns(DataWarning, match=rf"X contains integers, and .* {name}=3\.5 may say"):
        fitted = EDNNRegressor(Ridge(), GridTiling(1, 1)).fit(array, Y)
    plain = EDNNRegressor(Ridge(), GridTiling(1, 1)).fit(COUNTS, Y)
    np.testing.assert_array_equal(fitted.predict(COUNTS), plain.predict(COUNTS))
    (tmp_path / "floats").mkdir()
    of_floats = stored(kind, tmp_path / "floats", attributes, COUNTS.astype("f8"))
    np.asarray(plain.predict(of_floats))  # without a warning: packed numbers are integers


@pytest.mark.parametrize("part", ["y", "sample_weight"])
def test_totals_and_weights_are_not_packed_either(part):
    xarray = pytest.importorskip("xarray")
    packed = xarray.DataArray(np.abs(Y), dims="n", attrs={"scale_factor": 0.1})
    given = {"y": Y, part: packed}
    with pytest.raises(ValueError, match=f"{part} is packed"):
        EDNNRegressor(Ridge(), GridTiling(1, 1)).fit(X, **given)


def test_a_decoded_file_is_read(tmp_path):
    """Data that xarray decodes have their packing in the encoding, not in the attributes."""
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("dask.array")
    pytest.importorskip("zarr")
    encoding = {"X": {"scale_factor": 0.01, "add_offset": 5.0, "dtype": "i4", "_FillValue": -99}}
    data = xarray.Dataset({"X": (("n", "a", "b"), np.round(X, 2))})
    data.to_zarr(tmp_path / "packed", encoding=encoding)
    decoded = xarray.open_zarr(tmp_path / "packed")["X"]
    np.testing.assert_allclose(model().predict(decoded).compute(), model().predict(np.round(X, 2)))
    raw = xarray.open_zarr(tmp_path / "packed", mask_and_scale=False)["X"]
    with pytest.raises(ValueError, match=r"scale_factor=0\.01, add_offset=5"):
        model().predict(raw)


def test_a_source_keeps_its_rules_in_a_pickle(tmp_path):
    dataset = stored("h5py", tmp_path, {"_FillValue": 7})
    dataset.file.flush()
    again = pickle.loads(pickle.dumps(ArraySource(dataset)))
    with pytest.raises(ValueError, match="mark as missing"):
        again.read_all()


def test_totals_that_a_file_calls_missing_are_refused(tmp_path):
    h5py = pytest.importorskip("h5py")
    X = np.random.default_rng(0).normal(size=(10, 4))
    with h5py.File(tmp_path / "y.h5", "w") as file:
        y = file.create_dataset("y", data=X.sum(axis=1))
        model = EDNNRegressor(Ridge(), GridTiling(1, 0)).fit(X, y)
        y.attrs["_FillValue"] = y[3]
        for call in (model.fit, model.score):
            with pytest.raises(ValueError, match=r"^y contains .* at \[3\]"):
                call(X, y)


@pytest.mark.parametrize(
    ("dtype", "mark", "value", "missing"),
    [
        ("i8", np.int64(2**63 - 1), 2**63 - 1, True),
        ("i8", "9223372036854775807", 2**63 - 1, True),
        ("i8", np.int64(2**63 - 1), 2**63 - 2, False),
        ("i2", np.nan, 0, False),
        ("i2", 1e20, 0, False),
        ("i2", 0.5, 0, False),
        ("i2", -9999.0, -9999, True),
        ("u1", np.int8(-1), 255, True),  # bytes of netCDF 3 have a sign in their attributes
        ("f4", 1e20, np.float32(1e20), True),
    ],
)
def test_marks_of_missing_values_are_compared_as_what_they_are(dtype, mark, value, missing):
    xr = pytest.importorskip("xarray")
    array = xr.DataArray(np.array([[1, value]], dtype=dtype), attrs={"_FillValue": mark})
    packing = Packing.of(array)
    if missing:
        with pytest.raises(ValueError, match="mark as missing"):
            packing.require_values(array.data)
    else:
        packing.require_values(array.data)


@pytest.mark.parametrize("lazy", [False, True])
def test_fill_values_of_xarray_in_zarr_2_mark_missing_values(lazy, tmp_path):
    """In this format, xarray and GDAL keep ``_FillValue`` in the fill value alone."""
    xarray, da = pytest.importorskip("xarray"), pytest.importorskip("dask.array")
    zarr = pytest.importorskip("zarr")
    data = xarray.Dataset({"X": (("n", "a", "b"), COUNTS), "y": ("n", COUNTS[:, 2, 1])})
    encoding = {"X": {"_FillValue": 7}, "y": {"_FillValue": 7}}
    data.to_zarr(tmp_path / "a", zarr_format=2, encoding=encoding, consolidated=False)
    array, totals = (zarr.open(tmp_path / "a", mode="r")[name] for name in ("X", "y"))
    assert "_FillValue" not in array.attrs
    with pytest.raises(ValueError, match=r"^X contains 7 at .* mark as missing"):
        EDNNRegressor(Ridge(), GridTiling(1, 1)).fit(da.from_zarr(array) if lazy else array, Y)
    with pytest.raises(ValueError, match=r"^y contains 7 at \[4\].* mark as missing"):
        EDNNRegressor(Ridge(), GridTiling(1, 1)).fit(X, totals)


@pytest.mark.parametrize("fill", [-9999, 9.969209968386869e36])
@pytest.mark.parametrize("kind", ["h5py", "zarr 2", "zarr 3"])
def test_parts_of_chunks_that_were_not_written_are_refused(kind, fill, tmp_path):
    pytest.importorskip("dask.array")
    options = {"shape": X.shape, "chunks": (4, 8, 6), "dtype": "f4"}
    if kind == "h5py":
        file = pytest.importorskip("h5py").File(tmp_path / "a.h5", "w")
        array = file.create_dataset("X", fillvalue=fill, **options)
    else:
        create = pytest.importorskip("zarr").create_array
        array = create(tmp_path / "a", fill_value=fill, zarr_format=int(kind[-1]), **options)
    array[:3], array[4:] = X[:3], X[4:]
    words = r"at \[3, 0, 0\].* one of 48 values that are the fill value .*missing_chunks='fill'"
    with pytest.raises(ValueError, match=words):
        EDNNRegressor(Ridge(), GridTiling(1, 1)).fit(array, Y)
    filled = ArraySource(array, missing_chunks="fill").read_all()
    assert (filled[3] == np.float32(fill)).all()
    array[3] = X[3]
    np.testing.assert_array_equal(ArraySource(array).read_all(), X.astype("f4"))


@pytest.mark.parametrize(("dtype", "fill"), [("f8", 1.0), ("i2", -1), ("u1", 255), ("f4", 0)])
def test_usual_fill_values_are_values(dtype, fill, tmp_path):
    zarr = pytest.importorskip("zarr")
    values = np.full((2, 3), fill, dtype=dtype)
    config = {"write_empty_chunks": True}
    array = zarr.create_array(tmp_path / "a", shape=(2, 3), dtype=dtype, fill_value=fill,
                              config=config)  # fmt: skip
    array[:] = values
    np.testing.assert_array_equal(ArraySource(array).read_all(), values)


def test_variables_of_xarray_are_checked_as_arrays_with_labels_are():
    xarray = pytest.importorskip("xarray")
    marked = xarray.Variable(("n", "a", "b"), COUNTS, attrs={"_FillValue": 7})
    for given in (marked, [marked[k] for k in range(12)]):
        with pytest.raises(ValueError, match="mark as missing"):
            model().predict(given)
    plain = xarray.Variable(("n", "a", "b"), COUNTS)
    np.testing.assert_array_equal(model().predict(plain), model().predict(COUNTS))
