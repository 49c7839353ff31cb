"""Files that are read as plain numbers by their libraries, and are not what they look like."""

import os
import shutil

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from sk_ednn import EDNNCommittee, EDNNRegressor, GridTiling
from sk_ednn.fields import ArraySource
from sk_ednn.fields._stores import Packing
from sk_ednn.uncertainty import NoveltyGuard
from tests._cases import make_field

X = make_field("float64", 12, (8, 6))
Y = X.sum(axis=(1, 2))
LOST = (FileNotFoundError, ValueError, RuntimeError)


def model():
    return EDNNRegressor(Ridge(), GridTiling(1, 1)).fit(X, Y)


def used(source):
    """Use a source in every way: read whole, fitted to, predicted."""
    fitted = model()
    return {
        "read_all": lambda: source.read_all(),
        "fit": lambda: EDNNRegressor(Ridge(), GridTiling(1, 1)).fit(source, Y),
        "predict": lambda: fitted.predict(source).compute(scheduler="synchronous"),
        "contributions": lambda: fitted.predict_contributions(source).compute(
            scheduler="synchronous"
        ),
    }


def refused(source, words):
    pytest.importorskip("dask.array")
    for name, use in used(source).items():
        with pytest.raises(LOST, match=words):
            use()
            pytest.fail(name)


def accepted(source):
    np.testing.assert_array_equal(source.read_all(), X)
    np.testing.assert_array_equal(model().predict(source).compute(), model().predict(X))


# --- HDF5 ----------------------------------------------------------------------------------------


@pytest.fixture
def h5(tmp_path):
    h5py = pytest.importorskip("h5py")
    file = h5py.File(tmp_path / "fields.h5", "w")
    yield file
    if file:
        file.close()


@pytest.mark.parametrize("options", [{}, {"compression": "gzip"}, {"fletcher32": True}])
def test_chunks_of_hdf5_that_were_never_written(h5, options):
    dataset = h5.create_dataset("X", X.shape, "f8", chunks=(2, 8, 3), **options)
    for first in range(0, 12, 2):
        if first != 6:
            dataset[first : first + 2] = X[first : first + 2]
    refused(ArraySource(dataset), r"chunk at \(6, 0, 0\) of .*'/X' .* never written")
    # Where only what is there is read, nothing is missing.
    np.testing.assert_array_equal(
        ArraySource(dataset).read((slice(0, 6), slice(0, 8), slice(2, 5))), X[:6, :, 2:5]
    )
    filled = ArraySource(dataset, missing_chunks="fill").read_all()
    assert (filled[6:8] == 0).all() and (filled[8:] == X[8:]).all()
    dataset[6:8] = X[6:8]
    accepted(ArraySource(dataset))


def test_hdf5_that_nothing_was_ever_written_to(h5):
    refused(ArraySource(h5.create_dataset("X", X.shape, "f8")), "Nothing was ever written")
    accepted(ArraySource(h5.create_dataset("whole", data=X)))
    zeros = ArraySource(h5.create_dataset("zeros", data=np.zeros((3, 4, 4))))
    assert (zeros.read_all() == 0).all()


def virtual(h5, names, folder):
    import h5py

    layout = h5py.VirtualLayout(shape=X.shape, dtype="f8")
    for k, name in enumerate(names):
        with h5py.File(folder / name, "w") as part:
            part["part"] = X[6 * k : 6 * k + 6]
        layout[6 * k : 6 * k + 6] = h5py.VirtualSource(name, "part", shape=(6, 8, 6))
    return h5.create_virtual_dataset("X", layout)


def test_virtual_datasets(h5, tmp_path):
    dataset = virtual(h5, ["a.h5", "b.h5"], tmp_path)
    with pytest.raises(ValueError, match=r"other files, such as 'a\.h5'.*follow_links=True"):
        ArraySource(dataset)
    accepted(ArraySource(dataset, follow_links=True))
    # In a new name: HDF5 keeps files that it has opened.
    other = virtual(h5["/"].create_group("more"), ["c.h5", "d.h5"], tmp_path)
    os.remove(tmp_path / "d.h5")
    refused(ArraySource(other, follow_links=True), r"d\.h5', a part of .* is not there")


def test_virtual_datasets_with_holes(h5, tmp_path):
    dataset = virtual(h5, ["a.h5"], tmp_path)
    refused(ArraySource(dataset, follow_links=True), "no source is given for 288 of its 576")
    import h5py

    layout = h5py.VirtualLayout(shape=X.shape, dtype="f8")
    with h5py.File(tmp_path / "unfinished.h5", "w") as part:
        part.create_dataset("part", X.shape, "f8", chunks=(2, 8, 6))[:4] = X[:4]
    layout[:] = h5py.VirtualSource("unfinished.h5", "part", shape=X.shape)
    dataset = h5.create_virtual_dataset("unfinished", layout)
    refused(ArraySource(dataset, follow_links=True), "never written")
    with h5py.File(tmp_path / "renamed.h5", "w") as part:
        part["other"] = X
    layout = h5py.VirtualLayout(shape=X.shape, dtype="f8")
    layout[:] = h5py.VirtualSource("renamed.h5", "part", shape=X.shape)
    dataset = h5.create_virtual_dataset("renamed", layout)
    refused(ArraySource(dataset, follow_links=True), "holds no dataset 'part'")


def test_virtual_datasets_within_one_file(h5):
    import h5py

    h5["part"] = X
    layout = h5py.VirtualLayout(shape=X.shape, dtype="f8")
    layout[:] = h5py.VirtualSource(".", "part", shape=X.shape)
    accepted(ArraySource(h5.create_virtual_dataset("X", layout)))


def test_external_storage(h5, tmp_path):
    raw = tmp_path / "raw.bin"
    X.tofile(raw)
    dataset = h5.create_dataset("X", X.shape, "f8", external=[(str(raw), 0, X.nbytes)])
    with pytest.raises(ValueError, match=r"other files, such as .*raw\.bin"):
        ArraySource(dataset)
    accepted(ArraySource(dataset, follow_links=True))
    raw.write_bytes(raw.read_bytes()[:-8])
    refused(ArraySource(dataset, follow_links=True), "is not there or short")


def test_closed_and_empty_datasets(h5):
    import h5py

    h5["nothing"] = h5py.Empty("f8")
    h5["X"] = X
    empty, dataset = h5["nothing"], h5["X"]
    for given in (empty, empty[()], [empty]):
        with pytest.raises(ValueError, match=r"no data.*Empty|Empty.*no data"):
            model().predict(given)
    h5.close()
    for given in (dataset, [dataset]):
        with pytest.raises(ValueError, match="file is closed"):
            model().predict(given)
        with pytest.raises(ValueError, match="file is closed"):
            model().fit(given, Y)


# --- zarr ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("in_group", [False, True])
def test_chunks_of_zarr_that_are_lost(tmp_path, zarr_format, in_group):
    zarr = pytest.importorskip("zarr")
    store = zarr.open_group(tmp_path / "z", mode="w", zarr_format=zarr_format)
    make = store.require_group("inner").create_array if in_group else store.create_array
    array = make("X", data=X, chunks=(2, 8, 3))
    accepted(ArraySource(array))
    chunks = [p for p in (tmp_path / "z").rglob("*") if p.is_file() and p.name[0] not in ".z"]
    os.remove(sorted(p for p in chunks if p.suffix != ".json")[3])
    refused(ArraySource(array), "is not in the store")
    filled = ArraySource(array, missing_chunks="fill").read_all()
    assert (filled != X).sum() == 2 * 8 * 3


@pytest.mark.parametrize("location", ["start", "end"])
def test_chunks_that_are_lost_within_a_shard(tmp_path, location):
    zarr = pytest.importorskip("zarr")
    from zarr.codecs import ShardingCodec

    def make(name, **options):
        codec = ShardingCodec(chunk_shape=(2, 4, 3), index_location=location)
        return zarr.create_array(
            tmp_path / name, shape=X.shape, dtype="f8", chunks=(4, 8, 6), serializer=codec,
            compressors=None, filters=None, **options,
        )  # fmt: skip

    array = make("whole")
    array[:] = X
    accepted(ArraySource(array))
    array = make("holes")
    array[:6] = X[:6]
    array[8:] = X[8:]
    box = (slice(0, 6), slice(1, 8), slice(0, 6))
    np.testing.assert_array_equal(ArraySource(array).read(box), X[box])
    refused(ArraySource(array), r"chunk \(1, 0, 0\) is not in the shard")
    for k in range(2, 12, 4):
        array[k : k + 2] = X[k : k + 2]
    array[6:8] = X[6:8]
    accepted(ArraySource(array))


def test_shards_that_are_lost_or_cut_short(tmp_path):
    zarr = pytest.importorskip("zarr")
    array = zarr.create_array(tmp_path / "X", data=X, chunks=(2, 4, 3), shards=(4, 8, 6))
    accepted(ArraySource(array))
    (path,) = (p for p in (tmp_path / "X").rglob("1/0/0"))
    content = path.read_bytes()
    path.write_bytes(content[:20])
    refused(ArraySource(array), "is cut short")
    os.remove(path)
    refused(ArraySource(array), "is not in the store")


# --- packed data ---------------------------------------------------------------------------------

PACKED = [
    {"scale_factor": 0.01},
    {"add_offset": 273.15},
    {"scale_factor": np.array([0.5]), "add_offset": np.float32(0)},
    {"scale_factor": "0.01"},
    {"add_offset": b"3"},
    {"_Unsigned": "true"},
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
]
MISSING = [
    {"_FillValue": 7},
    {"missing_value": np.array([7], dtype="i2")},
    {"missing_value": [99, 7]},
    {"_FillValue": "7"},
    {"valid_range": np.array([0, 6], dtype="i2")},
    {"valid_max": 6},
    {"valid_min": 1},
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
    with pytest.raises((ValueError, RuntimeError), match="call missing"):
        totals = model().predict(array)
        totals.compute(scheduler="synchronous")
    with pytest.raises((ValueError, RuntimeError), match="call missing"):
        EDNNRegressor(Ridge(), GridTiling(1, 1)).fit(array, Y)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("attributes", UNPACKED)
def test_other_attributes_change_nothing(kind, attributes, tmp_path):
    pytest.importorskip("dask.array")
    fitted = EDNNRegressor(Ridge(), GridTiling(1, 1)).fit(COUNTS, Y)
    predicted = np.asarray(fitted.predict(stored(kind, tmp_path, attributes)))
    np.testing.assert_allclose(predicted, fitted.predict(COUNTS), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("part", ["y", "sample_weight"])
def test_totals_and_weights_are_not_packed_either(part):
    xarray = pytest.importorskip("xarray")
    packed = xarray.DataArray(np.abs(Y), dims="n", attrs={"scale_factor": 0.1})
    given = {"y": Y, part: packed}
    with pytest.raises(ValueError, match=f"{part} is packed"):
        EDNNRegressor(Ridge(), GridTiling(1, 1)).fit(X, **given)


def test_a_decoded_file_is_read(tmp_path):
    """What xarray opens and decodes has its packing in the encoding, not in the attributes."""
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


def test_a_source_keeps_its_rules_in_a_pickle(h5, tmp_path):
    import pickle

    dataset = h5.create_dataset("X", data=COUNTS)
    dataset.attrs["_FillValue"] = 7
    h5.flush()
    shutil.copy(tmp_path / "fields.h5", tmp_path / "copy.h5")
    again = pickle.loads(pickle.dumps(ArraySource(dataset)))
    with pytest.raises(ValueError, match="call missing"):
        again.read_all()


# --- totals, weights and gradients that lie in stores ---------------------------------------------


def _half_written(kind, values, tmp_path):
    """Return a store of which the second half of the chunks was never written."""
    half = len(values) // 2
    library = pytest.importorskip(kind)
    chunks = (half, *values.shape[1:])
    if kind == "h5py":
        file = library.File(tmp_path / "half.h5", "w")
        store = file.create_dataset("a", shape=values.shape, dtype=float, chunks=chunks)
    else:
        store = library.create_array({}, shape=values.shape, dtype=float, chunks=chunks)
    store[:half] = values[:half]
    return store


@pytest.mark.parametrize("kind", ["h5py", "zarr"])
@pytest.mark.parametrize("what", ["y", "sample_weight", "gradient", "score", "score weight"])
@pytest.mark.parametrize("estimator", ["EDNNRegressor", "EDNNCommittee", "NoveltyGuard"])
def test_holes_are_refused_in_whatever_is_given_beside_fields(kind, what, estimator, tmp_path):
    X = np.random.default_rng(0).normal(size=(60, 4))
    y = (X * np.roll(X, 1, 1)).sum(axis=1)
    base = EDNNRegressor(Ridge(), GridTiling(1, 1))
    model = {
        "EDNNRegressor": base,
        "EDNNCommittee": EDNNCommittee(base, n_members=2, random_state=0),
        "NoveltyGuard": NoveltyGuard(base, alarm_rate=0.2, random_state=0),
    }[estimator]
    if what == "gradient" and estimator == "NoveltyGuard":
        pytest.skip("It takes no gradients.")
    values = X if what == "gradient" else y if what in ("y", "score") else np.ones(60)
    store = _half_written(kind, values, tmp_path)
    with pytest.raises(FileNotFoundError, match=r"never written|not in the store"):
        if what == "y":
            model.fit(X, store)
        elif what == "score":
            model.fit(X, y).score(X, store)
        elif what == "score weight":
            model.fit(X, y).score(X, y, sample_weight=store)
        else:
            model.fit(X, y, **{what: store})


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
        with pytest.raises(ValueError, match="call missing"):
            packing.require_values(array.data)
    else:
        packing.require_values(array.data)
