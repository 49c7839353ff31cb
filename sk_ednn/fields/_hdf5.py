"""HDF5 datasets with holes: chunks that were never written, and data in files that are gone.

h5py reads both as the fill value, without a word.
"""

from __future__ import annotations

import os

import numpy as np

from ._chunks import FILL, chunks_in


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
        same_file = part.file_name == "."
        file = dataset.file if same_file else h5py.File(path, "r")
        try:
            source = file.get(part.dset_name)
            if not isinstance(source, h5py.Dataset):
                raise FileNotFoundError(
                    f"{path!r} contains no dataset {part.dset_name!r}, a part of {where}."
                )
            require_hdf5_chunks(source, tuple(slice(0, n) for n in source.shape))
        finally:
            if not same_file:
                file.close()
    if mapped < dataset.size:
        raise FileNotFoundError(
            f"{where} is virtual, and no source is given for {dataset.size - mapped} of its "
            f"{dataset.size} values. If they are meant to be {dataset.fillvalue!r}, {FILL}."
        )


def _n_chunks(dataset) -> int:
    return int(np.prod([-(-n // c) for n, c in zip(dataset.shape, dataset.chunks, strict=True)]))


def _text(name) -> str:
    return os.fsdecode(name)
