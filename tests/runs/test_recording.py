"""Runs as they are written and read."""

import json
import os
import threading
from pathlib import Path

import numpy as np
import pytest

from sk_ednn.runs import Run, RunFolder, record


def only(folder):
    (run,) = RunFolder(folder).runs()
    return run


def test_a_run_is_read_as_it_was_written(tmp_path):
    X = np.arange(12.0).reshape(3, 4)
    np.savez(tmp_path / "small.npz", X=X, y=X[:, 0])
    data = {"fields": tmp_path / "small.npz", "weights": X[0]}
    with record(
        tmp_path / "runs", "fit", settings={"alpha": 0.1, "path": Path("a")}, data=data
    ) as r:
        r.log(1, train_loss=0.5, valid_loss=2.0)
        print("one epoch")
        r.log(2, train_loss=0.25)
        r.path("model.ednn").write_bytes(b"weights")
        r.finish({"error": 0.125})
    run = only(tmp_path / "runs")
    assert (run.id, run.kind, run.status, run.message) == (r.id, "fit", "finished", "")
    assert run.settings == {"alpha": 0.1, "path": "a"}
    assert run.data["fields"]["shapes"] == {"X": [3, 4], "y": [3]}
    assert run.data["fields"]["bytes"] == (tmp_path / "small.npz").stat().st_size
    assert run.data["weights"]["shapes"] == {"": [4]}
    columns = run.metrics()
    assert columns["step"].tolist() == [1, 2]
    assert columns["train_loss"].tolist() == [0.5, 0.25]
    assert columns["valid_loss"][0] == 2.0 and np.isnan(columns["valid_loss"][1])
    assert (np.diff(columns["time"]) >= 0).all()
    assert run.log() == "one epoch\n"
    assert run.result == {"error": 0.125}
    assert run.files() == {"model.ednn": 7}
    assert run.duration > 0 and run.progress == 1.0
    resources = run.resources()
    assert (resources["rss_bytes"] > 1e6).all() and (resources["cpu_s"] > 0).all()


def test_names_of_files_that_are_no_utf_8_are_recorded(tmp_path):
    """As of archives that were written on another system."""
    folder = tmp_path / "data"
    folder.mkdir()
    names = [os.fsdecode(name) for name in (b"d\xff.npy", b"\xe9.npy")]
    try:
        for name in names:
            np.save(folder / name, np.zeros(3))
    except OSError:
        pytest.skip("the file system has no such names")
    settings = {"fields": str(folder / names[0]), "unit": "µeV"}
    with record(tmp_path / "runs", kind="x", settings=settings, data={"fields": folder}) as run:
        run.log(step=0, loss=1.0)
    (one,) = RunFolder(tmp_path / "runs").runs()
    assert one.settings == settings and one.status == "finished"
    assert sorted(one.data["fields"]["files"]) == sorted(names)


def test_files_are_read_by_hand(tmp_path):
    with record(tmp_path, "fit", settings={"alpha": 0.1}) as recorder:
        recorder.log(7, train_loss=float("nan"), stage="fit")
    run = only(tmp_path)
    line = (run.path / "metrics.jsonl").read_text(encoding="utf-8")
    time = run.metrics() and json.loads(line)["time"]
    assert line == f'{{"time": "{time}", "step": 7, "train_loss": null, "stage": "fit"}}\n'
    states = [json.loads(row) for row in (run.path / "status.jsonl").read_text().splitlines()]
    assert [state["state"] for state in states] == ["started", "finished"]
    described = json.loads((run.path / "run.json").read_text(encoding="utf-8"))
    assert list(described)[:4] == ["id", "kind", "argv", "settings"]
    assert described["process"]["pid"] == os.getpid()
    assert described["versions"]["numpy"] == np.__version__


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (ValueError("no\nmore"), "failed", "no"),
        (KeyboardInterrupt(), "stopped", "interrupted"),
        (SystemExit(1), "failed", "1"),
    ],
)
def test_an_exception_ends_a_run(error, status, message, tmp_path):
    with pytest.raises(type(error)), record(tmp_path, "fit"):
        raise error
    run = only(tmp_path)
    assert (run.status, run.message) == (status, message)
    assert ("Traceback" in run.log()) == (status == "failed")


def test_a_torn_last_line_is_left_out_and_does_not_tear_the_next(tmp_path):
    with record(tmp_path, "fit") as recorder:
        recorder.log(1, loss=1.0)
        recorder.log(2, loss=2.0)
    run = only(tmp_path)
    path = run.path / "metrics.jsonl"
    whole = path.read_bytes()
    end = len(whole) - 1
    second = whole.index(b"\n") + 1
    for cut in range(second, end + 1):
        path.write_bytes(whole[:cut])
        assert Run(run.path).metrics()["step"].tolist() == [1]
    (run.path / "status.jsonl").write_bytes(b'{"state": "stopped"}\n')
    path.write_bytes(whole[:-5])
    with record(run.path, "fit") as again:
        again.log(2, loss=4.0)
    assert again.id == run.id and again.resumed
    assert Run(run.path).metrics()["loss"].tolist() == [1.0, 4.0]


def test_lines_that_are_no_records_are_skipped(tmp_path):
    with record(tmp_path, "fit") as recorder:
        recorder.log(1, loss=1.0)
    run = only(tmp_path)
    with open(run.path / "metrics.jsonl", "ab") as file:
        file.write(b'nonsense\n[1, 2]\n"text"\n\xff\xfe\n' + b"[" * 100_000 + b"\n\n")
        file.write(b'{"time": 5, "step": "x", "loss": [1], "loss": 3}\n')
    columns = run.metrics()
    assert columns["loss"].tolist() == [1.0, 3.0]


def test_metrics_grow_while_they_are_read(tmp_path):
    with record(tmp_path, "fit") as recorder:
        run = only(tmp_path)
        for k in range(1, 6):
            recorder.log(k, loss=float(k))
            assert run.metrics()["loss"].tolist() == list(range(1, k + 1))
        assert run.status == "running"
    assert run.status == "finished"


def test_many_threads_start_and_log(tmp_path):
    """Names are taken once, and lines of several threads are whole."""

    def work():
        recorder = record(tmp_path, "fit")
        recorder._make_folder()
        made.append(recorder.id)

    made = []
    threads = [threading.Thread(target=work) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 20
    assert {run.id for run in RunFolder(tmp_path).runs()} == set(made)
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".")]
    with record(tmp_path / "one", "fit") as recorder:
        threads = [
            threading.Thread(target=lambda: [recorder.log(k, loss=k) for k in range(200)])
            for _ in range(5)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(only(tmp_path / "one").metrics()["step"]) == 1000


def test_a_run_of_a_process_that_is_gone_was_killed(tmp_path):
    with record(tmp_path, "fit") as recorder:
        run = only(tmp_path)
        path = run.path / "status.jsonl"
        row = json.loads(path.read_text())
        assert run.status == "running"
        for change in ({"pid": 2**22 + 1}, {"created": row["created"] - 60}):  # a number used again
            path.write_text(json.dumps({**row, **change}) + "\n")
            assert Run(run.path).status == "killed"
            assert Run(run.path).duration >= 0
        assert recorder.id == run.id


def test_a_run_elsewhere_needs_signs_of_life(tmp_path):
    with record(tmp_path, "fit"):
        pass
    run = only(tmp_path)
    path = run.path / "status.jsonl"
    row = json.loads(path.read_text().splitlines()[0])
    path.write_text(json.dumps({**row, "host": "elsewhere"}) + "\n")
    run = Run(run.path)
    assert (run.status, run.message) == ("running", "on elsewhere")
    for name in os.listdir(run.path):
        os.utime(run.path / name, (0, 0))
    run = Run(run.path)
    assert run.status == "killed" and "no sign of life from elsewhere" in run.message


def test_log_is_plain_text(tmp_path):
    with record(tmp_path, "fit") as recorder:
        pass
    text = "\x1b[31mred\x1b[0m\n  0%|   |\r 50%|## |\r100%|###|\nlast\x1b]0;title\x07 line\n"
    (recorder.folder / "log.txt").write_text(text, encoding="utf-8")
    run = Run(recorder.folder)
    assert run.log() == "red\n100%|###|\nlast line\n"
    assert run.log(tail=1) == "last line\n" and run.log(tail=0) == ""


def test_stop_is_seen_by_the_callback(tmp_path):
    with record(tmp_path, "fit") as recorder:
        run = only(tmp_path)
        callback = recorder.callback(max_epochs=10)
        assert callback({"epoch": 1, "train_loss": 2.0, "name": "text"}) is False
        assert run.progress == 0.1
        assert not run.stopping
        run.stop()
        while not recorder.stop_requested:
            pass
        assert run.stopping
        assert callback({"epoch": 2, "train_loss": 1.0}) is True
    assert run.status == "stopped" and not run.stopping
    assert run.metrics()["train_loss"].tolist() == [2.0, 1.0]
    with pytest.raises(ValueError, match="only a running one takes commands"):
        run.stop()


def test_stop_interrupts_the_main_thread(tmp_path):
    with pytest.raises(KeyboardInterrupt), record(tmp_path, "fit", interrupt=True):
        run = only(tmp_path)
        run.stop()
        threading.Event().wait(30)
    assert run.status == "stopped"


def test_pause_waits(tmp_path):
    with record(tmp_path, "fit") as recorder:
        run = only(tmp_path)
        run.command("pause")
        while not recorder.paused:
            pass
        assert (run.status, run.message) == ("running", "paused")
        done = threading.Event()
        thread = threading.Thread(
            target=lambda: (recorder.callback()({"epoch": 1, "loss": 1.0}), done.set())
        )
        thread.start()
        assert not done.wait(0.6)
        run.command("resume")
        assert done.wait(10)
        thread.join()


def test_tags(tmp_path):
    with record(tmp_path, "fit"):
        pass
    run = only(tmp_path)
    run.tag("good", " for the paper ", "good", note="<b>best</b> so far")
    assert (run.tags, run.note) == (["good", "for the paper"], "<b>best</b> so far")
    run.tag("new", remove=["good"])
    assert (Run(run.path).tags, run.note) == (["for the paper", "new"], "<b>best</b> so far")
    for bad in ("", " ", "x" * 201, 3):
        with pytest.raises(ValueError, match="A tag must be"):
            run.tag(bad)


def test_stop_that_comes_before_a_resumed_run_begins_is_obeyed(tmp_path):
    with record(tmp_path, "fit") as first:
        first.finish(state="stopped")
    lines = [("2026-01-01T00:00:00.000Z", "stop"), ("2026-01-03T00:00:00.000Z", "stop")]
    path = first.folder / "commands.jsonl"
    for obeyed, n in ((False, 1), (True, 2)):
        rows = [{"time": time, "command": command} for time, command in lines[:n]]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        launched = {"kind": "fit", "resumed": "2026-01-02T00:00:00.000Z"}
        (first.folder / "launch.json").write_text(json.dumps(launched))
        with record(first.folder, "fit") as recorder:
            recorder._obey()
            assert recorder.stop_requested is obeyed
            assert only(tmp_path).stopping is obeyed
            recorder.finish(state="stopped")


@pytest.mark.parametrize(("asked_in_training", "state"), [(True, "stopped"), (False, "finished")])
def test_a_training_that_the_callback_ended_was_stopped(asked_in_training, state, tmp_path):
    """Even where no interrupt reached it; a stop that comes after the training is too late."""
    with record(tmp_path, "fit", interrupt=False) as recorder:
        callback = recorder.callback(max_epochs=2)
        callback({"epoch": 1, "train_loss": 1.0})
        recorder.stop_requested = asked_in_training
        assert callback({"epoch": 2, "train_loss": 0.5}) is asked_in_training
        recorder.stop_requested = True
        recorder.finish({"error": 0.5})
    assert Run(recorder.folder).status == state


def test_only_the_time_in_which_a_run_works_is_its_duration(tmp_path):
    """It was paused, killed while it was paused, resumed a day later, paused, and stopped."""
    with record(tmp_path, "fit") as recorder:
        recorder.finish(state="stopped")
    day = 1440

    def write(name, *rows):
        texts = [
            json.dumps(
                {"time": f"2026-01-0{1 + m // day}T{m % day // 60:02}:{m % 60:02}:00Z", **more}
            )
            for m, more in rows
        ]
        (recorder.folder / name).write_text("".join(f"{text}\n" for text in texts))

    described = json.loads((recorder.folder / "run.json").read_text())
    described["started"] = "2026-01-01T00:00:00Z"
    (recorder.folder / "run.json").write_text(json.dumps(described))
    launched = {"kind": "fit", "resumed": "2026-01-02T00:00:00Z"}
    (recorder.folder / "launch.json").write_text(json.dumps(launched))
    first, second = {"state": "started", "pid": 1}, {"state": "started", "message": "resumed"}
    status = [(0, first), (0, first), (day, {**second, "pid": 2}), (day + 1, {**second, "pid": 2})]
    write("status.jsonl", *status, (day + 20, {"state": "stopped"}))
    write("metrics.jsonl", (8, {"step": 1}), (day + 1, {"resumed": True}), (day + 3, {"step": 2}))
    write("resources.jsonl", (14, {"cpu_s": 1.0}), (day + 20, {"cpu_s": 1.0}))
    pause, goes_on = {"command": "pause"}, {"command": "resume"}
    write("commands.jsonl", (2, pause), (3, goes_on), (10, pause),
          (day + 5, pause), (day + 6, pause), (day + 9, {"command": "stop"}))  # fmt: skip
    run = only(tmp_path)
    # 14 minutes to its last record, of which 1 and 4 were paused; then 20, of which 4 were.
    assert run.duration == pytest.approx(60 * (14 - 1 - 4 + 20 - 4))
    assert run.elapsed == pytest.approx(60 * (day + 20))


def test_a_run_that_was_killed_while_it_was_paused_is_not_paused_when_it_is_resumed(tmp_path):
    with record(tmp_path, "fit") as first:
        first.finish(state="stopped")
    row = {"time": "2026-01-01T00:00:00.000Z", "command": "pause"}
    (first.folder / "commands.jsonl").write_text(json.dumps(row) + "\n")
    launched = {"kind": "fit", "resumed": "2026-01-02T00:00:00.000Z"}
    (first.folder / "launch.json").write_text(json.dumps(launched))
    with record(first.folder, "fit") as recorder:
        recorder._obey()
        assert not recorder.paused and not only(tmp_path).paused
        recorder.finish(state="stopped")
