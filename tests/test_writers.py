"""Whatever is written, a full disk or a kill leaves the file that was there."""

import os
import re
import signal
import subprocess
import sys
import textwrap
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn._utils import writing

resource = pytest.importorskip("resource")  # of POSIX

_ROOM_BYTES = 100
ROOT = Path(__file__).parents[1]
X = np.random.default_rng(0).normal(size=(30, 4, 4)).astype("float32")
Y = (X**2).sum(axis=(1, 2))


def _command(line):
    """Run a command line; return its error stream."""
    pytest.importorskip("typer")
    pytest.importorskip("rich")
    from typer.testing import CliRunner

    from sk_ednn.cli._app import app

    result = CliRunner().invoke(app, line.split())
    if result.exit_code:
        raise OSError(result.stderr)


def _fitted(model):
    return EDNNRegressor(model, GridTiling(1, 1), random_state=0).fit(X, Y)


def _model_file(path):
    pytest.importorskip("skops")
    from sk_ednn.files import save

    save(_fitted(Ridge()), path)


def _network():
    nn = pytest.importorskip("torch").nn
    pytest.importorskip("skorch")
    from sk_ednn.solvers import GradientSolver

    net = nn.Sequential(nn.Flatten(), nn.Linear(9, 64), nn.SiLU(), nn.Linear(64, 1))
    return EDNNRegressor(net, GridTiling(1, 1), solver=GradientSolver(max_epochs=1))


def _onnx(path):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    from sk_ednn.files import export_onnx

    export_onnx(_network().fit(X, Y), path)


def _checkpoint(path):
    pytest.importorskip("torch")
    from sk_ednn.solvers._checkpoint import Checkpoint

    with pytest.MonkeyPatch.context() as patch:  # what is there is none to go on with
        patch.setattr(Checkpoint, "_read", lambda self, path, max_epochs: max_epochs)
        patch.setattr(Checkpoint, "saved_", None, raising=False)
        _network().set_params(solver__checkpoint=path).fit(X, Y)


def _report(path):
    pytest.importorskip("matplotlib")
    from sk_ednn.report import fit_report

    fit_report(_fitted(Ridge()), X, Y).save(path)


def _counts(path):
    if Path(path).suffix == ".xlsx":
        pytest.importorskip("openpyxl")
    from sklearn.utils import Bunch

    from sk_ednn.images._output import write_counts

    row = dict.fromkeys(("total", "low", "high", "spread", "novelty"), 1.0)
    rows = [Bunch(**row, name=f"{k}.png", flag="") for k in range(20)]
    write_counts(path, rows, ["count"])


def _map(path):
    pytest.importorskip("tifffile")
    from sk_ednn.images._output import write_map

    write_map(path, np.ones((20, 20)), (4, 4))


def _structures(path):
    pytest.importorskip("ase")
    from ase.build import bulk

    from sk_ednn.structures._write import write_structures

    write_structures(path, [bulk("Cu", cubic=True)] * 3)


def _runs(path):
    from sk_ednn.runs import RunFolder, export_csv, export_zip

    export = export_csv if path.suffix == ".csv" else export_zip
    export(RunFolder(path.parents[1] / "runs").runs(), path)


def _inputs():
    from sk_ednn.runs import record

    with record(Path("runs"), "fit", settings={"alpha": "1" * 200}) as recorder:
        recorder.finish({})
    np.savez("small.npz", X=X, y=Y)
    # Many totals, so that all that is written is larger than what fits.
    np.save("X.npy", np.concatenate([X] * 10))
    _model_file(Path("model.ednn"))


WRITERS = {
    "old.ednn": _model_file,
    "old.onnx": _onnx,
    "old.npy": lambda path: _command(f"predict model.ednn X.npy -o {path}"),
    "old.npz": lambda path: _command(f"predict model.ednn X.npy -o {path} --contributions"),
    "old.yaml": lambda path: _command(f"predict model.ednn X.npy --save-config {path}"),
    "old.html": _report,
    "old.png": lambda path: _command(f"tile X.npy -o {path}"),
    "old.svg": lambda path: _command(f"tile X.npy -o {path}"),
    "old.pdf": lambda path: _command(f"tile X.npy -o {path}"),
    "old.ckpt": _checkpoint,
    "counts.csv": _counts,
    "counts.xlsx": _counts,
    "old.tif": _map,
    "old.extxyz": _structures,
    "old.traj": _structures,
    "runs.csv": _runs,
    "runs.zip": _runs,
}


@contextmanager
def _full():
    """Let no file grow beyond some bytes, as if the disk were full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limited(function, only=None):
        def call(*args, **kwargs):
            made = function(*args, **kwargs)
            if only is None or sys._getframe(1).f_code.co_name == only:  # not the check before
                resource.setrlimit(resource.RLIMIT_FSIZE, (_ROOM_BYTES, hard))
            return made

        return call

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writing, "_created", limited(writing._created, "replacing"))
        patch.setattr(writing.tempfile, "mkdtemp", limited(writing.tempfile.mkdtemp))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def old(tmp_path, monkeypatch):
    """Make inputs, and return where the old files are."""
    monkeypatch.chdir(tmp_path)
    _inputs()
    (tmp_path / "new").mkdir()
    return tmp_path / "new"


@pytest.mark.parametrize("name", WRITERS)
def test_full_disk_leaves_the_old_file(old, name):
    path = old / name
    path.write_bytes(b"old")
    with _full(), pytest.raises(OSError, match=re.escape(name)) as caught:
        WRITERS[name](path)
    assert re.search("File too large|disk full", str(caught.value))
    assert path.read_bytes() == b"old"
    assert list(old.iterdir()) == [path]
    WRITERS[name](path)
    assert len(path.read_bytes()) > _ROOM_BYTES


@pytest.mark.parametrize("name", WRITERS)
def test_links_and_permissions_are_kept(old, name):
    path, link = old / name, old.parent / f"link-{name}"
    path.write_bytes(b"old")
    path.chmod(0o640)
    link.symlink_to(path)
    WRITERS[name](link)
    assert link.is_symlink()
    assert path.read_bytes() != b"old"
    assert path.stat().st_mode & 0o777 == 0o640
    assert list(old.iterdir()) == [path]


@pytest.mark.parametrize("name", WRITERS)
def test_pipes_and_folders_are_refused(old, name):
    path = old / name
    os.mkfifo(path)
    with pytest.raises(OSError, match=f"{name} is a named pipe"):
        WRITERS[name](path)
    path.unlink()
    if name != "old.ckpt":  # a folder of trainings
        path.mkdir()
        with pytest.raises(OSError, match=f"{name} is a folder"):
            WRITERS[name](path)
        path.rmdir()
    path.symlink_to(old / "nowhere" / name)
    with pytest.raises(OSError, match=r"The folder .* does not exist"):
        WRITERS[name](path)


# A process for each file, from one that has imported what they need.
KILLED = """
    import os, signal, sys
    from pathlib import Path
    from sk_ednn._utils import writing
    from tests.test_writers import WRITERS

    os.fsync = lambda file: os.kill(os.getpid(), signal.SIGKILL)  # all is written, nothing renamed
    for path in map(Path, sys.argv[1:]):
        child = os.fork()
        if child == 0:
            WRITERS[path.name](path)
            os._exit(0)
        print(path.name, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_kill_leaves_the_old_file(old):
    names = [
        "old.ednn", "old.npy", "old.html", "old.ckpt", "counts.csv", "old.extxyz", "runs.zip"
    ]  # fmt: skip
    for name in names:
        (old / name).write_bytes(b"old")
    killed = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KILLED), *(str(old / name) for name in names)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert killed.stdout.splitlines() == [f"{name} {-signal.SIGKILL}" for name in names]
    for name in names:
        assert (old / name).read_bytes() == b"old", name
        WRITERS[name](old / name)
        assert (old / name).read_bytes() != b"old", name
