"""Charts of a page that follows a run, which are updated with new points."""

from __future__ import annotations

from nicegui import ui

from ._frame import panel


class LiveCharts:
    """Charts in a row, each in a box with a title.

    A chart that is removed before the browser has drawn it is an error there, so that charts are
    changed, and removed only when their title is gone.

    Parameters
    ----------
    low : bool, default=False
        Charts of less height.
    """

    def __init__(self, low=False):
        self._place = ui.element("div").classes("columns")
        self._charts: dict = {}
        self._low = low
        self._place.set_visibility(False)

    def show(self, wanted):
        """Show charts.

        Parameters
        ----------
        wanted : dict of str to dict
            Options of ECharts by title.
        """
        for title in [title for title in self._charts if title not in wanted]:
            self._charts.pop(title)[0].delete()
        for title, options in wanted.items():
            if title in self._charts:
                chart = self._charts[title][1]
                if chart.options != options:
                    chart.options.clear()
                    chart.options.update(options)
                    chart.update()
                continue
            with self._place, panel(title) as box:
                chart = ui.echart(options).classes("chart")
                if self._low:
                    chart.style("height: 11rem")
                self._charts[title] = box, chart
        self._place.set_visibility(bool(wanted))
