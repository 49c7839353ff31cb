"""Intervals of larger cells, from potentials of cells thinner than their cutoff; EMT of ASE."""

from _measure import arguments, machine, table

import numpy as np
from ase.build import bulk, fcc111
from ase.calculators.emt import EMT

from sk_ednn.atoms import EDNNPotential

_NEW = 24


def _alloyed(atoms, element, share, rattle, rng):
    numbers = atoms.numbers.copy()
    numbers[rng.permutation(len(atoms))[: round(share * len(atoms))]] = element
    atoms.numbers = numbers
    atoms.rattle(rattle, seed=int(rng.integers(1e9)))
    return atoms


def _platinum_nickel(k, wide, rng):
    """Return bulk, a slab or a strained cell of Pt and Ni."""
    share = rng.random()
    edge = 3.92 * (1 - share) + 3.52 * share
    if k % 3 == 1:
        size = (4, 4, 5) if wide else (2, 2, 4)
        atoms = fcc111("Pt", size, a=edge, vacuum=6.0, periodic=True)
    else:
        size = [((2, 2, 1), (3, 3, 3)), None, ((2, 1, 1), (4, 2, 2))][k % 3][wide]
        atoms = bulk("Pt", "fcc", a=edge, cubic=True).repeat(size)
        strain = rng.uniform(-0.04, 0.04) if k % 3 == 0 else rng.uniform(-0.05, 0.05, 3)
        atoms.set_cell(atoms.cell.array @ np.diag(1 + strain * np.ones(3)), scale_atoms=True)
    return _alloyed(atoms, 28, share, rng.uniform(0.02, 0.15), rng)


def _with_wide_ones(k, wide, rng):
    return _platinum_nickel(k, wide or k % 10 == 9, rng)


def _aluminium_copper(k, wide, rng):
    share = rng.choice([0, 0.25, 0.5, 0.75, 1]) if rng.random() < 0.4 else rng.random()
    size = ((3, 3, 3) if k % 3 else (4, 4, 3)) if wide else [(1, 1, 1), (2, 1, 1), (2, 2, 1)][k % 3]
    edge = (3.95 - 0.25 * share) * (1 + rng.uniform(-0.04, 0.04))
    atoms = bulk("Al", "fcc", a=edge, cubic=True).repeat(size)
    return _alloyed(atoms, 29, share, rng.uniform(0.02, 0.18), rng)


def _wide_bulk(k, wide, rng):
    share = rng.random()
    size = ((4, 4, 4) if k % 2 else (3, 3, 3)) if wide else ((2, 2, 2) if k % 2 else (3, 2, 2))
    edge = 1.02 * (3.92 * (1 - share) + 3.52 * share) * (1 + rng.uniform(-0.02, 0.04))
    atoms = bulk("Pt", "fcc", a=edge, cubic=True).repeat(size)
    return _alloyed(atoms, 28, share, rng.uniform(0.02, 0.15), rng)


# Function of number, whether the cell is one of the larger ones, and random numbers; cells.
_SETS = {
    "Pt-Ni, thin": (_platinum_nickel, 240),
    "Al-Cu, thin": (_aluminium_copper, 260),
    "Pt-Ni, a tenth wide": (_with_wide_ones, 240),
    "Pt-Ni, all wide": (_wide_bulk, 150),
}


def main():
    options = arguments(__doc__, seeds=5)
    machine()
    rows = []
    for name, (make, n) in _SETS.items():
        n = 60 if options.quick else n
        for n_members in (1, 4):
            inside, widths = [], []
            for seed in range(1 if options.quick else options.seeds):
                rng = np.random.default_rng([seed, n])
                cells = [make(k, False, rng) for k in range(n)]
                cells += [make(k, True, rng) for k in range(_NEW)]
                energies = np.array([EMT().get_potential_energy(atoms) for atoms in cells])
                held, learned = np.split(rng.permutation(n), [n // 5])
                seconds = 1 if options.quick else 15 * n_members
                model = EDNNPotential(n_members=n_members, max_seconds=seconds, random_state=seed)
                model.fit([cells[k] for k in learned], energies[learned])
                model.calibrate([cells[k] for k in held], energies[held])
                predicted, half = model.predict_interval(cells[n:])
                inside.append(100 * np.mean(np.abs(predicted - energies[n:]) <= half))
                widths.append(1e3 * np.median(half / [len(atoms) for atoms in cells[n:]]))
            rows.append([name, n_members, np.mean(inside), min(inside), np.median(widths)])
    table(["cells", "networks", "inside %", "least", "half width (meV/atom)"], rows)


if __name__ == "__main__":
    main()
