"""The page on counts for colleagues: numbers, errors if totals are known, and previews of maps."""

from __future__ import annotations

import base64
import html
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._utils.wording import plain, rounded, share_of_totals
from .._utils.writing import replacing
from ._count_of_fit import (
    are_of_fit,
    how_counted,
    how_to_recount,
    note_on_larger,
    note_on_seen,
    size_of_fit,
    times_larger,
)
from ._count_verdict import notes_of_model, verdict_of_model
from ._count_words import with_interval

# Pictures in the page, and figures if there are several totals.
_DRAWN, _MOST_FIGURES = 12, 24
# Pixels along a preview: a page is to be sent as a letter.
_LONGEST = 1000
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem;"
    "color:#222;background:#fff}table{border-collapse:collapse}td,th{padding:.2rem .8rem;"
    "text-align:right}td:first-child,th:first-child{text-align:left}tr:nth-child(even){"
    "background:#f3f3f3}figure{display:inline-block;margin:.5rem 1rem .5rem 0;max-width:100%;"
    "vertical-align:top}img{max-width:100%;max-height:90vh}.flag{color:#a00}"
)

_HOW_TO_READ = (
    "<p>Each map has the picture on its left, with rings around the peaks of the "
    "map. The more a square of {} by {} pixels adds to the "
    "total, the stronger is its colour, up to red; the strip below says how much, "
    "in the same colours for all pictures. A square is no object: an object, such as a cell, may "
    "extend over several squares, and of objects that touch the colours may lie on the walls "
    "between them.</p>"
)


@dataclass
class Counted:
    """Pictures that were counted.

    Attributes
    ----------
    model : CountRegressor
    name : str
        Of the file of the model.
    about : dict
        What the file says of its fit.
    columns : list of str
    pictures : list of Picture
    rows : list of Bunch
        Of `CountRegressor.count`.
    true : ndarray of shape (n_pictures, n_outputs) or None
        Totals, if they are known.
    """

    model: Any
    name: str
    about: dict
    columns: list[str]
    pictures: list
    rows: list
    true: np.ndarray | None = None

    @property
    def totals(self) -> np.ndarray:
        """Counts, (n_pictures, n_outputs)."""
        return np.stack([np.ravel(row.total) for row in self.rows])


def write_page(path, counted, map_of, file_of=None) -> None:
    """Write the page.

    Parameters
    ----------
    path : Path
    counted : Counted
    map_of : function
        Returns the contributions of a picture, (*tile_grid, n_outputs); None for one that is not
        drawn.
    file_of : function, default=None
        Returns the path of the map of a picture and a total in full size, relative to the page. It
        is named and no link: a page that is sent alone, or shown by a server that trusts no page of
        a run, leads nowhere.
    """
    from ..images._geometry import Geometry

    focus = Geometry(*counted.model.geometry_).focus
    larger = times_larger(counted.pictures, counted.about)
    size = size_of_fit(counted.about) if larger else ""
    notes = notes_of_model(counted.model, counted.columns, size)
    if larger and len(counted.model.interval_.errors):
        notes.append(note_on_larger(larger, counted.about))
    notes += [parts] if (parts := how_to_recount(larger, counted.about)) else []
    quality = _quality(counted.about, counted.model, notes, focus)
    content = _page(counted, _figures(counted, map_of, file_of, focus), quality)
    with replacing(path, "w", encoding="utf-8") as file:
        file.write(content)


def _figures(counted, map_of, file_of, focus) -> list[str]:
    """Return figures of some pictures, those with the largest errors first."""
    from ..images._overlay import drawn_overlay, full_colour

    rows, columns, true = counted.rows, counted.columns, counted.true
    order = np.arange(len(rows))
    if true is not None:
        order = np.argsort(-np.abs(counted.totals - true).mean(axis=1), kind="stable")
    maps = {}
    for k in order.tolist():
        if len(maps) >= max(1, min(_DRAWN, _MOST_FIGURES // len(columns))):
            break
        if (of_picture := map_of(counted.pictures[k])) is not None:
            maps[k] = of_picture
    # The strongest colour of each total is one for all pictures.
    full = [
        max((full_colour(each[..., j]) for each in maps.values()), default=0.0)
        for j in range(len(columns))
    ]
    figures = []
    for k, of_picture in maps.items():
        for j, name in enumerate(columns):
            picture = counted.pictures[k]
            image, _ = drawn_overlay(
                picture, of_picture[..., j], focus, legend=True, beside=True, full=full[j],
                rings=True, longest=_LONGEST,
            )  # fmt: skip
            file = None if file_of is None else file_of(picture, j)
            of_true = None if true is None else true[k, j]
            figures.append(_figure(_address(image), rows[k], name, j, of_true, file))
    if maps and len(maps) < len(rows):
        which = "first" if true is None else "worst"
        figures.insert(0, f"<p>Maps of the {which} {len(maps)} of {len(rows)} pictures.</p>")
    return figures


def _address(image) -> str:
    """Return a picture as the address of its own compressed bytes."""
    from ..images._overlay import preview

    content, kind = preview(image)
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


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


def _page(counted, figures, quality) -> str:
    rows, columns, true = counted.rows, counted.columns, counted.true
    parts = [f"<h1>Counts by {html.escape(counted.name)}</h1>", quality]
    parts += [] if true is None else _errors(counted)
    unlike = sum(row.flag == "unlike" for row in rows)
    if unlike:
        parts.append(f"<p class=flag>{unlike} pictures are unlike the training pictures.</p>")
    parts += ["<h2>Maps</h2>", *figures] if figures else []
    parts += ["<h2>Counts</h2>", _table(rows, columns, true)]
    how = how_counted(counted.model, counted.about, columns)
    parts += ["<h2>How this was counted</h2>", f"<p>{html.escape(how)}.</p>"]
    body = "\n".join(parts)
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>Counts</title><style>{_STYLE}"
        f"</style><body>{body}</body></html>\n"
    )


def _errors(counted) -> list[str]:
    """Return the errors where totals are known; those of pictures of the fit apart from others."""
    seen = np.array(are_of_fit(counted.pictures, counted.about), dtype=bool)
    note = note_on_seen(int(seen.sum()), len(seen))
    parts = [f"<p class=flag>{html.escape(note[0].upper() + note[1:])}.</p>"] if note else []
    if not note:
        return [_errors_of(counted, ~seen, "pictures")]
    if not seen.all():
        parts.append(_errors_of(counted, ~seen, "pictures that are not of the fit"))
    return [*parts, _errors_of(counted, seen, "pictures of the fit")]


def _errors_of(counted, which, what) -> str:
    true, off = counted.true[which], (counted.totals - counted.true)[which]
    inside = [
        bool(((np.ravel(row.low) <= of_picture) & (of_picture <= np.ravel(row.high))).all())
        for row, of_picture, wanted in zip(counted.rows, counted.true, which, strict=True)
        if wanted
    ]
    return (
        f"<p>{len(true)} {what}: mean absolute error {_numbers(np.abs(off).mean(axis=0), 3)} of "
        f"{_numbers(true.mean(axis=0))}, bias {_numbers(off.mean(axis=0), 3)}; "
        f"{100 * np.mean(inside):.0f} % of the totals are in their intervals.</p>"
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


def _figure(address, row, name, j, true, in_full) -> str:
    known = "" if true is None or true != true else f"true {plain(true)}"
    total, low, high = (np.ravel(row[key])[j] for key in ("total", "low", "high"))
    shown = with_interval(total, low, high, known)
    file, name = html.escape(row.name), html.escape(name)
    more = "" if in_full is None else f"<br><small>in full: {html.escape(in_full)}</small>"
    return (
        f'<figure><img alt="{file}, and the map of {name} over it" src="{address}">'
        f"<figcaption>{file}: {name} {shown}{more}</figcaption></figure>"
    )


def _numbers(values, digits=4) -> str:
    return ", ".join("–" if value != value else plain(value, digits) for value in np.ravel(values))


def _number(value, width=None) -> str:
    return "–" if value != value else rounded(value, width)
