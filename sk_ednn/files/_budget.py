"""Memory that reading a file may take: everything made of its contents is counted first.

The promise is twice the file and 64 MiB. It holds because nothing that a file describes is made
before its size has been taken from the budget: texts and their values, arrays, strings of one
width, layers, search trees. A file that says more of itself than that is refused by its numbers.
"""

from __future__ import annotations

import re
from contextlib import contextmanager

import numpy as np

from ..exceptions import ModelFileError

_BESIDES_FILE_BYTES = 1 << 26
# What one value of a JSON text takes once it is read: measured were 33 (lists of empty lists) to
# 252 (many names in one mapping), on Python 3.11.
_BYTES_PER_VALUE = 260
# Behind one escape of this kind a whole string takes four bytes a character, behind another two.
_ASTRAL = re.compile(rb"\\u[dD][89abAB]")


class Budget:
    """What reading one file may still take.

    Parameters
    ----------
    path : str or Path
        For messages.
    size : int
        Of the file, in bytes.
    max_bytes : int or None, default=None
        Most memory besides the arrays, which are no larger than the file. None for the size of
        the file and 64 MiB.

    Examples
    --------
    >>> from sk_ednn.files._budget import Budget
    >>> budget = Budget("model.ednn", 1000)
    >>> budget.take(1 << 30, "an array of strings")
    Traceback (most recent call last):
    ...
    sk_ednn.exceptions.ModelFileError: model.ednn cannot be read: an array of strings would take
    1024 MiB, of the 64 MiB that are left for this file. If you trust it, give load a larger
    max_bytes.
    """

    def __init__(self, path, size, max_bytes=None):
        self.path, self.size = path, size
        besides = size + _BESIDES_FILE_BYTES if max_bytes is None else int(max_bytes)
        self.left = size + besides

    def take(self, n_bytes, what) -> None:
        """Count memory that is about to be used.

        Raises
        ------
        ModelFileError
            Where it is more than is left.
        """
        if n_bytes > self.left:
            raise ModelFileError(
                f"{self.path} cannot be read: {what} would take {-(-int(n_bytes) >> 20)} MiB, of "
                f"the {self.left >> 20} MiB that are left for this file. If you trust it, give "
                "load a larger max_bytes."
            )
        self.left -= int(n_bytes)

    @contextmanager
    def held(self, n_bytes, what):
        """Count memory that is free again after the block."""
        self.take(n_bytes, what)
        yield
        self.left += int(n_bytes)

    def text(self, content, what):
        """Count what a JSON text takes; return a block in which it may be read.

        Parameters
        ----------
        content : bytes
        what : str
        """
        n_values = 1 + sum(content.count(mark) for mark in (b"[", b"{", b","))
        largest = int(np.frombuffer(content, np.uint8).max(initial=0))
        width = 1 if largest < 0xC4 else 2 if largest < 0xF0 else 4
        of_strings = width
        if b"\\u" in content:
            of_strings = 4 if _ASTRAL.search(content) else max(width, 2)
        self.take(
            n_values * _BYTES_PER_VALUE + len(content) * of_strings,
            f"{what}, with {n_values} values,",
        )
        return self.held(len(content) * width, what)


class Unlimited(Budget):
    """A budget for what this process wrote."""

    def __init__(self):
        super().__init__("a model", 1 << 62)
