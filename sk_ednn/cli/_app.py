"""The commands of ``sk-ednn``."""

from __future__ import annotations

import json
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from .. import files as model_files
from .._doubts import warn_of_standardised
from .._regressor import EDNNRegressor
from ..metrics import extensive_errors
from . import _config
from ._errors import not_half, one_line_errors
from ._files import check_writable
from ._inputs import (
    chosen,
    data_line,
    load_model,
    read_fields,
    read_targets,
    require_different,
    require_file,
    require_model_name,
    tiling_of,
)
from ._looks import check_report, cut, draw_cut, printable, report_of, write_report
from ._models import TILE_MODELS, suited

app = typer.Typer(
    name="sk-ednn",
    help="Predict an extensive quantity of large systems, trained on small ones.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

BASELINES = {"size": "size", "content": "content", "none": None}

Fields = Annotated[str, typer.Argument(help="Fields: .npy, .npz, .h5 or .zarr, ::NAME behind it.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]
Focus = Annotated[
    str, typer.Option(help="Sites of a focus, or one per axis, as 2,2; none: the whole axis.")
]
Context = Annotated[str, typer.Option(help="Sites of context, or one per axis.")]
Boundary = Annotated[str, typer.Option(help="periodic, zero, reflect or nearest.")]
ChannelAxis = Annotated[
    int | None, typer.Option(help="Axis of one field that holds channels; -1 is the last.")
]
Jobs = Annotated[int | None, typer.Option(help="Workers; -1 for all cores.")]


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
            "--model", "-m", help=f"Tile model: {', '.join(TILE_MODELS)}; auto: by the tiles."
        ),
    ] = "auto",
    focus: Focus = "1",
    context: Context = "1",
    boundary: Boundary = "periodic",
    channel_axis: ChannelAxis = None,
    baseline: Annotated[str, typer.Option(help="size, content or none.")] = "size",
    test_fraction: Annotated[
        float, typer.Option(min=0.0, max=0.9, help="Part held back to measure the error.")
    ] = 0.2,
    seed: Annotated[int, typer.Option(min=0, help="Random state.")] = 0,
    jobs: Jobs = None,
    unit: Annotated[
        str | None, typer.Option(help="Of the totals, such as eV: for those who read the file.")
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File for the fitted model.")
    ] = Path("model.ednn"),
    report: Annotated[
        Path | None, typer.Option(help="Also write a page on the fit, .html, for any browser.")
    ] = None,
    config: _config.ConfigFile = None,
    save_config: _config.SaveConfig = None,
    as_json: Json = False,
    quiet: Quiet = False,
):
    """Fit a tile model to totals, and write the fitted model to a file."""
    with one_line_errors():
        chosen("--model", model, {"auto": None, **TILE_MODELS})
        tiling = tiling_of(focus, context, boundary, channel_axis)
        kept = chosen("--baseline", baseline, BASELINES)
        require_model_name(output)
        check_writable(output)
        check_report(report)
        _config.check(save_config)
        require_different(output, report, save_config)
        X, y = read_fields(fields), read_targets(targets or fields)
        if len(y) != len(X):
            raise ValueError(
                f"{fields} holds {len(X)} fields of shape {X.shape[1:]}, but {targets or fields} "
                f"holds {len(y)} targets. Fields are an array of shape (n_systems, *field_shape)."
            )
        y = y[:, 0] if y.shape[1:] == (1,) else y
        replaced = output.exists()
        tiling.check(X[:1])
        if not (quiet or as_json):
            typer.echo(data_line(X, y, tiling), err=True)
        warn_of_standardised(y)  # before a part of them is taken
        order = np.random.default_rng(seed).permutation(len(X))
        test, train = map(np.sort, np.split(order, [round(test_fraction * len(X))]))
        parts = {"train": (X[train], y[train])} | (
            {"test": (X[test], y[test])} if len(test) else {}
        )
        why = None
        if model == "auto":
            model, why = suited(tiling, *parts["train"], kept)
            if not (quiet or as_json):
                typer.echo(f"tile model: {model} ({why}); --model takes another", err=True)
        estimator = EDNNRegressor(
            TILE_MODELS[model][0](),
            tiling,
            baseline=kept,
            random_state=seed,
            n_jobs=jobs,
            verbose=0 if quiet or as_json else 1,
        )
        start = time.perf_counter()
        with not_half():
            estimator.fit(*parts["train"])
        seconds = time.perf_counter() - start
        errors = {
            name: _errors(part[1], estimator.predict(part[0])) for name, part in parts.items()
        }
        about = {"made by": "sk-ednn fit", "errors of totals": errors}
        found: dict[str, Any] = {
            "model": model,
            **({} if why is None else {"chosen as": why}),
            "strategy": type(estimator.summing_).__name__,
            "n_train": len(train),
            "n_test": len(test),
            "output": str(output),
            **errors,
            "sha256": model_files.save(estimator, output, unit=unit, about=about),
        }
        if report is not None:
            about = {
                "command": _config.command_line(ctx),
                "model file": str(output),
                "sha256": found["sha256"],
                "time of the fit": f"{seconds:.3g} s",
            }
            write_report(report, estimator, parts, unit, about)
            found["report"] = str(report)
        _config.write(ctx, save_config)
    if as_json:
        _print_json(found)
        return
    table = Table("errors of totals", "median", "mean", "rmse", "bias")
    for name, values in errors.items():
        for k, column in enumerate([values] if isinstance(values, dict) else values):
            label = name if y.ndim == 1 else f"{name}, output {k}"
            table.add_row(label, *(f"{value:.4g}" for value in column.values()))
    Console().print(table)
    instead = ", in the place of the file that was there" if replaced else ""
    typer.echo(f"{found['strategy']} on {found['n_train']} systems; written to {output}{instead}")
    if report is not None:
        typer.echo(f"report written to {report}")


@app.command()
def predict(
    ctx: typer.Context,
    model: Annotated[Path, typer.Argument(help="A file written by `sk-ednn fit`.")],
    fields: Fields,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write y to this .npy or .npz file.")
    ] = None,
    contributions: Annotated[
        bool, typer.Option(help="Also write what each tile holds (needs an .npz output).")
    ] = False,
    jobs: Jobs = None,
    max_bytes: Annotated[
        int | None, typer.Option(help="Memory for what the model file says of itself.")
    ] = None,
    config: _config.ConfigFile = None,
    save_config: _config.SaveConfig = None,
    as_json: Json = False,
    quiet: Quiet = False,
):
    """Predict totals of fields of any size.

    Nothing in the model file is run, and a damaged one is refused.
    """
    with one_line_errors():
        if output is not None:
            if output.suffix not in {".npy", ".npz"}:
                raise ValueError(f"--output must end in .npy or .npz, got {output}.")
            check_writable(output)
        if contributions and (output is None or output.suffix != ".npz"):
            raise ValueError("--contributions needs --output with a name that ends in .npz.")
        _config.check(save_config)
        require_different(output, save_config)
        estimator = load_model(model, max_bytes)
        X = read_fields(fields)
        estimator.evaluation_.set_params(verbose=0 if quiet or as_json else 1)
        if jobs is not None:
            estimator.evaluation_.set_params(n_jobs=jobs)
        results = {"y": estimator.predict(X)}
        if contributions:
            maps = estimator.predict_contributions(X)
            named = maps.items() if isinstance(maps, dict) else [("", maps)]
            results |= {"_".join(filter(None, ["contributions", k])): v for k, v in named}
        y = results["y"]
        if output is not None:
            np.save(output, y) if output.suffix == ".npy" else np.savez(output, **results)
        _config.write(ctx, save_config)
    if as_json:
        _print_json({"y": y.tolist(), "output": None if output is None else str(output)})
    elif output is None:
        for value in y.tolist():
            typer.echo(repr(value))
    else:
        typer.echo(f"{len(y)} totals written to {output}")


@app.command()
def inspect(
    model: Annotated[Path, typer.Argument(help="A file written by `sk-ednn fit` or Python.")],
    everything: Annotated[
        bool, typer.Option("--all", help="Every parameter, version and part of the file, too.")
    ] = False,
    as_json: Json = False,
):
    """Say what a model file holds; nothing of it is run."""
    with one_line_errors():
        require_file(model)
        found = model_files.describe(model)
    if as_json:
        _print_json(found)
        return
    for name, value in report_of(found, everything):
        typer.echo(printable(f"{name}: {value}"))
    if not everything:
        typer.echo("(--all says the rest)")


@app.command()
def tile(
    fields: Fields,
    focus: Focus = "1",
    context: Context = "1",
    boundary: Boundary = "periodic",
    channel_axis: ChannelAxis = None,
    sample: Annotated[int, typer.Option(min=0, help="Which field.")] = 0,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Draw it into this .png, .pdf or .svg.")
    ] = None,
    as_json: Json = False,
):
    """Say, and draw, how fields are cut into tiles, and which sizes can be."""
    with one_line_errors():
        if output is not None:
            check_writable(output)
        tiling = tiling_of(focus, context, boundary, channel_axis)
        X = read_fields(fields)
        report = cut(tiling, X, sample)
        if output is not None:
            draw_cut(tiling, X, sample, output)
            report["output"] = str(output)
    if as_json:
        _print_json(report)
        return
    for name, value in report.items():
        typer.echo(f"{name}: {value}")


@app.command()
def info(as_json: Json = False):
    """Say which optional libraries are there, and which tile models."""
    versions: dict[str, str | None] = {}
    for name in ("sk-ednn", "numpy", "scipy", "scikit-learn", "torch", "skorch", "dask",
                 "distributed", "ase", "matplotlib", "h5py", "zarr"):  # fmt: skip
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = None
    models = {name: text for name, (_, text) in TILE_MODELS.items()}
    if as_json:
        _print_json({"versions": versions, "models": models})
        return
    table = Table("library", "version")
    for name, number in versions.items():
        table.add_row(name, number or "[dim]not installed[/dim]")
    Console().print(table)
    table = Table("tile model", "what it is")
    for name, text in models.items():
        table.add_row(name, text)
    Console().print(table)


@app.command()
def demo(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the figure and the numbers.")
    ] = Path("demo"),
    seed: Annotated[int, typer.Option(min=0, help="Random state.")] = 0,
    as_json: Json = False,
):
    """Train on 8 x 8 spins and predict 128 x 128; fit real sheets and predict larger ones."""
    from ._demo import run

    with one_line_errors():
        report = run(output, seed, Console(stderr=as_json))
    if as_json:
        _print_json(report)


# --- what comes out ---------------------------------------------------------------------------


def _errors(true, predicted):
    """Return the errors by name; a list of such where there are several outputs."""
    if true.ndim == 1:
        return extensive_errors(true, predicted).as_dict()
    return [extensive_errors(*column).as_dict() for column in zip(true.T, predicted.T, strict=True)]


def _print_json(report) -> None:
    typer.echo(json.dumps(report))
