"""A short name for what an object holds, the same in every process."""

from __future__ import annotations

import sys
from pickle import PicklingError

from joblib.hashing import NumpyHasher

from .exceptions import TileModelError


class _Hasher(NumpyHasher):
    """joblib's hash, which is of values and not of identities, for tensors too."""

    def save(self, obj):
        torch = sys.modules.get("torch")
        # torch pickles where in memory a tensor was.
        if torch is not None and isinstance(obj, torch.Tensor):
            obj = ("tensor", obj.requires_grad, obj.detach().cpu().numpy())
        super().save(obj)


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
    >>> from sk_ednn._digest import digest
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
    >>> from sk_ednn._digest import fit_key
    >>> fit_key({"act": lambda x: x**2}, "memory keeps each fit", "Or set memory=None.")
    Traceback (most recent call last):
    ...
    sk_ednn.exceptions.TileModelError: memory keeps each fit by what it depends on; of this, one
    part cannot be told from others (Can't pickle <function <lambda> at ...>: ...). Functions and
    classes are told by their names: define them in a module, not within a function, nor by lambda.
    Or set memory=None.
    """
    try:
        return digest(depends_on)
    except (PicklingError, TypeError, AttributeError) as error:
        why = error.args[0] if error.args else error  # joblib adds all that it was given
        raise TileModelError(
            f"{keeper} by what it depends on; of this, one part cannot be told from others "
            f"({why}). Functions and classes are told by their names: define them in a module, "
            f"not within a function, nor by lambda. {otherwise}"
        ) from error
