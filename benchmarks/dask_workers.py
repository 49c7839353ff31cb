"""Two workers against one, compared with the limit of the machine.

Run with ``python benchmarks/dask_workers.py``: some minutes, one with ``--quick``. Each case is a
lazy total, computed by one and two worker processes of a cluster, by one and two threads, and by
one and two independent programs. The latter share only the machine (memory, clock), so their loss
is a limit for any scheduler. Printed are medians of the ratios of runs in turns.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # one thread per worker

import _measure
from _sheet import PorousSheet
from dask_overhead import field, fitted, long_block
from micrometre import trained

import statistics
import sys
import tempfile
from pathlib import Path
from subprocess import PIPE, Popen
from time import perf_counter

import dask
import joblib
import torch
from distributed import Client, LocalCluster

from sk_ednn.atoms import AtomsSource
from sk_ednn.evaluation import DaskBlocks, Network

REPEAT = 9


def linear(model, size, max_tiles):
    """Return a ridge and a field with blocks that take some milliseconds."""
    return fitted(max_tiles), field(size**2, max_tiles)


def drawn(model, size, max_tiles):
    """Return `ValidCNN` and a porous sheet that the workers draw, with blocks of some 0.2 s."""
    draw, regress = (step for _, step in joblib.load(model).steps)
    regress.evaluation_ = DaskBlocks(Network(max_bytes=2**25))
    return regress, [AtomsSource(draw, PorousSheet(size, size))]


CASES = {"linear": (linear, 20, 30), "drawn": (drawn, 12, 20)}


def timed(function):
    start = perf_counter()
    total = float(function())
    return perf_counter() - start, total


def program(case, model, size, max_tiles):
    """Compute the total independently on request, for `together`."""
    torch.set_num_threads(1)
    regress, X = CASES[case][0](model, size, max_tiles)
    for _ in sys.stdin:
        seconds, total = timed(lambda: regress.predict(X).compute(scheduler="synchronous")[0])
        print(seconds, total.hex(), flush=True)


def together(programs):
    """Let programs compute their totals at once; return the longest time, and the totals."""
    for one in programs:
        one.stdin.write("go\n")
        one.stdin.flush()
    answers = [one.stdout.readline().split() for one in programs]
    return max(float(seconds) for seconds, _ in answers), {total for _, total in answers}


def measure(case, model, size, max_tiles, repeat):
    """Return the times of all ways, in turns, after comparing the totals."""
    torch.set_num_threads(1)
    regress, X = CASES[case][0](model, size, max_tiles)
    command = [sys.executable, __file__, "program", case, *map(str, (model, size, max_tiles))]
    programs = [Popen(command, stdin=PIPE, stdout=PIPE, text=True) for _ in range(2)]
    # By default workers return freed memory at once, and networks request it again at once.
    malloc = {
        f"MALLOC_{name}_THRESHOLD_": size for name, size in (("TRIM", 2**28), ("MMAP", 2**25))
    }
    dask.config.set({"distributed.nanny.pre-spawn-environ": malloc | {"OMP_NUM_THREADS": 1}})
    local = {"dashboard_address": None, "host": "127.0.0.1", "memory_limit": 0}
    cluster = LocalCluster(n_workers=2, threads_per_worker=1, **local)
    with cluster, Client(cluster) as client:
        workers = list(client.scheduler_info()["workers"])

        def by_workers(n):
            future = client.compute(regress.predict(X), workers=workers[:n])
            total = future.result()[0]
            future.release()
            return total

        def by_threads(n):
            return regress.predict(X).compute(scheduler="threads", num_workers=n)[0]

        ways = {"worker": by_workers, "thread": by_threads}
        times, totals = {}, set()
        for _ in range(repeat + 1):
            for n in (1, 2):
                for name, way in ways.items():
                    seconds, total = timed(lambda way=way, n=n: way(n))
                    totals.add(total.hex())
                    times.setdefault((name, n), []).append(seconds)
                seconds, some = together(programs[:n])
                totals |= some
                times.setdefault(("program", n), []).append(seconds)
    for one in programs:
        one.stdin.close()
        one.wait()
    assert len(totals) == 1, totals
    return {key: each[1:] for key, each in times.items()}  # the first turn is a warm-up


def main():
    if sys.argv[1:2] == ["program"]:
        program(*sys.argv[2:4], *map(int, sys.argv[4:]))
        return
    options = _measure.arguments(__doc__.splitlines()[0], repeat=REPEAT)
    _measure.machine()
    rows, max_tiles = [], long_block()
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model.pkl"
        trained(model, "network", "", 1, 40)
        for case, (_, small, large) in CASES.items():
            size, repeat = (small, 3) if options.quick else (large, options.repeat)
            times = measure(case, model, size, max_tiles, repeat)
            for name in ("worker", "thread", "program"):
                one, two = times[name, 1], times[name, 2]
                faster = [a / b for a, b in zip(one, two, strict=True)]
                if name == "program":  # two programs do twice the work
                    faster = [2 * ratio for ratio in faster]
                spread = statistics.quantiles(faster, n=4)
                medians = statistics.median(one), statistics.median(two)
                rows.append(
                    [case, f"{name}s", *medians, statistics.median(faster), spread[0], spread[2]]
                )
    _measure.table(["case", "two", "one/s", "two/s", "times", "quarter", "three"], rows)


if __name__ == "__main__":
    main()
