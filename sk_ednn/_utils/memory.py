"""Check the free memory before large allocations."""

from __future__ import annotations

import psutil

from ..exceptions import TileMemoryError


def free_bytes() -> int:
    """Return the free memory of the machine, in bytes."""
    return int(psutil.virtual_memory().available)


def require_memory(n_bytes, what, advice, limit=None) -> None:
    """Raise TileMemoryError if an allocation would not fit.

    Parameters
    ----------
    n_bytes : float
        Size of the allocation.
    what, advice : str
        The method that needs it, and an alternative, for the message.
    limit : int or None, default=None
        Largest number of bytes to use; None for three quarters of the free memory.

    Raises
    ------
    TileMemoryError
    """
    available = 0.75 * free_bytes() if limit is None else limit
    if n_bytes > available:
        raise TileMemoryError(
            f"{what} needs {_gib(n_bytes)} of memory, but {_gib(available)} are available. {advice}"
        )


def _gib(n_bytes) -> str:
    return f"{n_bytes / 2**30:.3g} GiB"
