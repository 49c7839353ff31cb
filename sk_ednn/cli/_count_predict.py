"""The command ``count predict``."""

from __future__ import annotations

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
    from ..images._geometry import Geometry
    from ..images._output import (
        read_map,
        require_table_name,
        write_counts,
        write_map,
        write_peaks,
    )
    from ..images._overlay import full_colour, write_overlay
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
    columns = names_of_totals(options.model, model)
    verdict = verdict_of_model(about_of(options.model), model)
    notes = notes_of_model(model, columns)
    held_back, confidence = len(model.interval_.errors), float(model.confidence)
    about = about_counts(columns, verdict, notes, held_back, confidence)
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

    # The strongest colour of each total, one for all pictures, and that of each overlay.
    full, drawn_with = [0.0] * len(endings), {}

    def keep(picture, contributions):
        goal, *others = files_of(picture)
        write_map(goal, contributions, focus, picture.pixel_size)
        for k in range(len(endings)):
            of_output = contributions[..., k] if contributions.ndim > len(focus) else contributions
            full[k] = max(full[k], full_colour(of_output))
            write_overlay(others[2 * k], picture, of_output, focus, full[k])
            drawn_with[picture.name, k] = full[k]
            write_peaks(others[2 * k + 1], of_output, focus)

    def draw_again():
        """Draw overlays with the colours of those that came later."""
        for picture in pictures:
            for k in range(len(endings)):
                if drawn_with.get((picture.name, k), full[k]) != full[k]:
                    goal, *others = files_of(picture)
                    contributions, _ = read_map(goal)
                    of_output = contributions[k] if len(endings) > 1 else contributions
                    write_overlay(others[2 * k], picture, of_output, focus, full[k])

    def by_region(picture):
        if not picture.by_region or options.maps is None:
            return None
        grid = model.estimators_[0].tiling_.tile_grid(picture.shape)
        (path,) = files_of(picture)
        return MapWriter(path, picture.name, grid, focus, model.n_outputs_, picture.pixel_size)

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
    draw_again()
    if options.output is not None:
        write_counts(options.output, rows, columns, about)
    if options.recorder is not None and find_spec("openpyxl") is not None:
        # For spreadsheets that take the decimal points of CSV for separators of thousands.
        write_counts(options.recorder.path("counts.xlsx"), rows, columns, about)
    result = {
        "columns": list(columns),
        "counts": [{key: _plain(value) for key, value in row.items()} for row in rows],
        "held_back": held_back,
        "verdict": verdict,
        "notes": notes,
        "confidence": confidence,
        "output": None if options.output is None else str(options.output),
        "maps": None if options.maps is None else str(options.maps),
        "overlays": 0 if options.maps is None else sum(not each.by_region for each in pictures),
    }
    _runs.keep_results(options, result)
    return result


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
