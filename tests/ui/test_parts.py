"""Contents of the pages: curves, commands, times, rows, searches, clusters."""

import asyncio
import json
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from sk_ednn import runs
from sk_ednn.ui import _charts
from sk_ednn.ui._charts import curves, points, scatter, thinned
from sk_ednn.ui._cluster import checked, read
from sk_ednn.ui._comparison import compared
from sk_ednn.ui._data import Array, arrays_in, kind_of, listing, table_rows, usual
from sk_ednn.ui._forms import ANGLES, HARMONICS, VALUES, Count, Fit, Search
from sk_ednn.ui._matched import columns_beside_names, expected_fit, matched_totals
from sk_ednn.ui._model_files import model_files
from sk_ednn.ui._preview import Fields
from sk_ednn.ui._run_counts import counting_of, furthest_of, longer_fit
from sk_ednn.ui._run_curves import curves_of, seconds_left
from sk_ednn.ui._run_files import groups_of
from sk_ednn.ui._run_gallery import caption_of
from sk_ednn.ui._run_results import errors_of, unit_of
from sk_ednn.ui._run_table import RunRows, View
from sk_ednn.ui._run_totals import predicted_of
from sk_ednn.ui._run_verdict import verdict_lines
from sk_ednn.ui._runs import given_of, row_of
from sk_ednn.ui._search import lower_hull, progress
from sk_ednn.ui._site import only_set, shown_command

# --- curves


def test_thinned_curve_keeps_its_extremes():
    rng = np.random.default_rng(0)
    y = rng.normal(size=100_000)
    x = np.arange(100_000)
    kept_x, kept_y = thinned(x, y)
    assert len(kept_y) <= 2000
    assert kept_y.max() == y.max() and kept_y.min() == y.min()
    assert np.array_equal(y[kept_x], kept_y) and np.all(np.diff(kept_x) > 0)


def test_thinned_curve_leaves_short_ones_and_gaps():
    y = np.full(5000, np.nan)
    y[17] = 3.0
    _, kept = thinned(np.arange(5000), y)
    assert np.nanmax(kept) == 3.0
    assert len(thinned([1, 2], [3, 4])[1]) == 2


def test_charts_are_json_whatever_the_numbers():
    xs = np.array([0.0, 1.0, np.inf, 3.0])
    ys = np.array([np.nan, np.inf, 1.0, -1e300])
    for options in (curves({"a": (xs, ys)}), scatter({"<b>": (xs, ys)}, diagonal=True)):
        text = json.dumps(options, allow_nan=False)
        assert json.loads(text) == options
    assert points(xs, ys) == [[0.0, None], [1.0, None], [3.0, -1e300]]


def test_curves_over_decades_are_logarithmic():
    steep = {"loss": ([0, 1], [1.0, 1e-4])}
    assert curves(steep)["yAxis"]["type"] == "log"
    assert curves(steep, log=False)["yAxis"]["type"] == "value"
    assert curves({"loss": ([0, 1], [1.0, -1e-4])})["yAxis"]["type"] == "value"


@pytest.mark.parametrize("n_runs", range(2, 9))
@pytest.mark.parametrize("n_networks", [1, 2, 5])
def test_each_run_that_is_compared_has_a_colour_and_each_curve_a_kind_of_line(n_runs, n_networks):
    kinds = ("pictures learned from", "pictures not seen", "a third")
    one = {
        f"{kind}, network {k}" if n_networks > 1 else kind: ([0, 1], [k, 1.0])
        for kind in kinds for k in range(1, n_networks + 1)
    }  # fmt: skip
    options, key = compared({f"fit {k}": one for k in range(n_runs)})
    assert len(set(key.runs.values())) == n_runs and set(key.lines) == set(kinds)
    assert key.lines["pictures not seen"] == "solid"
    assert len(set(key.lines.values())) == 3 and bool(key.thin) == (n_networks > 1)
    assert len(options["series"]) == n_runs * len(one) and not options["legend"]["show"]
    for drawn in options["series"]:
        run, _, name = drawn["name"].partition(": ")
        assert drawn["color"] == key.runs[run]
        assert drawn["lineStyle"]["type"] == key.lines[name.partition(", network")[0]]
    without, key = compared({"a": {}, "b": {"loss": ([0], [1.0])}})
    assert list(key.runs) == ["b"] and without["series"][0]["showSymbol"]


def test_labels_of_charts_are_drawn_as_text():
    assert curves({"<img src=x>": ([0], [1.0])})["tooltip"]["renderMode"] == "richText"


# --- commands


def test_fit_says_the_command_that_does_the_same():
    fit = Fit(fields="my spins.npz", fields_name="X", targets_name="y", focus=2, unit=" eV ")
    words = fit.words()
    assert words[:3] == ["fit", "my spins.npz::X", "my spins.npz::y"]
    assert words[words.index("--focus") + 1] == "2" and words[words.index("--unit") + 1] == "eV"
    assert "--boundary" not in words and "--seed" not in words
    assert "'my spins.npz::X'" in shown_command(words)


@pytest.mark.parametrize("values", VALUES)
@pytest.mark.parametrize("harmonics", HARMONICS)
def test_harmonics_are_those_of_angles(values, harmonics):
    fit = Fit(fields="a.npz", fields_name="X", targets_name="y", values=values, harmonics=harmonics)
    words = fit.words()
    assert ("--angles" in words) == (values in ANGLES)
    assert ("--harmonics" in words) == (values in ANGLES and harmonics > 1)
    if "--harmonics" in words:
        assert words[words.index("--harmonics") + 1] == str(harmonics)


def test_fit_of_structures_leaves_out_tiles():
    words = Fit(fields="a.extxyz", structures=True, minutes=2).words()
    assert words == ["fit", "a.extxyz", "--model", "auto", "--max-seconds", "120"]


FITS = {
    "one file": "fit a.npz::X a.npz::y --model quadratic --focus 2 --context 1 --seed 3",
    "two files": "fit a.npy t.csv::work --model auto --focus 1 --context 2 --unit J "
    "--boundary zero",
    "angles": "fit a.npy t.csv --model auto --focus 1 --context 1 --angles 2pi --harmonics 2",
    "labels": "fit a.npy t.csv --model auto --focus 1 --context 1 --categorical",
    "channels": "fit a.npy t.csv --model dense --focus 1 --context 1 --channel-axis -1 --epochs 9",
    "others": "fit a.npy t.csv --model dense --focus 1 --context 1 --test-fraction 0.1 --lr 0.1 "
    "--adjust 0.2 --keep-on-interrupt",
    "a limit": "fit a.npy t.csv --model auto --focus 1 --context 1 --max-seconds 90",
}


@pytest.mark.parametrize("line", FITS.values(), ids=FITS)
def test_a_fit_that_is_done_again_has_the_settings_of_the_run(line, tmp_path):
    folder = str(tmp_path)
    again = Fit.of_run(line.split(), folder)
    # Options of the form in its order, then the others.
    assert sorted(again.words()) == sorted(
        f"{folder}/{word}" if word.startswith(("a.", "t.")) else word for word in line.split()
    )
    outputs = ["-q", "-o", "m.ednn", "--run", "runs", "--force", "--report=r.html", "--json"]
    assert Fit.of_run([*line.split(), *outputs], folder) == again


def test_flags_of_a_fit_are_those_of_the_command():
    """Otherwise the word behind a flag would be lost, or taken for its value."""
    typer = pytest.importorskip("typer")
    from sk_ednn.cli._app import app
    from sk_ednn.ui._forms import _FLAGS, _LEFT_OUT

    fit = typer.main.get_command(app).commands["fit"]
    flags = {name for each in fit.params if getattr(each, "is_flag", False) for name in each.opts}
    assert _FLAGS == flags - {"--help"}
    assert _LEFT_OUT <= {name for each in fit.params for name in each.opts}


@pytest.mark.parametrize("fit", [Fit(), Fit(fields="a.npz", fields_name="X")])
def test_fit_that_is_not_complete_says_what_to_do(fit):
    with pytest.raises(ValueError, match="Choose"):
        fit.words()


def test_count_asks_for_pictures_and_table():
    with pytest.raises(ValueError, match="pictures"):
        Count().words()
    with pytest.raises(ValueError, match="table"):
        Count(pictures="a").words()
    with pytest.raises(ValueError, match="Enter the minutes"):  # an empty field
        Count(pictures="a", totals="b.csv", minutes=None).words()
    assert Count(pictures="a", totals="b.csv").words() == [
        "count",
        "fit",
        "a",
        "b.csv",
        "--minutes",
        "12",
    ]
    assert Count(pictures="a", totals="b.csv", minutes=0.5).words()[-1] == "0.5"


def test_a_form_is_filled_by_the_settings_of_a_run():
    """The command of the form is that of the run; of settings changed by hand, what can be used."""
    form = Count("a", "b.csv", "live,dead", 3.0, True, True, "^(.*)_", 2, 5, 40, 7,
                 {"dots": "/runs/d.csv", "jobs": "2", "missing-chunks": "fill"})  # fmt: skip
    settings = {
        "pictures": "a", "totals": "b.csv", "column": "live,dead", "minutes": 3.0, "amounts": True,
        "upright": True, "series": "^(.*)_", "reduction": 2, "members": 5, "epochs": 40, "seed": 7,
        "dots": "d.csv", "boxes": None, "jobs": 2, "missing_chunks": "fill",
    }  # fmt: skip
    again = Count.of_run(settings, "/runs").words()
    assert again == ["count", "fit", "/runs/a", "/runs/b.csv", *form.words()[4:]]
    assert Count.of_run({**settings, "totals": "/b.csv"}, "/runs").words()[3] == "/b.csv"
    address = "s3://plates/photos"
    assert Count.of_run({**settings, "pictures": address}, "/runs").words()[2] == address
    assert "--minutes" not in Count.of_run({**settings, "minutes": None}, "/runs").words()
    hostile = {name: [1, {"a": None}] for name in settings} | {"pictures": "a\0", "boxes": True}
    assert Count.of_run(hostile, "/runs") == Count()
    assert Count.of_run({}, "/runs") == Count()
    # Settings of a command without options are no options of the form.
    typer = pytest.importorskip("typer")
    from sk_ednn.cli._app import app

    command = typer.main.get_command(app).commands["count"].commands["fit"]
    defaults = {each.name: each.default for each in command.params if not each.required}
    again = Count.of_run({**defaults, "pictures": "a", "totals": "b.csv"}, "/runs")
    assert again.others == {}


@pytest.mark.parametrize(
    ("status", "own", "needed", "limit"),
    [
        ("finished", 12.0, 33.1, 37),
        ("finished", 0.5, 0.6, 1),
        ("stopped", 12.0, 33.1, None),
        ("killed", 12.0, 33.1, None),
        ("failed", 12.0, 33.1, None),
        ("finished", 12.0, 1.5, None),
        ("finished", "?", 33.1, 37),
    ],
)
def test_a_longer_training_is_offered_after_a_limit_and_is_longer(status, own, needed, limit):
    """What was stopped is resumed: another training from the beginning would lose it."""
    result = {"in_time": False, "minutes": min(0.5, needed), "minutes_needed": needed}
    argv = ["count", "fit", "a", "b.csv", "--minutes", str(own)]
    run = SimpleNamespace(kind="count-fit", result=result, repeat_argv=argv, status=status)
    run.settings = {"minutes": own}
    longer = longer_fit(run)
    assert longer == (None if limit is None else (limit, [*argv[:-1], str(limit)]))


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"members": 2.5}, "whole number for members"),
        ({"members": 0}, "at least 1 for members"),
        ({"reduction": -1}, "at least 1 for reduction"),
        ({"seed": -1}, "at least 0 for seed"),
    ],
)
def test_numbers_of_a_fit_of_counts_are_checked(params, says):
    with pytest.raises(ValueError, match=says):
        Count("a", "b.csv", **params).words()


def test_the_time_of_a_fit_of_counts_is_known_before(tmp_path):
    pytest.importorskip("torch")
    from PIL import Image

    (tmp_path / "photos").mkdir()
    values = np.random.default_rng(0).integers(0, 255, (9, 40, 40), dtype=np.uint8)
    for k, each in enumerate(values):
        Image.fromarray(each).save(tmp_path / "photos" / f"{k}.png")
    rows = "".join(f"{k}.png,{3 + k}\n" for k in range(9))
    (tmp_path / "t.csv").write_text("file,n\n" + rows)
    form = Count(tmp_path / "photos", tmp_path / "t.csv", epochs=50)
    short, long = expected_fit(form), expected_fit(replace(form, epochs=5000))
    assert 10 * short.minutes < long.minutes
    assert short.words.startswith("the networks see every pixel: objects are near each other")
    by_hand = expected_fit(replace(form, reduction=2))
    assert by_hand.words == "the networks see means of 2 by 2 pixels"
    assert expected_fit(replace(form, reduction=10**9)) is None


def test_words_that_begin_with_a_dash_stay_values():
    assert only_set({"unit": "-x", "epochs": 0}) == ["--unit", "-x", "--epochs", "0"]


def test_shown_command_has_no_control_characters():
    shown = shown_command(["fit", "a\nrm -rf ~\x1b[2J", "$(x)"])
    assert "\n" not in shown and "\x1b" not in shown and "'$(x)'" in shown


# --- times


# --- files


def test_arrays_are_listed_by_their_headers(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", X=np.zeros((5, 4, 4), "int8"), y=np.zeros(5))
    np.save(tmp_path / "b.npy", np.zeros((3, 2)))
    assert arrays_in(tmp_path / "a.npz") == [
        Array("X", (5, 4, 4), "int8"),
        Array("y", (5,), "float64"),
    ]
    assert arrays_in(tmp_path / "b.npy") == [Array("", (3, 2), "float64")]


def test_objects_are_listed_and_never_loaded(tmp_path):
    np.savez(tmp_path / "a.npz", X=np.array([print], dtype=object))
    (array,) = arrays_in(tmp_path / "a.npz")
    assert array.dtype == "object"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK",
        b"\x93NUMPY\x01\x00\xff\xff",
        b"no file of arrays",
        b"\x93NUMPY\x01\x00\x10\x00{{{{{{{{{{{{{{{\n",
        b"\x93NUMPY\x01\x00\x10\x00{'descr': '<zz' \n",
    ],
)
@pytest.mark.parametrize("name", ["a.npz", "a.npy"])
def test_damaged_files_are_named(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"^{name} cannot be read: ."):
        arrays_in(tmp_path / name)


def test_listing_has_folders_first_and_nothing_hidden(tmp_path):
    for name in ("b.npz", "a.csv", ".secret.npz", "x.exe"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "z").mkdir()
    (tmp_path / "gone.npz").symlink_to(tmp_path / "nowhere")
    entries = [(entry.path.name, entry.kind) for entry in listing(tmp_path)]
    assert entries == [("z", "folder"), ("a.csv", "table"), ("b.npz", "arrays")]


def test_kinds_and_usual_names():
    assert kind_of("POSCAR") == "structures" and kind_of("model.pkl") is None
    arrays = [Array("a", (3, 4), "f8"), Array("b", (3, 4), "f8")]
    assert usual(arrays, ("X",), range(2, 9)) is None


def test_tables_are_read_as_text(tmp_path):
    (tmp_path / "t.csv").write_text("\ufefffile;cells\n<b>a</b>.png;12\n", encoding="utf-8")
    assert table_rows(tmp_path / "t.csv") == (["file", "cells"], [["<b>a</b>.png", "12"]])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("first", ["", "sep=;\r\n", '"sep=;"\n'])
def test_tables_are_read_in_the_encodings_of_spreadsheets(encoding, first, tmp_path):
    (tmp_path / "t.csv").write_bytes(f"{first}Größe;é\r\na.png;12\r\n".encode(encoding))
    assert table_rows(tmp_path / "t.csv") == (["Größe", "é"], [["a.png", "12"]])


def test_the_first_rows_of_a_large_table_are_whole(tmp_path):
    row = "äöü" * 100 + ";1\n"
    (tmp_path / "t.csv").write_text("name;count\n" + row * 3000, encoding="utf-8")
    header, rows = table_rows(tmp_path / "t.csv", 10_000)
    assert header == ["name", "count"] and {tuple(each) for each in rows} == {("äöü" * 100, "1")}


@pytest.mark.parametrize("content", [b"a,b\n\0,1\n", b"x" * 200_000])
def test_files_that_are_no_tables_are_named(content, tmp_path):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(ValueError, match=r"^t\.csv is not a table of text"):
        table_rows(tmp_path / "t.csv")


@pytest.mark.parametrize("slow", ["first", "second"])
def test_a_file_that_is_read_slowly_does_not_replace_a_later_choice(slow, monkeypatch):
    """Arrays of one file would otherwise be those of a command with another file."""
    pytest.importorskip("nicegui")
    from unittest.mock import MagicMock

    from sk_ednn.ui._pages import start

    files = {f"/{name}.npz": [Array(name, (4, 3, 3), "int8")] for name in ("first", "second")}
    seconds = {f"/{name}.npz": 0.2 * (name == slow) for name in ("first", "second")}

    async def aside(function, *arguments):
        path = next(each for each in map(str, arguments) if each in files)
        await asyncio.sleep(seconds[path])
        if function is start.arrays_in:
            return files[path]
        return SimpleNamespace(path=path, looks_like_channels=path == "/first.npz")

    for name in ("ui", "text"):
        monkeypatch.setattr(start, name, MagicMock())
    monkeypatch.setattr(start, "later", lambda element, coroutine: coroutine.close())
    monkeypatch.setattr(start, "aside", aside)
    page = MagicMock(spec=start._Start)
    for name in ("choose", "read"):
        setattr(page, name, getattr(start._Start, name).__get__(page))
    for name in ("rest", "shown", "site", "models"):
        setattr(page, name, MagicMock())

    async def choices():
        one = asyncio.create_task(page.choose(Path("/first.npz")))
        await asyncio.sleep(0.05)
        await asyncio.gather(one, page.choose(Path("/second.npz")))

    asyncio.run(choices())
    assert (str(page.fit.fields), page.fit.fields_name) == ("/second.npz", "second")
    assert page.data.path == "/second.npz" and not page.fit.channels_last
    assert page.arrays == files["/second.npz"]


# --- searches and clusters


def test_hull_is_below_all_points_and_convex():
    rng = np.random.default_rng(0)
    x, y = rng.uniform(10, 20, 200), rng.normal(size=200)
    picked = lower_hull(x, y)
    assert np.all(np.interp(x, x[picked], y[picked]) <= y + 1e-12)
    assert np.all(np.diff(np.diff(y[picked]) / np.diff(x[picked])) > 0)
    assert len(lower_hull(np.array([]), np.array([]))) == 0
    assert lower_hull(np.array([1.0, 1.0]), np.array([2.0, 0.0])).tolist() == [1]


@pytest.mark.parametrize(
    "address", ["", "127.0.0.1", "http://127.0.0.1:80", "tcp://a:1;x", "file:///etc/passwd", None]
)
def test_only_addresses_of_schedulers_are_asked(address):
    with pytest.raises(ValueError, match="scheduler"):
        checked(address)


def test_cluster_is_read_from_what_the_scheduler_says():
    worker = {
        "name": "w0", "nthreads": 2, "memory_limit": 10,
        "metrics": {"executing": 1, "ready": 3, "memory": 5, "cpu": 12.5},
    }  # fmt: skip
    identity = {"workers": {"a": worker, "b": {}}, "services": {"dashboard": 8787}}
    states = {"slow": {"memory": 7, "processing": 4, "waiting": 2}, "bad": {"erred": 1}}
    result = read("tcp://10.0.0.1:1", identity, states)
    assert (result.running, result.waiting, result.done, result.failed) == (1, 2 + 3, 7, 1)
    assert result.dashboard == "http://10.0.0.1:8787/status"
    assert [(w.threads, w.running, w.ready, w.memory) for w in result.workers] == [
        (0, 0, 0, 0),
        (2, 1, 3, 5),
    ]


def test_settings_of_a_search_follow_the_form():
    pytest.importorskip("ase_ga")
    search = Search(composition="Si4", volume=20.0, n_labels=30.0)
    result = search.settings()
    assert result["labeller"] == {"calculator": "sk_ednn.search.tersoff_silicon"}
    assert (result["composition"], result["volume"], result["n_labels"]) == ("Si4", 20.0, 30)
    with pytest.raises(ValueError, match="such as Si8"):
        Search(composition="<script>").settings()
    assert "volume" not in Search(volume=None).settings()
    for composition in ("", "Si0", "Si999999999", "X"):
        with pytest.raises(ValueError, match="Expected the atoms of a cell"):
            Search(composition=composition).settings()
    for value in (1.5, float("nan"), None, "x"):
        with pytest.raises(ValueError, match="Expected a whole number for calls"):
            Search(n_labels=value).settings()
    with pytest.raises(ValueError, match="Expected a whole number for a random seed"):
        Search(seed=1.5).settings()


def test_failed_labels_wait_again(tmp_path):
    pytest.importorskip("ase")
    from sk_ednn.search import SearchStore
    from sk_ednn.structures import Structure

    pair = Structure([18, 18], [[0, 0, 0], [0, 0, 3.8]], [[9, 0, 0], [0, 9, 0], [0, 0, 9]])
    with SearchStore(tmp_path / "a.db") as store:
        numbers = [store.add_structure(pair, origin="start") for _ in range(3)]
        store.fail_label(numbers[1], "it hung", seconds=1.0)
        assert store.retry_failed() == [numbers[1]]
        assert store.counts() == {"queued": 3, "labelled": 0, "failed": 0}
        assert store.structures()[1]["why"] is None
        assert store.retry_failed() == []


def test_progress_of_a_search_is_read_from_its_file(tmp_path):
    pytest.importorskip("ase")
    from sk_ednn.search import Label, SearchStore
    from sk_ednn.structures import Structure

    def pair(edge):
        cell = [[edge, 0, 0], [0, edge, 0], [0, 0, edge]]
        return Structure([18, 18], [[0, 0, 0], [0, 0, 2.0]], cell)

    with SearchStore(tmp_path / "a.db") as store:
        for edge, energy in ((4.0, -1.0), (5.0, -3.0), (6.0, -2.0)):
            number = store.add_structure(pair(edge), origin="start")
            store.finish_label(number, Label(energy), seconds=1.0)
        store.fail_label(store.add_structure(pair(7.0), origin="start"), "<b>hung", seconds=1.0)
        store.finish_task(store.start_task("label"), "labelled")
        store.start_task("relax")
        store.add_model(3, [0.1, 0.2, 0.3])
        store.add_event("command", "pause")
    found = progress(tmp_path / "a.db")
    assert found.energies.tolist() == [-0.5, -1.5, -1.0]
    assert found.lowest.tolist() == [-0.5, -1.5, -1.5]
    assert found.volumes.round(6).tolist() == [32.0, 62.5, 108.0]
    assert [energy for _, _, energy in found.best] == [-1.5, -1.0, -0.5]
    assert found.failures == [(4, "<b>hung")] and found.paused
    assert [(kind, state, result) for kind, state, _, result in found.tasks] == [
        ("relax", "running", ""),
        ("label", "done", "labelled"),
    ]
    assert all(0 <= seconds < 60 for _, _, seconds, _ in found.tasks)
    assert found.models == [(1, 3, 0.2)]


def test_tersoff_forces_are_gradients():
    pytest.importorskip("ase")
    from ase.build import bulk

    from sk_ednn.search import tersoff_silicon

    atoms = bulk("Si", a=5.4, cubic=True)
    atoms.rattle(0.1, seed=1)
    atoms.calc = tersoff_silicon()
    force, step = atoms.get_forces()[3, 1], 1e-4
    energies = []
    for sign in (1, -1):
        moved = atoms.copy()
        moved.calc = tersoff_silicon()
        moved.positions[3, 1] += sign * step
        energies.append(moved.get_potential_energy())
    assert -(energies[0] - energies[1]) / (2 * step) == pytest.approx(force, abs=1e-4)


# --- runs


def run_of(**params):
    """Return something like a run, with only the attributes that a row needs."""
    base = {
        "id": "20261129-014512-3f2a", "kind": "fit", "status": "finished", "message": "",
        "settings": {}, "data": {}, "progress": 1.0, "result": None, "started": "", "tags": [],
        "duration": 1.0, "files": dict,
    }  # fmt: skip
    return SimpleNamespace(**base | params)


def test_rows_take_whatever_is_in_the_files():
    row = row_of(run_of(settings={"fields": "/a/<b>.npz::X", "model": 7}, result={"test": []}))
    assert (row.data, row.model, row.error) == ("<b>.npz::X", "", None)
    assert json.dumps(row.cells(), allow_nan=False)


@pytest.mark.parametrize(
    ("kind", "settings", "data"),
    [
        ("count-fit", {"pictures": "/u/20261129-014512", "totals": "/u/cells.csv"}, "cells.csv"),
        ("count-fit", {"pictures": "/u/photos", "totals": 3}, "photos"),
        ("count-predict", {"pictures": "/u/photos"}, "photos"),
    ],
)
def test_runs_and_models_of_counts_have_the_name_of_the_table(kind, settings, data):
    run = run_of(kind=kind, settings=settings, files=lambda: {"a.ednn": 1}, file=lambda name: name)
    assert row_of(run).data == data
    assert row_of(run).cells()["kind"] == ("learn to count" if kind == "count-fit" else "count")
    site = SimpleNamespace(runs=lambda: [run])
    (model,) = model_files(site, (kind,))
    assert model.words.startswith(data) and model.verdict == ""
    run.result = {"verdict": {"words": "cells is learned"}}
    (model,) = model_files(site, (kind,))
    assert model.verdict == "cells is learned"


@pytest.mark.parametrize("columns", [["cells"], ["live", "dead"]])
@pytest.mark.parametrize("name", ["dish 7.jpg", "a/dish.png", "stack.h5::three", "1.2.png"])
def test_captions_of_overlays_are_names_of_pictures_with_counts(name, columns, tmp_path):
    from sk_ednn.cli._count_maps import Maps
    from sk_ednn.images._map_names import map_names

    maps = Maps.__new__(Maps)
    maps.folder, maps.names = tmp_path, map_names([name])
    maps.endings = [f" {each}" for each in columns] if len(columns) > 1 else [""]
    picture = SimpleNamespace(name=name, by_region=False)
    totals = [17.0 + k for k in range(len(columns))]
    result = {"counts": [{"name": name, "total": totals, "low": None}], "columns": columns}
    overlays = [path.name for path in maps.files_of(picture) if path.name.endswith("overlay.png")]
    for overlay, total in zip(overlays, totals, strict=True):
        caption = caption_of(f"maps/{overlay}", result)
        assert "overlay" not in caption and caption.endswith(f": {total:g}")


@pytest.mark.parametrize(
    "counts", [None, [3, {}], [{"name": "a.png"}], [{"name": "b.png", "total": "x"}]]
)
def test_captions_of_damaged_results_are_names(counts):
    assert caption_of("maps/b overlay.png", {"counts": counts}) == "b"
    assert caption_of("maps/b overlay.png", counts) == "b"


def test_each_file_of_a_run_is_in_one_group():
    names = ["counts.csv", "else.bin", "model.ednn", "maps/a.tif", "maps/a peaks.csv",
             "maps/a overlay.png", "maps/s.ome.zarr/0/c", "maps/note.txt", "a.tif"]  # fmt: skip
    groups = groups_of({name: 1 for name in [*names, "x.lock"]})
    assert sorted(name for group in groups for name in group.files) == sorted(names)
    assert all(group.files for group in groups) and groups[0].title == "Results"


def test_verdicts_say_for_what_a_model_is_good_enough():
    said = []
    for error in (1.0, 4.0, 7.0, 9.5):
        one = {"mean": 50.0, "error": error, "error_of_mean": 10.0}
        verdict = {"words": "", "held_back": 9, "totals": {"cells": one}}
        first, enough, measured = verdict_lines({"verdict": verdict})
        assert f"typically off by {error:g}," in first and "off by 10" in first
        assert measured == "Measured on 9 pictures not seen."
        said.append(enough)
    assert len(set(said)) == 4
    del one["mean"]  # changed by hand
    assert verdict_lines({"verdict": {**verdict, "words": "as written"}}) == ["as written"]


@pytest.mark.parametrize("size", [0.05, 1.0, 9.96, 99.7, 167.3, 1234.5, 9.9e9])
def test_results_of_counts_are_plain_sentences(size):
    one = {"mean": size, "error": 0.03 * size, "error_of_mean": 0.3 * size, "half_width": size}
    line, rough = counting_of({"held_back": 6, "totals": {"cells": one}})
    assert "is 3 % of a typical number" in line and not re.search(r"\de[+-]", line)
    assert rough.startswith("The intervals are estimated from 6 held-back pictures only")
    one["mean"] = 0.0
    (line,) = counting_of({"held_back": 60, "totals": {"cells": one}})
    assert "%" not in line
    assert counting_of({"held_back": 0, "totals": {"cells": one}}) == []


@pytest.mark.parametrize(
    ("in_time", "needed", "says"),
    [
        (True, 1.8, "ended by itself after 1 min 49 s: every picture was seen 60 times."),
        (
            False,
            31.4,
            "when every picture was seen 60 times. It would end by itself after about 31",
        ),
        (False, None, "stopped after 1 min 49 s, when every picture was seen 60 times."),
        (False, {"a": 1}, "stopped after 1 min 49 s, when every picture was seen 60 times."),
    ],
)
def test_results_of_counts_say_why_the_training_ended(in_time, needed, says):
    one = {"mean": 9.0, "error": 1.0, "error_of_mean": 3.0, "half_width": 2.0}
    result = {"held_back": 60, "totals": {"cells": one}, "passes": 60, "minutes": 1.83}
    *_, last = counting_of({**result, "in_time": in_time, "minutes_needed": needed})
    assert says in last
    *_, last = counting_of({**result, "in_time": in_time, "networks": 3})
    assert "seen at least 60 times" in last


@pytest.mark.parametrize("minutes", [0.02, 0.99, 1.83, 12.0, 98.7, 1200.0])
@pytest.mark.parametrize("ratio", [0.1, 0.999, 1.001, 1.2, 30.0])
def test_a_training_is_never_said_to_end_by_itself_before_it_was_stopped(minutes, ratio):
    """Runs of before wrote other times, which may be shorter than those that they took."""
    one = {"mean": 9.0, "error": 1.0, "error_of_mean": 3.0, "half_width": 2.0}
    result = {"held_back": 60, "totals": {"cells": one}, "passes": 9, "in_time": False}
    *_, last = counting_of({**result, "minutes": minutes, "minutes_needed": ratio * minutes})
    assert ("by itself" in last) == (ratio > 1.1)


@pytest.mark.parametrize(
    "worst", [None, 3, [3], [{}], [{"name": "a", "true": "x", "predicted": 1}]]
)
def test_tables_of_pictures_furthest_off_leave_out_what_was_changed_by_hand(worst):
    good = {"name": "b.png", "true": 3.0, "predicted": 4.5}
    several = [*worst, good] if isinstance(worst, list) else worst
    rows = furthest_of({"totals": {"cells": {"worst": several}, "trees": 3}})
    assert rows == ([("cells", "b.png", "3", "4.5")] if isinstance(worst, list) else [])


def test_the_column_and_the_pictures_of_a_fit_are_told_before_it(tmp_path):
    for name in ("PIL", "tifffile"):
        pytest.importorskip(name)
    from PIL import Image

    for k in range(4):
        Image.fromarray(np.full((20, 20), k, np.uint8)).save(tmp_path / f"p{k}.png")
    table = tmp_path / "t.csv"
    rows = [f"p{k}.png;{k + 1};{k},5\n" for k in range(4)]
    table.write_text("Picture;Cells;Area\n" + "".join(rows[:3]), encoding="utf-8")
    with pytest.raises(ValueError, match="'Cells', 'Area' could all be the totals"):
        matched_totals(tmp_path, table)
    (first, second), columns = matched_totals(tmp_path, table, "Cells")
    assert columns == ("Cells",)
    assert first == "Learned as counts: “Cells” (1 to 3); 3 of 4 pictures have one"
    assert "p3.png" in second
    table.write_text("Picture;Cells;Area\n" + "".join(rows), encoding="utf-8")
    (line,), _ = matched_totals(tmp_path, table, "Area", amounts=True)
    assert line == "Learned as amounts: “Area” (0.5 to 3.5); all 4 pictures have a number"


def test_the_columns_of_a_table_are_offered_but_that_of_the_names(tmp_path):
    for name in ("PIL", "tifffile"):
        pytest.importorskip(name)
    from PIL import Image

    Image.fromarray(np.zeros((20, 20), np.uint8)).save(tmp_path / "p0.png")
    table = tmp_path / "t.csv"
    table.write_text("Cells;Picture;Area\n7;p0.png;3,5\n", encoding="utf-8")
    assert columns_beside_names(tmp_path, table) == ["Cells", "Area"]
    assert columns_beside_names(None, table) == ["Cells", "Picture", "Area"]
    table.write_text("7;p0.png;3,5\n", encoding="utf-8")  # columns without names have numbers
    columns = columns_beside_names(tmp_path, table)
    assert columns == ["column 1", "column 3"]
    (line,), found = matched_totals(tmp_path, table, columns[1], amounts=True)
    assert found == ("column 3",)
    assert line.startswith("Learned as amounts: “column 3” (3.5 to 3.5)")


def some_rows(n=60):
    names = ("failed", "finished", "running")
    return [
        {"id": f"r{k:02d}", "status": names[k % 3], "started": 60.0 - k,
         "error": None if k % 5 == 0 else (k * 7 % 60) / 10, "tags": "Night, x" if k == 41 else ""}
        for k in range(n)
    ]  # fmt: skip


def test_errors_of_potentials_have_units_and_spreads_beside_them():
    errors = {"energy_mae": 4.0, "energy_median": 3.0, "energy_rmse": 5.0, "force_mae": 70.0}
    result = {"train": errors, "test": errors, "spreads": {"test": {"energy": 69.0}}}
    header, *rows = errors_of({"unit": "J"}, result)
    assert header == ["errors", "mean", "median", "rmse", "spread"]
    assert rows[0] == ["train, energy (meV/atom)", 4.0, 3.0, 5.0, None]
    assert rows[2] == ["test, energy (meV/atom)", 4.0, 3.0, 5.0, 69.0]
    assert rows[3][0] == "test, forces (meV/Å)"
    run = run_of(settings={}, result=result)
    assert row_of(run).error == 4.0 and unit_of({"unit": "J"}, result) == "meV/atom"


@pytest.mark.parametrize("result", [None, [], {"test": []}, {"test": {"mean": "<b>"}}])
def test_results_without_errors_have_no_table(result):
    assert errors_of({"unit": 3}, result) == [] and unit_of({"unit": 3}, result) == ""


@pytest.mark.parametrize("sort_by", ["id", "error", "tags", "started", None])
@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("per_page", [1, 7, 25, 0])
def test_pages_of_a_view_are_all_rows_once(sort_by, descending, per_page):
    rows = some_rows()
    view = View(sort_by=sort_by, descending=descending, per_page=per_page)
    n_pages = -(-len(rows) // per_page) if per_page else 1
    seen = []
    for page in range(1, n_pages + 1):
        shown, at, n = replace(view, page=page).of(rows)
        assert (at.page, n) == (page, len(rows))
        seen += shown
    assert sorted(row["id"] for row in seen) == sorted(row["id"] for row in rows)
    if sort_by is None:
        assert seen == rows
    else:
        values = [row[sort_by] for row in seen if row[sort_by] not in (None, "")]
        assert values == sorted(values, reverse=descending)
        assert all(row[sort_by] in (None, "") for row in seen[len(values) :])


def test_view_filters_by_status_and_words_and_stays_on_a_page_that_exists():
    rows = some_rows()
    shown, view, n = View(status="failed", words="  NIGHT ", page=9).of(rows)
    assert (shown, view.page, n) == ([], 1, 0)
    shown, view, n = View(status="running", words=" NIGHT ", page=9).of(rows)
    assert ([row["id"] for row in shown], view.page, n) == (["r41"], 1, 1)
    shown, view, n = View(status="failed", per_page=6, page=9).of(rows)
    assert (len(shown), view.page, n) == (2, 4, 20)


def test_rows_are_read_again_only_when_a_run_changed(tmp_path):
    with runs.record(tmp_path, "fit", settings={"fields": "a.npz"}) as first:
        pass
    second = runs.record(tmp_path, "fit", settings={"fields": "b.npz"})
    second.__enter__()
    folder = runs.RunFolder(tmp_path)
    table = RunRows(folder.runs)
    before = {row["id"]: row for row in table.read()}
    after = {row["id"]: row for row in table.read()}
    # What has ended is kept; what runs is read anew, since time goes on.
    assert after[first.id] is before[first.id]
    assert after[second.id] is not before[second.id]
    folder[first.id].tag("good")
    assert {row["id"]: row["tags"] for row in table.read()} == {first.id: "good", second.id: ""}
    second.__exit__(None, None, None)
    assert {row["status"] for row in table.read()} == {"finished"}
    shutil.rmtree(tmp_path / first.id)
    assert [row["id"] for row in table.read()] == [second.id]


def test_curves_are_grouped_by_what_they_measure():
    step = np.arange(3.0)
    columns = {
        "step": step, "time": step, "train_loss": step, "valid_loss": step, "lr": step,
        "stage": np.array(["a", "b", "c"], dtype=object), "n": np.full(3, np.nan), "rmse": step,
        "progress": step,
    }  # fmt: skip
    run = SimpleNamespace(metrics=lambda: columns, kind="fit", settings={}, result=None)
    groups = curves_of(run)
    assert {title: sorted(series) for title, series in groups.items()} == {
        "Loss": ["train loss", "valid loss"],
        "Learning rate": ["lr"],
        "Error": ["rmse"],
    }


def test_errors_of_energies_and_forces_are_in_charts_of_their_units():
    values = np.arange(3.0)
    names = ("valid_energy_mae", "valid_force_mae", "valid_force_mae_2", "valid_stress_rmse")
    columns = {name: values for name in ("step", "time", *names)}
    run = SimpleNamespace(metrics=lambda: columns, kind="fit", settings={}, result=None)
    assert {title: list(series) for title, series in curves_of(run).items()} == {
        "Error of energies (meV/atom)": ["valid energy mae, network 1"],
        "Error of forces (meV/Å)": ["valid force mae, network 1", "valid force mae, network 2"],
        "Error of stresses (GPa)": ["valid stress rmse, network 1"],
    }


@pytest.mark.parametrize(
    ("settings", "result", "title"),
    [
        ({}, None, "Error per picture"),
        ({"column": "cells"}, None, "Error per picture (cells)"),
        ({"column": "live,dead"}, None, "Error per picture (mean over columns)"),
        ({"column": None}, {"totals": {"cells": {}}}, "Error per picture (cells)"),
    ],
)
def test_curves_of_counts_say_of_which_pictures_and_networks_they_are(settings, result, title):
    values = np.arange(3.0)
    names = ("train_error", "error", "minutes", "train_error_2", "error_2", "minutes_2")
    columns = {name: values for name in ("step", "time", *names)}
    run = SimpleNamespace(
        metrics=lambda: columns, kind="count-fit", settings=settings, result=result
    )
    shown = [f"pictures {of}, network {k}" for k in (1, 2) for of in ("learned from", "not seen")]
    assert {name: list(series) for name, series in curves_of(run).items()} == {title: shown}


@pytest.mark.parametrize("lost", [0.0, 100.0])
@pytest.mark.parametrize("pace", [0.01, 1.0, 500.0])
@pytest.mark.parametrize("n", [1, 2, 7, 10])
def test_time_that_is_left_follows_from_the_pace(n, pace, lost):
    """Time that was lost at the beginning does not count once half of the progress is known."""
    k = np.arange(1.0, n + 1)
    columns = {"time": lost * (n > 1) + pace * k, "progress": k / 20}
    if n > 1:
        columns["time"][0] = pace  # what was lost came after the first record
    run = SimpleNamespace(
        metrics=lambda: columns,
        status="running",
        paused=False,
        resumed_after=0.0,
        elapsed=columns["time"][-1],
    )
    if n == 2 and lost:
        return  # the only pace that is known contains what was lost
    assert seconds_left(run) == pytest.approx(pace * (20 - n))
    run.elapsed += 0.5 * pace
    assert seconds_left(run) == pytest.approx(pace * (19.5 - n))
    run.elapsed += 1e9
    assert seconds_left(run) == 0
    run.paused = True
    assert seconds_left(run) is None


@pytest.mark.parametrize("dtype", [float, object])
def test_time_that_is_left_is_that_of_the_log_where_a_run_has_estimated_it(dtype):
    columns = {"time": np.array([10.0, 20.0]), "progress": np.array([0.1, 0.2]),
               "minutes_left": np.array([9.0, 3.0], dtype=dtype)}  # fmt: skip
    run = SimpleNamespace(
        metrics=lambda: columns, status="running", paused=False, resumed_after=0.0, elapsed=25.0
    )
    assert seconds_left(run) == pytest.approx(175.0 if dtype is float else 75.0)
    columns["minutes_left"] = np.array([9.0, np.nan], dtype=dtype)
    assert seconds_left(run) == pytest.approx(75.0)


def test_time_that_is_left_after_the_training_is_that_of_the_log():
    columns = {"time": np.array([10.0, 20.0]), "progress": np.array([0.5, 1.0]),
               "minutes_left": np.array([1.0, 0.5])}  # fmt: skip
    run = SimpleNamespace(
        metrics=lambda: columns, status="running", paused=False, resumed_after=0.0, elapsed=25.0
    )
    assert seconds_left(run) == pytest.approx(25.0)
    run.elapsed = 51.0  # it takes longer than was estimated
    assert seconds_left(run) is None
    run.elapsed = 25.0
    del columns["minutes_left"]
    assert seconds_left(run) is None


def test_time_that_is_left_of_a_resumed_run_is_of_what_was_recorded_since():
    """The last record of before is older than the interruption."""
    columns = {"time": np.array([10.0, 20.0, 520.0]), "progress": np.array([0.1, 0.2, 0.3]),
               "minutes_left": np.array([9.0, 3.0, 2.0])}  # fmt: skip
    run = SimpleNamespace(metrics=lambda: columns, status="running", paused=False, elapsed=525.0)
    run.resumed_after = 500.0
    assert seconds_left(run) == pytest.approx(115.0)
    del columns["minutes_left"]
    assert seconds_left(run) is None
    run.resumed_after = 522.0
    assert seconds_left(run) is None


@pytest.mark.parametrize(
    "columns",
    [
        {},
        {"time": np.ones(2)},
        {"time": np.ones(2), "progress": np.zeros(2)},
        {"time": np.full(2, np.nan), "progress": np.full(2, 0.5)},
        {"time": np.arange(2.0), "progress": np.array([0.5, 1.0])},
        {"time": np.ones(2), "progress": np.array(["a", "b"], dtype=object)},
    ],
)
def test_time_that_is_left_may_be_unknown(columns):
    run = SimpleNamespace(
        metrics=lambda: columns, status="running", paused=False, resumed_after=0.0, elapsed=5.0
    )
    assert seconds_left(run) is None


def test_settings_of_a_run_are_parted_by_its_command():
    settings = {"fields": "a.npz", "test_fraction": 0.3, "missing_chunks": "error", "upright": True}
    for argv in (
        ["fit", "a.npz", "--test-fraction", "0.3", "--upright"],
        ["fit", "a.npz", "--test-fraction=0.3", "--upright"],
    ):
        given, others = given_of(SimpleNamespace(settings=settings, argv=argv))
        assert given | others == settings and list(others) == ["missing_chunks"]
    in_python = SimpleNamespace(settings=settings, argv=None)
    assert given_of(in_python) == (settings, {})


@pytest.mark.parametrize(
    ("values", "option"),
    [
        ("amounts", ["--channel-axis", "-1"]),
        ("labels", ["--categorical"]),
        ("360", ["--angles", "360"]),
        ("2pi", ["--angles", "2pi"]),
    ],
)
def test_form_passes_the_meaning_of_values(values, option):
    fit = Fit(fields="a.npz", fields_name="X", targets_name="y", values=values, channels_last=True)
    words = fit.words()
    assert words[-len(option) :] == option
    assert len(set(words) & {"--categorical", "--angles", "--channel-axis"}) == 1


def test_preview_recognises_channels_and_labels():
    rng = np.random.default_rng(0)
    colours = Fields(rng.normal(size=(4, 12, 12, 3)))
    assert colours.looks_like_channels and colours.hint is None
    states = Fields(rng.integers(0, 4, size=(4, 12, 12)))
    assert not states.looks_like_channels
    assert states.hint == "The fields contain the integers 0, 1, 2, 3"
    assert Fields(rng.choice([-1, 1], size=(4, 12, 12))).hint is None


def test_names_that_are_no_utf_8_can_be_sent_to_the_browser(tmp_path):
    """One such file would otherwise stop the updates of the whole page."""
    json = pytest.importorskip("nicegui").json
    from sk_ednn.ui._site import Site

    name = os.fsdecode(b"d\xff.npz")
    with runs.record(tmp_path, kind="fit", settings={"fields": name, "model": name}):
        pass
    (run,) = runs.RunFolder(tmp_path).runs()
    cells = row_of(run).cells()
    assert "d?.npz" in json.dumps(cells)
    assert json.dumps(shown_command(["fit", name]))
    site = SimpleNamespace(opened=[tmp_path])
    assert json.dumps(Site.shown(site, tmp_path / name)).endswith('d?.npz"')


ID = "20260103-000000-abcd"


def table_of(folder, text):
    """Return the table that the page of a prediction shows."""
    path = folder / ID
    path.mkdir(parents=True, exist_ok=True)
    described = {"id": ID, "kind": "predict", "argv": [], "settings": {}, "data": {},
                 "versions": {}, "started": "2026-01-03T00:00:00.000Z", "cwd": "/"}  # fmt: skip
    (path / "run.json").write_text(json.dumps(described))
    (path / "totals.csv").write_text(text)
    return predicted_of(runs.RunFolder(folder)[ID])


def test_totals_have_the_digits_that_their_intervals_leave(tmp_path):
    """As `sk-ednn predict` prints them."""
    header, rows = table_of(
        tmp_path,
        "index,structure,total (eV),atoms,per atom (eV),total plus or minus (90 %) (eV),novelty\n"
        "0,a.xyz,-17445.898741,8,-2180.737342625,0.000302,0.12345678\n"
        "1,b.xyz,-15573.591789,100,-155.73591789,41.5,0.5\n"
        "2,c.xyz,-15573.591789,100,-155.73591789,nan,0.5\n",
    )
    assert header[2] == "total (eV)"
    assert rows[0] == ["0", "a.xyz", "-17445.89874", "8", "-2180.737343", "0.0003", "0.123457"]
    assert rows[1] == ["1", "b.xyz", "-15573.6", "100", "-155.74", "42", "0.5"]
    assert rows[2][2:5] == ["-15573.6", "100", "-155.736"]


@pytest.mark.parametrize(
    "text",
    [
        "", "index,total\n", "index,total\n0\n1,2,3\n", "index,total\n0,inf\n1,nan\n",
        "total,total,total plus or minus (90 %)\n1,x,-1\n2,3\n", "atoms,per atom\n0,1\nx,2\n",
        "per atom,total plus or minus\n1,2\n",
    ],
)  # fmt: skip
def test_tables_of_others_may_have_any_rows(text, tmp_path):
    rows = table_of(tmp_path, text)[1]
    assert len(rows) == max(0, len(text.splitlines()) - 1)
    assert all(isinstance(cell, str) for row in rows for cell in row)


@pytest.mark.parametrize("panel", ["#ffffff", "#1b2329"], ids=["light", "dark"])
def test_first_colours_of_charts_are_readable_on_both_themes(panel):
    """As WCAG 2.2 requires of drawings: a chart is not drawn again where the theme changes."""
    style = Path(_charts.__file__).with_name("_style.css").read_text(encoding="utf-8")
    assert f"--panel: {panel}" in style

    def light(colour):
        levels = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
        r, g, b = (v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in levels)
        return 0.2126 * r + 0.7152 * g + 0.0722 * b

    for colour in _charts.COLOURS[:3]:
        low, high = sorted([light(colour), light(panel)])
        assert (high + 0.05) / (low + 0.05) >= 3, colour
