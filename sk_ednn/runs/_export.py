"""Export runs as tables, archives, and to MLflow."""

from __future__ import annotations

import csv
import json
import os
import zipfile

import numpy as np

from .._utils.optional import needing
from .._utils.writing import replacing
from ._files import plain
from ._ids import seconds_of
from ._run import _FINAL, _OWN

_TIME_OF_ZIP = (1980, 1, 1, 0, 0, 0)
# Maximum number that MLflow takes at once.
_PARAMS, _METRICS, _PARAM_LENGTH = 100, 1000, 6000
_STATES = {"finished": "FINISHED", "failed": "FAILED", "stopped": "KILLED", "killed": "KILLED"}


def export_csv(runs, path) -> None:
    """Write one row per run: id, kind, status, times, tags, settings and final metrics.

    Parameters
    ----------
    runs : sequence of Run
    path : str or Path
        Replaced at once.
    """
    rows = []
    for run in runs:
        row = {
            "id": run.id, "kind": run.kind, "status": run.status, "started": run.started,
            "seconds": f"{run.duration:.3f}", "tags": " ".join(run.tags), "note": run.note,
            "message": run.message,
        }  # fmt: skip
        row |= {f"settings.{name}": _cell(value) for name, value in run.settings.items()}
        row |= {f"result.{name}": value for name, value in numbers_in(run.result or {}).items()}
        rows.append(row)
    names = list(dict.fromkeys(name for row in rows for name in row))
    with replacing(path, "w", encoding="utf-8") as file:
        table = csv.DictWriter(file, names, restval="", lineterminator="\n")
        table.writeheader()
        for row in rows:
            table.writerow({name: _harmless(value) for name, value in row.items()})


def export_zip(runs, path) -> None:
    """Write all files of runs into an archive, which can be unpacked in another folder of runs.

    Parameters
    ----------
    runs : sequence of Run
    path : str or Path
        Replaced at once.
    """
    with replacing(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for run in runs:
            records = [name for name in _OWN if (run.path / name).is_file()]
            for name in [*records, *run.files()]:
                try:
                    source = run.file(name)
                except FileNotFoundError:  # a link, or removed meanwhile
                    continue
                info = zipfile.ZipInfo(f"{run.id}/{name}", _TIME_OF_ZIP)
                info.compress_type = zipfile.ZIP_DEFLATED
                info.external_attr = 0o644 << 16
                with open(source, "rb") as stream, archive.open(info, "w", force_zip64=True) as out:
                    while chunk := stream.read(2**20):
                        out.write(chunk)


def export_mlflow(runs, *, tracking_uri=None, experiment="sk-ednn", artifacts=True) -> list[str]:
    """Copy runs to MLflow, with settings, metrics, tags and files.

    Parameters
    ----------
    runs : sequence of Run
        Running ones are skipped.
    tracking_uri : str, default=None
        Such as "sqlite:///mlflow.db"; None for the default of MLflow (MLFLOW_TRACKING_URI).
    experiment : str, default="sk-ednn"
    artifacts : bool, default=True
        Whether to copy files.

    Returns
    -------
    list of str
        Ids of the runs in MLflow. Runs that were copied before are not copied again.

    Raises
    ------
    MissingExtraError
        If MLflow is not installed.
    """
    with needing("Exporting to MLflow"):
        from mlflow.entities import Metric, Param, RunTag
        from mlflow.tracking import MlflowClient

        client = MlflowClient(tracking_uri=tracking_uri)
        existing = client.get_experiment_by_name(experiment)
    number = client.create_experiment(experiment) if existing is None else existing.experiment_id
    ids = []
    for run in runs:
        if run.status not in (*_FINAL, "killed"):
            continue
        earlier = client.search_runs([number], f"tags.`sk-ednn.id` = '{run.id}'", max_results=1)
        if earlier:
            ids.append(earlier[0].info.run_id)
            continue
        began = int(1000 * seconds_of(run.started))
        made = client.create_run(number, start_time=began, run_name=f"{run.kind} {run.id}")
        goal = made.info.run_id
        params = [
            Param(_name(key), _cell(value)[:_PARAM_LENGTH])
            for key, value in run.settings.items() if value is not None
        ]  # fmt: skip
        for start in range(0, len(params), _PARAMS):
            client.log_batch(goal, params=params[start : start + _PARAMS])
        metrics = _metrics_of(run, began, Metric)
        for start in range(0, len(metrics), _METRICS):
            client.log_batch(goal, metrics=metrics[start : start + _METRICS])
        tags = {"sk-ednn.id": run.id, "sk-ednn.kind": run.kind, "mlflow.note.content": run.note}
        tags |= {f"sk-ednn.tag.{_name(tag)}": "true" for tag in run.tags}
        tags |= {f"sk-ednn.data.{_name(name)}": json.dumps(plain(data))[:5000]
                 for name, data in run.data.items()}  # fmt: skip
        client.log_batch(goal, tags=[RunTag(key, value) for key, value in tags.items() if value])
        for name in run.files() if artifacts else ():
            folder = os.path.dirname(name) or None
            client.log_artifact(goal, str(run.file(name)), folder)
        ended = began + int(1000 * run.elapsed)
        client.set_terminated(goal, _STATES[run.status], ended)
        ids.append(goal)
    return ids


def numbers_in(result, prefix="") -> dict[str, float]:
    """Return the numbers of a nested result by name, such as "test.rmse"."""
    numbers: dict[str, float] = {}
    for key, value in result.items():
        if isinstance(value, dict):
            numbers |= numbers_in(value, f"{prefix}{key}.")
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            numbers[f"{prefix}{key}"] = value
    return numbers


def _metrics_of(run, began, kind) -> list:
    columns = run.metrics()
    metrics = []
    steps = columns.get("step", np.zeros(0))
    for name, values in columns.items():
        if name in ("step", "time") or values.dtype == object:
            continue
        for time, step, value in zip(columns["time"], steps, values, strict=True):
            if np.isfinite(value) and np.isfinite(time):
                step = int(step) if np.isfinite(step) else 0
                metrics.append(kind(_name(name), float(value), began + int(1000 * time), step))
    ended = began + int(1000 * run.elapsed)
    for name, value in numbers_in(run.result or {}).items():
        if np.isfinite(value):
            metrics.append(kind(f"result.{_name(name)}", float(value), ended, 0))
    return metrics


def _name(text) -> str:
    """Return a name with characters that MLflow accepts."""
    return "".join(c if c.isalnum() or c in "_-./ " else "_" for c in str(text))[:250] or "_"


def _cell(value) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _harmless(value):
    """Return text that spreadsheets do not take for a formula."""
    is_formula = isinstance(value, str) and value[:1] in ("=", "+", "@", "\t", "\r")
    return f"'{value}" if is_formula else value
