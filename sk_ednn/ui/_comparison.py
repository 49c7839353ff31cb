"""Curves of several runs in one chart: a colour for each run, a kind of line for each curve."""

from __future__ import annotations

import re
from typing import NamedTuple

from nicegui import ui

from . import _charts
from ._frame import text

# As far apart as on other charts, and one more: as many as runs are compared.
_COLOURS = (*_charts.COLOURS, "#9a6a3a")
_LINES = ("solid", "dashed", "dotted")
_NETWORK = re.compile(r", network \d+$")
_HELD_BACK = re.compile(r"not seen|\b(valid|validation|test)\b")
_THICK, _THIN = 2.4, 1.2


class Key(NamedTuple):
    """What the colours and the lines of a chart mean.

    Attributes
    ----------
    runs, lines : dict of str to str
        The colour of each run; the kind of line of each curve.
    thin : str
        What thin lines are; empty without any.
    """

    runs: dict[str, str]
    lines: dict[str, str]
    thin: str


def compared(curves, *, x="", y="", title="") -> tuple[dict, Key]:
    """Return a chart of the curves of several runs, and its key.

    Parameters
    ----------
    curves : dict of str to dict
        For each run, by its name, the series (x, y) by their names.
    x, y, title : str

    Returns
    -------
    options : dict
        Of ECharts, without a legend.
    key : Key

    Examples
    --------
    >>> from sk_ednn.ui._comparison import compared
    >>> one = {"error, network 1": ([0, 1], [3, 2]), "error, network 2": ([0, 1], [4, 2])}
    >>> _, key = compared({"fit 3fab": one, "fit 5b8f": {"loss": ([0, 1], [2, 1])}})
    >>> key.runs, key.lines, key.thin
    ({'fit 3fab': '#2a8bd0', 'fit 5b8f': '#d55e00'}, {'error': 'solid', 'loss': 'dashed'}, 'networks
    after the first')
    """
    names = [(run, name) for run, of_one in curves.items() for name in of_one]
    kinds = dict.fromkeys(_NETWORK.sub("", name) for _, name in names)
    # What runs are compared by is drawn solid.
    kinds = sorted(kinds, key=lambda kind: _HELD_BACK.search(kind) is None)
    lines = {kind: _LINES[min(k, len(_LINES) - 1)] for k, kind in enumerate(kinds)}
    runs = {run: _COLOURS[k % len(_COLOURS)] for k, run in enumerate(curves)}
    series = {f"{run}: {name}": curves[run][name] for run, name in names}
    options = _charts.curves(series, x=x, y=y, title=title)
    options["legend"]["show"] = False
    is_thin = [bool(_NETWORK.search(name)) and not name.endswith(" 1") for _, name in names]
    for (run, name), thin, drawn in zip(names, is_thin, options["series"], strict=True):
        drawn["color"] = runs[run]
        kind = lines[_NETWORK.sub("", name)]
        drawn["lineStyle"] = {"width": _THIN if thin else _THICK, "type": kind}
        drawn["showSymbol"] = len(drawn["data"]) == 1  # a point is no line
    shown = {run: colour for run, colour in runs.items() if curves[run]}
    return options, Key(shown, lines, "networks after the first" if any(is_thin) else "")


def draw_key(key) -> None:
    """Draw the key of a chart as text, which wraps where the window is narrow."""
    with ui.element("div").classes("key"):
        for run, colour in key.runs.items():
            _entry(run, f"border-top:.7rem solid {colour}")
    with ui.element("div").classes("key"):
        for kind, line in key.lines.items():
            _entry(kind, f"border-top:3px {line} currentColor")
        if key.thin:
            _entry(key.thin, "border-top:1px solid currentColor")


def _entry(words, style) -> None:
    with ui.element("span"):
        ui.element("i").style(style).props("aria-hidden=true")
        text("span", words)
