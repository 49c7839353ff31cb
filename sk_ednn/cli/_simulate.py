"""The commands ``relax`` and ``md``: simulations of ASE with a fitted model."""

from __future__ import annotations

import math
from statistics import fmean
from typing import Any

import numpy as np
import typer

from .._utils.blocks import error_of_mean
from ..structures._write import require_format, write_structures
from ._confidence import LEVEL
from ._errors import Interrupts
from ._files import check_readable
from ._forces_doubt import doubt_of_forces
from ._inputs import load_model
from ._inspect import printable
from ._paths import check_paths, may_replace
from ._potential_data import placed_warnings
from ._structure_names import are_structures
from ._trust import Trust, on_what, trust_for
from ._wanted import note

# Titles of columns, by the names of what is recorded.
_OF_DYNAMICS = {
    "step": "step", "time": "time (ps)", "energy": "energy (eV)", "total": "total (eV)",
    "temperature": "T (K)", "pressure": "p (GPa)",
}  # fmt: skip
_OF_RELAXATION = {"step": "step", "energy": "energy (eV)", "fmax": "fmax (eV/Å)"}
_OF_CELLS = {**_OF_RELAXATION, "smax": "smax (GPa)"}
# Mean pressures of this size, in GPa, are those of a cell that would change by a per mille.
_NOTABLE_PRESSURE = 0.1
# Shown with fixed decimals: what counts is the change of a total, which may be large.
_ENERGIES = ("energy", "total")


def relax(options) -> dict[str, Any]:
    """Relax structures one after the other, print each result unless it is JSON, and write them.

    Parameters
    ----------
    options : namespace
        The parameters of the command, by name.
    """
    _require_positive("--fmax", options.fmax)
    if options.smax is not None:
        _require_positive("--smax", options.smax)
        if not options.cell:
            raise ValueError("--smax is a limit for relaxed cells: add --cell, or leave it out.")
    read, model, calculator, doubt = _begin(options)
    structures, places = read.structures, read.places
    several = len(structures) > 1
    require_format(options.output, several=several)
    from ..atoms import _dynamics
    from ..atoms._dynamics import STRESS

    if several:  # an error in the last one would cost the work on the others
        for structure, place in zip(structures, places, strict=True):
            _require_relaxable(structure, place, calculator, options)
    # Between the steps of many structures their results would be lost.
    show = None if several else _lines(options, _OF_CELLS if options.cell else _OF_RELAXATION)
    frames: list = []
    results: list[dict] = []
    trusts: list[Trust] = []
    moving = None

    with Interrupts().watched() as interrupts:
        try:
            for structure, place in zip(structures, places, strict=True):

                def record(row, structure=structure):
                    nonlocal moving
                    moving = _frame_of(structure)
                    if show is not None:
                        show(row)

                done = _dynamics.relax(
                    structure, calculator, fmax=options.fmax, smax=options.smax or STRESS,
                    steps=options.steps, cell=options.cell, record=record,
                )  # fmt: skip
                moving = None
                frames.append(_frame_of(structure))
                with placed_warnings([place]):
                    trusts.append(trust_for(model, frames[-1]))
                results.append({
                    "structure": place, "atoms": len(structure), **done._asdict(),
                    **trusts[-1].as_dict(),
                })  # fmt: skip
                if not options.as_json:
                    _show_relaxed(results[-1], cell=options.cell, named=several)
                    typer.echo(f"final structure: {trusts[-1].line()}")
        except KeyboardInterrupt:
            if not (interrupts.seen and (frames or moving)):
                raise
    if write_structures(options.output, frames if moving is None else [*frames, moving]):
        note(f"{options.output}: atoms are sorted by element, as VASP expects")
    if interrupts.seen:
        last = "" if moving is None else ", and the last step of the next,"
        interrupts.end(
            f"{len(frames)} of {len(structures)} structures{last} were written to {options.output}"
        )
    words = on_what(model, trusts)
    if not options.as_json:
        for line in words:
            typer.echo(line)
    return {
        "structures": results, "trust": words, "output": str(options.output),
        **({} if doubt is None else {"forces": doubt}),
    }  # fmt: skip


def dynamics(options) -> dict[str, Any]:
    """Run molecular dynamics of a structure, and write frames.

    Parameters
    ----------
    options : namespace
        The parameters of the command, by name.
    """
    from ..atoms import _dynamics

    if options.ensemble not in _dynamics.ENSEMBLES:
        raise ValueError(
            f"--ensemble must be one of {', '.join(_dynamics.ENSEMBLES)}; got {options.ensemble!r}."
        )
    _require_positive("--timestep", options.timestep)
    _require_finite("--temperature", options.temperature)
    _require_finite("--pressure", options.pressure)
    if options.temperature == 0 and options.ensemble == "npt":
        raise ValueError("--temperature must be positive for --ensemble npt; got 0.")
    if options.pressure != 0 and options.ensemble != "npt":
        raise ValueError(
            f"--pressure is for --ensemble npt; {options.ensemble} keeps the cell as it is."
        )
    read, model, calculator, doubt = _begin(options)
    if len(read.structures) > 1:
        raise ValueError(
            f"Expected one structure, but {options.fields} contains {len(read.structures)}. Select "
            f"one, such as {options.fields}@0."
        )
    (structure,) = read.structures
    frames: list = []
    records: list[dict] = []
    show = _lines(options, _OF_DYNAMICS)

    def record(now):
        frames.append(_frame_of(structure))
        records.append(now)
        show(now)

    with Interrupts().watched() as interrupts:
        try:
            _dynamics.molecular_dynamics(
                structure, calculator, ensemble=options.ensemble, temperature=options.temperature,
                pressure=options.pressure, timestep=options.timestep, steps=options.steps,
                interval=options.interval, seed=options.seed, record=record,
            )  # fmt: skip
        except KeyboardInterrupt:
            if not (interrupts.seen and frames):
                raise
    write_structures(options.output, frames)
    if interrupts.seen:
        interrupts.end(f"the {len(frames)} frames so far were written to {options.output}")
    with placed_warnings(read.places):
        trust = trust_for(model, frames[-1])
    return {
        "frames": len(frames),
        "first": records[0],
        "last": {**records[-1], **trust.as_dict()},
        "ensemble": options.ensemble,
        "atoms": len(structure),
        **means(records, len(structure)),
        "trust": [f"last frame: {trust.line()}", *on_what(model, [trust])],
        "output": str(options.output),
        **({} if doubt is None else {"forces": doubt}),
    }


def means(records, n_atoms) -> dict[str, Any]:
    """Return means over the second half of the frames, since the first may equilibrate.

    Parameters
    ----------
    records : list of dict
        Of `sk_ednn.atoms._dynamics.molecular_dynamics`.
    n_atoms : int

    Returns
    -------
    dict
        ``means_from_step``, ``mean_temperature`` in K and, if it is known, ``mean_pressure`` in
        GPa; ``mean_energy``, the potential energy in eV/atom, its standard deviation
        ``energy_deviation`` over the frames, and ``mean_energy_error``, the standard error of the
        mean, None if frames are too few.
    """
    half = records[len(records) // 2 :]
    found: dict[str, Any] = {"means_from_step": half[0]["step"]}
    for name in ("temperature", "pressure"):
        if name in half[0]:
            found[f"mean_{name}"] = fmean(row[name] for row in half)
    energies = np.array([row["energy"] for row in half]) / n_atoms
    found["mean_energy"] = float(energies.mean())
    found["energy_deviation"] = float(energies.std())
    found["mean_energy_error"] = error_of_mean(energies)
    return found


def show_dynamics(result) -> None:
    """Print the result of `dynamics`.

    Parameters
    ----------
    result : dict
    """
    first, last = result["first"], result["last"]
    typer.echo(
        f"{last['time']:.6g} ps: potential energy {first['energy']:.4f} to {last['energy']:.4f} "
        f"eV, total energy {first['total']:.4f} to {last['total']:.4f} eV"
    )
    mean = f"mean temperature {result['mean_temperature']:.4g} K"
    if "mean_pressure" in result:
        mean += f", mean pressure {result['mean_pressure']:.4g} GPa with the kinetic part"
    typer.echo(f"over the second half, from step {result['means_from_step']:,} on: {mean}")
    typer.echo(_energy_line(result))
    if abs(result.get("mean_pressure", 0.0)) >= _NOTABLE_PRESSURE and result["ensemble"] != "npt":
        typer.echo(
            "the cell is fixed, so this is the pressure at its volume and temperature; --ensemble "
            "npt lets the volume change until the mean is --pressure, 0 by default"
        )
    for line in result["trust"]:
        typer.echo(line)
    frames = "1 frame" if result["frames"] == 1 else f"{result['frames']} frames"
    typer.echo(f"{frames} written to {result['output']}")


def _energy_line(result) -> str:
    """Return the mean potential energy in words.

    Examples
    --------
    >>> from sk_ednn.cli._simulate import _energy_line
    >>> result = {"mean_energy": -3.61234, "energy_deviation": 0.0041, "mean_energy_error": 0.0003}
    >>> print(_energy_line({**result, "atoms": 108, "last": {"half_width": 0.216}}))
    mean potential energy there -3.6123 eV/atom, standard error 0.0003 from blocks of frames, whose
    standard deviation is 0.0041; the model: 90 % within ± 0.002 eV/atom for the last frame
    """
    text = f"mean potential energy there {result['mean_energy']:.4f} eV/atom, "
    error, deviation = result["mean_energy_error"], f"{result['energy_deviation']:.2g}"
    if error is None:
        text += f"standard deviation over the frames {deviation}; they are too few for an error"
    else:
        text += (
            f"standard error {error:.2g} from blocks of frames, whose standard deviation is "
            f"{deviation}"
        )
    last = result["last"]
    if "half_width" in last:
        text += (
            f"; the model: {100 * LEVEL:.0f} % within ± {last['half_width'] / result['atoms']:.2g} "
            "eV/atom for the last frame"
        )
    return text


# --- steps ------------------------------------------------------------------------------------


def _require_positive(option, value):
    if not 0 < value < math.inf:
        raise ValueError(f"{option} must be a positive number; got {value}.")


def _require_finite(option, value):
    if not math.isfinite(value):
        raise ValueError(f"{option} must be a finite number; got {value}.")


def _lines(options, columns):
    """Return a function that prints recorded numbers in columns, after a line of their titles."""
    if options.quiet or options.as_json:
        return lambda row: None
    typer.echo("  ".join(f"{title:>12}" for title in columns.values()), err=True)

    def show(row):
        cells = (
            ""
            if row.get(name) is None
            else format(row[name], ".4f" if name in _ENERGIES else ".6g")
            for name in columns
        )
        typer.echo("  ".join(f"{cell:>12}" for cell in cells), err=True)

    return show


def _show_relaxed(result, *, cell, named):
    end = "relaxed" if result["converged"] else "not relaxed yet"
    steps = "1 step" if result["steps"] == 1 else f"{result['steps']} steps"
    before, after = result["initial_energy"], result["energy"]
    typer.echo(
        f"{result['structure'] + ': ' if named else ''}{end} after {steps}: {before:.4f} to "
        f"{after:.4f} eV, a change of {after - before:.4g} eV or "
        f"{1e3 * (after - before) / result['atoms']:.4g} meV/atom; largest force "
        f"{result['largest_force']:.3g} eV/Å"
    )
    if not cell:
        return
    lengths, angles = result["cell"][:3], result["cell"][3:]
    text = f"cell: {_listed(lengths, 6)} Å; {_listed(angles, 5)} degrees"
    if result["stress"] is not None:
        text += f"; remaining stress (xx, yy, zz, yz, xz, xy): {_listed(result['stress'], 3)} GPa"
    typer.echo(text)


def _listed(numbers, digits) -> str:
    return ", ".join(f"{number:.{digits}g}" for number in numbers)


def _require_relaxable(structure, place, calculator, options):
    from ..atoms._dynamics import periodic_strains

    try:
        calculator.get_potential_energy(structure)
        if options.cell:
            periodic_strains(structure)
    except ValueError as error:
        raise type(error)(f"{place}: {error}") from error


def _frame_of(structure):
    from ..atoms._dynamics import frozen

    frame = structure.copy()
    frame.calc = frozen(structure)
    return frame


def _begin(options):
    """Return structures, repeated, and their places; model, calculator, and a doubt of forces."""
    check_readable(options.model)
    if not are_structures(options.fields):
        raise ValueError(
            f"{options.fields} is not a file of structures that ASE reads, such as .extxyz or "
            "POSCAR."
        )
    check_paths(options)
    require_format(options.output, several=hasattr(options, "ensemble"))
    may_replace("--output", options.output, options.force)
    model = load_model(options.model, None)
    _require_ev(options.model)
    doubt = _doubt(model, options.model)
    if doubt is not None:  # before the atoms move
        note(doubt)
    from ..atoms._dynamics import calculator_of
    from ._structures import read_for

    read = read_for(model, options.fields)
    if options.repeat is not None:
        repeats = _repeats(options.repeat)
        read = read._replace(structures=[_repeated(each, repeats) for each in read.structures])
    return read, model, calculator_of(model), doubt


def _require_ev(path) -> None:
    """Raise if a model file states another unit than eV, in which ASE moves atoms."""
    from .. import files as model_files

    unit = model_files.describe(path)["units"]
    if unit not in (None, "", "eV"):
        raise ValueError(
            f"{path} predicts energies in {printable(str(unit))}, but forces have to be in eV/Å. "
            "Fit a model to energies in eV."
        )


def _doubt(model, path) -> str | None:
    """Return a doubt of the forces of a model, or None."""
    from .. import files as model_files

    return doubt_of_forces(model, model_files.describe(path)["about"], path)


def _repeated(structure, repeats):
    for k, (n, vector) in enumerate(zip(repeats, structure.cell.array, strict=True)):
        if n > 1 and not vector.any():
            raise ValueError(
                f"--repeat {n} along lattice vector {'abc'[k]}, which is zero. Take 1 there."
            )
    return structure.repeat(repeats)


def _repeats(text) -> tuple[int, ...]:
    try:
        values = tuple(int(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) not in (1, 3) or min(values, default=0) < 1:
        raise ValueError(f"--repeat must be such as 2 or 2,2,1; got {text!r}.")
    return values * 3 if len(values) == 1 else values
