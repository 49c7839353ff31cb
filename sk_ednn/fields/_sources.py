"""Fields that are read piece by piece: files, stores, arrays computed elsewhere, atoms.

A source knows its shape and reads a box of it. What reads it gathers the sites of a block, those
beyond the ends of an axis included, and asks for no others.
"""

from __future__ import annotations

import hashlib
import mmap
import os
from itertools import product
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from .._utils.hashing import digest
from .._utils.masks import require_unmasked, unmasked
from .._utils.optional import is_from
from ._array_like import require_array_like
from ._dask_stores import with_checked_stores
from ._hdf5 import check_hdf5, require_hdf5_chunks
from ._packing import Packing, require_unpacked
from ._xarray import is_in_memory, without_labels
from ._zarr import check_zarr, files_within, local_folder, require_zarr_chunks

_PER_SAMPLE = "an array with something for each sample"
# Types of values that need no checks.
_NUMBERS = (int, float)


@runtime_checkable
class FieldSource(Protocol):
    """Interface of data that are read box by box in place of an array.

    A batch of fields, the samples along its first axis, where it is given as `X`; one field where
    it is in a list. It must be picklable, small when pickled, and return the same numbers for a
    site whatever box it is read with.

    Attributes
    ----------
    shape : tuple of int
    dtype : numpy.dtype
        A boolean, an integer or a float.
    spacing : tuple of float or None
        Distance between neighbouring sites along each axis, None where that has no meaning.

    Notes
    -----
    A source may have a method ``identity()``, which returns a string that differs where the
    numbers do; without one its pickle is taken. Resuming a run rests on it.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    spacing: tuple[float, ...] | None

    def read(self, slices) -> np.ndarray:
        """Return the box of these slices, one per axis, with start and stop and no step."""


class ArraySource:
    """Read an array box by box: numpy, a memory map, HDF5, zarr, dask, xarray.

    Parameters
    ----------
    array : array-like with ``shape``, ``dtype`` and slicing, or path to a ``.npy`` file
        Memory maps of whole ``.npy`` files, h5py datasets and zarr arrays are pickled as the
        names of their files, and opened again by whoever reads: worker processes must see the
        same file system.
    spacing : tuple of float or None, default=None
        Distance between neighbouring sites along each axis.
    missing_chunks : {"error", "fill"}, default="error"
        Action where a part of an HDF5 dataset or a chunk of a zarr array was never written or
        is gone: refuse, or read the fill value. Zarr leaves out chunks that contain nothing else,
        unless ``write_empty_chunks`` is set; a chunk that was lost looks the same.
    follow_links : bool, default=False
        Whether HDF5 datasets may read from other files (virtual datasets, external storage), and
        zarr arrays through symbolic links that lead out of their store.

    Raises
    ------
    ValueError
        Where the file is closed, the dataset has no data or lies in other files, a store has links
        out of it or a pipe among its chunks, or the numbers are packed (``scale_factor``,
        ``add_offset``). While reading, also where values occur that the attributes of the array
        call missing (``_FillValue``, ``valid_range``).
    FileNotFoundError
        While reading, where a chunk is missing.

    Examples
    --------
    >>> import numpy as np, os, tempfile
    >>> from sk_ednn.fields import ArraySource
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "fields.npy")
    ...     np.save(path, np.arange(24).reshape(1, 4, 6))
    ...     source = ArraySource(path)
    ...     source.shape, source.read((slice(0, 1), slice(2, 4), slice(0, 2)))
    ((1, 4, 6), array([[[12, 13],
            [18, 19]]]))
    """

    # Whether the attributes of the array say what its numbers are.
    _attributes_count = True

    def __init__(self, array, spacing=None, *, missing_chunks="error", follow_links=False):
        if isinstance(array, (str, Path)):
            array = np.load(array, mmap_mode="r", allow_pickle=False)
        if missing_chunks not in ("error", "fill"):
            raise ValueError(f"missing_chunks must be 'error' or 'fill', got {missing_chunks!r}.")
        if is_from(array, "h5py"):
            check_hdf5(array, follow_links)
        elif is_from(array, "zarr"):
            check_zarr(array, follow_links)
        self.packing = Packing.of(array) if self._attributes_count else None
        array = without_labels(array)
        if hasattr(array, "__dask_graph__"):
            # Its chunks are read by Dask, past this source.
            array = _with_checks(array, missing_chunks, follow_links)
            if self.packing is not None:
                array = array.map_blocks(_checked_chunk, self.packing, dtype=array.dtype)
        self.array = array
        self.spacing = spacing
        self.missing_chunks = missing_chunks
        self.shape = tuple(array.shape)
        self.dtype = np.dtype(array.dtype)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def in_memory(self) -> bool:
        """True if the object contains the numbers themselves, not the name of a file."""
        return isinstance(self.array, np.ndarray) and not _is_whole_memmap(self.array)

    @property
    def chunks(self) -> tuple[int, ...] | None:
        """Shape of what the store reads at a time, or None."""
        chunks = getattr(self.array, "chunks", None)
        return chunks if chunks and all(isinstance(n, int) for n in chunks) else None

    def read(self, slices) -> np.ndarray:
        """Return the box of these slices as an array in memory."""
        return _read_checked(self.array, slices, self.packing, self.missing_chunks == "error", "X")

    def read_all(self) -> np.ndarray:
        """Return the whole array in memory."""
        return self.read(tuple(slice(0, n) for n in self.shape))

    def identity(self) -> str:
        """Return a name that changes with the numbers.

        For files: their path, size and time of the last change. For zarr arrays elsewhere than in
        a folder: their store and metadata alone.
        """
        array = self.array
        if _is_whole_memmap(array):
            return f"{_file_identity(array.filename)} {array.offset} {_kind(array)}"
        if is_from(array, "h5py"):
            return f"{_file_identity(array.file.filename)} {array.name} {_kind(array)}"
        if is_from(array, "zarr"):
            stored = f"{array.store} {array.path} {_folder_identity(array)} {array.metadata}"
            return f"{stored} missing: {self.missing_chunks}"
        if hasattr(array, "__dask_graph__"):
            return str(array.name)
        # In one layout: strides do not outlive a pickle.
        return digest(np.ascontiguousarray(array))

    def __getstate__(self):
        """Name files in place of what is in them."""
        state = dict(self.__dict__)
        array = self.array
        if _is_whole_memmap(array):
            order = "C" if array.flags.c_contiguous else "F"
            state["array"] = _Map(
                str(array.filename), array.dtype, array.offset, array.shape, order
            )
        elif is_from(array, "h5py"):
            state["array"] = _Dataset(os.path.abspath(array.file.filename), array.name)
        return state

    def __setstate__(self, state):
        """Open files again."""
        self.__dict__.update(state)
        if isinstance(self.array, (_Map, _Dataset)):
            self.array = self.array.open()


class _Ingredient(ArraySource):
    """A store that a dask array is computed from, which may well decode what is packed."""

    _attributes_count = False


def _with_checks(array, missing_chunks, follow_links):
    """Return a dask array whose stores are read under the rule of `ArraySource`."""

    def source_of(store, unchanged):
        kind = ArraySource if unchanged else _Ingredient
        return kind(store, missing_chunks=missing_chunks, follow_links=follow_links)

    return with_checked_stores(array, source_of)


class Window:
    """A box of a source that is in memory, read by the places of the source.

    Parameters
    ----------
    shape : tuple of int
        Shape of the source.
    places : list of ndarray
        Which sites are held, sorted, per axis.
    values : ndarray
        The numbers at the product of those.
    """

    def __init__(self, shape, places, values):
        self.shape = shape
        self.dtype = values.dtype
        self.spacing = None
        self.places = places
        self.values = values

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def read(self, slices) -> np.ndarray:
        """Return the box of these slices, all of it held."""
        held = [
            slice(*np.searchsorted(place, (part.start, part.stop)))
            for place, part in zip(self.places, slices, strict=True)
        ]
        return self.values[tuple(held)]


def in_memory(values, name, *, expected=_PER_SAMPLE) -> Any:
    """Return values that are wanted whole, such as totals, read under the rule of `ArraySource`.

    Parameters
    ----------
    values : array-like
        HDF5 datasets and zarr arrays are read, dask arrays computed, also where they are in a list;
        what is in memory is returned as it is.
    name : str
        For messages.
    expected : str, optional
        Description of the expected values, for messages.

    Raises
    ------
    ValueError, FileNotFoundError
        Where entries are masked or called missing, numbers are packed, or chunks were never
        written or got lost.
    """
    if values is None or (type(values) is np.ndarray and values.dtype.names is None):
        return values
    if type(values) in (list, tuple) and all(type(value) in _NUMBERS for value in values):
        return values  # the checks below take longer than a local update
    if isinstance(values, ArraySource):
        return values.read_all()
    require_array_like(values, name, expected)
    if isinstance(values, (list, tuple)) and any(map(_may_be_stored, values)):
        return [
            in_memory(value, f"{name}[{k}]", expected=expected) for k, value in enumerate(values)
        ]
    if not is_read_in_pieces(values):
        require_unmasked(values, name)
        require_unpacked(values, name)
        return values
    if is_from(values, "h5py"):
        check_hdf5(values, False, name)
    elif is_from(values, "zarr"):
        check_zarr(values, False)
    packing = Packing.of(values, name)
    array = without_labels(values)
    if hasattr(array, "__dask_graph__"):
        # Computed first: its shape may not be known before.
        array = unmasked(_with_checks(array, "error", False), name)
    elif not hasattr(array, "__getitem__"):
        return array.read(tuple(slice(0, n) for n in array.shape))
    box = tuple(slice(0, n) for n in array.shape)
    return _read_checked(array, box, packing, True, name)


def as_array(values, name, dtype=None, expected="an array of numbers") -> np.ndarray:
    """Return what a user hands over as an array in memory: `numpy.asarray` under the same rule.

    Whatever is not given as fields goes through here: numpy would drop masks, and read what was
    lost from a store as zeros.

    Parameters
    ----------
    values : array-like
        See `in_memory`.
    name : str
        For messages.
    dtype : dtype, default=None
    expected : str, optional
        Description of the expected values, for messages.

    Raises
    ------
    ValueError, FileNotFoundError
        As `in_memory` does, and where there are no values.
    """
    if values is None:
        require_array_like(values, name, expected)
    return np.asarray(in_memory(values, name, expected=expected), dtype=dtype)


def as_groups(groups, name="groups") -> np.ndarray:
    """Return the group of each sample as an array; each must be known.

    numpy would make one group of all that are masked, NaN or None, or one of each.

    Parameters
    ----------
    groups : array-like of shape (n_samples,)
        Numbers or names.
    name : str, default="groups"
        For messages.

    Raises
    ------
    ValueError, FileNotFoundError
        As `as_array` does, and where a group is missing.
    """
    array = as_array(groups, name, expected="a group for each sample")
    missing = [k for k, group in enumerate(array.ravel().tolist()) if _is_missing(group)]
    if missing:
        raise ValueError(
            f"The group of entry {missing[0]} of {name} is missing, one of {len(missing)}. Give "
            "each sample its group; one that belongs to no other has a group of its own."
        )
    return array


def _is_missing(value) -> bool:
    try:
        return value is None or value is np.ma.masked or bool(value != value)
    except TypeError:  # pandas.NA compares to nothing
        return True


def _may_be_stored(value) -> bool:
    return hasattr(value, "shape") and type(value) is not np.ndarray


def _read_checked(array, slices, packing, refuse_holes, name) -> np.ndarray:
    if is_from(array, "h5py") and not array:
        raise ValueError("The file of this HDF5 dataset was closed. Keep it open while it is read.")
    if refuse_holes and is_from(array, "zarr"):
        require_zarr_chunks(array, slices)
    elif refuse_holes and is_from(array, "h5py"):
        require_hdf5_chunks(array, slices)
    values = unmasked(array[tuple(slices)], name)
    if packing is not None:
        packing.require_values(values, name)
    return values


def _checked_chunk(values, packing):
    packing.require_values(values)
    return values


def source_identity(source) -> str:
    """Return a name that changes with what a source contains."""
    return str(source.identity()) if hasattr(source, "identity") else digest(source)


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


# --- files and stores -----------------------------------------------------------------------------


class _Map:
    def __init__(self, filename, dtype, offset, shape, order):
        self.filename, self.dtype, self.offset = os.path.abspath(filename), dtype, offset
        self.shape, self.order = shape, order

    def open(self):
        return np.memmap(
            self.filename, self.dtype, "r", offset=self.offset, shape=self.shape, order=self.order
        )


class _Dataset:
    def __init__(self, filename, name):
        self.filename, self.name = filename, name

    def open(self):
        import h5py

        return h5py.File(self.filename, "r")[self.name]


def _is_whole_memmap(array) -> bool:
    # A slice of a memory map keeps the name of the file, and not where in it it begins.
    return (
        isinstance(array, np.memmap)
        and array.filename is not None
        and isinstance(array.base, mmap.mmap)
        and (array.flags.c_contiguous or array.flags.f_contiguous)
    )


def _kind(array) -> str:
    return f"{np.dtype(array.dtype).str} {tuple(array.shape)}"


def _file_identity(filename) -> str:
    stat = os.stat(filename)
    return f"{os.path.abspath(filename)} {stat.st_size} {stat.st_mtime_ns}"


def _folder_identity(array) -> str:
    home = local_folder(array)
    if home is None:
        return ""
    found = hashlib.sha1(usedforsecurity=False)
    for path in sorted(entry.path for entry in files_within(home)):
        found.update(_file_identity(path).encode())
    return found.hexdigest()
