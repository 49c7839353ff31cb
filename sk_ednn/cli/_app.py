"""The commands of ``sk-ednn``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated

import typer

from . import _config, _count_app, _runs_app, _search
from ._errors import one_line_errors
from ._models import TILE_MODELS
from ._potentials import POTENTIALS
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

Fields = Annotated[
    str,
    typer.Argument(
        help="File of fields: .npy, .npz, .h5 or .zarr, with ::NAME for one of several arrays; "
        "or of densities: .cube, CHGCAR, LOCPOT or .xsf; or of structures of atoms: .extxyz, "
        ".traj, POSCAR or another format of ASE; or photographs: .png, .jpg or .tif. A folder, or "
        "a pattern such as 'runs/*.extxyz', means several files."
    ),
]
DensityUnit = Annotated[
    str | None,
    typer.Option(
        help="Unit of the numbers in .cube and .xsf files: e/bohr^3 (default for .cube), e/Å^3, or "
        "another, such as eV, for fields that are not densities.",
        autocompletion=lambda: ["e/bohr^3", "e/Å^3", "eV"],
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print no progress.")]
Focus = Annotated[
    str,
    typer.Option(
        help="Length of the focus in sites, or one per axis, such as 2,2; none for the whole axis."
    ),
]
Context = Annotated[
    str, typer.Option(help="Width of the context on each side in sites, or one per axis.")
]
Boundary = Annotated[
    str,
    typer.Option(
        help="Continuation of fields at their edges: periodic, zero, reflect or nearest.",
        autocompletion=lambda: ["periodic", "zero", "reflect", "nearest"],
    ),
]
Remainder = Annotated[
    str,
    typer.Option(
        help="If the focus does not divide an axis: error, or pad to extend the last tile beyond "
        "the edge.",
        autocompletion=lambda: ["error", "pad"],
    ),
]
ChannelAxis = Annotated[
    int | None, typer.Option(help="Axis of the channels of one field; -1 for the last axis.")
]
Jobs = Annotated[int | None, typer.Option(help="Number of workers; -1 for all cores.")]


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"sk-ednn {sys.modules['sk_ednn'].__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_print_version, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Predict an extensive quantity of large systems, trained on small ones."""


@app.command()
def fit(
    ctx: typer.Context,
    fields: Fields,
    targets: Annotated[
        str | None,
        typer.Argument(
            help="File of the totals, .csv or .txt too. Default: the totals are in the first file."
        ),
    ] = None,
    model: Annotated[
        str,
        typer.Option(
            "--model",
            "-m",
            help=f"Tile model of fields: {', '.join(TILE_MODELS)}. Potential of structures: "
            f"{', '.join(POTENTIALS)}. auto chooses by the tiles, and spectrum for structures with "
            "forces.",
            autocompletion=lambda: ["auto", *TILE_MODELS, *POTENTIALS],
        ),
    ] = "auto",
    focus: Focus = "1",
    context: Context = "1",
    boundary: Boundary = "periodic",
    channel_axis: ChannelAxis = None,
    remainder: Remainder = "error",
    categorical: Annotated[
        bool,
        typer.Option(
            "--categorical",
            help="Values of fields are labels: use one channel of 0 and 1 per label.",
        ),
    ] = False,
    angles: Annotated[
        str | None,
        typer.Option(
            help="Values of fields are angles of this period, such as 2pi or 360: use their cosine "
            "and sine as channels.",
            autocompletion=lambda: ["2pi", "360", "pi", "180"],
        ),
    ] = None,
    baseline: Annotated[
        str,
        typer.Option(
            help="Part of totals that is fitted by least squares: size (numbers of tiles), content "
            "(sums of channels too) or none.",
            autocompletion=lambda: ["size", "content", "none"],
        ),
    ] = "size",
    test_fraction: Annotated[
        float,
        typer.Option(min=0.0, max=0.9, help="Share of the systems held out to measure the error."),
    ] = 0.2,
    seed: Annotated[int, typer.Option(min=0, help="Seed of random numbers.")] = 0,
    jobs: Jobs = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Number of passes of a network over the data.")
    ] = None,
    lr: Annotated[float | None, typer.Option(help="Maximum learning rate of a network.")] = None,
    early_stopping: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Stop training a network after this number of epochs without improvement on a "
            "tenth of the systems, and keep the best epoch.",
        ),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="Device for training a network: cpu, cuda or auto.")
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            help="File for the state of the training after each epoch. If it exists, training "
            "resumes from it."
        ),
    ] = None,
    keep_on_interrupt: Annotated[
        bool,
        typer.Option(
            "--keep-on-interrupt",
            help="On Ctrl-C write the best epoch so far without asking.",
        ),
    ] = False,
    unit: Annotated[
        str | None,
        typer.Option(help="Unit of the totals, such as eV, to be stored in the model file."),
    ] = None,
    density_unit: DensityUnit = None,
    spacing: Annotated[
        str | None,
        typer.Option(
            help="Images of structures: distance of pixels in Å, or one per axis. Default: chosen "
            "by the cells."
        ),
    ] = None,
    width: Annotated[
        float | None,
        typer.Option(
            help="Images of structures: standard deviation of the Gaussian of an atom in Å. "
            "Default: 0.4 in a plane, 0.5 in three dimensions."
        ),
    ] = None,
    plane: Annotated[
        str | None,
        typer.Option(
            help="Images of structures: xy, xz, yz or xyz. Default: a plane for sheets, otherwise "
            "xyz."
        ),
    ] = None,
    adjust: Annotated[
        float | None,
        typer.Option(
            help="Images of structures: largest relative stretch of pixels, such as 0.02. Default: "
            "chosen by the cells."
        ),
    ] = None,
    energy: Annotated[
        str | None,
        typer.Option(
            help="Structures: name of the energy in the files. Default: energy, or the only name "
            "that contains it."
        ),
    ] = None,
    forces: Annotated[
        bool, typer.Option("--forces", help="Images of structures: also learn the forces.")
    ] = False,
    images: Annotated[
        bool,
        typer.Option("--images", help="Structures: fit a model of images instead of a potential."),
    ] = False,
    cutoff: Annotated[
        float | None,
        typer.Option(help="Potentials: radius of the surroundings of an atom in Å. Default: 6."),
    ] = None,
    averages: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Potentials: number of averages over each structure that are inputs for all its "
            "atoms, such as 8, for charge transfer between defects. Default: 0.",
        ),
    ] = None,
    max_seconds: Annotated[
        float | None,
        typer.Option(
            help="Potentials: time of the training in seconds. Default: 600, or no limit with "
            "--epochs."
        ),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            help="Potentials: names of labels in the files, such as energy=REF_energy,"
            "forces=REF_forces,stress=none. Default: found automatically."
        ),
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option(help="Potentials: model file from which to continue, with these structures."),
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File for the fitted model.")
    ] = Path("model.ednn"),
    force: Annotated[bool, typer.Option("--force", help="Replace an existing model file.")] = False,
    report: Annotated[
        Path | None, typer.Option(help="Also write an .html report on the fit.")
    ] = None,
    run: RunFolder = None,
    config: _config.ConfigFile = None,
    save_config: _config.SaveConfig = None,
    as_json: Json = False,
    quiet: Quiet = False,
):
    """Fit a tile model to totals, and write the fitted model to a file.

    Photographs with a table are fitted by `sk-ednn count fit`, which has more options for them.
    """
    from . import _of_pictures

    with one_line_errors():
        if _of_pictures.fitted(ctx):
            return
    from . import _fit

    with one_line_errors(), recorded(ctx, "fit") as asked:
        result, description = _fit.run(ctx, asked)
        if as_json:
            _print_json(result)
        else:
            _fit.show(result, description)


@app.command()
def predict(
    ctx: typer.Context,
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
    interval: Annotated[
        Path | None,
        typer.Option(
            help="The predictions.csv of a recorded fit: its errors give an interval of 90 % for "
            "each total, which grows with the size."
        ),
    ] = None,
    novelty: Annotated[
        str | None,
        typer.Option(
            help="The fields of the fit: also say which share of the tiles is unlike theirs."
        ),
    ] = None,
    density_unit: DensityUnit = None,
    jobs: Jobs = None,
    max_bytes: Annotated[
        int | None,
        typer.Option(help="Limit in bytes for the memory that the model file needs."),
    ] = None,
    run: RunFolder = None,
    config: _config.ConfigFile = None,
    save_config: _config.SaveConfig = None,
    as_json: Json = False,
    quiet: Quiet = False,
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

    with one_line_errors(), recorded(ctx, "predict") as asked:
        predicted = _predict.run(ctx, asked)
        if as_json:
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
    max_bytes: Annotated[
        int | None,
        typer.Option(help="Limit in bytes for the memory that the model file needs."),
    ] = None,
    run: RunFolder = None,
    as_json: Json = False,
):
    """Print the errors of a model on systems with known totals, forces and stresses."""
    from . import _evaluate

    with one_line_errors(), recorded(ctx, "evaluate") as asked:
        found = _evaluate.run(asked)
        if as_json:
            _print_json(found)
        else:
            _evaluate.show(found)


@app.command()
def relax(
    ctx: typer.Context,
    model: Annotated[Path, typer.Argument(help="Model file of a potential or a model of images.")],
    fields: Annotated[
        str, typer.Argument(help="File of one structure, such as POSCAR, run.extxyz@-1 or a .cif.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File for the relaxed structure.")
    ] = Path("relaxed.extxyz"),
    fmax: Annotated[float, typer.Option(help="Stop when all forces are smaller, in eV/Å.")] = 0.05,
    steps: Annotated[int, typer.Option(min=1, help="Maximum number of steps.")] = 500,
    cell: Annotated[bool, typer.Option("--cell", help="Also relax the cell.")] = False,
    repeat: Annotated[
        str | None, typer.Option(help="Repeat the structure first, such as 2 or 2,2,1.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    as_json: Json = False,
):
    """Relax a structure with a fitted model."""
    from . import _simulate

    with one_line_errors():
        found = _simulate.relax(SimpleNamespace(**ctx.params))
    if as_json:
        _print_json(found)
        return
    end = "relaxed" if found["converged"] else "not relaxed yet"
    typer.echo(
        f"{end} after {found['steps']} steps: {found['energy']:.6g} eV, largest force "
        f"{found['largest_force']:.3g} eV/Å; written to {found['output']}"
    )


@app.command()
def md(
    ctx: typer.Context,
    model: Annotated[Path, typer.Argument(help="Model file of a potential or a model of images.")],
    fields: Annotated[
        str, typer.Argument(help="File of one structure, such as POSCAR, run.extxyz@-1 or a .cif.")
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="File for the trajectory, such as .extxyz or .traj."),
    ] = Path("md.extxyz"),
    ensemble: Annotated[
        str,
        typer.Option(
            help="nvt (Langevin thermostat), nve, or npt (constant pressure).",
            autocompletion=lambda: ["nvt", "nve", "npt"],
        ),
    ] = "nvt",
    temperature: Annotated[float, typer.Option(min=0.0, help="Temperature in K.")] = 300.0,
    pressure: Annotated[float, typer.Option(help="Pressure in GPa, for npt.")] = 0.0,
    timestep: Annotated[float, typer.Option(help="Time step in fs.")] = 1.0,
    steps: Annotated[int, typer.Option(min=1, help="Number of steps.")] = 1000,
    interval: Annotated[int, typer.Option(min=1, help="Number of steps between frames.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="Seed of random numbers.")] = 0,
    repeat: Annotated[
        str | None, typer.Option(help="Repeat the structure first, such as 2 or 2,2,1.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
):
    """Run molecular dynamics with a fitted model."""
    from . import _simulate

    with one_line_errors():
        found = _simulate.dynamics(SimpleNamespace(**ctx.params))
    if as_json:
        _print_json(found)
    else:
        typer.echo(f"{found['frames']} frames written to {found['output']}")


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

    with one_line_errors():
        found = _inspect.held(model)
    if as_json:
        _print_json(found)
        return
    for name, value in _inspect.report_of(found, everything):
        typer.echo(_inspect.printable(f"{name}: {value}"))
    if not everything:
        typer.echo("(--all prints the rest)")


@app.command()
def tile(
    ctx: typer.Context,
    fields: Fields,
    focus: Focus = "1",
    context: Context = "1",
    boundary: Boundary = "periodic",
    channel_axis: ChannelAxis = None,
    remainder: Remainder = "error",
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

    with one_line_errors():
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
        Path, typer.Argument(help="Folder of the runs; made where there is none.")
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
