"""The commands of ``sk-ednn``."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated

import joblib
import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from .._regressor import EDNNRegressor
from ..exceptions import EDNNError
from ..metrics import extensive_errors
from ..tiling import GridTiling
from ._files import read_array
from ._models import TILE_MODELS

app = typer.Typer(
    name="sk-ednn",
    help="Predict an extensive quantity of large systems, trained on small ones.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
out = Console()
err = Console(stderr=True)

FIELD_KEYS = ("X", "fields", "x", "data")
TARGET_KEYS = ("y", "targets", "energies", "energy", "totals")


def _fail(error) -> typer.Exit:
    err.print(f"[red]error:[/red] {error}", soft_wrap=True, highlight=False)
    return typer.Exit(1)


def _sizes(text: str, name: str):
    """Read '2', 'none' or '2,2,1' as GridTiling takes it."""
    try:
        values = [None if part.strip().lower() == "none" else int(part) for part in text.split(",")]
    except ValueError:
        raise typer.BadParameter(
            f"expected a whole number, or one per axis with commas, got {text!r}",
            param_hint=name,
        ) from None
    return values[0] if len(values) == 1 else tuple(values)


Fields = Annotated[str, typer.Argument(help="Fields: .npy, .npz, .h5 or .zarr, ::NAME behind it.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]


@app.command()
def fit(
    fields: Fields,
    targets: Annotated[
        str | None, typer.Argument(help="Totals; left out, they are in the same file.")
    ] = None,
    model: Annotated[
        str, typer.Option("--model", "-m", help=f"Tile model: {', '.join(TILE_MODELS)}.")
    ] = "kernel",
    focus: Annotated[str, typer.Option(help="Sites of a focus, or one per axis: 2,2.")] = "1",
    context: Annotated[str, typer.Option(help="Sites of context, or one per axis.")] = "1",
    boundary: Annotated[str, typer.Option(help="periodic, zero, reflect or nearest.")] = "periodic",
    channel_axis: Annotated[
        int | None, typer.Option(help="Axis of one field that holds channels; -1 is the last.")
    ] = None,
    baseline: Annotated[str, typer.Option(help="size, content or none.")] = "size",
    test_fraction: Annotated[
        float, typer.Option(min=0.0, max=0.9, help="Part held back to measure the error.")
    ] = 0.2,
    seed: Annotated[int, typer.Option(help="Random state.")] = 0,
    jobs: Annotated[int | None, typer.Option(help="Workers.")] = None,
    output: Annotated[Path, typer.Option("--output", "-o")] = Path("model.joblib"),
    as_json: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
):
    """Fit a tile model to totals, and write the fitted model to a file."""
    if model not in TILE_MODELS:
        raise typer.BadParameter(
            f"expected one of {', '.join(TILE_MODELS)}, got {model!r}", param_hint="--model"
        )
    try:
        X = read_array(fields, FIELD_KEYS)
        y = np.asarray(read_array(targets or fields, TARGET_KEYS))
        n = len(X)
        if len(y) != n:
            raise ValueError(f"{fields} holds {n} fields, but there are {len(y)} targets.")
        held_back = np.sort(np.random.default_rng(seed).permutation(n)[: round(test_fraction * n)])
        train = np.setdiff1d(np.arange(n), held_back)
        estimator = EDNNRegressor(
            TILE_MODELS[model][0](),
            GridTiling(
                _sizes(focus, "--focus"),
                _sizes(context, "--context"),
                boundary=boundary,
                channel_axis=channel_axis,
            ),
            baseline=None if baseline == "none" else baseline,
            random_state=seed,
            n_jobs=jobs,
            verbose=0 if quiet or as_json else 1,
        )
        estimator.fit(X[train], y[train])
        report = {
            "n_train": len(train),
            "n_test": len(held_back),
            "strategy": type(estimator.summing_).__name__,
            "model": model,
            "output": str(output),
        }
        for name, part in (("train", train), ("test", held_back)):
            if len(part) and y.ndim == 1:
                report[name] = extensive_errors(y[part], estimator.predict(X[part])).as_dict()
        joblib.dump(estimator, output)
    except (EDNNError, ValueError, OSError) as error:
        raise _fail(error) from None
    if as_json:
        out.print_json(json.dumps(report))
        return
    table = Table("errors of totals", "median", "mean", "rmse", "bias")
    for name in ("train", "test"):
        if name in report:
            table.add_row(name, *(f"{value:.4g}" for value in report[name].values()))
    out.print(table)
    out.print(f"{report['strategy']} on {len(train)} systems; written to {output}")


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(help="A file written by `sk-ednn fit`.")],
    fields: Fields,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write y to this .npy or .npz file.")
    ] = None,
    contributions: Annotated[
        bool, typer.Option(help="Also write what each tile holds (needs an .npz output).")
    ] = False,
    jobs: Annotated[int | None, typer.Option(help="Workers.")] = None,
    as_json: Json = False,
):
    """Predict totals of fields of any size.

    The model file is unpickled, which runs what is in it: open only files that you trust.
    """
    try:
        if contributions and (output is None or output.suffix != ".npz"):
            raise ValueError("--contributions needs --output with a name that ends in .npz.")
        if output is not None and output.suffix not in {".npy", ".npz"}:
            raise ValueError(f"--output must end in .npy or .npz, got {output}.")
        if not model.exists():
            raise FileNotFoundError(f"{model} does not exist.")
        estimator = joblib.load(model)
        if not hasattr(estimator, "predict_contributions"):
            raise ValueError(f"{model} holds a {type(estimator).__name__}, not a fitted model.")
        X = read_array(fields, FIELD_KEYS)
        if jobs is not None:
            estimator.evaluation_.set_params(n_jobs=jobs)
        y = estimator.predict(X)
        results = {"y": y}
        if contributions:
            results["contributions"] = estimator.predict_contributions(X)
        if output is not None:
            np.save(output, y) if output.suffix == ".npy" else np.savez(output, **results)
    except (EDNNError, ValueError, OSError) as error:
        raise _fail(error) from None
    if as_json:
        out.print_json(json.dumps({"y": np.asarray(y).tolist(), "output": output and str(output)}))
    elif output is None:
        for value in y:
            out.print(repr(value.tolist()), highlight=False)
    else:
        out.print(f"{len(y)} totals written to {output}")


@app.command()
def info(as_json: Json = False):
    """Say which optional libraries are there, and which tile models."""
    versions = {}
    for name in ("sk-ednn", "numpy", "scipy", "scikit-learn", "torch", "skorch", "dask",
                 "distributed", "ase", "matplotlib", "h5py", "zarr"):  # fmt: skip
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = None
    models = {name: text for name, (_, text) in TILE_MODELS.items()}
    if as_json:
        out.print_json(json.dumps({"versions": versions, "models": models}))
        return
    table = Table("library", "version")
    for name, number in versions.items():
        table.add_row(name, number or "[dim]not installed[/dim]")
    out.print(table)
    table = Table("tile model", "what it is")
    for name, text in models.items():
        table.add_row(name, text)
    out.print(table)


@app.command()
def demo(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the figure and the numbers.")
    ] = Path("demo"),
    seed: Annotated[int, typer.Option(help="Random state.")] = 0,
    as_json: Json = False,
):
    """Train on 8 x 8 spins and predict 128 x 128; fit real sheets and predict larger ones."""
    from ._demo import run

    try:
        report = run(output, seed, err if as_json else out)
    except (EDNNError, OSError) as error:
        raise _fail(error) from None
    if as_json:
        out.print_json(json.dumps(report))
