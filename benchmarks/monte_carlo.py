"""Monte Carlo: flips cost the same in any field, and sweeps attempt a million per second."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from _measure import arguments, machine, seconds, table

import time

import numpy as np
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.datasets import make_ising
from sk_ednn.evaluation import Direct, LocalUpdates, Unique
from sk_ednn.simulation import Metropolis

N_FLIPS, N_ROUNDS = 500, 9


def flips(local, side, rng):
    """Return the time of one flip, proposed and accepted every second time, in µs."""
    sites = rng.integers(side, size=(N_FLIPS, 1, 2))
    start = time.perf_counter()
    for k, site in enumerate(sites):
        local.propose(site, [(-1) ** k])
        if k % 2:
            local.accept()
    return (time.perf_counter() - start) / N_FLIPS * 1e6


def single_flips(small, sides):
    """Compare the sizes in turns, so that other programs affect all of them."""
    kernel = KernelRidge(kernel="rbf", gamma=0.1, alpha=1e-6)
    quadratic = make_pipeline(PolynomialFeatures(2), Ridge(1e-6))
    rng, rows = np.random.default_rng(0), []
    for name, tile_model, evaluation, sizes in (
        ("kernel ridge, remembered tiles", kernel, Unique(), sides),
        ("quadratic ridge, tiles evaluated", quadratic, Direct(max_tiles=1 << 16), sides[:4]),
    ):
        model = EDNNRegressor(tile_model, GridTiling(1, 1), evaluation=evaluation)
        model.fit(small.fields, small.energies)
        fields = [rng.choice(np.array([-1, 1], np.int8), size=(n, n)) for n in sizes]
        locals_ = [LocalUpdates(model, field) for field in fields]
        times = np.array(
            [
                [flips(local, n, rng) for local, n in zip(locals_, sizes, strict=True)]
                for _ in range(N_ROUNDS)
            ]
        )[1:]
        for k, (local, side) in enumerate(zip(locals_, sizes, strict=True)):
            ratio = float(np.median(times[:, k] / times[:, 0]))
            field = local.field[None]
            start = time.perf_counter()
            off = abs(local.total - model.predict(field)[0])
            whole = (time.perf_counter() - start) * 1e6
            rows.append([name, f"{side}²", float(np.median(times[:, k])), ratio, whole, off])
    table(["single flips", "field", "µs a flip", "ratio", "µs a prediction", "off / J"], rows)


def sweeps(small, cases):
    model = EDNNRegressor().fit(small.fields, small.energies)
    rows = []
    for moves, side, n_replicas, n_sweeps in cases:
        sampler = Metropolis(
            model, 2.269, values=[-1, 1], moves=moves, n_replicas=n_replicas, random_state=0
        )
        rng = np.random.default_rng(0)
        start = rng.choice(np.array([-1, 1], np.int8), size=(1, n_replicas, side, side))
        times = []
        for n in (2, 2 + n_sweeps):
            t = seconds(lambda: sampler.run(start, n, interval=n), repeat=3, warm_up=0)  # noqa: B023
            times.append(t)
        n_moves = n_sweeps * n_replicas * side**2 * (2 if moves == "exchange" else 1)
        rate = n_moves / (times[1] - times[0]) / 1e6
        rows.append([moves, f"{side}²", n_replicas, n_sweeps, rate])
    table(["sweeps", "field", "replicas", "sweeps", "million tried/s"], rows)


def main():
    options = arguments(__doc__)
    machine()
    small = make_ising(500, (8, 8), random_state=0)
    single_flips(small, (16, 64, 256) if options.quick else (16, 64, 256, 1024, 4096))
    print()
    cases = [("change", 256, 1, 30), ("change", 32, 64, 30), ("exchange", 256, 1, 10)]
    if not options.quick:
        cases += [("change", 1024, 1, 4), ("change", 16, 256, 30), ("exchange", 32, 64, 10)]
    sweeps(small, cases)


if __name__ == "__main__":
    main()
