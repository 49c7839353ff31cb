"""Checkpoint files: locks, and other files in their place."""

import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("skorch")

from skorch import NeuralNetRegressor
from skorch.callbacks import Callback
from torch import nn

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.exceptions import TileModelError
from sk_ednn.solvers import GradientSolver

posix = pytest.mark.skipif(sys.platform == "win32", reason="links, pipes and signals of POSIX")

X = np.random.default_rng(0).normal(size=(8, 4, 4)).astype("float32")
Y = (X**2).sum(axis=(1, 2))


class Net(nn.Sequential):
    """A module class, whose initial weights depend only on the seed."""

    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(9, 1))


class Meanwhile(Callback):
    """Call a function once at the end of an epoch; not a parameter, so that hashes are equal."""

    what = None

    def on_epoch_end(self, net, **kwargs):
        what, Meanwhile.what = Meanwhile.what, None
        if what is not None:
            what()


def model(path, seed=0):
    net = NeuralNetRegressor(
        Net, max_epochs=2, train_split=None, verbose=0,
        callbacks=[Meanwhile()],
    )  # fmt: skip
    fit = GradientSolver(checkpoint=path)
    return EDNNRegressor(net, GridTiling(1, 1), solver=fit, random_state=seed)


def fit(path, meanwhile=None, seed=0):
    Meanwhile.what = meanwhile
    try:
        return model(path, seed).fit(X, Y)
    finally:
        Meanwhile.what = None


@posix
@pytest.mark.parametrize("spelled", ["training.ckpt", "./training.ckpt", "link.ckpt"])
def test_checkpoint_of_a_running_training_is_rejected(tmp_path, monkeypatch, spelled):
    monkeypatch.chdir(tmp_path)
    os.symlink("training.ckpt", "link.ckpt")
    refused = []

    def second():
        with pytest.raises(TileModelError, match=r"ckpt is the checkpoint of a training that is "):
            fit(spelled)
        refused.append(spelled)

    fit("training.ckpt", second)
    assert refused == [spelled]
    fit(spelled)  # the first has ended
    assert sorted(os.listdir()) == ["link.ckpt", "training.ckpt"]


def test_trainings_in_a_folder_are_locked_separately(tmp_path):
    folder, done = f"{tmp_path / 'new'}/", []

    def others():
        fit(folder, seed=1)
        with pytest.raises(TileModelError, match=r"new.[0-9a-f]{32}\.ckpt is .* running, in this "):
            fit(folder, seed=0)
        done.append(1)

    fit(folder, others, seed=0)
    assert done == [1]
    names = sorted(path.suffix for path in (tmp_path / "new").iterdir())
    assert names == [".ckpt", ".ckpt"]


TRAIN = """
    import sys, time
    from tests.solvers.test_checkpoint import fit

    def wait():
        print("training", flush=True)
        time.sleep(60)

    fit(sys.argv[1], wait)
"""


@posix
def test_checkpoint_of_another_process_is_rejected_until_it_is_killed(tmp_path):
    path = tmp_path / "training.ckpt"
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(TRAIN), str(path)], cwd=root, stdout=subprocess.PIPE
    ) as other:
        try:
            assert other.stdout.readline() == b"training\n"
            with pytest.raises(
                TileModelError, match=rf"that is running, in process {other.pid} on"
            ):
                fit(path)
        finally:
            other.send_signal(signal.SIGKILL)
    whole = fit(None).predict(X)
    np.testing.assert_array_equal(fit(path).predict(X), whole)


@posix
def test_invalid_checkpoint_paths_are_rejected_before_the_training(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    os.symlink("nowhere/a", "dangling")
    (tmp_path / "file").touch()
    monkeypatch.setattr(NeuralNetRegressor, "partial_fit", None)
    for path, words in (
        ("pipe", "pipe is a named pipe"),
        ("/dev/null", "/dev/null is a device"),
        ("dangling", "folder .*nowhere for a does not exist"),
        ("file/a", "file"),
    ):
        with pytest.raises(OSError, match=words):
            fit(path)


@posix
def test_links_beside_a_checkpoint_are_not_followed(tmp_path):
    (tmp_path / "victim").write_bytes(b"victim")
    (tmp_path / "training.ckpt.writing").symlink_to("victim")
    fit(tmp_path / "training.ckpt")
    assert (tmp_path / "victim").read_bytes() == b"victim"
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "training.ckpt", "training.ckpt.writing", "victim",
    ]  # fmt: skip


def test_failed_training_releases_the_lock(tmp_path):
    def fail():
        raise ZeroDivisionError

    path = tmp_path / "training.ckpt"
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            fit(path, fail)
    path.write_bytes(b"nonsense")
    for _ in range(2):
        with pytest.raises(TileModelError, match="is not a checkpoint"):
            fit(path)
    assert list(tmp_path.iterdir()) == [path]


def test_callbacks_named_checkpoint_are_kept(tmp_path):
    class Failing(Callback):
        def on_train_begin(self, net, **kwargs):
            raise ZeroDivisionError

    net = NeuralNetRegressor(
        Net, max_epochs=1, train_split=None, verbose=0,
        callbacks=[("checkpoint", Failing())],
    )  # fmt: skip
    with pytest.raises(ZeroDivisionError):
        EDNNRegressor(net, GridTiling(1, 1)).fit(X, Y)
