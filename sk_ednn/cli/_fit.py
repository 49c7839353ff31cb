"""The command ``fit``: read, choose, fit, measure, write."""

from __future__ import annotations

import sys
import time
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import typer

from . import _config
from ._errors import Interrupts, not_half
from ._files import check_array_file
from ._inputs import (
    chosen,
    data_line,
    read_fields,
    read_targets,
    require_model_name,
    tiling_of,
)
from ._models import TILE_MODELS, suited, tile_model
from ._networks import NETWORKS, check_options, with_options
from ._paths import check_paths, may_replace
from ._report import check_name, check_report, write_report

# Nothing heavy is imported here, but where it is needed: first what was asked for is checked, and
# said.

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
    atoms = _drawn(ctx, asked)
    if atoms is None:
        X, y = _read(asked)
        tiling.check(X[:1])
        _say(asked, data_line(X, y, tiling))
    else:
        X, y, tiling, baseline = atoms.fields, atoms.energies, atoms.tiling, atoms.baseline
    replaced = asked.output.exists()
    warn_of_standardised(y)  # before a part of them is taken
    split = _split(len(X), asked)
    parts = {which: (_taken(X, some), y[some]) for which, some in split.items()}
    known = None
    if atoms is not None and atoms.gradients is not None:
        known = _taken(atoms.gradients, split["train"])
    name, why, begun = asked.model, None, None
    if name == "auto" and atoms is not None:
        begun, name, why = _structures().tile_model(atoms.draw, tiling, parts["train"][0])
        _say(asked, f"tile model: {name} ({why}); --model takes another")
    elif name == "auto":
        name, why = suited(tiling, *parts["train"], baseline)
        _say(asked, f"tile model: {name} ({why}); --model takes another")
    estimator = EDNNRegressor(
        TILE_MODELS[name][0]() if begun is None else begun,
        tiling,
        baseline=baseline,
        random_state=asked.seed,
        n_jobs=asked.jobs,
        verbose=0 if asked.quiet or asked.as_json else 1,
    )
    start = time.perf_counter()
    with not_half():
        estimator.fit(*parts["train"], gradient=known)
    seconds = time.perf_counter() - start
    predicted = {which: estimator.predict(part[0]) for which, part in parts.items()}
    errors = {
        which: _per_output(_errors, part[1], predicted[which]) for which, part in parts.items()
    }
    judged = "test" if "test" in parts else "train"
    found: dict[str, Any] = {
        "model": name,
        **({} if why is None else {"chosen as": why}),
        "strategy": type(estimator.summing_).__name__,
        **({} if kept is None else {"interrupted": kept}),
        "n_train": len(parts["train"][0]),
        "n_test": len(parts["test"][0]) if "test" in parts else 0,
        "output": str(asked.output),
        **errors,
        **({} if atoms is None else atoms.chosen),
    }
    _write(ctx, asked, estimator, parts, found, seconds, atoms)
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
    verdicts = found["verdict"] if described.several else [found["verdict"]]
    for k, verdict in enumerate(verdicts):
        which = f"output {k}: " if described.several else ""
        typer.echo(f"verdict: {which}{verdict['words']}")
    instead = ", in the place of the file that was there" if described.replaced else ""
    typer.echo(
        f"{found['strategy']} on {found['n_train']} systems; written to {found['output']}{instead}"
    )
    if "interrupted" in found:
        typer.echo(f"{found['interrupted']}: the file says so, too")
    if "report" in found:
        typer.echo(f"report written to {found['report']}")


# --- steps ------------------------------------------------------------------------------------


def _check(asked) -> None:
    """Raise where what is asked for cannot be done, as far as can be told without reading."""
    chosen("--model", asked.model, {"auto": None, **TILE_MODELS})
    chosen("--baseline", asked.baseline, BASELINES)
    check_options(asked)
    require_model_name(asked.output)
    check_name(asked.report)
    check_array_file(asked.fields)
    check_array_file(asked.targets or asked.fields)
    _config.check(asked.save_config)
    check_paths(asked)


def _read(asked) -> tuple[np.ndarray, np.ndarray]:
    fields, targets = asked.fields, asked.targets or asked.fields
    X, y = read_fields(fields), read_targets(targets)
    if len(y) != len(X):
        raise ValueError(
            f"{fields} holds {len(X)} fields of shape {X.shape[1:]}, but {targets} "
            f"holds {len(y)} targets. Fields are an array of shape (n_systems, *field_shape)."
        )
    return X, _totals(y)


def _structures():
    """The part that needs ASE, imported where there are structures."""
    from . import _structures

    return _structures


def _drawn(ctx, asked):
    """Return drawn structures, or None where fields are given."""
    from ..atoms._paths import are_structures

    if not are_structures(asked.fields):
        _require_fields(asked)
        return None
    _structures().require_other_files(asked)
    targets = None if asked.targets is None else _totals(read_targets(asked.targets))
    return _structures().drawn(ctx, asked, lambda text: _say(asked, text), targets)


def _require_fields(asked) -> None:
    """Raise where options for structures are given with fields."""
    for name in ("spacing", "width", "plane", "energy", "forces"):
        if getattr(asked, name):
            raise ValueError(
                f"--{name} is for structures of atoms; {asked.fields} is no file of them that ASE "
                "reads, such as .extxyz, .traj or POSCAR."
            )


def _totals(y):
    return y[:, 0] if y.shape[1:] == (1,) else y


def _split(n, asked) -> dict[str, np.ndarray]:
    """Return the systems to fit, and those that are held back where there are any."""
    order = np.random.default_rng(asked.seed).permutation(n)
    test, train = map(np.sort, np.split(order, [round(asked.test_fraction * n)]))
    return {"train": train} | ({"test": test} if len(test) else {})


def _taken(X, some):
    """Return some systems, of a list where fields have several shapes."""
    return X[some] if isinstance(X, np.ndarray) else [X[k] for k in some]


def _write(ctx, asked, estimator, parts, found, seconds, atoms) -> None:
    """Write all files that were asked for, and say in `found` which."""
    about = {
        "made by": "sk-ednn fit",
        "errors of totals": {which: found[which] for which in parts},
        "verdict": found["verdict"],
        **({"interrupted": found["interrupted"]} if "interrupted" in found else {}),
    }
    model, unit = estimator, asked.unit
    if atoms is not None:
        from sklearn.pipeline import make_pipeline

        model, unit = make_pipeline(atoms.draw, estimator), unit or "eV"
    found["sha256"] = model_files.save(model, asked.output, unit=unit, about=about)
    if asked.report is not None:
        about = {
            "command": _config.command_line(ctx),
            "model file": str(asked.output),
            "sha256": found["sha256"],
            "time of the fit": f"{seconds:.3g} s",
            **({"interrupted": found["interrupted"]} if "interrupted" in found else {}),
        }
        write_report(asked.report, estimator, parts, unit, about)
        found["report"] = str(asked.report)
    _config.write(ctx, asked.save_config)


def _per_output(function, true, predicted):
    """Return what a function says of totals; a list where there are several for each system."""
    if true.ndim == 1:
        return function(true, predicted)
    return [function(*column) for column in zip(true.T, predicted.T, strict=True)]


def _errors(true, predicted) -> dict[str, float]:
    from ..metrics import extensive_errors

    return extensive_errors(true, predicted).as_dict()


def _verdict(true, predicted, held_back) -> dict[str, Any]:
    from ..metrics import judge

    # All fields of a file have one size: the count of sites is a constant, as the mean is.
    return judge(true, predicted, held_back=held_back).as_dict()


def _say(asked, text) -> None:
    if not (asked.quiet or asked.as_json):
        typer.echo(text, err=True)
