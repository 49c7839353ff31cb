"""Checkpoints of a `CountRegressor`; a killed fit resumes with bitwise the same results."""

from __future__ import annotations

import copy
import os
import threading
from contextlib import contextmanager

from .._utils.hashing import digest
from .._utils.locking import Lock
from .._utils.writing import check_writable
from ..exceptions import TileModelError
from ..networks._state_files import read_state, write_state

_VERSION = 2


class Checkpoint:
    """The states of the trainings of all members, in one file that is replaced atomically.

    Parameters
    ----------
    path : str or Path
    key : str
        Hash of the pictures, the totals and the parameters. The file of another fit is rejected.
    """

    def __init__(self, path, key):
        self.path, self.key = path, key
        self._states = self._read()
        self._writing = threading.Lock()  # members are trained in threads

    def state(self, member):
        """Return the state of a member; None if its training begins."""
        return self._states.get(member)

    def save(self, member, state) -> None:
        """Write the states of all members, with a new one of `member`."""
        # Training continues in the tensors while other members write the file.
        state = copy.deepcopy(state)
        with self._writing:
            self._states[member] = state
            write_state(self.path, {"version": _VERSION, "key": self.key, "states": self._states})

    def _read(self) -> dict:
        if not os.path.exists(self.path):
            return {}
        version, key, states = read_state(
            self.path, ["version", "key", "states"], "a CountRegressor"
        )
        if (version, key) != (_VERSION, self.key):
            raise TileModelError(
                f"{self.path} is the checkpoint of another fit, with other pictures, totals, "
                "parameters or random_state. Remove it to start again, or pass another path."
            )
        return states


@contextmanager
def opened(path, *depends_on):
    """Lock and read a checkpoint for the duration of a fit.

    Parameters
    ----------
    path : str, Path or None
    *depends_on
        Objects that determine the fit.

    Yields
    ------
    Checkpoint or None
        None if `path` is.

    Raises
    ------
    TileModelError
        If the file is not a checkpoint, or belongs to another fit or to a running one.
    OSError
        If the file cannot be written.
    """
    if path is None:
        yield None
        return
    check_writable(path)
    try:
        lock = Lock(path)
    except BlockingIOError as error:
        raise TileModelError(
            f"{path} is the checkpoint of a fit that is running, in {error}. Wait until it ends, "
            "stop it, or pass another path."
        ) from None
    try:
        yield Checkpoint(path, digest(depends_on))
    finally:
        lock.release()
