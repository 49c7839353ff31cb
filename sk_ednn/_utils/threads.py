"""Threads of torch, OpenMP and BLAS for a while."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from threading import Lock

from threadpoolctl import threadpool_limits

_lock = Lock()
_entered = 0
_before: tuple = ()


@contextmanager
def limited_threads(n):
    """Let torch, OpenMP and BLAS use at most so many threads, and then as many as before.

    These settings belong to the process: of calls at the same time, in several Python threads, the
    first one's number holds until the last one is over.

    Parameters
    ----------
    n : int or None
        None changes nothing.

    Examples
    --------
    >>> import torch
    >>> from sk_ednn._utils.threads import limited_threads
    >>> before = torch.get_num_threads()
    >>> with limited_threads(1):
    ...     print(torch.get_num_threads())
    1
    >>> torch.get_num_threads() == before
    True
    """
    if n is None:
        yield
        return
    _enter(n)
    try:
        yield
    finally:
        _leave()


def _enter(n):
    global _entered, _before
    with _lock:
        # What is not imported yet has no threads, and torch takes seconds to import.
        torch = sys.modules.get("torch")
        if _entered == 0:
            before = None if torch is None else torch.get_num_threads()
            _before = before, threadpool_limits(limits=n)
        if torch is not None:
            torch.set_num_threads(n)
        _entered += 1


def _leave():
    global _entered, _before
    with _lock:
        _entered -= 1
        if _entered == 0:
            before, limits = _before
            limits.restore_original_limits()
            if before is not None:
                sys.modules["torch"].set_num_threads(before)
            _before = ()
