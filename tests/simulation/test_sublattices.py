"""Moves of a sublattice are independent, and together the sublattices contain every move once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sk_ednn import GridTiling
from sk_ednn.simulation._sublattices import changes, exchanges
from tests._cases import BOUNDARIES


@st.composite
def cases(draw):
    """Return one or two tilings of equal fields, and the shape of those."""
    ndim = draw(st.integers(1, 2))
    focus = [draw(st.sampled_from([1, 2, 3])) for _ in range(ndim)]
    shape = tuple(f * draw(st.integers(1, 5)) for f in focus)
    boundary = draw(st.sampled_from(BOUNDARIES))
    tilings = [GridTiling(tuple(focus), draw(st.integers(0, 2)), boundary=boundary)]
    if draw(st.booleans()):
        tilings.append(GridTiling(1, draw(st.integers(0, 3)), boundary=boundary))
    return tilings, shape


def seen(tilings, shape, sites):
    """Return the tiles of all tilings that see any of some flat sites, by the plain way."""
    places = np.stack(np.unravel_index(sites, shape), axis=-1)
    return {
        (term, *tile)
        for term, tiling in enumerate(tilings)
        for tile in tiling.affected(shape, places).tolist()
    }


def assert_independent(sublattice, tilings, shape):
    tiles = set()
    for move in sublattice.sites().T:
        of_move = seen(tilings, shape, move)
        assert not tiles & of_move
        tiles |= of_move


@given(cases())
def test_changes(case):
    tilings, shape = case
    result = changes([tiling.axis_windows(shape) for tiling in tilings], shape)
    held = np.concatenate([sublattice.sites()[0] for sublattice in result])
    np.testing.assert_array_equal(np.sort(held), np.arange(np.prod(shape)))
    for sublattice in result:
        assert_independent(sublattice, tilings, shape)


@given(cases())
def test_exchanges(case):
    tilings, shape = case
    periodic = tilings[0].boundary == "periodic"
    result = exchanges([tiling.axis_windows(shape) for tiling in tilings], shape, periodic)
    sites = np.arange(np.prod(shape)).reshape(shape)
    expected = set()
    for axis in range(len(shape)):
        pairs = zip(sites.ravel(), np.roll(sites, -1, axis).ravel(), strict=True)
        last = np.indices(shape)[axis].ravel() == shape[axis] - 1
        expected |= {
            frozenset(map(int, pair))
            for pair, wraps in zip(pairs, last, strict=True)
            if (periodic or not wraps) and pair[0] != pair[1]
        }
    held = [frozenset(map(int, move)) for sublattice in result for move in sublattice.sites().T]
    assert len(held) == len(set(held))
    assert set(held) == expected
    for sublattice in result:
        assert_independent(sublattice, tilings, shape)


@pytest.mark.parametrize(
    ("tiling", "shape", "number"),
    [
        (GridTiling(1, 1), (9, 9), 9),  # three colours for each axis
        (GridTiling(1, 1), (256, 256), 16),  # a fourth where three do not divide the length
        (GridTiling(1, 0), (8, 8), 1),
        (GridTiling(4, 0), (8, 8), 16),
        (GridTiling(None, 0), (3, 2), 6),
    ],
)
def test_there_are_few(tiling, shape, number):
    assert len(changes([tiling.axis_windows(shape)], shape)) == number


def test_parts_are_the_whole():
    (sublattice,) = changes([GridTiling(1, 0).axis_windows((7, 5))], (7, 5))
    for n_most in (1, 11, 100):
        parts = sublattice.parts(n_most)
        joined = np.concatenate([part.sites() for part in parts], axis=1)
        np.testing.assert_array_equal(joined, sublattice.sites())
        assert max(part.n_moves for part in parts) <= max(n_most, 5)
