"""Predict: apply a model to dropped files; show totals, maps and intervals."""

from __future__ import annotations

from pathlib import Path

from fastapi import Request
from nicegui import ui

from .._choose import Browser, choose_model, uploader
from .._data import kind_of
from .._frame import PATIENCE, aside, frame, later, link, panel, text
from .._model_choice import ModelChoice
from .._model_files import model_files
from .._security import Refused
from .._site import only_set
from .._starter import Starter

_DATA = ("arrays", "structures")


def register(site) -> None:
    """Add the page."""

    @ui.page("/predict", title="Predict", response_timeout=PATIENCE)
    async def predict(request: Request):
        lead = "Give a fitted model new systems, of any size."
        with frame(request, "Predict", lead):
            await _Predict(site).draw(*map(request.query_params.get, ("model", "file")))


class _Predict:
    """The state of one open page."""

    def __init__(self, site):
        self.site = site
        self.model: Path | None = None
        self.data: Path | None = None
        self.maps = self.novelty = True

    async def draw(self, wanted, file):
        """Draw the page.

        Parameters
        ----------
        wanted : str or None
            Run whose model is meant.
        file : str or None
            Model file that is meant.
        """
        self.models = await aside(model_files, self.site, ("fit",))
        with ui.element("div").classes("columns"):
            with panel("1 · Model"):
                self.model = choose_model(self.models, wanted, self.take_run)
                if not self.models:
                    words = (
                        "No fit of fields or atoms has finished yet: start one, or choose a file."
                    )
                    text("p", words, "muted")
                with ui.element("p").classes("small muted"):
                    text("span", "Models of photographs are under Count: ")
                    link("Count with a model", "/count?use=1")
                self.other = ModelChoice(self.site, "/predict", self.take_file)
            with panel("2 · New systems"):
                self.files = Browser(self.site, _DATA, self.take_data, label="Files with systems")
                ui.element("div").style("height:.6rem")
                uploader(
                    self.site,
                    _DATA,
                    self.dropped,
                    label="or drop files here, or use +",
                    multiple=True,
                )
        with panel("3 · Start"):
            ui.checkbox("Also a map of what each tile contributes", value=True,
                        on_change=self.take_maps)  # fmt: skip
            ui.checkbox("Novelty: how unlike the systems of the fit each one is", value=True,
                        on_change=self.take_novelty)  # fmt: skip
            self.starter = Starter(self.site, "Predict", self.words)
        self.changed()
        if file is not None:
            later(self.other.said, self.other.take(file))

    def take_run(self, path):
        """Use the model of a run; None where none is chosen."""
        self.other.said.clear()
        self.take_file(path)

    def take_file(self, path):
        """Use a model file; None where none is chosen."""
        self.model = path
        self.changed()

    def take_data(self, path):
        """Use a file of systems."""
        self.data = path
        self.changed()

    def take_maps(self, event):
        """Set whether maps are written."""
        self.maps = bool(event.value)
        self.changed()

    def take_novelty(self, event):
        """Set whether novelty is computed."""
        self.novelty = bool(event.value)
        self.changed()

    def dropped(self, paths):
        """Use files that were dropped, several structures as their folder."""
        several = len(paths) > 1 and all(kind_of(path) == "structures" for path in paths)
        self.files.select(paths[0])
        self.take_data(paths[0].parent if several else paths[0])
        if len(paths) > 1 and not several:
            ui.notify(f"{paths[0].name} is used: one file of fields is predicted at a time.")

    def words(self) -> list[str]:
        """Return the command as words."""
        if self.model is None:
            raise ValueError("Choose a model first.")
        if self.data is None:
            raise ValueError("Choose or drop a file with new systems.")
        data = f"{self.data}/*" if self.data.is_dir() and self.data.suffix != ".zarr" else self.data
        maps = self.maps and kind_of(self.data) == "arrays"
        options = {"contributions": maps, **(self.fields_of_fit() if self.novelty else {})}
        return ["predict", str(self.model), str(data), *only_set(options)]

    def fields_of_fit(self) -> dict[str, str]:
        """Return the option for novelty, if the run of the model allows it."""
        one = next((each for each in self.models if each.path == self.model), None)
        if one is None:
            return {}
        arrays = one.fields is not None and kind_of(one.fields.partition("::")[0]) == "arrays"
        if arrays and kind_of(self.data) == "arrays":
            try:
                self.site.path(one.fields.partition("::")[0])
            except Refused:  # moved since
                return {}
            return {"novelty": one.fields}
        return {}

    def changed(self):
        """Update the page after a change."""
        self.starter.update()
