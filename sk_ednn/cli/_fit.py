"""The command ``fit``: read data, choose a tile model, fit, measure errors and write files."""

from __future__ import annotations

import sys
import time
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import typer

from . import _config, _densities, _potentials, _runs
from ._encoders import check_encoding, encoder_of
from ._errors import Interrupts, not_half
from ._files import check_array_file
from ._inputs import (
    channels_line,
    chosen,
    data_line,
    read_fields,
    read_targets,
    require_model_name,
    tiling_of,
)
from ._models import TILE_MODELS, suited, tile_model
from ._networks import NETWORKS, check_options, interrupted, with_options
from ._paths import check_paths, may_replace
from ._report import check_name, check_report, write_report
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
    _say(asked, f"reading {inputs}")
    check_report(asked.report)
    read = _read_structures(asked)
    if read is not None and _potentials.wants(ctx, asked, read):
        return _potentials.run(ctx, asked, read, partial(_say, asked)), None
    check_options(asked)
    atoms = _drawn(ctx, asked, read)
    X, y, tiling, encoder = _systems(asked) if atoms is None else atoms.systems()
    replaced = may_replace("--output", asked.output, asked.force)
    if atoms is None:
        _say(asked, data_line(X, y) if isinstance(X, np.ndarray) else _densities.line(X, y))
        if isinstance(X, np.ndarray):
            _hint(asked, X, tiling)
    _warn_of_totals(y)  # all of them, before the split
    split = _split(len(X), asked)
    parts = {which: (_taken(X, some), y[some]) for which, some in split.items()}
    train = (_encoded(encoder, parts["train"][0]), parts["train"][1])
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
    errors, verdict = _measured(estimator, parts, asked)
    found |= errors | ({} if atoms is None else atoms.chosen) | {"verdict": verdict}
    model = estimator if atoms is None else atoms.piped(estimator)
    _write(ctx, asked, model, estimator, parts, found, seconds)
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


def _read(asked) -> tuple[np.ndarray, np.ndarray]:
    fields, targets = asked.fields, asked.targets or asked.fields
    X, y = read_fields(fields), read_targets(targets)
    if fields == targets and np.array_equal(X, y):
        raise ValueError(
            f"{fields} contains a single array, which was read as fields and as totals. Pass the "
            "totals as the second argument."
        )
    if len(y) != len(X):
        raise ValueError(
            f"{fields} contains {len(X)} fields of shape {X.shape[1:]}, but {targets} contains "
            f"{len(y)} targets. Fields must be an array of shape (n_systems, *field_shape)."
        )
    return X, _totals(y)


def _systems(asked) -> tuple:
    """Return fields, totals, the tiling, and an encoder of values or None."""
    if _densities.are_densities(asked.fields):
        X, y = _read_densities(asked)
        encoder = _density_fields(X)
        tiling = tiling_of(asked.focus, asked.context, asked.boundary, None, asked.remainder)
        tiling.check(encoder.transform(X))
        return X, y, tiling, encoder
    X, y = _read(asked)
    encoder = encoder_of(asked, X)
    channel_axis = asked.channel_axis if encoder is None else -1
    tiling = tiling_of(asked.focus, asked.context, asked.boundary, channel_axis, asked.remainder)
    tiling.check(_encoded(encoder, X[:1]))
    return X, y, tiling, encoder


def _read_densities(asked) -> tuple[list, np.ndarray]:
    X, _ = _densities.read(asked.fields, asked.density_unit)
    y = read_targets(asked.targets)
    if len(y) != len(X):
        raise ValueError(
            f"{asked.fields} contains {len(X)} densities, but {asked.targets} holds {len(y)} "
            "targets."
        )
    return X, _totals(y)


def _density_fields(X):
    from ..encoders import DensityFields

    return DensityFields().fit(X)


def _encoded(encoder, fields):
    return fields if encoder is None else encoder.transform(fields)


def _totals(y):
    return y[:, 0] if y.shape[1:] == (1,) else y


def _read_structures(asked):
    """Return structures, or None for fields."""
    if not are_structures(asked.fields):
        return None
    from ._structures import read

    return read(asked.fields)


def _drawn(ctx, asked, read):
    """Return drawn structures, or None for fields."""
    if read is None:
        return None
    from ._structures import drawn

    targets = None if asked.targets is None else _totals(read_targets(asked.targets))
    return drawn(ctx, asked, partial(_say, asked), targets, read)


def _warn_of_totals(y) -> None:
    from ..estimators._data_warnings import warn_of_standardised

    warn_of_standardised(y)


def _split(n, asked) -> dict[str, np.ndarray]:
    """Return the indices of training and test systems.

    Training systems are in random order, since files may be sorted, and cross-validation of the
    penalty uses contiguous folds.
    """
    order = np.random.default_rng(asked.seed).permutation(n)
    test, train = np.split(order, [round(asked.test_fraction * n)])
    return {"train": train} | ({"test": np.sort(test)} if len(test) else {})


def _taken(X, some):
    """Return some systems of an array, or of a list of fields with several shapes."""
    return X[some] if isinstance(X, np.ndarray) else [X[k] for k in some]


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
                tiling, fields, totals, BASELINES[asked.baseline], partial(_say, asked)
            )
    if why is not None:
        _say(asked, f"tile model: {name} ({why}); choose another with --model")
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


def _hint(asked, X, tiling) -> None:
    """Print a hint if values look like channels, labels or angles, and no option says so.

    It is printed also with --quiet, since results may be meaningless.
    """
    channels = channels_line(X, tiling)
    if channels is not None:
        typer.echo(f"warning: {channels}", err=True)
    if asked.categorical or asked.angles is not None or tiling.channel_axis is not None:
        return
    from ..estimators._data_warnings import hint_of_kind

    hint = hint_of_kind(X)
    if hint is not None:
        option = "--categorical" if "labels" in hint else "--angles 2pi"
        option = "--angles 360" if "of 360" in hint else option
        typer.echo(f"hint: {hint}, with {option}", err=True)


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
    """Tell whether the run received the command "stop", so that there is no user to ask."""
    return asked.recorder is not None and asked.recorder.stop_requested


def _follow_up(estimator, asked) -> None:
    """Log epochs that the training did not report, and remove the recorder from the model."""
    if asked.recorder is None:
        return
    regressor = estimator[-1] if hasattr(estimator, "steps") else estimator
    _runs.forget(asked, regressor.solver, regressor.solver_)
    tile_model = getattr(regressor.tile_model_, "estimator", None)
    net = getattr(tile_model, "steps", [("", tile_model)])[-1][1]
    curve = getattr(net, "loss_curve_", ())  # of MLPRegressor
    scores = getattr(net, "validation_scores_", None) or ()
    for k, loss in enumerate(curve):
        more = {"valid_r2": scores[k]} if k < len(scores) else {}
        asked.recorder.log(k + 1, train_loss=loss, **more)


def _measured(estimator, parts, asked) -> tuple[dict[str, Any], Any]:
    """Return errors of each part, and the verdict on held-out systems if there are any."""
    _runs.log_stage(asked, "measure")
    predicted = {which: estimator.predict(part[0]) for which, part in parts.items()}
    if asked.recorder is not None:
        rows = {
            which: (part[1], predicted[which], [np.prod(_sites(estimator, x)) for x in part[0]])
            for which, part in parts.items()
        }
        _runs.write_predictions(asked, rows)
    errors = {
        which: _per_output(_errors, part[1], predicted[which]) for which, part in parts.items()
    }
    judged = "test" if "test" in parts else "train"
    judge = partial(_verdict, held_back=judged == "test")
    return errors, _per_output(judge, parts[judged][1], predicted[judged])


def _write(ctx, asked, model, estimator, parts, found, seconds) -> None:
    """Write all requested files, and add their names to `found`."""
    about = {
        "made by": "sk-ednn fit",
        "errors of totals": {which: found[which] for which in parts},
        "verdict": found["verdict"],
        **({"interrupted": found["interrupted"]} if "interrupted" in found else {}),
    }
    from .. import files as model_files

    found["sha256"] = model_files.save(model, asked.output, unit=asked.unit, about=about)
    if asked.report is not None:
        about = {
            "command": _config.command_line(ctx),
            "model file": str(asked.output),
            "sha256": found["sha256"],
            "time of the fit": f"{seconds:.3g} s",
            **({"interrupted": found["interrupted"]} if "interrupted" in found else {}),
        }
        write_report(asked.report, estimator, parts, asked.unit, about)
        found["report"] = str(asked.report)
    _config.write(ctx, asked.save_config)


def _sites(estimator, field) -> tuple[int, ...]:
    """Return the shape of a field without its channels."""
    shape = np.shape(field)
    if hasattr(estimator, "steps"):  # what is encoded has no channels
        return shape
    axis = estimator.tiling.channel_axis
    return shape if axis is None else tuple(np.delete(shape, axis))


def _per_output(function, true, predicted):
    """Return the result of a function of totals, or a list for several outputs."""
    if true.ndim == 1:
        return function(true, predicted)
    return [function(*column) for column in zip(true.T, predicted.T, strict=True)]


def _errors(true, predicted) -> dict[str, float]:
    from ..metrics import extensive_errors

    return extensive_errors(true, predicted).as_dict()


def _verdict(true, predicted, held_back) -> dict[str, Any]:
    from ..metrics import judge

    # All fields of a file have one size, so no count of sites is needed.
    return judge(true, predicted, held_back=held_back).as_dict()


def _say(asked, text) -> None:
    if not (asked.quiet or asked.as_json):
        typer.echo(text, err=True)
