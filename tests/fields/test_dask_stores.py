"""Dask arrays of stores: the rule on holes, marks and packed numbers reaches through the graph."""

import os

import numpy as np
import pytest

from sk_ednn.fields import ArraySource
from sk_ednn.fields._in_memory import in_memory
from tests.fields._stored import X, accepted, refused

dask, da = pytest.importorskip("dask"), pytest.importorskip("dask.array")


def _hdf5(folder, written):
    h5py = pytest.importorskip("h5py")
    dataset = h5py.File(folder / "X.h5", "w").create_dataset(
        "X", X.shape, chunks=(2, 8, 3), dtype=X.dtype
    )
    dataset[:written] = X[:written]
    return dataset, "was never written"


def _zarr(folder, written):
    zarr = pytest.importorskip("zarr")
    array = zarr.create_array(folder / "X", shape=X.shape, chunks=(2, 8, 3), dtype=X.dtype)
    array[:written] = X[:written]
    return array, "is not in the store"


N = len(X)
STORES = {"hdf5": _hdf5, "zarr": _zarr}


@pytest.fixture(params=[(kind, inline) for kind in STORES for inline in (False, True)], ids=str)
def make(request, tmp_path):
    """Return a function: a dask array of a store that is written up to some sample, and words."""
    kind, inline = request.param
    opened = []

    def made(written=N, **attributes):
        store, words = STORES[kind](tmp_path, written)
        store.attrs.update(attributes)
        opened.append(store)
        return da.from_array(store, chunks=(4, 4, 6), inline_array=inline), words

    yield made
    if kind == "hdf5":
        for store in opened:
            store.file.close()


def test_stores_without_holes_are_read(make):
    array, _ = make()
    accepted(ArraySource(array))
    accepted(ArraySource(array.rechunk((5, 3, 6))))
    np.testing.assert_array_equal(in_memory(array, "y"), X)


@pytest.mark.parametrize(
    "index",
    [
        np.s_[2:7], np.s_[9:2:-3], np.s_[:, ::-2, 1:], np.s_[3], np.s_[..., -1],
        np.s_[:, [0, 2, 5]], np.s_[1:1], np.s_[[4, 1], 2:, 3],
    ],
    ids=str,
)  # fmt: skip
def test_parts_are_those_of_the_array(make, index):
    array, _ = make()
    source = ArraySource(array[index])
    np.testing.assert_array_equal(source.read_all(), X[index])
    assert source.identity() == ArraySource(array[index]).identity()


def test_holes_are_refused_wherever_they_end_up(make):
    array, words = make(written=8)
    refused(ArraySource(array), words)
    refused(ArraySource(array * 2 + 1), words)
    with pytest.raises(FileNotFoundError, match=words):
        in_memory(array.sum(axis=(1, 2)), "y")
    np.testing.assert_array_equal(ArraySource(array[:8]).read_all(), X[:8])
    filled = ArraySource(array, missing_chunks="fill").read_all()
    assert (filled[8:] == 0).all()


# Operations of Dask that give the numbers of an array another place or type.
MOVES = {
    "plain": lambda a: a,
    "parts": lambda a: a[2:, ::-1],
    "rechunk": lambda a: a.rechunk((3, 8, 6)),
    "concatenate": lambda a: da.concatenate([a, a]),
    "stack": lambda a: da.stack([a[2], a[0]]),
    "roll": lambda a: da.roll(a, 1, axis=1),
    "pad": lambda a: da.pad(a, ((0, 0), (1, 1), (0, 0)), mode="wrap"),
    "astype": lambda a: a.astype("f4"),
    "asarray": lambda a: a.map_blocks(np.asarray, dtype=a.dtype),
    "transpose": lambda a: a.transpose(0, 2, 1),
    "swapaxes": lambda a: a.swapaxes(1, 2),
    "reshape": lambda a: a.reshape(len(X), 48),
    "broadcast": lambda a: da.broadcast_to(a[None], (2, *a.shape))[0],
    "repeat": lambda a: da.repeat(a, 2, axis=0),
    "points": lambda a: a.vindex[[0, 1]],
    "shuffle": lambda a: a.shuffle([[0, 1], [2]], axis=0),
    "blocks": lambda a: a.blocks[:1],
    "optimize": lambda a: dask.optimize(a)[0],
}


@pytest.mark.parametrize("move", MOVES)
def test_packed_numbers_are_refused_wherever_they_are_moved(make, move):
    array, _ = make(scale_factor=0.5)
    with pytest.raises(ValueError, match=r"scale_factor=0\.5"):
        ArraySource(MOVES[move](array))


@pytest.mark.parametrize("move", MOVES)
def test_holes_are_refused_wherever_they_are_moved(make, move):
    array, words = make(written=0)
    with pytest.raises(FileNotFoundError, match=words):
        ArraySource(MOVES[move](array)).read_all()


@pytest.mark.parametrize("optimized", [False, True])
def test_decoded_numbers_are_read(make, optimized):
    array, _ = make(scale_factor=0.5)
    decoded = (array * 0.5).astype("f8")[1:]
    decoded = dask.optimize(decoded)[0] if optimized else decoded
    np.testing.assert_array_equal(ArraySource(decoded).read_all(), X[1:] * 0.5)


def test_marks_of_missing_values_are_refused_unless_they_are_filled_in(make):
    array, _ = make(_FillValue=float(X[3, 2, 1]))
    refused(ArraySource(array), "mark as missing")
    filled = da.where(array == X[3, 2, 1], 0.0, array)
    np.testing.assert_array_equal(ArraySource(filled).read_all(), np.where(X == X[3, 2, 1], 0.0, X))


def test_links_to_other_files_are_followed_only_where_asked_for(tmp_path):
    h5py = pytest.importorskip("h5py")
    np.save(tmp_path / "raw.npy", X)
    start = os.path.getsize(tmp_path / "raw.npy") - X.nbytes
    external = [(str(tmp_path / "raw.npy"), start, X.nbytes)]
    with h5py.File(tmp_path / "X.h5", "w") as file:
        dataset = file.create_dataset("X", X.shape, X.dtype, external=external)
        array = da.from_array(dataset, chunks=(4, 8, 6))
        with pytest.raises(ValueError, match="reads from other files"):
            ArraySource(array)
        accepted(ArraySource(array, follow_links=True))


# Selections of a DataArray, and whether they need the samples that got lost.
SELECTIONS = {
    "all": (lambda a: a, True),
    "parts": (lambda a: a[2:, ::-1], True),
    "reversed": (lambda a: a[::-1], True),
    "a sample": (lambda a: a[7], True),
    "samples": (lambda a: a[[1, 6]], True),
    "transposed": (lambda a: a.transpose("y", "n", "x"), True),
    "computed": (lambda a: a * 2 + 1, True),
    "other samples": (lambda a: a[:6], False),
    "other samples, reversed": (lambda a: a[11:7:-1, 1:5], False),
    "another sample": (lambda a: a[3], False),
    "some samples": (lambda a: a[[11, 8, 9]], False),
}


@pytest.mark.parametrize("selection", SELECTIONS)
@pytest.mark.parametrize("chunked", [True, False])
@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("form", [2, 3])
def test_holes_are_refused_behind_xarray(form, packed, chunked, selection, tmp_path):
    """xarray reads a lost chunk of integers as zeros, and decodes others of packed numbers."""
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("zarr")
    numbers = np.round(X, 1) if packed else np.arange(X.size).reshape(X.shape)
    encoding: dict = {"chunks": (2, 8, 3)}
    if packed:
        encoding |= {"dtype": "i2", "scale_factor": 0.1, "_FillValue": -999}
    data = xarray.Dataset({"X": (("n", "y", "x"), numbers)})
    plain = {"zarr_format": form, "consolidated": False}
    data.to_zarr(tmp_path / "X", encoding={"X": encoding}, **plain)
    (lost,) = (
        path
        for path in (tmp_path / "X" / "X").rglob("*")
        if path.is_file() and "/".join(path.parts[-3:]).replace(".", "/").endswith("3/0/1")
    )
    chunk = lost.read_bytes()
    lost.unlink()
    chunks = {} if chunked else None
    array = xarray.open_dataset(tmp_path / "X", engine="zarr", chunks=chunks, consolidated=False)
    select, needs_lost = SELECTIONS[selection]
    if selection == "computed" and not chunked:
        return  # by xarray, at once
    selected = select(array["X"])
    if needs_lost:
        with pytest.raises(FileNotFoundError, match="is not in the store"):
            ArraySource(selected).read_all()
        with pytest.raises(FileNotFoundError, match="is not in the store"):
            in_memory(selected, "y")
        ArraySource(selected, missing_chunks="fill").read_all()
        lost.write_bytes(chunk)
    expected = select(xarray.DataArray(numbers, dims=("n", "y", "x"))).values
    np.testing.assert_allclose(ArraySource(selected).read_all(), expected)
    np.testing.assert_allclose(in_memory(selected, "y"), expected)
