"""Search for equal tiles of any dtype and order, with and without hash collisions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view

from sk_ednn.tiling._equal_tiles import distinct, hashes

DTYPES = (bool, np.int8, np.uint8, np.int16, np.int64, np.uint64, np.float32, np.float64)
# Few values (exact codes), values with a gap, values too large for codes, and non-integers.
ALPHABETS = {
    "two": [-1, 1],
    "bits": [0, 1],
    "gap": [0, 7, 3000],
    "large": [0, 2**31 - 1, 2**53],
    "huge": [-(2**63), 2**63 - 1, 0],
    "real": [0.1, -0.1, 1e300, 5e-324, np.pi],
    "zeros": [0.0, -0.0, 1.0],
}


def cast(values, dtype):
    with np.errstate(over="ignore", invalid="ignore"):
        return np.nan_to_num(np.asarray(values).astype(dtype), posinf=3.0, neginf=-3.0)


@st.composite
def tile_arrays(draw):
    """Draw tiles with many repetitions: (values, number of axes of a tile)."""
    dtype = draw(st.sampled_from(DTYPES))
    alphabet = cast(ALPHABETS[draw(st.sampled_from(sorted(ALPHABETS)))], dtype)
    tile_ndim = draw(st.integers(1, 4))
    tile_shape = draw(st.tuples(*[st.integers(1, 3)] * tile_ndim))
    batch = draw(st.tuples(*[st.integers(1, 4)] * draw(st.integers(1, 3))))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    return rng.choice(alphabet, size=(*batch, *tile_shape)), tile_ndim


def check(values, tile_ndim):
    """Compare a result with numpy.unique of rows."""
    first, inverse = distinct(values, tile_ndim)
    tiles = values.reshape(-1, int(np.prod(values.shape[values.ndim - tile_ndim :])))
    np.testing.assert_array_equal(tiles[first][inverse], tiles)
    rows = tiles + tiles.dtype.type(0)
    assert len(first) == len(np.unique(rows, axis=0))
    # The first of equal tiles, so that the result does not depend on later ones.
    assert all(first[kind] == np.flatnonzero(inverse == kind)[0] for kind in range(len(first)))
    return first, inverse


@given(tile_arrays())
def test_distinct_equals_numpy_unique(case):
    check(*case)


@given(tile_arrays(), st.randoms(use_true_random=False))
def test_order_of_distinct_tiles_depends_only_on_values(case, random):
    values, tile_ndim = case
    tiles = values.reshape(-1, *values.shape[values.ndim - tile_ndim :])
    order = list(range(len(tiles)))
    random.shuffle(order)
    first, inverse = distinct(tiles, tile_ndim)
    again, moved = distinct(tiles[order], tile_ndim)
    np.testing.assert_array_equal(tiles[order][again], tiles[first])
    np.testing.assert_array_equal(moved, inverse[order])


def colliding(first, last, other):
    """Return a number such that the tiles (first, last) and (other, number) have one hash.

    Each element is combined with the hash of those before it by exclusive or.
    """
    of_first, of_other = (hashes(np.array([[value]]), 1) for value in (first, other))
    bits = np.array([last + 0.0]).view(np.uint64) if isinstance(last, float) else np.uint64(last)
    return (of_first ^ of_other ^ bits).view(type(last))[0]


@given(st.lists(st.integers(2**40, 2**62), min_size=3, max_size=3, unique=True), st.data())
def test_hash_collisions_are_detected(values, data):
    first, last, other = map(np.int64, values)
    pair = [[first, last, 5], [other, colliding(first, last, other), 5]]
    tiles = np.array(data.draw(st.permutations([*pair, *pair, [0, 0, 0]])))
    assert len(np.unique(hashes(tiles, 1))) == 2  # the third of the tiles has another one
    check(tiles, 1)
    check(tiles.reshape(5, 1, 3), 2)


def test_floats_with_one_hash_are_compared_by_value():
    # A last number for which the other one is finite.
    last = next(x for x in np.linspace(0.1, 0.9, 99) if np.isfinite(colliding(0.0, x, 1.5)))
    other = colliding(0.0, last, 1.5)
    tiles = np.array([[0.0, last], [-0.0, last], [1.5, other], [-0.0, last]])
    assert len(np.unique(hashes(tiles, 1))) == 1
    _, inverse = check(tiles, 1)
    assert inverse[0] == inverse[1] == inverse[3] != inverse[2]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("others", [[0.0], [0.5], [1e10]])
def test_floats_are_compared_by_value(dtype, others):
    tiles = np.array([[z, *others] for z in (0.0, -0.0, 1.0, -0.0)], dtype=dtype)
    first, inverse = distinct(tiles, 1)
    assert len(first) == 2
    assert inverse[0] == inverse[1] == inverse[3] != inverse[2]


def test_adjacent_floats_and_large_integers_are_distinct():
    tiles = np.array([[1.0], [np.nextafter(1.0, 2.0)], [1.0]])
    assert len(distinct(tiles, 1)[0]) == 2
    tiles = np.array([[2**60], [2**60 + 1], [2**60]])
    assert len(distinct(tiles, 1)[0]) == 2
    tiles = np.array([[2**64 - 1], [2**64 - 2], [2**63]], dtype=np.uint64)
    assert len(distinct(tiles, 1)[0]) == 3


@pytest.mark.parametrize("n_places", [1, 2, 9, 63, 64, 100])
@pytest.mark.parametrize("dtype", [bool, np.int8, np.float64])
def test_tiles_too_wide_for_codes_are_hashed(n_places, dtype):
    rng = np.random.default_rng(0)
    kinds = rng.integers(0, 2, size=(5, n_places)).astype(dtype)
    check(kinds[rng.integers(0, 5, size=40)], 1)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("ndim", [1, 2, 3, 4])
def test_strided_windows_are_not_copied(dtype, ndim):
    rng = np.random.default_rng(0)
    field = rng.integers(0, 2, size=(2, *(5,) * ndim)).astype(dtype)
    windows = sliding_window_view(field, (2,) * ndim, axis=tuple(range(1, 1 + ndim)))
    first, inverse = check(windows, ndim)
    assert len(inverse) == 2 * 4**ndim
    assert len(first) <= 2 ** (2**ndim)


def test_codes_beyond_the_table_are_sorted():
    rng = np.random.default_rng(0)
    tiles = rng.integers(0, 2, size=(500, 30)).astype(np.int8)
    check(np.concatenate([tiles, tiles]), 1)
