"""The energy of 16,384 x 16,384 spins in a zarr store is exact, with two workers.

Run with ``python benchmarks/ising_zarr.py``: some minutes, half a minute with ``--quick``. The tile
model is linear in products of neighbouring spins and learns from totals of 8 x 8; the exact energy
is counted spin by spin. Two worker processes read the store. The total is bit-identical to that of
one process and, rounded to an integer, exact.
"""

import _measure

import tempfile
from time import perf_counter

import dask
import numpy as np
import zarr
from distributed import Client, LocalCluster
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.datasets import make_ising
from sk_ednn.evaluation import Unique
from sk_ednn.fields import ArraySource

CHUNK = 1024


def store(folder, side):
    """Write spins in domains, one band of chunks at a time; return the array and the energy."""
    array = zarr.create_array(
        f"{folder}/spins.zarr", shape=(1, side, side), chunks=(1, CHUNK, CHUNK), dtype="i1"
    )
    first = last = None
    energy = 0
    for row in range(0, side, CHUNK):
        rng = np.random.default_rng(row)
        domains = rng.choice(np.array([-1, 1], dtype=np.int8), size=(CHUNK // 4, side // 4))
        band = np.kron(domains, np.ones((4, 4), dtype=np.int8))
        band[rng.random(band.shape, dtype=np.float32) < 0.1] *= -1
        array[0, row : row + CHUNK] = band
        energy -= int(np.sum(band * np.roll(band, 1, axis=1), dtype=np.int64))
        energy -= int(np.sum(band[1:] * band[:-1], dtype=np.int64))
        if last is not None:
            energy -= int(np.sum(band[0] * last, dtype=np.int64))
        first = band[0].copy() if first is None else first
        last = band[-1].copy()
    return array, energy - int(np.sum(first * last, dtype=np.int64))


def main():
    options = _measure.arguments(__doc__.splitlines()[0], workers=2)
    _measure.machine()
    small = make_ising(1000, (8, 8), random_state=0)
    products = make_pipeline(
        PolynomialFeatures(2, interaction_only=True, include_bias=False), LinearRegression()
    )
    model = EDNNRegressor(products, GridTiling(1, 1), baseline=None, evaluation=Unique())
    model.fit(small.fields, small.energies)
    side = 2048 if options.quick else 16_384
    with tempfile.TemporaryDirectory() as folder:
        array, exact = store(folder, side)
        lazy = model.predict(ArraySource(array))
        rows, totals = [], []

        def timed(what, function):
            start = perf_counter()
            totals.append(float(function()[0]))
            seconds = perf_counter() - start
            off = totals[-1] - exact
            rows.append([what, seconds, side**2 / seconds, totals[-1], off])

        with dask.config.set(scheduler="synchronous"):
            timed("one process", lazy.compute)
        local = {"dashboard_address": None, "host": "127.0.0.1"}
        cluster = LocalCluster(n_workers=options.workers, threads_per_worker=1, **local)
        with cluster, Client(cluster) as client:
            timed(f"{options.workers} workers", lambda: client.compute(lazy).result())
    _measure.table(["by", "s", "tiles/s", "total/J", "off/J"], rows)
    print(f"exact: {exact} J")
    assert len(set(totals)) == 1
    assert round(totals[0]) == exact and abs(totals[0] - exact) < 0.1


if __name__ == "__main__":
    main()
