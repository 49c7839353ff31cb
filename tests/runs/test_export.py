"""Runs as tables and archives, and in MLflow."""

import csv
import io
import os
import zipfile

import pytest

from sk_ednn.exceptions import MissingExtraError
from sk_ednn.runs import RunFolder, export_csv, export_mlflow, export_zip, record


@pytest.fixture
def folder(tmp_path):
    for alpha in (0.1, 0.2):
        settings = {"alpha": alpha, "name": "=1+1", "sizes": [1, 2]}
        with record(tmp_path / "runs", "fit", settings=settings) as recorder:
            recorder.log(1, loss=2.0)
            recorder.log(2, loss=1.0, valid_loss=float("nan"))
            recorder.path("model.ednn").write_bytes(b"weights")
            recorder.finish({"test": {"rmse": alpha}, "verdict": "good"})
    runs = RunFolder(tmp_path / "runs")
    runs.runs()[0].tag("best", note='a, "quoted"\nnote')
    return runs


def test_a_table_has_a_row_a_run(folder, tmp_path):
    export_csv(folder.runs(), tmp_path / "runs.csv")
    with open(tmp_path / "runs.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == [run.id for run in folder.runs()]
    assert {float(row["settings.alpha"]) for row in rows} == {0.1, 0.2}
    assert rows[0]["note"] == 'a, "quoted"\nnote' and rows[0]["tags"] == "best"
    assert rows[0]["settings.name"] == "'=1+1"  # spreadsheets would compute it
    assert rows[0]["settings.sizes"] == "[1, 2]"
    assert float(rows[1]["result.test.rmse"]) == float(rows[1]["settings.alpha"])


def test_an_archive_can_be_taken_in(folder, tmp_path):
    first = folder.runs()[0]
    os.symlink("/etc/passwd", first.path / "link.txt")
    export_zip(folder.runs(), tmp_path / "a.zip")
    export_zip(folder.runs(), tmp_path / "b.zip")
    content = (tmp_path / "a.zip").read_bytes()
    assert content == (tmp_path / "b.zip").read_bytes()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert not [name for name in archive.namelist() if "link" in name]
        archive.extractall(tmp_path / "other")
    other = RunFolder(tmp_path / "other")
    assert [run.id for run in other.runs()] == [run.id for run in folder.runs()]
    for one, two in zip(folder.runs(), other.runs(), strict=True):
        assert (one.status, one.result, one.tags, one.note) == (
            two.status, two.result, two.tags, two.note
        )  # fmt: skip
        assert two.files() == {"model.ednn": 7}


def test_mlflow_has_settings_curves_and_files(folder, tmp_path, monkeypatch):
    pytest.importorskip("mlflow")
    pytest.importorskip("alembic")
    from mlflow.tracking import MlflowClient

    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    ids = export_mlflow(folder.runs(), tracking_uri=uri)
    assert export_mlflow(folder.runs(), tracking_uri=uri) == ids  # once
    client = MlflowClient(uri)
    for id, run in zip(ids, folder.runs(), strict=True):
        kept = client.get_run(id)
        assert kept.info.status == "FINISHED"
        assert kept.data.params["alpha"] == str(run.settings["alpha"])
        assert kept.data.metrics["result.test.rmse"] == run.settings["alpha"]
        assert kept.data.tags["sk-ednn.id"] == run.id
        history = client.get_metric_history(id, "loss")
        assert [(point.step, point.value) for point in history] == [(1, 2.0), (2, 1.0)]
        assert [each.path for each in client.list_artifacts(id)] == ["model.ednn"]


def test_without_mlflow_the_extra_is_named(folder, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "mlflow", None)
    monkeypatch.setitem(__import__("sys").modules, "mlflow.entities", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'sk-ednn\[mlflow\]'"):
        export_mlflow(folder.runs())
