"""Searches: energies against calls, hull, best structures, tasks; pause, resume, retry."""

from __future__ import annotations

from pathlib import Path

from fastapi import Request
from nicegui import ui

from .. import _charts, _search
from .._forms import CALCULATORS, Search
from .._frame import PATIENCE, aside, complain, frame, link, panel, table, text
from .._live_charts import LiveCharts
from .._starter import Starter
from .._structures import StructureView
from .._words import duration, number

_REFRESH_SECONDS = 2.0
_BEST = 3  # structures that are drawn
_KINDS = {"crystal": "a crystal, its cell varies", "cluster": "a free cluster"}


def register(site) -> None:
    """Add the page."""

    @ui.page("/search", title="Search", response_timeout=PATIENCE)
    async def search(request: Request):
        wanted = request.query_params.get("run")
        run = None if wanted is None else site.run(wanted)
        if run is not None and run.kind == "search":
            with frame(request, f"Search {run.id[-4:]}"):
                await _Watch(site, run).draw()
            return
        lead = (
            "Find the arrangement of atoms of lowest energy with few calls of a reference method."
        )
        with frame(request, "Structure search", lead):
            _Form(site)
            await _list(site)


async def _list(site):
    """List the searches that there are."""
    runs = [each for each in await aside(site.runs) if each.kind == "search"]
    if not runs:
        return
    with panel("Searches"):
        rows = [
            (
                lambda e=each: link(f"search {e.id[-4:]}", f"/search?run={e.id}"),
                each.status,
                str(
                    each.settings.get("composition")
                    or Path(str(each.settings.get("settings", ""))).name
                ),
                duration(each.duration),
            )
            for each in runs[:50]
        ]
        table(("search", "status", "of", "duration"), rows)


class _Form:
    """The state of the form."""

    def __init__(self, site):
        self.site = site
        self.form = Search()
        with panel("Begin a search"):
            look = "outlined dense options-dense"
            with ui.element("div").classes("line"):
                for name, field in (
                    ("composition", ui.input("Atoms of a cell, such as Si8", value="Si8")),
                    ("kind", ui.select(_KINDS, value="crystal", label="Kind")),
                    ("calculator", ui.select(
                        {key: words for key, (words, _) in CALCULATORS.items()},
                        value=self.form.calculator, label="Reference method",
                    )),
                    ("n_labels", ui.number(
                        "Calls of the reference method", value=self.form.n_labels, min=10,
                        format="%d",
                    )),
                    ("volume", ui.number(
                        "Å³ per atom", value=20, min=1, placeholder="a guess",
                    ).props("stack-label")),
                    ("seed", ui.number("Random seed", value=0, min=0, format="%d")),
                ):  # fmt: skip
                    field.props(look).on_value_change(self.set(name))
            text(
                "p",
                "Other reference methods, such as a program for density functional theory, are "
                "named in a file of settings: see the guide.",
                "small muted",
            )
            self.shown = text("code", "", "command").props('aria-label="File of settings"')
            ui.element("div").style("height:.6rem")
            self.starter = Starter(
                site, "Start the search", self.words, prepare=self.write_settings,
                page="/search?run={}",
            )  # fmt: skip
        self.changed()

    def set(self, name):
        """Return a handler that stores the value of a field of the form."""
        default = None if name == "volume" else getattr(Search(), name)

        def changed(event):
            setattr(self.form, name, default if event.value is None else event.value)
            self.changed()

        return changed

    def changed(self):
        """Show the file of settings, or what is wrong."""
        self.starter.update()

    def words(self):
        """Show the file of settings; return the command that reads it."""
        self.shown.set_text(_yaml(self.form.settings()))
        return ["search", "run", self.form.file_name]

    async def write_settings(self):
        """Write the file of settings; return the command that reads it."""
        folder = await aside(self.site.new_upload, self.form.composition)
        path = folder / self.form.file_name
        _search.write_settings(path, self.form.settings())
        return ["search", "run", str(path)]


def _yaml(settings) -> str:
    import yaml

    return yaml.safe_dump(settings, sort_keys=False).strip()


class _Watch:
    """The state of the page of one search."""

    def __init__(self, site, run):
        self.site, self.run = site, run
        self.seen: tuple | None = None
        self.offered: tuple | None = None  # what the buttons were drawn for
        self.views: list = []
        self.drawn_best: dict = {}

    def store(self) -> Path:
        """Return the file of the search."""
        return _search.store_of(self.site, self.run)

    async def draw(self):
        """Draw the page, and follow the search."""
        with panel(label="State"):
            with ui.element("div").classes("line between"):
                with ui.element("div").classes("facts"):
                    self.facts = {}
                    for name in ("Status", "Lowest energy", "Labels", "Failed", "Surrogates"):
                        with ui.element("div"):
                            text("div", name)
                            self.facts[name] = text("div", "–")
                self.buttons = ui.element("div").classes("line")
            self.message = text("p", "", "small muted").style("margin:.5rem 0 0")
            self.message.props("role=status")
        self.curves = LiveCharts()
        with panel("Best structures"):
            self.best = ui.element("div").classes("three")
            with self.best:
                self.none_yet = text("p", "None yet.", "muted")
        with ui.element("div").classes("columns"):
            with panel("Tasks"):
                self.tasks = ui.element("div").style("max-height:20rem;overflow:auto")
                with self.tasks:
                    text("p", "None yet.", "muted")
            with panel("Labels that failed"):
                self.failures = ui.element("div").style("max-height:20rem;overflow:auto")
                with self.failures:
                    text("p", "None.", "muted")
        with panel("The run"):
            link("Log, resources and files", f"/runs/{self.run.id}")
        await self.refresh()
        ui.timer(_REFRESH_SECONDS, self.refresh)

    async def refresh(self):
        """Show what has changed."""
        status = await aside(lambda: self.run.status)
        try:
            progress = await aside(lambda: _search.progress(self.store()))
        except Exception as error:
            begun = status == "running"
            self.facts["Status"].set_text(status).classes(replace=f"state {status}")
            self.message.set_text("The search is about to begin." if begun else str(error)[:300])
            self.draw_buttons(status, None)
            return
        if self.message.is_deleted:
            return
        shown = "paused" if progress.paused and status == "running" else status
        self.facts["Status"].set_text(shown).classes(replace=f"state {shown}")
        lowest = f"{progress.lowest[-1]:.4f} eV per atom" if len(progress.lowest) else "–"
        self.facts["Lowest energy"].set_text(lowest)
        self.facts["Labels"].set_text(str(progress.counts["labelled"]))
        self.facts["Failed"].set_text(str(progress.counts["failed"]))
        self.facts["Surrogates"].set_text(str(len(progress.models)))
        self.message.set_text(self.run.message if status in ("failed", "killed") else "")
        state = (shown, dict(progress.counts), len(progress.models), progress.tasks[:1])
        if state == self.seen:
            return
        before, self.seen = self.seen, state
        self.draw_buttons(status, progress)
        self.draw_curves(progress)
        if before is None or before[1] != state[1]:
            self.draw_best(progress)
            self.draw_failures(progress)
        self.draw_tasks(progress)

    def draw_buttons(self, status, progress):
        """Offer what can be done in this state."""
        shown = progress is not None
        state = (
            status, shown and progress.paused, shown and progress.counts["failed"] > 0,
            shown and len(progress.energies) > 0,
        )  # fmt: skip
        if state == self.offered:
            return  # a button that is replaced at every label cannot be clicked
        self.offered = state
        self.buttons.clear()
        with self.buttons:
            if status == "running" and progress is not None:
                if progress.paused:
                    self.button("Go on", "resume")
                else:
                    self.button("Pause", "pause")
                if progress.counts["failed"]:
                    self.button("Retry failed labels", "retry")
                self.button("Stop", "stop")
            else:
                if progress is not None and progress.counts["failed"]:
                    self.button("Retry failed labels", "retry", then=self.go_on)
                if status in ("stopped", "failed", "killed"):
                    ui.button("Resume", on_click=self.go_on).props("outline color=primary")
            if progress is not None and len(progress.energies):
                name = f"/search/{self.run.id}/structures.extxyz"
                ui.button("Download structures", on_click=lambda: ui.download(name)).props(
                    "unelevated color=primary"
                )

    def button(self, name, command, then=None):
        """Draw a button that writes a command into the file of a search, then calls `then`."""

        def write():
            from ...search import SearchStore

            with SearchStore(self.store()) as store:
                store.command(command)

        async def pressed():
            try:
                await aside(write)
            except Exception as error:
                complain(error)
                return
            if then is not None:
                await then()
                return
            ui.notify("The search takes it at its next look.", timeout=3000)

        ui.button(name, on_click=pressed).props("outline color=primary")

    async def go_on(self):
        """Resume the run."""
        try:
            await aside(self.site.resume, self.run.id)
        except Exception as error:
            complain(error)
        await self.refresh()

    def draw_curves(self, progress):
        """Draw energies against calls, and over the volume."""
        drawn = {}
        if len(progress.energies):
            series = {
                "labelled": (progress.calls, progress.energies),
                "lowest": (progress.calls, progress.lowest),
            }
            options = _charts.scatter(series, x="calls", y="eV per atom")
            options["series"][1].update(type="line", step="end", showSymbol=False)
            drawn["Energies against calls"] = options
            hull = _charts.scatter(_search.hull_series(progress), x="Å³ per atom", y="eV per atom")
            hull["series"][1].update(type="line", symbolSize=7)
            drawn["Energy over volume, and its hull"] = hull
        self.curves.show(drawn)

    def draw_best(self, progress):
        """Draw the structures of lowest energy."""
        shown = progress.best[:_BEST]
        self.none_yet.set_visibility(not shown)
        while len(self.views) < len(shown):
            with self.best, ui.element("div"):
                title = text("h3", "")
                self.views.append((title, StructureView(height=230)))
        for place, (k, structure, energy) in enumerate(shown):
            if self.drawn_best.get(place) == k:
                continue
            self.drawn_best[place] = k
            title, view = self.views[place]
            title.set_text(f"{place + 1}. Structure {k}: {energy:.4f} eV per atom")
            view.show(structure)

    def draw_tasks(self, progress):
        """List the last tasks, running ones first."""
        self.tasks.clear()
        with self.tasks:
            order = sorted(progress.tasks, key=lambda task: task[1] != "running")
            rows = [(kind, state, duration(seconds), result)
                    for kind, state, seconds, result in order]  # fmt: skip
            table(("task", "state", "time", "result"), rows)

    def draw_failures(self, progress):
        """List why labels failed."""
        self.failures.clear()
        with self.failures:
            if not progress.failures:
                text("p", "None.", "muted")
            else:
                table(("structure", "why"), [(number(k), why) for k, why in progress.failures])
