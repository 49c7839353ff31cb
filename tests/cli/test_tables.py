"""Columns of numbers from text, as spreadsheets, logs and scripts write them."""

import codecs
import csv
import os
import re
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("typer")
pytest.importorskip("rich")

from sk_ednn.cli._files import read_array
from sk_ednn.exceptions import TileMemoryError

KEYS = ("y", "totals")
# Text, the requested column, and the numbers.
TABLES = {
    "three decimals beside other numbers": (
        "y;n\n1.006;1.234\n2.120;2.345\n",
        "y",
        [1.006, 2.12],
    ),
    "three decimals beside dates": ("y;n\n1.006;01.02.2026\n", "y", [1.006]),
    "one column": ("1.5\n-2\n# end\n3e2\n\n", None, [1.5, -2.0, 300.0]),
    "a name of several words": ("energy (eV), relaxed\n1\n2\n", None, [1.0, 2.0]),
    "a name above": ("energy\n1\n2\n", None, [1.0, 2.0]),
    "a usual name": ("file,y,note\na.png,1,ok\nb.png,2,\n", None, [1.0, 2.0]),
    "the only column of numbers": ("file,work\na.png,1\nb.png,2\n", None, [1.0, 2.0]),
    "the name that is given": ('"file";"a, b";y\nx;1;5\nz;2;6\n', "a, b", [1.0, 2.0]),
    "tabs": ("n\ttotals\n1\t7\n2\t8\n", None, [7.0, 8.0]),
    "semicolons within commas": ("n,y,note\n1,7,a; b\n2,8,c\n", None, [7.0, 8.0]),
    "bars": ("n | totals\n1 | 7\n2 | 8\n", None, [7.0, 8.0]),
    "blanks that align": ("  id     y\n   a   1.5\n  bc  -2.5\n", None, [1.5, -2.5]),
    "a byte order mark": ("\ufeffy\n1\n", None, [1.0]),
    "a line for spreadsheets": ("sep=;\nid;y\na,b;1\nc,d;2\n", None, [1.0, 2.0]),
    "that line in quotes": ('"sep=;"\r\nid;y\r\n1;2\r\n', None, [2.0]),
    "that line with a tab": ("sep=\t\nid\ty\n1\t2\n", None, [2.0]),
    "the index of a data frame": (",y\n0,-2.5\n1,3\n", None, [-2.5, 3.0]),
    "quoted numbers": ('"id","y"\n"1","-2.5"\n"2","3"\n', None, [-2.5, 3.0]),
    "blanks before quotes": ('"a, b", "y"\n1, "2"\n', None, [2.0]),
    "quotes within quotes": ('"the ""old"" one","y"\n1,2\n', 'the "old" one', [1.0]),
    "a cell of two lines": ('note,y\n"a\n# b",1\nc,2\n', None, [1.0, 2.0]),
    "trailing commas": ("id,y,,\n1,2,,\n3,4,,\n", None, [2.0, 4.0]),
    "trailing commas of some": ("id,y\n1,2,\n3,4\n", None, [2.0, 4.0]),
    "empty rows at the end": ("id,y\n1,2\n,\n,\n", None, [2.0]),
    "blank lines": ("\n\nid,y\n\n1,2\n  \n3,4\n\n", None, [2.0, 4.0]),
    "comments": ("# of run 3, it's long\nid,y\n1,2\n# 2,3\n#\n3,4\n", None, [2.0, 4.0]),
    "ids that begin with #": ("id,y\n#1,2\n#2,3\n", None, [2.0, 3.0]),
    "a name that begins with #": ("#id,y\n1,2\n2,3\n", None, [2.0, 3.0]),
    "a comment that contains no blank": ("#made-by-hand\nid,y\n1,2\n", None, [2.0]),
    "mixed line ends": ("id,y\r\n1,2\n3,4\r5,6\r\n", None, [2.0, 4.0, 6.0]),
    "no line end": ("id,y\n1,2", None, [2.0]),
    "points without digits": ("y\n.5\n-2.\n+3.E-01\n", None, [0.5, -2.0, 0.3]),
    "by number": ("1,7\n2,8\n", "2", [7.0, 8.0]),
    "by number, beside words": ("a.png,7\nb.png,8\n", "2", [7.0, 8.0]),
    "by number, below names": ("n,e\n1,7\n2,8\n", "2", [7.0, 8.0]),
    "by number, one of two of a name": ("e,e\n1,7\n2,8\n", "1", [1.0, 2.0]),
    "several by number": ("a.png 1 2 3\nb.png 4 5 6\n", "2-3,4", [[1.0, 2, 3], [4, 5, 6]]),
    "three decimals": ("y\n1.006\n2.125\n", None, [1.006, 2.125]),
    "three decimals beside others": ("y\n1.006\n950\n0.5\n", None, [1.006, 950.0, 0.5]),
    "a column of sodium": ("file,Na\na,1\nb,2\n", "Na", [1.0, 2.0]),
}


def written(tmp_path, text, suffix=".csv", encoding="utf-8"):
    path = tmp_path / f"totals{suffix}"
    path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
    return path


def named(path, key):
    return str(path) if key is None else f"{path}::{key}"


@pytest.mark.parametrize("case", TABLES)
@pytest.mark.parametrize("suffix", [".csv", ".txt", ".tsv"])
def test_reads_columns_of_text(case, suffix, tmp_path):
    text, key, expected = TABLES[case]
    read = read_array(named(written(tmp_path, text, suffix), key), KEYS)
    np.testing.assert_array_equal(read, expected)
    assert read.dtype == np.float64


@pytest.mark.parametrize("mark", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_byte_order_marks_say_the_encoding(mark, tmp_path):
    marks = {"utf-16-le": codecs.BOM_UTF16_LE, "utf-16-be": codecs.BOM_UTF16_BE}
    content = marks.get(mark, b"") + "größe;y\r\n1;-2.5\r\n".encode(mark)
    np.testing.assert_array_equal(read_array(str(written(tmp_path, content)), KEYS), [-2.5])


# What is wrong, by line and by kind, and never a number beside the one that was meant.
NO_TABLES = [
    ("", None, "contains no numbers."),
    ("# nothing\n", None, "contains no numbers."),
    ("y\n", None, "contains names of columns, but no numbers."),
    ("a,b\n1,2\n", None, "has the columns a, b, but none with the name y or totals"),
    ("a,b\n1,2\n", "c", "has no column 'c'; it has a, b."),
    ("y\n1\ntwo\n", None, "line 3: 'two' is not a number."),
    ("y,z\n1,2\n3\n", None, "line 3 has 1 columns, but the first line has 2."),
    ("y,y\n1,2\n", None, "has 2 columns with the name 'y'. Choose one by its number, 1 or 2"),
    ("y,y\n1,2\n", "y", "has 2 columns with the name 'y'"),
    (f'y,z\n"{"1" * 200_000}",2\n', None, "line 2 cannot be split into cells: field larger"),
    (f"{'1' * 100_000}x\n1\n", None, "line 1: '1111"),
    ('y,z\n1,"2\n3,4\n', None, "line 2 cannot be split into cells"),
    # columns without names
    ("1,2\n3,4.5\n", None, "has 2 columns, but its first line contains no names. Add a line"),
    ("1 2 3\n3 4 5\n", None, "choose one by its number, counted from 1, as"),
    ("a.png,1.5\nb.png,2.5\n", None, "its first line contains words and numbers"),
    ("1,2\n3,4\n", "y", "has no names of columns, so there is no 'y'"),
    ("1,2\n3,4\n", "0", "has 2 columns, counted from 1; there is no column 0."),
    ("1,2\n3,4\n", "2-3", "there is no column 2-3."),
    # decimal commas
    ("-2,00\n-3,50\n", None, "'-2,00', which may be two columns or a number with a decimal comma"),
    ("y\n-2,00\n-3,50\n", None, "line 2: '-2,00' has a decimal comma"),
    (
        "id,y\n1,-2,00\n2,-3,50\n",
        None,
        "line 2 has 3 columns, but the first line has 2. If these are dec",
    ),
    ("y,z\n-2,00\n-3,05\n", "z", "line 2 contains '-2,00', which may be two columns or"),
    ("-2,5\n-3\n", None, "line 1: '-2,5' has a decimal comma"),
    ("id;y\n1;-2,00\n", None, "line 2: '-2,00' has a decimal comma"),
    ("id\ty\n1\t-2,00\n", None, "line 2: '-2,00' has a decimal comma"),
    ('"id","y"\n"1","-2,00"\n', None, "line 2: '-2,00' has a decimal comma"),
    ("1;2,5\n2;3,5\n", "2", "line 1: '2,5' has a decimal comma"),
    ("sep=;\n2,5;\n3,5;\n", None, "line 2: '2,5' has a decimal comma"),
    # separators of thousands
    ('id,y\n1,"1,234.50"\n', None, "line 2: '1,234.50' has commas between thousands"),
    ("id;y\n1;1.234,50\n", None, "line 2: '1.234,50' has points between thousands"),
    ("id;y\n1;1.234.567\n", None, "line 2: '1.234.567' has points between thousands"),
    ("id;y\n1;1,234\n", None, "line 2: '1,234' has a comma, for decimals or thousands"),
    ("id;y\n1;1\u00a0234\n", None, "has separators of thousands"),
    ("id;y\n1;1'234.5\n", None, "has separators of thousands"),
    ("y\n1_000\n", None, "line 2: '1_000' has separators of thousands"),
    ("id;y\n1;950\n2;1.006\n", None, "line 3 contains '1.006', which may be 1.006 or 1006"),
    ("y\n-12\n-3.500\n", None, "line 3 contains '-3.500', which may be -3.500 or -3500"),
    (
        "y;n\n-128.000;1.234.567\n-9.500;2\n",
        "y",
        "line 2 contains '-128.000', which may be -128.000 or",
    ),
    ("y;n\n1.006;7\n2.120;0,5\n", "y", "since another column has 0,5"),
    ("y\tn\n1.006\t1.234,50\n2.120\t3\n", "1", "since another column has 1.234,50"),
    # what is not a number, though Python or a reader may see one
    ("y\n\u0661\n", None, "line 2: '\u0661' is not a number"),
    ("y\n0x10\n", None, "line 2: '0x10' has a unit"),
    ("id,y\n1,12%\n", None, "line 2: '12%' has a percent sign"),
    ("id,y\n1,12.5 eV\n", None, "line 2: '12.5 eV' has a unit: write it in the name"),
    ("id,y\n1,$5\n", None, "line 2: '$5' has a unit"),
    ("id,y\n1,1.5D+03\n", None, "line 2: '1.5D+03' has an exponent with D: write E"),
    ("id,y\n1,\u22122\n", None, "line 2: '\u22122' begins with a dash that is not a minus sign"),
    ("id,y\n1,(2.00)\n", None, "line 2: '(2.00)' is in parentheses"),
    # totals that are missing
    ("id,y\n1,2\n2,\n3,4\n", None, "line 3: column 2 is empty, but each field needs a total"),
    ("id,y\n1,2\n,\n3,4\n", None, "line 3: column 2 is empty"),
    ('y\n1\n""\n2\n', None, "line 3: column 1 is empty"),
    ("y\n1\n\n2\n", None, "line 3 is blank, but each field needs a total"),
    ("1\r\n  \r\n2\r\n", None, "line 2 is blank"),
    ("\ny\n\n1\n# 2\n\n3\n\n", None, "line 6 is blank"),
    ("id,y\n1,2\n2,nan\n", None, "line 3: column 2 contains 'nan'"),
    ("id,y\n1,2\n2,NA\n", None, "line 3: column 2 contains 'NA'"),
    ("id,y\n1,2\n2,#DIV/0!\n", None, "line 3: column 2 contains '#DIV/0!'"),
    ("y\n1\n#N/A\n2\n", None, "line 3: column 1 contains '#N/A'"),
    ("NA\n1\n2\n", None, "line 1: column 1 contains 'NA'"),
    ("y\n1\n-inf\n", None, "line 3: '-inf' is infinite"),
    ("y\n1\n1e999\n", None, "line 3: '1e999' is infinite"),
    # encodings
    (b"\xff\xfe1\n\n", None, "not text in UTF-8"),
    ("größe,y\n1,2\n".encode("latin-1"), None, "Save it as CSV in UTF-8"),
    ("y\n1\n".encode("utf-16-le"), None, "without a byte order mark"),
]


@pytest.mark.parametrize(("text", "key", "words"), NO_TABLES)
def test_says_which_line_is_wrong(text, key, words, tmp_path):
    path = written(tmp_path, text)
    with pytest.raises(ValueError, match=re.escape(words)) as raised:
        read_array(named(path, key), KEYS)
    assert str(raised.value).startswith(str(path))
    assert "\n" not in str(raised.value)


def test_all_decimal_commas_are_refused(tmp_path):
    """Whatever the file, no number is cut at its comma."""
    rng = np.random.default_rng(0)
    for _ in range(100):
        cells = [f"{value:.2f}".replace(".", ",") for value in rng.normal(size=4) * 10]
        for head in ("", "y\n", "y,\n", "energy (eV)\n"):
            path = written(tmp_path, head + "\n".join(cells))
            with pytest.raises(ValueError, match="decimal comma"):
                read_array(str(path), KEYS)


WORDS = ("a.png", "#7", "7", "a b", 'the "old" one', "x; y, z|", "2,5", "", "two\nlines", "# seven")


@given(
    values=st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=5),
    words=st.lists(st.sampled_from(WORDS), min_size=10, max_size=10),
    separator=st.sampled_from(",;\t|"),
    quoting=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL, csv.QUOTE_NONNUMERIC]),
    end=st.sampled_from(["\n", "\r\n"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]),
)
@settings(max_examples=200, deadline=None)
def test_what_the_csv_module_writes_is_read_or_answered(
    values, words, separator, quoting, end, encoding
):
    """Numbers are those that were written, whatever the separator, the quotes and the notes."""
    path = Path(tempfile.gettempdir()) / f"written-{os.getpid()}.csv"
    with path.open("w", encoding=encoding, newline="") as file:
        writer = csv.writer(file, delimiter=separator, quoting=quoting, lineterminator=end)
        writer.writerow(["id", "energy", "note"])
        writer.writerows(zip(words[:5], values, words[5:], strict=False))
    try:
        read = read_array(f"{path}::energy", KEYS)
    except ValueError as error:  # an id "# seven" without quotes is a comment, to whoever reads it
        assert str(error).startswith(str(path))
        assert any("#" in word for word in words)
    else:
        if "# seven" not in words[:5]:
            np.testing.assert_array_equal(read, values)
    finally:
        path.unlink()


def test_a_table_that_does_not_fit_is_not_read(tmp_path, monkeypatch):
    path = written(tmp_path, "y\n1\n")
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=1))
    with pytest.raises(TileMemoryError, match=r"Reading .*totals\.csv needs .* of memory"):
        read_array(str(path), KEYS)


@given(text=st.text(st.sampled_from("y,;\t\n\r\x00\"'# 1.e-\u2028\u0660"), max_size=40))
@settings(max_examples=300)
def test_any_text_is_read_or_answered(text):
    path = Path(tempfile.gettempdir()) / f"any-text-{os.getpid()}.csv"
    path.write_text(text, encoding="utf-8", newline="")
    try:
        values = read_array(str(path), ("y",))
    except ValueError as error:
        assert str(error).startswith(str(path))
    else:
        assert values.dtype == np.float64 and values.ndim == 1 and len(values)
        assert np.isfinite(values).all()
    finally:
        path.unlink()


@pytest.mark.parametrize(
    ("numbers", "noted"),
    [
        ([3, 0, 2, 1], True), ([4, 3, 2, 1], True), ([0, 1, 2, 3], False), ([1, 2, 3, 4], False),
        ([7, 8, 9, 10], False), ([9, 7, 8, 10], True), ([3, 3, 2, 1], False), ([2, 9, 4, 1], False),
        ([1, 0], False),
    ],
)  # fmt: skip
def test_rows_that_are_numbered_in_another_order_are_noted(numbers, noted, tmp_path, capsys):
    path = tmp_path / "totals.csv"
    path.write_text("id,y\n" + "".join(f"{k},{k / 2}\n" for k in numbers))
    assert read_array(str(path), KEYS).tolist() == [k / 2 for k in numbers]
    said = "the column 'id' numbers the rows from" in capsys.readouterr().err
    assert said == noted


def test_a_column_that_numbers_the_rows_is_no_total_beside_others(tmp_path, capsys):
    path = tmp_path / "totals.csv"
    path.write_text("id,work\n" + "".join(f"{k},{k / 2}\n" for k in (3, 1, 2, 4)))
    assert read_array(str(path), KEYS).tolist() == [1.5, 0.5, 1.0, 2.0]
    assert "::work is used, the only suitable one" in capsys.readouterr().err
    path.write_text("id,kind\n" + "".join(f"{k},a\n" for k in (3, 1, 2, 4)))
    assert read_array(str(path), KEYS).tolist() == [3, 1, 2, 4]  # there is nothing else
    path.write_text("id,kind\n" + "".join("b,a\n" for _ in range(4)))
    with pytest.raises(ValueError, match="columns id, kind, none of which can be totals"):
        read_array(str(path), KEYS)


@pytest.mark.parametrize(
    ("cell", "right"),
    [
        ("9007199254740993", False), ("-9007199254740993", False), ("9007199254740994", True),
        ("9007199254740992", True), ("9007199254740993.0", True), ("1e300", True),
    ],
)  # fmt: skip
def test_integers_that_doubles_would_round_are_refused(cell, right, tmp_path):
    path = tmp_path / "totals.csv"
    path.write_text(f"y\n1\n{cell}\n")
    if right:
        assert read_array(str(path), KEYS).tolist() == [1.0, float(cell)]
    else:
        with pytest.raises(ValueError, match=f"line 3: {cell} is an integer beyond"):
            read_array(str(path), KEYS)
