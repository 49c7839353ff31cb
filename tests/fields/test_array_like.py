"""Objects that are not arrays are rejected with a remedy, or used without loss."""

from pathlib import Path

import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import Ridge

from sk_ednn import EDNNCommittee, EDNNRegressor, GridTiling, ShiftAveraged
from sk_ednn.structures import Structure
from tests._cases import left_as_it_was, make_field

X = make_field("float64", 10, (6, 5))
Y = X.sum(axis=(1, 2))


def model():
    return EDNNRegressor(Ridge(), GridTiling(1, 1))


def optional(module):
    return pytest.importorskip(module)


def netcdf():
    from io import BytesIO

    from scipy.io import netcdf_file

    file = netcdf_file(BytesIO(), "w")
    for name, length in zip("nab", X.shape, strict=True):
        file.createDimension(name, length)
    file.createVariable("spins", "f8", ("n", "a", "b"))[:] = X
    return file


# Name: (what is handed over, words of the message).
NO_ARRAYS = {
    "a name": (lambda: "X.npy", "got the name 'X.npy'. Read the file, as by numpy.load"),
    "a path": (lambda: Path("X.npy"), "got the name 'X.npy'"),
    "names": (lambda: ["a.png", "b.png"], r"a list of names, X\[0\] is 'a.png'. Read the files"),
    "paths": (lambda: [Path("a.png")] * 10, "a list of names"),
    "a dict": (lambda: {"spins": X}, r"a dict of 'spins'. Choose .* such as \['spins'\]"),
    "dicts": (lambda: [{"spins": x} for x in X], r"X\[0\] is a dict of 'spins'"),
    "None": (lambda: None, "got None"),
    "Nones": (lambda: [X[0], None], r"X\[1\] is None"),
    "a generator": (lambda: (x for x in X), r"a generator, which can be read only once. .*list\(X"),
    "zip": (lambda: zip(X, Y, strict=True), "a zip, which can be read only once"),
    "a set": (lambda: {1, 2}, "a set, which has no order"),
    "a function": (lambda: make_field, "got function make_field"),
    "a class": (lambda: np.ndarray, "got type ndarray"),
    "pairs": (lambda: list(zip(X, Y, strict=True)), r"X\[0\] is a pair. Pass fields and totals"),
    "a view of a dict": (lambda: dict(enumerate(X)).values(), r"a dict_values, .* Give list\(X"),
    "a tensor without a type of numpy": (
        lambda: optional("torch").as_tensor(X).bfloat16(),
        r"a tensor of torch.bfloat16, which numpy does not have. Give X.float\(\)",
    ),
    "a tensor with turned signs": (
        lambda: optional("torch")._neg_view(optional("torch").as_tensor(X)),
        r"its signs changed. Give X.clone\(\)",
    ),
    "a netCDF file": (lambda: netcdf(), r"a netcdf_file of 'spins'. Choose one"),
    "a variable of a netCDF file": (
        lambda: netcdf().variables["spins"],
        "a variable of a netCDF file, .* xarray.open_dataset",
    ),
    "records": (lambda: np.zeros(10, dtype=[("a", "f8")]), "a structured array of 'a'"),
    "sparse arrays": (
        lambda: [sparse.csr_array(x) for x in X],
        r"a sparse array. Give its toarray",
    ),
    "a structure": (lambda: Structure([6], [[0, 0]], [3, 3]), "a structure of atoms .*Gaussian"),
    "structures": (lambda: [Structure([6], [[0, 0]], [3, 3])] * 10, r"X\[0\] is a structure of"),
    "a dataset of xarray": (
        lambda: optional("xarray").Dataset({"spins": (("n", "a", "b"), X)}),
        "an xarray.Dataset of 'spins'. Choose one",
    ),
    "a frame of arrays": (
        lambda: optional("pandas").DataFrame({"image": list(X)}),
        r"a DataFrame whose column 'image' contains arrays. Give X\['image'\].to_list\(\)",
    ),
    "a picture": (
        lambda: optional("PIL.Image").fromarray(X[0].astype("u1")),
        r"a single picture. Give a list of pictures",
    ),
    "pictures with a palette": (
        lambda: [optional("PIL.Image").fromarray(x.astype("u1")).convert("P") for x in X],
        r"X\[0\] is a picture of mode 'P', .*table of colours",
    ),
    "a tensor with a gradient": (
        lambda: optional("torch").tensor(X, requires_grad=True),
        r"requires a gradient. Give X.detach\(\)",
    ),
    "tensors with a gradient": (
        lambda: [optional("torch").tensor(x, requires_grad=True) for x in X],
        r"X\[0\] is a tensor that requires a gradient",
    ),
    "a conjugate": (
        lambda: optional("torch").as_tensor(X).to(optional("torch").complex64).conj(),
        r"a tensor that is the conjugate of another. Give X.real or X.imag",
    ),
    "a nested tensor": (
        lambda: optional("torch").nested.nested_tensor(list(optional("torch").as_tensor(X))),
        r"a nested tensor. Give a list of arrays",
    ),
    "a sparse tensor": (lambda: optional("torch").tensor(X).to_sparse(), "a sparse tensor"),
    "a data loader": (
        lambda: optional("torch.utils.data").DataLoader(list(X)),
        "a DataLoader. Pass its inputs as an array",
    ),
    "a data set": (
        lambda: optional("torch.utils.data").TensorDataset(optional("torch").tensor(X)),
        "a TensorDataset. Pass its inputs",
    ),
}


def _zarr_group():
    import zarr

    group = zarr.open_group(zarr.storage.MemoryStore(), mode="w")
    group.create_array("spins", data=X)
    return group


NO_ARRAYS["a group of zarr"] = (
    lambda: optional("zarr") and _zarr_group(),
    "a zarr.Group of 'spins'",
)


@pytest.mark.parametrize("name", NO_ARRAYS)
def test_it_is_named_in_one_line(name):
    make, words = NO_ARRAYS[name]
    given, again = make(), make()
    unfitted, fitted = model(), model().fit(X, Y)
    with left_as_it_was(unfitted), pytest.raises(ValueError, match=words) as caught:
        unfitted.fit(given, Y)
    assert "\n" not in str(caught.value)
    with left_as_it_was(fitted), pytest.raises(ValueError, match=words):
        fitted.predict(again)


@pytest.mark.parametrize("name", ["names", "dicts", "structures", "a set", "pairs"])
@pytest.mark.parametrize(
    "around", [lambda: EDNNCommittee(model(), n_members=2), lambda: ShiftAveraged(model(), 2)]
)
def test_estimators_around_say_the_same(around, name):
    make, words = NO_ARRAYS[name]
    with pytest.raises(ValueError, match=words):
        around().fit(X, Y).predict(make())


USABLE = {
    "a series of arrays": lambda: optional("pandas").Series(list(X), index=range(5, 15)),
    "an array of arrays": lambda: _objects(X),
    "tensors": lambda: [optional("torch").tensor(x) for x in X],
    "a tensor": lambda: optional("torch").tensor(X),
    "a SliceDataset": lambda: _slices(),
    "labelled arrays": lambda: [optional("xarray").DataArray(x) for x in X],
    "a memoryview": lambda: memoryview(X),
    "lists": lambda: X.tolist(),
}


def _objects(fields):
    objects = np.empty(len(fields), dtype=object)
    objects[:] = list(fields)
    return objects


def _slices():
    torch, helper = optional("torch"), optional("skorch.helper")
    data = torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(Y))
    return helper.SliceDataset(data)


@pytest.mark.parametrize("name", USABLE)
def test_what_can_be_used_is_used(name):
    given, expected = USABLE[name](), model().fit(X, Y)
    np.testing.assert_allclose(expected.predict(given), expected.predict(X), rtol=1e-12)
    np.testing.assert_allclose(model().fit(given, Y).predict(X), expected.predict(X), rtol=1e-9)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "1", "I;16", "F"])
def test_pictures_of_pillow_are_their_pixels(mode):
    Image = pytest.importorskip("PIL.Image")
    pictures = [Image.new(mode, (9 + k, 8), k) for k in range(10)]
    arrays = [np.asarray(picture) for picture in pictures]
    channel_axis = -1 if arrays[0].ndim == 3 else None
    fitted = EDNNRegressor(Ridge(), GridTiling(1, 1, channel_axis=channel_axis)).fit(arrays, Y)
    np.testing.assert_array_equal(fitted.predict(pictures), fitted.predict(arrays))


@pytest.mark.parametrize("name", ["y", "sample_weight", "groups"])
@pytest.mark.parametrize(
    ("thing", "words"),
    [
        (lambda: "totals.npy", "the name 'totals.npy'"),
        (lambda: {"a": np.ones(4)}, "a dict of 'a'"),
        (lambda: (value for value in range(4)), r"read only once. Give list\({name}\)"),
        (lambda: {1.0, 2.0, 3.0, 4.0}, "no order"),
        (lambda: pytest.importorskip("h5py").Empty("f4"), "no data"),
    ],
)
def test_what_is_no_array_is_named_beside_fields_too(name, thing, words):
    X = np.arange(16.0).reshape(4, 4)
    given = {"y": X.sum(axis=1)} | {name: thing()}
    with pytest.raises(ValueError, match=f"^{name} must be .*{words.format(name=name)}"):
        EDNNRegressor(Ridge(), GridTiling(1, 0)).fit(X, **given)


def test_views_of_hdf5_datasets_are_named(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        view = file.create_dataset("x", data=np.ones((4, 4))).astype("f4")
        with pytest.raises(ValueError, match="a view of an HDF5 dataset"):
            EDNNRegressor(Ridge(), GridTiling(1, 0)).fit(view, np.ones(4))
