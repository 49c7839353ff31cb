"""The command ``predict``."""

from __future__ import annotations

import numpy as np
import typer

from . import _config
from ._files import write_arrays
from ._inputs import load_model, read_fields
from ._paths import check_paths


def run(ctx: typer.Context, asked) -> np.ndarray:
    """Predict as the options say, and write what was asked for.

    Parameters
    ----------
    ctx : typer.Context
    asked : namespace
        The parameters of the command, by name.

    Returns
    -------
    ndarray of shape (n_samples,) or (n_samples, n_outputs)
    """
    _check(asked)
    estimator = load_model(asked.model, asked.max_bytes)
    X = read_fields(asked.fields)
    estimator.evaluation_.set_params(verbose=0 if asked.quiet or asked.as_json else 1)
    if asked.jobs is not None:
        estimator.evaluation_.set_params(n_jobs=asked.jobs)
    results = {"y": estimator.predict(X)}
    if asked.contributions:
        maps = estimator.predict_contributions(X)
        named = maps.items() if isinstance(maps, dict) else [("", maps)]
        results |= {"_".join(filter(None, ["contributions", k])): v for k, v in named}
    y, output = results["y"], asked.output
    if output is not None:
        write_arrays(output, results)
    _config.write(ctx, asked.save_config)
    return y


def show(y, output) -> None:
    """Print totals, or where they were written to."""
    if output is None:
        for value in y.tolist():
            typer.echo(repr(value))
    else:
        typer.echo(f"{len(y)} totals written to {output}")


def _check(asked) -> None:
    """Raise where what is asked for cannot be done."""
    output = asked.output
    if output is not None and output.suffix not in {".npy", ".npz"}:
        raise ValueError(f"--output must end in .npy or .npz, got {output}.")
    if asked.contributions and (output is None or output.suffix != ".npz"):
        raise ValueError("--contributions needs --output with a name that ends in .npz.")
    _config.check(asked.save_config)
    check_paths(asked)
