"""Samples of stored fields are taken under the rule of `ArraySource`, by whatever takes them."""

from functools import cache

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from sk_ednn import EDNNCommittee, EDNNRegressor, GridTiling
from sk_ednn.fields import ArraySource
from sk_ednn.fields._samples import sample_at, samples_at
from sk_ednn.fields._sources import source_identity
from sk_ednn.inspection import suggest_tiling
from sk_ednn.search import ActiveLearning
from sk_ednn.uncertainty import NoveltyGuard

N = 40
FIELDS = np.random.default_rng(0).normal(size=(N, 6))
TOTALS = FIELDS.sum(axis=1)
KINDS = ["HDF5", "zarr", "source of zarr", "dask", "xarray"]
IN_MEMORY = {
    "list": list,
    "list of lists": np.ndarray.tolist,
    "frame": lambda X: pytest.importorskip("pandas").DataFrame(X, columns=list("abcdef")),
}


def model():
    return EDNNRegressor(Ridge(1e-6), GridTiling(1, 0))


def store(kind, folder, whole):
    """Return FIELDS in a store, whose last chunk was never written unless it is whole."""
    n_written = N if whole else N - 10
    if kind == "HDF5":
        h5py = pytest.importorskip("h5py")
        stored = h5py.File(folder / "X.h5", "w").create_dataset(
            "X", FIELDS.shape, "f8", chunks=(10, 6)
        )
        stored[:n_written] = FIELDS[:n_written]
        return stored
    zarr = pytest.importorskip("zarr")
    stored = zarr.create_array(folder / "X.zarr", shape=FIELDS.shape, chunks=(10, 6), dtype="f8")
    stored[:n_written] = FIELDS[:n_written]
    if kind == "zarr":
        return stored
    if kind == "source of zarr":
        return ArraySource(stored)
    lazy = pytest.importorskip("dask.array").from_array(stored, chunks=(10, 6))
    return lazy if kind == "dask" else pytest.importorskip("xarray").DataArray(lazy)


CALLS = {
    "committee": lambda X: (
        EDNNCommittee(model(), n_members=2, random_state=0).fit(X, TOTALS).oob_prediction_
    ),
    "suggestion": lambda X: (
        suggest_tiling(X, TOTALS, estimator=model(), max_context=1, cv=2).mean_scores
    ),
    "active learning": lambda X: (
        ActiveLearning(
            model(), X, lambda field: float(np.sum(field)), batch_size=15, random_state=0
        )
        .run(30)
        .totals_
    ),
}


@cache
def of_arrays(name):
    return CALLS[name](FIELDS)


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("kind", KINDS)
def test_stored_fields_are_as_good_as_arrays(kind, name, tmp_path):
    X = store(kind, tmp_path, whole=True)
    np.testing.assert_allclose(CALLS[name](X), of_arrays(name), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("kind", IN_MEMORY)
def test_samples_of_lists_and_frames_are_rows(kind, name):
    X = IN_MEMORY[kind](FIELDS)
    np.testing.assert_allclose(CALLS[name](X), of_arrays(name), rtol=1e-9, atol=1e-9)


def test_suggestions_need_totals():
    with pytest.raises(ValueError, match="y must be an array with a total for each sample"):
        suggest_tiling(FIELDS, None, estimator=model())


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("kind", KINDS)
def test_samples_of_missing_chunks_are_not_zeros(kind, name, tmp_path):
    X = store(kind, tmp_path, whole=False)
    with pytest.raises(FileNotFoundError, match=r"never written|is not in the store"):
        CALLS[name](X)


@pytest.mark.parametrize("kind", KINDS[:3])
def test_guards_ask_for_fields_in_memory(kind, tmp_path):
    with pytest.raises(ValueError, match="load the fields into memory"):
        NoveltyGuard(model(), alarm_rate=0.2).fit(store(kind, tmp_path, whole=True), TOTALS)


@pytest.mark.parametrize("what", ["y", "groups"])
def test_suggestions_refuse_totals_that_were_never_written(what, tmp_path):
    h5py = pytest.importorskip("h5py")
    stored = h5py.File(tmp_path / "y.h5", "w").create_dataset("y", (N,), "f8", chunks=(10,))
    stored[:20] = TOTALS[:20]
    arguments = {"y": TOTALS, what: stored}
    with pytest.raises(FileNotFoundError, match="never written"):
        suggest_tiling(FIELDS, estimator=model(), max_context=0, **arguments)


@pytest.mark.parametrize("kind", KINDS[:3])
def test_chosen_samples_in_any_order(kind, tmp_path):
    X, index = store(kind, tmp_path, whole=True), np.array([12, 3, 3, 31])
    chosen = samples_at(X, index)
    np.testing.assert_array_equal(chosen.read((slice(0, 4), slice(1, 5))), FIELDS[index, 1:5])
    np.testing.assert_array_equal(sample_at(X, 12), FIELDS[12])
    assert source_identity(chosen) == source_identity(samples_at(X, index))
    assert source_identity(chosen) != source_identity(samples_at(X, index[::-1]))


def without_data(folder):
    h5py = pytest.importorskip("h5py")
    file = h5py.File(folder / "empty.h5", "w")
    file["X"] = h5py.Empty("f8")
    return file["X"]


def closed(folder):
    h5py = pytest.importorskip("h5py")
    with h5py.File(folder / "X.h5", "w") as file:
        return file.create_dataset("X", data=FIELDS)


def several(folder):
    return pytest.importorskip("xarray").Dataset({"X": (("sample", "site"), FIELDS)})


def once(folder):
    return iter(FIELDS)


def packed(folder):
    zarr = pytest.importorskip("zarr")
    return zarr.create_array(folder / "X.zarr", data=FIELDS, attributes={"scale_factor": 0.1})


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (without_data, "has no data"),
        (closed, "is closed"),
        (several, "Choose one of its arrays, such as"),
        (once, "can be read only once"),
        (packed, "is packed"),
    ],
)
@pytest.mark.parametrize("name", [*CALLS, "guard"])
def test_objects_without_samples_are_named_with_the_remedy(name, make, words, tmp_path):
    call = CALLS.get(name, lambda X: NoveltyGuard(model(), alarm_rate=0.2).fit(X, TOTALS))
    with pytest.raises(ValueError, match=words):
        call(make(tmp_path))
