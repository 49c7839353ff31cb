"""Code that all scripts of the comparison share; it runs in the environment of each."""

import json
import resource
import time
from pathlib import Path

import numpy as np
from ase.io import read


def processor_seconds():
    """Return the processor time of this process and of those that it has waited for."""
    kinds = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN
    return sum(sum(resource.getrusage(kind)[:2]) for kind in kinds)


def arguments(work):
    """Return the parameters of the run."""
    return json.loads((Path(work) / "args.json").read_text(encoding="utf-8"))


def measure(calculator, folder, work, train_seconds, **more):
    """Write errors on the structures held out, and times of energies and forces."""
    folder, energies, forces = Path(folder), [], []
    for atoms in read(folder / "test.extxyz", ":"):
        true = atoms.get_potential_energy(), atoms.get_forces()
        atoms.calc = calculator
        energies.append((atoms.get_potential_energy() - true[0]) / len(atoms))
        forces.append((atoms.get_forces() - true[1])[:, atoms.pbc])
    out = {
        "train_s": round(train_seconds), **more,
        "meV/atom": round(1e3 * float(np.abs(energies).mean()), 2),
        "median": round(1e3 * float(np.median(np.abs(energies))), 2),
        "meV/A": round(1e3 * float(np.abs(np.concatenate(forces)).mean()), 1),
    }  # fmt: skip
    rng = np.random.default_rng(0)
    for name, repeat in (("small", 10), ("large", 3)):
        atoms, times = read(folder / f"{name}.extxyz"), []
        atoms.calc = calculator
        for _ in range(repeat + 1):
            atoms.positions += rng.normal(scale=1e-3, size=atoms.positions.shape)
            start = time.process_time()
            atoms.get_forces()
            times.append(time.process_time() - start)
        out[f"{len(atoms)} atoms, ms"] = round(1e3 * min(times[1:]), 1)
    (Path(work) / "result.json").write_text(json.dumps(out), encoding="utf-8")
