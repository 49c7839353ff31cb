"""The commands of ``sk-ednn count``."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated

import typer

from ._errors import one_line_errors
from ._runs import ClockFile, RunFolder, recorded

# No heavy imports here: each command imports its module when it runs.

app = typer.Typer(
    name="count",
    help="Count objects in photographs, trained on pictures with their counts.",
    no_args_is_help=True,
)

Pictures = Annotated[
    str,
    typer.Argument(
        help="Folder, pattern such as 'day*/*.png', or file: PNG, JPEG, TIFF, OME-Zarr or .npz."
    ),
]
SeveralPictures = Annotated[
    list[str],
    typer.Argument(
        help="Folders, patterns such as 'day*/*.png', or files: PNG, JPEG, TIFF, OME-Zarr or .npz."
    ),
]
Model = Annotated[Path, typer.Argument(help="Model file written by `sk-ednn count fit`.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print no progress, only results and warnings.")
]
Force = Annotated[bool, typer.Option("--force", help="Replace an existing file.")]
MissingChunks = Annotated[
    str,
    typer.Option(
        help="If a chunk of an OME-Zarr or a tile of a TIFF is not there: error, or fill to read "
        "its fill value. Zarr leaves out chunks that contain nothing else."
    ),
]


@app.command()
def fit(
    ctx: typer.Context,
    pictures: Pictures,
    totals: Annotated[
        str, typer.Argument(help="CSV or Excel table with the name of each picture and its total.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File for the fitted model.")
    ] = Path("model.ednn"),
    minutes: Annotated[
        float | None,
        typer.Option(
            min=0.05,
            help="Time limit of the training in minutes. Default: 12, or none if --epochs is "
            "given.",
        ),
    ] = None,
    column: Annotated[
        str | None,
        typer.Option(
            help="Column of the totals, or several separated by commas. Default: the only column "
            "of numbers."
        ),
    ] = None,
    amounts: Annotated[
        bool, typer.Option("--amounts", help="Totals are areas or other amounts, not counts.")
    ] = False,
    series: Annotated[
        str | None,
        typer.Option(
            help="Hold out all pictures of a series, such as a slide or dish, together: a regular "
            "expression for the series in the names, such as '^(.*)_' for all before the last _, "
            "or the number of pictures per series, if they follow each other. Three series or more."
        ),
    ] = None,
    dots: Annotated[
        Path | None,
        typer.Option(
            help="Table with the positions of all objects in some of the pictures: columns file, "
            "row and column, or file, x and y."
        ),
    ] = None,
    boxes: Annotated[
        Path | None,
        typer.Option(
            help="Table with totals of rectangles: columns file, top, left, bottom, right (or x, "
            "y, "
            "width, height) and the totals."
        ),
    ] = None,
    members: Annotated[
        int, typer.Option(min=1, help="Number of networks, whose predictions are averaged.")
    ] = 2,
    reduction: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Number of pixels averaged into one along each axis. Default: chosen by the "
            "pictures and totals, and printed.",
        ),
    ] = None,
    leave_out: Annotated[
        str,
        typer.Option(
            help="Parts of the pictures that are painted over, such as a scale bar: "
            "left,top,right,bottom in pixels, several separated by semicolons; none; or auto for "
            "what nearly all pictures show at the same place near an edge."
        ),
    ] = "auto",
    upright: Annotated[
        bool, typer.Option("--upright", help="Do not rotate and flip pictures.")
    ] = False,
    epochs: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Maximum number of passes over the pictures. Without --minutes, the same command "
            "then makes the same model. Default: two for each total, at most 300.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of random numbers.")] = 0,
    jobs: Annotated[
        int, typer.Option(help="Number of networks trained in parallel; -1 for all cores.")
    ] = -1,
    clock: ClockFile = None,
    keep_on_interrupt: Annotated[
        bool,
        typer.Option(
            "--keep-on-interrupt", help="On Ctrl-C write the best weights so far without asking."
        ),
    ] = False,
    run: RunFolder = None,
    missing_chunks: MissingChunks = "error",
    force: Force = False,
    as_json: Json = False,
    quiet: Quiet = False,
):
    """Fit a model to pictures and the total of each. Positions are not needed."""
    from . import _count_fit, _count_words

    # The callback of the training heeds "stop", so that the best weights are kept.
    with one_line_errors(), recorded(ctx, "count-fit", interrupt=False) as options:
        result = _count_fit.fit(ctx, options)
        if as_json:
            typer.echo(json.dumps(result))
        else:
            _count_words.show_fit(result)


@app.command()
def predict(
    ctx: typer.Context,
    model: Model,
    pictures: SeveralPictures,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="File for the counts: .csv, or .xlsx for Excel. Default: print them.",
        ),
    ] = None,
    maps: Annotated[
        Path | None,
        typer.Option(
            help="Folder for maps (.tif), overlays (.png) and peaks (.csv). Slides that are read "
            "in parts (tiled TIFF of more than 64 MiB of pixels, and OME-Zarr) have only maps, "
            ".ome.zarr."
        ),
    ] = None,
    views: Annotated[
        int | None,
        typer.Option(
            help="Rotated and flipped views that are averaged: 1, 2, 4 or 8. Fewer are faster. "
            "Default: those of the fit, 8 unless --upright."
        ),
    ] = None,
    run: RunFolder = None,
    missing_chunks: MissingChunks = "error",
    force: Force = False,
    as_json: Json = False,
    quiet: Quiet = False,
):
    """Count in pictures of any size."""
    from . import _count_predict, _count_words
    from ._count_inputs import one_or_several, require_folder

    ctx.params["pictures"] = one_or_several(pictures)
    with one_line_errors(), recorded(ctx, "count-predict") as options:
        if maps is not None:
            require_folder(maps)
        result = _count_predict.predict(ctx, options)
        if as_json:
            typer.echo(json.dumps(result))
        else:
            _count_words.show_predict(result)


@app.command()
def report(
    ctx: typer.Context,
    model: Model,
    pictures: Annotated[
        list[str],
        typer.Argument(
            metavar="PICTURES... [TOTALS]",
            help="Folders, patterns or files with pictures, and last a CSV or Excel table with the "
            "totals, if they are known.",
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File for the report, .html.")
    ] = Path("report.html"),
    column: Annotated[str | None, typer.Option(help="Column of the totals.")] = None,
    amounts: Annotated[
        bool, typer.Option("--amounts", help="Totals are amounts, not counts.")
    ] = False,
    missing_chunks: MissingChunks = "error",
    force: Force = False,
    quiet: Quiet = False,
):
    """Write a report with counts, errors and maps."""
    from . import _count_report
    from ._count_inputs import pictures_and_table

    with one_line_errors():
        ctx.params["pictures"], ctx.params["totals"] = pictures_and_table(pictures)
        _count_report.run(SimpleNamespace(**ctx.params))
    typer.echo(f"report written to {output}")
