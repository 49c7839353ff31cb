"""Folders of runs: listed, compared, and hostile."""

import json
import os
import socket

import pytest

from sk_ednn.runs import Run, RunFolder, record


@pytest.fixture
def made(tmp_path):
    """A folder with one finished run."""
    with record(tmp_path / "runs", "fit", settings={"alpha": 0.1}) as recorder:
        recorder.log(1, loss=1.0)
        recorder.finish({"error": 0.5})
    return recorder.folder


def many(folder, n):
    """Write finished runs by hand."""
    for k in range(n):
        path = folder / f"20261129-{k // 3600:02d}{k // 60 % 60:02d}{k % 60:02d}-{k:04x}"
        path.mkdir(parents=True)
        described = {"id": path.name, "kind": "fit", "settings": {"seed": k},
                     "started": "2026-11-29T00:00:00.000Z"}  # fmt: skip
        (path / "run.json").write_text(json.dumps(described))
        lines = [
            {"time": "2026-11-29T00:00:00.000Z", "state": "started"},
            {"time": "2026-11-29T00:00:02.500Z", "state": "finished", "message": ""},
        ]
        (path / "status.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        (path / "result.json").write_text(json.dumps({"error": k}))


def test_a_thousand_runs_are_read_once(tmp_path, monkeypatch):
    many(tmp_path, 1000)
    opened, os_open = [], os.open

    def counted(path, flags, *args, **kwargs):
        if not flags & (os.O_WRONLY | os.O_RDWR):
            opened.append(path)
        return os_open(path, flags, *args, **kwargs)

    monkeypatch.setattr(os, "open", counted)
    folder = RunFolder(tmp_path)

    def rows():
        return [(r.id, r.kind, r.status, r.duration, r.result["error"], r.tags, r.progress)
                for r in folder.runs()]  # fmt: skip

    first = rows()
    assert [row[4] for row in first] == list(range(999, -1, -1))  # the newest first
    assert {row[1:4] for row in first} == {("fit", "finished", 2.5)}
    assert len(opened) == 3 * 1000  # run.json, status.jsonl and result.json, once each
    assert rows() == first
    assert len(opened) == 3 * 1000
    folder.runs()[0].tag("best")
    assert rows()[0][5] == ["best"]
    assert len(opened) == 3 * 1000 + 1


def test_only_folders_of_runs_are_listed(made):
    folder = made.parent
    (folder / "notes").mkdir()
    (folder / ".0123.tmp").mkdir()
    (folder / "20261129-000000-0000").write_text("a file")
    os.symlink(made, folder / "20261129-000000-0001")
    assert [run.id for run in RunFolder(folder).runs()] == [made.name]
    assert RunFolder(folder / "none").runs() == []
    assert RunFolder(made / "run.json").runs() == []
    with pytest.raises(FileNotFoundError, match="There is no run in"):
        Run(folder / "20261129-000000-0001")


@pytest.mark.parametrize(
    "name",
    ["..", ".", "", "../..", "../20261129-000000-0000", "20261129-000000-0000/..", "a/b", "/etc",
     "20261129-000000-0000\n", "20261129-000000-0000\0", "٢٠٢٦١١٢٩-000000-0000", "*", "C:\\x"],
)  # fmt: skip
def test_ids_that_are_none_are_refused(name, made):
    with pytest.raises((ValueError, KeyError)):
        RunFolder(made.parent)[name]


def test_ids_may_be_shortened(made):
    folder = RunFolder(made.parent)
    assert folder[made.name].id == folder[made.name[:8]].id == folder[made.name[-4:]].id
    with record(made.parent, "fit"):
        pass
    with pytest.raises(ValueError, match=r"2 runs in .* begin or end with 20"):
        folder["20"]
    with pytest.raises(KeyError, match="There is no run 20000101-000000-abcd"):
        folder["20000101-000000-abcd"]


def test_files_outside_the_folder_are_not_reached(made, tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "inner.txt").write_text("secret")
    os.symlink(secret, made / "link.txt")
    os.symlink(tmp_path / "folder", made / "maps")
    os.symlink("/dev/zero", made / "zero")
    os.mkfifo(made / "pipe")
    (made / "sub").mkdir()
    (made / "sub" / "map.tif").write_text("map")
    (made / ".hidden").write_text("x")
    run = Run(made)
    assert run.files() == {"sub/map.tif": 3}
    assert run.file("sub/map.tif").read_text() == "map"
    assert run.file("run.json").name == "run.json"
    for name in ("link.txt", "maps/inner.txt", "../secret.txt", "/etc/passwd", "sub/../run.json",
                 "./run.json", "sub//map.tif", "", ".", "..", "run.json/", "pipe", "zero", "sub",
                 "..\\secret.txt", "run.json\0", "c:run.json", "none"):  # fmt: skip
        with pytest.raises(FileNotFoundError, match="has no file"):
            run.file(name)


RECORDS = ["run.json", "status.jsonl", "metrics.jsonl", "resources.jsonl", "commands.jsonl",
           "tags.json", "result.json", "log.txt"]  # fmt: skip


@pytest.mark.parametrize("name", RECORDS)
def test_records_that_are_links_or_pipes_are_not_read(name, made, tmp_path):
    """Nor do they stop a listing: a pipe would wait for ever."""
    (tmp_path / "other").write_text('{"kind": "secret", "state": "secret", "tags": ["secret"]}\n')
    for make in (lambda path: os.symlink(tmp_path / "other", path), os.mkfifo):
        path = made / name
        path.unlink(missing_ok=True)
        make(path)
        run = Run(made)
        seen = (run.kind, run.status, run.message, run.tags, run.note, run.log(), run.result,
                run.metrics(), run.resources(), run.paused, run.duration, run.progress)  # fmt: skip
        assert "secret" not in repr(seen)
        assert name not in run.files()
        path.unlink()


VALUES = [
    b"", b"{", b"null", b"[]", b'"text"', b"1e999", b"[" * 100_000, b"\xff\xfe\0\0", b"{" * 50_000,
    b'{"kind": 3, "settings": [], "data": 5, "started": {}, "process": "x", "versions": 7}',
    b'{"kind": "fit", "data": {"x": 3}, "started": "yesterday", "process": {"pid": -1}}',
    b'{"kind": "fit", "process": {"pid": 1e30, "created": "now", "host": ["h"]}, "argv": "fit"}',
    b'{"tags": "text", "note": {}}', b'{"tags": [1, null, "ok"], "note": 1}',
]  # fmt: skip


@pytest.mark.parametrize("name", RECORDS)
@pytest.mark.parametrize("value", VALUES, ids=[str(value[:12]) for value in VALUES])
def test_damaged_records_never_stop_a_reader(name, value, made):
    (made / name).write_bytes(value + b"\n")
    if name == "run.json":
        host = json.dumps({"state": "started", "host": socket.gethostname()})
        (made / "status.jsonl").write_text(host + "\n")
    folder = RunFolder(made.parent)
    (run,) = folder.runs()
    assert run.status in ("running", "finished", "failed", "stopped", "killed")
    assert isinstance(run.message, str) and isinstance(run.kind, str)
    assert run.duration >= 0
    assert all(isinstance(tag, str) for tag in run.tags) and isinstance(run.note, str)
    for columns in (run.metrics(), run.resources()):
        assert len({len(values) for values in columns.values()}) <= 1
    assert isinstance(run.log(), str)
    folder.compare([run.id])


def test_huge_descriptions_are_not_parsed(made):
    with open(made / "run.json", "wb") as file:
        file.truncate(2**31)
    assert Run(made).kind == "unknown"


def test_comparison_marks_what_differs(tmp_path):
    X = tmp_path / "x.txt"
    ids = []
    for alpha, text in ((0.1, "a"), (0.2, "a"), (0.1, "b")):
        X.write_text(text)
        with record(
            tmp_path / "runs", "fit", settings={"alpha": alpha, "seed": 0}, data={"X": X}
        ) as r:
            r.log(1, loss=alpha)
            r.finish({"error": alpha})
        ids.append(r.id)
    result = RunFolder(tmp_path / "runs").compare(ids)
    assert result.ids == ids and set(result.settings) == {"alpha", "data.X"}
    assert result.settings["alpha"] == [0.1, 0.2, 0.1]
    assert (
        result.settings["data.X"][0] == result.settings["data.X"][1] != result.settings["data.X"][2]
    )
    assert result.same["seed"] == 0 and "versions.numpy" in result.same
    assert [result.metrics[id]["loss"][0] for id in ids] == [0.1, 0.2, 0.1]
    assert result.results[ids[1]] == {"error": 0.2}


def test_a_folder_of_runs_is_asked_for(made, tmp_path):
    with pytest.raises(ValueError, match=r"is finished\. Only runs that were killed"):
        record(made, "fit", settings={"alpha": 0.1}).__enter__()
    (made / "status.jsonl").write_text('{"state": "stopped"}\n')
    with pytest.raises(ValueError, match=r"was started with other settings \(alpha\)"):
        record(made, "fit", settings={"alpha": 0.2}).__enter__()
    with pytest.raises(ValueError, match="is a run of fit, this is predict"):
        record(made, "predict", settings={"alpha": 0.1}).__enter__()
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "run.json").write_text("{}")
    with pytest.raises(ValueError, match="is not a folder of runs"):
        record(tmp_path / "odd", "fit")
    for kind in ("", "Fit", "../fit", "fit fit", None):
        with pytest.raises(ValueError, match="The kind of a run must be"):
            record(tmp_path, kind)
    with record(tmp_path / "runs", "fit") as recorder:
        for name in ("../x", "a/b", ".x", ""):
            with pytest.raises(ValueError, match="name of a file without folders"):
                recorder.path(name)


def test_what_cannot_be_repeated_or_resumed_says_why(made, tmp_path):
    from sk_ednn.runs import repeat, resume

    with pytest.raises(ValueError, match="was recorded in Python, so there is no command"):
        repeat(made)
    with pytest.raises(ValueError, match="was recorded in Python"):
        resume(made)
    for kind, argv, said in (
        ("search", ["search", "run", "a.yaml"], r"data: fields \(gone.npz\) does not exist any"),
        ("fit", ["fit", "a.npz"], r"data: fields \(gone.npz\) does not exist any more"),
    ):
        data = {"fields": tmp_path / "gone.npz"}
        (tmp_path / "gone.npz").write_bytes(b"1")
        with record(made.parent, kind, argv=argv, data=data) as recorder:
            pass
        path = recorder.folder / "run.json"
        path.write_text(path.read_text().replace(str(tmp_path / "gone.npz"), "gone.npz"))
        (tmp_path / "gone.npz").unlink()
        with pytest.raises(ValueError, match=said):
            repeat(recorder.folder)
    with pytest.raises(ValueError, match="is finished: there is nothing to resume"):
        resume(recorder.folder)
    described = json.loads(path.read_text())
    path.write_text(json.dumps({**described, "cwd": "/nowhere"}))
    with pytest.raises(ValueError, match=r"The folder /nowhere in which run .* was started"):
        repeat(recorder.folder)


def test_files_to_write_are_left_out_of_a_repetition(made):
    argv, again = ["fit", "a.npz", "--output", "b.ednn"], ["fit", "a.npz"]
    with record(made.parent, "fit", argv=argv, about={"repeat": again}) as recorder:
        pass
    run = Run(recorder.folder)
    assert (run.argv, run.repeat_argv) == (argv, again)
    assert Run(made).repeat_argv is None


def test_nothing_is_written_through_links(made, tmp_path):
    """Tagging or resuming a run of somebody else must not replace files elsewhere."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    for name in ("tags.json", "commands.jsonl", "model.ednn"):
        os.symlink(victim, made / name)
    run = Run(made)
    run.tag("good")
    assert run.tags == ["good"] and not (made / "tags.json").is_symlink()
    status = {"state": "started", "time": "2026-11-29T00:00:00.000Z"}
    process = json.loads((made / "run.json").read_text())["process"]
    (made / "status.jsonl").write_text(json.dumps({**status, **process}) + "\n")
    with pytest.raises(OSError, match="symbolic link"):
        Run(made).stop()
    (made / "status.jsonl").write_text('{"state": "stopped"}\n')
    with pytest.raises(ValueError, match=r"has symbolic links \(commands.jsonl, model.ednn\)"):
        record(made, "fit", settings={"alpha": 0.1}).__enter__()
    with record(made.parent, "fit") as recorder:
        os.symlink(victim, recorder.folder / "result.json")
        os.symlink(victim, recorder.folder / "copy.txt")
        recorder.keep(made / "run.json", "copy.txt")
        recorder.finish({"error": 1.0})
    assert Run(recorder.folder).result == {"error": 1.0}
    assert victim.read_text() == "precious"
