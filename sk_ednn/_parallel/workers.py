"""Work spread over joblib's workers, in order, with no more threads than cores."""

from __future__ import annotations

from functools import lru_cache

from joblib import cpu_count, effective_n_jobs
from sklearn.utils.parallel import Parallel, delayed
from threadpoolctl import ThreadpoolController
from tqdm.auto import tqdm

from .._utils.hashing import sent_to_processes

# Tasks for each worker: enough to even out, few enough that what a task carries (a forest may
# take megabytes) is not sent for every block.
_TASKS_PER_WORKER = 8
# A progress bar appears after this many seconds; before, it is only noise.
_DELAY = 2.0


def map_blocks(function, plan, *args, n_jobs, verbose):
    """Yield ``(block, function(*args, block))`` for each block of a plan, in its order.

    Parameters
    ----------
    function : callable
        At the top level of a module, so that processes can be sent it.
    plan : list of Block
    *args : object
        Handed to every call.
    n_jobs : int or None
        Workers: threads, unless a `joblib.parallel_config` says otherwise.
    verbose : int or None
        Whether to show a progress bar.
    """
    n_jobs = max(1, min(effective_n_jobs(n_jobs), len(plan)))
    with tqdm(
        total=len(plan), desc="tiles", unit="block", delay=_DELAY, disable=not verbose
    ) as bar:
        if n_jobs == 1:
            for block in plan:
                yield block, function(*args, block)
                bar.update()
            return
        n_threads = max(1, cpu_count() // n_jobs)
        size = -(-len(plan) // (_TASKS_PER_WORKER * n_jobs))
        groups = [plan[start : start + size] for start in range(0, len(plan), size)]
        # Here too: OpenBLAS has one number for the whole process, which workers that overlap would
        # put back to what another of them had set.
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
    # Set in the worker itself: OpenMP counts threads for each thread that calls it.
    with pools().limit(limits=n_threads):
        return [function(*args, block) for block in blocks]


@lru_cache(maxsize=1)
def pools() -> ThreadpoolController:
    """Return what limits the threads of BLAS and OpenMP."""
    # Finding the libraries takes milliseconds; those loaded later are not limited.
    return ThreadpoolController()
