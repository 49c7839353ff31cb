"""Tasks of a search: where they run, and what they run."""

from __future__ import annotations

import pickle
import time
from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager

import numpy as np
from threadpoolctl import threadpool_limits

from ._relax import relax

KINDS = ("relax", "label", "train")
# Between two checks of a lost connection. Clients give up after distributed.comm.timeouts.connect.
_RECONNECT_SECONDS = 0.2


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


class Pools:
    """Executors of the three kinds of tasks, and how many tasks of each run at the same time.

    Parameters
    ----------
    executors : dict of str to concurrent.futures.Executor
        For "relax", "label" and "train".
    sizes : dict of str to int
    clients : sequence of distributed.Client, default=()
        Those of the executors.
    """

    def __init__(self, executors, sizes, clients=()):
        self.executors = executors
        self.sizes = sizes
        self.clients = clients

    def submit(self, kind, function, *args) -> Future:
        """Run a task; the result is what the function returns, and the seconds that it took."""
        self.wait_for_schedulers()
        return self.executors[kind].submit(timed, function, *args)

    def are_connected(self) -> bool:
        """Return False if the connection to a scheduler is lost."""
        return all(client.status == "running" for client in self.clients)

    def wait_for_schedulers(self) -> None:
        """Wait, for a limited time, until all clients are connected to their schedulers.

        Raises
        ------
        ConnectionError
            If a scheduler is lost.
        """
        while not self.are_connected():
            if any(client.status not in ("running", "connecting") for client in self.clients):
                raise ConnectionError(
                    "The connection to the scheduler of Dask was lost. Finished labels are kept in "
                    "the file of the search: start a cluster and call resume with its client."
                )
            time.sleep(_RECONNECT_SECONDS)

    def wait(self, futures, timeout) -> set:
        """Wait until a task is done, or for some seconds; return those that are done."""
        return wait(futures, timeout=timeout, return_when=FIRST_COMPLETED).done

    def now(self) -> float:
        """Return a time in s."""
        return time.monotonic()


@contextmanager
def pools_of(client, n_workers):
    """Yield the `Pools` of a client.

    Parameters
    ----------
    client : distributed.Client, concurrent.futures.Executor, dict of either, Pools or None
        A dict has one for each kind of task. None for threads of this process, or for none of them
        with one worker.
    n_workers : int or dict of str to int
    """
    if isinstance(client, Pools):
        yield client
        return
    sizes = sizes_of(n_workers)
    if client is None and n_workers == 1:
        yield Pools(dict.fromkeys(KINDS, InTurn()), sizes)
    elif client is None:
        with ExitStack() as stack:
            threads = {kind: ThreadPoolExecutor(n, f"sk-ednn-{kind}") for kind, n in sizes.items()}
            for pool in threads.values():
                stack.callback(pool.shutdown, wait=True, cancel_futures=True)
            yield Pools(threads, sizes)
    else:
        if not isinstance(client, Mapping):
            client = dict.fromkeys(KINDS, client)
        missing = sorted(set(KINDS) - set(client))
        if missing:
            raise ValueError(f"client lacks an entry for {', '.join(missing)}.")
        clients = [each for each in client.values() if hasattr(each, "get_executor")]
        yield Pools({kind: _executor(client[kind]) for kind in KINDS}, sizes, clients)


def sizes_of(n_workers) -> dict:
    """Return the number of tasks of each kind that run at the same time."""
    if not isinstance(n_workers, Mapping):
        n_workers = {"relax": n_workers, "label": n_workers}
    unknown = sorted(set(n_workers) - set(KINDS))
    if unknown:
        raise ValueError(f"Unknown in n_workers: {', '.join(unknown)}. Known: {', '.join(KINDS)}.")
    # Two trainings at the same time would race for the same labels.
    sizes = {"relax": 1, "label": 1, **n_workers, "train": 1}
    if min(sizes.values()) < 1:
        raise ValueError(f"Expected at least one worker of each kind, got {n_workers}.")
    return sizes


def _executor(client):
    # A lost worker costs the task once more; a label that kills workers fails after that.
    return client.get_executor(pure=False, retries=1) if hasattr(client, "get_executor") else client


def timed(function, *args):
    """Return the result of a function, and the seconds that it took."""
    start = time.perf_counter()
    result = function(*args)
    return result, time.perf_counter() - start


def label_task(guarded, structure):
    """Label a structure; return an `Outcome`."""
    return guarded.outcome(structure)


def train_task(surrogate, structures, labels, sample_weight, numbers):
    """Fit a surrogate to structures of these numbers in the file of the search; return it."""
    # Folds by number only where it continues: they are drawn anew otherwise.
    ids = {"ids": numbers} if getattr(surrogate, "retrain", None) is not None else {}
    with threadpool_limits(1):
        return surrogate.fit(structures, labels, sample_weight, **ids)


def relax_task(pickled, operators, name, parents, seed, settings):
    """Make a structure and relax it on the surrogate; return None if there is none to make.

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
