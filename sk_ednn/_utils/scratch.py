"""Arrays that are used again, since new memory takes longer than simple arithmetic on it."""

from __future__ import annotations

import threading
from math import prod

import numpy as np


class Scratch(threading.local):
    """Uninitialised arrays by name, of which each thread has its own.

    An array is valid until the next call with its name.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ednn._utils.scratch import Scratch
    >>> scratch = Scratch()
    >>> first = scratch.empty("modes", (2, 3), np.float32)
    >>> np.shares_memory(first, scratch.empty("modes", (4,), np.float32))
    True
    """

    def __init__(self):
        self._arrays = {}

    def empty(self, name: str, shape, dtype) -> np.ndarray:
        """Return an array with the memory of the last one with this name, if that suffices."""
        size = prod(shape)
        array = self._arrays.get((name, dtype))
        if array is None or array.size < size:
            self._arrays[name, dtype] = array = np.empty(size, dtype)
        return array[:size].reshape(shape)
