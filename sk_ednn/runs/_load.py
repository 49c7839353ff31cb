"""The size of a fit, on which its time depends."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import prod
from typing import Any

import numpy as np

# Distinct values of fields that are few, so that tiles repeat.
_FEW_VALUES = 8
_LOOKED_AT = 2_000_000  # sites
_MOST = 10**15


@dataclass(frozen=True)
class Load:
    """The size of a fit.

    Attributes
    ----------
    n_systems, n_tiles : int
        Systems, and tiles of all of them.
    n_numbers : int
        In one tile.
    n_distinct : int
        Tiles that differ, at most.
    """

    n_systems: int
    n_tiles: int
    n_numbers: int
    n_distinct: int

    def as_dict(self) -> dict[str, int]:
        """Return the numbers by name."""
        return asdict(self)


def load_of(n_systems, n_tiles, n_numbers, n_values=None) -> Load:
    """Return the size of a fit.

    Parameters
    ----------
    n_systems, n_tiles, n_numbers : int
        See `Load`.
    n_values : int, default=None
        Distinct values in the fields where they are few, so that tiles repeat.

    Examples
    --------
    >>> from sk_ednn.runs._load import load_of
    >>> load_of(500, 500 * 64, 9, n_values=2).n_distinct
    512
    """
    distinct = n_tiles
    if n_values is not None and n_values**n_numbers < n_tiles:
        distinct = n_values**n_numbers
    return Load(int(n_systems), int(n_tiles), int(n_numbers), int(distinct))


def load_of_fields(X, tiling, n_values=None) -> Load:
    """Return the size of a fit to fields.

    Parameters
    ----------
    X : ndarray of shape (n_systems, *field_shape)
    tiling : GridTiling
    n_values : int, default=None
        See `load_of`.
    """
    shape = X.shape[1:]
    grid, window = tiling.tile_grid(shape), tiling.tile_shape(shape)
    return load_of(len(X), len(X) * prod(grid), prod(window), n_values)


def n_values_of(X) -> int | None:
    """Return the number of distinct values of fields if they are few, judged by the first ones."""
    some = X[: max(1, _LOOKED_AT // max(1, prod(X.shape[1:])))]
    n = len(np.unique(some))
    return n if n <= _FEW_VALUES else None


def recorded_load(result) -> Load | None:
    """Return the size of a fit that a run has recorded; None if it has not."""
    kept: Any = (result or {}).get("tiles")
    names = tuple(Load.__dataclass_fields__)
    if not isinstance(kept, dict):
        return None
    values: list[Any] = [kept.get(name) for name in names]
    if not all(type(v) is int and 0 < v <= _MOST for v in values):
        return None
    return Load(*values)
