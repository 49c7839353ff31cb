"""A short name for what an object holds, the same in every process."""

from __future__ import annotations

import sys

from joblib.hashing import NumpyHasher


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
