"""Descriptors cost microseconds per atom, in time linear in the atoms.

Run with ``python benchmarks/descriptors.py``: about two minutes on one thread. Prints atoms per
second, by processor time, of the neighbour list and of each descriptor at its default size, for
values and for values with the gradients that a force needs, on displaced graphene-like sheets of 60
B, C and N atoms and displaced silicon of 64 atoms. ``--scaling`` adds one large structure.
``--accuracy`` fits a ridge per species to the energies of 1,500 of the bundled sheets, and prints
the error on 500 others, in some five minutes more.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"

from _measure import arguments, machine, table
from time import process_time

import numpy as np
from sklearn.linear_model import RidgeCV

from sk_ednn.datasets import load_sheets
from sk_ednn.descriptors import (
    ChebyshevDescriptor,
    DeepPotFrame,
    PowerSpectrum,
    SphericalExpansion,
    SymmetryFunctions,
)
from sk_ednn.structures import Structures, neighbor_pairs

SHEET_CUTOFF, SILICON_CUTOFF = 5.9, 5.5  # Å: some 40 and 34 neighbours


def sheet(rng, repeat=(3, 5)):
    """Return B, C and N at random on a displaced honeycomb: 60 atoms in 12.8 by 12.3 Å."""
    bond = 1.42
    cell = np.array([3 * bond, np.sqrt(3) * bond])
    motif = np.array([[0, 0], [0.5, 0.5], [1 / 3, 0], [5 / 6, 0.5]]) * cell
    shifts = np.stack(np.meshgrid(*map(np.arange, repeat), indexing="ij"), -1).reshape(-1, 1, 2)
    flat = (motif + shifts * cell).reshape(-1, 2)
    positions = np.column_stack([flat, np.full(len(flat), 10.0)])
    positions += rng.normal(scale=0.05, size=positions.shape)
    return {
        "numbers": rng.integers(5, 8, len(flat)),
        "positions": positions,
        "cell": [*(cell * repeat), 20.0],
        "pbc": [True, True, False],
    }


def silicon(rng, repeat=2):
    """Return silicon in the diamond structure, displaced by 0.1 Å: 64 atoms."""
    a = 5.43
    corners = np.array([[0, 0, 0], [0, 2, 2], [2, 0, 2], [2, 2, 0]])
    motif = np.concatenate([corners, corners + 1]) * a / 4
    shifts = np.stack(np.meshgrid(*[np.arange(repeat)] * 3, indexing="ij"), -1)
    positions = (motif + shifts.reshape(-1, 1, 3) * a).reshape(-1, 3)
    return {
        "numbers": np.full(len(positions), 14),
        "positions": positions + rng.normal(scale=0.1, size=positions.shape),
        "cell": [a * repeat] * 3,
        "pbc": True,
    }


def descriptors(cutoff, species):
    """Return each descriptor at its default size."""
    g4 = {"angular_form": "G4"}
    return {
        "SphericalExpansion": SphericalExpansion(cutoff, species=species),
        "PowerSpectrum": PowerSpectrum(cutoff, species=species),
        "SymmetryFunctions, G5": SymmetryFunctions(cutoff, species=species),
        "SymmetryFunctions, G4": SymmetryFunctions(cutoff, species=species, **g4),
        "ChebyshevDescriptor": ChebyshevDescriptor(cutoff, species=species),
        "DeepPotFrame": DeepPotFrame(cutoff, 60, species=species),
    }


def cost(function, repeat):
    """Return the least processor time of some calls, after a warm-up."""
    function()
    times = []
    for _ in range(repeat):
        start = process_time()
        function()
        times.append(process_time() - start)
    return min(times)


def measure(name, structures, cutoff, repeat):
    """Print a table of all descriptors for a batch of structures."""
    n_atoms = structures.n_atoms
    environments = neighbor_pairs(structures, cutoff)
    listing = cost(lambda: neighbor_pairs(structures, cutoff), repeat)
    print(
        f"\n{name}: {len(structures)} of {n_atoms // len(structures)} atoms, {cutoff} Å, "
        f"{environments.n_pairs / n_atoms:.0f} neighbours; neighbour list "
        f"{n_atoms / listing:,.0f} atoms/s"
    )
    rows = []
    rng = np.random.default_rng(0)
    for label, one in descriptors(cutoff, tuple(np.unique(structures.numbers).tolist())).items():
        slopes = rng.normal(size=(n_atoms, *one.tile_shape))
        values = cost(lambda one=one: one.values(environments), repeat)
        pull = cost(lambda one=one, slopes=slopes: one.pull(environments, slopes), repeat)
        size = " × ".join(map(str, one.tile_shape))
        rows.append([label, size, f"{n_atoms / values:,.0f}", f"{n_atoms / (values + pull):,.0f}"])
    table(["", "numbers", "values, atoms/s", "with pull, atoms/s"], rows)


def accuracy(n_train, n_test):
    """Print the errors of ridges on sums over the atoms of each species, fitted to energies."""
    data = load_sheets()
    chosen = np.random.default_rng(0).permutation(len(data.structures))[: n_train + n_test]
    sheets = (data.structures[k] for k in chosen)
    structures = Structures.of(
        [
            {
                "numbers": one.numbers,
                "positions": np.pad(one.positions, ((0, 0), (0, 1))),
                "cell": one.cell,
                "pbc": [True, True, False],
            }
            for one in sheets
        ]
    )
    energies = np.asarray(data.energies)[chosen]
    areas = structures.volumes / structures.cells[:, 2, 2]
    species = [5, 6, 7]
    composition = np.array([np.bincount(one.numbers, minlength=8)[species] for one in structures])
    rows = []
    for cutoff in (4.5, 6.0):
        for label, one in descriptors(cutoff, species).items():
            if isinstance(one, SphericalExpansion | DeepPotFrame) or "G4" in label:
                continue  # not meant to be summed
            sums = np.concatenate(
                [
                    summed(one, structures.take(part), species, cutoff)
                    for part in np.array_split(np.arange(len(structures)), 50)
                ]
            )
            sums = sums[:, sums[:n_train].std(axis=0) > 0]
            scaled = (sums - sums[:n_train].mean(axis=0)) / sums[:n_train].std(axis=0)
            # Large, so that composition is hardly penalised.
            X = np.hstack([scaled, 1e3 * composition])
            ridge = RidgeCV(10.0 ** np.arange(-6, 5), fit_intercept=False)
            ridge.fit(X[:n_train], energies[:n_train])
            error = np.abs(ridge.predict(X[n_train:]) - energies[n_train:]) / areas[n_train:]
            rows.append([label, cutoff, *(1e3 * np.array([error.mean(), np.median(error)]))])
    print(f"\nRidge on {n_train} sheets, errors of {n_test} others in meV/Å²")
    table(["", "cutoff, Å", "mean", "median"], rows)


def summed(descriptor, structures, species, cutoff):
    """Return the values summed over the atoms of each species, one row per structure."""
    values = descriptor.values(neighbor_pairs(structures, cutoff))
    place = structures.owners * len(species) + np.searchsorted(species, structures.numbers)
    sums = np.zeros((len(structures) * len(species), values.shape[1]))
    np.add.at(sums, place, values)
    return sums.reshape(len(structures), -1)


def main():
    options = arguments(__doc__, scaling=False, accuracy=False)
    machine()
    rng = np.random.default_rng(0)
    n, repeat = (5, 1) if options.quick else (50, 5)
    sheets = Structures.of([sheet(rng) for _ in range(n)])
    measure("Sheets of B, C, N", sheets, SHEET_CUTOFF, repeat)
    crystals = Structures.of([silicon(rng) for _ in range(n)])
    measure("Silicon", crystals, SILICON_CUTOFF, repeat)
    measure("One sheet", sheets.take([0]), SHEET_CUTOFF, repeat)
    if options.scaling:
        large = Structures.of([silicon(rng, 4 if options.quick else 15)])
        measure("Silicon", large, SILICON_CUTOFF, 1)
    if options.accuracy:
        accuracy(*((150, 50) if options.quick else (1500, 500)))


if __name__ == "__main__":
    main()
