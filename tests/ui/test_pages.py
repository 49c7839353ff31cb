"""The pages in a real browser: the paths that people take, from data to download."""

import io
import json
import os
import shlex
import shutil
import signal
import sys
import time

import numpy as np
import pytest

from sk_ednn.runs import RunFolder, launch

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]
PAGES = {
    "start": "/", "runs": "/runs", "count": "/count", "predict": "/predict", "search": "/search",
    "cluster": "/cluster",
}  # fmt: skip


def test_spins_are_fitted_and_larger_ones_predicted(visit, place):
    one = visit()
    page = one.page
    page.click("button:has-text('spins.npz')")
    page.wait_for_selector("[data-model=auto]")
    page.wait_for_selector("img[alt='Focus and context over a sample']")
    assert "spins.npz::X" in page.inner_text("code")
    page.click("[data-model=quadratic]")
    page.wait_for_function("document.querySelector('code').innerText.includes('quadratic')")
    one.shoot("start")
    page.press("button:has-text('Start the fit'):enabled", "Enter")
    page.wait_for_url("**/runs/2*")
    assert one.state("finished", "failed") == "finished"
    page.wait_for_selector("text=Verdict")
    page.wait_for_selector("text=Predicted and true totals")
    page.wait_for_selector("img[alt^='Sample 0']")
    one.shoot("run")
    model = one.download(lambda: page.click("a:has-text('model.ednn')"))
    assert model[:2] == b"PK"
    run = RunFolder(place / "runs").runs()[0]
    assert run.status == "finished" and abs(run.result["test"]["bias"]) < 1e-3

    page.click("text=Predict with it")
    page.wait_for_url("**/predict?model=*")
    page.click("button:has-text('larger.npy')")
    page.click("button.q-btn:has-text('Predict'):enabled")
    page.wait_for_url("**/runs/2*")
    assert one.state("finished", "failed") == "finished"
    page.wait_for_selector("img[alt^='Sample 0']")
    one.shoot("predicted")
    result = one.download(lambda: page.click("a:has-text('predictions.npz')"))
    with np.load(io.BytesIO(result)) as arrays:
        maps = arrays["contributions"]
        assert np.allclose(maps.sum(axis=(1, 2)), arrays["y"])


def test_three_kinds_of_systems_are_at_the_top_of_the_first_page(visit):
    page = visit().page
    files, spins = "[aria-label='Files with systems']", "button:has-text('spins.npz')"
    page.wait_for_selector(spins)
    page.click("button:has-text('Atoms'):visible")
    page.wait_for_selector(f"{files} {spins}", state="detached")
    assert page.locator(f"{files} button:has-text('.extxyz')").count()
    page.click("button[aria-pressed=true]:has-text('Atoms')")  # all kinds again
    page.wait_for_selector(spins)
    page.click("button:has-text('Fields'):visible")
    page.wait_for_selector(f"{files} button:has-text('.extxyz')", state="detached")
    page.click("a.choice:has-text('Pictures')")
    page.wait_for_url("**/count")
    page.click("nav >> text=Predict")
    page.click("a:has-text('Count with a model')")
    page.wait_for_selector("text=2 · New pictures")


def test_clicks_alone_reach_every_start(visit):
    """Spins, cells and Si8: no key is pressed, no address is known, all defaults are usable."""
    page = visit().page
    page.click("button:has-text('spins.npz')")
    page.wait_for_selector("button:has-text('Start the fit'):enabled")
    page.wait_for_selector("[data-model=auto] .when:text-matches('second|minute|hour|days')")
    page.click("nav >> text=Count")
    page.click("text=From a folder that is open")
    page.click("button:has-text('cells/')")
    page.wait_for_selector("text=14 pictures")
    page.click("button:has-text('A first look')")
    page.wait_for_function("document.querySelector('code')?.innerText.includes('--minutes 1 ')")
    page.wait_for_selector("button:has-text('Start to learn'):enabled")
    page.click("nav >> text=Search")
    page.wait_for_selector("button:has-text('Start the search'):enabled")
    assert "Si8.yaml" in page.inner_text("code >> nth=1")
    page.click("nav >> text=Runs")
    page.wait_for_selector("h1:has-text('Runs')")


def test_fields_without_totals_ask_for_a_table_and_errors_have_its_unit(visit, place, tmp_path):
    """The list of tables is open; a table that is dropped with the fields is used."""
    with np.load(place / "data" / "spins.npz") as arrays:
        np.save(tmp_path / "plain.npy", arrays["X"])
        lines = [f"s{k},{y}" for k, y in enumerate(arrays["y"].tolist())]
    (tmp_path / "plain.csv").write_text("sample,work\n" + "\n".join(lines) + "\n")
    several = [f"{line},{k}" for k, line in enumerate(lines)]
    (tmp_path / "several.csv").write_text("sample,work,area\n" + "\n".join(several) + "\n")
    one = visit()
    page = one.page
    one.choose(tmp_path / "plain.csv")
    page.wait_for_selector("text=Choose the file of the systems first")
    one.choose(tmp_path / "plain.npy")
    page.wait_for_selector("[role=group][aria-label='Files with totals']:visible")
    page.wait_for_selector("text=Choose the array or table column with the totals.")
    one.choose(tmp_path / "several.csv")
    page.wait_for_selector("text=several.csv has several columns of numbers")
    page.wait_for_selector("text=Choose the array or table column with the totals.")
    one.choose([tmp_path / "plain.csv", tmp_path / "plain.npy"])
    page.wait_for_function("document.querySelector('code')?.innerText.includes('csv::work')")
    page.fill("input[aria-label='Unit of the totals, such as eV']", "J")
    page.click("[data-model=quadratic]")
    page.wait_for_function("document.querySelector('code').innerText.includes('--unit J')")
    page.press("button:has-text('Start the fit'):enabled", "Enter")
    page.wait_for_url("**/runs/2*")
    assert one.state("finished", "failed") == "finished"
    page.wait_for_selector("th:has-text('errors of totals (J)')")
    assert page.inner_text(".facts").count(" J\n") == 1
    page.click("button:has-text('Change settings')")
    page.wait_for_url("**/?again=*")
    command = "document.querySelector('code')?.innerText"
    wanted = ("csv::work", "--model quadratic", "--unit J")
    page.wait_for_function(" && ".join(f"{command}?.includes('{part}')" for part in wanted))
    one.shoot("again")
    assert page.input_value("input[aria-label='Unit of the totals, such as eV']") == "J"
    page.click("[data-model=cubic]")
    page.wait_for_function(f"{command}.includes('--model cubic')")
    assert page.is_enabled("button:has-text('Start the fit')")


def pick(page, menu, option):
    """Choose an option of a menu."""
    page.click(f".q-select:has-text('{menu}')")
    page.click(f".q-menu .q-item:has-text('{option}')")


def test_harmonics_are_offered_where_values_are_angles(visit):
    one = visit()
    page = one.page
    page.click("button:has-text('spins.npz')")
    page.wait_for_selector("button:has-text('Start the fit'):enabled")
    assert page.is_hidden(".q-select:has-text('Harmonics of the angles')")
    pick(page, "Meaning of the values", "Angles in degrees")
    page.wait_for_selector(".q-select:has-text('Harmonics of the angles'):visible")
    pick(page, "Harmonics of the angles", "also twice the angle")
    page.wait_for_function(
        "document.querySelector('code').innerText.includes('--angles 360 --harmonics 2')"
    )
    assert page.is_hidden("text=The last axis has channels, not sites")
    one.shoot("angles")
    pick(page, "Meaning of the values", "Amounts")
    page.wait_for_selector(".q-select:has-text('Harmonics of the angles')", state="hidden")
    page.wait_for_function("!document.querySelector('code').innerText.includes('harmonics')")


def test_columns_of_a_table_are_a_menu(visit, place, tmp_path):
    one = visit()
    page = one.page
    one.open("/count")
    pictures = sorted((place / "data" / "cells").glob("*.png"))
    rows = [f"{path.name},{k + 3},{k / 2}" for k, path in enumerate(pictures)]
    (tmp_path / "two.csv").write_text("file,live,dead\n" + "\n".join(rows) + "\n")
    one.choose([tmp_path / "two.csv"])
    page.wait_for_selector("text=Next: choose the pictures.")
    page.wait_for_selector("td:has-text('dish01.png')")
    assert page.is_hidden(".q-select:has-text('Columns of the numbers')")
    one.choose([*pictures, tmp_path / "two.csv"])
    page.wait_for_selector("text='live', 'dead' could all be the totals")
    page.wait_for_selector("text=Choose the columns of the numbers above.")
    page.click(".q-select:has-text('Columns of the numbers')")
    page.wait_for_selector(".q-menu .q-item:has-text('dead')")
    assert page.locator(".q-menu .q-item").all_inner_texts() == ["live", "dead"]
    page.click(".q-menu .q-item:has-text('dead')")
    page.keyboard.press("Escape")
    page.wait_for_selector("text=/^Learned as amounts: “dead” .* all 14 pictures have a number/")
    page.wait_for_function("document.querySelector('code')?.innerText.includes('--column dead')")
    one.shoot("count columns")
    # The column that is learned if nothing is chosen is shown as chosen.
    rows = [f"{path.name},{k / 2},{k + 3}" for k, path in enumerate(pictures)]
    (tmp_path / "named.csv").write_text("file,dose,count\n" + "\n".join(rows) + "\n")
    one.open("/count")
    one.choose([*pictures, tmp_path / "named.csv"])
    page.wait_for_selector(".q-select:has-text('Columns of the numbers') .q-chip:has-text('count')")
    page.wait_for_function("document.querySelector('code')?.innerText.includes('--column count')")


def test_cells_are_counted(visit, place):
    one = visit()
    page = one.page
    one.open("/count")
    one.choose(sorted((place / "data" / "cells").iterdir()))
    page.wait_for_selector("text=14 pictures")
    page.wait_for_selector("text=/^Learned as counts: “cells” .* all 14 pictures have a number/")
    page.wait_for_selector("figcaption:has-text('dish00.png')")
    page.click(".q-item:has-text('More settings')")
    page.fill("input[aria-label='Minutes of training']", "0.1")
    page.wait_for_function("document.querySelector('code')?.innerText.includes('0.1')")
    page.wait_for_selector("text=/^The networks see every pixel: /")
    page.wait_for_selector(".when:has-text('about')")
    one.shoot("count")
    page.click("text=Start to learn")
    page.wait_for_url("**/runs/2*")
    assert one.state("finished", "failed") == "finished"
    assert page.inner_text("h1").startswith("Learn to count")
    page.wait_for_selector("text=/^cells: the error is .* nine of ten are within ±/")
    page.wait_for_selector("h2:has-text('Error per picture (cells)')")
    assert page.is_hidden(".facts >> text=Remaining")
    assert page.is_hidden("th:has-text('missing chunks')")
    page.click("text=Settings and data")
    page.click("text=Settings left as they are")
    page.wait_for_selector("th:has-text('missing chunks'):visible")
    one.shoot("learned")
    learned = page.url
    page.click("button:has-text('Change settings')")
    page.wait_for_url("**/count?again=*")
    page.wait_for_selector("text=/^Learned as counts: “cells” .* all 14 pictures have a number/")
    command = "document.querySelector('code')?.innerText"
    page.wait_for_function(f"{command}.includes('--minutes 0.1')")
    page.click(".q-item:has-text('More settings')")
    page.fill("input[aria-label='Networks']", "3")
    page.wait_for_function(f"{command}.includes('--members 3')")
    assert page.is_enabled("button:has-text('Start to learn')")
    page.goto(learned)
    page.click("text=Count with it")
    page.wait_for_url("**/count?model=*")
    page.wait_for_selector("text=2 · New pictures")
    page.wait_for_selector("text=/^cells, .*learned.* Measured on \\d+ pictures not seen/")
    one.choose(sorted((place / "data" / "cells").glob("dish0[0-2].png")), last=True)
    page.wait_for_selector("text=3 pictures: uploads")
    page.click("button.q-btn:enabled >> text=/^Count$/")
    page.wait_for_url("**/runs/2*")
    assert one.state("finished", "failed") == "finished"
    page.wait_for_selector("img[alt^='dish00: ']")
    page.wait_for_selector("text=/^The model: cells, .*learned.*typically off by/")
    page.wait_for_selector("text=Nine of ten true numbers lie between low and high.")
    assert page.inner_text("h1") == "Count: 3 dropped files"
    for width in (1280, 400):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate(
            "[...document.querySelectorAll('.scroll')].every(e => e.scrollWidth <= e.clientWidth)"
        )
    page.set_viewport_size({"width": 1280, "height": 900})
    page.wait_for_selector("text=/^The intervals are estimated from .* held-back picture/")
    assert page.get_attribute("a:has-text('dish00 overlay.png')", "target") == "_blank"
    one.shoot("counted")
    book = one.download(lambda: page.click("text=Download the table, Excel"))
    assert book[:2] == b"PK"
    table = one.download(lambda: page.click("a:has-text('counts.csv')")).decode()
    assert table.splitlines()[0].startswith("file,cells") and len(table.splitlines()) == 4
    with page.context.expect_page() as opened:
        page.click("text=Report for colleagues")
    report = opened.value
    report.wait_for_selector("figcaption:has-text('dish02.png: cells')")
    assert report.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
    report.close()


def test_model_files_are_sent_to_the_page_that_applies_them(visit, place):
    """A model of a colleague is a file, of which no run is here."""
    from sk_ednn import EDNNRegressor
    from sk_ednn.files import save
    from sk_ednn.images import CountRegressor

    rng = np.random.default_rng(0)
    count = CountRegressor(max_epochs=1, n_members=1, reduction=1, random_state=0)
    count.fit(list(rng.random((8, 32, 32))), np.arange(8.0))
    save(count, place / "data" / "counting.ednn")
    fields = rng.normal(size=(8, 4, 4))
    fit = EDNNRegressor(random_state=0).fit(fields, fields.sum((1, 2)))
    save(fit, place / "data" / "fields.ednn")
    one = visit()
    page = one.page
    try:
        for here, wrong, words, there in (
            ("/predict", "counting", "Count with it", "/count"),
            ("/count", "fields", "Predict with it", "/predict"),
        ):
            one.open(here)
            if here == "/count":
                page.click("text=Count with a model")
            page.click("text=A model file")
            page.click(f"button:has-text('{wrong}.ednn'):visible")
            page.click(f"a:has-text('{words}')")
            page.wait_for_url(f"**{there}?file=*")
            page.wait_for_selector(f"text=/^Chosen: .*{wrong}.ednn/")
            page.wait_for_selector("text=/^(Drop pictures, or choose|Choose or drop a file)/")
        one.open("/count?file=counting.ednn")
        one.choose(place / "data" / "counting.ednn", last=True)
        page.wait_for_selector("text=/Models are chosen under “A model file”/")
    finally:
        for name in ("counting", "fields"):
            (place / "data" / f"{name}.ednn").unlink()


def test_pictures_that_are_written_again_are_shown_again(visit, place):
    """Overlays are drawn once more where a run ends: the page does not keep those of before."""
    image = pytest.importorskip("PIL.Image")
    name = "20260101-000000-fa5e"
    path = place / "runs" / name
    written_run(place / "runs", name, [], {"fields": "a"})
    shown = "document.querySelector('img[alt=\"a.png\"]')?.naturalWidth"
    image.new("L", (3, 3)).save(path / "a.png")
    try:
        one = visit()
        one.open(f"/runs/{name}")
        one.page.wait_for_function(f"{shown} === 3")
        image.new("L", (5, 5)).save(path / "a.png")
        one.page.wait_for_function(f"{shown} === 5", timeout=30000)
    finally:
        shutil.rmtree(path)


def test_search_is_started_paused_and_downloaded(visit):
    one = visit()
    page = one.page
    one.open("/search")
    page.fill("input[aria-label^='Atoms of a cell']", "Si2")
    page.fill("input[aria-label='Calls of the reference method']", "400")
    page.wait_for_function("document.querySelector('code').innerText.includes('n_labels: 400')")
    page.click("text=Start the search")
    page.wait_for_url("**/search?run=*")
    page.click("button:has-text('Pause')")
    assert one.state("paused", "failed") == "paused"
    page.click("button:has-text('Go on')")
    page.wait_for_selector("text=1. Structure", timeout=WAIT_LONG)
    assert one.state("running", "finished") == "running"
    page.wait_for_selector("text=Energies against calls")
    page.click("button:has-text('Stop')")
    assert one.state("stopped", "failed") == "stopped"
    one.shoot("search")
    result = one.download(lambda: page.click("text=Download structures")).decode()
    assert result.startswith("2\n") and "energy=" in result


PROGRAM = """
import os, sys
if os.path.exists(sys.argv[1]):
    sys.exit("the licence has expired")
from ase.io import read, write
from ase.calculators.emt import EMT
atoms = read("in.xyz")
atoms.calc = EMT(asap_cutoff=False)
atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()
write("out.xyz", atoms, format="extxyz")
"""


def test_failed_labels_are_listed_and_made_again(visit, place):
    one = visit()
    page = one.page
    folder = place / "runs" / "uploads" / "engine"
    folder.mkdir(parents=True)
    program, broken = folder / "engine.py", folder / "broken"
    program.write_text(PROGRAM)
    broken.touch()
    command = shlex.join([sys.executable, str(program), str(broken)])
    labeller = {"command": command, "input": "in.xyz", "output": "out.xyz"}
    settings = {"composition": "Cu2", "volume": 12.0, "n_labels": 4, "n_initial": 4,
                "store": "engine.db", "labeller": labeller}  # fmt: skip
    (folder / "engine.yaml").write_text(json.dumps(settings))  # JSON is YAML
    run = launch(place / "runs", ["search", "run", str(folder / "engine.yaml")], cwd=folder)
    one.open(f"/search?run={run.id}")
    page.wait_for_selector("text=the licence has expired", timeout=WAIT_LONG)
    assert one.state("finished", "failed") == "failed"
    page.wait_for_selector("text=All 4 labels failed")
    broken.unlink()
    page.click("button:has-text('Retry failed labels')")
    assert one.state("finished") == "finished"
    page.wait_for_selector("text=1. Structure")
    one.shoot("retried")
    facts = dict(page.evaluate(
        "[...document.querySelectorAll('.facts > div')].map(e => e.innerText.split('\\n'))"
    ))  # fmt: skip
    assert facts["Failed"] == "0" and facts["Labels"] == "4", facts


WAIT_LONG = 150_000


def test_killed_run_is_shown_and_resumes_while_another_runs(visit, place):
    one = visit()
    page = one.page
    folder = RunFolder(place / "runs")
    started = []
    for _ in range(2):
        one.open("/")
        page.click("button:has-text('spins.npz')")
        page.click("[data-model=dense]")
        page.click(".q-item:has-text('More settings')")
        page.fill("input[aria-label^='Passes over the data']", "100000")
        page.wait_for_function("document.querySelector('code').innerText.includes('100000')")
        page.press("button:has-text('Start the fit'):enabled", "Enter")
        page.wait_for_url("**/runs/2*")
        started.append(page.url.rpartition("/")[2])
    killed, other = (folder[name] for name in started)
    one.open(f"/runs/{killed.id}")
    page.wait_for_selector("h2:has-text('Loss')", timeout=WAIT_LONG)
    os.kill(killed.info["process"]["pid"], signal.SIGKILL)
    assert one.state("killed", "failed") == "killed"
    one.shoot("killed")
    assert other.status == "running"
    page.click("button:has-text('Resume')")
    assert one.state("running", "finished") == "running"
    page.click("button:has-text('Stop')")
    assert one.state("stopped", "failed") == "stopped"
    one.open("/runs")
    page.wait_for_selector(".state.running")
    page.wait_for_selector(".state.stopped")
    for name in started:
        page.click(f"[aria-label='Select run {name}']")
    page.fill("input[aria-label='Tag']", "pair")
    page.click("text=Add tag")
    page.wait_for_selector(".tag:has-text('pair')")
    page.click("text=Compare")
    page.wait_for_selector("h2:has-text('Loss')")
    one.shoot("compare")
    folder[other.id].stop()


def test_page_goes_on_after_the_server_was_restarted(visit, server, place):
    one = visit()
    page = one.page
    one.open("/runs")
    before = page.inner_text("h1")
    server.restart()
    # In a new tab: the old one may load itself again at any moment. The cookie is still good.
    page = one.context.new_page()
    page.goto(server.base + "/runs", timeout=WAIT_LONG)
    page.wait_for_selector("h1")
    assert page.inner_text("h1") == before


# ------------------------------------------------------------------------------ much of it


def written_run(folder, name, rows, settings, tags=()):
    """Write a finished run as the recorder does, without running anything."""
    path = folder / name
    path.mkdir(parents=True)
    time_of = f"2026-01-01T00:00:{len(rows) % 60:02d}.000Z"
    described = {"id": name, "kind": "fit", "argv": None, "settings": settings, "data": {},
                 "started": "2026-01-01T00:00:00.000Z"}  # fmt: skip
    (path / "run.json").write_text(json.dumps(described))
    state = {"time": time_of, "state": "finished", "message": ""}
    (path / "status.jsonl").write_text(json.dumps(state) + "\n")
    (path / "result.json").write_text(json.dumps({"test": {"mean": 0.5}}))
    if tags:
        (path / "tags.json").write_text(json.dumps({"tags": list(tags), "note": ""}))
    with open(path / "metrics.jsonl", "w", encoding="utf-8") as file:
        for step, loss in rows:
            row = {"time": time_of, "step": step, "train_loss": loss}
            file.write(json.dumps(row) + "\n")


@pytest.fixture(scope="module")
def many(browser, place, tmp_path_factory):
    """Return a server with 1,000 runs, and one of 100,000 epochs, with names that are hostile."""
    from tests.ui.conftest import Server

    folder = tmp_path_factory.mktemp("many") / "runs"
    for k in range(999):
        written_run(folder, f"20260101-000000-{k:04x}", [(0, 1.0)], {"fields": f"f{k}.npz"})
    hostile = {
        "fields": "<script>alert(1)<script>.npz",
        "model": "<img src=x onerror=alert(2)>",
        "note": "{{ 7 * 7 }} ${alert(3)} `",
    }
    rng = np.random.default_rng(0)
    rows = enumerate((1 / (1 + np.arange(100_000)) + 0.01 * rng.random(100_000)).tolist())
    written_run(folder, "20260102-000000-ffff", list(rows), hostile, ["<b onclick=alert(4)>tag"])
    server = Server(folder, place / "data")
    yield server
    server.stop()


def test_thousand_runs_and_a_long_curve(browser, many, record_property):
    from tests.ui.conftest import Visit

    one = Visit(browser, many)
    page = one.page
    page.wait_for_selector("h1")
    start = time.perf_counter()
    one.open("/runs")
    page.wait_for_selector("text=1-25 of 1000")
    record_property("seconds until 1,000 runs are shown", time.perf_counter() - start)
    print(f"1,000 runs: {time.perf_counter() - start:.2f} s")
    for name in ("20260102-000000-ffff", "20260101-000000-03e6"):
        page.click(f"[aria-label='Select run {name}']")
    page.click("[aria-label='Next page']")
    page.wait_for_selector("text=26-50 of 1000")
    # What was selected on another page stays selected.
    page.click("[aria-label='Select run 20260101-000000-03c0']")
    page.wait_for_selector("text=3 records selected")
    page.click("th:has-text('Data')")
    page.wait_for_selector("td:has-text('f0.npz')")
    page.fill("input[aria-label='Filter']", "f777.npz")
    page.wait_for_selector("text=1-1 of 1")
    page.fill("input[aria-label='Tag']", "three")
    page.click("text=Add tag")
    page.fill("input[aria-label='Filter']", "three")
    page.wait_for_selector("text=1-3 of 3")
    start = time.perf_counter()
    one.open("/runs/20260102-000000-ffff")
    page.wait_for_selector(".chart canvas")
    record_property("seconds until 100,000 points are drawn", time.perf_counter() - start)
    print(f"100,000 points: {time.perf_counter() - start:.2f} s")
    one.shoot("long")
    assert (one.foreign, one.errors) == ([], [])
    one.close()


def test_hostile_names_are_shown_as_text(browser, many):
    from tests.ui.conftest import Visit

    one = Visit(browser, many)
    page = one.page
    one.open("/runs")
    page.wait_for_selector(".tag:has-text('<b onclick=alert(4)>tag')")
    page.wait_for_selector("td:has-text('<script>alert(1)')")
    one.open("/runs/20260102-000000-ffff")
    page.click("text=Settings and data")
    page.wait_for_selector("td:has-text('onerror=alert(2)')")
    page.wait_for_selector("td:has-text('{{ 7 * 7 }} ${alert(3)} `')")
    one.open("/compare?run=20260102-000000-ffff&run=20260101-000000-0000")
    page.wait_for_selector("td:has-text('onerror=alert(2)')")
    page.wait_for_timeout(300)
    assert page.query_selector("img[src=x]") is None
    assert (one.foreign, one.errors) == ([], [])
    one.close()


def test_hostile_file_names_are_shown_as_text(visit, place):
    name = "<img src=x onerror=alert(5)>.npz"
    np.savez(place / "data" / name, X=np.zeros((3, 4, 4)), y=np.arange(3.0))
    try:
        one = visit()
        one.page.click(f"button:has-text('{name}')")
        one.page.wait_for_selector("[data-model=auto]")
        assert name in one.page.inner_text("code")
        assert one.page.query_selector("img[src=x]") is None
    finally:
        (place / "data" / name).unlink()


def test_structures_are_drawn_in_three_dimensions(visit, tmp_path):
    one = visit()
    one.page.click("button:has-text('silicon.extxyz')")
    one.page.wait_for_selector("[role=img][aria-label$='Si8'] canvas")
    one.page.wait_for_selector("text=4 structures of 8 atoms: Si.")
    one.page.wait_for_selector("text=The files have: energy, forces")
    one.shoot("structures")
    one.page.wait_for_selector("button:has-text('Start the fit'):enabled")
    assert "csv" not in one.page.inner_text("code")
    # A table that is dropped has other energies.
    (tmp_path / "energies.csv").write_text("energy\n1\n2\n3\n4\n")
    one.choose(tmp_path / "energies.csv")
    one.page.wait_for_function("document.querySelector('code').innerText.includes('csv::energy')")
    pick(one.page, "Energies", "in the files")
    one.page.wait_for_function("!document.querySelector('code').innerText.includes('csv')")


def test_structures_without_energies_ask_for_a_table(visit, tmp_path):
    """Cells are dropped alone, which cannot be fitted, and with a table of their names."""
    build = pytest.importorskip("ase.build")
    write = pytest.importorskip("ase.io").write
    paths = [tmp_path / "energies.csv"]
    lines = ["file,energy (kJ/mol)"]
    for k in range(6):
        paths.append(tmp_path / f"cell{k}.cif")
        write(paths[-1], build.bulk("Cu", cubic=True, a=3.5 + 0.05 * k))
        lines.append(f"cell{5 - k},{(2 - k) ** 2}.5")  # in another order than the files
    paths[0].write_text("\n".join(lines) + "\n")
    one = visit()
    page = one.page
    one.choose(paths[1:])
    page.wait_for_selector("text=Choose a table with the energies of the structures.")
    one.choose(paths)
    page.wait_for_function("document.querySelector('code')?.innerText.includes('csv::energy (kJ')")
    one.shoot("energies-in-a-table")
    page.wait_for_selector("button:has-text('Start the fit'):enabled")


def test_damaged_file_is_named_and_nothing_starts(visit, place):
    (place / "data" / "damaged.npz").write_bytes(b"PK\x03\x04 no more")
    try:
        one = visit()
        one.page.click("button:has-text('damaged.npz')")
        one.page.wait_for_selector(".bad:has-text('damaged.npz')")
        assert one.page.query_selector("text=Start the fit") is None
    finally:
        (place / "data" / "damaged.npz").unlink()


# ------------------------------------------------------------------------------ looks


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_pages_fit_and_have_names_for_all_controls(visit, width, dark):
    one = visit(width=width, dark=dark)
    for name, path in PAGES.items():
        one.open(path)
        one.page.wait_for_timeout(400)
        one.shoot(f"{name}-{width}-{'dark' if dark else 'light'}")
        assert one.page.evaluate("document.scrollingElement.scrollWidth") <= width, name
        assert one.page.evaluate(_WITHOUT_NAMES) == [], name
        assert one.page.evaluate(_FAINT) == [], name
        colour = one.page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (max(map(int, colour.strip("rgb()").split(","))) < 128) == dark
        fonts = one.page.evaluate(
            "[...new Set([...document.querySelectorAll('h1,p,button,input')]"
            ".map(e => getComputedStyle(e).fontFamily))]"
        )
        assert all(font.startswith("system-ui") for font in fonts), name
    assert one.page.evaluate("document.documentElement.lang").startswith("en")


# Controls and pictures that a screen reader could not name.
# The text of an icon is its name in the font, which means nothing to users.
_WITHOUT_NAMES = """() => [...document.querySelectorAll(
    'button,a,input,select,img,[role=slider],[role=checkbox]')]
  .filter(e => e.offsetParent !== null && e.type !== 'hidden')
  .filter(e => !([...e.querySelectorAll('i')].reduce((text, i) => text.replace(i.innerText, ''),
    e.innerText ?? '').trim() || e.ariaLabel || e.alt || e.title || e.labels?.length
    || e.getAttribute('aria-labelledby') || e.getAttribute('aria-hidden') === 'true'
    || e.closest('label')))
  .map(e => e.outerHTML.slice(0, 120))"""


# Buttons whose text has less than the contrast of 4.5 that WCAG 2.2 requires.
_FAINT = """() => {
  const light = (colour) => {
    const [r, g, b] = colour.match(/[0-9.]+/g).slice(0, 3).map(Number).map(v => v / 255)
      .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  return [...document.querySelectorAll('.q-btn.bg-primary:not(.disabled)')].map(e => {
    const text = light(getComputedStyle(e.querySelector('.block') ?? e).color);
    const behind = light(getComputedStyle(e).backgroundColor);
    return [e.innerText, (Math.max(text, behind) + 0.05) / (Math.min(text, behind) + 0.05)];
  }).filter(([_, contrast]) => contrast < 4.5);
}"""


def test_focus_is_visible(visit):
    page = visit().page
    page.wait_for_selector("button:has-text('spins.npz')")
    for _ in range(12):
        page.keyboard.press("Tab")
        width = page.evaluate("getComputedStyle(document.activeElement).outlineWidth")
        assert float(width.removesuffix("px")) >= 2, page.evaluate(
            "document.activeElement.outerHTML.slice(0, 200)"
        )


def test_keyboard_is_enough_to_choose_a_file_and_a_model(visit):
    one = visit()
    page = one.page
    page.wait_for_selector("button:has-text('spins.npz')")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.innerText") == "Skip to the content"
    for _ in range(40):
        page.keyboard.press("Tab")
        if "spins.npz" in page.evaluate("document.activeElement.innerText ?? ''"):
            break
    page.keyboard.press("Enter")
    page.wait_for_selector("[data-model=kernel]")
    page.focus("[data-model=kernel]")
    page.keyboard.press("Space")
    page.wait_for_selector("[data-model=kernel][aria-checked=true]")


def test_theme_is_remembered(visit):
    one = visit()
    one.page.click("[aria-label='Light or dark']")
    one.page.wait_for_selector("body.body--dark")
    one.open("/runs")
    one.page.wait_for_selector("body.body--dark")
