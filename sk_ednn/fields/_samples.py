"""Selected samples: of a source, for training in batches, and of whatever users pass as X."""

from __future__ import annotations

import threading
from collections import OrderedDict

import numpy as np
from sklearn.utils import _safe_indexing, check_consistent_length, indexable

from .._utils.hashing import digest
from .._utils.optional import is_from
from ._array_like import require_array_like
from ._array_source import ArraySource
from ._sources import FieldSource, is_read_in_pieces, read_box, read_sites, source_identity
from ._views import OneField, SourceView

# Memory of samples that are kept for later batches.
_HELD_BYTES = 1 << 28


class ChosenSamples(SourceView):
    """Some samples of a source, in any order, as a source.

    Parameters
    ----------
    source : FieldSource of shape (n, *field_shape)
    index : ndarray of int of shape (n_chosen,)
    """

    chunks = None  # those of the source lie across the samples in another order

    def __init__(self, source, index):
        self.index = np.asarray(index)
        super().__init__(source, (len(self.index), *source.shape[1:]))

    def read(self, slices) -> np.ndarray:
        """Return the box of these slices."""
        wanted, place = np.unique(self.index[slices[0]], return_inverse=True)
        sites = [np.arange(part.start, part.stop) for part in slices[1:]]
        return read_sites(self.source, [wanted, *sites])[place.ravel()]

    def identity(self) -> str:
        """Return a name that changes with the numbers."""
        return f"samples {digest(self.index)} of {source_identity(self.source)}"


class SampleReader:
    """Read whole samples of a source in any order, a chunk at a time where it has chunks.

    The chunks that were used last are kept, as many as `held_bytes` allow: data that fit are read
    once, and larger data never take more memory than that.

    Parameters
    ----------
    source : FieldSource of shape (n, *field_shape)
    held_bytes : float
    """

    def __init__(self, source, held_bytes=_HELD_BYTES):
        self.source = source
        self.held_bytes = held_bytes
        self._bounds = _bounds(source)
        self._forget()

    def __getitem__(self, index):
        """Return the samples at `index`, (n_chosen, *field_shape)."""
        index = np.asarray(index)
        if self._bounds is None:
            return self._rows(index)
        chunk = np.searchsorted(self._bounds, index, side="right") - 1
        out = np.empty((len(index), *self.source.shape[1:]), dtype=self.source.dtype)
        for number in np.unique(chunk):
            of_chunk = np.flatnonzero(chunk == number)
            first, last = self._bounds[number], self._bounds[number + 1]
            if (last - first) * out[0].nbytes > self.held_bytes:
                out[of_chunk] = self._rows(index[of_chunk])
            else:
                out[of_chunk] = self._chunk(int(number))[index[of_chunk] - first]
        return out

    def _rows(self, index):
        wanted, place = np.unique(index, return_inverse=True)
        return read_sites(self.source, [wanted, *self._fields()])[place.ravel()]

    def _fields(self):
        return [np.arange(length) for length in self.source.shape[1:]]

    def _chunk(self, number):
        with self._lock:
            if number in self._held:
                self._held.move_to_end(number)
                return self._held[number]
        samples = np.arange(self._bounds[number], self._bounds[number + 1])
        values = read_sites(self.source, [samples, *self._fields()])
        with self._lock:
            self._held[number] = values
            while sum(chunks.nbytes for chunks in self._held.values()) > self.held_bytes:
                self._held.popitem(last=False)
        return values

    def _forget(self):
        self._held: OrderedDict[int, np.ndarray] = OrderedDict()
        self._lock = threading.Lock()

    def __getstate__(self):
        """Return the state without the samples read; each worker reads its own."""
        left_out = ("_held", "_lock")
        return {name: value for name, value in self.__dict__.items() if name not in left_out}

    def __setstate__(self, state):
        """Restore the state, with nothing read yet."""
        self.__dict__.update(state)
        self._forget()


def _bounds(source: FieldSource) -> np.ndarray | None:
    """Return where the chunks of a source lie along its samples, None where it has none."""
    if isinstance(source, OneField):
        return None
    n_samples = source.shape[0]
    array = getattr(source, "array", None)
    if array is not None and hasattr(array, "__dask_graph__"):
        return np.concatenate([[0], np.cumsum(array.chunks[0])])
    chunks = getattr(source, "chunks", None)
    if chunks is None:
        return None
    return np.append(np.arange(0, n_samples, chunks[0]), n_samples)


def with_samples(X, *others) -> list:
    """Return X and arrays in memory, of equal length, so that samples can be taken of each.

    `sklearn.utils.indexable` in which X may be a source, a stored or a lazy array.

    Raises
    ------
    ValueError
        If X is not an array or a list, or the lengths differ.
    """
    require_samples(X)
    if not is_read_in_pieces(X):
        return indexable(X, *others)
    check_consistent_length(X, *others)
    return [X, *indexable(*others)]


def require_samples(X, name="X") -> None:
    """Raise if samples cannot be taken of an object, with its kind and the remedy.

    Parameters
    ----------
    X : object
    name : str, default="X"
        For messages.

    Raises
    ------
    ValueError
    """
    require_array_like(X, name, "an array of shape (n_samples, ...), or a list")
    if is_from(X, "h5py") or is_from(X, "zarr"):
        ArraySource(X)


def samples_at(X, index):
    """Return some samples of X, under the rule of `ArraySource` where X is stored.

    zarr and HDF5 would read chunks that are missing as their fill value, and do not take the
    numbers of samples in any order.

    Parameters
    ----------
    X : array-like of shape (n_samples, ...), FieldSource or list
    index : ndarray of int of shape (n_chosen,)
    """
    if is_from(X, "h5py") or is_from(X, "zarr"):
        X = ArraySource(X)
    # Dask and xarray select samples lazily; their stores are checked as they are computed.
    if is_read_in_pieces(X) and not hasattr(X, "__getitem__"):
        return ChosenSamples(X, index)
    return _safe_indexing(X, index)


def sample_at(X, k):
    """Return a sample of X, in memory if it is a field: see `samples_at`."""
    if not is_read_in_pieces(X):
        return _safe_indexing(X, k)
    source = ArraySource(X) if hasattr(X, "__getitem__") else X
    return read_box(source, (slice(k, k + 1), *(slice(0, n) for n in source.shape[1:])))[0]
