"""Write example data for the pages in the browser.

    python examples/ui/make_data.py FOLDER

Spins with their energies, larger ones to predict, drawn photographs of cells with a table of
counts, and silicon with energies and forces. Files that are there are kept.
"""

import csv
import sys
from pathlib import Path

import numpy as np

from sk_ednn.datasets import make_ising, make_pictures


def write_spins(folder, n=500):
    """Write small lattices of spins with their energies, and larger ones."""
    small = make_ising(n, (8, 8), random_state=0)
    np.savez(folder / "spins.npz", X=small.fields, y=small.energies)
    np.save(folder / "larger.npy", make_ising(3, (64, 64), n_sweeps=50, random_state=1).fields)


def write_cells(folder, n=60, side=96):
    """Write photographs, and a table with the count of each."""
    from PIL import Image

    data = make_pictures(n, (side, side), n_objects=(5, 60), random_state=0)
    folder.mkdir(exist_ok=True)
    with open(folder / "counts.csv", "w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file", "cells"])
        for k, (picture, total) in enumerate(zip(data.pictures, data.totals, strict=True)):
            name = f"dish{k:02d}.png"
            Image.fromarray(np.asarray(picture, dtype=np.uint8).squeeze()).save(folder / name)
            table.writerow([name, int(total)])


def write_silicon(folder, n=60):
    """Write distorted crystals with energies and forces."""
    from ase.build import bulk
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.io import write

    from sk_ednn.search import tersoff_silicon

    structures = []
    for k in range(n):
        atoms = bulk("Si", a=5.3 + 0.25 * k / n, cubic=True)
        atoms.rattle(0.08, seed=k)
        atoms.calc = tersoff_silicon()
        energy, forces = atoms.get_potential_energy(), atoms.get_forces()
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
        structures.append(atoms)
    write(folder / "silicon.extxyz", structures)


def main(folder):
    """Write what is missing."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, make, where in (
        ("spins.npz", write_spins, folder),
        ("cells/counts.csv", write_cells, folder / "cells"),
        ("silicon.extxyz", write_silicon, folder),
    ):
        if not (folder / name).exists():
            make(where)


if __name__ == "__main__":
    main(sys.argv[1])
