"""Send what every task of a cluster needs once, and open it once in each process."""

from __future__ import annotations

import pickle
import threading
from collections import OrderedDict
from typing import Any

import cloudpickle

from .._utils.hashing import UNSENDABLE, reason
from ..exceptions import MissingExtraError, TileModelError

# What a process keeps open: the terms of a few models and their sources.
_KEPT = 16
_opened: OrderedDict[str, Any] = OrderedDict()
_lock = threading.RLock()


class Packed:
    """An object that travels as bytes and is opened once in each process, known by its content.

    Parameters
    ----------
    payload : bytes
        As `pack` makes them.
    identity : str
        Differs where the content does.
    what : str
        For the messages.
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
            Where this process lacks a library that the object needs.
        """
        return _kept_open(self.identity, self._unpacked)

    def _unpacked(self):
        try:
            return pickle.loads(self.payload)
        except ImportError as error:
            raise MissingExtraError(
                f"A worker cannot load the {self.what}: {error}. Install on every worker what "
                "is installed where predict was called, in the same versions, such as "
                "'pip install sk-ednn[torch]'; modules of your own must be importable there."
            ) from error

    def __dask_tokenize__(self):
        return (type(self).__name__, self.identity)


class Held:
    """An object that cannot travel: the threads of this process take it as it is.

    Another process, which gets the reason in its place, says why it has nothing to open.

    Parameters
    ----------
    obj : object
    identity : str
    why : str
        Why it cannot be pickled.
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
            In another process than the one that has it.
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
        # Here, while no other thread looks: a network finds its dense form by trying it.
        if hasattr(opened, "prepare"):
            opened.prepare()
        _opened[identity] = opened
        while len(_opened) > _KEPT:
            _opened.popitem(last=False)
        return opened


def pack(obj, identity, what) -> Packed | Held:
    """Return an object as it is now, ready to be sent, where it can be.

    Parameters
    ----------
    obj : object
        Classes and functions of ``__main__`` are sent with it, as are those that have no name.
    identity, what : str
        See `Packed`.
    """
    try:
        return Packed(cloudpickle.dumps(obj), identity, what)
    except MemoryError:
        raise
    except Exception as error:  # whatever an object raises that does not want to be pickled
        return Held(obj, identity, reason(error))
