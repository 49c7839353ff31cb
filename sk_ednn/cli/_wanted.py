"""The array that is wanted of a file: which one, whether it can be, and errors in one line."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import typer

from .._utils.memory import require_memory
from ..exceptions import EDNNError

_MOST_NAMES = 20  # in a message
_MOST_CHARACTERS = 500  # of what a library says
_IN_PIECES = "From Python, such files are read in pieces (sk_ednn.fields.ArraySource)."


@dataclass(frozen=True)
class Wanted:
    """Which array of a file is wanted.

    Parameters
    ----------
    key : str or None
        The name that was given.
    usual : tuple of str
        Names looked for where none is given.
    n_axes : range, default=range(65)
        How many axes it may have.
    not_called : tuple of str, default=()
        Names of what is not wanted.
    """

    key: str | None
    usual: tuple[str, ...]
    n_axes: range = range(65)  # numpy allows 64
    not_called: tuple[str, ...] = ()

    def suits(self, name: str, shape, dtype) -> bool:
        """Return whether an array may be meant where no name is given."""
        return (
            np.dtype(dtype).kind in "biuf"
            and shape is not None
            and len(shape) in self.n_axes
            and name.rpartition("/")[2] not in self.not_called
        )

    def choose(
        self, path: Path, names: Sequence[str], suitable: Sequence[str], what="arrays"
    ) -> str:
        """Return a name: the one that was given, a usual one, or the only one that suits.

        Parameters
        ----------
        path : Path
        names : sequence of str
            Of all arrays.
        suitable : sequence of str
            Of those that may be meant.
        what : str, default="arrays"
            For messages.

        Raises
        ------
        ValueError
            Listing what there is.
        """
        if self.key is not None:
            if self.key in names:
                return self.key
            raise Unreadable(f"{path} has no {what[:-1]} {self.key!r}; it has {listed(names)}.")
        usual = next((name for name in self.usual if name in names), None)
        if usual is not None:
            return usual
        if len(suitable) == 1:
            note(f"{path}::{suitable[0]} is taken, the only one of its {what} that may be meant.")
            return suitable[0]
        if not names:
            raise Unreadable(f"{path} has no {what}.")
        raise Unreadable(
            f"{path} has the {what} {listed(names)}, none of them called {', '.join(self.usual)}: "
            f"say which one is meant, as {path}::NAME."
        )


class Unreadable(ValueError):
    """What is wrong with a file, in one line that names it."""


@contextmanager
def reading(path: Path, kind: str = "") -> Iterator[None]:
    """Turn whatever a library raises at a damaged file into one line that names the file.

    No library says which errors these are: zlib, tokenize, struct and h5py have their own, and a
    single bit leads numpy to OverflowError, zarr to KeyError and PyYAML to AttributeError.

    Parameters
    ----------
    path : Path
    kind : str, default=""
        What it cannot be read as, for the message.

    Raises
    ------
    ValueError, MemoryError
    """
    try:
        with warnings.catch_warnings():
            # Headers of .npy files are read as Python, which warns of what it finds there.
            warnings.simplefilter("ignore", SyntaxWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    except (EDNNError, Unreadable):
        raise
    except MemoryError as error:
        raise MemoryError(f"{path} needs more memory than there is, or is damaged.") from error
    except Exception as error:
        raise Unreadable(f"{path} cannot be read{kind}: {_why(error)}.") from error


def in_full(path: Path, name: str, array: Any) -> np.ndarray:
    """Return all of an array that a library has opened.

    Raises
    ------
    ValueError
        Where it is not of real numbers, or `ArraySource` refuses it: a part is missing, the numbers
        are packed, or lie in other files.
    TileMemoryError
        Where it does not fit, before it is read.
    """
    from ..fields._sources import ArraySource  # not before a mistake in a name is answered

    where = f"{path}::{name}" if name else str(path)
    with reading(path):
        source = ArraySource(array)
    require_numbers(where, source.dtype)
    # Libraries read whole chunks, which may be larger than the array.
    chunks = getattr(array, "shards", None) or source.chunks or ()
    n_bytes = max(nbytes(shape, source.dtype) for shape in (source.shape, chunks))
    require_memory(n_bytes, f"Reading {where}", _IN_PIECES)
    with reading(path):
        return source.read_all()


def require_numbers(where: str, dtype: np.dtype) -> None:
    """Raise where an array is not of real numbers: before it is read."""
    if dtype.hasobject:
        raise Unreadable(
            f"{where} cannot be read: it has Python objects or texts. Arrays are of numbers; "
            "fields of different sizes are fitted from Python, as a list."
        )
    if dtype.kind not in "biuf":
        raise Unreadable(f"{where} must hold real numbers; got an array of type {dtype}.")


def nbytes(shape, dtype) -> int:
    """Return the bytes of an array, in integers that do not overflow."""
    return math.prod(map(int, shape)) * dtype.itemsize


def note(text: str) -> None:
    """Say how something was understood, also where no progress is wanted: it may be wrong."""
    typer.echo(f"note: {text}", err=True)


def listed(names: Sequence[str]) -> str:
    """Return names in a line; a file may have thousands, and of any characters."""
    shown = [name if name.isprintable() else repr(name) for name in names[:_MOST_NAMES]]
    more = len(names) - len(shown)
    return (", ".join(shown) or "none") + (f" and {more} more" if more else "")


def _why(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    # The text of a KeyError is the quoted key.
    told = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    line = next((line for line in told.splitlines() if line.strip()), "").strip().rstrip(".")
    # Libraries quote what they could not read, however long it is.
    if len(line) > _MOST_CHARACTERS:
        line = line[:_MOST_CHARACTERS] + " ..."
    return line or type(error).__name__
