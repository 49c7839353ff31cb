"""Files from which a training continues with bitwise the same numbers."""

from __future__ import annotations

import os
from contextlib import contextmanager

from ..._utils.locking import Lock
from ..._utils.writing import check_writable
from ...exceptions import TileModelError
from ...networks._state_files import read_state, write_state

_VERSION = 2


def check_checkpoint_path(path) -> None:
    """Raise OSError if a checkpoint cannot be written, before hours of work."""
    check_writable(path)


@contextmanager
def locked(path):
    """Lock a checkpoint, so that no second training writes it; None locks nothing.

    Raises
    ------
    TileModelError
        If a training that is running has it.
    """
    if path is None:
        yield
        return
    try:
        lock = Lock(path)
    except BlockingIOError as error:
        raise TileModelError(
            f"{path} is the checkpoint of a training that is running, in {error}. Wait until "
            "it ends, stop it, or pass another path."
        ) from None
    try:
        yield
    finally:
        lock.release()


def write_checkpoint(path, digest, state) -> None:
    """Replace a checkpoint in one step; a kill or a full disk leaves the old one.

    Parameters
    ----------
    path : str or Path
    digest : str
        Hash of the data, the network and the parameters.
    state : dict
        Contains tensors, numbers, strings, lists and dicts.
    """
    write_state(path, {"version": _VERSION, "digest": digest, "state": state})


def read_checkpoint(path, digest):
    """Return the state of a checkpoint, or None where there is no file.

    Raises
    ------
    TileModelError
        If the file is not a checkpoint, or one of another training.
    """
    if not os.path.exists(path):
        return None
    version, other, state = read_state(path, ["version", "digest", "state"], "a training")
    if version != _VERSION or other != digest:
        raise TileModelError(
            f"{path} is the checkpoint of another training: of other structures, labels, "
            "network or parameters. Remove it to start again, or pass another path."
        )
    return state
