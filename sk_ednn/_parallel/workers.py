"""Map blocks over joblib's workers, in order and without oversubscription."""

from __future__ import annotations

from functools import lru_cache

from joblib import cpu_count, effective_n_jobs
from sklearn.utils.parallel import Parallel, delayed
from threadpoolctl import ThreadpoolController
from tqdm.auto import tqdm

from .._utils.hashing import sent_to_processes

# Enough tasks to balance the load, and few enough that the arguments, which may be megabytes, are
# not sent for every block.
_TASKS_PER_WORKER = 8
# A progress bar appears after this many seconds.
_DELAY_SECONDS = 2.0


def map_blocks(function, plan, *args, n_jobs, verbose):
    """Yield ``(block, function(*args, block))`` for each block of a plan, in order.

    Parameters
    ----------
    function : callable
        Defined at the top level of a module, so that it can be pickled.
    plan : list of Block
    *args : object
        Arguments of every call.
    n_jobs : int or None
        Number of workers, which are threads unless `joblib.parallel_config` sets another backend.
    verbose : int or None
        Whether to show a progress bar.
    """
    n_jobs = max(1, min(effective_n_jobs(n_jobs), len(plan)))
    with tqdm(
        total=len(plan), desc="tiles", unit="block", delay=_DELAY_SECONDS, disable=not verbose
    ) as bar:
        if n_jobs == 1:
            for block in plan:
                yield block, function(*args, block)
                bar.update()
            return
        n_threads = max(1, cpu_count() // n_jobs)
        size = -(-len(plan) // (_TASKS_PER_WORKER * n_jobs))
        groups = [plan[start : start + size] for start in range(0, len(plan), size)]
        # Also limited here: OpenBLAS has one setting per process, which overlapping workers would
        # restore to a value set by another of them.
        with pools().limit(limits=n_threads):
            results = Parallel(n_jobs=n_jobs, prefer="threads", return_as="generator")(
                delayed(_work)(function, args, group, n_threads) for group in groups
            )
            for group in groups:
                with sent_to_processes():
                    values = next(results)
                yield from zip(group, values, strict=True)
                bar.update(len(group))


def _work(function, args, blocks, n_threads):
    # Set in the worker, since the limit of OpenMP is per calling thread.
    with pools().limit(limits=n_threads):
        return [function(*args, block) for block in blocks]


@lru_cache(maxsize=1)
def pools() -> ThreadpoolController:
    """Return a controller of the threads of BLAS and OpenMP."""
    # Finding the libraries takes milliseconds. Libraries loaded later are not limited.
    return ThreadpoolController()
