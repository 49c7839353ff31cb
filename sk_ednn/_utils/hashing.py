"""Hash objects by content, with the same result in every process."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from operator import itemgetter
from pickle import PicklingError

from joblib.hashing import Hasher, NumpyHasher

from ..exceptions import TileModelError

# Messages quote at most this many characters.
_MAX_LENGTH = 200
UNSENDABLE = (
    "The model or its data cannot be sent to another process ({why}). Use threads "
    "(n_jobs with joblib's 'threading' backend, scheduler='threads' in dask), or write a method "
    "__getstate__ that leaves out open files and locks."
)


class _Hasher(NumpyHasher):
    """joblib's hash of values, extended to torch tensors."""

    def save(self, obj):
        torch = sys.modules.get("torch")
        # The pickle of a tensor contains its memory address.
        if torch is not None and isinstance(obj, torch.Tensor):
            obj = ("tensor", obj.requires_grad, obj.detach().cpu().numpy())
        super().save(obj)

    def _batch_setitems(self, items, *args):
        # joblib attributes any TypeError to unorderable keys, also that of a value that cannot be
        # pickled, and then skips such values.
        items = list(items)
        try:
            items.sort(key=itemgetter(0))
        except TypeError:
            items.sort(key=lambda item: digest(item[0]))
        super(Hasher, self)._batch_setitems(iter(items), *args)


def digest(obj) -> str:
    """Return a hexadecimal hash of an object's content.

    Equal content gives equal hashes, also in another process and after pickling.

    Parameters
    ----------
    obj : object
        Anything that can be pickled.

    Examples
    --------
    >>> import numpy as np, pickle
    >>> from sk_ednn._utils.hashing import digest
    >>> one = {"weights": np.arange(3.0), "name": "linear"}
    >>> digest(one) == digest(pickle.loads(pickle.dumps(one)))
    True
    >>> digest(one) == digest({**one, "name": "kernel"})
    False
    """
    return _Hasher(hash_name="sha1", coerce_mmap=True).hash(obj)


def fit_key(depends_on, cache, otherwise) -> str:
    """Return the hash of all that a fit depends on: its key in a cache.

    Parameters
    ----------
    depends_on : object
    cache : str
        Subject and verb of the message, such as "memory caches each fit".
    otherwise : str
        The alternative to a cache, for the message.

    Raises
    ------
    TileModelError
        If a part cannot be hashed.

    Examples
    --------
    >>> from sk_ednn._utils.hashing import fit_key
    >>> fit_key({"act": lambda x: x**2}, "memory caches each fit", "Or set memory=None.")
    Traceback (most recent call last):
    ...
    sk_ednn.exceptions.TileModelError: memory caches each fit by a hash of its parameters and data,
    one of which cannot be hashed (Can't pickle <function <lambda> at ...>: ...). Functions and
    classes are hashed by name: define them in a module, not inside a function or as a lambda. Or
    set memory=None.
    """
    with hashing_errors(cache, otherwise):
        return digest(depends_on)


@contextmanager
def hashing_errors(cache, otherwise):
    """Turn errors of hashing into a TileModelError of one line; see `fit_key`."""
    try:
        yield
    except (MemoryError, OSError):
        raise
    except Exception as error:  # objects that cannot be pickled raise errors of any class
        raise TileModelError(
            f"{cache} by a hash of its parameters and data, one of which cannot be hashed "
            f"({reason(error)}). Functions and classes are hashed by name: define them in a "
            f"module, not inside a function or as a lambda. {otherwise}"
        ) from None  # the message of joblib contains the whole model


def reason(error) -> str:
    """Return why an object cannot be pickled, in one line, without the object's repr.

    Examples
    --------
    >>> from sk_ednn._utils.hashing import reason
    >>> reason(TypeError("cannot pickle '_thread.lock' object", "while hashing ..."))
    "cannot pickle '_thread.lock' object"
    """
    # joblib and distributed append their arguments.
    text = str(error.args[0] if error.args else type(error).__name__)
    if "Traceback" in text:  # the traceback of another thread or process, as text
        errors = [line for line in text.splitlines() if "Error: " in line]
        text = errors[-1].partition("Error: ")[2] if errors else type(error).__name__
    text = " ".join(text.split())
    return text if len(text) <= _MAX_LENGTH else f"{text[:_MAX_LENGTH]} ..."


@contextmanager
def sent_to_processes():
    """Turn pickling errors of joblib's processes into a TileModelError of one line.

    Raises
    ------
    TileModelError
    """
    try:
        yield
    except PicklingError as error:
        # The cause names the object that joblib could not pickle.
        raise TileModelError(UNSENDABLE.format(why=reason(error.__cause__ or error))) from None
    except (TypeError, AttributeError) as error:  # raised for results of a worker
        if "pickle" not in str(error):
            raise
        raise TileModelError(UNSENDABLE.format(why=reason(error))) from None
