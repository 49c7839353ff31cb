"""Relaxation and molecular dynamics with ASE, for the command line."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from ase import units
from ase.calculators.singlepoint import SinglePointCalculator
from ase.md.langevin import Langevin
from ase.md.verlet import VelocityVerlet
from ase.optimize import BFGS, LBFGS

from ..structures._write import write_structures

ENSEMBLES = ("nve", "nvt", "npt")
# Stress that remains in a relaxed cell, at most, in GPa: lengths of a metal then change by 1e-4.
STRESS = 0.02
# Time constants of the thermostat and the barostat, in fs.
_THERMOSTAT, _BAROSTAT = 100.0, 1000.0
# Atoms up to which relaxations keep the whole Hessian.
_LARGEST_HESSIAN = 100
_ROUND_OFF_OF_LOGM = r"logm result may be inaccurate, approximate err = \S+e-(09|[1-9]\d)"


class Relaxed(NamedTuple):
    """Result of a relaxation.

    Attributes
    ----------
    initial_energy, energy : float, in eV
        Before and after.
    largest_force : float, in eV/Å
    steps : int
    converged : bool
    cell : list of float or None
        Three lengths in Å and three angles in degrees; None without three lattice vectors.
    stress : list of float or None, in GPa
        What remains: xx, yy, zz, yz, xz, xy, positive under tension; None if it is not predicted.
    """

    initial_energy: float
    energy: float
    largest_force: float
    steps: int
    converged: bool
    cell: list[float] | None
    stress: list[float] | None


def calculator_of(model):
    """Return a calculator of a fitted potential, or of a Pipeline with a rasteriser.

    Parameters
    ----------
    model : EDNNPotential or Pipeline

    Raises
    ------
    TypeError
        If the model is not one of structures.
    """
    if hasattr(model, "calculator"):
        return model.calculator()
    from ._calculator import EDNNCalculator

    return EDNNCalculator(model)


def relax(
    structure,
    calculator,
    *,
    fmax=0.05,
    smax=STRESS,
    steps=500,
    cell=False,
    trajectory=None,
    record: Callable[[dict], None] = lambda record: None,
) -> Relaxed:
    """Relax a structure in place with BFGS, or with limited memory if it is large.

    Parameters
    ----------
    structure : ase.Atoms
    calculator : Calculator
    fmax : float, default=0.05, in eV/Å
        Stop when no force is larger.
    smax : float, default=0.02, in GPa
        If the cell is relaxed: stop when no component of the stress is larger, either.
    steps : int, default=500
        Maximum number of steps.
    cell : bool, default=False
        Also relax the cell, along periodic directions.
    trajectory : str, default=None
        File for the steps, with the extension .traj.
    record : callable
        Called before the first step and after each with a dict of ``step``, ``energy`` (eV),
        ``fmax`` and, if the cell is relaxed, ``smax``, the largest of what has to become as small
        as the parameters of these names.
    """
    structure.calc = calculator
    initial = structure.get_potential_energy()
    moved: Any = structure
    strains = periodic_strains(structure) if cell else None
    if cell:
        from ase.filters import FrechetCellFilter

        moved = FrechetCellFilter(structure, mask=strains)
    # The full Hessian, diagonalised in each step, soon costs more than forces.
    method = BFGS if len(structure) <= _LARGEST_HESSIAN else LBFGS
    optimizer = method(moved, logfile=None, trajectory=trajectory)

    def remaining():
        found = {"fmax": float(np.linalg.norm(structure.get_forces(), axis=1).max())}
        if strains is not None:
            stress = structure.get_stress()[np.array(strains, dtype=bool)] / units.GPa
            found["smax"] = float(np.abs(stress).max())
        return found

    def note():
        energy = structure.get_potential_energy()
        record({"step": optimizer.nsteps, "energy": energy, **remaining()})

    optimizer.attach(note)
    limits = {"fmax": fmax, "smax": smax}
    converged = False
    with warnings.catch_warnings():
        # The logarithm of the strain, whose errors of round-off say nothing.
        warnings.filterwarnings("ignore", _ROUND_OFF_OF_LOGM, RuntimeWarning)
        # The optimizer has one limit for forces and for volume times stress per atom, in eV: 0.05
        # of these are 0.7 GPa in a metal.
        for _ in optimizer.irun(fmax=0.0, steps=steps):
            converged = all(value <= limits[name] for name, value in remaining().items())
            if converged:
                break
    return Relaxed(
        initial, structure.get_potential_energy(), remaining()["fmax"], optimizer.nsteps, converged,
        structure.cell.cellpar().tolist() if structure.cell.rank == 3 else None,
        _stress_of(structure),
    )  # fmt: skip


def _stress_of(structure) -> list[float] | None:
    if "stress" not in structure.calc.implemented_properties:
        return None
    if structure.cell.rank < 3 or not structure.pbc.any():
        return None
    return (structure.get_stress() / units.GPa).tolist()


def periodic_strains(structure) -> list[int]:
    """Return which strains, in the order of Voigt, leave the vacuum around a structure as it is.

    Parameters
    ----------
    structure : ase.Atoms

    Raises
    ------
    ValueError
        If it has no cell, or repeats along directions that are oblique to the axes.
    """
    pbc, cell = structure.pbc, structure.cell.array
    if not pbc.any() or structure.cell.rank < 3:
        raise ValueError(
            f"The cell cannot be relaxed: the structure has {structure.cell.rank} lattice "
            f"vector(s) and pbc {pbc.tolist()}. It needs three, such as those of "
            "ase.Atoms.center(vacuum=...), and pbc along one at least."
        )
    vectors = np.linalg.qr(cell[pbc].T)[0]
    along = vectors @ vectors.T  # the projection on periodic directions
    kept = np.round(np.diag(along)).astype(int)
    if np.abs(along - np.diag(kept)).max() > 1e-6:
        raise ValueError(
            "The cell cannot be relaxed: the lattice vectors along which the structure repeats are "
            "oblique to x, y and z. Rotate it, so that those of a slab are in the plane xy, say."
        )
    x, y, z = kept.tolist()
    return [x, y, z, y * z, x * z, x * y]


def molecular_dynamics(
    structure,
    calculator,
    *,
    ensemble="nvt",
    temperature=300.0,
    pressure=0.0,
    timestep=1.0,
    steps=1000,
    interval=10,
    seed=0,
    record: Callable[[dict], None] = lambda record: None,
) -> None:
    """Run molecular dynamics of a structure, in place.

    Parameters
    ----------
    structure : ase.Atoms
        If it has no velocities, they are drawn for the temperature.
    calculator : Calculator
    ensemble : {"nvt", "nve", "npt"}, default="nvt"
        "nvt": a Langevin thermostat. "nve": velocity Verlet. "npt": the barostat of Martyna,
        Tobias and Klein.
    temperature : float, default=300.0, in K
    pressure : float, default=0.0, in GPa
    timestep : float, default=1.0, in fs
    steps : int, default=1000
    interval : int, default=10
        Steps between two records.
    seed : int, default=0
        Seed of the velocities and the thermostat.
    record : callable
        Called with a dict of ``step``, ``time`` (ps), ``energy``, ``total`` (eV),
        ``temperature`` (K) and, if the model predicts stresses, ``pressure`` (GPa), which is that
        of the forces plus the kinetic part, as a barostat controls it.
    """
    structure.calc = calculator
    rng = np.random.default_rng(seed)
    if not structure.get_velocities().any():
        normal = rng.normal(size=(len(structure), 3))
        masses = structure.get_masses()[:, None]
        momenta = normal * np.sqrt(masses * units.kB * temperature)
        structure.set_momenta(momenta - masses * momenta.sum(axis=0) / masses.sum())
    dynamics = _integrator(structure, ensemble, temperature, pressure, timestep, rng)

    def note():
        now = {
            "step": dynamics.nsteps, "time": dynamics.nsteps * timestep * 1e-3,
            "energy": structure.get_potential_energy(), "total": structure.get_total_energy(),
            "temperature": structure.get_temperature(),
        }  # fmt: skip
        if "stress" in calculator.implemented_properties and structure.pbc.all():
            stress = structure.get_stress(include_ideal_gas=True)
            now["pressure"] = -float(stress[:3].mean()) / units.GPa
        record(now)

    dynamics.attach(note, interval=interval)
    dynamics.run(steps)


def _integrator(structure, ensemble, temperature, pressure, timestep, rng):
    step = timestep * units.fs
    if ensemble == "nve":
        return VelocityVerlet(structure, step)
    if ensemble == "nvt":
        return Langevin(
            structure, step, temperature_K=temperature, friction=1 / (_THERMOSTAT * units.fs),
            rng=_Normal(rng), fixcm=False,  # True distorts the ensemble
        )  # fmt: skip
    if ensemble != "npt":
        raise ValueError(f"ensemble must be one of {', '.join(ENSEMBLES)}; got {ensemble!r}.")
    if not structure.pbc.all():
        raise ValueError(
            f"npt needs a structure that repeats along all lattice vectors; its pbc is "
            f"{structure.pbc.tolist()}. Use nvt."
        )
    from ase.md.nose_hoover_chain import IsotropicMTKNPT

    return IsotropicMTKNPT(
        structure, step, temperature_K=temperature, pressure_au=pressure * units.GPa,
        tdamp=_THERMOSTAT * units.fs, pdamp=_BAROSTAT * units.fs,
    )  # fmt: skip


class _Normal:
    """The interface of a random number generator that `Langevin` uses."""

    def __init__(self, rng):
        self._rng = rng

    def standard_normal(self, size=None):
        return self._rng.standard_normal(size)


def write_predicted(
    path, structures, predicted, *, std=None, novelty=None, half_width=None
) -> None:
    """Write structures with predicted energies, forces and stresses.

    Parameters
    ----------
    path : str or Path
        A format that ASE writes, for example .extxyz, .xyz or .traj.
    structures : sequence of ase.Atoms
    predicted : named tuple
        ``energies``, ``forces`` or None, and ``stress`` or None, of all structures.
    std : the same, default=None
        Standard deviations, written as ``energy_std`` and ``forces_std``.
    novelty : sequence of ndarray of shape (n_atoms,), default=None
        Written as ``novelty``.
    half_width : ndarray of shape (n_structures,), default=None
        Of intervals of the energies, written as ``energy_half_width``.
    """
    out = []
    offsets = np.cumsum([0, *map(len, structures)])
    for k, structure in enumerate(structures):
        copy = structure.copy()
        # Without the labels that were read, which would be next to the predicted ones.
        copy.info = {}
        copy.arrays = {n: a for n, a in copy.arrays.items() if n in ("numbers", "positions")}
        of_structure = slice(offsets[k], offsets[k + 1])
        results = {"energy": float(predicted.energies[k])}
        if predicted.forces is not None:
            results["forces"] = predicted.forces[of_structure]
        if predicted.stress is not None and not np.isnan(predicted.stress[k]).any():
            results["stress"] = predicted.stress[k]
        if std is not None:
            copy.info["energy_std"] = float(std.energies[k])
        if half_width is not None:
            copy.info["energy_half_width"] = float(half_width[k])
        if std is not None and std.forces is not None:
            copy.arrays["forces_std"] = std.forces[of_structure]
        if novelty is not None:
            copy.arrays["novelty"] = novelty[k]
        copy.calc = SinglePointCalculator(copy, **results)
        out.append(copy)
    write_structures(path, out)


def frozen(structure) -> SinglePointCalculator:
    """Return a calculator with the present results of the calculator of a structure."""
    kept = ("energy", "free_energy", "forces", "stress")
    results = {name: value for name, value in structure.calc.results.items() if name in kept}
    return SinglePointCalculator(structure.copy(), **results)
