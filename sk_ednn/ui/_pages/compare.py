"""Runs side by side: settings that differ, curves over each other, parity."""

from __future__ import annotations

from fastapi import Request
from nicegui import ui

from .. import _charts
from .._comparison import compared, draw_key
from .._frame import PATIENCE, aside, frame, link, panel, table, text
from .._run_curves import curves_of
from .._run_results import error_of
from .._run_totals import totals_of
from .._words import duration, kind_in_words, number

_MOST = 8


def register(site) -> None:
    """Add the page."""

    @ui.page("/compare", title="Compare", response_timeout=PATIENCE)
    async def compare(request: Request):
        with frame(request, "Compare runs"):
            ids = request.query_params.getlist("run")[:_MOST]
            runs = [each for each in map(site.run, ids) if each is not None]
            if len(runs) < 2:
                with panel():
                    text("p", "Select two to eight runs in the table of runs.")
                    link("All runs", "/runs")
                return
            await _draw(site, runs)


async def _draw(site, runs):
    comparison = await aside(site.compare, [each.id for each in runs])
    names = {each.id: f"{kind_in_words(each.kind)} {each.id[-4:]}" for each in runs}
    heads = [lambda e=each: link(names[e.id], f"/runs/{e.id}") for each in runs]
    with panel("Settings and results"):
        rows = [["", *heads]]
        rows.append(["status", *(each.status for each in runs)])
        rows.append(["error", *(number(error_of(each.result)) for each in runs)])
        rows.append(["duration", *(duration(each.duration) for each in runs)])
        first = len(rows)
        rows += [[name, *map(_shown, values)] for name, values in comparison.settings.items()]
        marked = set(range(first, len(rows)))
        table((), rows, marked=marked, caption="What differs between the runs")
        with ui.expansion(f"{len(comparison.same)} settings that do not differ").props("dense"):
            table((), [(name, _shown(value)) for name, value in comparison.same.items()])
    curves = {each.id: await aside(curves_of, each) for each in runs}
    groups = list(dict.fromkeys(group for of_one in curves.values() for group in of_one))
    for group in groups:
        of_runs = {names[id]: of_one.get(group, {}) for id, of_one in curves.items()}
        with panel(group):
            options, key = compared(
                of_runs, x="step of the training", y=_charts.axis_of(group), title=group
            )
            draw_key(key)
            chart = ui.echart(options).classes("chart")
            chart.props["aria-label"] = f"{group} of the runs"
    totals = {each.id: await aside(totals_of, each) for each in runs}
    if any(totals.values()):
        with ui.element("div").classes("columns"):
            for id, parts in totals.items():
                with panel(f"Predicted and true totals, {names[id]}"):
                    if not parts:
                        text("p", "This run has no table of predictions.", "muted")
                        continue
                    series = {part: (one.true, one.predicted) for part, one in parts.items()}
                    options = _charts.scatter(series, x="true", y="predicted", diagonal=True)
                    ui.echart(options).classes("chart")


def _shown(value) -> str:
    return "–" if value is None else str(value)[:200]
