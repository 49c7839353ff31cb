"""The cluster example: locally, with a scheduler file, and as batch jobs."""

import runpy
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.files import save

pytest.importorskip("distributed")
pytest.importorskip("skops")
FOLDER = Path(__file__).parents[2] / "examples" / "cluster"


def stored(folder):
    """Store a model and fields; return its prediction."""
    zarr = pytest.importorskip("zarr")
    X = np.random.default_rng(0).normal(size=(2, 40, 40))
    model = EDNNRegressor(Ridge(), GridTiling(4, 2)).fit(X, X.sum(axis=(1, 2)))
    save(model, folder / "model.ednn")
    field = zarr.create_array(folder / "field.zarr", shape=X.shape, chunks=(1, 20, 20), dtype="f8")
    field[...] = X
    return model.predict(X)


def predicted(folder, *options):
    command = [sys.executable, str(FOLDER / "predict.py"), "model.ednn", "field.zarr", *options]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return [float(line) for line in done.stdout.splitlines()]


@pytest.mark.slow
def test_example_runs_locally_with_journal_and_report(tmp_path):
    pytest.importorskip("bokeh")
    expected = stored(tmp_path)
    assert predicted(tmp_path, "--journal", "journal") == expected.tolist()
    assert any((tmp_path / "journal").glob("*.jsonl"))
    assert "Task Stream" in (tmp_path / "report.html").read_text()


@pytest.mark.slow
def test_example_runs_with_the_commands_of_the_batch_script(tmp_path):
    pytest.importorskip("bokeh")
    expected = stored(tmp_path)
    script = (FOLDER / "slurm.sh").read_text()
    for command in ("dask scheduler --host", "dask worker --nthreads 1 --nworkers 1"):
        assert command in script
    start = [sys.executable, "-m", "dask"]
    file = ["--scheduler-file", str(tmp_path / "scheduler.json")]
    once = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
    worker = ["--nthreads", "1", "--nworkers", "1", "--memory-limit", "0", "--no-dashboard"]
    started = []
    try:
        started.append(subprocess.Popen([*start, "scheduler", *once, *file], cwd=tmp_path))
        started.append(subprocess.Popen([*start, "worker", *worker, *file], cwd=tmp_path))
        assert predicted(tmp_path, *file) == expected.tolist()
    finally:
        for process in reversed(started):
            process.terminate()
            process.wait(timeout=30)


@pytest.mark.parametrize("kind", ["slurm", "pbs"])
def test_example_submits_jobs(kind, monkeypatch, capsys):
    """One single-threaded process per core, with the requested time and memory."""
    handler = signal.getsignal(signal.SIGINT)  # which the import replaces
    queues = pytest.importorskip("dask_jobqueue")
    signal.signal(signal.SIGINT, handler)
    n_jobs = []
    monkeypatch.setattr(
        queues.JobQueueCluster, "scale", lambda self, jobs: n_jobs.append(jobs), raising=False
    )
    example = runpy.run_path(str(FOLDER / "predict.py"))
    options = dict.fromkeys(("scheduler", "scheduler_file", "slurm", "pbs", "queue"))
    options |= {kind: 3, "cores": 16, "memory": "32GB", "walltime": "02:00:00"}
    with example["connect"](SimpleNamespace(**options)) as client:
        script = capsys.readouterr().out
        client.cluster.close()
    assert n_jobs[0] == 3
    assert "--nthreads 1 " in script and "--nworkers 16" in script
    assert "OMP_NUM_THREADS=1" in script and "02:00:00" in script
    assert ("#SBATCH" if kind == "slurm" else "#PBS") in script
