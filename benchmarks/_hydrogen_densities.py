"""Compute the bundled densities of hydrogen with GPAW (22.8 was used), in twenty minutes.

Hydrogen molecules at random in cubic cells, LDA, plane waves. The gamma point, with which
energies of small cells are some 12 meV/atom too high; --kpoints 2 shows that, in ten times the
time. The all-electron density is smoothed by a Gaussian and sampled on a grid of 0.5 Å.

    python _hydrogen_densities.py compute small.npz --cells small
    python _hydrogen_densities.py compute large.npz --cells large
    python _hydrogen_densities.py merge hydrogen.npz small.npz large.npz
"""

import argparse
import time
from pathlib import Path

import numpy as np

SPACING = 0.5  # Å
SMOOTHING = 0.3  # Å, standard deviation of the Gaussian
CLOSEST = 1.5  # Å, between atoms of different molecules
BONDS = 0.66, 0.90  # Å
CUTOFF = 200.0  # eV


def draw(rng, n_molecules, length):
    """Return positions of molecules, drawn one after another and again where they are too close."""
    placed = np.empty((0, 3))
    while len(placed) < 2 * n_molecules:
        axis = rng.normal(size=3)
        bond = rng.uniform(*BONDS) * axis / np.linalg.norm(axis)
        pair = rng.uniform(0, length, size=3) + np.array([[0.5], [-0.5]]) * bond
        apart = pair[:, None] - placed[None]
        apart -= length * np.round(apart / length)
        if not len(placed) or np.linalg.norm(apart, axis=-1).min() > CLOSEST:
            placed = np.concatenate([placed, pair])
    return placed % length


def smoothed(density, length):
    """Return a periodic density on the coarse grid, with the same integral."""
    n, m = len(density), round(length / SPACING)
    waves = np.fft.fftfreq(n, 1 / n)
    inner = np.abs(waves) < m / 2
    damping = np.exp(-0.5 * (2 * np.pi * waves / length * SMOOTHING) ** 2)
    coefficients = np.fft.fftn(density)
    for axis in range(3):
        shape = [1, 1, 1]
        shape[axis] = n
        coefficients = coefficients * damping.reshape(shape)
    coefficients = coefficients[np.ix_(inner, inner, inner)]
    coarse = np.zeros((m, m, m), dtype=complex)
    where = np.flatnonzero(inner)
    places = waves[where].astype(int) % m
    coarse[np.ix_(places, places, places)] = coefficients
    return np.fft.ifftn(coarse).real * (m / n) ** 3


def compute(positions, length, k):
    """Return the energy in eV and the density in e/Å³."""
    from ase import Atoms
    from gpaw import GPAW, PW

    atoms = Atoms(f"H{len(positions)}", positions=positions, cell=[length] * 3, pbc=True)
    atoms.calc = GPAW(
        mode=PW(CUTOFF), xc="LDA", kpts={"size": (k, k, k), "gamma": True}, symmetry="off",
        nbands=len(atoms) // 2 + 2,
        gpts=[round(length / 0.3)] * 3,
        convergence={"energy": 5e-5, "density": 1e-4}, txt=None,
    )  # fmt: skip
    energy = atoms.get_potential_energy()
    return energy, smoothed(atoms.calc.get_all_electron_density(gridrefinement=2), length)


def cells():
    """Return names, positions and edges of all cells."""
    rng = np.random.default_rng(0)
    for name, n_cells, length, molecules in (
        ("small", 160, 6.0, (2, 6)),
        ("large", 4, 12.0, (20, 37)),
    ):
        for _ in range(n_cells):
            yield name, draw(rng, rng.integers(*molecules), length), length


def compute_some(output, name, first, last, k_points):
    """Compute some cells of a kind, and write them as floats."""
    found = [(xyz, length) for kind, xyz, length in cells() if kind == name][first:last]
    start, energies, densities = time.perf_counter(), [], []
    for k, (xyz, length) in enumerate(found):
        energy, density = compute(xyz, length, k_points)
        energies.append(energy)
        densities.append(density)
        print(name, first + k, len(xyz), f"{energy:.4f} eV", f"{time.perf_counter() - start:.0f} s",
              flush=True)  # fmt: skip
    np.savez(
        output, name=name, first=first, energy=energies, density=densities,
        positions=np.concatenate([xyz for xyz, _ in found]), n_atoms=[len(xyz) for xyz, _ in found],
    )  # fmt: skip


def merge(output, inputs):
    """Write what was computed with densities in 16 bits, in steps of 1/65,535 of their range."""
    read = sorted((dict(np.load(path)) for path in inputs), key=lambda part: int(part["first"]))
    arrays = {}
    for name in ("small", "large"):
        parts = [part for part in read if str(part["name"]) == name]
        found = {key: np.concatenate([part[key] for part in parts])
                 for key in ("energy", "density", "positions", "n_atoms")}  # fmt: skip
        low, high = found["density"].min(), found["density"].max()
        steps = np.round((found["density"] - low) / (high - low) * 65535).astype(np.uint16)
        arrays |= {
            f"{name}_density": steps,
            f"{name}_range": np.array([low, high]),
            f"{name}_energy": found["energy"],
            f"{name}_positions": found["positions"].astype(np.float32),
            f"{name}_n_atoms": found["n_atoms"],
        }
    np.savez_compressed(output, **arrays)
    print(f"{output.stat().st_size / 1e6:.2f} MB")


def main():
    """Compute a part, or merge parts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=["compute", "merge"])
    parser.add_argument("output", type=Path)
    parser.add_argument("inputs", type=Path, nargs="*")
    parser.add_argument("--cells", choices=["small", "large"], default="small")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--last", type=int)
    parser.add_argument("--kpoints", type=int, default=1)
    options = parser.parse_args()
    if options.action == "merge":
        merge(options.output, options.inputs)
    else:
        compute_some(options.output, options.cells, options.first, options.last, options.kpoints)


if __name__ == "__main__":
    main()
