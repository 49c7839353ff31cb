"""Tiles: the sum operator and its adjoint, and the search for equal tiles."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sk_ednn import GridTiling
from sk_ednn.tiling._base import sum_matrix
from sk_ednn.tiling._tiles import Tiles
from tests._cases import KINDS, TILINGS, make_field, make_spins


def batches(name, kind="float64"):
    """Yield a batch of fields of one shape and, where allowed, a list of several shapes."""
    tiling, shape, other = TILINGS[name]
    yield tiling, make_field(kind, 3, shape)
    if name != "whole axis":
        few = make_field(kind, 2, shape, 1)
        yield tiling, [few[0], make_field(kind, 1, other, 2)[0], few[1]]


def weighted_sum(tiles):
    """Return totals of contributions that depend on every value of a tile."""
    rows = tiles.array().reshape(tiles.n_tiles, -1).astype(float)
    return tiles.total(np.sin(rows @ np.arange(1.0, 1 + rows.shape[1])))


@pytest.mark.parametrize("name", TILINGS)
@pytest.mark.parametrize("n_outputs", [None, 1, 3])
def test_adjoint_is_the_adjoint_of_total(name, n_outputs, rng):
    for tiling, X in batches(name):
        for tiles in (tiling.tiles(X), tiling.tiles(X).unique()[0]):
            trailing = () if n_outputs is None else (n_outputs,)
            c = rng.normal(size=(tiles.n_tiles, *trailing))
            r = rng.normal(size=(tiles.n_samples, *trailing))
            total, adjoint = tiles.total(c), tiles.adjoint(r)
            assert (total.shape, adjoint.shape) == (r.shape, c.shape)
            np.testing.assert_allclose((total * r).sum(), (c * adjoint).sum(), rtol=1e-12)


@pytest.mark.parametrize("name", TILINGS)
def test_total_sums_over_the_tiles_of_each_sample(name, rng):
    for tiling, X in batches(name):
        tiles = tiling.tiles(X)
        c = rng.normal(size=tiles.n_tiles)
        grids = [tiling.tile_grid(np.shape(field)) for field in X]
        if isinstance(X, list):
            # Fields of one shape are grouped; the sum matrix assigns tiles to samples.
            assert sorted(tiles.sum_matrix.indices) == list(range(tiles.n_tiles))
            expected = [c[tiles.sum_matrix[[i]].indices].sum() for i in range(len(X))]
        else:
            expected = c.reshape(len(X), -1).sum(axis=1)
        np.testing.assert_allclose(tiles.total(c), expected, rtol=1e-12)
        np.testing.assert_array_equal(tiles.counts(), [np.prod(grid) for grid in grids])


@pytest.mark.parametrize("name", TILINGS)
@pytest.mark.parametrize("kind", KINDS)
def test_unique_keeps_totals(name, kind):
    for tiling, X in batches(name, kind):
        tiles = tiling.tiles(X)
        merged, inverse = tiles.unique()
        np.testing.assert_array_equal(merged.array()[inverse], tiles.array())
        assert len(np.unique(merged.array().reshape(merged.n_tiles, -1), axis=0)) == merged.n_tiles
        np.testing.assert_allclose(
            weighted_sum(merged), weighted_sum(tiles), rtol=1e-12, atol=1e-12
        )
        np.testing.assert_array_equal(merged.counts(), tiles.counts())
        condensed = tiles.condensed()
        assert condensed is tiles or condensed.n_tiles == merged.n_tiles


def test_unique_does_not_modify_tiles():
    tiles = GridTiling(1, 1).tiles(make_spins(5, (8, 8)))
    before = tiles.sum_matrix.toarray()
    tiles.unique()
    np.testing.assert_array_equal(tiles.sum_matrix.toarray(), before)


@pytest.mark.parametrize("kind", KINDS)
def test_unique_does_not_depend_on_the_order_of_samples(kind, rng):
    tiling, X = GridTiling(1, 1), make_field(kind, 6, (4, 4))
    order = rng.permutation(6)
    one, other = tiling.tiles(X).unique()[0], tiling.tiles(X[order]).unique()[0]
    np.testing.assert_array_equal(one.array(), other.array())
    np.testing.assert_array_equal(one.sum_matrix.toarray()[order], other.sum_matrix.toarray())


def test_unique_counts_states_of_spins():
    merged, _ = GridTiling(1, 1).tiles(make_spins(200, (8, 8))).unique()
    assert merged.n_tiles == 512


@given(st.lists(st.integers(0, 4), min_size=1, max_size=20), st.integers(0, 3))
def test_sum_matrix_of_unsorted_owners(owners, more):
    n_samples = max(owners) + 1 + more
    matrix = sum_matrix(np.array(owners), n_samples)
    expected = np.arange(n_samples)[:, None] == np.array(owners)
    np.testing.assert_array_equal(matrix.toarray(), expected)


@pytest.mark.parametrize("name", ["1-D", "2-D", "channels last"])
@pytest.mark.parametrize("index", [slice(None), slice(2, 9, 3), [5, 0, 5], slice(0, 0)])
def test_array_by_index(name, index):
    tiling, shape, _ = TILINGS[name]
    tiles = tiling.tiles(make_field("float64", 3, shape))
    every = tiles.values.reshape(-1, *tiles.tile_shape)
    np.testing.assert_array_equal(tiles.array(index), every[index])
    flat = Tiles(every, tiles.sum_matrix, tiles.tile_shape)
    np.testing.assert_array_equal(flat.array(index), every[index])


def test_total_adds_float32_contributions_in_float64():
    n = 100_000
    tiles = Tiles(np.zeros((n, 1)), sum_matrix(np.zeros(n, dtype=int), 1), (1,))
    c = np.full(n, np.float32(-110.1))
    assert tiles.total(c).dtype == np.float64
    np.testing.assert_allclose(tiles.total(c), n * np.float64(c[0]), rtol=1e-12)


def test_repeats_probes_a_sample():
    spins, noise = make_spins(40, (16, 16)), make_field("float64", 40, (16, 16))
    assert GridTiling(1, 1).tiles(spins).repeats()
    assert not GridTiling(1, 1).tiles(noise).repeats()
    assert not GridTiling(1, 4).tiles(spins).repeats()  # 2^81 states
    assert not GridTiling(None, 0).tiles(spins[:1]).repeats()  # one tile


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int64", "float32", "float64"])
@pytest.mark.parametrize("n_kinds", [60, 15_000])
@pytest.mark.parametrize("seed", [0, 1])
def test_repeats_counts_tiles_that_occur_a_few_times(dtype, n_kinds, seed):
    """All tiles repeat, but in a probe of some thousand tiles hardly any does."""
    rng = np.random.default_rng(seed)
    kinds = rng.integers(0, 200, (n_kinds, 9)).astype(dtype) * 3
    values = kinds[rng.integers(0, n_kinds, 60_000)]
    tiles = Tiles(values, sum_matrix(np.arange(60_000) // 600, 100), (9,))
    n_distinct = len(np.unique(values, axis=0))
    assert tiles.unique()[0].n_tiles == n_distinct
    assert tiles.repeats() and tiles.condensed().n_tiles == n_distinct
    assert tiles.repeats(59_999 / n_distinct) and not tiles.repeats(60_001 / n_distinct)


@pytest.mark.parametrize("arrangement", ["supercells", "copies", "augmented", "interleaved"])
@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32", "float64"])
@pytest.mark.parametrize("context", [1, 3])
def test_repeats_finds_regular_copies(arrangement, dtype, context):
    """Copies at regular intervals of the tiles are found like any others."""
    rng = np.random.default_rng(0)
    fields = (255 * rng.random((12, 16, 16))).astype(dtype)
    fields = {
        "supercells": np.tile(fields, (1, 2, 2)),
        "copies": np.concatenate([fields] * 4),
        "augmented": np.concatenate([np.roll(fields, (k, 3 * k), axis=(1, 2)) for k in range(4)]),
        "interleaved": np.repeat(fields, 4, axis=0),
    }[arrangement]
    tiles = GridTiling(1, context).tiles(fields)
    assert tiles.n_tiles == 4 * 12 * 256
    assert tiles.repeats(3.9)
    assert tiles.condensed().n_tiles <= 12 * 256


def test_unique_calls_admit_before_copying():
    tiles = GridTiling(1, 1).tiles(make_spins(200, (8, 8)))

    def refuse(n_distinct):
        raise MemoryError(n_distinct)

    with pytest.raises(MemoryError, match=r"^512$"):
        tiles.unique(refuse)
