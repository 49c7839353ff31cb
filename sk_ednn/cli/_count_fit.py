"""The command ``count fit``."""

from __future__ import annotations

from typing import Any

import numpy as np
import typer

from . import _runs
from ._count_inputs import (
    check_inputs,
    described,
    matched_totals,
    notes_of,
    parts_left_out,
    sayer,
    totals_line,
    with_labels,
)
from ._count_of_fit import pictures_of_fit
from ._count_verdict import trend_of, verdict_of
from ._errors import Interrupts
from ._inputs import require_model_name
from ._paths import check_paths, check_pictures, may_replace

_MINUTES = 12.0
_ENDING = (
    "interrupted: the training ends when it next looks at its errors, within a few percent of its "
    "time; Ctrl-C again ends it at once, and nothing is kept"
)
_FURTHEST = 3


def fit(ctx: typer.Context, options) -> dict[str, Any]:
    """Fit a model to pictures and a table of totals, and write it.

    Parameters
    ----------
    ctx : typer.Context
    options : namespace
        The parameters of the command, by name.

    Returns
    -------
    dict
        The output of ``--json``.
    """
    check_inputs(options)
    from ..files import save
    from ..images import CountRegressor, read_pictures
    from ..images._series import series_in_words

    _runs.place_output(ctx, options, "model.ednn")
    require_model_name(options.output)
    check_paths(options)
    leave_out = parts_left_out(options.leave_out)
    say = sayer(options)
    pictures = read_pictures(options.pictures, missing_chunks=options.missing_chunks)
    check_pictures(options, pictures)
    # By all pictures of the folder: one without a total does not move the others to other series.
    series = {} if options.series is None else _series_of(pictures, options.series)
    # After the folder was read, to which this may add a lock.
    replaced = may_replace("--output", options.output, options.force)
    counts = False if options.amounts else None
    matched = matched_totals(pictures, options.totals, say, column=options.column, counts=counts)
    pictures, totals, boxes = with_labels(options, pictures, matched, say)
    say(described(pictures))
    for line in notes_of(pictures):
        say(line)
    say(totals_line(matched))
    groups = [series[id(picture)] for picture in pictures] if series else None
    if groups is not None:
        say(series_in_words(groups))
    checkpoint = None if options.recorder is None else options.recorder.path(_runs.CHECKPOINT)
    interrupts = Interrupts(checkpoint)
    model = CountRegressor(
        n_members=options.members,
        minutes=_MINUTES if options.minutes is None and options.epochs is None else options.minutes,
        max_epochs=options.epochs or "auto",
        counts="auto" if matched.counts else False,
        reduction=options.reduction or "auto",
        symmetric=not options.upright,
        leave_out=leave_out,
        n_jobs=options.jobs,
        random_state=options.seed,
        checkpoint=checkpoint,
        callback=_callback(options, interrupts, options.members),
        verbose=say,
    )
    _runs.log_stage(options, "fit")
    bounded = model.minutes is not None
    with interrupts.watched(_ENDING), _runs.kept_clock(options, bounded):
        model.fit(pictures, totals, groups=groups, boxes=boxes)
    kept = None
    if interrupts.seen:
        done = f"interrupted after {model.minutes_:.1f} minutes; kept are the best weights so far"
        kept = interrupts.keep(done, "Write them?", options)
    model.set_params(callback=None)
    result = _fitted(model, matched)
    about = {
        "kind": "pictures",
        "totals": list(matched.columns),
        "pictures": len(pictures),
        "boxes": len(boxes),
        "error": result["error"],
        "verdict": result["verdict"],
        "of_fit": pictures_of_fit(pictures, groups, model.held_back_["index"].tolist()),
    }
    if kept is not None:
        result["interrupted"] = about["interrupted"] = kept
    _runs.forget(options, model)
    save(model, options.output, about=about)
    result["output"] = str(options.output)
    _keep(options, model, matched, result)
    result["replaced"] = replaced
    return result


def _series_of(pictures, wanted) -> dict[int, str]:
    """Return the series of pictures, by the identity of each."""
    from ..images._series import series_of

    groups = series_of([picture.name for picture in pictures], wanted)
    return {id(picture): group for picture, group in zip(pictures, groups, strict=True)}


def _callback(options, interrupts, n_members):
    """Return a callback for the training, which ends it after Ctrl-C.

    With ``--run`` it logs the numbers of each member by name, and the progress of all.
    """
    if options.recorder is None:
        return lambda row: interrupts.seen
    logged = options.recorder.callback(max_epochs=None)
    done = dict.fromkeys(range(n_members), 0.0)

    def callback(row):
        member = row.pop("member")
        done[member] = row.pop("progress")
        left = row.pop("minutes_left")  # of all
        if member:
            row = {
                (name if name == "epoch" else f"{name}_{member + 1}"): value
                for name, value in row.items()
            }
        row = {**row, "progress": sum(done.values()) / n_members, "minutes_left": left}
        return logged(row) or interrupts.seen

    return callback


def _keep(options, model, matched, result) -> None:
    """End a run: totals of the pictures that were held back, and how far the training came."""
    if options.recorder is None:
        return
    held = model.held_back_
    sizes = [matched.pictures[k].n_pixels for k in held["index"]]
    if len(sizes):
        rows = {"test": (held["true"], held["predicted"], sizes)}
        names = {"test": [matched.pictures[k].name for k in held["index"]]}
        _runs.write_predictions(options, rows, names, kind="picture")
    stopped = result.get("interrupted")
    if options.recorder.stop_requested:
        stopped = f"stopped after {result['minutes']:.1f} minutes; the best weights are kept"
    _runs.keep_results(options, result, stopped=stopped)


def _fitted(model, matched) -> dict[str, Any]:
    held, totals = model.held_back_, matched.totals.reshape(len(matched.pictures), -1)
    n = len(held["index"])
    result: dict[str, Any] = {
        "pictures": len(matched.pictures),
        "held_back": n,
        "minutes": model.minutes_,
        "reduction": model.geometry_[0],
        # Passes over the pictures, and whether the trainings came to their end by themselves.
        "passes": min(history[-1]["epoch"] for history in model.history_),
        "minutes_needed": model.minutes_needed_,
        "in_time": not {"time", "callback"} & set(model.endings_),
        "networks": len(model.endings_),
        "error": model.error_ if n else None,
        "totals": {},
    }
    half = model.interval_.half_width(totals.mean(axis=0, keepdims=True), model.confidence)[0]
    for k, name in enumerate(matched.columns):
        column = totals[:, k]
        # The mean is compared on the same pictures: a few may vary more or less than all.
        compared = held["true"][:, k] if n else column
        result["totals"][name] = {
            "mean": float(column.mean()),
            "error": float(np.abs(held["predicted"][:, k] - held["true"][:, k]).mean()) if n else 0,
            "error_of_mean": float(np.abs(compared - column.mean()).mean()),
            "half_width": float(half[k]),
            "spacing": _spacing(matched, column),
            **_held_back(matched, held["index"], held["true"][:, k], held["predicted"][:, k]),
        }
    result["verdict"] = verdict_of(result["totals"], n, stopped=not result["in_time"])
    return result


def _spacing(matched, totals) -> float | None:
    """Return the pixels between neighbouring objects if they were evenly spread."""
    if not matched.counts or not totals.sum() > 0:
        return None
    pixels = sum(float(np.prod(picture.grid[-2:])) for picture in matched.pictures)
    return float(np.sqrt(pixels / totals.sum()))


def _held_back(matched, index, true, predicted) -> dict[str, Any]:
    """Return spreads of totals of pictures not seen, and those that are furthest off."""
    furthest = np.argsort(-np.abs(predicted - true), kind="stable")[:_FURTHEST]
    return {
        "spread": float(true.std()) if len(true) else 0.0,
        "spread_predicted": float(predicted.std()) if len(true) else 0.0,
        "trend": trend_of(true, predicted),
        "worst": [
            {
                "name": matched.pictures[index[j]].name,
                "true": float(true[j]),
                "predicted": float(predicted[j]),
            }
            for j in furthest
        ],
    }
