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

# Nothing heavy is imported here: what a command needs, its module imports when it runs.

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
        help="Fields: .npy, .npz, .h5 or .zarr, ::NAME behind it; densities: .cube, CHGCAR, "
        "LOCPOT, .xsf; or structures of atoms: .extxyz, .traj, POSCAR and whatever ASE reads. A "
        "folder or a pattern stands for several files."
    ),
]
DensityUnit = Annotated[
    str | None,
    typer.Option(
        help="Of the numbers in .cube and .xsf files: e/bohr^3 (.cube if left out), e/Å^3, or any "
        "other, such as eV, for what is no density.",
        autocompletion=lambda: ["e/bohr^3", "e/Å^3", "eV"],
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]
Focus = Annotated[
    str, typer.Option(help="Sites of a focus, or one per axis, as 2,2; none: the whole axis.")
]
Context = Annotated[str, typer.Option(help="Sites of context, or one per axis.")]
Boundary = Annotated[
    str,
    typer.Option(
        help="periodic, zero, reflect or nearest.",
        autocompletion=lambda: ["periodic", "zero", "reflect", "nearest"],
    ),
]
Remainder = Annotated[
    str,
    typer.Option(
        help="error: the focus must divide every axis; pad: the last one may reach beyond the end.",
        autocompletion=lambda: ["error", "pad"],
    ),
]
ChannelAxis = Annotated[
    int | None, typer.Option(help="Axis of one field that holds channels; -1 is the last.")
]
Jobs = Annotated[int | None, typer.Option(help="Workers; -1 for all cores.")]


def _say_version(asked: bool) -> None:
    if asked:
        typer.echo(f"sk-ednn {sys.modules['sk_ednn'].__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_say_version, help="Say which version this is."
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
        typer.Argument(help="Totals, .csv or .txt too; left out, they are in the same file."),
    ] = None,
    model: Annotated[
        str,
        typer.Option(
            "--model",
            "-m",
            help=f"Tile model: {', '.join(TILE_MODELS)}; auto: by the tiles. Of structures: "
            f"potentials of atoms, {', '.join(POTENTIALS)}; auto: spectrum, where files have "
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
        typer.Option("--categorical", help="Fields hold labels: each gets a channel of 0 and 1."),
    ] = False,
    angles: Annotated[
        str | None,
        typer.Option(
            help="Fields hold angles of this period, 2pi or 360: channels of cosine and sine.",
            autocompletion=lambda: ["2pi", "360", "pi", "180"],
        ),
    ] = None,
    baseline: Annotated[
        str,
        typer.Option(
            help="size, content or none.", autocompletion=lambda: ["size", "content", "none"]
        ),
    ] = "size",
    test_fraction: Annotated[
        float, typer.Option(min=0.0, max=0.9, help="Part held back to measure the error.")
    ] = 0.2,
    seed: Annotated[int, typer.Option(min=0, help="Random state.")] = 0,
    jobs: Jobs = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Passes of a network over the data.")
    ] = None,
    lr: Annotated[float | None, typer.Option(help="Largest learning rate of a network.")] = None,
    early_stopping: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="End the training of a network when the error on a tenth of the systems has not "
            "fallen for so many epochs, and keep the best.",
        ),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="Where a network is trained: cpu, cuda, auto.")
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="Save the training of a network here after each epoch, and go on."),
    ] = None,
    keep_on_interrupt: Annotated[
        bool,
        typer.Option(
            "--keep-on-interrupt", help="On Ctrl-C write the best epoch so far, and do not ask."
        ),
    ] = False,
    unit: Annotated[
        str | None, typer.Option(help="Of the totals, such as eV: for those who read the file.")
    ] = None,
    density_unit: DensityUnit = None,
    spacing: Annotated[
        str | None, typer.Option(help="Of structures: Å between pixels, or one per axis.")
    ] = None,
    width: Annotated[
        float | None, typer.Option(help="Of structures: Å, of the Gaussian at each atom.")
    ] = None,
    plane: Annotated[
        str | None, typer.Option(help="Of structures: xy, xz, yz, or xyz; left out, by them.")
    ] = None,
    adjust: Annotated[
        float | None,
        typer.Option(
            help="Of structures: how far pixels may be stretched, as 0.02; left out, by the cells."
        ),
    ] = None,
    energy: Annotated[
        str | None, typer.Option(help="Of structures: the name of their energies in the files.")
    ] = None,
    forces: Annotated[
        bool, typer.Option("--forces", help="Of structures: learn their forces, too.")
    ] = False,
    images: Annotated[
        bool,
        typer.Option("--images", help="Of structures: fit a model of images, not of atoms."),
    ] = False,
    cutoff: Annotated[
        float | None, typer.Option(help="Of potentials: Å that an atom sees; 6 if left out.")
    ] = None,
    averages: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Of potentials: numbers averaged over each structure that all its atoms see, "
            "such as 8, for charge between defects.",
        ),
    ] = None,
    max_seconds: Annotated[
        float | None,
        typer.Option(help="Of potentials: seconds of training; 600 where no --epochs are given."),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            help="Of potentials: names in the files, energy=REF_energy,forces=REF_forces,"
            "stress=none; found by themselves otherwise."
        ),
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option(help="Of potentials: go on from this model file, with these structures."),
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File for the fitted model.")
    ] = Path("model.ednn"),
    force: Annotated[
        bool, typer.Option("--force", help="Replace a model file that is there.")
    ] = False,
    report: Annotated[
        Path | None, typer.Option(help="Also write a page on the fit, .html, for any browser.")
    ] = None,
    run: RunFolder = None,
    config: _config.ConfigFile = None,
    save_config: _config.SaveConfig = None,
    as_json: Json = False,
    quiet: Quiet = False,
):
    """Fit a tile model to totals, and write the fitted model to a file."""
    from . import _fit

    with one_line_errors(), recorded(ctx, "fit") as asked:
        found, described = _fit.run(ctx, asked)
        if as_json:
            _print_json(found)
        else:
            _fit.show(found, described)


@app.command()
def predict(
    ctx: typer.Context,
    model: Annotated[Path, typer.Argument(help="A file written by `sk-ednn fit`.")],
    fields: Fields,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write totals to this .csv, .npy or .npz file."),
    ] = None,
    contributions: Annotated[
        bool, typer.Option(help="Also write what each tile holds (needs an .npz output).")
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
        int | None, typer.Option(help="Memory for what the model file says of itself.")
    ] = None,
    run: RunFolder = None,
    config: _config.ConfigFile = None,
    save_config: _config.SaveConfig = None,
    as_json: Json = False,
    quiet: Quiet = False,
):
    """Predict totals of fields of any size.

    Nothing in the model file is run, and a damaged one is refused.
    """
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
    model: Annotated[Path, typer.Argument(help="A file written by `sk-ednn fit`.")],
    fields: Fields,
    targets: Annotated[
        str | None,
        typer.Argument(help="Totals, .csv or .txt too; left out, they are in the same file."),
    ] = None,
    density_unit: DensityUnit = None,
    max_bytes: Annotated[
        int | None, typer.Option(help="Memory for what the model file says of itself.")
    ] = None,
    run: RunFolder = None,
    as_json: Json = False,
):
    """Say how well a model predicts systems whose totals, forces and stresses are known."""
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
    model: Annotated[Path, typer.Argument(help="A model of structures.")],
    fields: Annotated[str, typer.Argument(help="One structure: POSCAR, .extxyz@-1, .cif.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File for the relaxed structure.")
    ] = Path("relaxed.extxyz"),
    fmax: Annotated[float, typer.Option(help="Largest force at the end, eV/Å.")] = 0.05,
    steps: Annotated[int, typer.Option(min=1, help="Most steps.")] = 500,
    cell: Annotated[bool, typer.Option("--cell", help="Relax the cell, too.")] = False,
    repeat: Annotated[str | None, typer.Option(help="Repeat it first: 2, or 2,2,1.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
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
    model: Annotated[Path, typer.Argument(help="A model of structures.")],
    fields: Annotated[str, typer.Argument(help="One structure: POSCAR, .extxyz@-1, .cif.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File for the trajectory: .extxyz, .traj.")
    ] = Path("md.extxyz"),
    ensemble: Annotated[
        str,
        typer.Option(help="nvt, nve or npt.", autocompletion=lambda: ["nvt", "nve", "npt"]),
    ] = "nvt",
    temperature: Annotated[float, typer.Option(min=0.0, help="K.")] = 300.0,
    pressure: Annotated[float, typer.Option(help="GPa, for npt.")] = 0.0,
    timestep: Annotated[float, typer.Option(help="fs.")] = 1.0,
    steps: Annotated[int, typer.Option(min=1, help="Steps.")] = 1000,
    interval: Annotated[int, typer.Option(min=1, help="Steps from one record to the next.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="Random state.")] = 0,
    repeat: Annotated[str | None, typer.Option(help="Repeat it first: 2, or 2,2,1.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
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
    model: Annotated[Path, typer.Argument(help="A file written by `sk-ednn fit` or Python.")],
    everything: Annotated[
        bool, typer.Option("--all", help="Every parameter, version and part of the file, too.")
    ] = False,
    as_json: Json = False,
):
    """Say what a model file holds; nothing of it is run."""
    from . import _inspect

    with one_line_errors():
        found = _inspect.held(model)
    if as_json:
        _print_json(found)
        return
    for name, value in _inspect.report_of(found, everything):
        typer.echo(_inspect.printable(f"{name}: {value}"))
    if not everything:
        typer.echo("(--all says the rest)")


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
        bool, typer.Option("--single", help="The file holds one field, and no axis of samples.")
    ] = False,
    sample: Annotated[int, typer.Option(min=0, help="Which field.")] = 0,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Draw it into this .png, .pdf or .svg.")
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
):
    """Say, and draw, how fields are cut into tiles, and which sizes can be."""
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
    """Say which optional libraries are there, and which tile models."""
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
        Path, typer.Option("--output", "-o", help="Folder for the figure and the numbers.")
    ] = Path("demo"),
    seed: Annotated[int, typer.Option(min=0, help="Random state.")] = 0,
    as_json: Json = False,
):
    """Train on 8 x 8 spins and predict 128 x 128; fit real sheets and predict larger ones."""
    from rich.console import Console

    from ._demo import run

    with one_line_errors():
        report = run(output, seed, Console(stderr=as_json))
    if as_json:
        _print_json(report)


# --- what comes out ---------------------------------------------------------------------------


def _print_json(report) -> None:
    typer.echo(json.dumps(report))
