"""Channel axis helpers, for every position of the axis and any number of batch axes."""

import numpy as np
import pytest

from sk_ednn.fields._channels import (
    channel_index,
    channels_first,
    channels_last,
    from_channels_first,
    from_channels_last,
    grid_axes,
)

FIELD = (4, 5, 6)


@pytest.mark.parametrize("n_batch", [0, 1, 2])
@pytest.mark.parametrize("channel_axis", [None, 0, 1, 2, -1, -2, -3])
def test_channels_first_and_last_are_views_that_can_be_undone(channel_axis, n_batch, rng):
    batch = (2, 3)[:n_batch]
    values = rng.normal(size=(*batch, *FIELD))
    channels = () if channel_axis is None else (FIELD[channel_axis],)
    grid = tuple(FIELD[axis] for axis in grid_axes(channel_axis, len(FIELD)))
    last = channels_last(values, channel_axis, n_batch)
    first = channels_first(values, channel_axis, n_batch)
    assert last.shape == (*batch, *grid, *channels)
    assert first.shape == (*batch, *(channels or (1,)), *grid)
    for moved, undo in ((last, from_channels_last), (first, from_channels_first)):
        assert np.shares_memory(moved, values)
        np.testing.assert_array_equal(undo(moved, channel_axis, n_batch), values)


def test_channel_index_counts_from_the_front():
    assert [channel_index(axis, 3) for axis in (None, 0, 2, -1, -3)] == [None, 0, 2, 2, 0]
    assert grid_axes(None, 2) == [0, 1] and grid_axes(-2, 3) == [0, 2]
