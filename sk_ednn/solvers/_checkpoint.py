"""Training that goes on after it was killed, with the same numbers to the last bit."""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path

import numpy as np
import torch
from skorch.callbacks import Callback
from skorch.history import History

from .._utils.hashing import digest as content_digest
from .._utils.hashing import fit_key, hashing_errors
from .._utils.locking import Lock
from .._utils.writing import check_writable, replacing
from ..exceptions import TileModelError
from ..fields._fields import Fields
from ..fields._sources import source_identity

_VERSION = 1


class Checkpoint(Callback):
    """Save all that a training depends on after each epoch, and take it up again.

    Weights, optimizer, learning-rate schedule, history, the counters of other callbacks and the
    state of torch's random generators. The file is replaced in one step, so that there is always
    a whole one. One training has it at a time.

    Parameters
    ----------
    path : str or Path
    digest : str
        Of the data and the network: a file that belongs to another training is refused.
    n_before : int, default=0
        Epochs that the history held when the training began, of an earlier one.
    """

    def __init__(self, path, digest, n_before=0):
        self.path = path
        self.digest = digest
        self.n_before = n_before
        self._lock: Lock | None = None

    def found(self, max_epochs: int) -> int:
        """Read the file if there is one; return how many epochs are left of `max_epochs`.

        From then on until `close` no other training has the file.

        Raises
        ------
        TileModelError
            Where it is no checkpoint, or one of another training, or of one that is running.
        OSError
            Where the file cannot be written.
        """
        path = Path(self.path)
        if not os.path.lexists(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        check_writable(path)
        try:
            self._lock = Lock(path)
        except BlockingIOError as error:
            raise TileModelError(
                f"{path} is the checkpoint of a training that is running, in {error}: wait until "
                "it ends, stop it, or give another path."
            ) from None
        try:
            return self._read(path, max_epochs)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let others have the file."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def __getstate__(self):
        return {**vars(self), "_lock": None}  # a copy of a net that is being trained

    def _read(self, path, max_epochs):
        self.saved_ = None
        if not path.exists():
            return max_epochs
        try:
            saved = torch.load(path, weights_only=True)
            version, digest = saved["version"], saved["digest"]
        except Exception as error:  # torch raises many kinds, for files that are damaged or no such
            raise TileModelError(
                f"{path} is not a checkpoint of a training, or is damaged ({error}). Remove it, or "
                "give another path."
            ) from error
        if version != _VERSION or digest != self.digest:
            raise TileModelError(
                f"{path} is the checkpoint of another training: of other fields, totals, network "
                "or settings. Remove it to begin anew, or give another path."
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
        names = [name for name, _ in net.callbacks_]
        if names != [state["name"] for state in saved["callbacks"]]:
            raise TileModelError(
                f"{self.path} was written with other callbacks, or by another version. Remove it "
                "to begin anew, or give another path."
            )
        for (_, callback), state in zip(net.callbacks_, saved["callbacks"], strict=True):
            vars(callback).update(state["values"])
            if state["schedule"] is not None:
                callback.lr_scheduler_.load_state_dict(state["schedule"])
        torch.set_rng_state(saved["random"])
        if saved["random_cuda"]:
            torch.cuda.set_rng_state_all(saved["random_cuda"])

    def on_epoch_end(self, net, **kwargs):
        self._save(net, finished=False)

    def on_train_end(self, net, **kwargs):
        # A callback may have stopped the training early, after an epoch: it is then not to go on.
        # skorch ends it in the same way where the user interrupts it, which is within an epoch:
        # what was saved after the one before is then where to go on.
        if "train_loss" in net.history[-1]:
            self._save(net, finished=True)

    def _save(self, net, finished):
        state = {
            "version": _VERSION,
            "digest": self.digest,
            "finished": finished,
            "module": net.module_.state_dict(),
            "optimizer": net.optimizer_.state_dict(),
            "history": _plain(list(net.history)),
            "callbacks": [_callback_state(name, callback) for name, callback in net.callbacks_],
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        }
        # By way of memory, since torch says nothing of a disk that is full.
        buffer = io.BytesIO()
        torch.save(state, buffer)
        with replacing(self.path) as file:
            file.write(buffer.getbuffer())


def _callback_state(name, callback):
    schedule = getattr(callback, "lr_scheduler_", None)
    return {
        "name": name,
        "values": {
            key: _plain(value)
            for key, value in vars(callback).items()
            if key.endswith("_") and (isinstance(value, (bool, int, float, str)) or _weights(value))
        },
        "schedule": None if schedule is None else _plain(schedule.state_dict()),
    }


def _weights(value) -> bool:
    """Tell whether a callback keeps the weights of a network, such as those of the best epoch."""
    return isinstance(value, dict) and all(isinstance(v, torch.Tensor) for v in value.values())


def _plain(value):
    """Return a value in types that can be loaded without running code."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return value.item() if isinstance(value, np.generic) else value


def file_of(checkpoint, *training) -> Path:
    """Return the file of a training: in a folder, one for each data, network and settings.

    Parameters
    ----------
    checkpoint : str or Path
        A file; or a folder, which is there or is written with a separator at its end.
    *training
        What tells one training from another.

    Raises
    ------
    TileModelError
        Where that cannot be told, in a folder.
    """
    path = Path(checkpoint)
    if not path.is_dir() and not str(checkpoint).endswith(("/", os.sep)):
        return path
    cache = f"checkpoint={str(checkpoint)!r} is a folder, which stores each training"
    return path / f"{fit_key(training, cache, 'Or give a file.')[:32]}.ckpt"


def training_digest(net, problem, settings) -> str:
    """Return what tells one training from another: its data, network and settings."""
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
    known = [problem.y, problem.sample_weight]
    for slope in problem.gradient if problem.gradient is not None else ():
        known.append(getattr(slope, "values", slope))
    state = net.module_.state_dict()
    if problem.start is not None:  # it begins with the weights of an earlier one
        known += [value.cpu().numpy() for value in state.values()]
    for values in known:
        digest.update(b"" if values is None else np.ascontiguousarray(values).tobytes())
    shapes = {name: tuple(value.shape) for name, value in state.items()}
    of_net = net.batch_size, net.lr, net.max_epochs, type(net.optimizer_).__name__
    digest.update(repr((shapes, of_net, settings)).encode())
    return digest.hexdigest()
