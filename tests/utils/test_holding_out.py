"""Whole groups are held out, of about the wanted share of the structures."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sk_ednn._utils.holding_out import hold_out

RNGS = st.sampled_from([np.random.default_rng, np.random.RandomState])


@given(
    st.lists(st.integers(0, 8), min_size=2, max_size=60).filter(lambda g: len(set(g)) > 1),
    st.floats(0.0, 1.0),
    st.integers(0, 1000),
    RNGS,
)
def test_no_group_is_divided_and_the_share_is_close(groups, fraction, seed, rng):
    groups = np.array(groups)
    rest, held = hold_out(groups, fraction, rng(seed))
    np.testing.assert_array_equal(np.sort(np.r_[rest, held]), np.arange(len(groups)))
    assert (np.diff(rest) > 0).all() and (np.diff(held) > 0).all()
    assert not set(groups[rest]) & set(groups[held])
    assert len(rest) and bool(len(held)) == (fraction > 0)
    largest = np.unique(groups, return_counts=True)[1].max()
    if fraction > 0:
        assert abs(len(held) - fraction * len(groups)) <= largest


@given(st.integers(2, 60), st.floats(0.01, 0.9), st.integers(0, 1000), RNGS)
def test_without_groups_the_share_is_rounded_and_neither_part_is_empty(n, fraction, seed, rng):
    _, held = hold_out(np.arange(n), fraction, rng(seed))
    assert abs(len(held) - np.clip(fraction * n, 1, n - 1)) <= 0.5


def test_groups_of_equal_size_are_counted_by_their_structures():
    groups = np.array(["a", "b", "c", "d"])[np.arange(40) % 4]
    rest, held = hold_out(groups, 0.5, np.random.default_rng(0))
    assert len(rest) == len(held) == 20


def test_a_large_group_is_not_held_out_for_a_small_share():
    groups = np.repeat(np.arange(11), [90, *[1] * 10])
    for seed in range(20):
        assert len(hold_out(groups, 0.05, np.random.default_rng(seed))[1]) == 5


def test_a_single_group_cannot_be_divided():
    with pytest.raises(ValueError, match="all 3 structures are of one, 'x'"):
        hold_out(np.array(["x"] * 3), 0.2, np.random.default_rng(0))
