"""The command ``fit``: read, choose, fit, measure, write."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import numpy as np
import typer

from .. import files as model_files
from .._doubts import warn_of_standardised
from .._regressor import EDNNRegressor
from ..metrics import extensive_errors
from . import _config
from ._errors import not_half
from ._inputs import (
    chosen,
    data_line,
    read_fields,
    read_targets,
    require_model_name,
    tiling_of,
)
from ._models import TILE_MODELS, suited
from ._paths import check_paths, may_replace
from ._report import check_report, write_report

BASELINES = {"size": "size", "content": "content", "none": None}


class Described(NamedTuple):
    """What is said of a fit besides its numbers: the shape of the totals, and what was replaced."""

    several: bool
    replaced: bool


def run(ctx: typer.Context, asked) -> tuple[dict[str, Any], Described]:
    """Fit as the options say; write the model, and the report and settings where asked for.

    Parameters
    ----------
    ctx : typer.Context
    asked : namespace
        The parameters of the command, by name.

    Returns
    -------
    found : dict
        What ``--json`` prints.
    described : Described
    """
    tiling, baseline = _check(asked)
    X, y = _read(asked)
    tiling.check(X[:1])
    replaced = may_replace("--output", asked.output, asked.force)
    _say(asked, data_line(X, y, tiling))
    warn_of_standardised(y)  # before a part of them is taken
    parts = _parts(X, y, asked)
    name, why = asked.model, None
    if name == "auto":
        name, why = suited(tiling, *parts["train"], baseline)
        _say(asked, f"tile model: {name} ({why}); --model takes another")
    estimator = EDNNRegressor(
        TILE_MODELS[name][0](),
        tiling,
        baseline=baseline,
        random_state=asked.seed,
        n_jobs=asked.jobs,
        verbose=0 if asked.quiet or asked.as_json else 1,
    )
    start = time.perf_counter()
    with not_half():
        estimator.fit(*parts["train"])
    seconds = time.perf_counter() - start
    errors = {which: _errors(part[1], estimator.predict(part[0])) for which, part in parts.items()}
    found: dict[str, Any] = {
        "model": name,
        **({} if why is None else {"chosen as": why}),
        "strategy": type(estimator.summing_).__name__,
        "n_train": len(parts["train"][0]),
        "n_test": len(parts["test"][0]) if "test" in parts else 0,
        "output": str(asked.output),
        **errors,
    }
    _write(ctx, asked, estimator, parts, found, seconds)
    return found, Described(y.ndim == 2, replaced)


def show(found, described) -> None:
    """Print what `run` returned, for reading."""
    from rich.console import Console
    from rich.table import Table

    table = Table("errors of totals", "median", "mean", "rmse", "bias")
    for name in ("train", "test"):
        if name not in found:
            continue
        values = found[name]
        for k, column in enumerate(values if described.several else [values]):
            label = f"{name}, output {k}" if described.several else name
            table.add_row(label, *(f"{value:.4g}" for value in column.values()))
    Console().print(table)
    instead = ", in the place of the file that was there" if described.replaced else ""
    typer.echo(
        f"{found['strategy']} on {found['n_train']} systems; written to {found['output']}{instead}"
    )
    if "report" in found:
        typer.echo(f"report written to {found['report']}")


# --- steps ------------------------------------------------------------------------------------


def _check(asked):
    """Return the tiling and the baseline; raise where anything asked for cannot be done."""
    chosen("--model", asked.model, {"auto": None, **TILE_MODELS})
    tiling = tiling_of(asked.focus, asked.context, asked.boundary, asked.channel_axis)
    baseline = chosen("--baseline", asked.baseline, BASELINES)
    require_model_name(asked.output)
    check_report(asked.report)
    _config.check(asked.save_config)
    check_paths(asked)
    return tiling, baseline


def _read(asked) -> tuple[np.ndarray, np.ndarray]:
    fields, targets = asked.fields, asked.targets or asked.fields
    X, y = read_fields(fields), read_targets(targets)
    if len(y) != len(X):
        raise ValueError(
            f"{fields} holds {len(X)} fields of shape {X.shape[1:]}, but {targets} "
            f"holds {len(y)} targets. Fields are an array of shape (n_systems, *field_shape)."
        )
    return X, y[:, 0] if y.shape[1:] == (1,) else y


def _parts(X, y, asked) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return the systems to fit, and those that are held back where there are any."""
    order = np.random.default_rng(asked.seed).permutation(len(X))
    test, train = map(np.sort, np.split(order, [round(asked.test_fraction * len(X))]))
    parts = {"train": (X[train], y[train])}
    return parts | ({"test": (X[test], y[test])} if len(test) else {})


def _write(ctx, asked, estimator, parts, found, seconds) -> None:
    """Write all files that were asked for, and say in `found` which."""
    about = {
        "made by": "sk-ednn fit",
        "errors of totals": {which: found[which] for which in parts},
    }
    found["sha256"] = model_files.save(estimator, asked.output, unit=asked.unit, about=about)
    if asked.report is not None:
        about = {
            "command": _config.command_line(ctx),
            "model file": str(asked.output),
            "sha256": found["sha256"],
            "time of the fit": f"{seconds:.3g} s",
        }
        write_report(asked.report, estimator, parts, asked.unit, about)
        found["report"] = str(asked.report)
    _config.write(ctx, asked.save_config)


def _errors(true, predicted):
    """Return the errors by name; a list of such where there are several outputs."""
    if true.ndim == 1:
        return extensive_errors(true, predicted).as_dict()
    return [extensive_errors(*column).as_dict() for column in zip(true.T, predicted.T, strict=True)]


def _say(asked, text) -> None:
    if not (asked.quiet or asked.as_json):
        typer.echo(text, err=True)
