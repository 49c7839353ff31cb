"""Fits to lazy fields, compared with fits in memory."""

import pickle

import numpy as np
import pytest
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.exceptions import TileModelError, TilingError
from sk_ednn.fields import ArraySource
from sk_ednn.fields._samples import ChosenSamples, SampleReader

da = pytest.importorskip("dask.array")

X = np.random.default_rng(0).normal(size=(24, 8, 12)).astype(np.float32)
Y = (X[:, 1:] * X[:, :-1]).sum(axis=(1, 2)) + X.sum(axis=(1, 2))
TILING = GridTiling(4, 1)


class Counting:
    """A source that records which samples are read, and how many at a time."""

    spacing = None

    def __init__(self, values, chunks=None):
        self.values, self.shape, self.dtype = values, values.shape, values.dtype
        self.reads = []
        self.chunks = chunks

    def read(self, slices):
        self.reads.append((slices[0].start, slices[0].stop))
        return self.values[tuple(slices)]

    def identity(self):
        return "counting"


@pytest.fixture(params=["dask", "zarr", "hdf5", "map", "source", "list"])
def streamed(request, tmp_path):
    """Return the samples as a lazy source."""
    if request.param == "dask":
        return da.from_array(X, chunks=(5, 8, 7))
    if request.param == "zarr":
        zarr = pytest.importorskip("zarr")
        stored = zarr.create_array(tmp_path / "x", shape=X.shape, chunks=(3, 8, 8), dtype=X.dtype)
        stored[...] = X
        return stored
    if request.param == "hdf5":
        h5py = pytest.importorskip("h5py")
        with h5py.File(tmp_path / "x.h5", "w") as file:
            file.create_dataset("x", data=X, chunks=(4, 8, 12))
        return h5py.File(tmp_path / "x.h5", "r")["x"]
    if request.param == "map":
        np.save(tmp_path / "x.npy", X)
        return ArraySource(tmp_path / "x.npy")
    if request.param == "list":
        return [da.from_array(x) for x in X]
    return Counting(X)


def fitted(tile_model, fields, **params):
    return EDNNRegressor(tile_model, TILING, random_state=0, **params).fit(fields, Y)


@pytest.mark.parametrize(
    "tile_model, params, tolerance",
    [
        (Ridge(), {}, 1e-12),
        (LinearRegression(), {"baseline": "content"}, 1e-9),
        (make_pipeline(StandardScaler(), Ridge()), {}, 1e-6),
    ],
)
def test_linear_models_on_lazy_fields(streamed, tile_model, params, tolerance):
    inner = fitted(tile_model, X, **params)
    np.testing.assert_allclose(
        fitted(tile_model, streamed, **params).predict(X), inner.predict(X), rtol=tolerance,
        atol=tolerance * np.abs(Y).max(),
    )  # fmt: skip


@pytest.mark.parametrize("form", ["dense", "tiled"])
def test_networks_read_batches_of_lazy_fields(streamed, form):
    nn = pytest.importorskip("torch").nn
    from sk_ednn.solvers import GradientSolver

    net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.SiLU(), nn.Flatten(), nn.Linear(48, 1))
    how = GradientSolver(max_epochs=3, batch_size=7, form=form, precision="float64")
    one, other = (fitted(net, fields, solver=how) for fields in (X, streamed))
    np.testing.assert_allclose(one.predict(X), other.predict(X), rtol=1e-10)


def test_training_reads_a_bounded_number_of_samples():
    torch = pytest.importorskip("torch")
    from sk_ednn.fields._fields import Fields, Stack
    from sk_ednn.networks import FieldSums

    source = Counting(X)
    sums = FieldSums(Fields((Stack(np.arange(24), source),), 24, False), None, Y[:, None], None)
    batch, y = sums[[5, 3, 3, 17]]
    torch.testing.assert_close(batch.stacks[0][1][:, 0], torch.from_numpy(X[[5, 3, 3, 17]]))
    np.testing.assert_allclose(y[:, 0], Y[[5, 3, 3, 17]], rtol=1e-6)
    assert sorted(source.reads) == [(3, 4), (5, 6), (17, 18)]  # these samples, and no others


@pytest.mark.parametrize("held_chunks", [0.5, 1, 3, 100])
def test_chunks_are_cached_if_they_fit(held_chunks):
    source = Counting(X, chunks=(5, 8, 12))
    reader = SampleReader(source, held_bytes=held_chunks * X[:5].nbytes)
    rng = np.random.default_rng(0)
    for _ in range(20):
        index = rng.integers(0, 24, size=6)
        np.testing.assert_array_equal(reader[index], X[index])
        assert sum(values.nbytes for values in reader._held.values()) <= reader.held_bytes
    if held_chunks == 100:
        assert sorted(source.reads) == [(0, 5), (5, 10), (10, 15), (15, 20), (20, 24)]
    again = pickle.loads(pickle.dumps(reader))
    assert not again._held and np.array_equal(again[[1, 0]], X[[1, 0]])


def test_subset_of_samples_is_a_source():
    chosen = ChosenSamples(Counting(X), [7, 2, 2, 20])
    box = (slice(1, 4), slice(2, 6), slice(0, 12))
    np.testing.assert_array_equal(chosen.read(box), X[[7, 2, 2, 20]][box])


def test_samples_of_weight_zero_are_not_read():
    weight = np.arange(24) % 3
    one = EDNNRegressor(Ridge(), TILING).fit(X, Y, weight)
    other = EDNNRegressor(Ridge(), TILING).fit(da.from_array(X, chunks=(5, 8, 7)), Y, weight)
    np.testing.assert_allclose(one.predict(X), other.predict(X), rtol=1e-12)


@pytest.mark.parametrize(
    "tile_model", [KernelRidge(), DecisionTreeRegressor(), MLPRegressor(max_iter=2)]
)
def test_models_that_need_all_tiles_reject_lazy_fields(tile_model):
    source = Counting(X)
    model = EDNNRegressor(tile_model, TILING)
    with pytest.raises(TilingError, match=r"load the fields into memory first.* X\.comp"):
        model.fit(source, Y)
    assert not hasattr(model, "tile_model_")
    assert sum(stop - start for start, stop in source.reads) < 24  # a probe at most


def test_error_names_the_samples_with_nan():
    nn = pytest.importorskip("torch").nn
    spoilt = X.copy()
    spoilt[11, 2, 3] = np.nan
    net = nn.Sequential(nn.Flatten(), nn.Linear(36, 1))
    with pytest.raises(ValueError, match=r"samples \[.*11.*\] as read\) contains NaN"):
        fitted(net, da.from_array(spoilt, chunks=(5, 8, 12)))


def test_checkpoint_of_another_source_is_rejected(tmp_path):
    nn = pytest.importorskip("torch").nn
    from sk_ednn.solvers import GradientSolver

    net = nn.Sequential(nn.Flatten(), nn.Linear(36, 1))
    how = GradientSolver(max_epochs=2, checkpoint=tmp_path / "training")
    lazy = da.from_array(X, chunks=(5, 8, 12))
    first = fitted(net, lazy, solver=how)
    again = fitted(net, lazy, solver=how)
    np.testing.assert_array_equal(first.predict(X), again.predict(X))
    with pytest.raises(TileModelError, match="of another training"):
        fitted(net, lazy + 1, solver=how)
