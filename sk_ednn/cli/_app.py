"""The commands of ``sk-ednn``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated

import typer

from . import _count_app, _runs_app, _search
from ._errors import one_line_errors
from ._option_groups import grouped
from ._options import (
    Atoms,
    Confidence,
    DensityUnit,
    Dynamics,
    ErrorsFile,
    Fields,
    FitOutput,
    Images,
    Jobs,
    Json,
    Measurement,
    ModelChoice,
    Potentials,
    Quiet,
    Recording,
    Systems,
    Tiles,
    Training,
    Values,
)  # fmt: skip
from ._runs import RunFolder, recorded

# No heavy imports here: each command imports its module when it runs.

app = typer.Typer(
    name="sk-ednn",
    help="Predict an extensive quantity of large systems, trained on small ones.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(_count_app.app)
app.add_typer(_search.app, name="search")
app.add_typer(_runs_app.app)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"sk-ednn {sys.modules['sk_ednn'].__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_print_version, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Predict an extensive quantity of large systems, trained on small ones."""


@app.command()
@grouped
def fit(
    ctx: typer.Context,
    systems: Systems,
    model: ModelChoice,
    tiles: Tiles,
    values: Values,
    measurement: Measurement,
    training: Training,
    atoms: Atoms,
    potentials: Potentials,
    images: Images,
    files: FitOutput,
    recording: Recording,
):
    """Fit a tile model to totals, and write the fitted model to a file.

    Arrays: sk-ednn fit fields.npz --context 2. Structures with energies and forces:
    sk-ednn fit train.extxyz --max-seconds 600 --report report.html, with the options below in the
    panels on structures of atoms and potentials.

    Photographs with a table are fitted by `sk-ednn count fit`, which has more options for them.
    """
    from . import _of_pictures

    with one_line_errors():
        if _of_pictures.fitted(ctx):
            return
    from . import _fit

    with one_line_errors(ctx), recorded(ctx, "fit") as options:
        result, show = _fit.run(ctx, options)
        if recording.as_json:
            _print_json(result)
        else:
            show(result)


@app.command()
@grouped
def predict(
    ctx: typer.Context,
    *,
    model: Annotated[Path, typer.Argument(help="Model file written by `sk-ednn fit` or Python.")],
    fields: Fields,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="File for the totals: .csv, .npy or .npz; for potentials also .extxyz, .xyz or "
            ".traj, with forces and stresses. Default: print the totals.",
        ),
    ] = None,
    contributions: Annotated[
        bool, typer.Option(help="Also write the contribution of each tile, to an .npz file.")
    ] = False,
    confidence: Confidence,
    density_unit: DensityUnit = None,
    jobs: Jobs = None,
    max_bytes: Annotated[
        int | None,
        typer.Option(help="Limit in bytes for the memory that the model file needs."),
    ] = None,
    recording: Recording,
):
    """Predict totals of fields or structures of any size.

    Reading a model file runs no code in it, and a damaged file is rejected. For photographs see
    also `sk-ednn count predict`, which writes maps.
    """
    from . import _of_pictures

    with one_line_errors():
        if _of_pictures.predicted(ctx):
            return
    from . import _predict

    with one_line_errors(ctx), recorded(ctx, "predict") as options:
        predicted = _predict.run(ctx, options)
        if recording.as_json:
            _print_json(predicted.as_dict())
        else:
            _predict.show(predicted)


@app.command()
def evaluate(
    ctx: typer.Context,
    model: Annotated[Path, typer.Argument(help="Model file written by `sk-ednn fit` or Python.")],
    fields: Fields,
    targets: Annotated[
        str | None,
        typer.Argument(
            help="File of the totals, .csv or .txt too. Default: the totals are in the first file."
        ),
    ] = None,
    density_unit: DensityUnit = None,
    errors_by: Annotated[
        str | None,
        typer.Option(
            "--errors-by",
            "--group",
            help="Potentials: also print errors by an entry of info such as config_type, a column "
            "of the table of energies, by file or by composition.",
        ),
    ] = None,
    errors: ErrorsFile = None,
    max_bytes: Annotated[
        int | None,
        typer.Option(help="Limit in bytes for the memory that the model file needs."),
    ] = None,
    run: RunFolder = None,
    as_json: Json = False,
):
    """Print the errors of a model on systems with known totals, forces and stresses."""
    from . import _evaluate

    with one_line_errors(ctx), recorded(ctx, "evaluate") as options:
        result = _evaluate.run(options)
        if as_json:
            _print_json(result)
        else:
            _evaluate.show(result)


@app.command()
def relax(
    ctx: typer.Context,
    model: Annotated[Path, typer.Argument(help="Model file of a potential or a model of images.")],
    fields: Annotated[
        str,
        typer.Argument(help="File of structures, such as POSCAR, run.extxyz, run.extxyz@-1, .cif."),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File for the relaxed structures.")
    ] = Path("relaxed.extxyz"),
    fmax: Annotated[
        float,
        typer.Option(help="Stop when no force is larger, in eV/Å; with --cell see --smax, too."),
    ] = 0.05,
    smax: Annotated[
        float | None,
        typer.Option(
            help="With --cell: stop when no component of the stress is larger, either, in GPa; "
            "0.02 by default."
        ),
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Maximum number of steps.")] = 500,
    cell: Annotated[
        bool, typer.Option("--cell", help="Also relax the cell, and print it.")
    ] = False,
    repeat: Annotated[
        str | None, typer.Option(help="Repeat the structures first, such as 2 or 2,2,1.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
):
    """Relax structures with a fitted model, one after the other."""
    from . import _simulate

    with one_line_errors():
        result = _simulate.relax(SimpleNamespace(**ctx.params))
    if as_json:
        _print_json(result)
    else:
        typer.echo(f"written to {output}")


@app.command()
@grouped
def md(
    ctx: typer.Context,
    *,
    model: Annotated[Path, typer.Argument(help="Model file of a potential or a model of images.")],
    fields: Annotated[
        str, typer.Argument(help="File of one structure, such as POSCAR, run.extxyz@-1 or a .cif.")
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="File for the trajectory, such as .extxyz or .traj."),
    ] = Path("md.extxyz"),
    dynamics: Dynamics,
    repeat: Annotated[
        str | None, typer.Option(help="Repeat the structure first, such as 2 or 2,2,1.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
):
    """Run molecular dynamics with a fitted model.

    The pressure p that is printed contains the kinetic part, N k T / V, as that of --pressure does.
    Stresses in the file of the trajectory are those of the forces alone, as usual with ASE.
    """
    from . import _simulate

    with one_line_errors():
        result = _simulate.dynamics(SimpleNamespace(**ctx.params))
    if as_json:
        _print_json(result)
    else:
        _simulate.show_dynamics(result)


@app.command()
def select(
    ctx: typer.Context,
    fields: Annotated[
        str, typer.Argument(help="Files of structures: a file, a folder or a pattern in quotes.")
    ],
    number: Annotated[int, typer.Argument(min=1, help="Number of structures to select.")],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="File for the structures (.extxyz, .traj), or for the names of theirs (.csv).",
        ),
    ] = Path("selected.extxyz"),
    known: Annotated[
        str | None,
        typer.Option(
            help="Files of structures that have labels, or the model file of a potential that "
            "learned from them: others are chosen. Files compare whole structures, and suit any "
            "model; a model compares atoms by what it learned, and suits its own next fit. The "
            "choices and the units of distances differ."
        ),
    ] = None,
    unlike: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            help="The part that is chosen for being unlike others. The rest is drawn at random. "
            "Default: 0.3, and 1 with --known.",
        ),
    ] = None,
    cutoff: Annotated[
        float | None,
        typer.Option(help="Radius of the surroundings of an atom, in Å. Default: 5.5."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of those drawn at random.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
):
    """Select the structures that are worth a label, some of them unlike all others.

    No label is read: select from snapshots of a trajectory what a reference method computes next,
    or from a large set what a quick fit learns from.
    """
    from . import _select

    with one_line_errors():
        result = _select.run(SimpleNamespace(**ctx.params))
    if as_json:
        _print_json(result)
    elif not quiet:
        _select.show(result)


@app.command()
def inspect(
    model: Annotated[Path, typer.Argument(help="Model file written by `sk-ednn fit` or Python.")],
    everything: Annotated[
        bool,
        typer.Option("--all", help="Print all parameters, versions and parts of the file."),
    ] = False,
    as_json: Json = False,
):
    """Describe a model file, without running code in it."""
    from . import _inspect
    from ._inspect_summary import summary_of

    with one_line_errors():
        description = _inspect.description_of(model)
    if as_json:
        _print_json(description)
        return
    first = summary_of(description, model)
    for name, value in first + _inspect.report_of(description, everything):
        typer.echo(_inspect.printable(f"{name}: {value}"))
    if not everything:
        typer.echo("(--all prints the rest)")


@app.command()
@grouped
def tile(
    ctx: typer.Context,
    *,
    fields: Fields,
    tiles: Tiles,
    single: Annotated[
        bool,
        typer.Option("--single", help="The file contains one field, without an axis of samples."),
    ] = False,
    sample: Annotated[int, typer.Option(min=0, help="Index of the field to draw.")] = 0,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File for a drawing: .png, .pdf or .svg.")
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
):
    """Print and draw the tiles of a field, and the sizes that the focus allows."""
    from . import _tile

    with one_line_errors(ctx):
        report = _tile.run(SimpleNamespace(**ctx.params))
    if as_json:
        _print_json(report)
        return
    for name, value in report.items():
        typer.echo(f"{name}: {value}")


@app.command()
def info(as_json: Json = False):
    """List the installed optional libraries and the tile models."""
    from . import _info

    report = _info.found()
    if as_json:
        _print_json(report)
    else:
        _info.show(report)


@app.command(name="ui")
def ui_(
    folder: Annotated[
        Path, typer.Argument(help="Folder of the runs; created if it does not exist.")
    ] = Path("runs"),
    data: Annotated[
        list[Path] | None,
        typer.Option(help="Folder whose files may be chosen; several times. Left out, this one."),
    ] = None,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port; 0 for any that is free.")
    ] = 8765,
    open: Annotated[bool, typer.Option(help="Open the page in a browser.")] = True,
    host: Annotated[
        str, typer.Option(help="Address to bind; others than this machine can then reach it.")
    ] = "127.0.0.1",
    scheduler: Annotated[
        str | None, typer.Option(help="Dask scheduler to watch, tcp://127.0.0.1:8786.")
    ] = None,
):
    """Serve pages for the browser: start, watch and compare runs."""
    from . import _ui

    with one_line_errors():
        _ui.run(SimpleNamespace(folder=folder, data=data, port=port, open=open, host=host,
                                scheduler=scheduler))  # fmt: skip


@app.command()
def demo(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the figure and the results.")
    ] = Path("demo"),
    seed: Annotated[int, typer.Option(min=0, help="Seed of random numbers.")] = 0,
    as_json: Json = False,
):
    """Train on 8 x 8 spins and predict 128 x 128; fit sheets of atoms and predict larger ones."""
    from rich.console import Console

    from ._demo import run

    with one_line_errors():
        report = run(output, seed, Console(stderr=as_json))
    if as_json:
        _print_json(report)


# --- output -----------------------------------------------------------------------------------


def _print_json(report) -> None:
    typer.echo(json.dumps(report))
