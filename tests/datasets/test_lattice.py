"""Colours, neighbours and pairs on periodic lattices."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sk_ednn.datasets._lattice import Lattice, check_shape, like_pairs

SHAPES = st.lists(st.integers(2, 7), min_size=1, max_size=3).map(tuple)


@given(SHAPES)
def test_colours_part_the_sites_and_never_two_neighbours(shape):
    lattice = Lattice(shape)
    assert sorted(np.concatenate(lattice.colours)) == list(range(lattice.n_sites))
    colour = np.empty(lattice.n_sites, dtype=int)
    for c, sites in enumerate(lattice.colours):
        colour[sites] = c
    assert (colour[lattice.neighbours] != colour).all()
    assert len(lattice.colours) == (3 if any(n % 2 for n in shape) else 2)


@given(SHAPES)
def test_neighbours_are_one_step_away(shape):
    before, after = Lattice(shape).neighbours
    for site, index in enumerate(product(*map(range, shape))):
        for axis in range(len(shape)):
            for table, step in ((before, -1), (after, 1)):
                moved = list(index)
                moved[axis] = (moved[axis] + step) % shape[axis]
                assert table[axis, site] == np.ravel_multi_index(moved, shape)


@given(SHAPES, st.integers(0, 2**32 - 1))
def test_like_pairs_are_those_counted_one_by_one(shape, seed):
    fields = np.random.default_rng(seed).integers(3, size=(2, *shape))
    lattice = Lattice(shape)
    flat = fields.reshape(2, -1)
    expected = (flat[:, lattice.neighbours[1]] == flat[:, None]).sum(axis=-1)
    assert np.array_equal(like_pairs(fields), expected)


@pytest.mark.parametrize("shape", [(), (1, 8), (8, 0), (2, 2, 2, 2), (4.0, 4)])
def test_shapes_that_cannot_be_sampled(shape):
    with pytest.raises(ValueError, match="1 to 3 lengths of at least 2 sites"):
        check_shape(shape)
