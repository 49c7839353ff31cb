"""What the commands of ``count`` print."""

from __future__ import annotations

import shlex

import numpy as np
import typer

from .._utils.wording import plain, rough_interval, share_of_totals
from ._count_verdict import how_learned, is_poor
from ._report import show_files

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
# Where totals of this many pictures not seen spread by less than this share of the true ones, the
# model keeps to the mean.
_FEW_FOR_SPREAD, _TOO_SMALL = 6, 0.7


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
            if is_poor(column):
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
    >>> from sk_ednn.cli._count_words import _advice
    >>> column = {"error": 20.9, "error_of_mean": 26.0}
    >>> _advice("fat cells", column, {"passes": 120, "in_time": True, "reduction": 1})
    'next: fat cells is learned badly: add pictures (every picture was seen 120 times; more minutes
    change little), and check reduction 1: objects should be some 13 pixels apart'
    """
    from ..images._fitting import whole_minutes

    passes = f"every picture was seen {result['passes']} times"
    if result["in_time"]:
        more = f"add pictures ({passes}; more minutes change little)"
    else:
        needed = whole_minutes(result["minutes_needed"])
        more = f"train longer with --minutes {needed} ({passes} when it ended), or add pictures"
    return (
        f"next: {name} {how_learned(column)}: {more}, and check reduction {result['reduction']}: "
        "objects should be some 13 pixels apart"
    )


def _notes_on_error(name, column, n) -> list[str]:
    """Return which pictures are furthest off, and whether differences come out too small."""
    notes = []
    if is_poor(column):
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


def show_predict(result) -> None:
    """Print the result of `predict`."""
    rows = result["counts"]
    typer.echo(f"the model: {result['verdict']['words']}")
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
    if result["overlays"]:
        typer.echo(
            "'overlay.png': squares are coloured from yellow to red by what they add to the total; "
            "'peaks.csv': places (X, Y) where they add most, for ImageJ too, with the share of each"
        )


def counted(row) -> str:
    """Return the line on a picture: its totals with their intervals, and its flag.

    Parameters
    ----------
    row : dict
        Of `CountRegressor.count`, or of the result of `predict`.

    Examples
    --------
    >>> from sk_ednn.cli._count_words import counted
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
