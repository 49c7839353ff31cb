"""Arrays of xarray, without importing it: values without labels, in memory or in dask arrays."""

from __future__ import annotations

from .._utils.optional import is_from


def is_in_memory(labelled) -> bool:
    """Return True if an xarray.DataArray or Variable contains its numbers."""
    # Asking for the numbers would read them, and xarray has no other word for it.
    # A DataArray has its numbers in a Variable, which users may have, too.
    variable = getattr(labelled, "variable", labelled)
    return labelled.chunks is None and getattr(variable, "_in_memory", True)


def without_labels(x):
    """Return what an xarray.DataArray wraps, as a dask array where it is not in memory."""
    if not is_from(x, "xarray"):
        return x
    if x.chunks is None:
        x = x if is_in_memory(x) else x.chunk("auto")
    return x.data
