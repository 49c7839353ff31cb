"""The Dask cluster in use: workers, tasks, memory, and a link to its dashboard."""

from __future__ import annotations

from fastapi import Request
from nicegui import ui

from .. import _cluster
from .._frame import PATIENCE, frame, link, panel, table, text
from .._words import size

_REFRESH_SECONDS = 2.0


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
        self.view = ui.element("div").classes("stack").style("gap:1rem").props("aria-live=polite")
        self.timer = ui.timer(_REFRESH_SECONDS, self.refresh, active=False)
        if self.site.scheduler:
            await self.watch()
        else:
            with self.view:
                text("p", "What runs on a Dask cluster shows its work here.", "muted")

    async def watch(self):
        """Use the given address."""
        try:
            self.site.scheduler = _cluster.checked(self.address.value)
        except ValueError as error:
            self.complain(error)
            return
        self.timer.activate()
        await self.refresh()

    def complain(self, error):
        """Show an error in the page."""
        self.view.clear()
        with self.view:
            text("p", str(error).partition("\n")[0][:300], "bad")

    async def refresh(self):
        """Ask the scheduler, and show its answer."""
        try:
            found = await _cluster.look(self.site.scheduler)
        except Exception as error:  # whatever a network raises
            why = str(error).partition("\n")[0] or type(error).__name__
            self.complain(f"No scheduler answers at {self.site.scheduler}: {why}")
            return
        self.view.clear()
        with self.view:
            with panel(label="Cluster"), ui.element("div").classes("facts"):
                for name, value in (
                    ("Workers", len(found.workers)),
                    ("Threads", sum(worker.threads for worker in found.workers)),
                    ("Running", sum(worker.running for worker in found.workers)),
                    ("Waiting", sum(worker.ready for worker in found.workers)),
                    ("Memory", size(sum(worker.memory for worker in found.workers))),
                ):
                    with ui.element("div"):
                        text("div", name)
                        text("div", value, "big")
            with panel("Workers"):
                rows = [
                    (worker.name, str(worker.threads), f"{worker.cpu:.0f} %", str(worker.running),
                     str(worker.ready),
                     size(worker.memory) + (f" of {size(worker.limit)}" if worker.limit else ""))
                    for worker in found.workers[:200]
                ]  # fmt: skip
                header = ("worker", "threads", "processor", "running", "waiting", "memory")
                table(header, rows, numbers=range(1, 6))
                if found.dashboard:
                    link("Dashboard of Dask", found.dashboard, new_tab=True)
