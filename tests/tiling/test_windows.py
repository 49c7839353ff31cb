"""Windows of an axis, compared with walking site by site."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sk_ednn.exceptions import TilingError
from sk_ednn.tiling._windows import (
    BOUNDARIES,
    OUTSIDE,
    axis_positions,
    axis_windows,
    legal_focuses,
    legal_sizes,
    n_windows,
)
from tests._cases import BOUNDARIES as TESTED


def site(place, length, boundary):
    """Walk from a position outside the axis back into it, one rule at a time."""
    while not 0 <= place < length:
        if boundary == "zero":
            return OUTSIDE
        if boundary == "nearest":
            return 0 if place < 0 else length - 1
        if boundary == "periodic":
            place += length if place < 0 else -length
        elif length == 1:
            return 0
        else:
            place = -place if place < 0 else 2 * (length - 1) - place
    return place


def test_all_boundaries_are_tested():
    assert set(TESTED) == set(BOUNDARIES)


@given(
    n=st.integers(1, 5),
    focus=st.integers(1, 4),
    context=st.integers(0, 15),
    boundary=st.sampled_from(BOUNDARIES),
)
def test_windows_equal_walking_site_by_site(n, focus, context, boundary):
    length = n * focus
    windows = axis_windows(length, focus, context, boundary)
    assert windows.shape == (n, focus + 2 * context)
    for start, window in zip(range(0, length, focus), windows, strict=True):
        places = range(start - context, start + focus + context)
        assert [site(place, length, boundary) for place in places] == window.tolist()


@given(length=st.integers(1, 12), focus=st.integers(1, 5), context=st.integers(0, 4))
def test_padding_extends_the_last_focus(length, focus, context):
    for boundary in ("zero", "reflect", "nearest"):
        windows = axis_windows(length, focus, context, boundary, "pad")
        assert len(windows) == -(-length // focus)
        foci = windows[:, context : context + focus].ravel()
        np.testing.assert_array_equal(foci[:length], np.arange(length))
        beyond = [site(place, length, boundary) for place in range(length, len(foci))]
        assert foci[length:].tolist() == beyond


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize(("length", "focus"), [(1, 1), (6, 1), (6, 2), (6, 3), (6, 6)])
def test_foci_partition_the_axis(boundary, length, focus):
    windows = axis_windows(length, focus, 2, boundary)
    np.testing.assert_array_equal(windows[:, 2 : 2 + focus].ravel(), np.arange(length))


def test_adjacent_windows_share_positions():
    positions = axis_positions(9, 3, 2, "periodic")
    windows = axis_windows(9, 3, 2, "periodic")
    np.testing.assert_array_equal(np.unique(windows), np.unique(positions))
    np.testing.assert_array_equal(windows[0, 3:], windows[1, :4])


def test_error_names_the_nearest_valid_lengths():
    with pytest.raises(TilingError, match="length 30 is not a multiple of focus=4; use 28 or 32"):
        n_windows(30, 4)
    assert n_windows(30, 4, "pad") == 8


@pytest.mark.parametrize(
    ("length", "focus", "sizes", "focuses"),
    [
        (30, 4, "use 28 or 32 sites", "1, 2, 3, 5, 6, 10, 15 or 30"),
        (3, 4, "use 4 sites", "1 or 3"),  # nothing shorter is legal
        (1, 2, "use 2 sites", "1"),
        (7, 2, "use 6 or 8 sites", "1 or 7"),
        (720, 7, "use 714 or 721 sites", "1, 2, 3, 4, 5, 6, ..., 180, 240, 360 or 720"),
    ],
)
def test_legal_sizes(length, focus, sizes, focuses):
    assert legal_sizes(length, focus) == sizes
    assert legal_focuses(length) == focuses
