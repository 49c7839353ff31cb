"""The Dask cluster in use: workers, tasks, memory, and a link to its dashboard."""

from __future__ import annotations

from fastapi import Request
from nicegui import ui

from .. import _cluster
from .._frame import PATIENCE, frame, link, panel, table, text
from .._words import size

_REFRESH_SECONDS = 2.0
_MOST_WORKERS = 200
_FACTS = ("Workers", "Threads", "Running", "Waiting", "Kept", "Failed", "Memory")
_HEADER = ("worker", "threads", "processor", "running", "waiting", "memory")


def register(site) -> None:
    """Add the page."""

    @ui.page("/cluster", title="Cluster", response_timeout=PATIENCE)
    async def cluster(request: Request):
        with frame(request, "Cluster", "Workers, tasks and memory of a Dask scheduler."):
            await _Watch(site).draw()


class _Watch:
    """The state of one open page."""

    def __init__(self, site):
        self.site = site

    async def draw(self):
        """Draw the page."""
        with panel("Scheduler"), ui.element("div").classes("line"):
            self.address = ui.input(
                "Address, such as tcp://127.0.0.1:8786", value=self.site.scheduler or ""
            ).props("outlined dense").style("flex:1;max-width:28rem")  # fmt: skip
            self.address.on("keydown.enter", self.watch)
            ui.button("Watch", on_click=self.watch).props("outline color=primary")
        self.words = text("p", "", "muted").props("role=status")
        self.view = ui.element("div").classes("stack").style("gap:1rem")
        with self.view:
            with panel(label="Cluster"), ui.element("div").classes("facts"):
                self.facts = [self.fact(name) for name in _FACTS]
            with panel("Workers"):
                self.table = ui.element("div")
                self.dashboard = link("Dashboard of Dask", "", new_tab=True)
        self.view.set_visibility(False)
        self.timer = ui.timer(_REFRESH_SECONDS, self.refresh, active=False)
        if self.site.scheduler:
            await self.watch()
        else:
            self.words.set_text("What runs on a Dask cluster shows its work here.")

    @staticmethod
    def fact(name):
        """Draw a number with its name."""
        with ui.element("div"):
            text("div", name)
            return text("div", "–", "big")

    async def watch(self):
        """Use the given address."""
        try:
            self.site.scheduler = _cluster.checked(self.address.value)
        except ValueError as error:
            self.timer.deactivate()
            self.complain(error)
            return
        self.timer.activate()
        await self.refresh()

    def complain(self, error):
        """Show an error in the page."""
        self.view.set_visibility(False)
        self.words.classes(replace="bad").set_text(str(error).partition("\n")[0][:300])

    async def refresh(self):
        """Query the scheduler, and show the result."""
        try:
            state = await _cluster.look(self.site.scheduler)
        except Exception as error:  # whatever a network raises
            why = str(error).partition("\n")[0] or type(error).__name__
            self.complain(f"No scheduler answers at {self.site.scheduler}: {why}")
            return
        if self.view.is_deleted:
            return
        self.words.classes(replace="muted")
        self.words.set_text("" if state.workers else "The scheduler has no workers yet.")
        self.view.set_visibility(True)
        workers = state.workers
        values = (
            len(workers),
            sum(worker.threads for worker in workers),
            state.running,
            state.waiting,
            state.done,
            state.failed,
            size(sum(worker.memory for worker in workers)),
        )
        for fact, value in zip(self.facts, values, strict=True):
            fact.set_text(str(value))
        self.facts[5].classes(replace="big bad" if state.failed else "big")
        rows = [
            (worker.name, str(worker.threads), f"{worker.cpu:.0f} %", str(worker.running),
             str(worker.ready),
             size(worker.memory) + (f" of {size(worker.limit)}" if worker.limit else ""))
            for worker in workers[:_MOST_WORKERS]
        ]  # fmt: skip
        self.table.clear()
        with self.table:
            table(_HEADER, rows, numbers=range(1, 6), caption="Workers")
            if len(workers) > _MOST_WORKERS:
                text("p", f"The first {_MOST_WORKERS} of {len(workers):,}.", "muted")
        self.dashboard.set_visibility(bool(state.dashboard))
        self.dashboard.props["href"] = state.dashboard
