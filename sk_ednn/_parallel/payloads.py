"""Objects that all tasks of a cluster need, sent and unpickled once per process."""

from __future__ import annotations

import pickle
import threading
from collections import OrderedDict
from typing import Any

import cloudpickle

from .._utils.hashing import UNSENDABLE, reason
from ..exceptions import MissingExtraError, TileModelError

# Number of objects that a process caches, such as the terms of a few models and their sources.
_CACHE_SIZE = 16
_opened: OrderedDict[str, Any] = OrderedDict()
_lock = threading.RLock()


class Packed:
    """A pickled object that each process unpickles once.

    Parameters
    ----------
    payload : bytes
        Made by `pack`.
    identity : str
        Hash of the content.
    what : str
        Name of the object in messages.
    """

    def __init__(self, payload, identity, what):
        self.payload = payload
        self.identity = identity
        self.what = what

    def open(self):
        """Return the object.

        Raises
        ------
        MissingExtraError
            If a library that the object needs is missing.
        """
        return _kept_open(self.identity, self._unpacked)

    def _unpacked(self):
        try:
            return pickle.loads(self.payload)
        except ImportError as error:
            raise MissingExtraError(
                f"A worker cannot load the {self.what}: {error}. Install the same libraries in the "
                "same versions on every worker, for example with 'pip install sk-ednn[torch]'. "
                "Your own modules must be importable there, too."
            ) from error

    def __dask_tokenize__(self):
        return (type(self).__name__, self.identity)


class Held:
    """An object that cannot be pickled, for threads of this process.

    Other processes receive the reason instead, and raise it.

    Parameters
    ----------
    obj : object
    identity : str
    why : str
        Reason why it cannot be pickled.
    """

    def __init__(self, obj, identity, why):
        self.obj = obj
        self.identity = identity
        self.why = why

    def open(self):
        """Return the object.

        Raises
        ------
        TileModelError
            In any other process.
        """
        if self.obj is None:
            raise TileModelError(UNSENDABLE.format(why=self.why))
        return _kept_open(self.identity, lambda: self.obj)

    def __reduce__(self):
        return type(self), (None, self.identity, self.why)

    def __dask_tokenize__(self):
        return (type(self).__name__, self.identity)


def _kept_open(identity, open_it):
    with _lock:
        if identity in _opened:
            _opened.move_to_end(identity)
            return _opened[identity]
        opened = open_it()
        # While the lock is held, since networks determine their dense form by a trial.
        if hasattr(opened, "prepare"):
            opened.prepare()
        _opened[identity] = opened
        while len(_opened) > _CACHE_SIZE:
            _opened.popitem(last=False)
        return opened


def pack(obj, identity, what) -> Packed | Held:
    """Pickle an object for other processes, or keep it for this one if that fails.

    Parameters
    ----------
    obj : object
        Classes and functions of ``__main__``, and local ones, are pickled by value.
    identity, what : str
        See `Packed`.
    """
    try:
        return Packed(cloudpickle.dumps(obj), identity, what)
    except MemoryError:
        raise
    except Exception as error:  # objects that cannot be pickled raise errors of any class
        return Held(obj, identity, reason(error))
