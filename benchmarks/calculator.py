"""Energies, forces and molecular dynamics of sheets by the bundled network through ASE.

    python benchmarks/calculator.py
    python benchmarks/calculator.py --steps 10000 --precision float64
    python benchmarks/calculator.py --supercells

Claims: the energy of 60 atoms takes under 10 ms and of 1,500 under 100 ms on two cores (the paper's
network: 57 ms, 390 ms with the image). With ``--supercells``, energies of n by m cells in float64
are n m times that of one cell, to 1e-10 relative. ``--steps`` runs molecular dynamics at 1,000 K
without a thermostat, and prints the drift of the energy and the share of tiles unlike the training
data. Processor time is printed beside elapsed time, since it is more reliable on a busy machine.
"""

import warnings
from time import perf_counter, process_time

from _measure import THREADS, arguments, machine, table

import numpy as np
import torch
from ase import units
from ase.md.verlet import VelocityVerlet
from ase.optimize import BFGS

from sk_ednn.atoms import EDNNCalculator
from sk_ednn.datasets import load_sheets
from sk_ednn.exceptions import NoveltyWarning
from sk_ednn.pretrained import load_sheets_model
from sk_ednn.simulation import AtomUpdates


def least(function, repeat):
    """Return the least elapsed time and the least processor time of some calls, in ms."""
    function()
    elapsed, processor = [], []
    for _ in range(repeat):
        start = perf_counter(), process_time()
        function()
        elapsed.append(perf_counter() - start[0])
        processor.append(process_time() - start[1])
    return 1e3 * min(elapsed), 1e3 * float(np.median(elapsed)), 1e3 * min(processor)


def speed(model, sheet, quick):
    rng, rows = np.random.default_rng(0), []
    for repeat in (1, 2, 5):
        for precision in (None, "float64"):
            atoms = sheet.repeat((repeat, repeat, 1))
            atoms.calc = EDNNCalculator(model, precision=precision)

            def moved(ask, atoms=atoms):
                atoms.positions[:, :2] += 1e-3 * rng.normal(size=(len(atoms), 2))
                return ask()

            for what, ask in (
                ("energy", atoms.get_potential_energy), ("and forces", atoms.get_forces)
            ):  # fmt: skip
                found = least(lambda ask=ask: moved(ask), 3 if quick else 30 // repeat + 4)
                rows.append([len(atoms), precision or "float32", what, *found])
        local = AtomUpdates(model, sheet.repeat((repeat, repeat, 1)))

        def one_atom(local=local):
            atom = int(rng.integers(len(local.positions)))
            local.propose(atom, local.positions[atom] + 0.03 * rng.normal(size=2))
            local.accept()

        n_atoms = len(local.positions)
        rows.append([n_atoms, "float32", "one atom moved", *least(one_atom, 3 if quick else 20)])
    print(f"\nmilliseconds a calculation, {THREADS} thread(s)")
    table(["atoms", "precision", "what", "least", "median", "least processor"], rows)


def supercells(model, sheets, quick):
    """Return the relative difference of energies of n by m cells and n m times that of one."""
    rows = []
    for k in range(2 if quick else 10):
        sheet = sheets.structures[k]
        energies = {}
        for n, m in ((1, 1), (2, 1), (1, 2), (2, 2), (3, 2), (5, 5)):
            atoms = sheet.repeat((n, m, 1))
            atoms.calc = EDNNCalculator(model, precision="float64")
            energies[n, m] = atoms.get_potential_energy()
        one = energies.pop((1, 1))
        rows.append([k, one, *(e / (n * m * one) - 1 for (n, m), e in energies.items())])
    print("\nenergy of n by m cells over n m times that of one, less 1; float64")
    table(["sheet", "energy, eV", *(f"{n} x {m}" for n, m in energies)], rows)
    largest = max(abs(off) for row in rows for off in row[2:])
    print(f"largest: {largest:.1e}")
    assert largest < 1e-10, largest


def drift(model, sheet, sheets, options):
    """Relax, heat to 1,000 K, and record the energy without a thermostat."""
    atoms = sheet.copy()
    train = np.random.default_rng(0).permutation(len(sheets.energies))[480:]
    atoms.calc = EDNNCalculator(
        model, precision=options.precision or None, check_every=max(1, options.steps // 100),
        training=[sheets.structures[k] for k in train[: 40 if options.quick else 400]],
    )  # fmt: skip
    with BFGS(atoms, logfile=None) as relax:
        relax.run(fmax=0.05, steps=100)
    rng = np.random.default_rng(options.seed)
    # Half of it becomes potential energy.
    width = np.sqrt(atoms.get_masses() * units.kB * 2 * options.temperature)
    momenta = rng.normal(size=(len(atoms), 3)) * width[:, None] * [1, 1, 0]
    atoms.set_momenta(momenta - momenta.mean(axis=0))
    energies, kinetic, shares = [], [], []

    def record():
        energies.append(atoms.get_total_energy())
        kinetic.append(atoms.get_kinetic_energy())
        if "novel" in atoms.calc.results:
            shares.append(atoms.calc.results["novel"])

    dyn = VelocityVerlet(atoms, timestep=options.fs * units.fs)
    dyn.attach(record)
    start = perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NoveltyWarning)
        dyn.run(options.steps)
    energies = 1e3 * (np.array(energies) - energies[0]) / len(atoms)
    time = options.fs * np.arange(len(energies))
    slope = np.polyfit(time, energies, 1)[0]
    # In two dimensions an atom has kT of kinetic energy.
    temperature = np.mean(kinetic[len(kinetic) // 5 :]) / len(atoms) / units.kB
    print(
        f"\n{options.steps:,} steps of {options.fs} fs, {len(atoms)} atoms, "
        f"{options.precision or 'float32'}, {temperature:.0f} K on average: energy at the end "
        f"{energies[-1]:+.3f} meV/atom, trend {slope * time[-1]:+.3f}, about it "
        f"{np.std(energies - np.polyval(np.polyfit(time, energies, 1), time)):.3f}, largest "
        f"{np.abs(energies).max():.3f} meV/atom; {perf_counter() - start:.0f} s"
    )
    tenths = np.array_split(energies, 10)
    print("mean of each tenth:", " ".join(f"{part.mean():+.3f}" for part in tenths), "meV/atom")
    print(
        f"novel tiles: {100 * np.mean(shares):.1f} % on average, at first "
        f"{100 * shares[0]:.1f} %, at most {100 * np.max(shares):.1f} %"
    )


def main():
    options = arguments(
        __doc__, steps=0, fs=1.0, temperature=1000.0, precision="", seed=0, sheet=0,
        supercells=False,
    )  # fmt: skip
    machine()
    torch.set_num_threads(int(THREADS))
    model, sheets = load_sheets_model("image"), load_sheets(as_ase=True)
    sheet = sheets.structures[options.sheet]
    if options.supercells:
        supercells(model, sheets, options.quick)
    elif options.steps:
        drift(model, sheet, sheets, options)
    else:
        speed(model, sheet, options.quick)


if __name__ == "__main__":
    main()
