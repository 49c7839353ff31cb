"""HDF5 datasets with holes: chunks that were never written, and data in files that are gone.

h5py reads both as the fill value, without a word.
"""

from __future__ import annotations

import os
from contextlib import contextmanager

import numpy as np

from ._chunks import FILL, chunks_in

_UNLIMITED = 2**63 - 1  # sizes and counts from this on mean that there is no limit


def check_hdf5(dataset, follow_links, name="X") -> None:
    """Raise if an HDF5 dataset is closed or empty, or is in other files.

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
            f"The HDF5 dataset {dataset.name!r} reads from other files, such as "
            f"{others[0]!r}. If these are meant to be read, pass ArraySource(array, "
            "follow_links=True)."
        )


def require_hdf5_chunks(dataset, slices) -> None:
    """Raise if a part of an HDF5 dataset was never written, or its file is gone."""
    where = f"the HDF5 dataset {dataset.name!r} of {dataset.file.filename}"
    if dataset.is_virtual:
        _require_virtual_parts(dataset, slices, where)
        return
    if dataset.external:
        _require_external_parts(dataset, where)
    if dataset.chunks is None:
        if dataset.size and not dataset.external and dataset.id.get_storage_size() == 0:
            raise FileNotFoundError(
                f"Nothing was ever written to {where}. If it is meant to contain its fill value "
                f"{dataset.fillvalue!r}, {FILL}."
            )
        return
    if dataset.id.get_num_chunks() == _n_chunks(dataset):
        return
    for chunk in chunks_in(slices, dataset.chunks):
        offset = tuple(k * n for k, n in zip(chunk, dataset.chunks, strict=True))
        if dataset.id.get_chunk_info_by_coord(offset).byte_offset is None:
            raise FileNotFoundError(
                f"The chunk at {offset} of {where} was never written. If it is meant to contain "
                f"the fill value {dataset.fillvalue!r}, {FILL}."
            )


def virtual_sources(dataset):
    """Yield the datasets that an HDF5 dataset is composed of, as far as they are there.

    Parameters
    ----------
    dataset : h5py.Dataset
    """
    for part in _virtual_parts(dataset):
        path = _path_of(part, dataset)
        if "%b" in part.file_name or not os.path.isfile(path):
            continue
        with _opened(part, path, dataset) as source:
            if source is not None:
                yield source


def _virtual_parts(dataset) -> list:
    return dataset.virtual_sources() if dataset.is_virtual else []


def _path_of(part, dataset) -> str:
    path = dataset.file.filename
    return path if part.file_name == "." else os.path.join(os.path.dirname(path), part.file_name)


@contextmanager
def _opened(part, path, dataset):
    """Open the source of a part of a virtual dataset; None if the file does not contain it."""
    import h5py

    file = dataset.file if part.file_name == "." else h5py.File(path, "r")
    try:
        source = file.get(part.dset_name)
        yield source if isinstance(source, h5py.Dataset) else None
    finally:
        if part.file_name != ".":
            file.close()


def _require_virtual_parts(dataset, slices, where) -> None:
    parts = dataset.virtual_sources()
    mapped = np.zeros([part.stop - part.start for part in slices], dtype=bool)
    for part in parts:
        if "%b" in part.file_name or "%b" in part.dset_name:
            raise ValueError(
                f"{where} names its sources by a pattern, {part.file_name!r}: which of them there "
                "should be is not recorded. Copy it into one file (h5repack) first."
            )
        path = _path_of(part, dataset)
        if not os.path.isfile(path):
            raise FileNotFoundError(f"{path!r}, a part of {where}, is not there.")
        with _opened(part, path, dataset) as source:
            if source is None:
                raise FileNotFoundError(
                    f"{path!r} contains no dataset {part.dset_name!r}, a part of {where}."
                )
            _require_extent(part, source, path, where)
            require_hdf5_chunks(source, tuple(slice(0, n) for n in source.shape))
        _mark(mapped, part.vspace, slices, where, alone=len(parts) == 1)
    n_holes = int(mapped.size - np.count_nonzero(mapped))
    if n_holes:
        raise FileNotFoundError(
            f"{where} is virtual, and no source is given for {n_holes} of {mapped.size} values "
            f"that are read. If they are meant to be {dataset.fillvalue!r}, {FILL}."
        )


def _require_extent(part, source, path, where) -> None:
    """Raise if the source of a part has less than is taken from it."""
    import h5py

    space = part.src_space
    if space.get_select_type() == h5py.h5s.SEL_HYPERSLABS and _is_unlimited(space):
        return  # takes what there is
    if space.get_select_type() == h5py.h5s.SEL_ALL:
        last = np.array(space.get_simple_extent_dims()) - 1
    else:
        last = np.array(space.get_select_bounds()[1])
    if last.shape != (source.ndim,) or (last >= source.shape).any():
        raise FileNotFoundError(
            f"{path!r} contains a dataset {part.dset_name!r} of shape {source.shape}, which is "
            f"smaller than the part of it that {where} is composed of."
        )


def _mark(mapped, space, slices, where, alone) -> None:
    """Set the sites of a box that a part of a virtual dataset is mapped to."""
    import h5py

    kind = space.get_select_type()
    if kind == h5py.h5s.SEL_ALL:
        mapped[...] = True
    elif kind == h5py.h5s.SEL_HYPERSLABS and space.is_regular_hyperslab():
        if _is_unlimited(space) and not alone:
            raise ValueError(
                f"{where} is composed of several parts without a limit, so that it is not known "
                "what is missing. Copy it into one file (h5repack) first."
            )
        # The extent of a dataset of one part without a limit is that of its source.
        axes = [
            _sites(part, int(start), int(stride), int(count), int(block))
            for part, start, stride, count, block in zip(
                slices, *space.get_regular_hyperslab(), strict=True
            )
        ]
        mapped[np.ix_(*axes)] = True
    elif kind == h5py.h5s.SEL_HYPERSLABS:
        for first, last in space.get_select_hyper_blocklist():
            mapped[
                tuple(
                    slice(max(int(low) - part.start, 0), max(int(high) + 1 - part.start, 0))
                    for part, low, high in zip(slices, first, last, strict=True)
                )
            ] = True


def _is_unlimited(space) -> bool:
    if not space.is_regular_hyperslab():
        return False
    _, _, count, block = space.get_regular_hyperslab()
    return max(*map(int, count), *map(int, block)) >= _UNLIMITED


def _sites(part, start, stride, count, block) -> np.ndarray:
    """Return which sites of a slice are in the blocks of a hyperslab, counted from its start."""
    sites = np.arange(part.start, part.stop)
    k, within = np.divmod(sites - start, max(stride, 1))
    chosen = (k >= 0) & (k < min(count, _UNLIMITED)) & (within < min(block, _UNLIMITED))
    return np.flatnonzero(chosen)


def _require_external_parts(dataset, where) -> None:
    """Raise if the files in which a dataset keeps its numbers do not contain them all."""
    prefix = os.environ.get("HDF5_EXTFILE_PREFIX", "") or _text(
        dataset.id.get_access_plist().get_efile_prefix()
    )
    origin = os.path.dirname(os.path.abspath(dataset.file.filename))
    left = dataset.size * dataset.dtype.itemsize
    for filename, offset, size in dataset.external:
        path = os.path.join(prefix.replace("${ORIGIN}", origin), _text(filename))
        length = os.path.getsize(path) if os.path.isfile(path) else -1
        needed = min(left, size)
        if length < offset + needed:
            raise FileNotFoundError(
                f"{path!r}, where {where} keeps its data, is not there or short."
            )
        left -= needed


def _n_chunks(dataset) -> int:
    return int(np.prod([-(-n // c) for n, c in zip(dataset.shape, dataset.chunks, strict=True)]))


def _text(name) -> str:
    return os.fsdecode(name)
