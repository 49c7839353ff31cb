"""Arrays that are read box by box: numpy, memory maps, HDF5, zarr, dask, xarray."""

from __future__ import annotations

import hashlib
import mmap
import os
from pathlib import Path

import numpy as np

from .._utils.file_names import require_plain
from .._utils.hashing import digest
from .._utils.masks import unmasked
from .._utils.optional import is_from
from ._dask_stores import with_checked_stores
from ._hdf5 import check_hdf5, require_hdf5_chunks
from ._packing import Packing
from ._units import unit_of
from ._xarray import without_labels
from ._zarr import check_zarr, files_within, local_folder, require_zarr_chunks


class ArraySource:
    """Read an array box by box: numpy, a memory map, HDF5, zarr, dask, xarray.

    Parameters
    ----------
    array : array-like with ``shape``, ``dtype`` and slicing, or path to a ``.npy`` file
        Memory maps of whole ``.npy`` files, h5py datasets and zarr arrays are pickled as the
        names of their files, and opened again when they are read: worker processes must see the
        same file system.
    spacing : tuple of float or None, default=None
        Distance between neighbouring sites along each axis.
    missing_chunks : {"error", "fill"}, default="error"
        Action if a part of an HDF5 dataset or a chunk of a zarr array was never written or is
        missing: raise an error, or read the fill value. Zarr leaves out chunks that contain nothing
        else, unless ``write_empty_chunks`` is set; lost chunks look the same.
    follow_links : bool, default=False
        Whether HDF5 datasets may read from other files (virtual datasets, external storage), and
        zarr arrays through symbolic links that lead out of their store.

    Raises
    ------
    ValueError
        If the file is closed, the dataset has no data or is in other files, a store has links out
        of it or a pipe among its chunks, or the numbers are packed (``scale_factor``,
        ``add_offset``). While reading, also if there are values that the attributes of the array
        mark as missing (``_FillValue``, ``valid_range``).
    FileNotFoundError
        While reading, if a chunk is missing.

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

    # Whether the attributes of the array describe its numbers.
    _attributes_count = True

    def __init__(self, array, spacing=None, *, missing_chunks="error", follow_links=False):
        if isinstance(array, (str, Path)):
            require_plain(array)
            array = np.load(array, mmap_mode="r", allow_pickle=False)
        if missing_chunks not in ("error", "fill"):
            raise ValueError(f"missing_chunks must be 'error' or 'fill', got {missing_chunks!r}.")
        if is_from(array, "h5py"):
            check_hdf5(array, follow_links)
        elif is_from(array, "zarr"):
            check_zarr(array, follow_links)
        holes = missing_chunks == "error"
        self.packing = Packing.of(array, holes=holes) if self._attributes_count else None
        self.unit = unit_of(array)
        array = without_labels(array)
        if hasattr(array, "__dask_graph__"):
            # Dask reads the chunks, past this source.
            array = with_checks(array, missing_chunks, follow_links)
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
        """True if the object contains the numbers themselves rather than the name of a file."""
        return isinstance(self.array, np.ndarray) and not _is_whole_memmap(self.array)

    @property
    def chunks(self) -> tuple[int, ...] | None:
        """Shape of the chunks of the store, or None."""
        chunks = getattr(self.array, "chunks", None)
        return chunks if chunks and all(isinstance(n, int) for n in chunks) else None

    def read(self, slices) -> np.ndarray:
        """Return the box of these slices as an array in memory."""
        return read_checked(self.array, slices, self.packing, self.missing_chunks == "error", "X")

    def require_stored(self, slices) -> None:
        """Raise if a chunk that a box needs is not there, without reading it."""
        require_stored(self.array, slices, self.missing_chunks == "error")

    def read_all(self) -> np.ndarray:
        """Return the whole array in memory."""
        return self.read(tuple(slice(0, n) for n in self.shape))

    def identity(self) -> str:
        """Return a name that changes with the numbers.

        For files, their path, size and modification time. For zarr arrays that are not in a folder,
        only their store and metadata.
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
        """Return the state, with the names of files instead of their content."""
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
    """A store that a dask array is computed from, or xarray reads; it may be decoded there."""

    _attributes_count = False


def with_checks(array, missing_chunks, follow_links):
    """Return a dask array whose stores are read under the rule of `ArraySource`."""

    def source_of(store, unchanged):
        kind = ArraySource if unchanged else _Ingredient
        return kind(store, missing_chunks=missing_chunks, follow_links=follow_links)

    return with_checked_stores(array, source_of)


def read_checked(array, slices, packing, refuse_holes, name) -> np.ndarray:
    require_stored(array, slices, refuse_holes)
    values = unmasked(array[tuple(slices)], name)
    if packing is not None:
        packing.require_values(values, name)
    return values


def require_stored(array, slices, refuse_holes) -> None:
    """Raise if the file of an array is closed, or a chunk of a box is not there."""
    if is_from(array, "h5py") and not array:
        raise ValueError("The file of this HDF5 dataset was closed. Keep it open while it is read.")
    if refuse_holes and is_from(array, "zarr"):
        require_zarr_chunks(array, slices)
    elif refuse_holes and is_from(array, "h5py"):
        require_hdf5_chunks(array, slices)


def _checked_chunk(values, packing):
    packing.require_values(values)
    return values


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
    state = hashlib.sha1(usedforsecurity=False)
    for path in sorted(entry.path for entry in files_within(home)):
        state.update(_file_identity(path).encode())
    return state.hexdigest()
