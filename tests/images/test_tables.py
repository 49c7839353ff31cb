"""Totals of tables: which column, which picture, and what is not a total."""

import re
import unicodedata
import warnings

import numpy as np
import pytest

from sk_ednn.images import TableError, as_picture, match_totals, read_boxes

PICTURES = [as_picture(np.zeros((20, 20)), f"dish {k}.ome.tif") for k in range(1, 5)]


def matched(tmp_path, text, pictures=PICTURES, name="counts.csv", **labels):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return match_totals(pictures, path, **labels)


ROWS = "dish 1,5\ndish 2,7\ndish 3,9\ndish 4,11\n"


@pytest.mark.parametrize(
    "text",
    [
        "file,count\n" + ROWS,
        ROWS,
        "count,file\n5,dish 1.ome.tif\n7,dish 2.ome.tif\n9,dish 3.ome.tif\n11,dish 4.ome.tif\n",
        "file;count\n" + ROWS.replace(",", ";"),
        "file\tcount\n" + ROWS.replace(",", "\t"),
        ("file,count\n" + ROWS).encode("utf-16"),
        "\ufefffile,count\r\n" + ROWS.replace("\n", "\r\n"),
        ("file,count\n" + ROWS).replace("\n", "\r"),
        "sep=;\nfile;count\n" + ROWS.replace(",", ";"),
        ("sep=;\nfile;count\n" + ROWS.replace(",", ";")).replace("\n", "\r"),
        '"sep=,"\r\n' + ROWS.replace("\n", "\r\n"),
        "file,count,remark\n" + ROWS.replace("\n", ",good\n"),
        "file,count,area\n" + ROWS.replace("\n", ",3.5\n"),
        "no,file,count\n" + "".join(f"x,{line}\n" for line in reversed(ROWS.split())) * 0
        + "x,DISH 4,11\nx,day/dish 3.ome.tif,9\nx,dish 2,7\nx,dish 1,5\n",
    ],
)  # fmt: skip
def test_rows_are_matched_by_name_in_any_order_and_format(text, tmp_path):
    matches = matched(tmp_path, text)
    np.testing.assert_array_equal(matches.totals, [5, 7, 9, 11])
    assert matches.counts and matches.notes == []


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize(
    "comment", ["# counted by hand", "# by A, in 2 passes; twice", "#", "  # x"]
)
@pytest.mark.parametrize("place", [0, 1, 3])
@pytest.mark.parametrize("prefix", ["", "sep"])
def test_comments_are_no_rows(separator, comment, place, prefix, tmp_path):
    pictures = [as_picture(np.zeros((20, 20)), f"{name}.png") for name in "abc"]
    lines = ["name,count", "a.png,3", "b.png,5", "c.png,8"]
    lines = [line.replace(",", separator) for line in lines]
    lines.insert(place, comment)
    lines = [f"sep={separator}", *lines] if prefix else lines
    (tmp_path / "t.csv").write_text("\n".join([*lines, comment, ""]))
    found = match_totals(pictures, tmp_path / "t.csv")
    assert found.totals.tolist() == [3, 5, 8] and found.columns == ("count",)
    assert found.notes == []


def test_a_comment_with_the_names_of_columns_is_the_header(tmp_path):
    pictures = [as_picture(np.zeros((20, 20)), f"{name}.png") for name in "ab"]
    (tmp_path / "t.csv").write_text("# by hand\n# name,age,count\na.png,1,3\nb.png,2,5\n")
    found = match_totals(pictures, tmp_path / "t.csv", columns="count")
    assert found.totals.tolist() == [3, 5]
    (tmp_path / "t.csv").write_text("name,count\na.png,3\nb.png\n")
    with pytest.raises(TableError, match="line 3: 1 cells, and 2"):
        match_totals(pictures, tmp_path / "t.csv")


def test_spreadsheets(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in [("file", "count"), *((f"dish {k}", 3 + 2 * k) for k in range(1, 5))]:
        book.active.append(row)
    book.save(tmp_path / "counts.xlsx")
    matches = match_totals(PICTURES, tmp_path / "counts.xlsx")
    np.testing.assert_array_equal(matches.totals, [5, 7, 9, 11])


def spreadsheet(tmp_path, values, cover=False):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in [("file", "count"), *((f"dish {k}", v) for k, v in enumerate(values, 1))]:
        book.active.append(row)
    if cover:
        book.create_sheet("cover", 0)
    book.save(tmp_path / "counts.xlsx")
    return tmp_path / "counts.xlsx"


@pytest.mark.parametrize("values", [("1.006", 950, 3, 4), ("950", "1.006", "7", "8")])
def test_texts_in_spreadsheets_are_read_as_those_of_text_files(values, tmp_path):
    path = spreadsheet(tmp_path, values)
    with pytest.raises(
        TableError, match=r"counts\.xlsx, line \d: .* 1\.006, which may be 1\.006 or"
    ):
        match_totals(PICTURES, path)
    assert 1.006 in match_totals(PICTURES, path, counts=False).totals


def test_numbers_in_spreadsheets_are_numbers(tmp_path):
    found = match_totals(PICTURES, spreadsheet(tmp_path, (1.006, 2.5, "7", 950)))
    np.testing.assert_array_equal(found.totals, [1.006, 2.5, 7, 950])
    assert found.notes == []


def test_the_first_sheet_with_cells_is_read(tmp_path):
    found = match_totals(PICTURES, spreadsheet(tmp_path, (5, 7, 9, 11), cover=True))
    np.testing.assert_array_equal(found.totals, [5, 7, 9, 11])


def test_a_name_of_two_columns_names_neither(tmp_path):
    text = "file,n,n\n" + "".join(f"dish {k},{k},{k + 1}\n" for k in range(1, 5))
    with pytest.raises(TableError, match="2 columns are called 'n'"):
        matched(tmp_path, text, columns="n")


@pytest.mark.parametrize("name", ["id", "No.", "", "#", "Index"])
def test_a_column_that_numbers_the_rows_is_no_total(name, tmp_path):
    text = f"{name},file\n" + "".join(f"{k},dish {k}\n" for k in range(1, 5))
    with pytest.raises(TableError, match=r"the only column of numbers, .*, numbers the rows"):
        matched(tmp_path, text)
    if name:
        np.testing.assert_array_equal(matched(tmp_path, text, columns=name).totals, [1, 2, 3, 4])
    others = text.replace("4,dish", "9,dish")
    np.testing.assert_array_equal(matched(tmp_path, others).totals, [1, 2, 3, 9])


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("12", "must be a number, or numbers; got the text '12'"),
        (None, "'total' of dish 1.ome.tif is missing"),
        (np.ma.masked, "'total' of dish 1.ome.tif is missing"),
        (np.ma.array(3.0, mask=True), "'total' of dish 1.ome.tif is missing"),
        (1j, "must be real numbers"),
        ([1, 2], "has 1 of them, others 2"),
    ],
    ids=str,
)
def test_totals_by_name_are_numbers(value, why):
    with pytest.raises(TableError, match=why):
        match_totals(PICTURES, {"dish 1": value, "dish 2": 7})
    both = {"dish 1": np.array(5), "dish 2": np.array([7])}
    np.testing.assert_array_equal(match_totals(PICTURES, both).totals, [5, 7])


def test_other_tables_are_named():
    for table in ([1, 2], np.ones(4), pytest.importorskip("pandas").Series({"dish 1": 3})):
        with pytest.raises(TableError, match=r"a dict of numbers, .* Give dict\(zip\("):
            match_totals(PICTURES, table)


def test_text_that_is_no_table_is_refused(tmp_path):
    with pytest.raises(TableError, match=r"counts\.csv: not a table of text \(field larger"):
        matched(tmp_path, 'file,count\n"dish 1,' + ROWS * 10_000)
    with pytest.raises(TableError, match=r"counts\.csv, line 3: 2 cells, and 3 in the first"):
        matched(tmp_path, "file,count,area\r\ndish 1,5,9\r\ndish 2,7\r,9\n")


def test_other_spreadsheets_are_refused(tmp_path):
    with pytest.raises(TableError, match=r"counts\.ods: spreadsheets are read as \.xlsx"):
        matched(tmp_path, "PK", name="counts.ods")


def test_several_totals(tmp_path):
    text = "file,red,green\n" + ROWS.replace("\n", ",2\n")
    matches = matched(tmp_path, text, columns=["green", "red"])
    assert matches.columns == ("green", "red")
    np.testing.assert_array_equal(matches.totals[:, 0], [2] * 4)
    words = "'red', 'green' could all be the totals.*--column \"red\".*columns='red'"
    with pytest.raises(TableError, match=words):
        matched(tmp_path, text)


def test_names_without_a_partner_are_reported(tmp_path):
    matches = matched(tmp_path, "file,count\ndish 1,5\ndish 3,9\nlost,3\n")
    assert [each.name for each in matches.pictures] == ["dish 1.ome.tif", "dish 3.ome.tif"]
    assert matches.notes == [
        "no total in the table for dish 2.ome.tif, dish 4.ome.tif; left out",
        "no picture for lost of the table; left out",
    ]


def test_amounts_with_decimals(tmp_path):
    matches = matched(
        tmp_path, "file;mass\n" + ROWS.replace(",", ";").replace("5", "5,5").replace("7", "7,25")
    )
    np.testing.assert_array_equal(matches.totals, [5.5, 7.25, 9, 11])
    text = "file,mass\ndish 1,1.5\ndish 2,-2.25\ndish 3,3.5\n"
    matches = matched(tmp_path, text)
    assert not matches.counts
    np.testing.assert_array_equal(matches.totals, [1.5, -2.25, 3.5])


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "the table is empty"),
        ("file,count\n", "no column has names"),
        ("dish 1\ndish 2\n", "one column"),
        ("file,count\na,5\nb,7\n", "no column has names of the pictures, such as dish 1.ome.tif"),
        ("file,kind\ndish 1,x\ndish 2,y\n", "no column of numbers beside 'file'"),
        ("file,count\ndish 1,\ndish 2,7\ndish 3,8\n", "line 2: 'count' of dish 1.ome.tif is miss"),
        (
            "file,count\ndish 1,many\ndish 2,7\ndish 3,8\n",
            "line 2: .* is 'many', which is not a num",
        ),
        (
            "file,count\ndish 1,inf\ndish 2,7\ndish 3,8\n",
            "line 2: .* is 'inf', which is not a number",
        ),
        ("file,count\n" + ROWS.replace(",5", ",-5"), "is -5, and a count cannot be negative"),
        ("file,count\n" + ROWS.replace(",5", ",5.5"), "whole number, as the others are"),
        ("file,count\n" + ROWS + "dish 1,6\n", "two rows for dish 1.ome.tif, lines 2 and 6"),
        ("file,count\ndish 1,5\ndish 2,7,8\n", "line 3: 3 cells, and 2 in the first"),
        ("file,count\nda\0ta,3\n", "not a table of text"),
    ],
)
def test_what_is_no_total_is_named_with_its_place(text, why, tmp_path):
    if why.endswith("as the others are"):
        text = text.replace("dish 4,11", "dish 4,11\nx,1")
    with pytest.raises(TableError, match=why) as caught:
        matched(tmp_path, text)
    assert str(caught.value).startswith("counts.csv") and "\n" not in str(caught.value)


def test_two_pictures_of_one_name_need_full_names(tmp_path):
    pictures = [as_picture(np.zeros((20, 20)), name) for name in ("a.png", "a.tif", "b.png")]
    with pytest.raises(TableError, match=r"line 2: a may be a\.png, a\.tif"):
        matched(tmp_path, "file,count\na,5\nb,7\n", pictures)
    matches = matched(tmp_path, "file,count\na.tif,5\nb,7\n", pictures)
    assert [each.name for each in matches.pictures] == ["a.tif", "b.png"]


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        (("950", "1.006", "1.120", "2.004"), "1.006, which may be 1.006 or 1006"),
        (("1.000", "950", "2.000", "7"), "1.000, which may be 1.000 or 1000"),  # whole either way
        (("7", "0", "12", "3.500"), "3.500, which may be 3.500 or 3500"),
    ],
)
def test_points_that_may_separate_thousands_are_refused_by_name(values, shown, tmp_path):
    text = "file;cells\n" + "".join(f"dish {k};{v}\n" for k, v in enumerate(values, 1))
    with pytest.raises(TableError, match=rf"^counts\.csv, line \d: 'cells' is {shown}"):
        matched(tmp_path, text)
    matches = matched(tmp_path, text, counts=False)  # amounts, on purpose
    np.testing.assert_array_equal(matches.totals, [float(value) for value in values])
    assert matches.notes == []


@pytest.mark.parametrize("other", ["1.234.567", "1.234,5", "0,25"])
def test_other_columns_show_that_points_separate_thousands(other, tmp_path):
    text = "file;cells;area\n" + "".join(f"dish {k};{k}.006;{k}\n" for k in range(1, 4))
    text += f"dish 4;4.006;{other}\n"
    words = f"'cells' is 1.006, which may be 1.006 or 1006, since another column has {other}"
    with pytest.raises(TableError, match=words):
        matched(tmp_path, text, columns="cells")
    matches = matched(tmp_path, text, columns="cells", counts=False)
    np.testing.assert_array_equal(matches.totals, [1.006, 2.006, 3.006, 4.006])


@pytest.mark.parametrize("formula", ["=3+4", '=IF(C2="x",1,2)'])
def test_formulas_without_values_are_named(formula, tmp_path):
    """Programs that write workbooks without computing them leave values to Excel."""
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in (["file", "cells"], ["dish 1", formula], ["dish 2", 5], ["dish 3", 6]):
        book.active.append(row)
    book.save(tmp_path / "counts.xlsx")
    pictures = [each for each in PICTURES if each.name.startswith("dish")][:3]
    with (
        pytest.warns(UserWarning, match=r"1 formula\(s\) are not in the file, the first in B2: ="),
        pytest.raises(TableError, match=r"'cells' of dish 1\S* is '=.*', which is not a number"),
    ):
        match_totals(pictures, tmp_path / "counts.xlsx")


@pytest.mark.parametrize("last", ["0.512", "12.5", "1950", "3e2", "12.0000"])
def test_points_beside_other_numbers_are_decimal(last, tmp_path):
    text = "".join(f"dish {k};{v}\n" for k, v in enumerate(("950", "1.006", "1.120", last), 1))
    matches = matched(tmp_path, text)
    assert matches.totals[1] == 1.006 and matches.notes == []


def test_three_decimals_throughout_are_read_as_such_with_a_note(tmp_path):
    text = "file;cells\n" + "".join(f"dish {k};{k}.006\n" for k in range(1, 5))
    matches = matched(tmp_path, text)
    np.testing.assert_array_equal(matches.totals, [1.006, 2.006, 3.006, 4.006])
    (note,) = matches.notes
    assert note == "'cells' is read with three decimals, such as 1.006; if it is 1006, write so"
    assert match_totals(PICTURES, {"dish 1": 1.006, "dish 2": 950.0}).notes[:-1] == []


def test_totals_of_boxes_have_no_points_between_thousands(tmp_path):
    path = tmp_path / "boxes.csv"
    path.write_text("file;x;y;width;height;count\ndish 1;0;0;9;9;1.006\ndish 2;0;0;9;9;950\n")
    with pytest.raises(TableError, match=r"boxes\.csv, line 2: 'count' is 1\.006, which may be"):
        read_boxes(PICTURES, path)


@pytest.mark.parametrize("cell", ["{} cells", "ca. {}", "~{}", "{}+", "1,{}00", "{}.000,5"])
@pytest.mark.parametrize("mixed", [False, True])
def test_columns_that_may_be_meant_are_named(cell, mixed, tmp_path):
    """Another column is learned where the wanted one is not read as numbers: this is said."""
    cells = ["7" if mixed and k == 1 else cell.format(k) for k in range(1, 5)]
    lines = [f"dish {k};{text};{k},5\n" for k, text in enumerate(cells, 1)]
    text = "Picture;Number of cells;Area\n" + "".join(lines)
    matches = matched(tmp_path, text, counts=False)
    assert matches.columns == ("Area",)
    (note,) = matches.notes
    assert note.startswith("'Area' is learned, and not 'Number of cells', whose cells are no")
    assert repr(cells[1 if mixed else 0]) in note
    assert matched(tmp_path, text, counts=False, columns="Area").notes == []  # chosen on purpose


@pytest.mark.parametrize("words", ["good", "x1", "", "n/a", "dish 7"])
def test_columns_of_words_are_not_named(words, tmp_path):
    text = "file,cells,remark\n" + ROWS.replace("\n", f",{words}\n")
    assert matched(tmp_path, text).notes == []


@pytest.mark.parametrize("of_file", ["NFC", "NFD"])
@pytest.mark.parametrize("of_table", ["NFC", "NFD"])
def test_accents_are_one_character_or_two(of_file, of_table, tmp_path):
    names = ["Zählung é.png", "Zählung ö.png"]
    pictures = [
        as_picture(np.zeros((20, 20)), unicodedata.normalize(of_file, name)) for name in names
    ]
    text = "file,count\n" + "".join(f"{name},{3 + k}\n" for k, name in enumerate(names))
    matches = matched(tmp_path, unicodedata.normalize(of_table, text), pictures)
    np.testing.assert_array_equal(matches.totals, [3, 4])


def workbook(tmp_path, *sheets):
    """Write sheets of counts: the first of them, whether visible, and hidden rows."""
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.remove(book.active)
    for number, (first, visible, hidden) in enumerate(sheets):
        sheet = book.create_sheet(f"day {number}")
        for row in [("file", "count"), *((f"dish {k}", k) for k in range(1, 5))]:
            if first is not None:
                sheet.append([row[0], row[1] if row[1] == "count" else first + row[1]])
        sheet.sheet_state = "visible" if visible else "hidden"
        for row in hidden:
            sheet.row_dimensions[row].hidden = True
    book.active = next(k for k, (_, visible, _) in enumerate(sheets) if visible)
    book.save(tmp_path / "counts.xlsx")
    return tmp_path / "counts.xlsx"


SHEET, EMPTY = (10, True, ()), (None, True, ())


@pytest.mark.parametrize(
    "sheets, words",
    [
        ([SHEET], None),
        ([EMPTY, SHEET, EMPTY], None),
        ([(50, False, ()), SHEET], None),
        ([SHEET, (50, False, (2,))], None),
        ([SHEET, (50, True, ())], "'day 0' is read, and not 'day 1'"),
        ([SHEET, (50, True, ()), (70, True, ())], "not 'day 1' or 'day 2'"),
        ([(10, True, (2, 4))], r"2 row\(s\) of the sheet 'day 0' are hidden"),
    ],
)
def test_which_cells_of_a_workbook_are_read(sheets, words, tmp_path):
    path = workbook(tmp_path, *sheets)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        matches = match_totals(PICTURES, path)
    np.testing.assert_array_equal(matches.totals, [11, 12, 13, 14])
    assert [bool(re.search(words or "", str(each.message))) for each in said] == (
        [] if words is None else [True]
    )


def plate(*names):
    return [as_picture(np.zeros((20, 20)), name) for name in names]


WELLS = tuple(f"plate1_{row}{k:02d}_DAPI.tif" for row in "AB" for k in (1, 2, 3))


@pytest.mark.parametrize(
    "cells",
    [
        ["A01", "A02", "A03", "B01", "B02", "B03"],
        ["a1", "a2", "a3", "b1", "b2", "b3"],
        ["A1", "A2", "A3", "B1", "B2", "C9"],
    ],
    ids=["wells", "other writing", "one of another plate"],
)
def test_wells_are_parts_of_names(cells, tmp_path):
    rows = "".join(f"{cell};{10 + k};dmso\n" for k, cell in enumerate(cells))
    (tmp_path / "t.csv").write_text("Well;Nuclei;Treatment\n" + rows)
    found = match_totals(plate(*WELLS), tmp_path / "t.csv")
    n = sum(cell != "C9" for cell in cells)
    assert [picture.name for picture in found.pictures] == list(WELLS[:n])
    np.testing.assert_array_equal(found.totals, 10 + np.arange(n))
    assert found.notes[0] == (
        f"rows are matched by 'Well', a part of the names: {cells[0]} is in {WELLS[0]}"
    )
    assert ("no picture for C9" in " ".join(found.notes)) is ("C9" in cells)


@pytest.mark.parametrize(
    ("names", "cells"),
    [
        (("A01_x.tif", "A01_y.tif", "A02_x.tif"), ["A01", "A02", "A03"]),  # in two names
        (WELLS, ["DAPI"] * 6),
        (WELLS, ["plate1", "other", "third", "4th", "5th", "6th"]),
        (("cells 10.tif", "cells 11.tif", "cells 12.tif"), ["10", "11", "12"]),  # numbers alone
        (WELLS, ["A01", "A01", "A02", "A03", "B01", "B02"]),  # twice
        (WELLS, ["A01", "A02", "x", "y", "z", "u"]),  # hardly any
    ],
    ids=["two pictures", "channels", "plates", "numbers", "twice", "few"],
)
def test_parts_that_are_not_of_one_name_each_name_no_picture(names, cells, tmp_path):
    rows = "".join(f"{cell},{20 + k}\n" for k, cell in enumerate(cells))
    (tmp_path / "t.csv").write_text("place,count\n" + rows)
    with pytest.raises(TableError, match=r"no column has names .*Add a column with the names"):
        match_totals(plate(*names), tmp_path / "t.csv")


def test_full_names_come_before_parts(tmp_path):
    """Where some rows have names, the others do not mean what their parts are in."""
    (tmp_path / "t.csv").write_text(f"file,count\n{WELLS[0]},3\nA02,5\n")
    found = match_totals(plate(*WELLS[:2]), tmp_path / "t.csv")
    assert [picture.name for picture in found.pictures] == [WELLS[0]]
    assert "no picture for A02 of the table; left out" in found.notes


def test_a_row_twice_is_no_row_without_a_picture(tmp_path):
    found = matched(tmp_path, "file,count\n" + ROWS + "dish 1,5\nother,3\n")
    assert found.without_picture == ("other",)
    np.testing.assert_array_equal(found.totals, [5, 7, 9, 11])
