"""Runs in their own processes: started, stopped, repeated, killed, resumed."""

import json
import os
import signal
import time
import zipfile

import numpy as np
import psutil
import pytest

from sk_ednn.datasets import make_ising
from sk_ednn.files import load
from sk_ednn.runs import RunFolder, launch, repeat, resume

pytest.importorskip("typer")
pytest.importorskip("skops")

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def spins(tmp_path_factory):
    path = tmp_path_factory.mktemp("launched") / "spins.npz"
    data = make_ising(60, (6, 6), sampling="flat", random_state=0)
    np.savez(path, X=data.fields, y=data.energies)
    return path


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.setenv(name, "1")


def waited(run, states=("finished",), seconds=300):
    """Wait until a run is no longer running."""
    end = time.monotonic() + seconds
    while run.status == "running" and time.monotonic() < end:
        time.sleep(0.05)
    assert run.status in states, f"{run.status}: {run.message}\n{run.log(tail=30)}"
    return run


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["demo"], "Commands that can be recorded are fit, predict"),
        ([], "Commands that can be recorded are fit, predict"),
        (["count", "report"], "Commands that can be recorded"),
        ("fit spins.npz", "argv must be a list of words"),
        (["fit", 3], "argv must be a list of words"),
        (["fit", "a\0b"], "must not contain null characters"),
        (["fit", "a", "--run", "b"], "Leave --run out of argv"),
        (["fit", "a", "--run=b"], "Leave --run out of argv"),
    ],
)
def test_what_is_launched_is_checked(argv, said, tmp_path):
    with pytest.raises(ValueError, match=said):
        launch(tmp_path / "runs", argv)
    assert not (tmp_path / "runs").exists()


def test_a_process_that_does_not_begin_is_shown_as_failed(tmp_path):
    """Words are never given to a shell."""
    argv = ["fit", "$(touch hacked); x.npz", "--focuss", "2"]
    run = launch(tmp_path / "runs", argv, cwd=tmp_path)
    assert (run.kind, run.argv) == ("fit", argv)
    waited(run, ("failed",))
    assert "No such option: --focuss" in run.message
    assert os.listdir(tmp_path) == ["runs"]


def test_modules_in_the_folder_of_a_command_are_not_run(tmp_path):
    """A run of somebody else may name any folder as its own."""
    evil = tmp_path / "evil"
    (evil / "sk_ednn").mkdir(parents=True)
    code = f"open({str(tmp_path / 'hacked')!r}, 'w')"
    for name in ("sk_ednn/__init__.py", "sk_ednn/__main__.py", "sitecustomize.py", "numpy.py",
                 "typer.py", "psutil.py", "json.py"):  # fmt: skip
        (evil / name).write_text(code)
    run = waited(
        launch(tmp_path / "runs", ["evaluate", "no.ednn", "no.npz"], cwd=evil), ("failed",)
    )
    assert "no.ednn" in run.message
    assert not (tmp_path / "hacked").exists()


@pytest.mark.slow
def test_two_at_once_outlive_whoever_started_them(spins, tmp_path):
    code = f"""if True:
        from sk_ednn.runs import launch
        for model in ("quadratic", "kernel"):
            launch({str(tmp_path)!r}, ["fit", {str(spins)!r}, "-m", model])
    """
    import subprocess
    import sys

    subprocess.run([sys.executable, "-c", code], check=True)
    runs = RunFolder(tmp_path).runs()
    assert [run.status for run in runs] == ["running", "running"]
    for run in runs:
        waited(run)
        assert {"model.ednn", "predictions.csv"} <= set(run.files())
        assert "written to" in run.log()
    assert {run.settings["model"] for run in runs} == {"quadratic", "kernel"}


@pytest.mark.slow
def test_stop_and_resume_give_the_model_of_an_undisturbed_fit(spins, tmp_path):
    pytest.importorskip("skorch")
    argv = ["fit", str(spins), "-m", "dense", "--epochs", "300"]
    run = launch(tmp_path, argv)
    while not run.progress:
        assert run.status == "running"
        time.sleep(0.02)
    run.stop()
    waited(run, ("stopped",))
    assert "kept is epoch" in run.message and "model.ednn" in run.files()
    assert resume(run) is run
    waited(run)
    assert np.nanmax(run.metrics()["progress"]) == 1.0
    whole = waited(launch(tmp_path, argv))
    X = make_ising(3, (12, 12), random_state=1).fields
    one, two = (load(each.path / "model.ednn").predict(X) for each in (run, whole))
    np.testing.assert_array_equal(one, two)
    with pytest.raises(ValueError, match="is finished: there is nothing to resume"):
        resume(run)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["kernel", "dense"])
def test_repeat_makes_the_same_model_or_says_what_differs(model, spins, tmp_path):
    data = tmp_path / "spins.npz"
    data.write_bytes(spins.read_bytes())
    more = ["--epochs", "5"] if model == "dense" else []
    run = waited(launch(tmp_path / "runs", ["fit", "spins.npz", "-m", model, *more], cwd=tmp_path))
    result = repeat(run)
    assert (result.same, result.differences) == (True, [])
    assert result.run.settings == run.settings and result.run.id != run.id
    # Another version then, and other data now.
    path = run.path / "run.json"
    described = json.loads(path.read_text())
    described["versions"]["numpy"] = "1.0"
    path.write_text(json.dumps(described))
    with np.load(spins) as file:
        np.savez(data, X=file["X"], y=file["y"] + 1)
    result = repeat(run)
    assert not result.same
    text = "\n".join(result.differences)
    assert f"versions: numpy 1.0 then, {np.__version__} now" in text
    assert "data: fields (spins.npz) has other content" in text and "model.ednn" in text
    data.unlink()
    with pytest.raises(ValueError, match=r"spins.npz\) does not exist any more"):
        repeat(run)


# A training in miniature: its state is saved after each epoch, before or after it is logged.
WORK = """
import json, os, sys, time
from pathlib import Path
from sk_ednn.runs import RunFolder, record

root = Path(sys.argv[1])
known = RunFolder(root).runs()
with record(known[0].path if known else root, "fit", settings={"alpha": 0.1}) as run:
    state = run.path("state.json")
    done = json.loads(state.read_text()) if state.exists() else 0
    for epoch in range(done + 1, 10**9):
        run.log(epoch, loss=1 / epoch, note="x" * 200)
        temporary = run.path("state.tmp")
        temporary.write_text(json.dumps(epoch))
        os.replace(temporary, state)
        time.sleep(0.001)
"""


def _lines(root):
    (run,) = RunFolder(root).runs()
    return len((run.path / "status.jsonl").read_text().splitlines())


@pytest.mark.slow
def test_kill_9_at_thirty_random_moments(tmp_path):
    """run.json is whole or its folder is not there, the status is right, and the run goes on."""
    import subprocess
    import sys

    rng = np.random.default_rng(0)
    root, n_started, n_epochs = tmp_path / "runs", 0, 0
    for k in range(30):
        child = subprocess.Popen([sys.executable, "-c", WORK, str(root)])
        end = time.monotonic() + 300
        while not n_epochs and not RunFolder(root).runs() and time.monotonic() < end:
            time.sleep(0.001)  # the first ones are killed as early as can be
        # Of the others every second one has begun to work, however long that takes.
        while n_epochs and k % 2 and _lines(root) <= n_started and time.monotonic() < end:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.02 if not n_epochs else 2.0))
        child.kill()
        child.wait()
        (run,) = RunFolder(root).runs()
        assert json.loads((run.path / "run.json").read_text())["id"] == run.id
        rows = [json.loads(line) for line in (run.path / "status.jsonl").read_text().splitlines()]
        assert {row["state"] for row in rows} == {"started"}
        assert run.status == "killed"
        n_started = max(n_started, len(rows))
        columns = run.metrics()
        epochs = columns.get("step", np.zeros(0))
        assert epochs.tolist() == list(range(1, len(epochs) + 1))
        assert len(epochs) >= n_epochs
        n_epochs = len(epochs)
        run.tag(f"killed {n_started} times")
    assert n_started > 5 and n_epochs > 100


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_fit_that_is_killed_ends_as_if_undisturbed(spins, tmp_path):
    pytest.importorskip("skorch")
    argv = ["fit", str(spins), "-m", "dense", "--epochs", "200"]
    whole = waited(launch(tmp_path / "whole", argv))
    run, rng = launch(tmp_path / "runs", argv), np.random.default_rng(0)
    for target in rng.uniform(0.05, 0.9, 4).cumsum() / 4:
        while (run.progress or 0) < target and run.status == "running":
            time.sleep(0.01)
        pid = json.loads((run.path / "launch.json").read_text())["process"]["pid"]
        assert psutil.Process(pid).cmdline()[1:4] == ["-P", "-m", "sk_ednn"]
        os.kill(pid, signal.SIGKILL)
        while run.status == "running":
            time.sleep(0.01)
        assert run.status == "killed"
        resume(run)
        with pytest.raises(ValueError, match="is running: there is nothing to resume"):
            resume(run)
    waited(run)
    X = make_ising(3, (12, 12), random_state=1).fields
    one, two = (load(each.path / "model.ednn").predict(X) for each in (run, whole))
    np.testing.assert_array_equal(one, two)
    columns = run.metrics()
    epochs = columns["step"][np.isfinite(columns["train_loss"])]
    assert epochs.tolist() == list(range(1, 201))


def test_libraries_that_one_process_alone_had_loaded_make_no_difference(tmp_path):
    """The model file of a linear model lists torch if something else had imported it."""
    from sk_ednn.runs._launch import _models_differ

    def write(name, versions, weights=b"1"):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("config.json", json.dumps({"versions": versions, "model": "m"}))
            archive.writestr("weights", weights)
        return tmp_path / name

    one = write("one.ednn", {"numpy": "2.0"})
    assert _models_differ(one, write("two.ednn", {"numpy": "2.0", "torch": "2.5"})) == []
    other = write("three.ednn", {"numpy": "2.1", "torch": "2.5"}, b"2")
    assert _models_differ(one, other) == ["versions.numpy differs", "weights differs"]
