"""Start a fit: data, tiles, model, and the command line that does the same."""

from __future__ import annotations

from fastapi import Request
from nicegui import ui

from ..._utils.wording import FIELD_NAMES, TOTAL_NAMES
from .. import _preview
from .._choose import Browser, uploader
from .._data import Array, arrays_in, kind_of, usual
from .._forms import ANGLES, BOUNDARIES, HARMONICS, VALUES, Fit
from .._frame import (
    PATIENCE,
    aside,
    complain,
    frame,
    later,
    link,
    panel,
    picture,
    table,
    text,
)
from .._model_menu import ModelMenu
from .._starter import Starter
from .._structures import StructureView
from .._totals_menu import TotalsMenu

_SYSTEMS = ("arrays", "structures")
# Kinds of systems: a title, words, and the kinds of files; pictures have a page.
_CHOICES = (
    ("Fields", "Spins, densities, maps: arrays of numbers (.npy, .npz, .h5, .zarr)", "arrays"),
    ("Atoms", "Molecules and crystals (.extxyz, POSCAR, .cif, .traj)", "structures"),
    ("Pictures", "Photographs with a number each: count cells, grains, trees (.jpg, .png)", None),
)


def register(site) -> None:
    """Add the page."""

    @ui.page("/", title="Start", response_timeout=PATIENCE)
    async def start(request: Request):
        lead = "A model learns from examples with a number each, and predicts it for others."
        again = request.query_params.get("again")
        run = None if again is None else site.run(again)
        with frame(request, "Start a fit", lead):
            page = _Start(site)
        if run is not None and run.kind == "fit" and run.argv:
            await page.fill(Fit.of_run(run.argv, str(run.info.get("cwd") or site.folder)))


class _Start:
    """The state of one open page."""

    def __init__(self, site):
        self.site = site
        self.fit = Fit()
        self.arrays: list[Array] = []
        self.data: _preview.Systems | None = None
        self.drawing = self.sample = 0
        self.models: ModelMenu | None = None
        self.draw_choices()
        with ui.element("div").classes("wide"):
            with panel("1 · Data"):
                text(
                    "p",
                    "Fields or structures of atoms, with a total for each: in the file, or in a "
                    "table beside it.",
                    "small muted",
                )
                self.files = Browser(
                    site, _SYSTEMS, self.choose, label="Files with systems",
                    nothing="No fields or structures here. Photographs: see the page Count.",
                )  # fmt: skip
                ui.element("div").style("height:.6rem")
                uploader(
                    site, (*_SYSTEMS, "table"), self.uploaded,
                    label="or drop files here, or use +",
                    multiple=True,
                )  # fmt: skip
            with panel("What is in it", "preview"):
                self.shown = ui.element("div").classes("stack")
        self.rest = ui.element("div").classes("stack").style("gap:1rem")
        self.say_nothing()

    def draw_choices(self):
        """Draw the kinds of systems: two of them narrow the list of files, pictures have a page."""
        buttons = {}

        def narrow(kind):
            """Show files of this kind; of all kinds where it was chosen before."""
            chosen = None if self.files.kinds == {kind} else kind
            self.files.kinds = frozenset(_SYSTEMS if chosen is None else [chosen])
            self.files.draw()
            for name, button in buttons.items():
                button.props["aria-pressed"] = "true" if name == chosen else "false"
                button.update()

        with ui.element("div").classes("three").props('role=group aria-label="Kind of systems"'):
            for title, words, kind in _CHOICES:
                if kind is None:
                    card = link("", "/count").classes("choice")
                else:
                    card = ui.element("button").classes("choice")
                    card.props("type=button aria-pressed=false")
                    card.on("click", lambda kind=kind: narrow(kind))
                    buttons[kind] = card
                with card:
                    text("b", title)
                    text("span", words)

    def say_nothing(self):
        """Show an invitation to choose data."""
        self.shown.clear()
        with self.shown:
            text("p", "Choose a file, and it is drawn here.", "muted")

    # --- data -----------------------------------------------------------------------------

    async def uploaded(self, paths):
        """Use the dropped files: a file or structures as their folder, perhaps with a table."""
        tables = [path for path in paths if kind_of(path) == "table"]
        systems = [path for path in paths if path not in tables]
        structures = [path for path in systems if kind_of(path) == "structures"]
        if systems:
            several = len(systems) > 1 and structures == systems
            self.files.select(systems[0])
            chosen = systems[0].parent if several else systems[0]
            await self.choose(chosen)
            if self.data is None or self.fit.fields != chosen:
                return
            if len(systems) > 1 and not several:
                ui.notify(f"{systems[0].name} is used. Add totals under 2, Totals in another file.")
            if tables:
                await self.totals.upload(tables)
        elif self.data is None:
            complain(
                f"{tables[0].name} is a table of totals. Choose the file of the systems first, or "
                "drop both together."
            )
        else:
            await self.totals.upload(tables)

    async def choose(self, path):
        """Show what is in a file."""
        self.fit = fit = Fit(fields=path)
        self.data, self.arrays, arrays = None, [], []
        self.rest.clear()
        self.shown.clear()
        with self.shown:
            ui.spinner(size="1.6rem")
            text("p", "Reading …", "muted")
        try:
            if (path.is_dir() and path.suffix != ".zarr") or kind_of(path) == "structures":
                fit.structures = True
                data = await aside(_preview.structures, path)
            else:
                arrays = await aside(arrays_in, path)
                name = usual(arrays, FIELD_NAMES, range(2, 9))
                fit.fields_name = name or next((a.name for a in arrays), "")
                totals = usual(arrays, TOTAL_NAMES, range(1, 2))
                fit.targets_name = totals or ""
                data = await self.read(fit)
        except Exception as error:  # whatever readers of files of others raise
            if self.fit is not fit:
                return
            self.shown.clear()
            with self.shown:
                text("p", str(error).partition("\n")[0][:500], "bad")
            return
        if self.fit is not fit:  # another file was chosen while this one was read
            return
        self.data, self.arrays = data, arrays
        self.draw_data()
        self.draw_rest()
        if not self.fit.structures:
            later(self.models.view, self.models.measure())

    async def fill(self, form):
        """Show the settings of a run that is done again."""
        files = [path for path in (form.fields, form.targets) if path is not None]
        try:
            for path in files:
                self.site.path(path)
        except Exception as error:  # a run may name any file
            complain(error)
            return
        if form.fields is None:
            return
        self.files.select(form.fields)
        await self.choose(form.fields)
        if self.data is None or self.fit.fields != form.fields:
            return
        targets, name = form.targets, form.targets_name
        form.structures = self.fit.structures
        form.fields_name = form.fields_name or self.fit.fields_name
        form.targets_name = name if targets is None and name else self.fit.targets_name
        if form.fields_name != self.fit.fields_name:
            self.data = await self.read(form)
        self.fit = form
        self.draw_data()
        self.draw_rest()
        if targets is not None:
            await self.totals.add(targets)
            self.totals.choose(targets, name)
        self.changed()
        if not form.structures:
            later(self.models.view, self.models.measure())

    async def read(self, fit):
        """Return the fields that are chosen, and set whether they seem to have channels."""
        data = await aside(_preview.fields, self.site.tools.read_array, fit.fields, fit.fields_name)
        fit.channels_last = data.looks_like_channels
        return data

    def draw_data(self):
        """Draw the systems, and the choices."""
        data = self.data
        self.shown.clear()
        with self.shown:
            if self.arrays and len(self.arrays) > 1:
                names = {a.name: str(a) for a in self.arrays}
                ui.select(
                    names, value=self.fit.fields_name, label="Systems", on_change=self.other_fields
                ).props("outlined dense options-dense").classes("w-full")
            text("p", data.words)
            self.view, self.scene = ui.element("div"), None
            if data.n > 1:
                with ui.element("div").classes("line"):
                    text("span", "Sample", "small muted")
                    slider = ui.slider(min=0, max=data.n - 1, value=0, step=1)
                    slider.props('label aria-label="Which sample"').style("flex:1")
                    slider.on("change", lambda e: self.show_sample(e.args))
            if data.table:
                table(data.header, data.table, numbers=range(1, 9), caption="First samples")
        later(self.view, self.show_sample(0))

    async def other_fields(self, event):
        """Use another array of the file."""
        fit, name = self.fit, event.value
        fit.fields_name = name
        try:
            data = await self.read(fit)
        except Exception as error:
            complain(error)
            return
        if self.fit is not fit or fit.fields_name != name:  # chosen meanwhile
            return
        self.data = data
        self.draw_data()
        self.draw_rest()

    async def show_sample(self, k):
        """Draw one sample."""
        if self.data is None:
            return
        self.sample = int(k)
        if k and not self.data.is_structures:
            self.draw_tiles_later()
        if self.data.is_structures:
            if self.scene is None:
                with self.view:
                    self.scene = StructureView()
            self.scene.show(self.data.systems[self.sample])
            return
        try:
            png = await aside(self.data.sample_png, self.sample)
        except Exception as error:
            complain(error)
            return
        self.view.clear()
        with self.view:
            picture(png, f"Sample {self.sample} of {self.data.n}")

    # --- totals, tiles, model -------------------------------------------------------------

    def draw_rest(self):
        """Draw all further steps."""
        self.rest.clear()
        with self.rest:
            if not self.fit.structures:
                with ui.element("div").classes("wide"):
                    with panel("2 · What to predict, from which tiles"):
                        self.totals = self.totals_menu()
                        self.draw_tiling()
                    with panel("Focus and context", label="The tiles drawn over a sample"):
                        self.tiles = ui.element("div").props("aria-live=polite")
            else:
                with panel("2 · What to predict"):
                    self.totals = self.totals_menu()
            with panel("3 · Model"):
                pace = None if self.models is None else self.models.pace
                self.models = ModelMenu(self.site, self.fit, self.data, self.changed, pace)
                self.draw_more()
            with panel("4 · Start"):
                self.starter = Starter(self.site, "Start the fit", self.words)
        self.changed()

    def totals_menu(self):
        """Draw the choice of totals."""
        return TotalsMenu(self.site, self.fit, self.data, self.arrays, self.changed)

    def draw_tiling(self):
        """Draw the fields for focus, context and boundary."""
        most = max(1, self.data.shortest)
        text("h3", "Tiles").style("margin-top:1rem")
        text(
            "p",
            "Each tile answers for its focus, and sees the context around it. The sum of all "
            "answers is the total.",
            "small muted",
        )
        for name, words, low, high in (
            ("focus", "Focus, in sites", 1, min(most, 32)),
            ("context", "Context, in sites on each side", 0, min(max(1, most // 2), 16)),
        ):
            with ui.element("div"):
                shown = text("span", "", "small")
                slider = ui.slider(
                    min=low, max=high, step=1, value=getattr(self.fit, name),
                    on_change=self.slid(name, shown, words),
                )  # fmt: skip
                slider.props["aria-label"] = words
                shown.set_text(f"{words}: {getattr(self.fit, name)}")
        menus = {}
        for name, options, words in (
            ("boundary", BOUNDARIES, "At the edge of a field"),
            ("values", VALUES, "Meaning of the values"),
            ("harmonics", HARMONICS, "Harmonics of the angles"),
        ):
            menus[name] = (
                ui.select(
                    options, value=getattr(self.fit, name), label=words, on_change=self.set(name)
                )
                .props("outlined dense options-dense")
                .classes("w-full")
                .style("margin-top:.5rem")
            )
        self.harmonics = menus["harmonics"]
        if self.data.hint:
            words = f"{self.data.hint}. If they are not amounts, choose their meaning above."
            text("p", words, "small muted")
        self.channels = ui.checkbox(
            "The last axis has channels, not sites",
            value=self.fit.channels_last,
            on_change=self.set("channels_last"),
        )

    def slid(self, name, shown, words):
        """Return a handler that stores the value of a slider."""
        take = self.set(name)

        def changed(event):
            shown.set_text(f"{words}: {int(event.value)}")
            event.value = int(event.value)
            take(event)

        return changed

    def set(self, name):
        """Return a handler that stores the value of a field of the form."""

        def changed(event):
            setattr(self.fit, name, event.value)
            self.changed()

        return changed

    def draw_more(self):
        """Draw the fields of settings that seldom need a change."""
        with ui.expansion("More settings").classes("w-full").props("dense"):
            with ui.element("div").classes("line"):
                if self.fit.structures:
                    minutes = ui.number("Minutes of training", value=self.fit.minutes or 10, min=1)
                    minutes.props("outlined dense").on_value_change(self.set("minutes"))
                    fields = ()
                else:
                    words = "Passes over the data, of networks"
                    fields = (("epochs", ui.number(words, value=self.fit.epochs, min=1)),)
                held = ui.number(
                    "Held back to measure the error, in %", value=self.fit.test_percent
                )
                seed = ui.number("Random seed", value=self.fit.seed, min=0)
                for name, field in (*fields, ("test_percent", held), ("seed", seed)):
                    field.props("outlined dense").on_value_change(self.integer(name))
            for words in list(self.fit.others):
                box = ui.checkbox(f"as before: {' '.join(words)}", value=True)
                box.on_value_change(self.keep(words))

    def keep(self, words):
        """Return a handler that keeps an option of a run that is done again, or leaves it out."""

        def changed(event):
            self.fit.others = [each for each in self.fit.others if each != words]
            if event.value:
                self.fit.others.append(words)
            self.changed()

        return changed

    def integer(self, name):
        """Return a handler that stores a whole number, None for an empty field."""
        default = getattr(Fit(), name)

        def changed(event):
            setattr(self.fit, name, default if event.value is None else int(event.value))
            self.changed()

        return changed

    # --- what follows ---------------------------------------------------------------------

    def changed(self):
        """Update the tiles, the times and the command after a change."""
        self.models.update()
        self.starter.update()
        if not self.fit.structures:
            # Labels and angles become channels themselves.
            amounts = self.fit.values == "amounts"
            self.channels.set_visibility(amounts and self.data.n_axes > 1)
            self.harmonics.set_visibility(self.fit.values in ANGLES)
            self.draw_tiles_later()

    def words(self):
        """Return the command as words, if the data suit it."""
        words = self.fit.words()
        if self.fit.structures:
            if not self.data.has_energies and self.fit.targets is None:
                raise ValueError("Choose a table with the energies of the structures.")
        else:
            self.data.check(self.fit)
        return words

    def draw_tiles_later(self):
        """Draw the tiles, once this event was answered."""
        self.drawing += 1
        later(self.tiles, self.draw_tiles(self.drawing))

    async def draw_tiles(self, turn):
        """Draw the tiles over the sample, unless they changed again meanwhile."""
        if turn != self.drawing:
            return
        try:
            png, words = await aside(self.data.tiling_png, self.fit, getattr(self, "sample", 0))
        except Exception as error:
            png, words = None, str(error).partition("\n")[0]
        if turn != self.drawing or self.tiles.is_deleted:
            return
        self.tiles.clear()
        with self.tiles:
            if png is not None:
                picture(png, "Focus and context over a sample")
            text("p", words, "small muted" if png is not None else "small warn")
