"""Ask for the free memory before something large is made."""

from __future__ import annotations

import psutil

from ..exceptions import TileMemoryError


def free_bytes() -> int:
    """Return how much memory the machine has free."""
    return int(psutil.virtual_memory().available)


def require_memory(n_bytes, what, advice, limit=None) -> None:
    """Raise where `n_bytes` do not fit.

    Parameters
    ----------
    n_bytes : float
        What is about to be allocated.
    what, advice : str
        What needs it, and what the user can do instead.
    limit : int or None, default=None
        Most bytes to use; None for three quarters of what the machine has free.

    Raises
    ------
    TileMemoryError
    """
    at_hand = 0.75 * free_bytes() if limit is None else limit
    if n_bytes > at_hand:
        raise TileMemoryError(
            f"{what} needs {_gib(n_bytes)} of memory, {_gib(at_hand)} are at hand. {advice}"
        )


def _gib(n_bytes) -> str:
    return f"{n_bytes / 2**30:.3g} GiB"
