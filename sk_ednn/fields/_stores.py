"""What HDF5, zarr and netCDF-like arrays may hold in place of numbers, and how that is refused.

Three things are read as plain numbers by the libraries, without a word: chunks that were never
written or got lost (as the fill value), data that is packed into integers (as the integers), and
data in other files (zeros where these are gone).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

_FILL = "say so with ArraySource(array, missing_chunks='fill'); otherwise it was lost"
_PACKED = ("scale_factor", "add_offset")
_MISSING = ("_FillValue", "missing_value")
_SHARD_ENTRY = 16  # bytes of the index of a shard for each of its chunks: offset and length
_ABSENT = np.uint64(2**64 - 1)


def is_from(array, package) -> bool:
    """Tell whether an object is of a class of a package, without importing it."""
    return type(array).__module__.partition(".")[0] == package


# --- packed data ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Packing:
    """Attributes by which the values of an array are not what they look like.

    Attributes
    ----------
    missing : tuple of float
        Values that stand for a missing one.
    valid : tuple of float
        Least and largest valid value.
    """

    missing: tuple[float, ...]
    valid: tuple[float, float]

    @classmethod
    def of(cls, array, name="X") -> Packing | None:
        """Return the packing of an array, or None where it has none.

        Parameters
        ----------
        array : object
            Attributes are looked for in ``array.attrs``, as h5py, zarr and xarray have them.
        name : str, default="X"
            For messages.

        Raises
        ------
        ValueError
            Where the numbers are packed: ``scale_factor``, ``add_offset`` or ``_Unsigned``.
        """
        attributes = _attributes(array)
        if not attributes:
            return None
        packed = {key: _numbers(attributes.get(key)) for key in _PACKED}
        trivial = {"scale_factor": 1.0, "add_offset": 0.0}
        wrong = [
            f"{key}={values[0]:g}"
            for key, values in packed.items()
            if values and any(value != trivial[key] for value in values)
        ]
        unsigned = str(_plain(attributes.get("_Unsigned", ""))).lower()
        kind = np.dtype(getattr(array, "dtype", float)).kind
        if (unsigned, kind) in {("true", "i"), ("false", "u")}:
            wrong.append(f"_Unsigned={unsigned}")
        if wrong:
            raise ValueError(
                f"{name} is packed: its attribute(s) {', '.join(wrong)} say that the numbers in "
                "the file are not the values. Open the file with xarray.open_dataset, which "
                "decodes them, or decode them as values * scale_factor + add_offset."
            )
        missing = [value for key in _MISSING for value in _numbers(attributes.get(key))]
        valid = _numbers(attributes.get("valid_range"))
        least, largest = (valid[0], valid[1]) if len(valid) == 2 else (-np.inf, np.inf)
        least = max([least, *_numbers(attributes.get("valid_min"))[:1]])
        largest = min([largest, *_numbers(attributes.get("valid_max"))[:1]])
        if not missing and not np.isfinite([least, largest]).any():
            return None
        return cls(tuple(missing), (least, largest))

    def require_values(self, values, name="X") -> None:
        """Raise where values that were read stand for missing ones."""
        values = np.asarray(values)
        if values.dtype.kind not in "biuf":
            return
        marks = np.zeros(values.shape, dtype=bool)
        for missing in self.missing:
            # In the type of the values: a mark of 1e20 in the text of an attribute is the float32
            # nearest to it in the data.
            with np.errstate(all="ignore"):
                mark = np.asarray(missing).astype(values.dtype, copy=False)
            if values.dtype.kind != "f" and not _may_be(mark, missing):
                continue  # NaN, say, which no integer is
            marks |= values == mark
        marks |= (values < self.valid[0]) | (values > self.valid[1])
        if marks.any():
            place = tuple(int(k) for k in np.argwhere(marks)[0])
            raise ValueError(
                f"{name} contains {values[place]} at {list(place)} of what was read, one of "
                f"{int(marks.sum())} values that its attributes (_FillValue, missing_value, "
                "valid_range) call missing. Sums over tiles need all values: leave these samples "
                "out, or fill in what is missing."
            )


def _may_be(mark, missing) -> bool:
    """Tell whether a mark that was turned into an integer type is what it was, or its bits are."""
    if not np.isfinite(missing) or missing != int(missing):
        return False
    n_bits = 8 * mark.dtype.itemsize
    return (int(mark) - int(missing)) % 2**n_bits == 0 and abs(int(missing)) < 2**n_bits


def require_unpacked(values, name="X") -> None:
    """Raise where an array in memory is packed, or holds marks of missing values.

    Parameters
    ----------
    values : object
        Looked at where it has attributes; what is read in pieces is looked at by its source.
    name : str, default="X"
    """
    if not hasattr(values, "attrs") or not hasattr(values, "dtype"):
        return
    packing = Packing.of(values, name)
    if packing is not None and is_from(values, "xarray") and is_in_memory(values):
        packing.require_values(values.data, name)


def is_in_memory(labelled) -> bool:
    """Tell whether an xarray.DataArray holds its numbers."""
    # Asking for the numbers would read them, and xarray has no other word for it.
    return labelled.chunks is None and getattr(labelled.variable, "_in_memory", True)


def _attributes(array) -> dict[str, Any]:
    found: Any = getattr(array, "attrs", None)
    if not isinstance(found, Mapping) and not hasattr(found, "keys"):
        return {}
    names = (*_PACKED, *_MISSING, "_Unsigned", "valid_range", "valid_min", "valid_max")
    try:
        return {name: found[name] for name in names if name in found}
    except (RuntimeError, ValueError, OSError):  # of a file that is closed: told elsewhere
        return {}


def _plain(value):
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.ndarray) and value.size == 1:
        return _plain(value.ravel()[0])
    return value


def _numbers(value) -> list[float]:
    """Return the numbers of an attribute, however it is spelled."""
    value = _plain(value)
    if value is None or isinstance(value, bool):
        return []
    parts = value if isinstance(value, (list, tuple, np.ndarray)) else [value]
    try:
        return [_number(_plain(part)) for part in parts]
    except (TypeError, ValueError):
        return []


def _number(part) -> float:
    # Whole numbers stay whole: 2**63 - 1, the mark of 64-bit integers, is no float64.
    if isinstance(part, str):
        part = int(part) if part.strip().lstrip("+-").isdecimal() else float(part)
    whole = isinstance(part, (int, np.integer)) and abs(int(part)) < 2**63
    return int(part) if whole else float(part)


# --- HDF5 -----------------------------------------------------------------------------------------


def check_hdf5(dataset, follow_links, name="X") -> None:
    """Raise where an HDF5 dataset is closed or empty, or lies in other files.

    Parameters
    ----------
    dataset : h5py.Dataset
    follow_links : bool
        Whether data in other files may be read.
    name : str, default="X"
    """
    if not dataset:
        raise ValueError(
            f"{name} is an HDF5 dataset whose file is closed. Keep it open while it is read."
        )
    if dataset.shape is None:
        raise ValueError(
            f"{name} is the HDF5 dataset {dataset.name!r}, which has no data (h5py.Empty). Choose "
            "another."
        )
    others = [part.file_name for part in _virtual_parts(dataset) if part.file_name != "."]
    others += [_text(part[0]) for part in dataset.external or ()]
    if others and not follow_links:
        raise ValueError(
            f"The HDF5 dataset {dataset.name!r} reads from other files, such as {others[0]!r}. "
            "Where these are meant to be read, say so with ArraySource(array, follow_links=True)."
        )


def require_hdf5_chunks(dataset, slices) -> None:
    """Raise where a part of an HDF5 dataset was never written, or its file is gone."""
    where = f"the HDF5 dataset {dataset.name!r} of {dataset.file.filename}"
    if dataset.is_virtual:
        _require_virtual_parts(dataset, where)
        return
    for filename, offset, size in dataset.external or ():
        path = os.path.join(os.path.dirname(dataset.file.filename), _text(filename))
        length = os.path.getsize(path) if os.path.isfile(path) else -1
        if length < offset + (0 if size >= 2**63 - 1 else size):
            raise FileNotFoundError(
                f"{path!r}, where {where} keeps its data, is not there or short."
            )
    if dataset.chunks is None:
        if dataset.size and not dataset.external and dataset.id.get_storage_size() == 0:
            raise FileNotFoundError(
                f"Nothing was ever written to {where}. If it is meant to hold its fill value "
                f"{dataset.fillvalue!r}, {_FILL}."
            )
        return
    if dataset.id.get_num_chunks() == _n_chunks(dataset):
        return
    for chunk in _chunks_in(slices, dataset.chunks):
        offset = tuple(k * n for k, n in zip(chunk, dataset.chunks, strict=True))
        if dataset.id.get_chunk_info_by_coord(offset).byte_offset is None:
            raise FileNotFoundError(
                f"The chunk at {offset} of {where} was never written. If it is meant to hold the "
                f"fill value {dataset.fillvalue!r}, {_FILL}."
            )


def _virtual_parts(dataset) -> list:
    return dataset.virtual_sources() if dataset.is_virtual else []


def _require_virtual_parts(dataset, where) -> None:
    import h5py

    mapped = 0
    for part in dataset.virtual_sources():
        mapped += part.vspace.get_select_npoints()
        if "%b" in part.file_name or "%b" in part.dset_name:
            raise ValueError(
                f"{where} names its sources by a pattern, {part.file_name!r}: which of them there "
                "should be is not recorded. Copy it into one file (h5repack) first."
            )
        path = dataset.file.filename
        if part.file_name != ".":
            path = os.path.join(os.path.dirname(path), part.file_name)
        if not os.path.isfile(path):
            raise FileNotFoundError(f"{path!r}, a part of {where}, is not there.")
        own = part.file_name == "."
        file = dataset.file if own else h5py.File(path, "r")
        try:
            source = file.get(part.dset_name)
            if not isinstance(source, h5py.Dataset):
                raise FileNotFoundError(
                    f"{path!r} holds no dataset {part.dset_name!r}, a part of {where}."
                )
            require_hdf5_chunks(source, tuple(slice(0, n) for n in source.shape))
        finally:
            if not own:
                file.close()
    if mapped < dataset.size:
        raise FileNotFoundError(
            f"{where} is virtual, and no source is given for {dataset.size - mapped} of its "
            f"{dataset.size} values. If they are meant to be {dataset.fillvalue!r}, {_FILL}."
        )


def _n_chunks(dataset) -> int:
    return int(np.prod([-(-n // c) for n, c in zip(dataset.shape, dataset.chunks, strict=True)]))


def _text(name) -> str:
    return os.fsdecode(name)


# --- zarr -----------------------------------------------------------------------------------------


def require_zarr_chunks(array: Any, slices) -> None:
    """Raise where a chunk of a zarr array is not in its store, nor in its shard."""
    shards = getattr(array, "shards", None)
    stored = shards or array.chunks
    for chunk in _chunks_in(slices, stored):
        key = array.metadata.encode_chunk_key(chunk)
        path = f"{array.path}/{key}" if array.path else key
        if not _ask(array.store.exists(path)):
            raise _lost_chunk(array, f"chunk {path!r} is not in the store {array.store}")
        if shards is not None:
            _require_in_shard(array, slices, chunk, path)


def _require_in_shard(array, slices, shard, path) -> None:
    from zarr.abc.store import RangeByteRequest, SuffixByteRequest
    from zarr.core.buffer import default_buffer_prototype

    (codec,) = array.metadata.codecs
    per_shard = [s // c for s, c in zip(array.shards, array.chunks, strict=True)]
    names = [type(part).__name__ for part in codec.index_codecs]
    if names not in (["BytesCodec"], ["BytesCodec", "Crc32cCodec"]):
        raise ValueError(
            f"The index of shard {path!r} is encoded by {', '.join(names)}, so that lost chunks "
            "cannot be told. Say missing_chunks='fill' to read it unchecked."
        )
    n_bytes = _SHARD_ENTRY * int(np.prod(per_shard))
    total = n_bytes + 4 * (len(names) - 1)
    at_end = str(getattr(codec.index_location, "value", codec.index_location)) == "end"
    request = SuffixByteRequest(total) if at_end else RangeByteRequest(0, total)
    found = _ask(array.store.get(path, default_buffer_prototype(), request))
    content = b"" if found is None else found.to_bytes()
    if len(content) < total:
        raise _lost_chunk(array, f"shard {path!r} of the store {array.store} is cut short")
    index = np.frombuffer(content[:n_bytes], dtype="<u8").reshape(*per_shard, 2)
    within = []
    for part, chunk, size, n, k in zip(
        slices, array.chunks, array.shards, per_shard, shard, strict=True
    ):
        start = max(part.start, k * size) - k * size
        stop = min(part.stop, (k + 1) * size) - k * size
        within.append(range(start // chunk, min(n, -(-stop // chunk))))
    for place in product(*within):
        if index[place][0] == _ABSENT and index[place][1] == _ABSENT:
            raise _lost_chunk(array, f"chunk {place} is not in the shard {path!r} of {array.store}")


def _lost_chunk(array, what) -> FileNotFoundError:
    return FileNotFoundError(
        f"{what}. If zarr left it out because it holds nothing but the fill value "
        f"{array.fill_value!r}, {_FILL}."
    )


def _ask(question):
    from zarr.core.sync import sync  # no public way asks a store whether it has a key

    return sync(question)


def _chunks_in(slices, chunks):
    """Yield the index of each chunk that a box touches."""
    return product(
        *(
            range(part.start // n, -(-part.stop // n))
            for part, n in zip(slices, chunks, strict=True)
        )
    )
