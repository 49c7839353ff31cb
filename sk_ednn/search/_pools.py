"""Tasks of a search: where they run, and what they run."""

from __future__ import annotations

import pickle
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
from threadpoolctl import threadpool_limits

from ._relax import relax


class InTurn(Executor):
    """Run each task at once, in the caller: the same seed gives the same search."""

    def submit(self, function, /, *args, **kwargs):
        """Run a task; return a future that is done."""
        future = Future()
        try:
            future.set_result(function(*args, **kwargs))
        except Exception as error:  # the caller's, to be raised by result()
            future.set_exception(error)
        return future


@contextmanager
def executors(client, n_workers):
    """Yield an executor for each kind of task: "relax", "label" and "train".

    Parameters
    ----------
    client : distributed.Client, concurrent.futures.Executor or None
        None for threads of this process, or for none of them with one worker.
    n_workers : int
    """
    kinds = ("relax", "label", "train")
    if client is None and n_workers == 1:
        yield dict.fromkeys(kinds, InTurn())
    elif client is None:
        pools = {
            kind: ThreadPoolExecutor(1 if kind == "train" else n_workers, f"sk-ednn-{kind}")
            for kind in kinds
        }
        try:
            yield pools
        finally:
            for pool in pools.values():
                pool.shutdown(wait=True, cancel_futures=True)
    elif hasattr(client, "get_executor"):
        # A lost worker costs the task once more; a label that kills workers fails after that.
        executor = client.get_executor(pure=False, retries=1)
        yield dict.fromkeys(kinds, executor)
    else:
        yield dict.fromkeys(kinds, client)


def label_task(guarded, structure):
    """Label a structure; return an `Outcome`."""
    return guarded.outcome(structure)


def train_task(surrogate, structures, labels, sample_weight):
    """Fit a surrogate; return it."""
    with threadpool_limits(1):
        return surrogate.fit(structures, labels, sample_weight)


def relax_task(pickled, operators, name, parents, seed, settings):
    """Make a structure and relax it on the surrogate; return None where there is none to make.

    Parameters
    ----------
    pickled : bytes
        The surrogate.
    operators : Operators
    name : str
    parents : list of Structure
    seed : int
    settings : dict
        For `relax`.
    """
    rng = np.random.RandomState(seed)
    child = operators.make(name, parents, rng)
    if child is None or settings["sanity"].fault_of_structure(child) is not None:
        return None
    with threadpool_limits(1):
        return relax(child, pickle.loads(pickled).evaluate, **settings)
