"""A short name for what an object holds, the same in every process."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from operator import itemgetter
from pickle import PicklingError

from joblib.hashing import Hasher, NumpyHasher

from ..exceptions import TileModelError

# Of what a message quotes.
_LONGEST = 200
UNSENDABLE = (
    "The model, or what it is given, cannot be sent to another process ({why}). Use threads "
    "(n_jobs in joblib's 'threading' backend, scheduler='threads' in dask), or leave out of it "
    "what is open or locked, such as files and locks, by a method __getstate__."
)


class _Hasher(NumpyHasher):
    """joblib's hash, which is of values and not of identities, for tensors too."""

    def save(self, obj):
        torch = sys.modules.get("torch")
        # torch pickles where in memory a tensor was.
        if torch is not None and isinstance(obj, torch.Tensor):
            obj = ("tensor", obj.requires_grad, obj.detach().cpu().numpy())
        super().save(obj)

    def _batch_setitems(self, items, *args):
        # joblib takes any TypeError for keys without an order, that of a value that cannot be
        # pickled too, and then leaves such values out.
        items = list(items)
        try:
            items.sort(key=itemgetter(0))
        except TypeError:
            items.sort(key=lambda item: digest(item[0]))
        super(Hasher, self)._batch_setitems(iter(items), *args)


def digest(obj) -> str:
    """Return a hexadecimal digest of an object's content.

    Equal content gives equal digests, in another process and after pickling too.

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


def fit_key(depends_on, keeper, otherwise) -> str:
    """Return the digest of all that a fit depends on, under which it is kept.

    Parameters
    ----------
    depends_on : object
    keeper : str
        What keeps it under its key, for the message.
    otherwise : str
        What to do without one.

    Raises
    ------
    TileModelError
        Where a part cannot be pickled, so that it cannot be told from others.

    Examples
    --------
    >>> from sk_ednn._utils.hashing import fit_key
    >>> fit_key({"act": lambda x: x**2}, "memory keeps each fit", "Or set memory=None.")
    Traceback (most recent call last):
    ...
    sk_ednn.exceptions.TileModelError: memory keeps each fit by what it depends on; of this, one
    part cannot be told from others (Can't pickle <function <lambda> at ...>: ...). Functions and
    classes are told by their names: define them in a module, not within a function, nor by lambda.
    Or set memory=None.
    """
    with told_apart(keeper, otherwise):
        return digest(depends_on)


@contextmanager
def told_apart(keeper, otherwise):
    """Say in one line that digests, taken within, cannot be; see `fit_key`."""
    try:
        yield
    except (MemoryError, OSError):
        raise
    except Exception as error:  # whatever an object raises that does not want to be pickled
        raise TileModelError(
            f"{keeper} by what it depends on; of this, one part cannot be told from others "
            f"({reason(error)}). Functions and classes are told by their names: define them in a "
            f"module, not within a function, nor by lambda. {otherwise}"
        ) from None  # its own words hold the whole model


def reason(error) -> str:
    """Return why something cannot be pickled, in one line, without what was to be.

    Examples
    --------
    >>> from sk_ednn._utils.hashing import reason
    >>> reason(TypeError("cannot pickle '_thread.lock' object", "while hashing ..."))
    "cannot pickle '_thread.lock' object"
    """
    # joblib and distributed append all that they were given.
    text = str(error.args[0] if error.args else type(error).__name__)
    if "Traceback" in text:  # of another thread or process, as text
        said = [line for line in text.splitlines() if "Error: " in line]
        text = said[-1].partition("Error: ")[2] if said else type(error).__name__
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."


@contextmanager
def sent_to_processes():
    """Say in one line that something could not be sent to the processes of joblib, or back.

    Raises
    ------
    TileModelError
    """
    try:
        yield
    except PicklingError as error:
        # joblib says that something could not be pickled, and Python below it what.
        raise TileModelError(UNSENDABLE.format(why=reason(error.__cause__ or error))) from None
    except (TypeError, AttributeError) as error:  # of what a worker sends back
        if "pickle" not in str(error):
            raise
        raise TileModelError(UNSENDABLE.format(why=reason(error))) from None
