"""The commands of ``sk-ednn``."""

from __future__ import annotations

import json
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from .. import files as model_files
from .._regressor import EDNNRegressor
from ..exceptions import EDNNError
from ..metrics import extensive_errors
from ..tiling import GridTiling
from ._files import check_writable, read_array
from ._looks import cut, draw_cut, printable, report_of
from ._models import TILE_MODELS

app = typer.Typer(
    name="sk-ednn",
    help="Predict an extensive quantity of large systems, trained on small ones.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

FIELD_KEYS = ("X", "fields", "x", "data")
TARGET_KEYS = ("y", "targets", "energies", "energy", "totals")
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
    fields: Fields,
    targets: Annotated[
        str | None, typer.Argument(help="Totals; left out, they are in the same file.")
    ] = None,
    model: Annotated[
        str, typer.Option("--model", "-m", help=f"Tile model: {', '.join(TILE_MODELS)}.")
    ] = "kernel",
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
    units: Annotated[
        str | None, typer.Option(help="Of the totals, such as eV: for those who read the file.")
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File for the fitted model.")
    ] = Path("model.ednn"),
    as_json: Json = False,
    quiet: Quiet = False,
):
    """Fit a tile model to totals, and write the fitted model to a file."""
    with _one_line_errors():
        tile_model = _chosen("--model", model, TILE_MODELS)[0]()
        estimator = EDNNRegressor(
            tile_model,
            _tiling(focus, context, boundary, channel_axis),
            baseline=_chosen("--baseline", baseline, BASELINES),
            random_state=seed,
            n_jobs=jobs,
            verbose=0 if quiet or as_json else 1,
        )
        _require_model_name(output)
        check_writable(output)
        X, y = _read_fields(fields), _read_targets(targets or fields)
        if len(y) != len(X):
            raise ValueError(
                f"{fields} holds {len(X)} fields, but {targets or fields} holds {len(y)} targets."
            )
        y = y[:, 0] if y.shape[1:] == (1,) else y
        order = np.random.default_rng(seed).permutation(len(X))
        parts = dict(
            zip(
                ("test", "train"),
                map(np.sort, np.split(order, [round(test_fraction * len(X))])),
                strict=True,
            )
        )
        estimator.fit(X[parts["train"]], y[parts["train"]])
        report: dict[str, Any] = {
            "model": model,
            "strategy": type(estimator.summing_).__name__,
            "n_train": len(parts["train"]),
            "n_test": len(parts["test"]),
            "output": str(output),
        }
        for name in ("train", "test"):
            if len(parts[name]):
                report[name] = _errors(y[parts[name]], estimator.predict(X[parts[name]]))
        errors = {name: report[name] for name in ("train", "test") if name in report}
        about = {"made by": "sk-ednn fit", "errors of totals": errors}
        report["sha256"] = model_files.save(estimator, output, units=units, about=about)
    if as_json:
        _print_json(report)
        return
    table = Table("errors of totals", "median", "mean", "rmse", "bias")
    for name in ("train", "test"):
        errors = report.get(name, [])
        for k, values in enumerate([errors] if isinstance(errors, dict) else errors):
            label = name if y.ndim == 1 else f"{name}, output {k}"
            table.add_row(label, *(f"{value:.4g}" for value in values.values()))
    Console().print(table)
    typer.echo(f"{report['strategy']} on {report['n_train']} systems; written to {output}")


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
    jobs: Jobs = None,
    max_bytes: Annotated[
        int | None, typer.Option(help="Memory for what the model file says of itself.")
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
):
    """Predict totals of fields of any size.

    Nothing in the model file is run, and a damaged one is refused.
    """
    with _one_line_errors():
        if output is not None:
            if output.suffix not in {".npy", ".npz"}:
                raise ValueError(f"--output must end in .npy or .npz, got {output}.")
            check_writable(output)
        if contributions and (output is None or output.suffix != ".npz"):
            raise ValueError("--contributions needs --output with a name that ends in .npz.")
        estimator = _load_model(model, max_bytes)
        X = _read_fields(fields)
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
    as_json: Json = False,
):
    """Say what a model file holds; nothing of it is run."""
    with _one_line_errors():
        _require_file(model)
        found = model_files.describe(model)
    if as_json:
        _print_json(found)
        return
    table = Table("", "", title=str(model), show_header=False)
    for name, value in report_of(found):
        table.add_row(printable(name), printable(value))
    Console().print(table)


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
    with _one_line_errors():
        if output is not None:
            check_writable(output)
        tiling = _tiling(focus, context, boundary, channel_axis)
        X = _read_fields(fields)
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

    with _one_line_errors():
        report = run(output, seed, Console(stderr=as_json))
    if as_json:
        _print_json(report)


# --- what goes in -----------------------------------------------------------------------------


def _chosen(option: str, value: str, choices: dict[str, Any]):
    if value not in choices:
        raise ValueError(f"{option} must be one of {', '.join(choices)}; got {value!r}.")
    return choices[value]


def _sizes(option: str, text: str):
    """Read '2', 'none' or '2,2,1' as GridTiling takes it."""
    try:
        values = [None if part.strip().lower() == "none" else int(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(
            f"{option} must be a whole number, or one per axis with commas; got {text!r}."
        ) from None
    return values[0] if len(values) == 1 else tuple(values)


def _read_fields(name: str) -> np.ndarray:
    X = read_array(name, FIELD_KEYS)
    if X.ndim < 2:
        raise ValueError(
            f"{name} must hold fields, an array of shape (n_samples, *field_shape); got {X.shape}."
        )
    return _numbers(name, X)


def _read_targets(name: str) -> np.ndarray:
    y = read_array(name, TARGET_KEYS)
    if y.ndim not in (1, 2):
        raise ValueError(
            f"{name} must hold targets, an array of shape (n_samples,) or (n_samples, n_outputs); "
            f"got {y.shape}. Name their file behind that of the fields."
        )
    return _numbers(name, y)


def _numbers(name: str, values: np.ndarray) -> np.ndarray:
    """Return values as they are, or say which is no number, counted as in the file."""
    if values.dtype.kind not in "biuf":
        raise ValueError(f"{name} must hold real numbers; got an array of type {values.dtype}.")
    if values.dtype.kind == "f":
        for k, value in enumerate(values):
            if not np.isfinite(value).all():
                place = [k, *np.argwhere(~np.isfinite(value))[0].tolist()]
                raise ValueError(f"{name} holds NaN or infinity, first at {place}.")
    return values


def _load_model(path: Path, max_bytes: int | None):
    _require_file(path)
    estimator = model_files.load(path, max_bytes=max_bytes)
    if not hasattr(estimator, "tile_model_"):
        raise ValueError(
            f"{path} holds a {type(estimator).__name__}; `sk-ednn predict` is for an "
            "EDNNRegressor, as `sk-ednn fit` writes it. Use it from Python: sk_ednn.files.load."
        )
    return estimator


def _require_file(path: Path) -> None:
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist.")


def _require_model_name(path: Path) -> None:
    if path.suffix.lower() in {".joblib", ".pkl", ".pickle"}:
        raise ValueError(
            f"{path} would be taken for a pickle, which it will not be: call it "
            f"{path.with_suffix('.ednn')}."
        )


def _tiling(focus, context, boundary, channel_axis) -> GridTiling:
    return GridTiling(
        _sizes("--focus", focus),
        _sizes("--context", context),
        boundary=boundary,
        channel_axis=channel_axis,
    )


# --- what comes out ---------------------------------------------------------------------------


def _errors(true, predicted):
    """Return the errors by name; a list of such where there are several outputs."""
    if true.ndim == 1:
        return extensive_errors(true, predicted).as_dict()
    return [extensive_errors(*column).as_dict() for column in zip(true.T, predicted.T, strict=True)]


def _print_json(report) -> None:
    typer.echo(json.dumps(report))


@contextmanager
def _one_line_errors():
    """Say in one line what is wrong with what was given, and exit with 1."""
    try:
        yield
    except (EDNNError, ValueError, TypeError, OSError, MemoryError) as error:
        why = str(error).partition("\n")[0] or type(error).__name__
        typer.echo(f"error: {why}", err=True)
        raise typer.Exit(1) from None
