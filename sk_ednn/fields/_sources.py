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
        return source.read(tuple(run[0] for run in runs))
    out = np.empty([len(along) for along in sites], dtype=source.dtype)
    for index in product(*(range(n) for n in counts)):
        box = tuple(run[i] for run, i in zip(runs, index, strict=True))
        place = tuple(
            slice(*np.searchsorted(along, (part.start, part.stop)))
            for along, part in zip(sites, box, strict=True)
        )
        out[place] = source.read(box)
    return out


def _runs(sites) -> list[slice]:
    """Return sorted sites as slices."""
    breaks = np.flatnonzero(np.diff(sites) > 1) + 1
    return [slice(int(run[0]), int(run[-1]) + 1) for run in np.split(sites, breaks)]
