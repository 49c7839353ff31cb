"""A cluster of batch jobs for each kind of task of a search."""

from __future__ import annotations

import re
import signal
from contextlib import ExitStack, contextmanager

from .._utils.optional import needing
from ._tasks import KINDS

# Workers end so much before their job does, and at different times: nothing is killed, and not
# all of them wait in the queue again at once.
_MARGIN = 300  # s
_OF_POOL = ("minimum", "maximum", "idle_seconds")
# s between two checks of the tasks that wait. A job that ends too early waits in the queue again,
# while one that idles costs little: so workers are kept for a while.
_INTERVAL = 2
_IDLE = 300


@contextmanager
def job_pools(pools, cluster=None):
    """Yield the clients of a search, each with a cluster of batch jobs.

    Jobs are submitted when tasks wait, and end when they have had none for some time. A worker
    takes no task in the last five minutes of the wall time of its job. A task that takes longer
    than the remaining time is run once again by another worker.

    Parameters
    ----------
    pools : dict of str to dict
        For "relax", "label" and "train": ``maximum`` workers, ``minimum`` ones (default 0),
        ``idle_seconds`` (default 300) after which workers without a task end, and the parameters of
        the cluster, such as ``queue``, ``cores``, ``memory``, ``walltime`` and
        ``job_script_prologue``.
    cluster : callable, default=None
        Returns a cluster for these parameters. None for `dask_jobqueue.SLURMCluster`; others are
        `PBSCluster`, `LSFCluster`, `SGECluster`.

    Yields
    ------
    dict of str to distributed.Client
        For `StructureSearch.run`, with `n_workers` of as many as ``maximum``.

    Examples
    --------
    >>> from sk_ednn.search import job_pools
    >>> node = {"cores": 64, "processes": 1, "memory": "128GB", "walltime": "08:00:00"}
    >>> pools = {
    ...     "label": {**node, "maximum": 16},
    ...     "relax": {**node, "maximum": 2},
    ...     "train": {**node, "maximum": 1, "queue": "gpu"},
    ... }
    >>> with job_pools(pools) as clients:  # doctest: +SKIP
    ...     search.run(10_000, clients, n_workers={"label": 16, "relax": 2})
    """
    if sorted(pools) != sorted(KINDS):
        raise ValueError(f"Expected pools for {', '.join(KINDS)}, got {', '.join(pools)}.")
    for kind, options in pools.items():
        if int(options.get("maximum", 0)) < 1:
            raise ValueError(f"Pool {kind!r} needs a maximum of at least one worker.")
    with needing("Batch jobs", extra="hpc"):
        from distributed import Client

        if cluster is None:
            with interrupts_kept():
                from dask_jobqueue import SLURMCluster as cluster
    with ExitStack() as stack:
        clients = {}
        for kind, options in pools.items():
            made = stack.enter_context(cluster(**cluster_options(options, kind)))
            made.adapt(
                minimum=int(options.get("minimum", 0)),
                maximum=int(options["maximum"]),
                interval=f"{_INTERVAL}s",
                wait_count=max(1, round(float(options.get("idle_seconds", _IDLE)) / _INTERVAL)),
            )
            clients[kind] = stack.enter_context(Client(made))
        yield clients


@contextmanager
def interrupts_kept():
    """Keep the handler of Ctrl-C, which dask-jobqueue replaces by the end of the program.

    Without it, Ctrl-C is no KeyboardInterrupt from then on, with which runs stop and are recorded.
    """
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGINT) is not before:
            signal.signal(signal.SIGINT, before)


def cluster_options(options, kind) -> dict:
    """Return the parameters of the cluster of a pool: with a lifetime that follows its wall time.

    Parameters
    ----------
    options : dict
    kind : str
        Names the jobs.
    """
    settings = {name: value for name, value in options.items() if name not in _OF_POOL}
    if "walltime" not in settings:
        return settings
    settings.setdefault("job_name", f"sk-ednn-{kind}")
    seconds = seconds_of(settings["walltime"])
    if seconds <= 2 * _MARGIN:
        raise ValueError(
            f"Pool {kind!r} has a walltime of {settings['walltime']}; expected more than ten "
            "minutes."
        )
    lifetime = ["--lifetime", f"{seconds - _MARGIN}s", "--lifetime-stagger", f"{_MARGIN // 2}s"]
    settings["worker_extra_args"] = [*settings.get("worker_extra_args", ()), *lifetime]
    return settings


def seconds_of(walltime) -> int:
    """Return the seconds of a wall time such as ``"08:00:00"`` or ``"2-00:00:00"``."""
    hit = re.fullmatch(r"(?:(\d+)-)?(\d+):(\d\d)(?::(\d\d))?", str(walltime))
    if hit is None:
        raise ValueError(f"Expected a walltime such as 08:00:00 or 2-00:00:00, got {walltime!r}.")
    days, hours, minutes, seconds = (int(part or 0) for part in hit.groups())
    return ((24 * days + hours) * 60 + minutes) * 60 + seconds
