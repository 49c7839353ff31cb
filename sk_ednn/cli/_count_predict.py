"""The command ``count predict``."""

from __future__ import annotations

from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np
import typer

from . import _runs
from ._count_about import about_counts
from ._count_inputs import (
    about_of,
    check_inputs,
    described,
    load_counter,
    names_of_totals,
    sayer,
)
from ._count_maps import Maps
from ._count_of_fit import (
    how_counted,
    how_to_recount,
    note_on_larger,
    size_of_fit,
    times_larger,
)
from ._count_page import Counted, write_page
from ._count_recount import recount_first
from ._count_verdict import notes_of_model, verdict_of_model
from ._count_words import counted
from ._paths import check_paths, check_pictures, may_replace


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
    from ..images._output import require_table_name, write_counts
    from ..images._views import NUMBERS_OF_VIEWS

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
    columns, about_model = names_of_totals(options.model, model), about_of(options.model)
    verdict = verdict_of_model(about_model, model)
    larger = times_larger(pictures, about_model)
    notes = notes_of_model(model, columns, size_of_fit(about_model) if larger else "")
    notes += [note_on_larger(larger, about_model)] if larger and len(model.interval_.errors) else []
    held_back, confidence = len(model.interval_.errors), float(model.confidence)
    maps = None if options.maps is None else Maps(options.maps, pictures, columns, model)
    if maps is not None:
        maps.prepare(options.force)
    rows = model.count(
        pictures, maps=False if maps is None else maps.keep,
        writers=None if maps is None else maps.by_region,
        done=lambda row: say(counted(row)), progress=_progress(say),
    )  # fmt: skip
    if maps is not None:
        maps.draw_again()
    recount, parts = recount_first(rows), how_to_recount(larger, about_model)
    how = how_counted(model, about_model, columns)
    told = [*notes, parts] if parts else notes
    about = about_counts(columns, verdict, told, held_back, confidence, recount, how)
    if options.output is not None:
        write_counts(options.output, rows, columns, about)
    if options.recorder is not None:
        done = Counted(model, options.model.name, about_model, columns, pictures, rows)
        _keep(options.recorder, done, maps, about)
    result = {
        "columns": list(columns),
        "counts": [{key: _plain(value) for key, value in row.items()} for row in rows],
        "held_back": held_back,
        "verdict": verdict,
        "notes": notes,
        "recount": recount,
        "recount_parts": parts,
        "how_counted": how,
        "confidence": confidence,
        "output": None if options.output is None else str(options.output),
        "maps": None if options.maps is None else str(options.maps),
        "overlays": 0 if options.maps is None else sum(not each.by_region for each in pictures),
    }
    _runs.keep_results(options, result)
    return result


def _keep(recorder, done, maps, about) -> None:
    """Write a workbook and a page for colleagues into the folder of a run."""
    from ..images._output import write_counts

    if find_spec("openpyxl") is not None:
        # For spreadsheets that take the decimal points of CSV for separators of thousands.
        write_counts(recorder.path("counts.xlsx"), done.rows, done.columns, about)
    page = recorder.path("report.html")
    # Maps in another place are not sent together with the folder of the run.
    beside = maps.folder == recorder.path("maps")
    write_page(page, done, maps.map_of, partial(maps.overlay_of, page) if beside else None)


def _progress(say):
    """Return a function that prints the progress in a picture of many regions, at each tenth."""
    shown: dict[str, int] = {}

    def progress(picture, share):
        tenth = int(10 * share)
        if shown.get(picture.name, 0) < tenth < 10:
            say(f"{picture.name}: {100 * share:.0f} %")
        shown[picture.name] = tenth

    return progress


def _plain(value):
    if isinstance(value, np.ndarray):
        return [_plain(each) for each in value.tolist()]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
