"""The option --run, and the commands of `sk-ednn runs`."""

import csv
import json
import shutil
import signal
import sys

import numpy as np
import pytest

from sk_ednn import EDNNRegressor
from sk_ednn.files import load
from sk_ednn.runs import Recorder, RunFolder

pytest.importorskip("typer")
pytest.importorskip("rich")
pytest.importorskip("skops")

pytestmark = pytest.mark.filterwarnings("ignore:Stochastic Optimizer")


@pytest.fixture
def runs_with_reports(folder):
    """A new folder of runs."""
    path = folder / "runs"
    shutil.rmtree(path, ignore_errors=True)
    yield RunFolder(path)
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def runs(runs_with_reports, monkeypatch):
    """A new folder of runs, without reports, which take long."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)  # as if it was not installed
    return runs_with_reports


def test_a_fit_is_recorded(run, runs, folder):
    said = run("fit small.npz -m quadratic --focus 2 --unit eV --run runs")
    (record,) = runs.runs()
    assert (record.kind, record.status) == ("fit", "finished")
    assert record.settings["model"] == "quadratic" and record.settings["focus"] == "2"
    assert "run" not in record.settings
    assert record.data["fields"]["shapes"] == {"X": [200, 8, 8], "y": [200]}
    assert record.info["unit"] == "eV"
    words = "fit small.npz --model quadratic --focus 2 --unit eV"
    assert record.argv == words.split()
    assert set(record.files()) == {"model.ednn", "predictions.csv", "contributions.npz"}
    assert record.result["test"]["rmse"] < 1e-6
    assert load(record.path / "model.ednn").tiling.focus == 2
    for line in ("reading small.npz", "LinearSolver on 160 systems"):
        assert line in record.log()
    assert "LinearSolver on 160 systems" in said.stdout
    rows = np.genfromtxt(record.path / "predictions.csv", delimiter=",", names=True, dtype=None)
    assert len(rows) == 200 and set(rows["size"]) == {64}
    np.testing.assert_allclose(rows["true"], rows["predicted"], atol=1e-6)
    with np.load(folder / "small.npz") as file:  # each row names its field in the file
        np.testing.assert_array_equal(rows["true"], file["y"][rows["index"]])
    assert sorted(rows["index"]) == list(range(200))
    with np.load(record.path / "contributions.npz") as maps:  # of the first fields held back
        sums = [maps[f"contributions_{k}"].sum() for k in range(8)]
        np.testing.assert_allclose(sums, rows["predicted"][rows["part"] == "test"][:8])
        assert maps["contributions_0"].shape == (4, 4) and maps["field_0"].shape == (8, 8)
    assert record.metrics()["stage"].tolist() == ["fit", "measure"]


def test_the_same_model_is_written_with_and_without_a_run(run, runs, folder):
    run("fit small.npz -m kernel -o plain.ednn --run runs")
    (record,) = runs.runs()
    assert (folder / "plain.ednn").read_bytes() == (record.path / "model.ednn").read_bytes()
    run("fit small.npz -m kernel -o alone.ednn")
    assert (folder / "plain.ednn").read_bytes() == (folder / "alone.ednn").read_bytes()


def test_epochs_of_a_network_are_logged(run, runs):
    pytest.importorskip("skorch")
    run("fit small.npz -m dense --epochs 4 --early-stopping 3 --run runs")
    (record,) = runs.runs()
    columns = record.metrics()
    epochs = columns["step"][np.isfinite(columns["train_loss"])]
    assert epochs.tolist() == [1, 2, 3, 4]
    history = load(record.path / "model.ednn").tile_model_.estimator.history
    for name in ("train_loss", "valid_loss"):
        values = columns[name][np.isfinite(columns[name])]
        np.testing.assert_array_equal(values, history[:, name])
    assert columns["progress"][np.isfinite(columns["progress"])].tolist() == [0.25, 0.5, 0.75, 1.0]
    assert "training.ckpt" not in record.files()  # not needed any more
    run("fit small.npz -m perceptron --epochs 3 --run runs")
    columns = runs.runs()[0].metrics()
    assert np.isfinite(columns["train_loss"]).sum() == 3


def test_failures_are_recorded(run, runs, folder):
    run("fit nan_X.npy y.npy -m kernel --run runs", expected=1)
    (record,) = runs.runs()
    assert record.status == "failed" and "nan" in record.message.lower()
    assert "Traceback" in record.log() and record.result is None


def stopping(monkeypatch, runs, after):
    """Stop the run that is fitted once it has logged so many epochs."""
    log = Recorder.log

    def watched(recorder, step=None, **metrics):
        log(recorder, step, **metrics)
        if "train_loss" in metrics and step == after:
            (record,) = runs.runs()
            record.stop()
            # The thread that looks at commands sends the interrupt: until then, this epoch lasts.
            while True:
                signal.pause()

    monkeypatch.setattr(Recorder, "log", watched)


def test_stop_keeps_the_best_epoch(run, runs, monkeypatch):
    pytest.importorskip("skorch")
    with monkeypatch.context() as patch:
        stopping(patch, runs, after=3)
        run("fit small.npz -m dense --epochs 50 --run runs")
    (record,) = runs.runs()
    assert record.status == "stopped" and "kept is epoch" in record.message
    model = load(record.path / "model.ednn")
    losses = [row["train_loss"] for row in model.tile_model_.estimator.history]
    assert len(losses) == 3
    assert f"kept is epoch {1 + int(np.argmin(losses))}" in record.message
    assert {"model.ednn", "training.ckpt"} <= set(record.files())
    run("fit small.npz -m dense --epochs 50 -o whole.ednn")
    run(f"fit small.npz -m dense --epochs 50 --run runs/{record.id}", force=False)
    assert record.status == "finished"
    whole, resumed = (load(path) for path in ("whole.ednn", record.path / "model.ednn"))
    assert len(resumed.tile_model_.estimator.history) == 50
    X = np.load("large.npy")
    np.testing.assert_array_equal(whole.predict(X), resumed.predict(X))
    columns = record.metrics()
    epochs = columns["step"][np.isfinite(columns["train_loss"])]
    assert epochs.tolist() == list(range(1, 51))


def test_stop_of_what_cannot_be_kept_writes_nothing(run, runs, monkeypatch):
    def fit(*given, **more):
        (record,) = runs.runs()
        record.stop()
        while True:
            signal.pause()

    monkeypatch.setattr(EDNNRegressor, "fit", fit)
    said = run("fit small.npz -m kernel --run runs", expected=130).stderr
    (recorded,) = runs.runs()
    assert (recorded.status, recorded.files()) == ("stopped", {})
    assert "nothing was written" in said


def test_predictions_and_errors_are_recorded(run, runs, folder):
    run("predict model.ednn large.npy --run runs")
    run("predict model.ednn large.npy --contributions -o maps.npz --run runs")
    said = json.loads(run("evaluate model.ednn small.npz --json --run runs").stdout)
    evaluated, mapped, predicted = runs.runs()
    assert [each.kind for each in (predicted, mapped)] == ["predict", "predict"]
    assert evaluated.kind == "evaluate"
    assert predicted.files().keys() == {"predictions.csv"}
    assert predicted.result["n_predicted"] == 3
    assert mapped.files().keys() == {"maps.npz", "totals.csv"}
    assert mapped.file("totals.csv").read_text().startswith("index,total\n")
    assert (folder / "maps.npz").read_bytes() == (mapped.path / "maps.npz").read_bytes()
    assert evaluated.result == said
    assert set(evaluated.data) == {"model", "fields"}


def test_tables_of_a_run_have_the_unit_of_the_model(run, runs):
    run("fit small.npz -m quadratic -o joule.ednn --unit J --run runs")
    run("predict joule.ednn large.npy --contributions -o joule.npz --run runs")
    predicted, fitted = runs.runs()
    header, *_ = predicted.file("totals.csv").read_text().splitlines()
    assert header == "index,total (J),total plus or minus (90 %) (J)"
    assert predicted.result["unit"] == fitted.result["unit"] == "J"


def test_runs_are_listed_shown_and_compared(run, runs, folder):
    assert run("runs list runs").stdout == "no runs in runs\n"
    for alpha in ("quadratic", "cubic"):
        run(f"fit small.npz -m {alpha} --run runs")
    rows = json.loads(run("runs list runs --json").stdout)
    assert [row["status"] for row in rows] == ["finished"] * 2
    assert rows[0]["summary"].startswith("rmse ")
    newest, oldest = (row["id"] for row in rows)
    text = run("runs list runs --kind fit --status finished").stdout
    assert newest in text and oldest in text
    run(f"runs tag runs/{newest} good --note [red]x[/red]")
    assert [row["id"] for row in json.loads(run("runs list runs --tag good --json").stdout)] == [
        newest
    ]
    assert "good" in run("runs list runs --tag good").stdout
    assert json.loads(run("runs list runs --kind predict --json").stdout) == []
    shown = json.loads(run("runs show runs/last --json").stdout)
    assert shown["id"] == newest and shown["settings"]["model"] == "cubic"
    assert shown["note"] == "[red]x[/red]" and "LinearSolver" in shown["log"]
    text = run(f"runs show runs/{newest[-4:]}").stdout
    assert "note: [red]x[/red]" in text and "model: cubic" in text and "LinearSolver" in text
    compared = json.loads(run(f"runs compare runs/{oldest} runs/{newest} --json").stdout)
    assert compared["settings"] == {"model": ["quadratic", "cubic"]}
    assert "test.rmse" in compared["results"][oldest]
    text = run(f"runs compare runs/{oldest} runs/{newest}").stdout
    assert "quadratic" in text and "settings are the same" in text
    run("runs export runs -o all.csv")
    assert (folder / "all.csv").read_text(encoding="utf-8").count("\n") == 3
    said = run("runs export runs -o all.csv", expected=1, force=False).stderr
    assert said.startswith("error: all.csv exists")
    run(f"runs export runs -o all.zip --only {newest}")
    said = run(f"runs export runs -o runs/{newest}/predictions.csv", expected=1).stderr
    assert "is in the folder of a run that is exported" in said


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("runs show runs/last", "There are no runs in runs."),
        ("runs show runs/20261129-014512-3f2a", "There is no run 20261129-014512-3f2a in runs."),
        ("runs show runs/..", "Expected the id of a run"),
        ("runs export runs", "Give either --output FILE.csv or FILE.zip, or --to mlflow."),
        ("runs export runs -o a.txt", "--output must end in .csv or .zip, got a.txt."),
        ("runs export runs --to wandb", "--to must be mlflow, got 'wandb'."),
    ],
)
def test_errors_of_runs_are_one_line(line, said, run, runs):
    message = run(line, expected=1).stderr
    assert message.startswith(f"error: {said}") and message.count("\n") == 1


def test_only_runs_that_go_on_take_commands(run, runs):
    run("fit small.npz -m quadratic --run runs")
    for command, said in (("stop", "is finished: only a running one takes commands"),
                          ("pause", "is finished: only a running"),
                          ("resume", "is finished: there is nothing to resume")):  # fmt: skip
        assert said in run(f"runs {command} runs/last", expected=1).stderr
    (record,) = runs.runs()
    said = run(f"fit small.npz -m quadratic --run runs/{record.id}", expected=1).stderr
    assert "is finished. Only runs that were killed" in said


def test_the_recorder_is_not_part_of_the_model(run, runs, monkeypatch):
    pytest.importorskip("skorch")
    fit, fitted = EDNNRegressor.fit, []
    monkeypatch.setattr(EDNNRegressor, "fit", lambda *given: fitted.append(fit(*given)))
    run("fit small.npz -m dense --epochs 1 --run runs")
    for solver in (fitted[0].solver, fitted[0].solver_):
        assert solver.callback is None and solver.checkpoint is None


@pytest.mark.slow
def test_potentials_are_recorded_and_stopped(run, runs, folder, monkeypatch):
    for name in ("vesin", "ase", "sphericart", "torch"):
        pytest.importorskip(name)
    from ase import io

    from tests._labelled import labelled_atoms

    io.write(folder / "train.extxyz", labelled_atoms(20))
    run("fit train.extxyz --epochs 3 --cutoff 4 --run runs")
    (record,) = runs.runs()
    columns = record.metrics()
    epochs = np.isfinite(columns["loss"])
    assert columns["step"][epochs].tolist() == [1, 2, 3]
    assert columns["progress"][epochs][-1] == 1.0
    potential = load(record.path / "model.ednn")
    assert potential.checkpoint is None and potential.trainer.callback is None
    with open(record.path / "predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 20 and all(np.isfinite(float(row["true"])) for row in rows)
    for row in rows:
        assert row["structure"].startswith(f"train.extxyz, structure {row['index']} ")
    assert "training.ckpt" not in record.files()
    run(f"predict runs/{record.id}/model.ednn train.extxyz --run runs")
    predicted = runs.runs()[0]
    assert set(predicted.files()) == {"predictions.csv", "predictions.extxyz"}
    atoms = io.read(predicted.path / "predictions.extxyz", ":")
    energies = [each.get_potential_energy() for each in atoms]
    given = io.read(folder / "train.extxyz", ":")
    np.testing.assert_allclose(potential.predict(given), energies, rtol=1e-7, atol=1e-8)
    log = Recorder.log

    def watched(recorder, step=None, **metrics):
        log(recorder, step, **metrics)
        if "loss" in metrics and step == 2:
            runs.runs()[0].stop()
            while True:
                signal.pause()

    with monkeypatch.context() as patch:
        patch.setattr(Recorder, "log", watched)
        run("fit train.extxyz --epochs 9 --cutoff 4 --run runs")
    stopped = runs.runs()[0]
    assert (stopped.status, stopped.message) == ("stopped", "interrupted after 2 epochs")
    run(f"fit train.extxyz --epochs 9 --cutoff 4 --run runs/{stopped.id}", force=False)
    run("fit train.extxyz --epochs 9 --cutoff 4 -o whole.ednn")
    assert stopped.status == "finished"
    new = labelled_atoms(4, seed=5)
    np.testing.assert_array_equal(
        load(stopped.path / "model.ednn").predict(new), load(folder / "whole.ednn").predict(new)
    )


@pytest.mark.slow
def test_counting_is_recorded_and_stopped(run, runs, folder, monkeypatch):
    for name in ("torch", "skorch", "PIL", "tifffile", "openpyxl"):
        pytest.importorskip(name)
    from PIL import Image

    from sk_ednn.datasets import make_pictures

    data = make_pictures(12, (48, 48), random_state=0)
    (folder / "photos").mkdir(exist_ok=True)
    lines = ["name,cells"]
    for k, (picture, total) in enumerate(zip(data.pictures, data.totals, strict=True)):
        values = np.asarray(picture, dtype=float)
        scaled = np.uint8(255 * (values - values.min()) / np.ptp(values))
        Image.fromarray(scaled.squeeze()).save(folder / "photos" / f"p{k}.png")
        lines.append(f"p{k}.png,{float(total)}")
    (folder / "cells.csv").write_text("\n".join(lines), encoding="utf-8")
    run("count fit photos cells.csv --epochs 3 --minutes 5 --jobs 1 --run runs")
    (record,) = runs.runs()
    columns = record.metrics()
    assert {"error", "error_2", "train_error", "progress"} <= set(columns)
    assert np.nanmax(columns["progress"]) == 1.0
    assert {"model.ednn", "predictions.csv"} <= set(record.files())
    assert record.data["pictures"]["n_files"] == 12
    run("count predict runs/" + record.id + "/model.ednn photos --run runs")
    counted = runs.runs()[0]
    assert {"counts.csv", "counts.xlsx"} <= set(counted.files())
    assert any(name.startswith("maps/") for name in counted.files())
    log = Recorder.log

    def watched(recorder, step=None, **metrics):
        log(recorder, step, **metrics)
        if "progress" in metrics and not recorder.stop_requested:
            runs.runs()[0].stop()
            while not recorder.stop_requested:
                pass

    with monkeypatch.context() as patch:
        patch.setattr(Recorder, "log", watched)
        run("count fit photos cells.csv --epochs 90 --minutes 5 --jobs 1 --run runs")
    stopped = runs.runs()[0]
    assert stopped.status == "stopped" and "the best weights are kept" in stopped.message
    assert "model.ednn" in stopped.files()
    assert np.nanmax(stopped.metrics()["progress"]) < 0.1


def test_a_search_is_recorded(run, runs_with_reports, folder):
    pytest.importorskip("yaml")
    pytest.importorskip("ase_ga")
    (folder / "search.yaml").write_text(
        "composition: Cu2\nstore: cu.db\nvolume: 12.0\nn_initial: 4\n"
        "labeller: {calculator: ase.calculators.emt.EMT, parameters: {asap_cutoff: false}}\n"
    )
    (folder / "cu.db").unlink(missing_ok=True)
    run("search run search.yaml --n-labels 4 --run runs")
    (record,) = runs_with_reports.runs()
    assert (record.kind, record.status) == ("search", "finished")
    assert record.result["n_labels"] == 4 and record.result["reason"] == "labels"
    assert record.data["settings"]["sha256"]
    columns = record.metrics()
    assert columns["step"][-1] == 4 and columns["progress"][-1] == 1.0
    assert columns["lowest"][-1] == pytest.approx(record.result["energy"])
    assert {"search.yaml", "report.html"} <= set(record.files())


@pytest.mark.parametrize("content", [b"PK no more", None, np.zeros(3, int), np.full(2, np.nan)])
def test_a_clock_that_is_none_is_rejected(content, folder):
    from types import SimpleNamespace

    from sk_ednn.cli._runs import kept_clock

    path = folder / "clock.npz"
    path.unlink(missing_ok=True)
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        np.savez(path, potential=content)
    options = SimpleNamespace(clock=path, recorder=None)
    with pytest.raises(ValueError, match="must be the clock"):
        with kept_clock(options, True):
            pass
