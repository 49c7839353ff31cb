"""Counts of pictures with their intervals, and what to download of a prediction."""

from __future__ import annotations

from urllib.parse import quote

from nicegui import ui

from .._utils.wording import share_of_totals
from ._frame import table, text
from ._run_counts import counts_in_words
from ._run_totals import PREDICTIONS

_MOST_COUNTS = 500
# Tables of what was predicted, by the kind of the run.
_TABLES = {"count-predict": ("counts.xlsx", "counts.csv"), "predict": ("totals.csv", PREDICTIONS)}
_REPORT = "report.html"  # a page for colleagues
_FLAGS = {
    "unlike": "unlike the pictures of the fit",
    "range": "fuller or emptier than those of the fit",
}


def draw_counts(counts, confidence, columns=None) -> None:
    """Show counts with intervals, and what is unusual about the pictures.

    Parameters
    ----------
    counts : list of dict
    confidence : float or None
        Share of the true counts that the intervals contain; runs of before do not say it.
    columns : list of str or None
        Names of what is counted; runs of before do not say them.
    """
    known = isinstance(confidence, float) and 0 < confidence < 1
    share = f"{share_of_totals(confidence)} " if known else ""
    what = ", ".join(map(str, columns)) if isinstance(columns, list) else ""
    rows = [
        (one.get("name", ""), *counts_in_words(one), _FLAGS.get(flag, flag))
        for one in counts[:_MOST_COUNTS]
        for flag in [one.get("flag") or ""]
    ]
    header = ["picture", what or "count", "low", "high", "remark"]
    if not any(row[-1] for row in rows):
        header, rows = header[:-1], [row[:-1] for row in rows]
    if any(row[2] != "–" for row in rows):
        words = f"{share}true numbers lie between low and high."
        text("p", f"{words[0].upper()}{words[1:]}", "small muted")
    with ui.element("div").classes("long"):
        table(header, rows, numbers=(1, 2, 3), caption="Counts")
    if len(counts) > _MOST_COUNTS:
        text("p", f"The first {_MOST_COUNTS} of {len(counts):,}; all are in the files.", "muted")


def draw_download(run) -> None:
    """Offer the table and the report of a prediction, which are two of many files."""
    files = run.files()
    names = [name for name in _TABLES.get(run.kind, ()) if name in files]
    has_report = run.kind == "count-predict" and _REPORT in files
    if not names and not has_report:
        return
    with ui.element("div").classes("line").style("margin-top:.5rem"):
        for name in names:
            title = f"Download the table, {'Excel' if name.endswith('.xlsx') else 'CSV'}"
            address = f"/runs/{run.id}/files/{quote(name)}"
            button = ui.button(title, on_click=lambda to=address: ui.navigate.to(to))
            button.props("outline color=primary")
        if has_report:
            report = f"/runs/{run.id}/files/{_REPORT}"
            button = ui.button(
                "Report for colleagues", on_click=lambda: ui.navigate.to(report, new_tab=True)
            )
            button.props("outline color=primary").tooltip(
                "One page with counts, what is known of their errors, and small maps, to be "
                "saved and sent."
            )
