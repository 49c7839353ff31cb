"""The commands ``relax`` and ``md``: simulations of ASE with a fitted model."""

from __future__ import annotations

import math
from typing import Any

import typer

from ..structures._write import require_format, write_structures
from ._errors import Interrupts
from ._files import check_readable
from ._inputs import load_model
from ._paths import check_paths, may_replace
from ._structure_names import are_structures

_COLUMNS = {
    "step": "step", "time": "time (ps)", "energy": "energy (eV)", "total": "total (eV)",
    "temperature": "T (K)", "pressure": "p (GPa)",
}  # fmt: skip


def relax(options) -> dict[str, Any]:
    """Relax a structure, and write it.

    Parameters
    ----------
    options : namespace
        The parameters of the command, by name.
    """
    _require_positive("--fmax", options.fmax)
    structure, calculator = _begin(options)
    from ..atoms import _dynamics

    done = _dynamics.relax(
        structure, calculator, fmax=options.fmax, steps=options.steps, cell=options.cell
    )
    write_structures(options.output, structure)
    return {**done._asdict(), "output": str(options.output)}


def show_relaxed(result, *, cell) -> None:
    """Print the result of `relax`.

    Parameters
    ----------
    result : dict
    cell : bool
        Whether the cell was relaxed.
    """
    end = "relaxed" if result["converged"] else "not relaxed yet"
    typer.echo(
        f"{end} after {result['steps']} steps: {result['energy']:.6g} eV, largest force "
        f"{result['largest_force']:.3g} eV/Å; written to {result['output']}"
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
    structure, calculator = _begin(options, several=True)
    frames, records = [], []
    shown = not (options.quiet or options.as_json)
    if shown:
        typer.echo("  ".join(f"{title:>12}" for title in _COLUMNS.values()), err=True)

    def record(now):
        frame = structure.copy()
        frame.calc = _frozen(structure)
        frames.append(frame)
        records.append(now)
        if shown:
            values = [now.get(name) for name in _COLUMNS]
            typer.echo(
                "  ".join(f"{'' if v is None else format(v, '.6g'):>12}" for v in values), err=True
            )

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
    return {"frames": len(frames), "last": records[-1], "output": str(options.output)}


# --- steps ------------------------------------------------------------------------------------


def _require_positive(option, value):
    if not 0 < value < math.inf:
        raise ValueError(f"{option} must be a positive number; got {value}.")


def _require_finite(option, value):
    if not math.isfinite(value):
        raise ValueError(f"{option} must be a finite number; got {value}.")


def _begin(options, several=False):
    check_readable(options.model)
    if not are_structures(options.fields):
        raise ValueError(
            f"{options.fields} is not a file of structures that ASE reads, such as .extxyz or "
            "POSCAR."
        )
    check_paths(options)
    require_format(options.output, several=several)
    may_replace("--output", options.output, options.force)
    model = load_model(options.model, None)
    from ..atoms._dynamics import calculator_of
    from ._structures import read_for

    read = read_for(model, options.fields)
    if len(read.structures) > 1:
        raise ValueError(
            f"Expected one structure, but {options.fields} contains {len(read.structures)}. Select "
            f"one, such as {options.fields}@0."
        )
    structure = read.structures[0]
    if options.repeat is not None:
        structure = _repeated(structure, _repeats(options.repeat))
    return structure, calculator_of(model)


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


def _frozen(structure):
    from ..atoms._dynamics import frozen

    return frozen(structure)
