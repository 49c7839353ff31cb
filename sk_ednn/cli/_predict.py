"""The command ``predict``."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import typer

from .._utils.writing import replacing
from . import _config
from ._files import check_array_file, check_readable, write_arrays
from ._inputs import load_model, read_fields
from ._looks import printable
from ._paths import check_paths

_ENDINGS = (".csv", ".npy", ".npz")


class Predicted(NamedTuple):
    """Totals, and what they are of.

    Attributes
    ----------
    y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
    fields : str
        Where the fields are from.
    unit : str or None
    output : Path or None
        Where the totals were written to.
    """

    y: np.ndarray
    fields: str
    unit: str | None
    output: Path | None

    def as_dict(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        return {"y": self.y.tolist(), "output": None if self.output is None else str(self.output)}


def run(ctx: typer.Context, asked) -> Predicted:
    """Predict as the options say, and write what was asked for.

    Parameters
    ----------
    ctx : typer.Context
    asked : namespace
        The parameters of the command, by name.
    """
    _check(asked)
    estimator, X, places = _read(asked)
    estimator.evaluation_.set_params(verbose=0 if asked.quiet or asked.as_json else 1)
    if asked.jobs is not None:
        estimator.evaluation_.set_params(n_jobs=asked.jobs)
    results = {"y": estimator.predict(X)}
    if asked.contributions:
        maps = _contributions(estimator, X, asked.model)
        named = maps.items() if isinstance(maps, dict) else [("", maps)]
        for key, values in named:
            name = "_".join(filter(None, ["contributions", key]))
            if isinstance(values, np.ndarray):
                results[name] = values
            else:  # fields of several shapes
                results |= {f"{name}_{k}": of_one for k, of_one in enumerate(values)}
    y, output = results["y"], asked.output
    if output is None:
        pass
    elif output.suffix == ".csv":
        from ._structures import write_csv

        write_csv(output, places, y)
    else:
        np.save(output, y) if output.suffix == ".npy" else np.savez(output, **results)
    _config.write(ctx, asked.save_config)
    return predicted


def _read(asked):
    """Return the regressor, fields to predict, and the names of the structures they are of."""
    from ..atoms._paths import are_structures

    model = load_model(asked.model, asked.max_bytes)
    if are_structures(asked.fields):
        from ._structures import fields_for

        return fields_for(model, asked.fields)
    if hasattr(model, "steps"):
        raise ValueError(
            f"{asked.model} is a model of structures of atoms, and {asked.fields} is no file of "
            "them that ASE reads, such as .extxyz, .traj or POSCAR."
        )
    X = read_fields(asked.fields)
    return model, X, [f"{asked.fields}, field {k}" for k in range(len(X))]


def show(y, output) -> None:
    """Print totals, or where they were written to."""
    if output is None:
        for value in y.tolist():
            typer.echo(repr(value))
    else:
        typer.echo(f"{len(y)} totals written to {output}")


def _check(asked) -> None:
    """Raise where what is asked for cannot be done, as far as can be told without reading."""
    output = asked.output
    if output is not None:
        if output.suffix not in {".npy", ".npz", ".csv"}:
            raise ValueError(f"--output must end in .npy, .npz or .csv, got {output}.")
        check_writable(output)
    if asked.contributions and (output is None or output.suffix != ".npz"):
        raise ValueError("--contributions needs --output with a name that ends in .npz.")
    check_readable(asked.model)
    check_array_file(asked.fields)
    _config.check(asked.save_config)
    check_paths(asked)


def _field_ndim(estimator) -> int | None:
    """Return how many axes a field has that the model was fitted to; None where it cannot say.

    What stands before it in a Pipeline may take fields of other axes, or no fields at all.
    """
    from .._around import regressors_within

    if hasattr(estimator, "steps"):
        return None
    return next((one._field_ndim for one in regressors_within(estimator)), None)


def _evaluate_with(estimator, **params) -> bool:
    """Set how the parts of a model are evaluated; tell whether there are any that can be."""
    from .._around import regressors_within

    regressors = regressors_within(estimator)
    for regressor in regressors:
        regressor.evaluation_.set_params(**params)
    return bool(regressors)


def _contributions(estimator, X, path):
    """Return what the tiles hold, where the model says so; X goes through what stands before it."""
    if hasattr(estimator, "steps"):
        return _contributions(estimator.steps[-1][1], estimator[:-1].transform(X), path)
    if not hasattr(estimator, "predict_contributions"):
        raise ValueError(
            f"{path} holds a {type(estimator).__name__}, which predicts totals alone: leave out "
            "--contributions."
        )
    return estimator.predict_contributions(X)


def _unit(asked) -> str | None:
    """Return the unit that the model's file gives, where it will be shown."""
    if asked.as_json or (asked.output is not None and asked.output.suffix != ".csv"):
        return None
    from .. import files as model_files

    return model_files.describe(asked.model, max_bytes=asked.max_bytes)["units"]


def _write_table(predicted) -> None:
    rows = _rows(predicted.y)
    several = rows.shape[1] > 1
    names = [f"total {k}" for k in range(rows.shape[1])] if several else ["total"]
    unit = f" ({predicted.unit})" if predicted.unit else ""
    with replacing(predicted.output, "w", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["index", *(f"{name}{unit}" for name in names)])
        table.writerows([index, *map(repr, row)] for index, row in enumerate(rows.tolist()))


def _rows(y) -> np.ndarray:
    return np.asarray(y).reshape(len(y), -1)
