"""The choice of an array in a file, and one-line errors of reading."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import typer

from .._utils.memory import require_memory
from ..exceptions import EDNNError

_MAX_NAMES = 20  # in a message
_MAX_CHARACTERS = 500  # of an error of a library
_IN_PIECES = "In Python, sk_ednn.fields.ArraySource reads such files in pieces."


@dataclass(frozen=True)
class Wanted:
    """The requested array of a file.

    Parameters
    ----------
    key : str or None
        Name of the array.
    usual : tuple of str
        Names to look for if none is given.
    n_axes : range, default=range(65)
        Valid numbers of axes.
    not_called : tuple of str, default=()
        Names of arrays that are not suitable.
    unit : str or None, default=None
        Unit of the array; a file that names another is rejected.
    named : list of str, default=[]
        Receives the unit that the file names.
    argument : str or None, default=None
        Argument of the command that names the file, for messages.
    """

    key: str | None
    usual: tuple[str, ...]
    n_axes: range = range(65)  # numpy allows 64
    not_called: tuple[str, ...] = ()
    unit: str | None = None
    named: list[str] = field(default_factory=list)
    argument: str | None = None

    def require_unit(self, where: str, array: Any) -> None:
        """Raise if the attributes of an array name another unit."""
        from ..fields._units import unit_of  # after checks of names, since the import takes time

        named = unit_of(array)
        if named is None:
            return
        self.named.append(named)
        if self.unit is not None and named.strip() != self.unit.strip():
            raise Unreadable(
                f"{where} is in {named.strip()!r} by its attributes, but the unit of the totals is "
                f"{self.unit!r}. Convert the numbers, or correct the unit (--unit of fit)."
            )

    def suits(self, name: str, shape, dtype) -> bool:
        """Return True if an array is suitable if no name is given."""
        return (
            np.dtype(dtype).kind in "biuf"
            and shape is not None
            and len(shape) in self.n_axes
            and name.rpartition("/")[2] not in self.not_called
        )

    def choose(
        self, path: Path, names: Sequence[str], suitable: Sequence[str], what="arrays"
    ) -> str:
        """Return the given name, a usual one, or the only suitable one.

        Names of arrays in groups count by their last part if only one of them matches.

        Parameters
        ----------
        path : Path
        names : sequence of str
            All names.
        suitable : sequence of str
            Names of suitable arrays.
        what : str, default="arrays"
            Noun for messages.

        Raises
        ------
        ValueError
            If there is no such array, or several are suitable. The message lists them.
        """
        if self.key is not None:
            if self.key in names:
                return self.key
            ends = [name for name in names if name.endswith(f"/{self.key}")]
            if len(ends) == 1:
                note(f"{path}::{ends[0]} is used, the only one that ends in {self.key}.")
                return ends[0]
            raise self._undecided(
                path, ends, f"{path} has no {what[:-1]} {self.key!r}; it has {listed(names)}."
            )
        usual = next((name for name in self.usual if name in names), None)
        if usual is not None:
            return usual
        ends = [name for name in suitable if name.rpartition("/")[2] in self.usual]
        if len(ends) == 1:
            last = ends[0].rpartition("/")[2]
            note(f"{path}::{ends[0]} is used, the only one of the {what} with the name {last}.")
            return ends[0]
        if len(suitable) == 1:
            note(f"{path}::{suitable[0]} is used, the only suitable one of the {what}.")
            return suitable[0]
        if not names:
            raise Unreadable(f"{path} has no {what}.")
        if what == "columns" and not suitable:
            raise Unreadable(
                f"{path} has the columns {listed(names)}, none of which can be totals: expected a "
                "number in each row, and no names of files."
            )
        which = "several" if ends else "none"
        raise self._undecided(
            path,
            ends or suitable,
            f"{path} has the {what} {listed(names)}, but {which} with the name "
            f"{' or '.join(self.usual)}. Choose one, as {path}::NAME.",
        )

    def _undecided(self, path, names, message) -> Unreadable:
        """Return an error that tells a command which arguments would decide."""
        error = Unreadable(message)
        if names and self.argument is not None:
            error.arguments = {self.argument: f"{path}::{names[0]}"}
            if self.argument == "fields":
                # Totals are looked for in the file of the fields, which then names an array.
                error.arguments["targets"] = str(path)
        return error


def note_mask(path: Path, name: str, exists) -> None:
    """Print that a mask beside an array, as masked arrays are stored, is not used.

    Parameters
    ----------
    path : Path
    name : str
        Name of the array.
    exists : callable
        Function of a name; returns whether the file has such an array.
    """
    folder, slash, last = name.rpartition("/")
    masks = (f"{folder}{slash}{mask}" for mask in ("mask", f"{last}_mask", f"{last}.mask"))
    mask = next((each for each in masks if each != name and exists(each)), None)
    if mask is not None:
        note(
            f"{path}::{mask} is not used. If it marks missing values of {name}, leave these "
            "samples out, or fill in what is missing."
        )


class Unreadable(ValueError):
    """A one-line error that names a file.

    Attributes
    ----------
    arguments : dict of str to str
        Arguments of a command with which it would not be raised, such as one of several arrays.
        The first replaces what was given; others fill in what was not.
    """

    def __init__(self, message):
        super().__init__(message)
        self.arguments: dict[str, str] = {}


@contextmanager
def reading(path: Path, kind: str = "") -> Iterator[None]:
    """Convert any error of a library on a damaged file to a one-line error that names the file.

    The classes of these errors are not documented: zlib, tokenize, struct and h5py have their own,
    and a single bit can cause OverflowError in numpy, KeyError in zarr, AttributeError in PyYAML.

    Parameters
    ----------
    path : Path
    kind : str, default=""
        Expected format, for the message.

    Raises
    ------
    ValueError, MemoryError
    """
    try:
        with warnings.catch_warnings():
            # Headers of .npy files are Python literals, whose parser may warn.
            warnings.simplefilter("ignore", SyntaxWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    except (EDNNError, Unreadable):
        raise
    except MemoryError as error:
        raise MemoryError(f"{path} does not fit in memory, or is damaged.") from error
    except Exception as error:
        raise Unreadable(f"{path} cannot be read{kind}: {_why(error)}.") from error


def in_full(path: Path, name: str, array: Any) -> np.ndarray:
    """Read a whole array that a library has opened.

    Raises
    ------
    ValueError
        If it does not contain real numbers, or `ArraySource` rejects it: chunks are missing, or
        numbers are packed or in other files.
    TileMemoryError
        If it does not fit in memory, before it is read.
    """
    from ..fields._array_source import (
        ArraySource,  # after checks of names, since the import takes time
    )

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
    """Raise if an array does not contain real numbers, before it is read."""
    if dtype.hasobject:
        raise Unreadable(
            f"{where} cannot be read: it contains Python objects or texts, not numbers. To fit "
            "fields of different sizes, pass them as a list in Python."
        )
    if dtype.kind not in "biuf":
        raise Unreadable(f"{where} must contain real numbers; got an array of type {dtype}.")


def nbytes(shape, dtype) -> int:
    """Return the size of an array in bytes, in integers that do not overflow."""
    return math.prod(map(int, shape)) * dtype.itemsize


def note(text: str) -> None:
    """Print how an input was interpreted, also with --quiet, since it may be wrong."""
    typer.echo(f"note: {text}", err=True)


def listed(names: Sequence[str]) -> str:
    """Return names in one line; a file may have thousands, with any characters."""
    shown = [name if name.isprintable() else repr(name) for name in names[:_MAX_NAMES]]
    more = len(names) - len(shown)
    return (", ".join(shown) or "none") + (f" and {more} more" if more else "")


def _why(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    # The text of a KeyError is the quoted key.
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    line = next((line for line in text.splitlines() if line.strip()), "").strip().rstrip(".")
    # Libraries may quote long parts of a file.
    if len(line) > _MAX_CHARACTERS:
        line = line[:_MAX_CHARACTERS] + " ..."
    return line or type(error).__name__
