"""The command ``fit``: read data, choose a tile model, fit, measure errors and write files."""

from __future__ import annotations

import sys
import time
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import typer

from . import _config, _densities, _potentials, _runs
from ._encoders import check_encoding
from ._errors import Interrupts, not_half
from ._files import check_array_file
from ._fit_data import (
    drawn_structures,
    encoded,
    hint_of_values,
    read_structures,
    read_systems,
    split_of,
    taken,
    warn_of_totals,
)  # fmt: skip
from ._fit_results import measured, write_files
from ._inputs import chosen, data_line, require_model_name, say
from ._models import TILE_MODELS, suited, tile_model
from ._networks import NETWORKS, check_options, interrupted, with_options
from ._paths import check_paths, may_replace
from ._report import check_name, check_report
from ._structure_names import are_structures, check_structure_options

# No heavy imports here: the options are checked before.

BASELINES = {"size": "size", "content": "content", "none": None}


class Description(NamedTuple):
    """Properties of a fit for its output: several outputs, and a file that was replaced."""

    several: bool
    replaced: bool


def run(ctx: typer.Context, asked) -> tuple[dict[str, Any], Description | None]:
    """Fit a model, and write it together with the report and settings.

    Parameters
    ----------
    ctx : typer.Context
    asked : namespace
        The parameters of the command, by name.

    Returns
    -------
    found : dict
        The output of ``--json``.
    description : Description
        None for a potential.
    """
    _runs.place_output(ctx, asked, "model.ednn")
    _runs.place_report(asked)
    _check(ctx, asked)
    inputs = f"{asked.fields} and {asked.targets}" if asked.targets else asked.fields
    say(asked, f"reading {inputs}")
    check_report(asked.report)
    read = read_structures(asked)
    if read is not None and _potentials.wants(ctx, asked, read):
        return _potentials.run(ctx, asked, read, partial(say, asked)), None
    check_options(asked)
    atoms = drawn_structures(ctx, asked, read)
    X, y, tiling, encoder = read_systems(asked) if atoms is None else atoms.systems()
    replaced = may_replace("--output", asked.output, asked.force)
    if atoms is None:
        say(asked, data_line(X, y) if isinstance(X, np.ndarray) else _densities.line(X, y))
        if isinstance(X, np.ndarray):
            hint_of_values(asked, X, tiling)
    warn_of_totals(y)  # all of them, before the split
    split = split_of(len(X), asked)
    parts = {which: (taken(X, some), y[some]) for which, some in split.items()}
    train = (encoded(encoder, parts["train"][0]), parts["train"][1])
    name, why, made = _tile_model(asked, atoms, tiling, train)
    regressor = _estimator(name, made, tiling, asked)
    estimator = _behind(encoder, regressor)
    del train
    gradient = None if atoms is None else atoms.gradients_of(split["train"])
    _runs.log_stage(asked, "fit")
    start = time.perf_counter()
    kept = _fitted(estimator, name, parts["train"], gradient, asked)
    seconds = time.perf_counter() - start
    found: dict[str, Any] = {
        "model": name,
        **({} if why is None else {"chosen as": why}),
        "strategy": type(regressor.solver_).__name__,
        **({} if kept is None else {"interrupted": kept}),
        **{f"n_{which}": len(split.get(which, ())) for which in ("train", "test")},
        "output": str(asked.output),
    }
    errors, verdict = measured(estimator, parts, asked)
    found |= errors | ({} if atoms is None else atoms.chosen) | {"verdict": verdict}
    model = estimator if atoms is None else atoms.piped(estimator)
    write_files(ctx, asked, model, estimator, parts, found, seconds)
    _runs.keep_results(asked, {**found, "seconds": round(seconds, 3)}, stopped=kept)
    return found, Description(y.ndim == 2, replaced)


def show(found, description) -> None:
    """Print the result of `run`."""
    if description is None:
        _potentials.show(found)
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("errors of totals", "median", "mean", "rmse", "bias")
    for name in ("train", "test"):
        if name not in found:
            continue
        values = found[name]
        for k, column in enumerate(values if description.several else [values]):
            label = f"{name}, output {k}" if description.several else name
            table.add_row(label, *(f"{value:.4g}" for value in column.values()))
    Console().print(table)
    verdicts = found["verdict"] if description.several else [found["verdict"]]
    for k, verdict in enumerate(verdicts):
        which = f"output {k}: " if description.several else ""
        typer.echo(f"verdict: {which}{verdict['words']}")
    instead = ", replacing the existing file" if description.replaced else ""
    typer.echo(
        f"{found['strategy']} on {found['n_train']} systems; written to {found['output']}{instead}"
    )
    if "interrupted" in found:
        typer.echo(f"{found['interrupted']} (also noted in the file)")
    if "report" in found:
        typer.echo(f"report written to {found['report']}")


# --- steps ------------------------------------------------------------------------------------


def _check(ctx, asked) -> None:
    """Raise if options are invalid, as far as possible without reading data."""
    names = {"auto": None, **TILE_MODELS, **dict.fromkeys(_potentials.POTENTIALS)}
    chosen("--model", asked.model, names)
    chosen("--baseline", asked.baseline, BASELINES)
    structures = are_structures(asked.fields)
    if asked.model in _potentials.POTENTIALS and not structures:
        raise ValueError(
            f"--model {asked.model} is for structures of atoms, but {asked.fields} is not a file "
            "of structures."
        )
    if structures:
        _potentials.check(ctx, asked)
    if not (structures and _potentials.may_be(ctx, asked)):
        check_options(asked)
    check_encoding(asked)
    require_model_name(asked.output)
    check_name(asked.report)
    check_structure_options(asked)
    _densities.check_densities(asked)
    if not (structures or _densities.are_densities(asked.fields)):
        check_array_file(asked.fields)
    if asked.targets is not None:
        check_array_file(asked.targets)
    _config.check(asked.save_config)
    check_paths(asked)


def _tile_model(asked, atoms, tiling, train) -> tuple:
    """Return the name of the tile model, the reason for its choice or None, and the tile model."""
    (fields, totals), name, why, made = train, asked.model, None, None
    if name == "auto" and atoms is not None:
        made, name, why = atoms.tile_model(fields)
    elif name == "auto":
        if not isinstance(fields, np.ndarray):  # judge by those of the most frequent shape
            shapes = [field.shape for field in fields]
            some = [k for k, s in enumerate(shapes) if s == max(shapes, key=shapes.count)]
            fields, totals = np.stack([fields[k] for k in some]), totals[some]
        with not_half():
            name, why = suited(
                tiling, fields, totals, BASELINES[asked.baseline], partial(say, asked)
            )
    if why is not None:
        say(asked, f"tile model: {name} ({why}); choose another with --model")
    if made is None:
        made = tile_model(name, tiling, (len(fields), *fields[0].shape))
    return name, why, made


def _estimator(name, made, tiling, asked):
    """Return the regressor with a tile model."""
    from ..estimators._regressor import EDNNRegressor

    made, solver = with_options(made, asked)
    solver = _runs.following(solver, name, asked)
    return EDNNRegressor(
        made,
        tiling,
        solver=solver,
        baseline=BASELINES[asked.baseline],
        random_state=asked.seed,
        n_jobs=asked.jobs,
        verbose=0 if asked.quiet or asked.as_json else 1,
    )


def _behind(encoder, regressor):
    """Return the regressor, in a Pipeline if there is an encoder."""
    if encoder is None:
        return regressor
    from sklearn.pipeline import make_pipeline

    return make_pipeline(encoder, regressor)


def _fitted(estimator, name, train, gradient, asked) -> str | None:
    """Fit; return a description of an interrupted training, or None."""
    with Interrupts(asked.checkpoint).watched() as interrupts:
        estimator.fit(*train, **({} if gradient is None else {"gradient": gradient}))
        if asked.recorder is not None:
            asked.recorder.finishing()
    _follow_up(estimator, asked)
    if not interrupts.seen:
        return None
    if name not in NETWORKS:
        interrupts.end()
    done = interrupted(estimator)
    keep = asked.keep_on_interrupt or _is_stopped(asked)
    if not keep and sys.stdin.isatty() and sys.stderr.isatty():
        keep = typer.confirm(f"{done}. Write it?", err=True)
    if not keep:
        interrupts.end()
    return done


def _is_stopped(asked) -> bool:
    """Return True if the run received the command "stop", so that there is no user to ask."""
    return asked.recorder is not None and asked.recorder.stop_requested


def _follow_up(estimator, asked) -> None:
    """Log epochs that the training did not report, and remove the recorder from the model."""
    if asked.recorder is None:
        return
    from .._utils.steps import front_and_last

    _, regressor = front_and_last(estimator)
    _runs.forget(asked, regressor.solver, regressor.solver_)
    _, net = front_and_last(regressor.tile_model_.estimator)
    curve = getattr(net, "loss_curve_", ())  # of MLPRegressor
    scores = getattr(net, "validation_scores_", None) or ()
    for k, loss in enumerate(curve):
        more = {"valid_r2": scores[k]} if k < len(scores) else {}
        asked.recorder.log(k + 1, train_loss=loss, **more)
