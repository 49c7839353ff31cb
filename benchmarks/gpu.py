"""Gains by a GPU: training, prediction, memory, the largest system, CUDA graphs, a Dask cluster.

    python benchmarks/gpu.py --minutes 9
    python benchmarks/gpu.py --quick --device cpu        # a dry run without a GPU

Compares ``--device`` (by default the first GPU, else the CPU) with one core of the CPU: epochs per
second of a `SpectrumNetwork` on the bundled Si-Au set, atoms per second of energies and forces with
neighbour lists and without, memory per atom, the largest crystal whose energies and forces fit,
epochs per second of a network of fields without `torch.compile`, with it, and with CUDA graphs
(``mode="reduce-overhead"``), and fields per second through ``LocalCUDACluster`` of dask-cuda.
Parts that do not start before ``--minutes`` are over are left out, and named. Each part prints a
line of JSON as soon as it is done.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from _measure import arguments, machine

import json
import time

import numpy as np
import torch

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.datasets import load_siau, make_ising
from sk_ednn.evaluation import DaskBlocks
from sk_ednn.networks._atomic import (
    AtomicPotential,
    NeighborTable,
    SpectrumNetwork,
    energy_forces_stress,
    standardize,
)
from sk_ednn.solvers import GradientSolver
from sk_ednn.solvers._potential import PotentialLabels, PotentialTrainer
from sk_ednn.structures import Structures, neighbor_pairs

CUTOFF = 6.0
A = 5.43  # Å, of silicon
CORNERS = np.array([[0, 0, 0], [0, 2, 2], [2, 0, 2], [2, 2, 0]])
MOTIF = np.concatenate([CORNERS, CORNERS + 1]) / 4


def crystal(n_atoms):
    """Return displaced silicon of about `n_atoms` atoms."""
    repeat = np.maximum(1, np.round(np.full(3, (n_atoms / 8) ** (1 / 3)))).astype(int)
    shifts = np.stack(np.meshgrid(*map(np.arange, repeat), indexing="ij"), -1).reshape(-1, 1, 3)
    positions = ((MOTIF + shifts) * A).reshape(-1, 3)
    positions += np.random.default_rng(0).normal(scale=0.05, size=positions.shape)
    return Structures(
        np.full(len(positions), 14), positions, np.diag(A * repeat)[None],
        np.ones((1, 3), bool), np.array([0, len(positions)]),
    )  # fmt: skip


def elapsed(function, device, repeat=3):
    """Return the least elapsed time of a call, after a warm-up; the device has then finished."""
    times = []
    for _ in range(repeat + 1):
        start = time.perf_counter()
        function()
        if device != "cpu":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return min(times[1:])


def training(device, quick):
    """Epochs per second, with batches of 8 and 64 structures."""
    data = load_siau()
    chosen = np.arange(len(data.structures))[:: 100 if quick else 4]
    structures = Structures.of([{**data.structures[k], "pbc": True} for k in chosen])
    forces = np.concatenate([data.forces[k] for k in chosen])
    labels = PotentialLabels.of(structures, data.energies[chosen], forces, data.stress[chosen])
    out = {"structures": len(chosen), "atoms": structures.n_atoms}
    for where in dict.fromkeys(["cpu", device]):
        for batch_size in (8, 64):
            ends = []
            trainer = PotentialTrainer(
                max_epochs=2 if quick else 4, max_seconds=None, batch_size=batch_size,
                device=where, random_state=0, callback=lambda r, e=ends: e.append(time.time()),
            )  # fmt: skip
            trainer.fit(structures, labels, lambda species: SpectrumNetwork(species, CUTOFF))
            out[f"{where}, batches of {batch_size}, epochs/s"] = 1 / min(np.diff(ends))
    return out


def potential_on(device, dtype=torch.float32):
    """Return an untrained potential of silicon on a device."""
    torch.manual_seed(0)
    network = SpectrumNetwork([14], CUTOFF).to(dtype)
    standardize(network, NeighborTable(neighbor_pairs(crystal(64), CUTOFF), dtype), 0)
    return AtomicPotential(network.requires_grad_(False).to(device), {14: 0.0})


def prediction(device, quick):
    """Atoms per second of energies and forces, as a user gets them and without the lists."""
    out = {}
    for where in dict.fromkeys(["cpu", device]):
        potential = potential_on(where)
        for n_atoms in (64, 512) if quick else (64, 1728, 32768, 262144):
            if where == "cpu" and n_atoms > 40000:
                continue
            structures = crystal(n_atoms)
            n = structures.n_atoms
            seconds = elapsed(
                lambda p=potential, s=structures: p.predict(s, forces=True, stress=True), where
            )
            out[f"{where}, {n} atoms, atoms/s"] = n / seconds
            if n > 40000:
                continue
            batch = NeighborTable(
                neighbor_pairs(structures, CUTOFF), torch.float32, where
            ).batch([0])  # fmt: skip
            seconds = elapsed(
                lambda p=potential, b=batch: energy_forces_stress(p.network, b), where
            )
            out[f"{where}, {n} atoms, without lists, atoms/s"] = n / seconds
    return out


def largest(device, quick):
    """Memory per atom, and the largest crystal whose energies and forces fit."""
    potential, out, n_atoms = potential_on(device), {}, 64 if quick else 100_000
    started = time.time()
    for _ in range(2 if quick else 12):
        structures = crystal(n_atoms)
        if device != "cpu":
            torch.cuda.reset_peak_memory_stats()
        try:
            potential.predict(structures, forces=True)
        except (torch.cuda.OutOfMemoryError, MemoryError) as error:
            out["failed at, atoms"], out["error"] = structures.n_atoms, type(error).__name__
            break
        out["largest, atoms"] = structures.n_atoms
        if device != "cpu":
            peak = torch.cuda.max_memory_allocated()
            out["peak, GB"] = peak / 1e9
            out["bytes per atom"] = peak / structures.n_atoms
        n_atoms *= 2
        if time.time() - started > 90:
            out["stopped"] = "after 90 s"
            break
    return out


def graphs(device, quick):
    """Epochs per second of a network of fields: eager, compiled, and with CUDA graphs."""
    X, y = make_ising(64 if quick else 4096, (16, 16), random_state=0, return_X_y=True)
    X = X + 0.01 * np.random.default_rng(0).normal(size=X.shape)
    ways = {"eager": False, "compiled": True, "CUDA graphs": {"mode": "reduce-overhead"}}
    if quick:
        ways.pop("compiled")
        ways.pop("CUDA graphs")
    out = {}
    for name, compiled in ways.items():
        times = []
        for epochs in (2, 2 if quick else 12):
            net = torch.nn.Sequential(
                torch.nn.Flatten(), torch.nn.Linear(25, 128), torch.nn.SiLU(),
                torch.nn.Linear(128, 128), torch.nn.SiLU(), torch.nn.Linear(128, 1),
            )  # fmt: skip
            solver = GradientSolver(
                max_epochs=epochs, batch_size=256, device=device, compile=compiled, form="tiled"
            )
            start = time.perf_counter()
            EDNNRegressor(net, GridTiling(1, 2), solver=solver, random_state=0).fit(X, y)
            times.append(time.perf_counter() - start)
        out[f"{name}, epochs/s"] = (2 if quick else 10) / max(times[1] - times[0], 1e-9)
        if quick:
            out[f"{name}, epochs/s"] = 2 / times[1]
    return out


def cluster(device, quick):
    """Fields per second of a network, in this process and through a cluster of workers."""
    from distributed import Client, LocalCluster

    X, y = make_ising(64, (16, 16), random_state=0, return_X_y=True)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(25, 64), torch.nn.SiLU(),
                              torch.nn.Linear(64, 1))  # fmt: skip
    solver = GradientSolver(max_epochs=1, device=device)
    model = EDNNRegressor(net, GridTiling(1, 2), solver=solver, random_state=0).fit(X + 0.0, y)
    shape = (2, 64, 64) if quick else (64, 1024, 1024)
    large = np.random.default_rng(0).choice([-1.0, 1.0], size=shape)
    import dask.array

    lazy = dask.array.from_array(large, chunks=(1, 32 if quick else 256, 32 if quick else 256))
    model.evaluation_ = DaskBlocks()
    out, kind = {}, "LocalCUDACluster"
    try:
        from dask_cuda import LocalCUDACluster

        workers = LocalCUDACluster()
    except ImportError:
        kind = "LocalCluster (dask-cuda is not installed: pip install sk-ednn[cuda])"
        workers = LocalCluster(n_workers=1, processes=False, dashboard_address=None)
    with workers, Client(workers) as client:
        seconds = elapsed(lambda: model.predict(lazy).compute(), "cpu", 1)
        out[f"{kind}, {len(client.scheduler_info()['workers'])} worker(s), fields/s"] = (
            len(large) / seconds
        )
    seconds = elapsed(lambda: model.predict(large), "cpu", 1)
    out["this process, fields/s"] = len(large) / seconds
    return out


PARTS = {
    "training": training, "prediction": prediction, "largest": largest, "CUDA graphs": graphs,
    "cluster": cluster,
}  # fmt: skip


def main():
    default = "cuda" if torch.cuda.is_available() else "cpu"
    args = arguments(__doc__.splitlines()[0], device=default, minutes=9.0, parts=",".join(PARTS))
    machine()
    torch.set_num_threads(1)
    if args.device != "cpu":
        print(torch.cuda.get_device_name(), torch.version.cuda)
    started = time.time()
    for name in args.parts.split(","):
        if time.time() - started > 60 * args.minutes:
            print(f"{name}: left out, {args.minutes} minutes are over")
            continue
        begun = time.time()
        try:
            found = PARTS[name](args.device, args.quick)
        except Exception as error:  # the other parts are worth their time
            found = {"failed": f"{type(error).__name__}: {error}"}
        found = {
            key: float(f"{value:.4g}") if isinstance(value, float) else value
            for key, value in found.items()
        }
        print(
            json.dumps({"part": name, "seconds": round(time.time() - begun), **found}), flush=True
        )


if __name__ == "__main__":
    main()
