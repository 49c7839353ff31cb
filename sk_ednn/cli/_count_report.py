"""The report of ``count report``: counts, errors if totals are known, and maps."""

from __future__ import annotations

import base64
import html

import numpy as np

from .._utils.wording import plain, rounded, share_of_totals
from .._utils.writing import replacing
from ._count_inputs import (
    about_of,
    check_inputs,
    columns_of_fit,
    described,
    load_counter,
    matched_totals,
    names_of_totals,
    sayer,
)
from ._count_verdict import notes_of_model, verdict_of_model
from ._count_words import counted, with_interval
from ._paths import check_paths, check_pictures, may_replace

# Number of pictures in the report, those with the largest errors first.
_DRAWN = 12
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem;"
    "color:#222;background:#fff}table{border-collapse:collapse}td,th{padding:.2rem .8rem;"
    "text-align:right}td:first-child,th:first-child{text-align:left}tr:nth-child(even){"
    "background:#f3f3f3}figure{display:inline-block;margin:.5rem 1rem .5rem 0;max-width:100%;"
    "vertical-align:top}img{max-width:100%;max-height:90vh}.flag{color:#a00}"
)

_HOW_TO_READ = (
    "<p>Each map has the picture on its left. The more a square of {} by {} pixels adds to the "
    "total, the stronger is its colour, up to red; the strip below says how much, "
    "in the same colours for all pictures. A square is no object: an object, such as a cell, may "
    "extend over several squares, and of objects that touch the colours may lie on the walls "
    "between them.</p>"
)


def run(options) -> None:
    """Count in pictures and write the report.

    Parameters
    ----------
    options : namespace
        The parameters of the command, by name.
    """
    check_inputs(options)
    from ..images import read_pictures
    from ..images._geometry import Geometry
    from ..images._overlay import full_colour, overlay_png

    if options.output.suffix.lower() not in {".html", ".htm"}:
        raise ValueError(f"--output must end in .html, got {options.output}.")
    check_paths(options)
    may_replace("--output", options.output, options.force)
    model = load_counter(options.model)
    say = sayer(options)
    pictures = read_pictures(options.pictures, missing_chunks=options.missing_chunks)
    check_pictures(options, pictures)
    true = None
    if options.totals is not None:
        matched = matched_totals(
            pictures, options.totals, say, column=options.column,
            counts=False if options.amounts else None, known=columns_of_fit(options.model),
        )  # fmt: skip
        pictures = matched.pictures
        true = matched.totals.reshape(len(pictures), -1)
        if true.shape[1] != model.n_outputs_:
            raise ValueError(
                f"The model predicts {model.n_outputs_} total(s), but the table has "
                f"{true.shape[1]}. Name the columns with --column."
            )
    say(described(pictures))
    focus = Geometry(*model.geometry_).focus
    rows = model.count(pictures, done=lambda row: say(counted(row)))
    totals = np.stack([np.ravel(row.total) for row in rows])
    order = np.arange(len(rows))
    if true is not None:
        order = np.argsort(-np.abs(totals - true).mean(axis=1), kind="stable")
    columns = names_of_totals(options.model, model)
    maps = [model.predict_contributions([pictures[k]])[0] for k in order[:_DRAWN]]
    maps = [each if each.ndim > len(focus) else each[..., None] for each in maps]
    # The strongest colour of each total is one for all pictures.
    full = [max(full_colour(each[..., j]) for each in maps) for j in range(len(columns))]
    figures = []
    for k, of_picture in zip(order[:_DRAWN], maps, strict=True):
        for j, name in enumerate(columns):
            png = overlay_png(
                pictures[k], of_picture[..., j], focus, legend=True, beside=True, full=full[j]
            )
            figures.append(_figure(png, rows[k], name, j, None if true is None else true[k, j]))
    about = about_of(options.model)
    quality = _quality(about, model, notes_of_model(model, columns), focus)
    page = _page(options, rows, columns, true, totals, figures, quality)
    with replacing(options.output, "w", encoding="utf-8") as file:
        file.write(page)


def _quality(about, model, notes, focus) -> str:
    """Return what is known of the model's errors, and what the intervals and colours mean."""
    n = len(model.interval_.errors)
    known = f"The model: {html.escape(verdict_of_model(about, model)['words'])}."
    if n:
        share = share_of_totals(model.confidence)
        known += (
            f" From these errors follow <i>low</i> and <i>high</i>: {share} true totals of "
            "pictures like them should lie between."
        )
    warned = "".join(f"<p class=flag>{html.escape(note)}.</p>" for note in notes)
    return f"<p>{known}</p>{warned}{_HOW_TO_READ.format(focus[-2], focus[-1])}"


def _page(options, rows, columns, true, totals, figures, quality) -> str:
    parts = [f"<h1>Counts by {html.escape(options.model.name)}</h1>", quality]
    if true is not None:
        error = np.abs(totals - true).mean(axis=0)
        bias = (totals - true).mean(axis=0)
        inside = [
            bool(((np.ravel(row.low) <= of_picture) & (of_picture <= np.ravel(row.high))).all())
            for row, of_picture in zip(rows, true, strict=True)
        ]
        parts.append(
            f"<p>{len(rows)} pictures: mean absolute error {_numbers(error, 3)} of "
            f"{_numbers(true.mean(axis=0))}, bias {_numbers(bias, 3)}; "
            f"{100 * np.mean(inside):.0f} % of the totals are in their intervals.</p>"
        )
    unlike = sum(row.flag == "unlike" for row in rows)
    if unlike:
        parts.append(f"<p class=flag>{unlike} pictures are unlike the training pictures.</p>")
    parts += ["<h2>Maps</h2>", *figures, "<h2>Counts</h2>", _table(rows, columns, true)]
    body = "\n".join(parts)
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>Counts</title><style>{_STYLE}"
        f"</style><body>{body}</body></html>\n"
    )


def _table(rows, columns, true) -> str:
    head = ["file"]
    for name in columns:
        head += [name, "low", "high", *(["true"] if true is not None else [])]
    lines = [
        "<tr>" + "".join(f"<th>{html.escape(name)}</th>" for name in [*head, "flag"]) + "</tr>"
    ]
    for k, row in enumerate(rows):
        cells = [html.escape(row.name)]
        numbers = (np.ravel(row[key]) for key in ("total", "low", "high"))
        for j, (total, low, high) in enumerate(zip(*numbers, strict=True)):
            cells += [_number(value, high - low) for value in (total, low, high)]
            cells += [] if true is None else [_number(true[k, j])]
        lines.append("<tr>" + "".join(f"<td>{c}</td>" for c in [*cells, row.flag]) + "</tr>")
    return "<table>" + "\n".join(lines) + "</table>"


def _figure(png, row, name, j, true) -> str:
    data = base64.b64encode(png).decode()
    known = "" if true is None or true != true else f"true {plain(true)}"
    total, low, high = (np.ravel(row[key])[j] for key in ("total", "low", "high"))
    shown = with_interval(total, low, high, known)
    file, name = html.escape(row.name), html.escape(name)
    return (
        f'<figure><img alt="{file}, and the map of {name} over it" '
        f'src="data:image/png;base64,{data}"><figcaption>{file}: {name} {shown}</figcaption>'
        "</figure>"
    )


def _numbers(values, digits=4) -> str:
    return ", ".join("–" if value != value else plain(value, digits) for value in np.ravel(values))


def _number(value, width=None) -> str:
    return "–" if value != value else rounded(value, width)
