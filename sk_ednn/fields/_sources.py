"""Fields that are read piece by piece: what a source is, and how its sites are read.

A source knows its shape and reads a box of it. The reader gathers the sites of a block, including
those beyond the ends of an axis, and reads no others.
"""

from __future__ import annotations

from itertools import product
from typing import Protocol, runtime_checkable

import numpy as np

from .._utils.hashing import digest
from .._utils.optional import is_from
from ._xarray import is_in_memory


@runtime_checkable
class FieldSource(Protocol):
    """Interface of data that are read box by box in place of an array.

    Passed as `X`, a source is a batch of fields with the samples along its first axis; in a list it
    is one field. It must be picklable, small when pickled, and return the same numbers for a site
    whatever the box.

    Attributes
    ----------
    shape : tuple of int
    dtype : numpy.dtype
        A boolean, an integer or a float.
    spacing : tuple of float or None
        Distance between neighbouring sites along each axis; None if it is not defined.

    Notes
    -----
    A source may have a method ``identity()``, which returns a string that changes with the numbers;
    otherwise its pickle is used. Resuming a run depends on it.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    spacing: tuple[float, ...] | None

    def read(self, slices) -> np.ndarray:
        """Return the box of these slices, one per axis, with start and stop and no step."""


class Window:
    """A box of a source that is in memory, read by positions in the source.

    Parameters
    ----------
    shape : tuple of int
        Shape of the source.
    sites : list of ndarray
        Sites that the window contains, sorted, per axis.
    values : ndarray
        The numbers at the product of those.
    """

    def __init__(self, shape, sites, values):
        self.shape = shape
        self.dtype = values.dtype
        self.spacing = None
        self.sites = sites
        self.values = values

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def read(self, slices) -> np.ndarray:
        """Return the box of these slices, all of which the window contains."""
        box = [
            slice(*np.searchsorted(along, (part.start, part.stop)))
            for along, part in zip(self.sites, slices, strict=True)
        ]
        return self.values[tuple(box)]


def is_read_in_pieces(x) -> bool:
    """Return True if `x` is a source, or an array that is computed (dask) or stored (zarr, HDF5).

    Also what xarray makes of such.
    """
    if isinstance(x, np.ndarray):
        return False
    if is_from(x, "xarray"):
        return hasattr(x, "dtype") and not is_in_memory(x)
    if is_from(x, "zarr") or is_from(x, "h5py"):
        return hasattr(x, "shape") and hasattr(x, "dtype")  # a group has neither
    if hasattr(x, "__dask_graph__"):
        return hasattr(x, "shape") and hasattr(x, "dtype") and hasattr(x, "chunks")
    return isinstance(x, FieldSource) and callable(x.read)


def source_identity(source) -> str:
    """Return a name that changes with what a source contains."""
    return str(source.identity()) if hasattr(source, "identity") else digest(source)


def read_sites(source, sites) -> np.ndarray:
    """Read the product of some sites along each axis, in as few boxes as they make.

    Parameters
    ----------
    source : FieldSource
    sites : list of ndarray of int
        Sorted, none twice.
    """
    runs = [_runs(along) for along in sites]
    counts = [len(run) for run in runs]
    if all(n == 1 for n in counts):
        return read_box(source, tuple(run[0] for run in runs))
    out = np.empty([len(along) for along in sites], dtype=source.dtype)
    for index in product(*(range(n) for n in counts)):
        box = tuple(run[i] for run, i in zip(runs, index, strict=True))
        place = tuple(
            slice(*np.searchsorted(along, (part.start, part.stop)))
            for along, part in zip(sites, box, strict=True)
        )
        out[place] = read_box(source, box)
    return out


def read_box(source, box) -> np.ndarray:
    """Read a box of a source, with the shape and type that the source declares.

    Parameters
    ----------
    source : FieldSource
    box : tuple of slice
        With start and stop.

    Raises
    ------
    ValueError
        If the numbers are others than it declares; see `as_declared`.
    """
    shape = tuple(part.stop - part.start for part in box)
    return as_declared(source.read(box), shape, source.dtype)


def as_declared(values, shape, dtype) -> np.ndarray:
    """Return numbers in the type that their array declares, without a change of them.

    Dask believes what users say about the blocks that their functions return, and assigning to an
    array of the declared type would drop fractions and signs without a word.

    Parameters
    ----------
    values : ndarray
    shape : tuple of int
    dtype : dtype

    Raises
    ------
    ValueError
        If the shape is another, or integers are declared and the numbers are others. Rounding of
        floats to less precise ones is no error.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ednn.fields._sources import as_declared
    >>> as_declared(np.array([1.0, 2.0]), (2,), np.int8)
    array([1, 2], dtype=int8)
    >>> as_declared(np.array([1.0, 2.5]), (2,), np.int8)
    Traceback (most recent call last):
    ...
    ValueError: X is declared to be int8, but contains 2.5 at [1] of a block. Declare the type that
    its numbers have, such as dtype=float64 in map_blocks of Dask.
    """
    shape = tuple(map(int, shape))
    if values.shape != shape:
        raise ValueError(
            f"A block of X is declared to be of shape {shape}, but is of shape "
            f"{values.shape}. Declare the shape that it has, such as chunks=... in map_blocks of "
            "Dask."
        )
    if values.dtype == dtype or values.dtype.kind not in "biuf":  # which is reported elsewhere
        return values
    with np.errstate(all="ignore"):
        cast = values.astype(dtype)
    if np.can_cast(values.dtype, dtype, "safe") or values.dtype.kind == cast.dtype.kind == "f":
        return cast
    wrong = cast != values
    if wrong.any():
        place = tuple(int(k) for k in np.argwhere(wrong)[0])
        raise ValueError(
            f"X is declared to be {np.dtype(dtype)}, but contains {values[place]} at {list(place)} "
            f"of a block. Declare the type that its numbers have, such as dtype={values.dtype} in "
            "map_blocks of Dask."
        )
    return cast


def _runs(sites) -> list[slice]:
    """Return sorted sites as slices."""
    breaks = np.flatnonzero(np.diff(sites) > 1) + 1
    return [slice(int(run[0]), int(run[-1]) + 1) for run in np.split(sites, breaks)]
