"""The square micrometre on a simulated cluster of 16 nodes of 28 cores.

    python benchmarks/cluster_model.py --results cluster.json
    python benchmarks/cluster_model.py --results cluster.json --figure fig11.png

No cluster is at hand. Measured are the processor time of each task of a sheet of 362,338 atoms
(`micrometre.py`, network on tiles of 128 pixels), the processor time that Dask's scheduler spends
on a task, and the time a worker takes to import the package and load the model. The tasks of the
square micrometre, whose number follows from its graph, get durations drawn from those measured, and
are replayed by a list scheduler: a worker that is free asks, the scheduler answers one after
another, and the worker computes. ``--blocks`` is the `blocks_per_task` of `DaskBlocks`.

The model leaves out what 28 cores of a node share (memory bandwidth, clock) and the network between
nodes; results are three numbers per task. It is a bound from below, and shows where the scheduler
becomes the limit. On two cores of one machine two workers were 1.5 to 1.9 times as fast as one
(`micrometre.py`, `dask_workers.py`), where the model has 2.0.
"""

import _measure
from _sheet import PorousSheet
from micrometre import WHOLE, trained

import heapq
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from time import process_time

import dask
import joblib
import numpy as np
import torch
from dask.callbacks import Callback

from sk_ednn.atoms import AtomsSource
from sk_ednn.evaluation import DaskBlocks, Direct, Network

CORES = (1, 2, 4, 8, 16, 28, 56, 112, 224, 448)
PAPER = 448, 24.7 * 60  # cores and s


def predicted(path, cells, n_blocks):
    """Return the lazy total of a sheet."""
    draw, regress = (step for _, step in joblib.load(path).steps)
    inside = Network if hasattr(regress.tile_model_, "dense_form") else Direct
    regress.evaluation_ = DaskBlocks(inside(max_bytes=2**25), blocks_per_task=n_blocks)
    return regress.predict([AtomsSource(draw, PorousSheet(cells, cells))])


class TaskTimes(Callback):
    """Record the processor time of each task of the synchronous scheduler."""

    def __init__(self):
        self.times, self._since = [], 0.0
        super().__init__(pretask=self._before, posttask=self._after)

    def _before(self, key, dsk, state):
        self._since = process_time()

    def _after(self, key, result, dsk, state, worker):
        self.times.append(process_time() - self._since)


def per_task_of_scheduler(n_tasks=3000):
    """Return the processor time of the scheduler (and client) per task, in s."""
    from distributed import Client, LocalCluster

    local = {"dashboard_address": None, "host": "127.0.0.1", "memory_limit": 0}
    with LocalCluster(n_workers=1, threads_per_worker=1, **local) as cluster, Client(cluster) as c:
        c.gather(c.map(abs, range(100)))
        start = process_time()
        c.gather(c.map(abs, range(1000, 1000 + n_tasks)))
        return (process_time() - start) / n_tasks


def start_of_worker(path):
    """Return the processor time in which a process imports the package and loads a model, in s."""
    code = (
        "import joblib, time, sys; joblib.load(sys.argv[1]); "
        "import distributed; print(time.process_time())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def replay(durations, n_workers, scheduler, start):
    """Return the time in which workers finish tasks of given durations, in s."""
    free = [start] * n_workers
    heapq.heapify(free)
    answered = end = 0.0
    for duration in durations:
        answered = max(answered, heapq.heappop(free)) + scheduler
        heapq.heappush(free, answered + duration)
        end = max(end, answered + duration)
    return end


def measure(options):
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.pkl"
        trained(path, "network", "", 1, 40)  # how well it was trained does not change its time
        times = TaskTimes()
        cells = 9 if options.quick else 29
        with times:
            predicted(path, cells, options.blocks).compute(scheduler="synchronous")
        small, whole = (
            len(dict(dask.optimize(predicted(path, n, options.blocks))[0].__dask_graph__()))
            for n in (cells, WHOLE)
        )
        return {
            "atoms": [PorousSheet(cells, cells).true_energy()[0], 35_224_338],
            "times": times.times, "tasks": [small, whole],
            "scheduler": per_task_of_scheduler(), "start": start_of_worker(path),
        }  # fmt: skip


def main():
    options = _measure.arguments(__doc__.splitlines()[0], results="", figure="", blocks=8)
    _measure.machine()
    file = Path(options.results) if options.results else None
    if file is not None and file.exists():
        found = json.loads(file.read_text())
    else:
        found = measure(options)
        if file is not None:
            file.write_text(json.dumps(found))
    times = np.array(found["times"])
    long = times[times > 0.1 * times.max()]  # the others join results
    print(
        f"{found['atoms'][0]:,} atoms: {len(long)} tasks of {long.mean():.3f} s "
        f"({long.min():.3f} to {long.max():.3f}); scheduler {1e3 * found['scheduler']:.2f} ms per "
        f"task; a worker starts in {found['start']:.1f} s"
    )
    # The same work per atom, in as many tasks as the graph has.
    n_tasks = found["tasks"][1]
    work = times.sum() * found["atoms"][1] / found["atoms"][0]
    drawn = np.random.default_rng(0).choice(long, n_tasks)
    drawn *= work / drawn.sum()
    print(f"the square micrometre: {n_tasks:,} tasks, mean {drawn.mean():.2f} s")
    rows = []
    for cores in CORES:
        warm = replay(drawn, cores, found["scheduler"], 0.0)
        cold = replay(drawn, cores, found["scheduler"], found["start"])
        rows.append([cores, warm, cold, work / warm / cores])
    _measure.table(["cores", "s", "s with start", "efficiency"], rows)
    if options.figure:
        draw(rows, options.figure)


def draw(rows, path):
    """Draw time against cores, beside an ideal and the paper."""
    from matplotlib.figure import Figure

    cores, warm, cold, _ = map(np.array, zip(*rows, strict=True))
    figure = Figure(figsize=(6.0, 3.8), layout="constrained")
    ax = figure.subplots()
    ax.loglog(cores, warm[0] / cores, color="#9aa5b1", lw=1, label="ideal")
    ax.loglog(cores, warm, "o-", color="#2a5d8c", mfc="white", label="replayed, workers running")
    ax.loglog(cores, cold, "s--", color="#edae49", mfc="white", label="replayed, with their start")
    ax.plot(*PAPER, "*", color="#c8553d", ms=12, label="Mills et al., 448 cores")
    ax.set(xlabel="cores", ylabel="time of a square micrometre / s")
    ax.legend(frameon=False)
    ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=140)


if __name__ == "__main__":
    main()
