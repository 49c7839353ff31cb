"""The commands ``relax`` and ``md``: simulations of ASE with a fitted model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from ._files import check_readable
from ._inputs import load_model
from ._paths import check_paths, may_replace
from ._structure_names import are_structures

_COLUMNS = {
    "step": "step", "time": "time (ps)", "energy": "energy (eV)", "total": "total (eV)",
    "temperature": "T (K)", "pressure": "p (GPa)",
}  # fmt: skip


def relax(asked) -> dict[str, Any]:
    """Relax a structure, and write it.

    Parameters
    ----------
    asked : namespace
        The parameters of the command, by name.
    """
    structure, calculator = _begin(asked)
    from ..atoms import _dynamics

    done = _dynamics.relax(
        structure, calculator, fmax=asked.fmax, steps=asked.steps, cell=asked.cell
    )
    _write(structure, asked.output)
    return {**done._asdict(), "output": str(asked.output)}


def dynamics(asked) -> dict[str, Any]:
    """Run molecular dynamics of a structure, and write frames.

    Parameters
    ----------
    asked : namespace
        The parameters of the command, by name.
    """
    from ..atoms import _dynamics

    if asked.ensemble not in _dynamics.ENSEMBLES:
        raise ValueError(
            f"--ensemble must be one of {', '.join(_dynamics.ENSEMBLES)}; got {asked.ensemble!r}."
        )
    structure, calculator = _begin(asked)
    frames, records = [], []
    shown = not (asked.quiet or asked.as_json)
    if shown:
        typer.echo("  ".join(f"{title:>12}" for title in _COLUMNS.values()), err=True)

    def record(now):
        records.append(now)
        frames.append(structure.copy())
        frames[-1].calc = _frozen(structure)
        if shown:
            values = [now.get(name) for name in _COLUMNS]
            typer.echo(
                "  ".join(f"{'' if v is None else format(v, '.6g'):>12}" for v in values), err=True
            )

    _dynamics.molecular_dynamics(
        structure, calculator, ensemble=asked.ensemble, temperature=asked.temperature,
        pressure=asked.pressure, timestep=asked.timestep, steps=asked.steps,
        interval=asked.interval, seed=asked.seed, record=record,
    )  # fmt: skip
    _write(frames, asked.output)
    return {"frames": len(frames), "last": records[-1], "output": str(asked.output)}


# --- steps ------------------------------------------------------------------------------------


def _begin(asked):
    check_readable(asked.model)
    if not are_structures(asked.fields):
        raise ValueError(
            f"{asked.fields} is not a file of structures that ASE reads, such as .extxyz or POSCAR."
        )
    check_paths(asked)
    may_replace("--output", asked.output, asked.force)
    model = load_model(asked.model, None)
    from ..atoms._dynamics import calculator_of
    from ._structures import read_for

    read = read_for(model, asked.fields)
    if len(read.structures) > 1:
        raise ValueError(
            f"Expected one structure, but {asked.fields} contains {len(read.structures)}. Select "
            f"one, such as {asked.fields}@0."
        )
    structure = read.structures[0]
    if asked.repeat is not None:
        structure = structure.repeat(_repeats(asked.repeat))
    return structure, calculator_of(model)


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


def _write(structures, path: Path) -> None:
    from ..atoms._dynamics import write_structures

    write_structures(path, structures)
