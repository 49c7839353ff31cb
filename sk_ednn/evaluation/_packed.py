"""What every task of a cluster needs, sent once and opened once in each process."""

from __future__ import annotations

import pickle
import threading
from collections import OrderedDict
from typing import Any

import cloudpickle

from ..exceptions import MissingExtraError

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
        with _lock:
            if self.identity in _opened:
                _opened.move_to_end(self.identity)
                return _opened[self.identity]
            try:
                opened = pickle.loads(self.payload)
            except ImportError as error:
                raise MissingExtraError(
                    f"A worker cannot load the {self.what}: {error}. Install on every worker what "
                    "is installed where predict was called, in the same versions, such as "
                    "'pip install sk-ednn[torch]'; modules of your own must be importable there."
                ) from error
            # Here, while no other thread looks: a network finds its dense form by trying it.
            if hasattr(opened, "prepare"):
                opened.prepare()
            _opened[self.identity] = opened
            while len(_opened) > _KEPT:
                _opened.popitem(last=False)
            return opened

    def __dask_tokenize__(self):
        return (type(self).__name__, self.identity)


def pack(obj, identity, what) -> Packed:
    """Return an object as it is now, ready to be sent.

    Parameters
    ----------
    obj : object
        Classes and functions of ``__main__`` are sent with it.
    identity, what : str
        See `Packed`.
    """
    return Packed(cloudpickle.dumps(obj), identity, what)
