"""Limit the memory that reading a file may take.

The limit is twice the size of the file plus 64 MiB. Every allocation is subtracted from the budget
before it is made: texts and their values, arrays, strings of one width, layers, search trees. A
file that asks for more is rejected, with the numbers.
"""

from __future__ import annotations

import re
from contextlib import contextmanager

import numpy as np

from ..exceptions import ModelFileError

_BESIDES_FILE_BYTES = 1 << 26
# Memory of one value of a parsed JSON text. Measured were 33 bytes (lists of empty lists) to 252
# bytes (many names in one mapping) on Python 3.11.
_BYTES_PER_VALUE = 260
# A single escape of this kind makes a string take four bytes per character, any other two.
_ASTRAL = re.compile(rb"\\u[dD][89abAB]")


class Budget:
    """Memory that reading one file may still take.

    Parameters
    ----------
    path : str or Path
        Named in messages.
    size : int
        Size of the file, in bytes.
    max_bytes : int or None, default=None
        Limit besides the arrays, which are not larger than the file. None for the size of the
        file plus 64 MiB.

    Examples
    --------
    >>> from sk_ednn.files._budget import Budget
    >>> budget = Budget("model.ednn", 1000)
    >>> budget.take(1 << 30, "an array of strings")
    Traceback (most recent call last):
    ...
    sk_ednn.exceptions.ModelFileError: model.ednn cannot be read: an array of strings would take
    1024 MiB of the 64 MiB left for this file. If you trust the file, pass a larger max_bytes to
    load.
    """

    def __init__(self, path, size, max_bytes=None):
        self.path, self.size = path, size
        besides = size + _BESIDES_FILE_BYTES if max_bytes is None else int(max_bytes)
        self.left = size + besides

    def take(self, n_bytes, what) -> None:
        """Subtract memory that is about to be allocated.

        Raises
        ------
        ModelFileError
            If it exceeds the rest of the budget.
        """
        if n_bytes > self.left:
            raise ModelFileError(
                f"{self.path} cannot be read: {what} would take {-(-int(n_bytes) >> 20)} MiB of "
                f"the {self.left >> 20} MiB left for this file. If you trust the file, pass a "
                "larger max_bytes to load."
            )
        self.left -= int(n_bytes)

    @contextmanager
    def reserved(self, n_bytes, what):
        """Subtract memory that is released after the block."""
        self.take(n_bytes, what)
        yield
        self.left += int(n_bytes)

    def text(self, content, what):
        """Subtract the memory of a parsed JSON text; return a context in which to parse it.

        Parameters
        ----------
        content : bytes
        what : str
        """
        n_values = 1 + sum(content.count(mark) for mark in (b"[", b"{", b","))
        largest = int(np.frombuffer(content, np.uint8).max(initial=0))
        width = 1 if largest < 0xC4 else 2 if largest < 0xF0 else 4
        parsed_width = width
        if b"\\u" in content:
            parsed_width = 4 if _ASTRAL.search(content) else max(width, 2)
        self.take(
            n_values * _BYTES_PER_VALUE + len(content) * parsed_width,
            f"{what}, with {n_values} values,",
        )
        return self.reserved(len(content) * width, what)


class Unlimited(Budget):
    """Unlimited budget, for content that this process wrote."""

    def __init__(self):
        super().__init__("a model", 1 << 62)
