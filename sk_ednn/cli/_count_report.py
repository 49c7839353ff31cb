"""The report of ``count report``: counts, errors if totals are known, and maps."""

from __future__ import annotations

import base64
import html

import numpy as np

from .._utils.wording import plain, share_of_totals
from .._utils.writing import replacing
from ._count_inputs import (
    about_of,
    check_inputs,
    columns_of_fit,
    described,
    load_counter,
    matched_totals,
    sayer,
)
from ._count_verdict import verdict_of_model
from ._count_words import counted
from ._paths import check_paths, check_pictures, may_replace

# Number of pictures in the report, those with the largest errors first.
_DRAWN = 12
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem;"
    "color:#222;background:#fff}table{border-collapse:collapse}td,th{padding:.2rem .8rem;"
    "text-align:right}td:first-child,th:first-child{text-align:left}tr:nth-child(even){"
    "background:#f3f3f3}figure{display:inline-block;margin:.5rem}img{max-width:20rem;"
    "image-rendering:auto}.flag{color:#a00}"
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
    from ..images._overlay import overlay_png

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
    figures = []
    for k in order[:_DRAWN]:
        contributions = model.predict_contributions([pictures[k]])[0]
        contributions = (
            contributions.sum(axis=-1) if contributions.ndim > len(focus) else contributions
        )
        figures.append(
            _figure(overlay_png(pictures[k], contributions, focus), rows[k], _true(true, k))
        )
    page = _page(options, rows, true, totals, figures, _quality(about_of(options.model), model))
    with replacing(options.output, "w", encoding="utf-8") as file:
        file.write(page)


def _true(true, k):
    return None if true is None else true[k]


def _quality(about, model) -> str:
    """Return what is known of the model's errors, and what the intervals and colours mean."""
    n = len(model.interval_.errors)
    known = f"The model: {html.escape(verdict_of_model(about, model)['words'])}."
    if n:
        share = share_of_totals(model.confidence)
        known += (
            f" From these errors follow <i>low</i> and <i>high</i>: {share} true totals of "
            "pictures like them should lie between."
        )
    return f"<p>{known} Squares are coloured from yellow to red by what they contribute.</p>"


def _page(options, rows, true, totals, figures, quality) -> str:
    parts = [f"<h1>Counts by {html.escape(options.model.name)}</h1>", quality]
    if true is not None:
        error = np.abs(totals - true).mean(axis=0)
        bias = (totals - true).mean(axis=0)
        inside = [
            bool(((np.ravel(row.low) <= of_picture) & (of_picture <= np.ravel(row.high))).all())
            for row, of_picture in zip(rows, true, strict=True)
        ]
        parts.append(
            f"<p>{len(rows)} pictures: mean absolute error {_numbers(error)} of "
            f"{_numbers(true.mean(axis=0))}, bias {_numbers(bias)}; {100 * np.mean(inside):.0f} % "
            "of the totals are in their intervals.</p>"
        )
    unlike = sum(row.flag == "unlike" for row in rows)
    if unlike:
        parts.append(f"<p class=flag>{unlike} pictures are unlike the training pictures.</p>")
    parts += ["<h2>Maps</h2>", *figures, "<h2>Counts</h2>", _table(rows, true)]
    body = "\n".join(parts)
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>Counts</title><style>{_STYLE}"
        f"</style><body>{body}</body></html>\n"
    )


def _table(rows, true) -> str:
    head = ["file", "predicted", "low", "high", *(["true"] if true is not None else []), "flag"]
    lines = ["<tr>" + "".join(f"<th>{name}</th>" for name in head) + "</tr>"]
    for k, row in enumerate(rows):
        cells = [html.escape(row.name), *(_numbers(row[key]) for key in ("total", "low", "high"))]
        cells += [] if true is None else [_numbers(true[k])]
        lines.append("<tr>" + "".join(f"<td>{c}</td>" for c in [*cells, row.flag]) + "</tr>")
    return "<table>" + "\n".join(lines) + "</table>"


def _figure(png, row, true) -> str:
    data = base64.b64encode(png).decode()
    true_total = "" if true is None else f" (true {_numbers(true)})"
    caption = f"{html.escape(row.name)}: {_numbers(row.total)}{true_total}"
    return (
        f'<figure><img alt="map over {html.escape(row.name)}" src="data:image/png;base64,{data}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _numbers(values) -> str:
    return ", ".join("–" if value != value else plain(value) for value in np.ravel(values))
