"""GridTiling, compared with gathering tiles one site at a time."""

import pickle
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone

from sk_ednn import GridTiling
from sk_ednn.exceptions import TilingError
from sk_ednn.fields._fields import check_fields
from tests._cases import BOUNDARIES, TILINGS, make_field

WIDEST = {1: 7, 2: 4, 3: 2, 4: 1}  # context, by dimension: windows stay small
PAD = {"periodic": "wrap", "zero": "constant", "reflect": "reflect", "nearest": "edge"}


@st.composite
def tilings(draw, remainder=False):
    """Draw a tiling and a matching grid shape, in one to four dimensions."""
    ndim = draw(st.integers(1, 4))
    boundary = draw(st.sampled_from(BOUNDARIES[1:] if remainder else BOUNDARIES))
    focus = draw(st.tuples(*[st.integers(1, 3)] * ndim))
    context = draw(st.tuples(*[st.integers(0, WIDEST[ndim])] * ndim))
    n = draw(st.tuples(*[st.integers(1, 3)] * ndim))
    shape = [f * k for f, k in zip(focus, n, strict=True)]
    if remainder:
        shape = [
            draw(st.integers(length - f + 1, length))
            for length, f in zip(shape, focus, strict=True)
        ]
    tiling = GridTiling(
        focus, context, boundary=boundary, remainder="pad" if remainder else "error"
    )
    return tiling, tuple(shape)


def place_to_site(place, length, boundary):
    """Return the site at a padded position, or None beyond a "zero" boundary."""
    if boundary == "periodic":
        return place % length
    if boundary == "nearest":
        return min(max(place, 0), length - 1)
    if boundary == "reflect":
        while not 0 <= place < length:
            place = 0 if length == 1 else -place if place < 0 else 2 * (length - 1) - place
        return place
    return place if 0 <= place < length else None


def gathered(tiling, X):
    """Return the tiles of fields without channels, gathered site by site."""
    shape = X.shape[1:]
    grid = [-(-length // f) for length, f in zip(shape, tiling.focus, strict=True)]
    tiles = X
    for axis, (length, f, c) in enumerate(zip(shape, tiling.focus, tiling.context, strict=True)):
        # Insert a leading zero, for sites outside, before the axis; then concatenate windows.
        zero = np.zeros_like(np.take(tiles, [0], axis=1 + axis))
        tiles = np.concatenate([zero, tiles], axis=1 + axis)
        places = [
            place_to_site(start * f + offset, length, tiling.boundary)
            for start in range(grid[axis])
            for offset in range(-c, f + c)
        ]
        tiles = np.take(tiles, [0 if p is None else 1 + p for p in places], axis=1 + axis)
    windows = [f + 2 * c for f, c in zip(tiling.focus, tiling.context, strict=True)]
    ndim = len(shape)
    tiles = tiles.reshape(len(X), *[n for pair in zip(grid, windows, strict=True) for n in pair])
    order = [0, *range(1, 2 * ndim, 2), *range(2, 2 * ndim + 1, 2)]
    return tiles.transpose(order)


def numbers(shape, seed=0):
    return np.random.default_rng(seed).normal(size=(2, *shape))


# --- values of tiles ------------------------------------------------------------------------


@given(tilings())
def test_tiles_equal_gathering_site_by_site(case):
    tiling, shape = case
    X = numbers(shape)
    expected = gathered(tiling, X)
    np.testing.assert_array_equal(tiling.tiles(X).values, expected)
    np.testing.assert_array_equal(tiling.fit_transform(X), expected)
    assert expected.shape == (2, *tiling.tile_grid(shape), *tiling.tile_shape(shape))


@given(tilings(remainder=True))
def test_padded_tiles_equal_gathering_site_by_site(case):
    tiling, shape = case
    X = numbers(shape)
    np.testing.assert_array_equal(tiling.tiles(X).values, gathered(tiling, X))


@given(tilings(), st.data())
def test_tiles_equal_slices_of_numpy_pad(case, data):
    tiling, shape = case
    # For contexts within the grid, np.pad is an independent reference for every boundary.
    most = [length - (tiling.boundary == "reflect") for length in shape]
    tiling.context = tuple(data.draw(st.integers(0, min(m, WIDEST[len(shape)]))) for m in most)
    X = numbers(shape)
    padded = np.pad(X, [(0, 0), *((c, c) for c in tiling.context)], mode=PAD[tiling.boundary])
    tiles = tiling.tiles(X).values
    for place in np.ndindex(*tiling.tile_grid(shape)):
        window = tuple(
            slice(i * f, i * f + f + 2 * c)
            for i, f, c in zip(place, tiling.focus, tiling.context, strict=True)
        )
        np.testing.assert_array_equal(tiles[(slice(None), *place)], padded[(slice(None), *window)])


@given(st.one_of(tilings(), tilings(remainder=True)))
def test_foci_partition_the_sites(case):
    tiling, shape = case
    sites = np.arange(1, 1 + np.prod(shape)).reshape(1, *shape)
    tiles = tiling.tiles(sites)
    foci = tiles.array()[(slice(None), *tiling.focus_sites(tiles.tile_shape))]
    result = np.bincount(foci.ravel(), minlength=sites.size + 1)[1:]
    if tiling.remainder == "error":
        assert (result == 1).all()
    else:  # each site once; a focus that reaches beyond the end may see some of them again
        together = tiling.inverse_transform(tiles.values)
        inside = tuple(slice(0, length) for length in shape)
        np.testing.assert_array_equal(together[(slice(None), *inside)], sites)
        if tiling.boundary == "zero":
            assert (result == 1).all()


@given(st.one_of(tilings(), tilings(remainder=True)))
def test_inverse_transform_restores_fields(case):
    tiling, shape = case
    X = numbers(shape)
    back = tiling.inverse_transform(tiling.transform(X))
    np.testing.assert_array_equal(back[(slice(None), *(slice(0, n) for n in shape))], X)


@pytest.mark.parametrize("channel_axis", [0, 1, 2, -1, -2, -3])
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_tiles_for_all_positions_of_the_channel_axis(channel_axis, boundary):
    channels = numbers((4, 6, 3))
    X = np.moveaxis(channels, -1, range(1, 4)[channel_axis])
    tiling = GridTiling((2, 3), (1, 2), boundary=boundary, channel_axis=channel_axis)
    tiles = tiling.fit_transform(X)
    assert tiles.shape == (2, 2, 2, 4, 7, 3)
    assert tiling.tile_shape(X.shape[1:]) == (4, 7, 3)
    for channel in range(3):
        plain = clone(tiling).set_params(channel_axis=None)
        np.testing.assert_array_equal(tiles[..., channel], plain.transform(channels[..., channel]))
    np.testing.assert_array_equal(tiling.inverse_transform(tiles), X)


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint8, np.int64, np.float32, np.float64])
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_tiles_keep_the_dtype_of_the_fields(dtype, boundary):
    X = numbers((4, 4)).astype(dtype)
    assert GridTiling(2, 1, boundary=boundary).fit_transform(X).dtype == dtype


# --- views ----------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(6,), (4, 6), (2, 4, 6)])
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_tiles_without_context_are_views(shape, boundary):
    X = numbers(shape)
    values = GridTiling(2, 0, boundary=boundary).tiles(X).values
    assert np.shares_memory(values, X)
    assert not values.flags.writeable


@pytest.mark.parametrize("channel_axis", [0, -1])
def test_tiles_with_channels_and_without_context_are_views(channel_axis):
    X = numbers((4, 4, 4))
    values = GridTiling(2, 0, channel_axis=channel_axis).tiles(X).values
    assert np.shares_memory(values, X)


def test_overlapping_windows_share_one_copy_of_the_padded_field():
    values = GridTiling(1, 2).tiles(numbers((8, 8))).values
    assert np.shares_memory(values[0, 0, 0], values[0, 0, 1])
    assert not values.flags.writeable


def test_block_reads_only_its_region_and_context():
    tiling = GridTiling(1, 1)
    fields = check_fields(numbers((100, 100)))
    for block in tiling.plan(fields, 200):
        values = tiling.read(fields, block)
        assert values.shape[:3] == (1, *block.grid)
        if not np.shares_memory(values, fields.stacks[0].values):
            read = zip(values.shape, values.strides, strict=True)
            assert sum((n - 1) * stride for n, stride in read) < np.prod(np.add(block.grid, 2)) * 8


@given(st.lists(st.integers(1, 40), min_size=1, max_size=3), st.integers(1, 300))
def test_blocks_are_nearly_cubic_boxes(grid, max_tiles):
    cuts = GridTiling(1, 0).cuts(1, grid, max_tiles)[1:]
    sides = [max(part.stop - part.start for part in along) for along in cuts]
    assert np.prod(sides) <= max_tiles
    for along, length in zip(cuts, grid, strict=True):
        np.testing.assert_array_equal(np.concatenate([np.r_[p] for p in along]), range(length))
    # An axis that is cut is cut no finer than a cube of that many tiles would be.
    side = int(max_tiles ** (1 / len(grid)) + 1e-9)
    for along, length in zip(cuts, grid, strict=True):
        assert len(along) <= -(-length // side)


# --- blocks ---------------------------------------------------------------------------------


@pytest.mark.parametrize("max_tiles", [1, 2, 3, 5, 7, 16, 10**9])
@pytest.mark.parametrize("name", TILINGS)
def test_totals_of_blocks_add_up(name, max_tiles):
    tiling, shape, other = TILINGS[name]
    batches = [numbers(shape)]
    if name != "whole axis":
        batches.append([*numbers(shape), *numbers(other, 1), *numbers(shape, 2)])
    for X in batches:

        def contributions(tiles):
            rows = tiles.array().reshape(tiles.n_tiles, -1)
            return np.stack([np.cos(rows).sum(axis=1), rows[:, 0] ** 2], axis=1)

        whole = tiling.tiles(X)
        blocks = list(tiling.blocks(X, max_tiles))
        assert all(block.n_tiles <= max_tiles for block in blocks)
        assert sum(block.n_tiles for block in blocks) == whole.n_tiles
        total = sum(block.total(contributions(block)) for block in blocks)
        np.testing.assert_allclose(total, whole.total(contributions(whole)), rtol=1e-12)
        counts = sum(block.counts() for block in blocks)
        np.testing.assert_array_equal(counts, tiling.counts(check_fields(X)))
        np.testing.assert_array_equal(counts, whole.counts())


@given(tilings(), st.integers(1, 12))
def test_blocks_contain_the_tiles_of_their_region(case, max_tiles):
    tiling, shape = case
    fields = tiling.check(numbers(shape))
    whole = tiling.tiles(fields).values
    for block in tiling.plan(fields, max_tiles):
        part = whole[(block.samples, *block.region)]
        np.testing.assert_array_equal(tiling.read(fields, block), part)
        tiles = tiling.block_tiles(fields, block)
        assert tiles.n_samples == block.n_samples
        np.testing.assert_array_equal(tiles.array(), part.reshape(-1, *tiles.tile_shape))


def test_blocks_depend_only_on_shapes():
    tiling, shape = GridTiling(1, 1), (5, 4)
    one, other = numbers(shape), np.asfortranarray(numbers(shape, 1)).astype(np.float32)
    assert tiling.plan(check_fields(one), 6) == tiling.plan(check_fields(other), 6)


# --- lists of fields ------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in TILINGS if name != "whole axis"])
@pytest.mark.parametrize("container", [list, tuple, "object array"])
def test_lists_are_tiled_field_by_field(name, container):
    tiling, shape, other = TILINGS[name]
    fields = [numbers(shape)[0], numbers(other, 1)[0], numbers(shape, 2)[0]]
    X = np.empty(3, dtype=object) if container == "object array" else container(fields)
    if container == "object array":
        X[:] = fields
    tiles = tiling.fit_transform(X)
    assert isinstance(tiles, list)
    for values, field in zip(tiles, fields, strict=True):
        np.testing.assert_array_equal(values, tiling.transform(field[None])[0])
    for back, field in zip(tiling.inverse_transform(tiles), fields, strict=True):
        inside = tuple(slice(0, n) for n in field.shape)
        np.testing.assert_array_equal(back[inside], field)

    every = tiling.tiles(X)
    for sample, field in enumerate(fields):
        mine = every.sum_matrix[[sample]].indices
        np.testing.assert_array_equal(every.array()[mine], tiling.tiles(field[None]).array())


def test_large_fields_of_a_list_are_not_copied_together():
    large = [np.ones((512, 512)), np.zeros((512, 512))]
    stacks = check_fields(large).stacks
    assert [np.shares_memory(s.values, x) for s, x in zip(stacks, large, strict=True)] == [True] * 2


# --- affected -------------------------------------------------------------------------------


@given(st.one_of(tilings(), tilings(remainder=True)), st.data())
def test_affected_returns_the_tiles_that_change(case, data):
    tiling, shape = case
    site = st.tuples(*[st.integers(0, length - 1) for length in shape])
    changed = data.draw(st.lists(site, min_size=1, max_size=3))
    X = numbers(shape)[:1]
    after = X.copy()
    for place in changed:
        after[(0, *place)] += 1.0
    ndim = len(shape)
    window = tuple(range(1 + ndim, 1 + 2 * ndim))
    moved = (tiling.transform(X) != tiling.transform(after)).any(axis=window)[0]
    expected = np.argwhere(moved)
    np.testing.assert_array_equal(tiling.affected(shape, np.array(changed)), expected)


def test_affected_without_sites_and_with_channels():
    tiling = GridTiling(2, 1, channel_axis=0)
    assert tiling.affected((3, 4, 4), np.empty((0, 2), dtype=int)).shape == (0, 2)
    np.testing.assert_array_equal(
        tiling.affected((3, 8, 8), [[3, 3]]), [[1, 1], [1, 2], [2, 1], [2, 2]]
    )


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ([[8, 0]], r"within the grid \(8, 8\)"),
        ([[-1, 0]], "within the grid"),
        ([[0]], r"shape \(n_sites, 2\), got shape \(1, 1\)"),
        ([[0.5, 1.0]], "must be integers"),
    ],
)
def test_affected_rejects_invalid_sites(changed, words):
    with pytest.raises(TilingError, match=words):
        GridTiling().affected((8, 8), changed)


# --- bad input ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "shape", "words"),
    [
        ({"focus": 4}, (8, 30), "axis 1 has length 30, not a multiple of focus=4; use 28 or 32"),
        ({"focus": 4}, (8, 30), "or a focus of 1, 2, 3, 5, 6, 10, 15 or 30."),
        ({"focus": 4, "boundary": "zero"}, (8, 30), r"set remainder='pad'"),
        ({"focus": (2, 3, 1)}, (6, 6), r"focus=\(2, 3, 1\) has 3 entries, but the fields have 2"),
        ({"context": (1,)}, (6, 6), r"context=\(1,\) has 1 entries, but the fields have 2"),
        ({"focus": 0}, (6, 6), "focus must be None or an integer of at least 1, .* got 0"),
        ({"focus": -2}, (6, 6), "focus must be None or an integer of at least 1, .* got -2"),
        ({"focus": 1.5}, (6, 6), "focus must be None or an integer .* got 1.5"),
        ({"focus": 2.0}, (6, 6), "focus must be None or an integer .* got 2.0"),
        ({"focus": True}, (6, 6), "focus must be None or an integer .* got True"),
        ({"focus": (1, np.True_)}, (6, 6), "focus must be None or an integer"),
        ({"focus": "2"}, (6, 6), "focus must be None or an integer .* got '2'"),
        ({"context": -1}, (6, 6), "context must be an integer of at least 0, .* got -1"),
        ({"context": 0.5}, (6, 6), "context must be an integer of at least 0, .* got 0.5"),
        ({"context": None}, (6, 6), "context must be an integer of at least 0, .* got None"),
        ({"context": False}, (6, 6), "context must be an integer of at least 0, .* got False"),
        ({"boundary": "wrap"}, (6, 6), "boundary must be one of .*periodic.* got 'wrap'"),
        ({"boundary": None}, (6, 6), "boundary must be one of .* got None"),
        ({"remainder": "drop"}, (6, 6), "remainder must be one of .* got 'drop'"),
        ({"remainder": "pad"}, (6, 6), "remainder='pad' has no effect on a periodic field"),
        ({"channel_axis": 2}, (6, 6), "channel_axis=2 needs a field with that axis"),
        ({"channel_axis": -3}, (6, 6), "channel_axis=-3 needs a field with that axis"),
        ({"channel_axis": 0}, (6,), "at least one grid axis, got fields of 1 dimension"),
        ({"channel_axis": 1.0}, (6, 6), "channel_axis must be an integer or None, got 1.0"),
        ({"channel_axis": True}, (6, 6), "channel_axis must be an integer or None, got True"),
    ],
)  # fmt: skip
def test_errors_name_invalid_parameters(params, shape, words):
    with pytest.raises(TilingError, match=words):
        GridTiling(**params).fit(numbers(shape))


@pytest.mark.parametrize(
    ("params", "X", "words"),
    [
        ({}, [], r"0 sample\(s\)"),
        ({}, np.empty((0, 4, 4)), r"0 sample\(s\)"),
        ({}, np.empty((2, 0, 4)), "axis 0 of the field is empty"),
        ({}, np.full((2, 4, 4), np.nan), "NaN"),
        ({}, np.full((2, 4, 4), np.inf), "infinity"),
        ({}, [np.ones((4, 4)), np.full((4, 4), np.nan)], r"Input X\[1\] contains NaN"),
        ({}, np.ones((2, 4, 4), dtype=complex), "[Cc]omplex"),
        ({}, np.full((2, 4, 4), "up"), "dtype|numeric|convert"),
        ({}, [np.ones((4, 4)), np.ones(4)], r"one dimension: X\[0\] .* \(4, 4\), X\[1\] .* \(4,\)"),
        ({}, [np.ones(4), [1.0, 2.0]], r"be arrays only: X\[0\] is an array, X\[1\] is list"),
        ({"focus": 2}, [np.ones(4), np.ones(5)], r"X\[1\]: axis 0 has length 5"),
        (
            {"channel_axis": 0},
            [np.ones((2, 4)), np.ones((3, 4))],
            r"same channels: a tile of X\[0\]",
        ),
        ({"focus": None}, [np.ones(4), np.ones(6)], "same tiles, with focus=None"),
    ],
)
def test_errors_name_invalid_fields(params, X, words):
    with pytest.raises(ValueError, match=words):
        GridTiling(**params).fit(X)


@pytest.mark.parametrize(
    ("params", "shape", "words"),
    [
        ({}, (3, 4), r"expected tiles of shape \(n_samples, \*tile_grid, \*window\), got \(3, 4\)"),
        ({"channel_axis": 0}, (3, 4, 3), r"\*window, n_channels\), got \(3, 4, 3\)"),
        ({"focus": 2}, (3, 4, 3), r"expected a focus of \(2,\) and context=1"),
    ],
)
def test_inverse_transform_rejects_wrong_shapes(params, shape, words):
    with pytest.raises(TilingError, match=words):
        GridTiling(**params).inverse_transform(np.ones(shape))


# --- as an estimator ------------------------------------------------------------------------


def test_fit_records_only_the_width():
    tiling = GridTiling(2)
    assert tiling.fit(numbers((4, 4))) is tiling
    assert not hasattr(tiling, "n_features_in_")
    tiling.transform(numbers((6, 8)))
    assert tiling.fit(numbers((4,))).n_features_in_ == 4
    with pytest.raises(ValueError, match="6 features, but GridTiling is expecting 4"):
        tiling.transform(numbers((6,)))
    assert not hasattr(tiling.fit(list(numbers((4,)))), "n_features_in_")


def test_set_output_is_not_available():
    # Tiles have more than two dimensions, unlike a data frame.
    assert not hasattr(GridTiling(), "set_output")


def test_numpy_integers_and_arrays_as_parameters():
    X = numbers((4, 6))
    expected = GridTiling((2, 3), (1, 0)).fit_transform(X)
    for tiling in (
        GridTiling(np.array([2, 3]), np.array([1, 0])),
        GridTiling([np.int64(2), 3], (np.uint8(1), 0)),
    ):
        np.testing.assert_array_equal(tiling.fit_transform(X), expected)
        np.testing.assert_array_equal(clone(tiling).fit_transform(X), expected)


@pytest.mark.parametrize("name", TILINGS)
def test_pickled_and_cloned_tilings_give_equal_tiles(name):
    tiling, shape, _ = TILINGS[name]
    X = make_field("float64", 2, shape)
    expected = tiling.fit_transform(X)
    for copy in (clone(tiling), pickle.loads(pickle.dumps(tiling))):
        np.testing.assert_array_equal(copy.transform(X), expected)


def test_cases_cover_all_boundaries_in_all_dimensions():
    for boundary, ndim in product(BOUNDARIES, range(1, 5)):
        X = numbers((2,) * ndim)
        tiles = GridTiling(1, 1, boundary=boundary).fit_transform(X)
        assert tiles.shape == (2, *(2,) * ndim, *(3,) * ndim)
