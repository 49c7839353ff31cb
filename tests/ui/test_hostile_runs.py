"""A folder of runs and data that somebody else wrote: every name in it is an attack."""

import json
import os
import threading

import numpy as np
import pytest

from sk_ednn.runs import RunFolder
from sk_ednn.ui._data import listing
from sk_ednn.ui._run_curves import curves_of
from sk_ednn.ui._run_totals import totals_of
from sk_ednn.ui._runs import row_of

X = "<img src=x onerror=alert({})>"
SCRIPT = "</script><script>alert({})</script>"
ID = "20260103-000000-abcd"
OTHER = "20260103-000001-abcd"


def lines(*rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def hostile_run(folder, id=ID):
    """Write a run whose texts are all markup."""
    path = folder / id
    path.mkdir(parents=True)
    time = "2026-01-03T00:00:00.000Z"
    described = {
        "id": X.format(10), "kind": X.format(11), "argv": ["fit", X.format(12), "$(touch hostile)"],
        "settings": {X.format(13): X.format(14), "fields": SCRIPT.format(15), "model": id},
        "data": {X.format(16): {"path": X.format(17), "sha256": X.format(18), "bytes": 3,
                                "shapes": {X.format(19): [X.format(20)]}}},
        "versions": {X.format(21): X.format(22)}, "started": time, "cwd": "/",
    }  # fmt: skip
    (path / "run.json").write_text(json.dumps(described))
    (path / "status.jsonl").write_text(
        lines({"time": time, "state": "failed", "message": X.format(23)})
    )
    rows = [
        {"time": time, "step": k, "train_loss": 1 / k, f"{X.format(24)} loss": 2 / k,
         X.format(25): float(k), "stage": X.format(26)}
        for k in range(1, 20)
    ]  # fmt: skip
    (path / "metrics.jsonl").write_text(lines(*rows))
    (path / "resources.jsonl").write_text(
        lines(*({"time": time, "cpu_percent": 1.0, "rss_bytes": 1, X.format(27): 1} for _ in "abc"))
    )
    (path / "log.txt").write_text(f"{SCRIPT.format(28)}\n\x1b]0;title\x07{X.format(29)}\n")
    (path / "result.json").write_text(
        json.dumps(
            {
                X.format(30): X.format(31),
                "test": {X.format(32): 1.0, "mean": 0.5},
                "verdict": {"words": SCRIPT.format(33)},
                "counts": [{"name": X.format(34), "total": 1.0, "flag": X.format(35)}],
            }
        )
    )
    (path / "tags.json").write_text(json.dumps({"tags": [X.format(36)], "note": X.format(37)}))
    rows = [f"{X.format(38)},{k},4,{k},{k + 1}" for k in range(5)]
    (path / "predictions.csv").write_text("part,index,size,true,predicted\n" + "\n".join(rows))
    (path / f"{X.format(39)}.png").write_bytes(b"no picture")
    (path / "report.html").write_text(SCRIPT.format(40))
    return path


def test_what_pages_read_of_a_hostile_run_is_only_its_own(tmp_path):
    """Links and pipes in the place of records are neither followed nor waited for."""
    secret = tmp_path / "secret.csv"
    secret.write_text("part,index,size,true,predicted\nsecret,0,1,1,1\n")
    path = hostile_run(tmp_path / "runs")
    for name in ("predictions.csv", "log.txt", "metrics.jsonl", "tags.json", "result.json"):
        for make in (lambda place: os.symlink(secret, place), os.mkfifo):
            (path / name).unlink()
            make(path / name)
            run = RunFolder(tmp_path / "runs")[ID]
            results = {}

            def read(run=run, results=results):
                results["all"] = (row_of(run), totals_of(run), curves_of(run), run.log(),
                                run.tags, run.note, run.result, run.files())  # fmt: skip

            thread = threading.Thread(target=read, daemon=True)
            thread.start()
            thread.join(60)
            assert "all" in results, f"{name} was waited for"
            assert "secret" not in repr(results["all"])


def test_pipes_and_sockets_are_not_offered_as_data(tmp_path):
    """Reading one would wait for ever, and take a thread of the server with it."""
    os.mkfifo(tmp_path / "pipe.npz")
    os.mkfifo(tmp_path / "pipe.png")
    os.symlink("/dev/zero", tmp_path / "zero.npz")
    (tmp_path / "real.npz").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    assert [entry.path.name for entry in listing(tmp_path)] == ["folder", "real.npz"]


@pytest.mark.browser
@pytest.mark.timeout(300)
def test_no_text_of_a_run_acts_in_the_browser(visit, place):
    runs = place / "runs"
    hostile_run(runs)
    hostile_run(runs, OTHER)
    one = visit()
    page = one.page
    one.open("/runs")
    page.wait_for_selector("td:has-text('onerror=alert(11)')")
    one.open(f"/runs/{ID}")
    folded = ".q-expansion-item--collapsed > .q-expansion-item__container > .q-item:visible"
    page.wait_for_selector(folded)
    while page.query_selector(folded) is not None:
        page.click(folded)
        page.wait_for_timeout(500)
    page.wait_for_selector("text=onerror=alert(14)")
    page.wait_for_selector("pre:has-text('alert(28)')")
    page.wait_for_selector(".chart canvas")
    for chart in page.query_selector_all(".chart canvas"):
        # Charts write names into the tooltip that follows the mouse.
        chart.scroll_into_view_if_needed()
        box = chart.bounding_box()
        for part in (0.3, 0.5, 0.7):
            page.mouse.move(box["x"] + part * box["width"], box["y"] + 0.5 * box["height"])
            page.wait_for_timeout(100)
    one.open(f"/compare?run={ID}&run={OTHER}")
    page.wait_for_selector("th:has-text('onerror=alert(13)')", state="attached")
    for path in (f"/predict?model={ID}", f"/search?run={ID}", f"/runs/{X.format(41)}",
                 f"/compare?run={X.format(42)}", f"/predict?model={X.format(43)}"):  # fmt: skip
        page.goto(one.server.base + path)
        page.wait_for_timeout(500)
        assert page.query_selector("img[src=x]") is None
    page.goto(f"{one.server.base}/runs/{ID}/files/report.html")
    page.wait_for_timeout(300)
    assert one.errors == [] and one.foreign == []


@pytest.mark.browser
@pytest.mark.timeout(300)
def test_uploads_cannot_leave_their_folder_or_bring_other_kinds(visit, place):
    one = visit()
    before = {p for p in place.rglob("*") if "uploads" not in p.parts}
    upload = one.page.wait_for_selector("input[type=file]", state="attached")
    data = place / "spins_copy.npz"
    np.savez(data, X=np.zeros((3, 4, 4)), y=np.arange(3.0))
    content = data.read_bytes()
    data.unlink()
    for name in ("../../../escaped.npz", ".ui-token", "..\\..\\escaped.npz", "run.json", "x.html",
                 "x.pkl", "--force.npz", "a\nb.npz"):  # fmt: skip
        file = {"name": name, "mimeType": "application/octet-stream", "buffer": content}
        upload.set_input_files([file])
        one.page.wait_for_timeout(400)
        upload = one.page.wait_for_selector("input[type=file]", state="attached")
    after = {p for p in place.rglob("*") if "uploads" not in p.parts}
    assert {p.name for p in after - before} <= {".ui-token"}
    names = {p.name for p in (place / "runs" / "uploads").rglob("*") if p.is_file()}
    assert not names & {".ui-token", "run.json", "x.html", "x.pkl", "--force.npz"}
    assert not any(name.startswith((".", "-")) for name in names)
