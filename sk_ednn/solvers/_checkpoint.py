"""Checkpoints, from which a killed training resumes with bitwise the same results."""

from __future__ import annotations

import hashlib
import os
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from skorch.callbacks import Callback
from skorch.history import History

from .._utils.hashing import digest as content_digest
from .._utils.hashing import fit_key, hashing_errors
from .._utils.locking import Lock
from .._utils.writing import check_writable
from ..exceptions import TileModelError
from ..fields._fields import Fields
from ..fields._sources import source_identity
from ..networks._state_files import read_state, write_state
from ._reporting import Report

_VERSION = 1
_PARTS = [
    "version", "digest", "finished", "module", "optimizer", "history", "callbacks", "random",
    "random_cuda",
]  # fmt: skip


class Checkpoint(Callback):
    """Save the state of a training after each epoch, and restore it.

    The state consists of weights, optimizer, learning rate schedule, history, counters of other
    callbacks, and torch's random generators. The file is replaced atomically, so that it is always
    complete, and locked, so that only one training uses it.

    Parameters
    ----------
    path : str or Path
    digest : str
        Hash of the data and the network. The file of another training is rejected.
    n_before : int, default=0
        Number of epochs in the history before the training, from an earlier fit.
    """

    def __init__(self, path, digest, n_before=0):
        self.path = path
        self.digest = digest
        self.n_before = n_before
        self._lock: Lock | None = None
        self.max_epochs = self.n_seen = 0

    def open(self, max_epochs: int) -> int:
        """Read the file, if it exists; return the number of remaining epochs of `max_epochs`.

        The file is locked until `close`.

        Raises
        ------
        TileModelError
            If the file is not a checkpoint, or belongs to another training or to a running one.
        OSError
            If the file cannot be written.
        """
        path = Path(self.path)
        if not os.path.lexists(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        check_writable(path)
        try:
            self._lock = Lock(path)
        except BlockingIOError as error:
            raise TileModelError(
                f"{path} is the checkpoint of a training that is running, in {error}. Wait until "
                "it ends, stop it, or pass another path."
            ) from None
        self.max_epochs, self.n_seen = max_epochs, 0
        try:
            return self._read(path, max_epochs)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Release the lock of the file."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def __getstate__(self):
        return {**vars(self), "_lock": None}  # copies of a net in training have no lock

    def _read(self, path, max_epochs):
        self.saved_ = None
        if not path.exists():
            return max_epochs
        saved = dict(zip(_PARTS, read_state(path, _PARTS, "a training"), strict=True))
        if saved["version"] != _VERSION or saved["digest"] != self.digest:
            raise TileModelError(
                f"{path} is the checkpoint of another training, with other fields, totals, network "
                "or parameters. Remove it to start again, or pass another path."
            )
        self.saved_ = saved
        done = len(saved["history"]) - self.n_before
        return 0 if saved["finished"] else max_epochs - done

    def on_train_begin(self, net, **kwargs):
        saved = self.saved_
        if saved is None:
            return
        net.module_.load_state_dict(saved["module"])
        net.optimizer_.load_state_dict(saved["optimizer"])
        net.history_ = History(saved["history"])
        callbacks = _with_state(net)
        names = [name for name, _ in callbacks]
        if names != [state["name"] for state in saved["callbacks"]]:
            raise TileModelError(
                f"{self.path} was written with other callbacks, or by another version. Remove it "
                "to start again, or pass another path."
            )
        for (_, callback), state in zip(callbacks, saved["callbacks"], strict=True):
            vars(callback).update(state["values"])
            if state["schedule"] is not None:
                callback.lr_scheduler_.load_state_dict(state["schedule"])
        torch.set_rng_state(saved["random"])
        if saved["random_cuda"]:
            torch.cuda.set_rng_state_all(saved["random_cuda"])

    def on_epoch_end(self, net, **kwargs):
        self.n_seen = len(net.history)
        self._save(net, finished=False)

    def on_train_end(self, net, **kwargs):
        # One that the user interrupts within an epoch resumes from the state after the last.
        if "train_loss" not in net.history[-1]:
            return
        # A callback that stops the training early is called before this one, and has finished it.
        # If it ends later, before the last epoch, the user ended it.
        n_epochs = len(net.history)
        if self.n_seen < n_epochs or n_epochs >= self.n_before + self.max_epochs:
            self._save(net, finished=True)

    def _save(self, net, finished):
        state = {
            "version": _VERSION,
            "digest": self.digest,
            "finished": finished,
            "module": net.module_.state_dict(),
            "optimizer": net.optimizer_.state_dict(),
            "history": _plain(list(net.history)),
            "callbacks": [_callback_state(name, callback) for name, callback in _with_state(net)],
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        }
        write_state(self.path, state)


@contextmanager
def saving(net, checkpoint):
    """Save the training within the context to a checkpoint, unless it is None.

    Yields
    ------
    int
        Number of epochs to train, fewer than `max_epochs` of the net if the training resumes.
    """
    if checkpoint is None:
        yield net.max_epochs
        return
    epochs = checkpoint.open(net.max_epochs)
    net.callbacks_.append(("checkpoint", checkpoint))
    try:
        yield epochs
    finally:
        net.callbacks_.pop()
        checkpoint.close()


def _with_state(net) -> list:
    """Return the callbacks of a net, without the one that reports its epochs."""
    return [each for each in net.callbacks_ if not isinstance(each[1], Report)]


def _callback_state(name, callback):
    schedule = getattr(callback, "lr_scheduler_", None)
    return {
        "name": name,
        "values": {
            key: _plain(value)
            for key, value in vars(callback).items()
            if key.endswith("_")
            and (isinstance(value, (bool, int, float, str)) or _is_state_dict(value))
        },
        "schedule": None if schedule is None else _plain(schedule.state_dict()),
    }


def _is_state_dict(value) -> bool:
    """Return True for weights of a network, such as those of the best epoch."""
    return isinstance(value, dict) and all(isinstance(v, torch.Tensor) for v in value.values())


def _plain(value):
    """Convert a value to types that can be loaded without running code."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return value.item() if isinstance(value, np.generic) else value


def file_of(checkpoint, *training) -> Path:
    """Return the file of a training, named by a hash if `checkpoint` is a folder.

    Parameters
    ----------
    checkpoint : str or Path
        A file; or a folder, which exists or whose name ends in a separator.
    *training
        Objects that identify the training: hash of data and network, and parameters.

    Raises
    ------
    TileModelError
        If `checkpoint` is a folder and an object cannot be hashed.
    """
    path = Path(checkpoint)
    if not path.is_dir() and not str(checkpoint).endswith(("/", os.sep)):
        return path
    purpose = f"checkpoint={str(checkpoint)!r} is a folder, which stores each training"
    return path / f"{fit_key(training, purpose, 'Or give a file.')[:32]}.ckpt"


def training_digest(net, problem, params) -> str:
    """Return a hash of the data, the network and the parameters of a training."""
    digest = hashlib.sha256()
    if not isinstance(problem.systems, Fields):
        digest.update(content_digest(problem.systems).encode())
    for stack in problem.systems.stacks if isinstance(problem.systems, Fields) else ():
        digest.update(repr((stack.values.shape, stack.values.dtype.str)).encode())
        digest.update(memoryview(stack.samples.tobytes()))
        if not isinstance(stack.values, np.ndarray):
            with hashing_errors("checkpoint names a training", "Or leave it at None."):
                digest.update(source_identity(stack.values).encode())
            continue
        for values in stack.values:
            digest.update(memoryview(values.tobytes()))
    arrays = [problem.y, problem.sample_weight]
    for gradient in problem.gradient if problem.gradient is not None else ():
        arrays.append(getattr(gradient, "values", gradient))
    state = net.module_.state_dict()
    if problem.start is not None:  # the training starts with the weights of an earlier fit
        arrays += [value.cpu().numpy() for value in state.values()]
    for values in arrays:
        digest.update(b"" if values is None else np.ascontiguousarray(values).tobytes())
    shapes = {name: tuple(value.shape) for name, value in state.items()}
    net_params = net.batch_size, net.lr, net.max_epochs, type(net.optimizer_).__name__
    digest.update(repr((shapes, net_params, params)).encode())
    return digest.hexdigest()
