"""Threads of torch, OpenMP and BLAS for a while."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from threading import Lock

from threadpoolctl import ThreadpoolController

# Multiplications of a linear fit below which threads of BLAS gain little, and on a busy machine
# cost much: after each step of a millisecond or less all of them wait for one that has no core.
_WORTH_THREADS = 1e10

_lock = Lock()
_entered = 0
_before: tuple = ()
_controllers: dict[int, ThreadpoolController] = {}


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


def threads_for(n_rows, n_columns):
    """Let a linear fit of so many rows and columns use threads only where they gain time.

    Parameters
    ----------
    n_rows, n_columns : int

    Returns
    -------
    context manager
        One thread for small fits, and as many as before for large ones.

    Examples
    --------
    >>> from threadpoolctl import threadpool_info
    >>> from sk_ednn._utils.threads import threads_for
    >>> with threads_for(480, 1330):
    ...     sorted({library["num_threads"] for library in threadpool_info()})
    [1]
    """
    multiplications = float(n_rows) * n_columns * min(n_rows, n_columns)
    return limited_threads(1 if multiplications < _WORTH_THREADS else None)


def _enter(n):
    global _entered, _before
    with _lock:
        # What is not imported yet has no threads, and torch takes seconds to import.
        torch = sys.modules.get("torch")
        if _entered == 0:
            before = None if torch is None else torch.get_num_threads()
            _before = before, _controller().limit(limits=n)
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


def _controller():
    """Return what knows the libraries with threads, which takes milliseconds to find out."""
    loaded = len(sys.modules)
    if loaded not in _controllers:
        _controllers.clear()
        _controllers[loaded] = ThreadpoolController()
    return _controllers[loaded]
