"""What the commands of ``count`` print."""

from __future__ import annotations

import shlex

import numpy as np
import typer

from .._utils.wording import (
    averaged_pixels,
    plain,
    rough_interval,
    rounded,
    share_of_totals,
)
from ._count_verdict import how_learned, is_poor, note_on_totals
from ._report import show_files

# What a flag says, and what to do.
_FLAGS = {
    "unlike": (
        "unlike the training pictures",
        "check magnification, contrast and light, and look at the maps",
    ),
    "range": (
        "fuller or emptier than all training pictures",
        "count some by hand, and add such pictures to the training",
    ),
}
# Pixels between objects that suit the network, and the factor by which they may differ.
_APART, _SUITS = 13.0, 1.5


def show_fit(result) -> None:
    """Print the result of `fit`."""
    poor = False
    if result["error"] is None:
        typer.echo("no pictures were held out, so the error is unknown: there are too few pictures")
    else:
        for name, column in result["totals"].items():
            typer.echo(
                f"{name}: off by {plain(column['error'], 3)} on average on {result['held_back']} "
                f"pictures not seen (of all networks), of a mean of {plain(column['mean'])}; the "
                "mean as a guess for each of them is off by "
                f"{plain(column['error_of_mean'], 3)}; 90 % within ± "
                f"{plain(column['half_width'], 3)}"
            )
            if is_poor(column):
                poor = True
                typer.echo(_advice(name, column, result))
            for note in _notes_on_error(name, column, result["held_back"]):
                typer.echo(note)
    rough = rough_interval(result["held_back"])
    if rough:
        typer.echo(
            f"{rough}; 5 networks (on the page: Networks; --members 5) hold back more, a series "
            "(Pictures per series; --series) those of a slide or plate together, "
            "whose errors may be larger"
        )
    show_files(f"trained for {result['minutes']:.1f} minutes", result)
    if not poor:
        model = shlex.quote(str(result["output"]))
        typer.echo(
            f"next: sk-ednn count predict {model} NEW_PICTURES --output new_counts.csv --maps maps"
        )


def _advice(name, column, result) -> str:
    """Return what to try where a total is learned badly.

    Examples
    --------
    >>> from sk_ednn.cli._count_words import _advice
    >>> column = {"error": 20.9, "error_of_mean": 26.0, "spacing": 12.2}
    >>> result = {"passes": 120, "in_time": True, "reduction": 1}
    >>> _advice("fat cells", column, result)
    'next: fat cells is learned badly: add pictures, as many again or more (every picture was seen
    120 times; more minutes change little)'
    >>> _advice("fat cells", {**column, "spacing": 40.3}, result)
    'next: fat cells is learned badly: add pictures, as many again or more (every picture was seen
    120 times; more minutes change little); objects are some 40 pixels apart, which suits
    --reduction 3 (it was 1)'
    """
    from ..images._progress import whole_minutes

    passes = f"every picture was seen {result['passes']} times"
    if result["in_time"]:
        more = f"add pictures, as many again or more ({passes}; more minutes change little)"
    else:
        needed = whole_minutes(result["minutes_needed"])
        more = f"train longer with --minutes {needed} ({passes} when it ended), or add pictures"
    stopped = not result["in_time"]
    return f"next: {name}{how_learned(column, stopped)}: {more}{_on_spacing(column, result)}"


def _on_spacing(column, result) -> str:
    """Return what to change where objects are too near or too far apart; empty where they suit."""
    spacing, reduction = column["spacing"], result["reduction"]
    if spacing is None:
        return (
            f"; {averaged_pixels(reduction)} (--reduction {reduction}): objects or details should "
            f"then be some {_APART:.0f} pixels apart"
        )
    if _APART / _SUITS <= spacing / reduction <= _APART * _SUITS:
        return ""
    apart = f"; objects are some {plain(spacing, 2)} pixels apart"
    suited = max(1, round(spacing / _APART))
    if suited == reduction:
        return f"{apart}, and some {_APART:.0f} would suit: enlarge the pictures"
    return f"{apart}, which suits --reduction {suited} (it was {reduction})"


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
    note = note_on_totals(
        name, column["spread"], column["spread_predicted"], column.get("trend"), n
    )
    return [*notes, note] if note else notes


def show_predict(result) -> None:
    """Print the result of `predict`."""
    rows = result["counts"]
    typer.echo(f"the model: {result['verdict']['words']}")
    for note in result.get("notes", []):
        typer.echo(note)
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
    if result.get("recount"):
        typer.echo(result["recount"])
    if result.get("recount_parts"):
        typer.echo(result["recount_parts"])
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
            "'overlay.png': the more a square adds to the total, the stronger its colour, up to "
            "red; around an object it spreads like a halo; rings are peaks. "
            "'peaks.csv': places (X, Y) of the strongest squares, for ImageJ too, each with the "
            "share of its halo. Peaks of objects that touch may lie between them: for positions, "
            "mark the objects of a few pictures (count fit --dots on the command line)"
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
    text = ", ".join(with_interval(*each) for each in zip(total, low, high, strict=True))
    return f"{row['name']}: {text}{'  ' + _FLAGS[row['flag']][0] if row['flag'] else ''}"


def with_interval(total, low, high, more="") -> str:
    """Return a total with its interval, rounded by its width.

    Parameters
    ----------
    total : float
    low, high : float or None
        Without held-out pictures there is no interval: NaN, or None in a result.
    more : str, default=""
        Follows in the brackets.

    Examples
    --------
    >>> from sk_ednn.cli._count_words import with_interval
    >>> with_interval(113.309, 96.2, 130.418, "true 120"), with_interval(9.5, None, None)
    ('113.3 (96.2 to 130.4; true 120)', '9.5')
    """
    known = low is not None and high is not None and low == low and high == high
    width = high - low if known else None
    interval = f"{rounded(low, width)} to {rounded(high, width)}" if known else ""
    inside = "; ".join(part for part in (interval, more) if part)
    return rounded(total, width) + (f" ({inside})" if inside else "")
