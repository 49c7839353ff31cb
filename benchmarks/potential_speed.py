"""Time and memory of energies and forces of a network of atoms, from 60 to 100,860 atoms.

    python benchmarks/potential_speed.py
    python benchmarks/potential_speed.py --model spectrum --dtype float64 --compile

The structures are sheets of boron nitride with random displacements; the cutoff is 6 Å. Times are
the least processor times of some calls, neighbour lists included. ``--compile`` uses torch.compile
for the network.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from _measure import arguments, machine, peak_megabytes

import time

import numpy as np
import torch

from sk_ednn.networks._atomic import (
    AtomicPotential,
    NeighborTable,
    SpectrumNetwork,
    energy_forces_stress,
    standardize,
)
from sk_ednn.structures import Structures, neighbor_pairs

CUTOFF = 6.0
CELL = np.array([2.5, 2.5 * 3**0.5, 20.0])  # Å, of four atoms


def sheet(n, m, seed=0):
    """Return n by m cells of four atoms."""
    corners = np.stack(np.meshgrid(range(n), range(m), [0], indexing="ij"), -1).reshape(-1, 1, 3)
    base = np.array([[0, 0, 0], [0, 1 / 3, 0], [0.5, 0.5, 0], [0.5, 5 / 6, 0]])
    positions = ((corners + base) * CELL).reshape(-1, 3)
    positions += np.random.default_rng(seed).normal(scale=0.03, size=positions.shape)
    return Structures(
        np.tile([5, 7, 5, 7], n * m), positions, np.diag(CELL * [n, m, 1])[None],
        np.array([[True, True, False]]), np.array([0, len(positions)]),
    )  # fmt: skip


def least_seconds(function, repeat):
    times = []
    for _ in range(repeat):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return min(times)


def main():
    args = arguments(
        __doc__.splitlines()[0], model="spectrum-context", dtype="float32", compile=False
    )
    machine()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    dtype = getattr(torch, args.dtype)
    network = SpectrumNetwork([5, 6, 7], CUTOFF, context=8 * args.model.endswith("-context"))
    network = network.to(dtype)
    standardize(network, NeighborTable(neighbor_pairs(sheet(5, 3), CUTOFF), dtype), 0)
    batch = NeighborTable(neighbor_pairs(sheet(5, 24), CUTOFF), dtype).batch([0])
    seconds = least_seconds(
        lambda: energy_forces_stress(network, batch, create_graph=True).forces.sum().backward(), 10
    )
    print(f"a step of training, 480 atoms: {1e6 * seconds / len(batch):.0f} µs an atom")
    network.requires_grad_(False)
    if args.compile:
        network.contributions = torch.compile(network.contributions, dynamic=True)
    potential = AtomicPotential(network, {5: 0.0, 6: 0.0, 7: 0.0})
    sizes = [(5, 3, 20), (25, 15, 10)] + ([] if args.quick else [(205, 123, 2)])
    for n, m, repeat in sizes:
        structures = sheet(n, m)
        potential.predict(structures, forces=True)
        energies = least_seconds(lambda s=structures: potential.predict(s), repeat)
        both = least_seconds(lambda s=structures: potential.predict(s, forces=True), repeat)
        print(
            f"{structures.n_atoms} atoms: energies {1e3 * energies:.1f} ms, with forces "
            f"{1e3 * both:.1f} ms ({1e6 * both / structures.n_atoms:.0f} µs an atom), "
            f"{peak_megabytes():.0f} MB at most so far"
        )


if __name__ == "__main__":
    main()
