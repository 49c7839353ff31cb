"""Numbers of a Dask scheduler for the cluster page."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from .._utils.optional import needing

_TIMEOUT_SECONDS = 5
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
    tasks : dict of str to int
        Tasks that the scheduler knows, by their state.
    """

    address: str
    dashboard: str
    workers: list[Worker] = field(default_factory=list)
    tasks: dict[str, int] = field(default_factory=dict)


def checked(address) -> str:
    """Return an address; raise where it is none.

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
    """Ask a scheduler once.

    Parameters
    ----------
    address : str

    Raises
    ------
    OSError
        Where none answers.
    MissingExtraError
    """
    with needing("Watching a cluster"):
        from distributed.core import rpc

    import asyncio

    async with rpc(checked(address)) as scheduler:
        identity = await asyncio.wait_for(scheduler.identity(), _TIMEOUT_SECONDS)
    return read(identity)


def read(identity) -> Cluster:
    """Return a cluster from what a scheduler says of itself."""
    address = str(identity.get("address", ""))
    workers = []
    tasks: dict[str, int] = {}
    for name, worker in sorted(identity.get("workers", {}).items()):
        metrics = worker.get("metrics", {})
        counts = metrics.get("task_counts", {})
        for state, n in counts.items() if isinstance(counts, dict) else ():
            tasks[state] = tasks.get(state, 0) + sum(n.values() if isinstance(n, dict) else [n])
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
    port = identity.get("services", {}).get("dashboard")
    host = address.partition("://")[2].rpartition(":")[0]
    return Cluster(address, f"http://{host}:{port}/status" if port else "", workers, tasks)
