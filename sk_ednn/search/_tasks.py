"""Tasks of a search: where they run, and what they run."""

from __future__ import annotations

import pickle
import time
from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from numbers import Integral
from weakref import WeakKeyDictionary

import numpy as np
from threadpoolctl import threadpool_limits

from ._corrected import Corrected
from ._relax import relax

KINDS = ("relax", "label", "train")
# Between two checks of a lost connection. Clients give up after distributed.comm.timeouts.connect;
# one that still connects after twice that time has died without changing its status.
_RECONNECT_SECONDS = 0.2
_SHORTEST_PATIENCE = 60.0


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
    clients : dict of str to distributed.Client, default=None
        Those of the executors, for the kinds that run on Dask.
    """

    def __init__(self, executors, sizes, clients=None):
        self.executors = executors
        self.sizes = sizes
        self.clients = clients or {}
        self._kinds = WeakKeyDictionary()  # of futures

    def submit(self, kind, function, *args) -> Future:
        """Run a task; the result is what the function returns, and the seconds that it took."""
        self.wait_for_schedulers()
        future = self.executors[kind].submit(timed, function, *args)
        self._kinds[future] = kind
        return future

    def are_connected(self) -> bool:
        """Return False if the connection to a scheduler is lost."""
        return not self._disconnected()

    def _disconnected(self) -> set:
        return {kind for kind, client in self.clients.items() if client.status != "running"}

    def wait_for_schedulers(self) -> None:
        """Wait, for a limited time, until all clients are connected to their schedulers.

        Raises
        ------
        ConnectionError
            If a scheduler is lost.
        """
        start = time.monotonic()
        while lost := self._disconnected():
            ended = any(self.clients[kind].status != "connecting" for kind in lost)
            # Asked for here only: searches without a client need no Dask.
            if ended or time.monotonic() - start > _patience():
                raise ConnectionError(
                    "The connection to the scheduler of Dask was lost. Finished labels are kept in "
                    "the file of the search: start a cluster and call resume with its client."
                )
            time.sleep(_RECONNECT_SECONDS)

    def wait(self, futures, timeout) -> set:
        """Wait until a task is done, or for some seconds; return those that are done.

        Tasks that were lost with their scheduler are done, too: they are cancelled.

        Raises
        ------
        ConnectionError
            If none is done, and a scheduler is lost.
        """
        done = wait(futures, timeout=timeout, return_when=FIRST_COMPLETED).done
        lost = set() if done else self._disconnected()
        if lost:
            # A client cancels its futures as it loses its scheduler, but for those that were
            # submitted at that moment: nothing would ever end them.
            self.wait_for_schedulers()
            for future in futures:
                if self._kinds.get(future) in lost:
                    future.cancel()
            done = {future for future in futures if future.done()}
        return done

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
        clients = {
            kind: client[kind] for kind in KINDS if hasattr(client[kind], "get_executor")
        }  # fmt: skip
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
    whole = all(isinstance(n, Integral) and not isinstance(n, bool) for n in sizes.values())
    if not whole or min(sizes.values()) < 1:
        raise ValueError(
            f"Expected a whole number of workers of each kind, at least one, got {n_workers}."
        )
    return sizes


def _patience() -> float:
    import dask

    timeout = dask.config.get("distributed.comm.timeouts.connect", "30s")
    return max(2 * dask.utils.parse_timedelta(timeout), _SHORTEST_PATIENCE)


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


def relax_task(pickled, operators, name, parents, seed, settings, label=None):
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
    label : Label, default=None
        Of the only parent, which is relaxed itself on the surrogate corrected by it.
    """
    if label is None:
        child = operators.make(name, parents, np.random.RandomState(seed))
    else:
        (child,) = parents
    if child is None or settings["sanity"].fault_of_structure(child) is not None:
        return None
    with threadpool_limits(1):
        evaluate = pickle.loads(pickled).evaluate
        if label is not None:
            evaluate = Corrected(evaluate, child, label)
        return relax(child, evaluate, **settings)
