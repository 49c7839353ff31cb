"""The command ``fit``: read data, choose a tile model, fit, measure errors and write files."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import typer

from .._utils.wording import about
from . import _config, _densities, _potential_fit, _potential_options, _potential_tables, _runs
from ._encoders import check_encoding, encoder_to_compare, has_few_values
from ._errors import Interrupts, not_half, printed_before
from ._files import check_array_file
from ._fit_couplings import couplings_of
from ._fit_data import (
    drawn_structures,
    encoded,
    hint_of_values,
    labelled,
    read_structures,
    read_systems,
    split_of,
    taken,
    warn_of_data,
    with_channels,
)  # fmt: skip
from ._fit_results import measured, next_step, write_files
from ._inputs import chosen, data_line, note, require_model_name, require_text, say
from ._inspect import printable
from ._models import TILE_MODELS, tile_model
from ._networks import NETWORKS, check_options, interrupted, with_options
from ._paths import check_paths, may_replace
from ._report import check_name, check_report, show_files
from ._structure_names import are_structures, check_structure_options
from ._symmetries import (
    POLYNOMIALS,
    have_signs,
    note_channels,
    note_without_signs,
    of_channels,
    require_signs,
    require_taker,
    symmetries_of,
)

# No heavy imports here: the options are checked before.

BASELINES = {"size": "size", "content": "content", "none": None}


def run(ctx: typer.Context, options) -> tuple[dict[str, Any], Callable]:
    """Fit a model, and write it together with the report and settings.

    Parameters
    ----------
    ctx : typer.Context
    options : namespace
        The parameters of the command, by name.

    Returns
    -------
    result : dict
        The output of ``--json``.
    show : function
        Prints the result.
    """
    _runs.place_output(ctx, options, "model.ednn")
    _runs.place_report(options)
    _check(ctx, options)
    inputs = f"{options.fields} and {options.targets}" if options.targets else options.fields
    say(options, f"reading {inputs}")
    check_report(options.report)
    read = read_structures(options)
    if read is not None and _potential_options.wants(ctx, options, read):
        read = labelled(options, read)
        fitted = _potential_fit.run(ctx, options, read, partial(say, options))
        return fitted, _potential_tables.show
    check_options(options)
    atoms = drawn_structures(ctx, options, read)
    if atoms is None:
        X, y, tiling, encoder, places = read_systems(options)
        if options.categorical:
            require_signs(encoder, symmetries_of(options))
    else:
        (X, y, tiling, encoder), places = atoms.systems(), read.places
    replaced = may_replace("--output", options.output, options.force)
    hint = labels = None
    if atoms is None:
        say(options, data_line(X, y) if isinstance(X, np.ndarray) else _densities.line(X, y))
        if isinstance(X, np.ndarray):
            labels = encoder_to_compare(options, X)
            hint = hint_of_values(options, X, tiling, compared=labels is not None)
    warn_of_data(X, y, options.channel_axis)  # all of them, before the split
    split = split_of(len(X), options)
    parts = {which: (taken(X, some), y[some]) for which, some in split.items()}
    train = (encoded(encoder, parts["train"][0]), parts["train"][1])
    with printed_before():
        name, why, made, by_label = _tile_model(options, atoms, tiling, train, labels)
    if by_label:
        encoder, tiling = labels, with_channels(tiling)
    regressor = _estimator(name, made, tiling, options)
    estimator = _behind(encoder, regressor)
    del train
    gradient = None if atoms is None else atoms.gradients_of(split["train"])
    _runs.log_stage(options, "fit")
    start = time.perf_counter()
    with printed_before():
        kept = _fitted(estimator, name, parts["train"], gradient, options)
    seconds = time.perf_counter() - start
    result: dict[str, Any] = {
        "model": name,
        **({} if why is None else {"chosen as": why}),
        **({} if options.symmetries is None else {"symmetries": options.symmetries}),
        **({} if by_label is None else {"categorical": by_label}),
        "strategy": type(regressor.solver_).__name__,
        **({} if kept is None else {"interrupted": kept}),
        **{f"n_{which}": len(split.get(which, ())) for which in ("train", "test")},
        **({} if encoder is not None else _size_of(X, regressor.tiling)),
        **({} if options.unit is None else {"unit": options.unit}),
        "output": str(options.output),
    }
    sizes = None if read is None else [len(structure) for structure in read.structures]
    errors, verdict = measured(estimator, parts, options, split, places, sizes)
    result |= errors | ({} if atoms is None else atoms.chosen) | {"verdict": verdict}
    if atoms is None and y.ndim == 1:
        found = couplings_of(estimator, parts["train"][0], name, verdict)
        result |= {} if found is None else {"couplings": found}
        few_values = encoder is None and by_label is None and has_few_values(X)
        step = next_step(result, hint, options, few_values)
        result |= {} if step is None else {"next": step}
    model = estimator if atoms is None else atoms.piped(estimator)
    write_files(ctx, options, model, estimator, parts, result, seconds)
    _runs.keep_results(options, {**result, "seconds": round(seconds, 3)}, stopped=kept)
    result["replaced"] = replaced
    return result, show


def show(result) -> None:
    """Print the result of `run`."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    several = isinstance(result["verdict"], list)
    unit = f" ({printable(result['unit'])})" if "unit" in result else ""
    table = Table(escape(f"errors of totals{unit}"), "median", "mean", "rmse", "bias")
    for name in ("train", "test"):
        if name not in result:
            continue
        values = result[name]
        for k, column in enumerate(values if several else [values]):
            label = f"{name}, output {k}" if several else name
            table.add_row(label, *(f"{value:.4g}" for value in column.values()))
    Console().print(table)
    verdicts = result["verdict"] if several else [result["verdict"]]
    for k, verdict in enumerate(verdicts):
        which = f"output {k}: " if several else ""
        typer.echo(f"verdict: {which}{verdict['words']}")
    if "next" in result:
        typer.echo(f"next: {result['next']}")
    show_files(f"{result['strategy']} on {result['n_train']} systems", result)


# --- steps ------------------------------------------------------------------------------------


def _check(ctx, options) -> None:
    """Raise if options are invalid, as far as possible without reading data."""
    names = {"auto": None, **TILE_MODELS, **dict.fromkeys(_potential_options.POTENTIALS)}
    chosen("--model", options.model, names)
    chosen("--baseline", options.baseline, BASELINES)
    structures = are_structures(options.fields)
    if options.model in _potential_options.POTENTIALS and not structures:
        raise ValueError(
            f"--model {options.model} is for structures of atoms, but {options.fields} is not a "
            "file of structures."
        )
    if structures:
        _potential_options.check(ctx, options)
    if not (structures and _potential_options.may_be(ctx, options)):
        check_options(options)
    check_encoding(options)
    symmetries_of(options)
    require_model_name(options.output)
    require_text("--unit", options.unit)
    check_name(options.report)
    check_structure_options(options)
    _densities.check_densities(options)
    if not (structures or _densities.are_densities(options.fields)):
        check_array_file(options.fields)
    if options.targets is not None:
        check_array_file(options.targets)
    _config.check(options.save_config)
    check_paths(options)


def _tile_model(options, atoms, tiling, train, labels=None) -> tuple:
    """Choose a tile model, or make that of the options.

    Parameters
    ----------
    options : namespace
    atoms : drawn structures, or None
    tiling : GridTiling
    train : tuple of fields and totals
    labels : OneHotFields or None, default=None
        Transformer with which the choice may be made, too.

    Returns
    -------
    name, why : str
        The reason is None if it was not chosen.
    made : tile model
    labelled : bool or None
        Whether fields pass through `labels` first; None if this was not compared.
    """
    (fields, totals), name, why, made = train, options.model, None, None
    from ._model_choice import SHORT, Choice, Labelled, expected_seconds, suited

    choice, baseline, symmetries = Choice(name, ""), BASELINES[options.baseline], None
    if atoms is None:
        symmetries = symmetries_of(options)
        note_channels(options, symmetries, tiling)
        if options.categorical:
            symmetries = of_channels(symmetries)
    if name == "auto" and atoms is not None:
        made, name, why = atoms.tile_model(fields)
    elif name == "auto":
        if not isinstance(fields, np.ndarray):  # judge by those of the most frequent shape
            shapes = [field.shape for field in fields]
            some = [k for k, s in enumerate(shapes) if s == max(shapes, key=shapes.count)]
            fields, totals = np.stack([fields[k] for k in some]), totals[some]
        with not_half():
            if labels is not None and "flip" in (symmetries or ()) and not have_signs(labels):
                note_without_signs(labels)
                labels = None
            choice = suited(
                tiling, fields, totals, baseline, partial(say, options),
                labelled=labels and Labelled(with_channels(tiling), labels.transform(fields)),
                symmetries=symmetries, max_seconds=options.max_seconds,
            )  # fmt: skip
        name, why = choice.name, choice.why
    elif (
        atoms is None and isinstance(fields, np.ndarray) and not (options.quiet or options.as_json)
    ):
        with not_half():
            seconds = expected_seconds(
                name, tiling, fields, totals, baseline, symmetries=symmetries
            )
            choice = choice._replace(seconds=seconds)
    if why is not None:
        how = " with a channel for each value, as with --categorical" if choice.labelled else ""
        say(options, f"tile model: {name}{how} ({why}); choose another with --model")
    if choice.labelled and labels is not None:
        values = ", ".join(f"{value:.6g}" for value in labels.categories_)
        note(f"the model is one of fields of the values {values} alone, and rejects others")
        tiling, fields = with_channels(tiling), labels.transform(fields)
    if choice.seconds is not None and choice.seconds > SHORT:
        say(options, f"fitting {name} and measuring its errors take {about(choice.seconds)}")
    if made is None:
        if symmetries is not None:
            require_taker(name, symmetries)
        if choice.labelled:
            symmetries = of_channels(symmetries)
        of_features = symmetries if name in POLYNOMIALS else None
        made = tile_model(name, tiling, (len(fields), *fields[0].shape), of_features)
    return name, why, made, choice.labelled


def _estimator(name, made, tiling, options):
    """Return the regressor with a tile model."""
    from ..estimators._regressor import EDNNRegressor

    symmetries = symmetries_of(options) if name == "dense" else None
    made, solver = with_options(made, options, symmetries)
    solver = _runs.following(solver, name, options)
    return EDNNRegressor(
        made,
        tiling,
        solver=solver,
        baseline=BASELINES[options.baseline],
        random_state=options.seed,
        n_jobs=options.jobs,
        verbose=0 if options.quiet or options.as_json else 1,
    )


def _size_of(X, tiling) -> dict[str, Any]:
    """Return the size of a fit, with which the time of later ones is estimated."""
    from ..runs._load import load_of_fields, n_values_of

    if not isinstance(X, np.ndarray):  # fields of several shapes
        return {}
    return {"tiles": load_of_fields(X, tiling, n_values_of(X)).as_dict()}


def _behind(encoder, regressor):
    """Return the regressor, in a Pipeline if there is an encoder."""
    if encoder is None:
        return regressor
    from sklearn.pipeline import make_pipeline

    return make_pipeline(encoder, regressor)


@contextmanager
def _known_sums(estimator):
    """Leave out the warning of collinear features where channels of labels add up to one.

    The penalty of a ridge decides between them, and predictions are the same.
    """
    from scipy.linalg import LinAlgWarning

    from .._utils.steps import first_step
    from ..encoders import OneHotFields

    with warnings.catch_warnings():
        if isinstance(first_step(estimator), OneHotFields):
            warnings.simplefilter("ignore", LinAlgWarning)
        yield


def _fitted(estimator, name, train, gradient, options) -> str | None:
    """Fit; return a description of an interrupted training, or None."""
    with Interrupts(options.checkpoint).watched() as interrupts, _known_sums(estimator):
        estimator.fit(*train, **({} if gradient is None else {"gradient": gradient}))
        if options.recorder is not None:
            options.recorder.finishing()
    _follow_up(estimator, options)
    if not interrupts.seen:
        return None
    if name not in NETWORKS:
        interrupts.end()
    return interrupts.keep(interrupted(estimator), "Write it?", options)


def _follow_up(estimator, options) -> None:
    """Keep the unit of the fields, log epochs that were not reported, and forget the recorder."""
    from .._utils.steps import first_step, front_and_last
    from ..fields._units import keep_unit

    unit = getattr(options, "field_unit", None)  # of files of fields only
    if unit is not None:
        keep_unit(first_step(estimator), unit)
    if options.recorder is None:
        return

    _, regressor = front_and_last(estimator)
    _runs.forget(options, regressor.solver, regressor.solver_)
    _, net = front_and_last(regressor.tile_model_.estimator)
    curve = getattr(net, "loss_curve_", ())  # of MLPRegressor
    scores = getattr(net, "validation_scores_", None) or ()
    for k, loss in enumerate(curve):
        more = {"valid_r2": scores[k]} if k < len(scores) else {}
        options.recorder.log(k + 1, train_loss=loss, **more)
