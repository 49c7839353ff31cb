"""The commands ``count fit``, ``count predict`` and ``count report``."""

from __future__ import annotations

import shlex
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import typer

from .._utils.wording import plain, rough_interval, share_of_totals, with_article
from . import _runs
from ._errors import Interrupts
from ._files import check_readable
from ._inputs import require_model_name
from ._paths import check_paths, check_pictures, may_replace
from ._report import show_files

_MINUTES = 12.0
_ENDING = (
    "interrupted: the training ends when it next looks at its errors, within a few percent of its "
    "time; Ctrl-C again ends it at once, and nothing is kept"
)
_MAX_SERIES = 20  # series that are printed by name
# What a flag says, and what to do.
_FLAGS = {
    "unlike": (
        "unlike the training pictures",
        "check magnification, contrast and light, and look at the maps",
    ),
    "range": (
        "outside the range of the training pictures",
        "count some by hand, and add such pictures to the training",
    ),
}
_POOR = 0.5  # of the error of the mean as a prediction: above, a training has hardly begun
_NO_BETTER = 0.9
# Where totals of this many pictures not seen spread by less than this share of the true ones, the
# model keeps to the mean.
_FEW_FOR_SPREAD, _TOO_SMALL = 6, 0.7
_FURTHEST = 3
# A training that took this share of its time or more was ended by it.
_IN_TIME = 0.95


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

    _runs.place_output(ctx, options, "model.ednn")
    require_model_name(options.output)
    check_paths(options)
    replaced = may_replace("--output", options.output, options.force)
    say = sayer(options)
    pictures = read_pictures(options.pictures, missing_chunks=options.missing_chunks)
    check_pictures(options, pictures)
    counts = False if options.amounts else None
    matched = matched_totals(pictures, options.totals, say, column=options.column, counts=counts)
    pictures, totals, boxes = _with_labels(options, pictures, matched, say)
    say(described(pictures))
    for line in _notes(pictures):
        say(line)
    say(_totals_line(matched))
    groups = None if options.series is None else _series(pictures, options.series, say)
    checkpoint = None if options.recorder is None else options.recorder.path(_runs.CHECKPOINT)
    interrupts = Interrupts(checkpoint)
    model = CountRegressor(
        n_members=options.members,
        minutes=_MINUTES if options.minutes is None and options.epochs is None else options.minutes,
        max_epochs=options.epochs or "auto",
        reduction=options.reduction or ("auto" if matched.counts else 1),
        symmetric=not options.upright,
        illumination="auto" if matched.counts else 0.0,
        n_jobs=options.jobs,
        random_state=options.seed,
        checkpoint=checkpoint,
        callback=_callback(options, interrupts),
        verbose=say,
    )
    _runs.log_stage(options, "fit")
    start = time.perf_counter()
    bounded = model.minutes is not None
    with interrupts.watched(_ENDING), _runs.kept_clock(options, bounded):
        model.fit(pictures, totals, groups=groups, boxes=boxes)
    seconds = time.perf_counter() - start
    kept = None
    if interrupts.seen:
        done = f"interrupted after {seconds / 60:.1f} minutes; kept are the best weights so far"
        kept = interrupts.keep(done, "Write them?", options)
    model.set_params(callback=None)
    result = _fitted(model, matched, seconds)
    about = {
        "kind": "pictures",
        "totals": list(matched.columns),
        "pictures": len(pictures),
        "boxes": len(boxes),
        "error": result["error"],
    }
    if kept is not None:
        result["interrupted"] = about["interrupted"] = kept
    if kept is not None or (options.recorder is not None and options.recorder.stop_requested):
        result["in_time"] = False
    _runs.forget(options, model)
    save(model, options.output, about=about)
    result["output"] = str(options.output)
    _keep(options, model, matched, result)
    result["replaced"] = replaced
    return result


def _callback(options, interrupts):
    """Return a callback for the training, which ends it after Ctrl-C.

    With ``--run`` it logs the numbers of each member by name.
    """
    if options.recorder is None:
        return lambda row: interrupts.seen
    logged = options.recorder.callback(max_epochs=None)

    def callback(row):
        member = row.pop("member")
        if member:  # the first one represents all
            row.pop("progress")
            row = {
                (name if name == "epoch" else f"{name}_{member + 1}"): value
                for name, value in row.items()
            }
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


def show_fit(result) -> None:
    """Print the result of `fit`."""
    poor = False
    if result["error"] is None:
        typer.echo("no pictures were held out, so the error is unknown: there are too few pictures")
    else:
        for name, column in result["totals"].items():
            typer.echo(
                f"{name}: off by {plain(column['error'], 3)} of {plain(column['mean'])} on "
                f"{result['held_back']} pictures not seen; predicting the mean of all pictures "
                f"would be off by {plain(column['error_of_mean'], 3)}; 90 % within ± "
                f"{plain(column['half_width'], 3)}"
            )
            if column["error"] > _POOR * column["error_of_mean"]:
                poor = True
                typer.echo(_advice(name, column, result))
            for note in _notes_on_error(name, column, result["held_back"]):
                typer.echo(note)
    show_files(f"{result['minutes']:.1f} minutes", result)
    if not poor:
        model = shlex.quote(str(result["output"]))
        typer.echo(
            f"next: sk-ednn count predict {model} NEW_PICTURES --output counts.csv --maps maps"
        )


def _advice(name, column, result) -> str:
    """Return what to try where a total is learned badly.

    Examples
    --------
    >>> from sk_ednn.cli._count import _advice
    >>> column = {"error": 20.9, "error_of_mean": 26.0}
    >>> _advice("fat cells", column, {"passes": 120, "in_time": True, "reduction": 1})
    'next: fat cells is learned badly: add pictures (every picture was seen 120 times; more minutes
    change little), and check reduction 1: objects should be some 13 pixels apart'
    """
    no_better = column["error"] > _NO_BETTER * column["error_of_mean"]
    how = "is not learned, no better than by the mean" if no_better else "is learned badly"
    passes = f"every picture was seen {result['passes']} times"
    if result["in_time"]:
        more = f"add pictures ({passes}; more minutes change little)"
    else:
        more = f"train longer with --minutes ({passes} when it ended), add pictures"
    return (
        f"next: {name} {how}: {more}, and check reduction {result['reduction']}: objects should "
        "be some 13 pixels apart"
    )


def _notes_on_error(name, column, n) -> list[str]:
    """Return which pictures are furthest off, and whether differences come out too small."""
    notes = []
    if column["error"] > _POOR * column["error_of_mean"]:
        worst = ", ".join(
            f"{each['name']} ({plain(each['true'])} in the table, "
            f"{plain(each['predicted'])} counted)"
            for each in column["worst"]
        )
        notes.append(f"furthest off of those not seen: {worst}")
    spread, predicted = column["spread"], column["spread_predicted"]
    if n >= _FEW_FOR_SPREAD and predicted < _TOO_SMALL * spread:
        notes.append(
            f"differences of {name} come out too small: counts not seen spread by "
            f"{plain(predicted, 3)}, in the table by {plain(spread, 3)}; high ones are counted too "
            "low and low ones too high"
        )
    return notes


def predict(ctx: typer.Context, options) -> dict[str, Any]:
    """Count in pictures, and write the table and maps.

    Parameters
    ----------
    ctx : typer.Context
    options : namespace

    Returns
    -------
    dict
    """
    check_inputs(options)
    from ..images import read_pictures
    from ..images._geometry import Geometry
    from ..images._output import (
        require_table_name,
        write_counts,
        write_map,
        write_overlay,
        write_peaks,
    )
    from ..images._views import NUMBERS_OF_VIEWS
    from ..images._zarr import MapWriter, require_map_or_nothing

    _runs.place_output(ctx, options, "counts.csv")
    if options.recorder is not None and options.maps is None:
        options.maps = options.recorder.path("maps")
    check_paths(options)
    if options.output is not None:
        may_replace("--output", options.output, options.force)
    if options.views not in (None, *NUMBERS_OF_VIEWS):
        raise ValueError(f"Expected 1, 2, 4 or 8 for --views, got {options.views}.")
    model = load_counter(options.model)
    if options.views is not None:
        model.set_params(views=options.views)
    say = sayer(options)
    pictures = read_pictures(options.pictures, missing_chunks=options.missing_chunks)
    check_pictures(options, pictures)
    if options.output is not None:
        require_table_name(options.output)
    say(described(pictures))
    columns = columns_of_fit(options.model) or ["count"]
    if len(columns) != model.n_outputs_:  # written in Python
        columns = [f"total {k}" for k in range(model.n_outputs_)]
    focus = Geometry(*model.geometry_).focus
    names = _names_of_files(pictures)
    endings = [f" {name}" for name in columns] if len(columns) > 1 else [""]

    def files_of(picture):
        """Return the files of the maps of a picture."""
        stem = names[picture.name]
        if picture.by_region:
            return [options.maps / f"{stem}.ome.zarr"]
        kinds = [f"{end}{kind}" for end in endings for kind in (" overlay.png", " peaks.csv")]
        return [options.maps / f"{stem}{kind}" for kind in (".tif", *kinds)]

    if options.maps is not None:
        written = [path for picture in pictures for path in files_of(picture)]
        for path in written:
            if path.suffix == ".zarr":
                require_map_or_nothing(path)
        old = next((path for path in written if path.exists()), None)
        if old is not None:
            may_replace("--maps", old, options.force)
        options.maps.mkdir(parents=True, exist_ok=True)

    def keep(picture, contributions):
        goal, *others = files_of(picture)
        write_map(goal, contributions, focus)
        for k in range(len(endings)):
            of_output = contributions[..., k] if contributions.ndim > len(focus) else contributions
            write_overlay(others[2 * k], picture, of_output, focus)
            write_peaks(others[2 * k + 1], of_output, focus)

    def by_region(picture):
        if not picture.by_region or options.maps is None:
            return None
        grid = model.estimators_[0].tiling_.tile_grid(picture.shape)
        (path,) = files_of(picture)
        return MapWriter(path, picture.name, grid, focus, model.n_outputs_)

    def done(row):
        say(counted(row))

    shown: dict[str, int] = {}

    def progress(picture, share):
        """Print the progress in a picture of many regions: after the first, then at each tenth."""
        tenth = int(10 * share)
        if shown.get(picture.name, 0) < tenth < 10:
            say(f"{picture.name}: {100 * share:.0f} %")
        shown[picture.name] = tenth

    maps = keep if options.maps is not None else False
    rows = model.count(pictures, maps=maps, writers=by_region, done=done, progress=progress)
    if options.output is not None:
        write_counts(options.output, rows, columns)
    if options.recorder is not None and find_spec("openpyxl") is not None:
        # For spreadsheets that take the decimal points of CSV for separators of thousands.
        write_counts(options.recorder.path("counts.xlsx"), rows, columns)
    result = {
        "columns": list(columns),
        "counts": [{key: _plain(value) for key, value in row.items()} for row in rows],
        "held_back": len(model.interval_.errors),
        "confidence": float(model.confidence),
        "output": None if options.output is None else str(options.output),
        "maps": None if options.maps is None else str(options.maps),
    }
    _runs.keep_results(options, result)
    return result


def show_predict(result) -> None:
    """Print the result of `predict`."""
    rows = result["counts"]
    if result["output"] is None:
        for row in rows:
            typer.echo(counted(row))
    flagged: dict[str, list[str]] = {}
    for row in rows:
        if row["flag"]:
            flagged.setdefault(row["flag"], []).append(row["name"])
    for flag, names in flagged.items():
        what, check = _FLAGS[flag]
        typer.echo(
            f"flagged as {what}: {len(names)} of {len(rows)}, for example {names[0]}; {check}"
        )
    if not flagged:
        typer.echo(f"{len(rows)} picture(s) counted; none is flagged")
    n = result["held_back"]
    if n:
        rough = rough_interval(n)
        share = share_of_totals(result["confidence"])
        typer.echo(f"{share} true counts lie in the intervals{rough and '; ' + rough}")
    for key, what in (("output", "counts"), ("maps", "maps")):
        if result[key] is not None:
            typer.echo(f"{what} written to {result[key]}")


def counted(row) -> str:
    """Return the line on a picture: its totals with their intervals, and its flag.

    Parameters
    ----------
    row : dict
        Of `CountRegressor.count`, or of the result of `predict`.

    Examples
    --------
    >>> from sk_ednn.cli._count import counted
    >>> row = {"name": "dish 7.png", "total": 174.26, "low": 165.1, "high": 183.4, "flag": ""}
    >>> counted(row)
    'dish 7.png: 174.3 (165.1 to 183.4)'
    >>> counted({**row, "low": None, "high": None, "flag": "unlike"})
    'dish 7.png: 174.3  unlike the training pictures'
    """
    total, low, high = (np.ravel(row[key]) for key in ("total", "low", "high"))
    # Without held-out pictures there is no interval: NaN, or None in a result.
    text = ", ".join(
        plain(t) + (f" ({plain(a)} to {plain(b)})" if a is not None and a == a else "")
        for t, a, b in zip(total, low, high, strict=True)
    )
    return f"{row['name']}: {text}{'  ' + _FLAGS[row['flag']][0] if row['flag'] else ''}"


def matched_totals(pictures, table, say, *, column=None, counts=None, known=None):
    """Return the pictures in a table of totals, as `sk_ednn.images.match_totals` does.

    Parameters
    ----------
    pictures : list of Picture
    table : str or Path
    say : function
        Called with notes on the table.
    column : str or None, default=None
        Names of columns, separated by commas.
    counts : bool or None, default=None
        False for totals that are no counts.
    known : list of str or None, default=None
        Columns from which a model was fitted. They are taken if the table has them and `column` is
        None.
    """
    from ..images import TableError, match_totals

    named = None if column is None else [name.strip() for name in column.split(",")]
    try:
        matched = match_totals(pictures, table, columns=named or known, counts=counts)
    except TableError:
        if named or not known or len(known) > 1:
            raise
        # The only column of numbers, by whatever name.
        matched = match_totals(pictures, table, counts=counts)
    for line in matched.notes:
        say(line)
    return matched


def columns_of_fit(model) -> list[str] | None:
    """Return the columns from which a model file was fitted; None if it does not name them."""
    from ..files import describe

    return (describe(model)["about"] or {}).get("totals")


def check_inputs(options) -> None:
    """Raise if a file that a command reads does not exist, before libraries are imported.

    Parameters
    ----------
    options : namespace
        With some of ``model``, ``totals``, ``dots`` and ``boxes``, and ``pictures``.

    Raises
    ------
    OSError, ValueError
    """
    totals = getattr(options, "totals", None)
    if totals is not None and Path(totals).is_dir():
        raise ValueError(
            f"{totals} is a folder, but the second argument is the table of totals. The "
            "pictures come first: sk-ednn count fit PICTURES TABLE."
        )
    for name in ("model", "totals", "dots", "boxes"):
        path = getattr(options, name, None)
        if path is not None:
            check_readable(Path(path))
    pictures = str(options.pictures)
    if "://" not in pictures and not set(pictures) & set("*?[") and "::" not in pictures:
        if not Path(pictures).is_dir():
            check_readable(Path(pictures))


def load_counter(path, max_bytes=None):
    """Read a model of pictures.

    Parameters
    ----------
    path : Path
    max_bytes : int or None, default=None
        Limit for the memory that the file needs.

    Raises
    ------
    ValueError
        If the file contains another kind of model.
    """
    from ..files import load
    from ..images import CountRegressor

    model = load(path, max_bytes=max_bytes)
    if not isinstance(model, CountRegressor):
        raise ValueError(
            f"Expected a model of pictures, but {path} contains "
            f"{with_article(type(model).__name__)}. Use sk-ednn predict."
        )
    return model


def _with_labels(options, pictures, matched, say):
    """Return pictures, their totals, and boxes of some; those with boxes alone come last."""
    from ..images import read_boxes, read_dots

    boxes = []
    if options.dots is not None:
        boxes += read_dots(pictures, options.dots, columns=matched.columns)
    if options.boxes is not None:
        boxes += read_boxes(pictures, options.boxes, columns=matched.columns)
    if not boxes:
        return matched.pictures, matched.totals, []
    named = {id(picture) for picture in matched.pictures}
    extra = [
        picture
        for k, picture in enumerate(pictures)
        if id(picture) not in named and any(box.picture == k for box in boxes)
    ]
    kept = [*matched.pictures, *extra]
    place = {id(picture): k for k, picture in enumerate(kept)}
    boxes = [replace(box, picture=place[id(pictures[box.picture])]) for box in boxes]
    unknown = np.full((len(extra), *matched.totals.shape[1:]), np.nan)
    n_with = len({box.picture for box in boxes})
    say(f"{len(boxes)} boxes with totals in {n_with} picture(s), {len(extra)} of them without one")
    return kept, np.concatenate([matched.totals, unknown]), boxes


def _fitted(model, matched, seconds) -> dict[str, Any]:
    held, totals = model.held_back_, matched.totals.reshape(len(matched.pictures), -1)
    n = len(held["index"])
    result: dict[str, Any] = {
        "pictures": len(matched.pictures),
        "held_back": n,
        "minutes": seconds / 60,
        "reduction": model.geometry_[0],
        # Passes over the pictures, and whether all that were planned fitted into the time.
        "passes": min(history[-1]["epoch"] for history in model.history_),
        "in_time": model.minutes is None or seconds / 60 < _IN_TIME * model.minutes,
        "error": model.error_ if n else None,
        "totals": {},
    }
    half = model.interval_.half_width(totals.mean(axis=0, keepdims=True), model.confidence)[0]
    for k, name in enumerate(matched.columns):
        column = totals[:, k]
        result["totals"][name] = {
            "mean": float(column.mean()),
            "error": float(np.abs(held["predicted"][:, k] - held["true"][:, k]).mean()) if n else 0,
            "error_of_mean": float(np.abs(column - column.mean()).mean()),
            "half_width": float(half[k]),
            **_held_back(matched, held["index"], held["true"][:, k], held["predicted"][:, k]),
        }
    return result


def _held_back(matched, index, true, predicted) -> dict[str, Any]:
    """Return spreads of totals of pictures not seen, and those that are furthest off."""
    furthest = np.argsort(-np.abs(predicted - true), kind="stable")[:_FURTHEST]
    return {
        "spread": float(true.std()) if len(true) else 0.0,
        "spread_predicted": float(predicted.std()) if len(true) else 0.0,
        "worst": [
            {
                "name": matched.pictures[index[j]].name,
                "true": float(true[j]),
                "predicted": float(predicted[j]),
            }
            for j in furthest
        ],
    }


def sayer(options):
    start = time.perf_counter()

    def say(line):
        if not options.quiet:
            typer.echo(f"[{(time.perf_counter() - start) / 60:4.1f} min] {line}", err=True)

    return say


def described(pictures) -> str:
    sizes = sorted({picture.grid for picture in pictures})
    n_channels = pictures[0].n_channels
    kind = {1: "grey", 3: "colour"}.get(n_channels, f"{n_channels} channels")
    size = " × ".join(map(str, sizes[0]))
    more = f" to {' × '.join(map(str, sizes[-1]))}" if len(sizes) > 1 else ""
    return f"{len(pictures)} picture(s), {size}{more} pixels, {kind}, {pictures[0].dtype}"


def _notes(pictures) -> list[str]:
    """Return notes on reading pictures, each with the number of pictures."""
    counts: dict[str, int] = {}
    for picture in pictures:
        for line in picture.notes:
            counts[line] = counts.get(line, 0) + 1
    return [f"in {n} picture(s): {line}" for line, n in counts.items()]


def _totals_line(matched) -> str:
    totals = matched.totals.reshape(len(matched.pictures), -1)
    parts = [
        f"{name}: {plain(column.min())} to {plain(column.max())}, mean {plain(column.mean())}"
        for name, column in zip(matched.columns, totals.T, strict=True)
    ]
    word = "column" if len(parts) == 1 else "columns"
    return f"{word} {'; '.join(parts)}; learned as {'counts' if matched.counts else 'amounts'}"


def _series(pictures, pattern, say):
    """Return the series of each picture, by a pattern or a number of consecutive pictures."""
    import re

    if pattern.isdigit():
        groups = [k // int(pattern) for k in range(len(pictures))]
    else:
        groups = []
        for picture in pictures:
            hit = re.search(pattern, picture.name)
            if hit is None:
                raise ValueError(f"--series {pattern!r} does not match the name {picture.name}.")
            groups.append(hit.group(1) if hit.groups() else hit.group())
    distinct = list(dict.fromkeys(groups))
    shown = ", ".join(map(str, distinct[:_MAX_SERIES]))
    say(f"{len(distinct)} series, each held out as a whole: {shown}")
    return groups


def _names_of_files(pictures) -> dict[str, str]:
    """Return a unique name for the files of each picture."""
    names: dict[str, str] = {}
    for picture in pictures:
        stem = picture.stem.replace("::", " ").replace("/", " ")
        other = picture.name.replace("::", " ").replace("/", " ").replace("\\", " ")
        names[picture.name] = other if stem in names.values() else stem
    return names


def _plain(value):
    if isinstance(value, np.ndarray):
        return [_plain(each) for each in value.tolist()]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def require_folder(path: Path) -> None:
    """Raise if the folder for maps is a file."""
    if path.exists() and not path.is_dir():
        raise ValueError(f"--maps must be a folder, but {path} is a file.")
