"""Dots and boxes from tables, beside totals of pictures."""

import numpy as np
import pytest

from sk_ednn.images import Box, TableError, as_picture, read_boxes, read_dots

PICTURES = [as_picture(np.zeros((80, 60)), name) for name in ("a.png", "b.png")]


def written(tmp_path, text):
    path = tmp_path / "labels.csv"
    path.write_text(text)
    return path


@pytest.mark.parametrize("header", ["file,row,column", "Label,Y,X"])
def test_dots_are_cut_into_boxes(header, tmp_path):
    path = written(tmp_path, f"{header}\nb,3,5\nb,70,50\nb.png,71,51\n")
    boxes = read_dots(PICTURES, path, side=40)
    assert {box.picture for box in boxes} == {1}
    assert sum(box.totals for box in boxes) == 3 and len(boxes) == 4
    (crowded,) = [box for box in boxes if box.totals == 2]
    assert crowded.start == (40, 30) and crowded.stop == (80, 60)


@pytest.mark.parametrize(
    "text",
    [
        " ,Area,Mean,X,Y,file\n1,0,120,5.500,7,a\n2,0,99.5,3,4,a\n",
        " \tArea\tX\tY\tSlice\tfile\n1\t0\t5.500\t7\t1\ta\n2\t0\t3\t4\t1\ta\n",
        " ,Label,X,Y\n1,a,5.500,7\n2,a,3,4\n",
    ],
)
def test_results_of_imagej_are_tables_of_dots(tmp_path, text):
    """Their first column numbers the rows, and has a space as its name."""
    boxes = read_dots(PICTURES, written(tmp_path, text), side=4)
    plain = read_dots(PICTURES, written(tmp_path, "file,x,y\na,5.5,7\na,3,4\n"), side=4)
    assert [(box.picture, box.start, float(box.totals)) for box in boxes] == [
        (box.picture, box.start, float(box.totals)) for box in plain
    ]
    assert sum(float(box.totals) for box in boxes) == 2


def test_dots_of_two_kinds_name_their_total(tmp_path):
    path = written(tmp_path, "file,x,y,total\na,5,5,red\na,9,9,blue\na,9,8,blue\n")
    boxes = read_dots(PICTURES, path, side=100, columns=("red", "blue"))
    totals = np.nansum([box.totals for box in boxes], axis=0)
    np.testing.assert_array_equal(totals, [1, 2])
    with pytest.raises(TableError, match="column 'total' must name that of each dot"):
        read_dots(PICTURES, written(tmp_path, "file,x,y\na,5,5\n"), columns=("red", "blue"))


def test_boxes_by_corners_or_sizes(tmp_path):
    corners = "file,top,left,bottom,right,count\na,10,20,30,50,4\n"
    sizes = "file;x;y;width;height;count\na;20;10;30;20;4\n"
    expected = [Box(0, (10, 20), (30, 50), (4.0,))]
    for text in (corners, sizes):
        assert read_boxes(PICTURES, written(tmp_path, text)) == expected
    two = "file,top,left,bottom,right,red,blue\nb,0,0,9,9,,3\n"
    (box,) = read_boxes(PICTURES, written(tmp_path, two), columns=("red", "blue"))
    assert np.isnan(box.totals[0]) and box.totals[1] == 3


@pytest.mark.parametrize(
    ("reader", "text", "why"),
    [
        (read_dots, "file,row,column\na,3,99\n", r"a\.png: Dot \[3.0, 99.0\] is outside"),
        (read_dots, "file,row,size\na,3,9\n", "no column column or x; there are file, row, size"),
        (read_dots, "file,row,column\na,3,9\nc,3,9\n", r"line 3: c is none of the pictures"),
        (read_boxes, "file,top,left,bottom,right,count\na,0,0,90,9,1\n", "line 2: the box from"),
        (read_boxes, "file,top,left,bottom,right,count\na,0,0,9.5,9,1\n", "are whole pixels"),
        (read_boxes, "file,top,left,bottom,right,count\na,0,0,9,9,\n", "the box has no total"),
        (read_boxes, "file,top,left,bottom,right\na,0,0,9,9\n", "no column count; there are"),
    ],
)
def test_what_is_wrong_names_table_and_line(reader, text, why, tmp_path):
    with pytest.raises(TableError, match=why) as caught:
        reader(PICTURES, written(tmp_path, text))
    assert str(caught.value).startswith("labels.csv")


@pytest.mark.parametrize(
    ("reader", "text"),
    [
        (read_dots, "file,x,y,X\na,5,5,6\n"),
        (read_boxes, "file,x,y,width,height,count,count\na,2,2,9,9,1,2\n"),
        (read_boxes, "file,top,left,bottom,right,count,top\na,2,2,9,9,1,3\n"),
    ],
)
def test_a_name_of_two_columns_names_neither(reader, text, tmp_path):
    with pytest.raises(TableError, match="2 columns are called"):
        reader(PICTURES, written(tmp_path, text))


def test_dots_have_names_and_not_parts_of_them(tmp_path):
    wells = [as_picture(np.zeros((80, 60)), f"plate_{well}.png") for well in ("A01", "A02")]
    for text in ("well,x,y\nA01,5,5\nA02,6,6\n", "well,x,y\nA01,5,5\nA01,6,6\n"):
        with pytest.raises(TableError, match=r"such as plate_A01\.png; its first row is A01"):
            read_dots(wells, written(tmp_path, text))
