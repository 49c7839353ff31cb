"""Numbers of a Dask scheduler for the cluster page."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass, field
from urllib.request import ProxyHandler, build_opener

from .._utils.optional import needing

_TIMEOUT_SECONDS = 5
_MOST_BYTES = 100_000  # of what the dashboard answers
_ADDRESS = re.compile(r"(tcp|tls|ucx)://[\w.\-\[\]:]+:\d{1,5}")


@dataclass
class Worker:
    """A worker of a cluster.

    Attributes
    ----------
    name : str
    threads, running, ready : int
        Threads; tasks that run, and that wait on it.
    memory, limit : int
        Bytes in use, and those that it may use; 0 for any.
    cpu : float
        In %.
    """

    name: str
    threads: int
    running: int
    ready: int
    memory: int
    limit: int
    cpu: float


@dataclass
class Cluster:
    """A cluster at one moment.

    Attributes
    ----------
    address, dashboard : str
    workers : list of Worker
    running, waiting, done, failed : int
        Tasks of the scheduler. Results of `done` are kept for their clients.
    """

    address: str
    dashboard: str
    workers: list[Worker] = field(default_factory=list)
    running: int = 0
    waiting: int = 0
    done: int = 0
    failed: int = 0


def checked(address) -> str:
    """Return an address; raise if it is invalid.

    Examples
    --------
    >>> from sk_ednn.ui._cluster import checked
    >>> checked(" tcp://127.0.0.1:8786 ")
    'tcp://127.0.0.1:8786'
    """
    address = (address or "").strip()
    if not _ADDRESS.fullmatch(address):
        raise ValueError(
            "Expected the address of a scheduler, such as tcp://127.0.0.1:8786; a client prints it."
        )
    return address


async def look(address) -> Cluster:
    """Query a scheduler once.

    Parameters
    ----------
    address : str

    Raises
    ------
    OSError
        If none answers.
    MissingExtraError
    """
    with needing("Watching a cluster"):
        from distributed.core import rpc

    async with rpc(checked(address)) as scheduler:
        identity, states = await asyncio.wait_for(
            asyncio.gather(scheduler.identity(), scheduler.get_task_prefix_states()),
            _TIMEOUT_SECONDS,
        )
    state = read(address, identity, states)
    if state.dashboard:
        n_tasks = await asyncio.to_thread(_number_of_tasks, state.dashboard)
        # The scheduler withholds tasks that workers have no room for; the states omit these.
        withheld = n_tasks - state.running - state.waiting - state.done - state.failed
        state.waiting += max(0, withheld - sum(each.get("released", 0) for each in states.values()))
    return state


def _number_of_tasks(dashboard) -> int:
    """Return the number of tasks of the scheduler, by its dashboard; 0 if that does not answer."""
    address = dashboard.removesuffix("/status") + "/json/counts.json"
    try:
        with build_opener(ProxyHandler({})).open(address, timeout=_TIMEOUT_SECONDS) as answer:
            return int(json.loads(answer.read(_MOST_BYTES))["tasks"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def read(address, identity, states=None) -> Cluster:
    """Return a cluster from the description of a scheduler.

    Parameters
    ----------
    address : str
        Address by which it was reached.
    identity : dict
    states : dict of str to dict, default=None
        Number of tasks by state, for each kind of task.
    """
    workers = []
    for name, worker in sorted(identity.get("workers", {}).items()):
        metrics = worker.get("metrics", {})
        counts = metrics.get("task_counts", {})
        workers.append(
            Worker(
                name=str(worker.get("name", name)),
                threads=int(worker.get("nthreads", 0)),
                running=int(metrics.get("executing", 0) or counts.get("executing", 0)),
                ready=int(metrics.get("ready", 0) or counts.get("ready", 0)),
                memory=int(metrics.get("memory", 0)),
                limit=int(worker.get("memory_limit", 0) or 0),
                cpu=float(metrics.get("cpu", 0.0)),
            )
        )
    workers.sort(key=lambda worker: (len(worker.name), worker.name))
    tasks = {
        state: sum(int(each.get(state, 0)) for each in (states or {}).values())
        for state in ("processing", "waiting", "memory", "erred")
    }
    running = sum(worker.running for worker in workers)
    port = identity.get("services", {}).get("dashboard")
    host = checked(address).partition("://")[2].rpartition(":")[0]
    return Cluster(
        address,
        f"http://{host}:{int(port)}/status" if port else "",
        workers,
        running=running,
        # Workers have some more tasks than threads, which begin as soon as there is room.
        waiting=tasks["waiting"] + max(0, tasks["processing"] - running),
        done=tasks["memory"],
        failed=tasks["erred"],
    )
