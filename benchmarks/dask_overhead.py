"""Dask costs at most 5 % over the same blocks in one process, with bit-identical totals.

Run with ``python benchmarks/dask_overhead.py``: some minutes, one with ``--quick``, half an hour
more with ``--most``, over 100,000 blocks. The tables show the time with and without Dask over the
same blocks, by the time per block; the time to build and submit graphs of up to 100,000 blocks; the
total of a network from one process, from threads and from 1, 2 and 4 worker processes, with times;
and the peak memory of a process against the size of the field.
"""

import _measure

import subprocess
import sys
from time import perf_counter, process_time

import dask
import numpy as np
from sklearn.linear_model import Ridge

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.evaluation import Direct, Network
from sk_ednn.solvers import GradientSolver

FOCUS, CONTEXT = 16, 8
LEAST = 5.0  # ms of the blocks of the claim


class Waves:
    """A field of any size, computed on demand."""

    dtype = np.dtype(np.float32)
    spacing = None

    def __init__(self, shape):
        self.shape = shape

    def read(self, slices):
        x, y = (np.arange(part.start, part.stop, dtype=np.float32) for part in slices)
        return np.sin(0.37 * x)[:, None] * np.cos(0.11 * y)

    def identity(self):
        return f"waves {self.shape}"


def fitted(max_tiles):
    """Return a linear tile model, so cheap that the overhead of Dask is visible."""
    X = np.random.default_rng(0).normal(size=(200, 48, 48)).astype(np.float32)
    tiling = GridTiling(FOCUS, CONTEXT)
    model = EDNNRegressor(Ridge(), tiling, evaluation=Direct(max_tiles=max_tiles))
    return model.fit(X, X.sum(axis=(1, 2)))


def field(n_blocks, max_tiles):
    """Return a field that is cut into at least `n_blocks` blocks of `max_tiles` tiles."""
    side = int(np.ceil(n_blocks**0.5)) * int(max_tiles**0.5) * FOCUS
    return [Waves((side, side))]


def overhead(max_tiles, n_blocks, repeat):
    """Return a row of the table, for one size and number of blocks."""
    model = fitted(max_tiles)
    X = field(n_blocks, max_tiles)
    parts = model.evaluation_, model.tile_model_, model.tiling_
    fields = parts[2].check(X)
    n = len(parts[0].plan(*parts[1:], fields))
    ways = (
        lambda: parts[0].totals(*parts[1:], fields)[0, 0],
        lambda: model.predict(X).compute(scheduler="synchronous")[0],
    )
    # In turns and in processor time, so that other programs do not count.
    times, totals = [], set()
    for _ in range(repeat):
        for way in ways:
            start = process_time()
            totals.add(float(way()))
            times.append(process_time() - start)
    assert len(totals) == 1
    alone, together = min(times[::2]), min(times[1::2])
    return [max_tiles, n, 1e3 * alone / n, alone, together, 100 * (together / alone - 1)]


def long_block(n_tiles=1296):
    """Return the number of tiles of a block that takes long enough on this processor."""
    while (milliseconds := overhead(n_tiles, 100, 2)[2]) < LEAST:
        n_tiles = (int(n_tiles**0.5 * max(1.1 * LEAST / milliseconds, 1.2) ** 0.5) + 1) ** 2
    return n_tiles


def building(sizes, client):
    rows = []
    model = fitted(64)
    for n_blocks in sizes:
        X = field(n_blocks, 64)
        start = perf_counter()
        lazy = model.predict(X)
        built = perf_counter() - start
        tasks = len(dict(lazy.dask))
        start = perf_counter()
        future = client.compute(lazy)
        client.run_on_scheduler(lambda: None)  # answered once the graph has arrived
        submitted = perf_counter() - start
        future.cancel()
        rows.append([n_blocks, tasks, built, submitted])
    _measure.table(["blocks", "tasks", "build/s", "submit/s"], rows)
    return rows


def same_bits(side):
    """Compute one total of a float32 network on every scheduler, and compare the bits."""
    import torch
    from distributed import Client, LocalCluster

    torch.manual_seed(0)
    torch.set_num_threads(1)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(1, 8, 5), torch.nn.SiLU(), torch.nn.Conv2d(8, 8, 5, stride=2),
        torch.nn.SiLU(), torch.nn.Flatten(), torch.nn.Linear(8 * 12 * 12, 1),
    )  # fmt: skip
    X = np.random.default_rng(0).normal(size=(20, 48, 48)).astype(np.float32)
    model = EDNNRegressor(
        net, GridTiling(FOCUS, CONTEXT), solver=GradientSolver(max_epochs=1),
        evaluation=Network(max_tiles=256), random_state=0,
    ).fit(X, (X**2).sum(axis=(1, 2)))  # fmt: skip
    source = Waves((side, side))
    field = source.read((slice(0, side), slice(0, side)))
    totals = []

    def timed(what, function):
        start = perf_counter()
        totals.append(float(function()[0]))
        print(f"{what:>14}: {perf_counter() - start:7.2f} s  {totals[-1].hex()}", flush=True)

    timed("in memory", lambda: model.predict(field[None]))
    for scheduler in ("synchronous", "threads"):
        timed(scheduler, lambda s=scheduler: model.predict([source]).compute(scheduler=s))
    for n_workers in (1, 2, 4):
        local = {"dashboard_address": None, "host": "127.0.0.1"}
        with (
            LocalCluster(n_workers=n_workers, threads_per_worker=1, **local) as cluster,
            Client(cluster) as client,
        ):
            small = [Waves((1024, 1024))]
            client.compute(model.predict(small)).result()  # start-up does not count
            timed(
                f"{n_workers} processes",
                lambda c=client: c.compute(model.predict([source])).result(),
            )
    assert len(set(totals)) == 1


PEAK = """
import sys, dask
sys.path[:0] = [{folder!r}]
import dask_overhead as this
side = int(sys.argv[1])
model = this.fitted(256)
lazy = model.predict([this.Waves((side, side))])
lazy.compute(scheduler="threads", num_workers=2)
print(this._measure.peak_megabytes())
"""


def memory(sides):
    rows = []
    for side in sides:
        code = PEAK.format(folder=__file__.rpartition("/")[0] or ".")
        done = subprocess.run(
            [sys.executable, "-c", code, str(side)], capture_output=True, text=True, check=True
        )
        rows.append([side**2, side**2 * 4 / 2**20, float(done.stdout)])
    _measure.table(["sites", "field/MiB", "peak/MiB"], rows)
    return rows


def main():
    options = _measure.arguments(__doc__.splitlines()[0], most=False)
    _measure.machine()
    several = 400 if options.quick else 2000
    most = long_block()
    runs = [(64, several, 3), (256, several, 3), (1296, several, 3), (most, several, 3)]
    if not options.quick:
        runs += [(most, 10_000, 2)]
    if options.most:
        runs += [(most, 100_000, 1)]
    rows = [overhead(*run) for run in runs]
    headers = ["tiles/block", "blocks", "ms/block", "alone/s", "Dask/s", "more/%"]
    _measure.table(headers, rows)
    longest = [row for row in rows if row[0] == most]
    least = min(row[2] for row in longest)
    more = max(row[5] for row in longest)
    print(f"\nAt most {more:.1f} % more over blocks of {least:.1f} ms or more\n")
    from distributed import Client, LocalCluster

    cluster = LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1"
    )
    with cluster, Client(cluster) as client, dask.config.set(scheduler=None):
        rows = building((1000, 10_000, 100_000), client)
    assert rows[-1][2] + rows[-1][3] < 10
    print()
    same_bits(4096 if options.quick else 16_384)
    print()
    rows = memory((2048, 8192) if options.quick else (2048, 8192, 32_768, 131_072))
    assert rows[-1][2] < 1.5 * rows[0][2]


if __name__ == "__main__":
    main()
