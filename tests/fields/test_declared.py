"""Numbers of blocks are those that are declared, or refused, however they are read."""

from functools import partial
from itertools import product

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.exceptions import EDNNError

da = pytest.importorskip("dask.array")

VALUES = np.random.default_rng(0).integers(-3, 4, (12, 6, 6)).astype(np.float64)


@pytest.fixture(scope="module")
def fitted():
    return EDNNRegressor(Ridge(), GridTiling(1, 1)).fit(VALUES, VALUES.sum(axis=(1, 2)))


class Source:
    """Numbers that are called something else."""

    spacing = None

    def __init__(self, values, dtype):
        self.values, self.shape, self.dtype = values, values.shape, np.dtype(dtype)

    def read(self, slices):
        return self.values[slices]


def blocks(values, dtype, chunks):
    def read(block):
        return block

    return da.from_array(values, chunks=chunks).map_blocks(read, dtype=dtype)


# A source; one block, blocks of samples, and blocks that divide fields.
CHUNKS = [(12, 6, 6), (5, 6, 6), (12, 3, 4), (1, 6, 1)]
WAYS = [Source] + [partial(blocks, chunks=chunks) for chunks in CHUNKS]


@pytest.mark.parametrize(("way", "dtype"), list(product(range(len(WAYS)), ["i1", "u1", "?", "i8"])))
def test_numbers_that_are_declared_to_be_others(way, dtype, fitted):
    with pytest.raises((EDNNError, ValueError), match="is declared to be"):
        np.asarray(fitted.predict(WAYS[way](VALUES + 0.25, dtype)))


@pytest.mark.parametrize("way", range(len(WAYS)))
@pytest.mark.parametrize("dtype", ["i1", "i8", "f4", "f8"])
def test_numbers_that_the_declared_type_has(way, dtype, fitted):
    predicted = np.asarray(fitted.predict(WAYS[way](VALUES, dtype)))
    np.testing.assert_allclose(predicted, fitted.predict(VALUES), rtol=1e-12, atol=1e-9)


@pytest.mark.parametrize("chunks", CHUNKS)
def test_blocks_of_another_shape(chunks, fitted):
    lazy = da.from_array(VALUES, chunks=chunks).map_blocks(lambda block: block[:, :2], dtype="f8")
    with pytest.raises((EDNNError, ValueError), match="is declared to be of shape"):
        np.asarray(fitted.predict(lazy))


def test_what_dask_has_beside_arrays_is_named(fitted):
    bag, delayed = pytest.importorskip("dask.bag"), pytest.importorskip("dask").delayed
    for X in (delayed(VALUES), bag.from_sequence([1, 2])):
        with pytest.raises(ValueError, match=r"of Dask. Compute it, X.compute\(\)"):
            fitted.predict(X)
