"""What the commands of counts read from their options."""

import pytest

from sk_ednn.cli._count_inputs import parts_left_out


@pytest.mark.parametrize("text", ["", "1,2,3", "a,b,c,d", "1,2,3,4;", "-1,2,3,4", "0.5,1,2,3"])
def test_parts_in_other_words_are_refused(text):
    with pytest.raises(ValueError, match="left,top,right,bottom in pixels"):
        parts_left_out(text)


def test_parts_are_read_with_rows_first():
    assert parts_left_out(" 1,2, 30,40; 5,6,7,8") == [(2, 1, 40, 30), (6, 5, 8, 7)]
    assert parts_left_out("NONE") is None
