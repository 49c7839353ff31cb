"""Maps of contributions that a fit or a prediction wrote to its run."""

from __future__ import annotations

import numpy as np

from ..runs._run import CLOCK
from ._data import arrays_in
from ._pictures import map_png

_PREFIX, _FIELD = "contributions", "field"


def file_of(files) -> str | None:
    """Return the name of the file with contributions among those of a run."""
    return next((name for name in files if name.endswith(".npz") and name != CLOCK), None)


def number_of(run, name) -> int:
    """Return the number of samples with maps."""
    arrays = _maps(run.file(name))
    if not arrays:
        return 0
    stacked = next((a for a in arrays if not a.name.rpartition("_")[2].isdecimal()), None)
    return len(arrays) if stacked is None else stacked.shape[0]


def drawn(site, run, name, k) -> tuple[bytes | None, str]:
    """Return a picture of the contributions of one sample, and words on it.

    Parameters
    ----------
    site : Site
    run : Run
    name : str
        File of the run.
    k : int
        Sample.
    """
    path = run.file(name)
    arrays = _maps(path)
    if not arrays:
        return None, "This run has no contributions."
    with np.load(path, allow_pickle=False) as archive:
        stacked = next((a.name for a in arrays if not a.name.rpartition("_")[2].isdecimal()), None)
        values = archive[f"{_PREFIX}_{k}"] if stacked is None else archive[stacked][k]
        field = archive[f"{_FIELD}_{k}"] if f"{_FIELD}_{k}" in archive else None
    values = np.asarray(values, dtype=np.float64)
    if field is None:
        field = _field(site, run, k)
    elif field.ndim > 2:
        field = None
    n_axes = values.ndim if field is None else min(values.ndim, field.ndim)
    while values.ndim > max(n_axes, 1):  # several outputs
        values = values[..., 0]
    words = f"Sample {k}: {values.size:,} tiles, total {values.sum():.6g}."
    if values.ndim > 2:
        values, field = values.sum(axis=0), None
    return map_png(field, values), words


def _maps(path):
    return [a for a in arrays_in(path) if a.name.startswith(_PREFIX)]


def _field(site, run, k):
    """Return the field that was predicted, where it can be drawn beside its map."""
    name = run.settings.get("fields")
    if not isinstance(name, str):
        return None
    path, mark, key = name.partition("::")
    try:
        site.path(path)  # in the opened folders alone
        if not mark:
            arrays = arrays_in(site.path(path))
            key = next((a.name for a in arrays if len(a.shape) > 1), "")
        field = np.asarray(site.tools.read_array(f"{path}::{key}" if key else path)[k])
    except Exception:  # moved, replaced, or of another kind
        return None
    return field if field.ndim <= 2 else None
