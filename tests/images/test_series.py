"""Series of pictures, by names or by number."""

import re

import pytest

from sk_ednn.images._series import series_in_words, series_of

NAMES = [f"slide{s}_f{k:02}.tif" for s in (1, 2, 3) for k in range(8)]


@pytest.mark.parametrize("wanted", ["8", " 8 ", "^(.*)_", r"slide\d", "^(slide.)_f(.*)"])
def test_the_series_of_slides_are_the_slides(wanted):
    groups = series_of(NAMES, wanted)
    assert len(set(groups)) == 3 and all(groups[8 * s] == groups[8 * s + 7] for s in range(3))
    assert series_in_words(groups).startswith("3 series, each of them held back as a whole: ")
    assert "(8 pictures)" in series_in_words(groups)


@pytest.mark.parametrize("n", range(1, 30))
def test_series_of_a_number_are_blocks_of_which_the_last_may_be_shorter(n):
    groups = series_of(NAMES, str(n))
    assert len(groups) == 24 and len(set(groups)) == -(-24 // n)
    assert [groups.count(each) for each in dict.fromkeys(groups)][:-1] == [n] * (-(-24 // n) - 1)
    assert ("will not be known" in series_in_words(groups)) == (-(-24 // n) < 3)


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ("0", "at least one picture per series"),
        ("(", "such as '^(.*)_'; '(' is none"),
        ("^plate", "does not match slide1_f00.tif"),
        ("slide1|(plate)", "does not match slide1_f00.tif"),
    ],
)
def test_what_names_no_series_is_refused(wanted, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        series_of(NAMES, wanted)
