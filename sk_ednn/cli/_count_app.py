"""The commands of ``sk-ednn count``, as they are typed."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated

import typer

from ._errors import one_line_errors
from ._runs import RunFolder, recorded

# Nothing heavy is imported here: what a command needs, its module imports when it runs.

app = typer.Typer(
    name="count",
    help="Count in photographs, learned from pictures and a number for each.",
    no_args_is_help=True,
)

Pictures = Annotated[
    str,
    typer.Argument(
        help="A folder, a pattern such as 'day*/*.png', or a file: PNG, JPEG, TIFF, OME-Zarr, .npz."
    ),
]
Model = Annotated[Path, typer.Argument(help="A file written by `sk-ednn count fit`.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]
Force = Annotated[bool, typer.Option("--force", help="Replace a file that is there.")]


@app.command()
def fit(
    ctx: typer.Context,
    pictures: Pictures,
    totals: Annotated[
        str, typer.Argument(help="A table with the name of each file and its total: CSV or Excel.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File for the fitted model.")
    ] = Path("model.ednn"),
    minutes: Annotated[
        float, typer.Option(min=0.05, help="Time for the training; it may end earlier.")
    ] = 12.0,
    column: Annotated[
        str | None,
        typer.Option(help="Column of the totals; several with commas. Left out, if there is one."),
    ] = None,
    amounts: Annotated[
        bool, typer.Option("--amounts", help="Totals are areas or other amounts, no counts.")
    ] = False,
    series: Annotated[
        str | None,
        typer.Option(
            help="Pictures of one series (slide, dish) are held back together: a pattern that "
            "finds the series in their names, as '^(.*)_', or how many follow each other."
        ),
    ] = None,
    dots: Annotated[
        Path | None,
        typer.Option(
            help="A table with the positions of all objects in some of the pictures: file, row "
            "and column, or x and y."
        ),
    ] = None,
    boxes: Annotated[
        Path | None,
        typer.Option(
            help="A table with totals of rectangles: file, top, left, bottom, right (or x, y, "
            "width, height) and the totals."
        ),
    ] = None,
    members: Annotated[int, typer.Option(min=1, help="Networks that are averaged.")] = 2,
    reduction: Annotated[
        int | None,
        typer.Option(min=1, help="Pixels averaged into one along each axis; left out, by counts."),
    ] = None,
    upright: Annotated[
        bool, typer.Option("--upright", help="Pictures may not be turned or flipped.")
    ] = False,
    epochs: Annotated[int, typer.Option(min=1, help="Most passes over the pictures.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Random state.")] = 0,
    jobs: Annotated[int, typer.Option(help="Networks trained at once; -1 for all cores.")] = -1,
    run: RunFolder = None,
    force: Force = False,
    as_json: Json = False,
    quiet: Quiet = False,
):
    """Learn to count from pictures and a number for each; positions are not needed."""
    from . import _count

    # The callback of the training heeds "stop", so that the best weights are kept.
    with one_line_errors(), recorded(ctx, "count-fit", interrupt=False) as asked:
        found = _count.fit(ctx, asked)
        if as_json:
            typer.echo(json.dumps(found))
        else:
            _count.show_fit(found)


@app.command()
def predict(
    ctx: typer.Context,
    model: Model,
    pictures: Pictures,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the counts to this .csv file.")
    ] = None,
    maps: Annotated[
        Path | None,
        typer.Option(
            help="Folder for maps (.tif), overlays (.png) and peaks (.csv); of slides: .ome.zarr."
        ),
    ] = None,
    run: RunFolder = None,
    force: Force = False,
    as_json: Json = False,
    quiet: Quiet = False,
):
    """Count in pictures of any size."""
    from . import _count

    with one_line_errors(), recorded(ctx, "count-predict") as asked:
        if maps is not None:
            _count.require_folder(maps)
        found = _count.predict(ctx, asked)
        if as_json:
            typer.echo(json.dumps(found))
        else:
            _count.show_predict(found)


@app.command()
def report(
    ctx: typer.Context,
    model: Model,
    pictures: Pictures,
    totals: Annotated[
        str | None, typer.Argument(help="A table with their totals, where they are known.")
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The page, .html, for any browser.")
    ] = Path("report.html"),
    column: Annotated[str | None, typer.Option(help="Column of the totals.")] = None,
    amounts: Annotated[bool, typer.Option("--amounts", help="Totals are no counts.")] = False,
    force: Force = False,
    quiet: Quiet = False,
):
    """Write a page with counts, errors and maps."""
    from . import _count_report

    with one_line_errors():
        _count_report.run(SimpleNamespace(**ctx.params))
    typer.echo(f"report written to {output}")
