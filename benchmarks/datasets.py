"""A hundred thousand Ising systems of 8×8 are sampled in seconds, with exact mean energies.

Run with ``python benchmarks/datasets.py``: about a minute.
"""

from time import perf_counter

import numpy as np

from sk_ednn.datasets import ising_energy, load_sheets, make_dots, make_ising, make_potts

# Exact energies per site of 8×8 spins with periodic boundaries (Kaufman 1949).
EXACT = {2.0: -1.745683, 2.269: -1.491801, 3.0: -0.841315}


def timed(label, function):
    start = perf_counter()
    result = function()
    print(f"{label}: {perf_counter() - start:.2f} s")
    return result


def main():
    n = 100_000
    timed(f"{n:,} Ising systems of 8×8, T from 1 to 4", lambda: make_ising(n, random_state=0))
    flat = timed(
        f"{n:,} Ising systems of 8×8, flat in energy",
        lambda: make_ising(n, sampling="flat", random_state=0),
    )
    energies, counts = np.unique(flat.energies, return_counts=True)
    print(
        f"    {len(energies)} energies from {energies[0]:g} to {energies[-1]:g}, "
        f"each {counts.min()} to {counts.max()} times"
    )
    assert counts.min() > 0.9 * counts.max()
    timed("20,000 Potts systems of 8×8, 3 states", lambda: make_potts(3, 20_000, random_state=0))
    timed("10,000 images of dots, 64×64", lambda: make_dots(10_000, random_state=0))
    timed("the sheets", load_sheets)
    fields = np.random.default_rng(0).choice(np.array([-1, 1], dtype=np.int8), (10, 1024, 1024))
    timed("energies of ten fields of 1024×1024", lambda: ising_energy(fields))

    for temperature, exact in EXACT.items():
        energies = make_ising(40_000, temperature=temperature, random_state=1).energies / 64
        error = energies.std() / np.sqrt(len(energies))
        print(f"T = {temperature}: {energies.mean():.4f} ± {error:.4f} a site, exactly {exact:.4f}")
        assert abs(energies.mean() - exact) < 4 * error


if __name__ == "__main__":
    main()
