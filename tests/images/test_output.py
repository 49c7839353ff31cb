"""Files of what was counted, and the commands that write them."""

import base64
import csv
import html
import io
import json
import re
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("torch")
pytest.importorskip("typer")
tifffile = pytest.importorskip("tifffile")
pytest.importorskip("PIL")

from PIL import Image  # noqa: E402
from scipy.spatial import KDTree  # noqa: E402

from sk_ednn._utils.wording import plain  # noqa: E402
from sk_ednn.cli import main  # noqa: E402
from sk_ednn.datasets import make_pictures  # noqa: E402
from sk_ednn.files import describe, load, save  # noqa: E402
from sk_ednn.images import as_picture, peaks, read_dots, read_pictures  # noqa: E402
from sk_ednn.images._excel import number_format, write_sheet  # noqa: E402
from sk_ednn.images._output import write_map, write_peaks  # noqa: E402
from sk_ednn.images._overlay import _legend_of, full_colour, overlay_png  # noqa: E402
from sk_ednn.images._peaks import haze  # noqa: E402
from sk_ednn.runs import RunFolder  # noqa: E402

RNG = np.random.default_rng(0)


def test_peaks_are_where_objects_are_and_share_the_total():
    contributions, centres = np.zeros((40, 50)), [(5, 7), (20, 33), (30, 12)]
    rows, columns = np.ogrid[:40, :50]
    for k, (i, j) in enumerate(centres, 1):
        blob = np.exp(-((rows - i) ** 2 + (columns - j) ** 2) / 4)
        contributions += k * blob / blob.sum()
    positions, shares = peaks(contributions, (4, 4))
    np.testing.assert_allclose(positions, np.array(centres) * 4 + 1.5, atol=0.1)
    np.testing.assert_allclose(shares, [1, 2, 3], rtol=1e-3)
    assert shares.sum() == pytest.approx(contributions.sum())
    assert len(peaks(np.zeros((4, 4)), (4, 4))[1]) == 0


@pytest.mark.parametrize("faint", [1e-4, 2e-3, 5e-3])
def test_faint_haze_is_counted_but_moves_no_peak(faint):
    """All tiles belong to a share; those far away are no part of its object."""
    objects, centres = np.zeros((60, 60)), [(8, 9), (30, 44)]
    blob = [[0.05, 0.1, 0.05], [0.1, 0.4, 0.1], [0.05, 0.1, 0.05]]
    for i, j in centres:
        objects[i - 1 : i + 2, j - 1 : j + 2] = blob
    positions, shares = peaks(objects + faint, (4, 4))
    np.testing.assert_allclose(positions, np.array(centres) * 4 + 1.5, atol=0.1)
    assert shares.sum() == pytest.approx((objects + faint).sum())
    assert haze(objects) == 0
    assert 0.9 * faint * 3600 < haze(objects + faint) < faint * 3600


def test_legends_name_haze_that_matters():
    def lines(faint):
        return _legend_of("x", 3, "", False, faint, 50.0)[1]

    assert any("8.1 of 50 are haze" in line for line in lines(8.1))
    assert not any("haze" in line for line in lines(1.0))


def test_maps_are_tiff_with_the_size_of_their_tiles(tmp_path):
    values = RNG.random((7, 9, 2))
    write_map(tmp_path / "a.tif", values, (4, 4))
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert file.series[0].axes == "CYX"
        np.testing.assert_allclose(file.asarray(), values.transpose(2, 0, 1), rtol=1e-6)
        assert 'PhysicalSizeX="4"' in file.ome_metadata


def test_overlays_colour_what_was_counted(tmp_path):
    picture = as_picture(RNG.integers(0, 255, (24, 33), dtype=np.uint8))
    contributions = np.zeros((6, 9))
    contributions[2, 3] = 1.0
    with Image.open(io.BytesIO(overlay_png(picture, contributions, (4, 4)))) as image:
        drawn = np.asarray(image).astype(int)
    assert drawn.shape == (24, 33, 3)
    coloured = np.ptp(drawn, axis=-1) > 0
    expected = np.zeros((24, 33), bool)
    expected[8:12, 12:16] = True
    np.testing.assert_array_equal(coloured, expected)


@pytest.mark.parametrize("sign", [1.0, 0.0, -1.0])
@pytest.mark.parametrize("shape", [(24, 33), (300, 900), (5000, 40), (6, 40, 50)])
def test_legends_are_below_the_picture_which_is_at_most_enlarged(shape, sign):
    picture = as_picture(RNG.integers(0, 255, (*shape, 1), dtype=np.uint8), channel_axis=-1)
    focus = (1, 4, 4)[-len(shape) :]
    grid = [-(-n // step) for n, step in zip(shape, focus, strict=True)]
    contributions = sign * RNG.random(grid)
    plain, explained = (
        np.asarray(Image.open(io.BytesIO(overlay_png(picture, contributions, focus, legend=which))))
        for which in (False, True)
    )
    # As wide as the legend needs, by a whole number, if it is then not too long.
    is_small = max(shape[-2:]) < 200
    factor = explained.shape[1] // plain.shape[1] if is_small else 1
    plain = plain.repeat(factor, axis=0).repeat(factor, axis=1)
    assert (factor > 1) == is_small and (plain.shape[1] == explained.shape[1]) == (shape[0] != 5000)
    height, width = plain.shape[:2]
    np.testing.assert_array_equal(explained[:height, :width], plain)
    assert (explained[:height, width:] == 255).all()
    strip = explained[height:].astype(int)
    written = (strip != 255).any(axis=-1)
    assert written.any() and not written[[0, -1]].any() and not written[:, [0, -1]].any()
    coloured = np.ptp(strip, axis=-1) > 50
    assert coloured.any() == (sign > 0)  # a scale, where there are colours


@pytest.mark.parametrize("light", [False, True])
def test_the_strip_has_the_colours_of_the_overlay(light):
    """They are drawn over the level that most of a picture has."""
    values = np.full((40, 240), 240 if light else 10, dtype=np.uint8)
    values[:4, :40] = 250 - values[0, 0]
    contributions = np.zeros((10, 60))
    contributions[5, ::2] = np.linspace(0, 1, 30)
    drawn = np.asarray(Image.open(io.BytesIO(
        overlay_png(as_picture(values), contributions, (4, 4), legend=True))), int)  # fmt: skip
    factor = drawn.shape[1] // 240
    overlay = drawn[20 * factor : 24 * factor].reshape(-1, 3)
    strip = np.unique(drawn[40 * factor :].reshape(-1, 3), axis=0)
    gaps, _ = KDTree(strip).query(overlay, p=1)
    assert gaps.max() <= 12


def test_a_picture_is_beside_its_overlay():
    values = RNG.integers(0, 255, (24, 80), dtype=np.uint8)
    grey, both = (
        np.asarray(Image.open(io.BytesIO(overlay_png(as_picture(values), m, (4, 4), beside=b))))
        for m, b in ((np.zeros((6, 20)), False), (np.ones((6, 20)), True))
    )
    np.testing.assert_array_equal(both[:, :80], grey)
    assert (both[:, 80:-80] == 255).all() and both.shape == (24, 162, 3)
    assert (np.ptp(both[:, -80:].astype(int), axis=-1) > 0).all()


@pytest.mark.parametrize("n_axes", [2, 3])
def test_peaks_are_written_as_points_of_imagej(n_axes, tmp_path):
    """They can also be read again as dots."""
    contributions = np.zeros((2, 12, 20)[-n_axes:])
    contributions[..., 8, 15] = 1.0
    focus = (1, 4, 4)[-n_axes:]
    write_peaks(tmp_path / "peaks.csv", contributions, focus)
    header, *rows = (tmp_path / "peaks.csv").read_text().splitlines()
    place, end = ("61.5,33.5", ",1") if n_axes == 2 else ("61.5,33.5,0.5", ",2")
    assert header == ("X,Y,share" if n_axes == 2 else "X,Y,Z,share")
    assert rows == [place + end]
    (tmp_path / "dots.csv").write_text(f"file,{header}\n" + "".join(f"a,{row}\n" for row in rows))
    shape = tuple(n * step for n, step in zip(contributions.shape, focus, strict=True))
    picture = as_picture(np.zeros((*shape, 1), np.uint8), "a.tif", channel_axis=-1)
    boxes = read_dots([picture], tmp_path / "dots.csv", side=64)
    assert [box.totals for box in boxes if box.totals] == [1.0]


# ------------------------------------------------------------------------------- command line


@pytest.fixture(scope="module")
def dishes(tmp_path_factory):
    """Two folders and a table, as a microscopist has them, and a model of them."""
    folder = tmp_path_factory.mktemp("dishes")
    old = make_pictures(10, (48, 56), n_objects=(20, 200), random_state=0)
    new = make_pictures(2, (70, 50), n_objects=(20, 200), random_state=1)
    for name, data in (("photos", old), ("new", new)):
        (folder / name).mkdir()
        for k, each in enumerate(data.pictures):
            Image.fromarray(each).save(folder / name / f"dish {k}.png")
    lines = [f"dish {k};{total:.0f}" for k, total in enumerate(old.totals)]
    (folder / "counts.csv").write_text("image;cells\n" + "\n".join(lines) + "\n")
    assert main(fitting(folder)) == 0
    return folder


def fitting(folder, *more):
    return ["count", "fit", str(folder / "photos"), str(folder / "counts.csv"), "--epochs", "1",
            "-q", "-o", str(folder / "model.ednn"), *more]  # fmt: skip


def test_from_two_folders_and_a_table_to_counts_and_maps(dishes, capsys):
    table, maps = dishes / "out.csv", dishes / "maps"
    command = ["count", "predict", str(dishes / "model.ednn"), str(dishes / "new")]
    assert main([*command, "--output", str(table), "--maps", str(maps), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    with open(table, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == ["dish 0.png", "dish 1.png"]
    for row, one in zip(rows, said["counts"], strict=True):
        assert float(row["cells"]) == pytest.approx(one["total"], rel=1e-4)
        assert float(row["cells low"]) <= float(row["cells"]) <= float(row["cells high"])
        stem = row["file"].removesuffix(".png")
        total = tifffile.imread(maps / f"{stem}.tif").sum()
        assert float(row["cells"]) == pytest.approx(total, rel=1e-4)
        with Image.open(maps / f"{stem} overlay.png") as image:
            assert image.size[0] >= 50 and image.size[1] > 70
        with open(maps / f"{stem} peaks.csv", encoding="utf-8", newline="") as file:
            shares = [float(line["share"]) for line in csv.DictReader(file)]
        assert sum(shares) == pytest.approx(total, rel=0.01)


def test_overlays_of_a_run_have_one_scale(dishes, tmp_path):
    """Whichever comes first, the strongest colour is that of the largest contribution of all."""
    for k, level in enumerate((1.0, 0.4)):  # the second has less contrast
        for name in (f"{k} first.png", f"{3 - k} last.png"):
            with Image.open(dishes / "new" / "dish 0.png") as image:
                values = (level * np.asarray(image, dtype=float)).astype(np.uint8)
            folder = tmp_path / name.split()[1]
            folder.mkdir(exist_ok=True)
            Image.fromarray(values).save(folder / name)
    for folder in ("first.png", "last.png"):
        maps = tmp_path / f"maps of {folder}"
        command = ["count", "predict", str(dishes / "model.ednn"), str(tmp_path / folder)]
        assert main([*command, "-q", "--maps", str(maps)]) == 0
        names = sorted(path.stem for path in maps.glob("*.tif"))
        drawn = [tifffile.imread(maps / f"{name}.tif") for name in names]
        full = max(map(full_colour, drawn))
        assert full_colour(drawn[0]) != full_colour(drawn[1])
        for name, contributions in zip(names, drawn, strict=True):
            (picture,) = read_pictures(str(tmp_path / folder / f"{name}.png"))
            png = overlay_png(
                    picture, contributions, (4, 4), legend=True, full=full, rings=True,
                    title=f"{picture.name}: {plain(contributions.sum(), 3)}",
                )  # fmt: skip
            expected = np.asarray(Image.open(io.BytesIO(png)), dtype=int)
            written = np.asarray(Image.open(maps / f"{name} overlay.png"), dtype=int)
            np.testing.assert_allclose(written, expected, atol=2)


@pytest.mark.parametrize("command", [["count", "predict"], ["predict"]])
def test_a_workbook_of_counts_has_the_numbers_of_the_table(command, dishes, tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    table, book = tmp_path / "out.csv", tmp_path / "out.xlsx"
    for path in (table, book):
        words = [str(dishes / "model.ednn"), str(dishes / "new"), "-q", "-o", str(path)]
        assert main([*command, *words]) == 0
    with open(table, encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    names, *cells = openpyxl.load_workbook(book).active.iter_rows()
    assert [cell.value for cell in names] == header
    assert len(cells) == len(rows) == 2
    for row, written in zip(rows, cells, strict=True):
        assert written[0].value == row[0]
        for text, cell in zip(row[1:-1], written[1:-1], strict=True):
            assert cell.data_type == "n" and cell.value == float(text)
        for cell in written[1:-1]:
            whole = {"General"} if cell.value == int(cell.value) else set()
            assert cell.number_format in {"0.0", "0.00", "0.000", "0.0000", "0.00E+00"} | whole


def test_recorded_tables_name_their_pictures(dishes, tmp_path):
    pytest.importorskip("openpyxl")
    folder = tmp_path / "runs"
    model = tmp_path / "model.ednn"
    assert main(fitting(dishes, "--run", str(folder), "-o", str(model))) == 0
    (table,) = folder.glob("*/predictions.csv")
    with open(table, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    text = (dishes / "counts.csv").read_text()
    totals = {f"{name}.png": float(total) for name, total in re.findall(r"(dish \d+);(\d+)", text)}
    assert rows
    assert all(float(row["true"]) == totals[row["picture"]] for row in rows)
    assert main(["count", "predict", str(model), str(dishes / "new"), "-q", "--run",
                 str(folder)]) == 0  # fmt: skip
    (book,) = folder.glob("*/counts.xlsx")
    assert book.with_suffix(".csv").exists()


@pytest.mark.parametrize("ending", [".ods", ".xls", ".txt", ".parquet", ".json", ""])
@pytest.mark.parametrize("command", [["count", "predict"], ["predict"]])
def test_tables_of_counts_have_names_that_say_what_they_are(
    command, ending, dishes, tmp_path, capsys
):
    path = tmp_path / f"out{ending}"
    words = [str(dishes / "model.ednn"), str(dishes / "new"), "-q", "-o", str(path)]
    assert main([*command, *words]) == 1
    said = capsys.readouterr().err
    assert str(path) in said and ".csv" in said
    assert not path.exists()


def test_texts_of_a_workbook_are_no_formulas(tmp_path):
    """Names of files may be anything; a gap is an empty cell, and small numbers are not rounded."""
    openpyxl = pytest.importorskip("openpyxl")
    names = ["=1+1.png", "+2.png", "a\x07b.png", "c\udc80.png", "ok.png"]
    totals = [0.0314, np.nan, -0.5, 2.0, 9.0]
    write_sheet(tmp_path / "a.xlsx", ["=file", "area"], list(zip(names, totals, strict=True)))
    rows = list(openpyxl.load_workbook(tmp_path / "a.xlsx").active.iter_rows())
    texts = ["=file", "=1+1.png", "+2.png", "a?b.png", "c?.png", "ok.png"]
    assert [row[0].value for row in rows] == texts
    assert {row[0].data_type for row in rows} == {"s"}
    assert [row[1].value for row in rows[1:]] == [0.0314, None, -0.5, 2.0, 9.0]
    assert {row[1].number_format for row in rows[1:]} == {"0.000"}


@given(st.lists(st.floats(-1e9, 1e9), min_size=1))
def test_formats_of_a_column_show_its_numbers(numbers):
    """Two digits of the largest, few decimals, and whole numbers without any."""
    shown = number_format(numbers)
    largest = max(numbers, key=abs)
    if all(number == int(number) for number in numbers):
        assert shown == "General"
    elif shown == "0.00E+00":
        assert abs(largest) < 0.01
    else:
        decimals = len(shown.partition(".")[2])
        assert 1 <= decimals <= 4 and set(shown) == {"0", "."}
        assert abs(largest - round(largest, decimals)) <= 0.05 * abs(largest)


def test_a_workbook_has_no_time_of_its_own(tmp_path):
    """So that a repeated run writes the same file."""
    pytest.importorskip("openpyxl")
    write_sheet(tmp_path / "a.xlsx", ["file", "count"], [["a.png", 12.5]])
    with zipfile.ZipFile(tmp_path / "a.xlsx") as book:
        assert {entry.date_time for entry in book.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        about = book.read("docProps/core.xml").decode()
    assert set(re.findall(r"\d{4}-\d\d-\d\dT[\d:]+", about)) == {"1980-01-01T00:00:00"}


def test_fit_and_predict_of_pictures_are_those_of_count(dishes, tmp_path, capsys):
    table, model = tmp_path / "out.csv", tmp_path / "model.ednn"
    words = ["--epochs", "1", "-q", "-o", str(model)]
    assert main(["fit", str(dishes / "photos"), str(dishes / "counts.csv"), *words]) == 0
    for command in (["count", "predict", "--force"], ["predict"], ["predict"]):
        assert main([*command, str(model), str(dishes / "new"), "-q", "-o", str(table)]) == 0
        result = table.read_text(encoding="utf-8")
        if command[0] == "count":
            first = result
        assert result == first
    assert result.startswith("file,cells,cells low,cells high")
    capsys.readouterr()
    array = tmp_path / "maps.npz"
    assert (
        main(["predict", str(model), str(dishes / "new"), "--contributions", "-o", str(array)]) == 0
    )
    with np.load(array) as arrays:
        assert arrays["y"].shape == (2,)


@pytest.mark.parametrize(
    ("more", "why"),
    [(["--focus", "2"], "--focus is not for photographs"), ([], "need a table")],
)
def test_what_fit_cannot_do_with_pictures_is_named(more, why, dishes, capsys):
    table = [str(dishes / "counts.csv")] if more else []
    assert main(["fit", str(dishes / "photos"), *table, *more]) == 1
    assert why in capsys.readouterr().err


def test_the_report_is_one_page(dishes):
    page = dishes / "report.html"
    command = ["count", "report", str(dishes / "model.ednn"), str(dishes / "photos")]
    assert main([*command, str(dishes / "counts.csv"), "-q", "-o", str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    assert "10 pictures of the fit: mean absolute error" in text
    assert "All 10 pictures are those of the fit" in text and "How this was counted" in text
    assert text.count("<img ") == 10 and "dish 3.png" in text
    assert "http:" not in text and "https:" not in text
    assert f"The model: {html.escape(verdict_of_fit(dishes))}." in text
    assert "nine of ten true totals of pictures like them should lie between" in text
    assert "<th>cells</th><th>low</th><th>high</th><th>true</th>" in text
    assert "A square is no object" in text
    captions = re.findall(r"<figcaption>dish \d.png: cells (.*?)</figcaption>", text)
    form = re.compile(r"[\d.]+ \([\d.]+ to [\d.]+; true [\d.]+\)")
    assert len(captions) == 10 and all(form.fullmatch(each) for each in captions)
    for data in re.findall(r"base64,([^\"]+)", text):  # enlarged, two beside each other
        with Image.open(io.BytesIO(base64.b64decode(data))) as image:
            assert image.width > 2 * 250 and image.height > 2 * 48


@pytest.mark.parametrize("shrunk", [0.2, 1.0])
def test_what_the_fit_said_of_crowded_pictures_is_said_again(shrunk, dishes, tmp_path, capsys):
    openpyxl = pytest.importorskip("openpyxl")
    model = load(dishes / "model.ednn")
    true = np.linspace(10.0, 90.0, 9)[:, None]
    model.held_back_ = {"index": np.arange(9), "true": true, "predicted": 50 + shrunk * (true - 50)}
    save(model, tmp_path / "a.ednn", about={"totals": ["fat cells"]})
    given = [str(tmp_path / "a.ednn"), str(dishes / "new"), "-q", "-o"]
    book, page = tmp_path / "out.xlsx", tmp_path / "report.html"
    assert main(["count", "predict", *given, str(book)]) == 0
    said = capsys.readouterr().out
    assert main(["count", "report", *given, str(page)]) == 0
    first, about = openpyxl.load_workbook(book).worksheets
    cells = "\n".join(str(cell) for row in about.iter_rows(values_only=True) for cell in row)
    for text in (said, page.read_text(encoding="utf-8"), cells):
        assert ("differences of fat cells come out too small" in text) is (shrunk < 1)
    for text in (page.read_text(encoding="utf-8"), cells):  # for the methods of a paper
        assert "fat cells were counted with sk_ednn" in text and "9 were held back" in text
    # Each column but the name is explained.
    named = cells.replace("flag: ", "flag\n").replace(", ", "\n").split("\n")
    assert {cell.value for cell in first[1][1:]} <= set(named) and about.title == "about"


def verdict_of_fit(dishes):
    return describe(dishes / "model.ednn")["about"]["verdict"]["words"]


def test_a_prediction_repeats_the_verdict_of_the_fit(dishes, tmp_path, capsys):
    assert main(fitting(dishes, "--force", "-o", str(tmp_path / "model.ednn"), "--json")) == 0
    of_fit = json.loads(capsys.readouterr().out)["verdict"]
    assert of_fit["words"] == verdict_of_fit(dishes) and "on 2 pictures not seen" in of_fit["words"]
    command = ["count", "predict", str(dishes / "model.ednn"), str(dishes / "new"), "-q"]
    assert main(command) == 0
    assert capsys.readouterr().out.startswith(f"the model: {of_fit['words']}\n")
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == of_fit


@pytest.mark.parametrize("about", [None, {"verdict": {"words": "\x1b[2J"}}, {"verdict": 3}])
def test_a_model_without_a_verdict_has_an_error(about, dishes, tmp_path, capsys):
    """Written in Python, by an earlier version, or by somebody who means ill."""
    model = load(dishes / "model.ednn")
    save(model, tmp_path / "other.ednn", about=about)
    assert main(["count", "predict", str(tmp_path / "other.ednn"), str(dishes / "new"), "-q"]) == 0
    said, _, _ = capsys.readouterr().out.partition("\n")
    assert said == f"the model: off by {plain(model.error_, 3)} on 2 pictures not seen"


@pytest.mark.parametrize("side", [60, 500, 2000])
def test_the_report_of_pictures_of_any_size_can_be_sent(side, dishes, tmp_path):
    """Of noise, which compresses worst."""
    (tmp_path / "new").mkdir()
    for k in range(3):
        values = RNG.integers(0, 255, (side, side), dtype=np.uint8)
        Image.fromarray(values).save(tmp_path / "new" / f"{k}.png")
    page = tmp_path / "report.html"
    command = ["count", "report", str(dishes / "model.ednn"), str(tmp_path / "new")]
    assert main([*command, "-q", "-o", str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    assert text.count("<img ") == 3 and len(text) < 3 * 600_000
    assert "Maps of the" not in text


def test_a_recorded_run_has_a_report_that_names_its_maps(dishes, tmp_path):
    command = ["count", "predict", str(dishes / "model.ednn"), str(dishes / "photos"), "-q"]
    assert main([*command, "--run", str(tmp_path / "runs")]) == 0
    (run,) = RunFolder(tmp_path / "runs").runs()
    text = run.file("report.html").read_text(encoding="utf-8")
    files = [html.unescape(file) for file in re.findall("in full: (.*?)</small>", text)]
    assert sorted(files) == [f"maps/dish {k} overlay.png" for k in range(10)]
    assert set(files) <= set(run.files()) and "dish 3.png: cells " in text
    assert main([*command, "--run", str(tmp_path / "runs"), "--maps", str(tmp_path / "m")]) == 0
    last = max(RunFolder(tmp_path / "runs").runs(), key=lambda each: each.id)
    text = last.file("report.html").read_text(encoding="utf-8")
    assert text.count("<img ") == 10 and "in full" not in text


def test_a_report_says_which_pictures_are_drawn(dishes, tmp_path):
    (tmp_path / "many").mkdir()
    for k in range(14):
        name = f"{k:02}.png"
        Image.fromarray(RNG.integers(0, 255, (40, 40), dtype=np.uint8)).save(
            tmp_path / "many" / name
        )
    page = tmp_path / "report.html"
    command = ["count", "report", str(dishes / "model.ednn"), str(tmp_path / "many")]
    assert main([*command, "-q", "-o", str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    assert "<p>Maps of the first 12 of 14 pictures.</p>" in text and text.count("<img ") == 12


def test_the_report_knows_the_column_of_the_fit(dishes, tmp_path, capsys):
    """Other columns of numbers do not matter, nor another name of the only one."""
    first, *rows = (dishes / "counts.csv").read_text().splitlines()
    tables = {
        "more.csv": [f"{first};area", *(f"{row};99" for row in rows)],
        "renamed.csv": ["image;nuclei", *rows],
        "neither.csv": ["image;nuclei;area", *(f"{row};99" for row in rows)],
    }
    command = ["count", "report", str(dishes / "model.ednn"), str(dishes / "photos")]
    pages = {}
    for name, lines in tables.items():
        (tmp_path / name).write_text("\n".join(lines) + "\n")
        page = tmp_path / f"{name}.html"
        code = main([*command, str(tmp_path / name), "-q", "-o", str(page)])
        pages[name] = page.read_text(encoding="utf-8") if code == 0 else None
    assert "10 pictures of the fit: mean absolute error" in pages["more.csv"]
    assert pages["more.csv"] == pages["renamed.csv"]
    assert pages["neither.csv"] is None
    assert "'nuclei', 'area' could all be the totals" in capsys.readouterr().err


def test_a_fit_says_what_it_reads_and_how_far_it_is_off(dishes, tmp_path, capsys):
    command = fitting(dishes, "--series", "5", "-o", str(tmp_path / "model.ednn"))
    command.remove("-q")
    assert main(command) == 0
    said = capsys.readouterr()
    assert "10 picture(s), 48 × 56 pixels, grey, uint8" in said.err
    series = (
        "2 series: dish 0.png to dish 4.png (5 pictures), dish 5.png to dish 9.png (5). None of"
    )
    assert series in said.err
    assert "column cells: " in said.err and "; learned as counts" in said.err
    assert "100 % of the training" in said.err  # also where no picture is held out
    command = fitting(dishes, "-o", str(tmp_path / "other.ednn"))
    assert main(command) == 0
    said = capsys.readouterr()
    assert " on 2 pictures not seen (of all networks), of a mean of " in said.out
    assert "; the mean as a guess for each of them is off by " in said.out
    if "furthest off" in said.out:
        assert said.out.count(" in the table, ") == 2


def shown_fit(capsys, share, *, in_time=True, shrunk=1.0, held_back=9, size=170.0,
              spacing=None):  # fmt: skip
    from sk_ednn.cli._count_words import show_fit

    unit = size / 170
    worst = [{"name": "dish 7.png", "true": 250 * unit, "predicted": 170 * unit}]
    column = {
        "mean": size, "error": share * 45.4 * unit, "error_of_mean": 45.4 * unit,
        "half_width": 9.0 * unit, "spacing": spacing, "spread": 50 * unit,
        "spread_predicted": shrunk * 50 * unit, "worst": worst,
    }  # fmt: skip
    show_fit({"error": share * 45.4 * unit, "held_back": held_back, "totals": {"cells": column},
              "minutes": 1.0, "output": "a model.ednn", "replaced": False, "reduction": 1,
              "passes": 40, "minutes_needed": 13.2, "in_time": in_time})  # fmt: skip
    return capsys.readouterr().out


@pytest.mark.parametrize("in_time", [True, False])
@pytest.mark.parametrize("share", [0.4, 0.6, 1.1])
def test_a_fit_names_one_next_step(share, in_time, capsys):
    said = shown_fit(capsys, share, in_time=in_time)
    steps = [line for line in said.splitlines() if line.startswith("next: ")]
    assert len(steps) == 1
    if share < 0.5:
        command = "next: sk-ednn count predict 'a model.ednn' NEW_PICTURES --output new_counts.csv"
        assert steps[0].startswith(command) and "dish 7.png" not in said
        return
    assert ("no better than by the mean" in steps[0]) is (share > 1)
    assert ("train longer with --minutes 14" in steps[0]) is not in_time
    assert "reduction 1" in steps[0]
    assert "furthest off of those not seen: dish 7.png (250 in the table, 170 counted)" in said


@pytest.mark.parametrize(("spacing", "advice"), [
    (12.2, None), (13.0, None), (18.0, None), (9.0, None),
    (None, "the networks see every pixel (--reduction 1): objects or details should"),
    (40.0, "40 pixels apart, which suits --reduction 3 (it was 1)"),
    (5.0, "5 pixels apart, and some 13 would suit: enlarge the pictures"),
])  # fmt: skip
def test_another_reduction_is_advised_where_objects_are_not_apart_as_they_should(
    spacing, advice, capsys
):
    said = shown_fit(capsys, 0.6, spacing=spacing)
    assert ("apart" in said) is (advice is not None)
    assert (advice or "next: ") in said


@pytest.mark.parametrize(("shrunk", "held_back", "warned"), [
    (0.4, 9, True), (0.9, 9, False), (0.4, 3, False), (1.4, 9, False),
])  # fmt: skip
@pytest.mark.parametrize("share", [0.4, 0.6])
def test_a_fit_says_that_differences_come_out_too_small(share, shrunk, held_back, warned, capsys):
    said = shown_fit(capsys, share, shrunk=shrunk, held_back=held_back)
    assert ("differences of cells come out too small" in said) is warned


@pytest.mark.filterwarnings("default:.*dots:UserWarning")
@pytest.mark.parametrize(("dots", "warned"), [(0, True), (1, False), (-1, True)])
def test_dots_that_disagree_with_the_table_are_named(dots, warned, dishes, tmp_path, capsys):
    """None of the objects but one, all of them, and twice as many."""
    lines = (dishes / "counts.csv").read_text().splitlines()
    total = int(lines[4].split(";")[1])
    n = {0: 1, 1: total, -1: 2 * total}[dots]
    assert total > 3
    rows = [f"dish 3,{k % 48},{k % 56}" for k in range(n)]
    (tmp_path / "dots.csv").write_text("\n".join(["file,row,column", *rows]) + "\n")
    command = fitting(dishes, "--members", "1", "--dots", str(tmp_path / "dots.csv"))
    command[command.index("-o") + 1] = str(tmp_path / "model.ednn")
    command.remove("-q")
    assert main(command) == 0
    said = capsys.readouterr().err
    assert f"{n} dots in 1 picture(s), 0 of them without a total" in said and "boxes" not in said
    warning = f"warning: dish 3.png has {n} dots, and {total} in the table. All objects"
    assert (warning in said) is warned and ("warning" in said) is warned


@pytest.mark.parametrize("output", [True, False])
def test_counts_are_printed_with_their_intervals_and_flags(output, dishes, tmp_path, capsys):
    folder = tmp_path / "others"
    folder.mkdir()
    for path in (dishes / "photos").glob("dish [0-2].png"):
        with Image.open(path) as image:
            values = np.asarray(image)
        Image.fromarray(values if "2" not in path.stem else 255 - values).save(folder / path.name)
    command = ["count", "predict", str(dishes / "model.ednn")]
    more = ["--output", str(tmp_path / "out.csv")] if output else []
    assert main([*command, str(folder), *more]) == 0
    said = capsys.readouterr()
    for text in [said.err] if output else [said.err, said.out]:
        lines = [line.split("] ")[-1] for line in text.splitlines() if ".png: " in line]
        lines = [line for line in lines if line.startswith("dish")]
        assert len(lines) == 3
        assert all(re.match(r"dish \d.png: [\d.]+ \([\d.]+ to [\d.]+\)", line) for line in lines)
        assert lines[2].endswith("  unlike the training pictures")
    flagged = "flagged as unlike the training pictures: 1 of 3, for example dish 2.png; check"
    assert flagged in said.out and "none is flagged" not in said.out
    assert main([*command, str(folder / "dish 2.png"), "-q", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["counts"][0]["flag"] == "unlike"


def test_a_prediction_says_that_nothing_is_flagged(capsys):
    from sk_ednn.cli._count_words import show_predict

    row = {"name": "dish 1.png", "total": 9.0, "low": None, "high": None, "flag": ""}
    result = {
        "counts": [row, {**row, "name": "dish 2.png"}],
        "output": "out.csv",
        "maps": None,
        "overlays": 0,
    }
    show_predict({**result, "held_back": 0, "verdict": {"words": "cells is learned"}})
    said = [
        "the model: cells is learned",
        "2 picture(s) counted; none is flagged",
        "counts written to out.csv",
    ]
    assert capsys.readouterr().out.splitlines() == said


@pytest.mark.parametrize(("confidence", "words"), [
    (0.9, "nine of ten true counts"), (0.5, "50 % of true counts"), (0.99, "99 % of true counts"),
])  # fmt: skip
@pytest.mark.parametrize(("n", "few"), [(1, True), (6, True), (19, True), (20, False)])
def test_intervals_of_few_pictures_are_said_to_be_wider(n, few, confidence, words, capsys):
    from sk_ednn.cli._count_words import show_predict

    row = {"name": "dish 1.png", "total": 9.0, "low": 7.0, "high": 11.0, "flag": ""}
    show_predict({"counts": [row], "output": None, "maps": None, "overlays": 0, "held_back": n,
                  "confidence": confidence, "verdict": {"words": ""}})  # fmt: skip
    (said,) = [line for line in capsys.readouterr().out.splitlines() if words in line]
    assert ("wider for that" in said) == few
    assert ("too few to see rare errors" in said) == (n < 9)


@pytest.mark.parametrize("size", [0.01, 1.0, 9.96, 99.97, 1234.5, 12345.6, 9.9e9])
def test_numbers_for_people_have_no_exponents(size, capsys):
    from sk_ednn.cli._count_words import counted

    row = {"name": "a.png", "total": size, "low": 0.9 * size, "high": 1.1 * size, "flag": ""}
    text = counted(row) + shown_fit(capsys, 0.6, shrunk=0.1, held_back=50, size=size)
    assert "furthest off" in text and "come out too small" in text
    assert not re.search(r"\de[+-]", text)
    (shown,) = re.findall(r"of a mean of (\S+);", text)
    assert float(shown) == pytest.approx(size, rel=1e-3)


def test_dots_and_boxes_of_some_pictures_join_the_totals(dishes, tmp_path, capsys):
    """A picture may have dots alone, and no total."""
    totals = (dishes / "counts.csv").read_text().splitlines()
    (tmp_path / "counts.csv").write_text("\n".join(totals[:-1]) + "\n")
    (tmp_path / "dots.csv").write_text("file,row,column\ndish 9,3,5\ndish 9,40,50\n")
    text = "file,x,y,width,height,cells\ndish 0,0,0,24,24,3\n"
    (tmp_path / "boxes.csv").write_text(text)
    model = tmp_path / "model.ednn"
    command = ["count", "fit", str(dishes / "photos"), str(tmp_path / "counts.csv"), "--epochs",
               "1", "--members", "1", "--dots", str(tmp_path / "dots.csv"), "--boxes",
               str(tmp_path / "boxes.csv"), "-o", str(model)]  # fmt: skip
    assert main(command) == 0
    said = capsys.readouterr().err
    assert "2 dots and 1 boxes with totals in 2 picture(s), 1 of them without a total" in said
    assert "warning" not in said  # no total, with which the dots could disagree
    assert "10 picture(s)" in said and model.exists()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda folder: (folder / "photos" / "z.png").touch(), "z.png: the file is empty"),
        (
            lambda folder: (folder / "counts.csv").write_text("file,count\ndish 0,-3\ndish 1,4\n"),
            "-3, and a count cannot be negative",
        ),
        (lambda folder: (folder / "counts.csv").write_text("a,b\n1,2\n"), "no column has names"),
        (lambda folder: (folder / "counts.csv").unlink(), "counts.csv does not exist."),
        (lambda folder: None, "exists. Add --force"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(change, why, dishes, tmp_path, capsys):
    import shutil

    folder = tmp_path / "copy"
    shutil.copytree(dishes, folder)
    change(folder)
    more = [] if "force" in why else ["--force"]
    assert main(fitting(folder, *more)) == 1
    said = capsys.readouterr().err
    assert why in said and said.startswith("error: ") and said.count("\n") == 1


def test_models_of_other_kinds_are_refused(tmp_path, dishes, capsys):
    from sklearn.linear_model import Ridge

    from sk_ednn import EDNNRegressor
    from sk_ednn.files import save

    fields = RNG.normal(size=(20, 8))
    save(EDNNRegressor(Ridge()).fit(fields, fields.sum(axis=1)), tmp_path / "a.ednn")
    assert main(["count", "predict", str(tmp_path / "a.ednn"), str(dishes / "new")]) == 1
    assert "Expected a model of pictures" in capsys.readouterr().err


def test_evaluate_prints_the_errors_of_pictures(dishes, tmp_path, capsys):
    model, photos = str(dishes / "model.ednn"), str(dishes / "photos")
    text = (dishes / "counts.csv").read_text()
    (tmp_path / "other.csv").write_text(text.replace("cells", "nuclei"))
    command = ["count", "predict", model, photos, "-q", "--json"]
    assert main(command) == 0
    rows = json.loads(capsys.readouterr().out)["counts"]
    true = dict(line.split(";") for line in text.splitlines()[1:])
    off = [row["total"] - float(true[row["name"].removesuffix(".png")]) for row in rows]
    for table in (dishes / "counts.csv", tmp_path / "other.csv"):
        assert main(["evaluate", model, photos, str(table), "--json"]) == 0
        result = json.loads(capsys.readouterr().out)
        assert result["pictures"] == len(rows)
        assert result["errors"]["mean"] == pytest.approx(np.mean(np.abs(off)))
        assert result["errors"]["bias"] == pytest.approx(np.mean(off))
    first, *rows = text.splitlines()
    several = [f"{first.replace('cells', 'nuclei')};area", *(f"{row};99" for row in rows)]
    (tmp_path / "several.csv").write_text("\n".join(several) + "\n")
    assert main(["evaluate", model, photos, f"{tmp_path / 'several.csv'}::nuclei", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == result
    assert main(["evaluate", model, photos, str(tmp_path / "several.csv")]) == 1
    assert "(TABLE::nuclei for evaluate)" in capsys.readouterr().err
    assert main(["evaluate", model, photos]) == 1
    assert "photographs need a table" in capsys.readouterr().err


@pytest.mark.parametrize("answer", ["--keep-on-interrupt", None])
def test_ctrl_c_offers_the_best_weights_so_far(answer, dishes, tmp_path, capsys):
    import signal
    import threading

    from sk_ednn.files import describe
    from sk_ednn.images._progress import Progress

    output = tmp_path / "model.ednn"
    command = ["count", "fit", str(dishes / "photos"), str(dishes / "counts.csv"), "-q"]
    command += ["--epochs", "100000", "--members", "1", "--jobs", "1", "-o", str(output)]
    looked = threading.Event()
    with pytest.MonkeyPatch.context() as patch:
        progress = Progress.__call__

        def pressed(self, share, row):
            if row is not None and not looked.is_set():
                looked.set()
                signal.raise_signal(signal.SIGINT)
            return progress(self, share, row)

        patch.setattr(Progress, "__call__", pressed)
        code = main([*command, *([answer] if answer else [])])
    said = capsys.readouterr()
    assert "Ctrl-C again ends it at once" in said.err
    if answer is None:
        assert code == 130 and "nothing was written" in said.err and not output.exists()
        return
    assert code == 0 and "kept are the best weights so far" in said.out
    assert describe(output)["about"]["interrupted"].startswith("interrupted after")
    assert main(["count", "predict", str(output), str(dishes / "new"), "-q"]) == 0


# Options that would overwrite what a command reads, in some spelling.
OVERWRITING = {
    "model": ("predict", lambda f: ["--output", f / "new" / ".." / "model.ednn"], "the model in"),
    "picture": ("predict", lambda f: ["--output", f / "new" / "dish 0.png"], "a picture in"),
    "linked picture": ("predict", lambda f: ["--output", f / "link.csv"], "a picture in"),
    "folder": ("predict", lambda f: ["--maps", f / "new"], "is the folder of the pictures"),
    "linked folder": (
        "predict",
        lambda f: ["--maps", f / "link"],
        "is the folder of the pictures",
    ),
    "totals": ("fit", lambda f: ["--output", f / "counts.csv"], "the totals in"),
    "fitted picture": ("fit", lambda f: ["--output", f / "photos" / "dish 3.png"], "a picture in"),
    "dots": (
        "fit",
        lambda f: ["--dots", f / "counts.csv", "--output", f / "counts.csv"],
        "the totals|the dots",
    ),
    "page": ("report", lambda f: ["--output", f / "table.html"], "the totals in"),
}


@pytest.mark.parametrize("name", OVERWRITING)
def test_nothing_that_is_read_is_overwritten(name, dishes, tmp_path, capsys):
    import shutil

    folder = tmp_path / "copy"
    shutil.copytree(dishes, folder)
    (folder / "link.csv").symlink_to(folder / "new" / "dish 0.png")
    (folder / "link").symlink_to(folder / "new")
    shutil.copy(folder / "counts.csv", folder / "table.html")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    command, options, why = OVERWRITING[name]
    given = {
        "predict": [folder / "model.ednn", folder / "new"],
        "fit": [folder / "photos", folder / "counts.csv", "--epochs", "1", "-q"],
        "report": [folder / "model.ednn", folder / "photos", folder / "table.html"],
    }[command]
    words = ["count", command, *map(str, given), *map(str, options(folder)), "--force"]
    assert main(words) == 1
    assert re.search(f"error: --(output|maps) .*({why})", capsys.readouterr().err)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_maps_that_exist_are_replaced_with_force_alone(dishes, tmp_path, capsys):
    command = ["count", "predict", str(dishes / "model.ednn"), str(dishes / "new"), "-q"]
    command += ["--maps", str(tmp_path / "maps")]
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "dish 1.tif").write_bytes(b"mine")
    assert main(command) == 1
    assert "dish 1.tif exists. Add --force" in capsys.readouterr().err
    assert (tmp_path / "maps" / "dish 1.tif").read_bytes() == b"mine"
    assert main([*command, "--force"]) == 0
    assert tifffile.imread(tmp_path / "maps" / "dish 1.tif").shape == (18, 13)


def test_a_picture_without_a_total_moves_no_other_to_another_series(dishes, tmp_path, capsys):
    lines = (dishes / "counts.csv").read_text().splitlines()
    (tmp_path / "fewer.csv").write_text("\n".join(lines[:2] + lines[3:]) + "\n")
    command = ["count", "fit", str(dishes / "photos"), str(tmp_path / "fewer.csv"), "--epochs", "1",
               "--series", "2", "-o", str(tmp_path / "model.ednn")]  # fmt: skip
    assert main(command) == 0
    said = capsys.readouterr().err
    assert (
        "5 series, each of them held back as a whole: dish 0.png to dish 1.png (1 picture)" in said
    )
    assert "dish 8.png to dish 9.png (2)" in said
