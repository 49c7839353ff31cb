"""Count: fit a model to dropped pictures and a table, and count in new pictures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from fastapi import Request
from nicegui import ui

from ..._utils.wording import about
from .._choose import Browser, choose_model, uploader
from .._data import kind_of, table_rows
from .._forms import Count
from .._frame import PATIENCE, aside, complain, frame, later, panel, picture, table, text
from .._matched import Expected, columns_beside_names, expected_fit, matched_totals
from .._model_choice import ModelChoice
from .._model_files import model_files
from .._pictures import thumbnail
from .._starter import Starter

_SHOWN = 6
# An estimate above a limit by less than this is the same as written, and not better known.
_CLEARLY = 1.05
# Minutes of a training, a name for each, and what to expect.
_TIMES = (
    (1.0, "A first look", "Shows whether the pictures can be counted."),
    (5.0, "Good", "For most pictures."),
    (
        12.0,
        "Better",
        "The usual choice; also for crowded pictures, or objects that differ in size.",
    ),
    (60.0, "Best", "For hundreds of pictures."),
)


def register(site) -> None:
    """Add the page."""

    @ui.page("/count", title="Count", response_timeout=PATIENCE)
    async def count(request: Request):
        lead = (
            "Cells, colonies, grains, trees, or an area or amount: learned from pictures with one "
            "number each."
        )
        with frame(request, "Count in pictures", lead):
            wanted, file = map(request.query_params.get, ("model", "file"))
            with ui.tabs().props("align=left no-caps dense") as tabs:
                learn, use = ui.tab("Learn to count"), ui.tab("Count with a model")
            using = wanted or file or request.query_params.get("use")
            with ui.tab_panels(tabs, value=use if using else learn, animated=False) as panels:
                panels.style("background:transparent;width:100%")
                with ui.tab_panel(learn).style("padding:0").classes("stack"):
                    _Learn(site, form_of(site, request.query_params.get("again")))
                with ui.tab_panel(use).style("padding:0").classes("stack"):
                    await _Use(site).draw(wanted, file)


def form_of(site, name) -> Count:
    """Return the form with the settings of a run; the empty form if there is no such run."""
    run = None if name is None else site.run(name)
    if run is None or run.kind != "count-fit":
        return Count()
    return Count.of_run(run.settings, str(run.info.get("cwd") or site.folder))


class _Learn:
    """The state of the form of a fit.

    Parameters
    ----------
    site : Site
    form : Count
        Filled where a run is done again.
    """

    def __init__(self, site, form):
        self.site, self.form = site, form
        # The minutes that all passes take, and of which form.
        self.expected: Expected | None = None
        self.expected_of: Count | None = None
        with ui.element("div").classes("wide"):
            with panel("1 · Pictures and a table"):
                text(
                    "p",
                    "Drop pictures (.png, .jpg, .tif) and a table (.csv, .xlsx) with the name of "
                    "each file and its number. Thirty pictures give a first model.",
                    "small muted",
                )
                uploader(
                    site, ("picture", "table"), self.dropped,
                    label="Drop pictures and the table here, or use +", multiple=True,
                )  # fmt: skip
                with ui.expansion("From a folder that is open").props("dense").classes("w-full"):
                    Browser(
                        site, ("picture", "table"), self.chosen, folders=True,
                        label="Folders with pictures, and tables",
                    )  # fmt: skip
                self.have = ui.element("div").classes("stack").props("role=status")
                self.columns = (
                    ui.select(
                        [],
                        multiple=True,
                        label="Columns of the numbers",
                        on_change=self.take_columns,
                    )
                    .props("outlined dense options-dense use-chips clearable")
                    .classes("w-full")
                    .style("margin:.5rem 0")
                )
                self.columns.set_visibility(False)
                self.matched = ui.element("div").classes("stack").props("role=status")
            with panel("What was found"):
                self.nothing = text("p", "Choose pictures, and some are shown here.", "muted")
                self.view = ui.element("div").classes("gallery")
                self.channels = text("p", "", "small muted")
                self.table = ui.element("div")
        with panel("2 · Training"):
            self.times = ui.element("div").classes("cards").props("role=radiogroup")
            self.times.props["aria-label"] = "Time of the training"
            self.plan = text("p", "", "small muted").props("role=status")
            self.draw_more()
        with panel("3 · Start"):
            self.starter = Starter(site, "Start to learn", self.form.words)
        self.changed()
        if form.pictures is not None or form.totals is not None:
            later(self.have, self.show())

    def draw_times(self):
        """Draw how long the training may take."""
        self.times.clear()
        with self.times:
            for minutes, title, words in _TIMES:
                button = ui.element("button").classes("choice").props("type=button role=radio")
                chosen = self.form.minutes == minutes
                button.props["aria-checked"] = "true" if chosen else "false"
                with button:
                    text("b", title)
                    text("span", words)
                    text("span", _in_minutes(minutes, self.expected), "when")
                button.on("click", lambda minutes=minutes: self.minutes.set_value(minutes))

    def draw_more(self):
        """Draw the fields of settings that seldom need a change."""
        form = self.form
        with ui.expansion("More settings").classes("w-full").props("dense"):
            with ui.element("div").classes("line"):
                self.minutes = self.number("Minutes of training", "minutes", 0.1)
                field = ui.input(
                    "Pictures per slide or dish", value=form.series, placeholder="1",
                    on_change=self.set("series"),
                )  # fmt: skip
                field.props("outlined dense stack-label debounce=600").tooltip(
                    "Pictures of one slide, dish or patient are a series: they are held back "
                    "together, so that the error is that of a new one. Enter how many follow each "
                    "other, or a pattern of their names: ^(.*)_ is all before the last _."
                )
                field = ui.input(
                    "Parts to leave out (scale bar)", value=form.leave_out,
                    placeholder="found; or left,top,right,bottom", on_change=self.set("leave_out"),
                )  # fmt: skip
                field.props("outlined dense stack-label").tooltip(
                    "Left, top, right and bottom ends in pixels, several parts with semicolons "
                    "between them. Empty for what nearly all pictures show at one place near an "
                    "edge; none to leave nothing out."
                )
            with ui.element("div").classes("line"):
                self.number("Pixels averaged into one", "reduction", 1, "by the pictures").tooltip(
                    "Along each side. Leave it empty to have it chosen by the pictures. Objects or "
                    "details should be some 13 pixels apart afterwards. More of them are faster."
                )
                self.number("Networks", "members", 1, "2").tooltip(
                    "Each holds back other pictures; their mean is the result. 2 if it is empty."
                )
                self.number("Passes over the pictures, at most", "epochs", 1, "by the pictures")
                self.number("Seed of random numbers", "seed", 0, "0")
            ui.checkbox("Whole numbers in the table are areas or other amounts, no counts",
                        value=form.amounts, on_change=self.set("amounts"))  # fmt: skip
            ui.checkbox("Pictures may not be turned or flipped", value=form.upright,
                        on_change=self.set("upright"))  # fmt: skip
            for name, path in list(form.others.items()):
                words = f"As in that run: --{name} {self.site.shown(path)}"
                ui.checkbox(words, value=True, on_change=self.keep(name, path))

    def number(self, label, name, least, default=None):
        """Draw the field of a number; the default, which it names, where it is empty."""
        value, change = getattr(self.form, name), self.set(name)
        field = ui.number(label, value=value, min=least, placeholder=default, on_change=change)
        return field.props("outlined dense stack-label")

    def keep(self, name, path):
        """Return a handler that keeps a table of a run that is done again, or leaves it out."""

        def changed(event):
            self.form.others.pop(name, None)
            if event.value:
                self.form.others[name] = path
            self.changed()

        return changed

    def set(self, name):
        """Return a handler that stores the value of a field of the form."""
        # An empty field of minutes is an error, unless the passes are limited.
        default = None if name == "minutes" else getattr(Count(), name)

        async def changed(event):
            value = event.value
            if isinstance(value, float) and value.is_integer() and name != "minutes":
                value = int(value)  # fields of numbers have no other kind
            setattr(self.form, name, default if value is None else value)
            self.changed()
            if name in ("amounts", "series"):
                await self.tell()
            elif name != "minutes":
                await self.estimate()

        return changed

    async def dropped(self, paths):
        """Use pictures and tables that were dropped; those dropped later join the first."""
        pictures = [path for path in paths if kind_of(path) == "picture"]
        tables = [path for path in paths if kind_of(path) == "table"]
        if pictures:
            self.form.pictures = pictures[0].parent
        if tables:
            self.form.totals = tables[0]
        await self.show()

    async def chosen(self, path):
        """Use a folder of pictures, or a table."""
        if path.is_dir():
            self.form.pictures = path
            inside = [each for each in sorted(path.iterdir()) if kind_of(each) == "table"]
            if len(inside) == 1 and self.form.totals is None:
                self.form.totals = inside[0]
        elif kind_of(path) == "table":
            self.form.totals = path
        else:
            self.form.pictures = path.parent
        await self.show()

    async def show(self):
        """Show some pictures, and the first rows of the table."""
        self.changed()
        self.nothing.set_visibility(False)
        self.view.clear()
        self.channels.set_text("Reading …")
        self.table.clear()
        self.have.clear()
        await self.offer_columns()
        folder, totals = self.form.pictures, self.form.totals
        try:
            self.require_opened()
            pictures = [] if folder is None else pictures_in(folder)
            with self.have:
                if folder is not None:
                    text("p", f"{_how_many(pictures)} in {self.site.shown(folder)}", "small")
                if totals is not None:
                    text("p", f"Table: {self.site.shown(totals)}", "small")
                if folder is None or totals is None:
                    missing = "the pictures" if folder is None else "the table with their numbers"
                    text("p", f"Next: choose {missing}.", "small muted")
            merged, first = {}, pictures[:_SHOWN]
            for k, path in enumerate(first):
                self.channels.set_text(f"Reading picture {k + 1} of {len(first)} …")
                png, channels = await aside(thumbnail, path)
                if (folder, totals) != (self.form.pictures, self.form.totals):
                    return  # a later call shows a later choice
                merged[channels] = None
                with self.view, ui.element("figure"):
                    picture(png, path.name, "")
                    text("figcaption", path.name)
            drawn = " \u00b7 ".join(filter(None, merged))
            self.channels.set_text(drawn and f"Drawn as {drawn}.")
            if totals is not None:
                header, rows = await aside(table_rows, totals, 5)
                with self.table:
                    table(header, rows, caption="First rows of the table")
        except Exception as error:
            self.channels.set_text("")
            complain(error)
        await self.tell()

    def require_opened(self):
        """Raise if files are not in an opened folder: a run that is done again may name any."""
        for path in (self.form.pictures, self.form.totals):
            if path is not None:
                self.site.path(path)

    async def offer_columns(self):
        """Offer the columns of the table, if there are several beside the names of the pictures."""
        names = []
        if self.form.totals is not None and self.form.pictures is not None:
            try:
                self.require_opened()
                names = await aside(columns_beside_names, self.form.pictures, self.form.totals)
            except Exception:  # what is wrong with a table is told with the first rows
                names = []
        wanted = self.columns.value or self.form.column.split(",")
        kept = [name for name in wanted if name in names]
        self.columns.set_options(names, value=kept)
        self.form.column = ",".join(kept)
        self.columns.set_visibility(len(names) > 1)

    async def take_columns(self, event):
        """Use the columns that were chosen."""
        self.form.column = ",".join(event.value or ())
        self.changed()
        await self.tell()

    async def tell(self):
        """Say which column is learned, and how many pictures have a number."""
        form = self.form
        wanted = (form.pictures, form.totals, form.column, form.amounts, form.series)
        if form.pictures is None or form.totals is None:
            return
        lines, found, look = [], (), "small"
        self.matched.clear()
        with self.matched:
            text("p", "Comparing the pictures with the table …", "small muted")
        try:
            self.require_opened()
            lines, found = await aside(matched_totals, *wanted)
        except Exception as error:  # what a fit would say
            lines, look = [str(error).partition("\n")[0]], "small warn"
            if self.columns.visible and not form.column:
                lines.append("Choose the columns of the numbers above.")
        if wanted != (form.pictures, form.totals, form.column, form.amounts, form.series):
            return  # a later call reports a later change
        if self.matched.is_deleted:
            return
        if self.columns.visible and not form.column:
            self.columns.set_value([name for name in found if name in self.columns.options])
        self.matched.clear()
        with self.matched:
            for line in lines:
                text("p", line, look)
        await self.estimate()

    async def estimate(self):
        """Say how long the training will take, and how pixels are averaged."""
        form = self.form
        wanted = replace(form, minutes=None, series="", seed=None, leave_out="")
        if form.pictures is None or form.totals is None or wanted == self.expected_of:
            return
        self.expected_of, self.expected = wanted, None
        self.plan.set_text("Some steps are measured, to tell how long the training takes …")
        try:
            self.require_opened()
            expected = await aside(expected_fit, wanted)
        except Exception:  # told with the table, or by the run
            expected = None
        if self.plan.is_deleted or self.expected_of != wanted:
            return  # a later call estimates a later change
        self.expected = expected
        words = "" if expected is None else f"{expected.words[0].upper()}{expected.words[1:]}"
        self.plan.set_text(words and f"{words}.")
        self.draw_times()

    def changed(self):
        """Update the page after a change."""
        self.draw_times()
        self.starter.update()


def pictures_in(path) -> list[Path]:
    """Return the pictures of a folder, or a picture itself."""
    if not path.is_dir():
        return [path]
    return sorted(each for each in path.iterdir() if kind_of(each) == "picture")


def _how_many(pictures) -> str:
    return "1 picture" if len(pictures) == 1 else f"{len(pictures)} pictures"


def _in_minutes(minutes, expected) -> str:
    """Return how long a training with a limit takes, as far as it is known.

    Examples
    --------
    >>> from sk_ednn.ui._matched import Expected
    >>> from sk_ednn.ui._pages.count import _in_minutes
    >>> _in_minutes(12.0, None), _in_minutes(60.0, None)
    ('up to 12 minutes', 'up to 1 hour')
    >>> _in_minutes(5.0, Expected(3.4, "")), _in_minutes(1.0, Expected(3.4, ""))
    ('ends by itself after about 3.4 min', 'stops after 1 minute of about 3.4 min')
    >>> _in_minutes(1.0, Expected(1.002, ""))  # the same as written
    'ends by itself after about 60 s'
    >>> _in_minutes(60.0, Expected(3.4, ""))
    'the same as “Good” for these pictures: ends by itself after about 3.4 min'
    """
    limit = "1 hour" if minutes == 60 else f"{minutes:g} minute{'' if minutes == 1 else 's'}"
    if expected is None:
        return limit if minutes == 1 else f"up to {limit}"
    needed = about(60 * expected.minutes)
    if expected.minutes <= _CLEARLY * minutes:
        least, name = next(each[:2] for each in _TIMES if expected.minutes <= _CLEARLY * each[0])
        same = f"the same as “{name}” for these pictures: " if least < minutes else ""
        return f"{same}ends by itself after {needed}"
    return f"stops after {limit} of {needed}"


class _Use:
    """The state of the form of counting."""

    def __init__(self, site):
        self.site = site
        self.model: Path | None = None
        self.pictures: Path | None = None

    async def draw(self, wanted, file):
        """Draw the form; a run or a file may be meant."""
        models = await aside(model_files, self.site, ("count-fit",))
        with ui.element("div").classes("columns"):
            with panel("1 · Model"):
                self.verdicts = {model.path: model.verdict for model in models}
                self.model = choose_model(models, wanted, self.take_run)
                self.verdict = text("p", "", "small").props("role=status")
                if not models:
                    words = "Nothing has learned to count here yet: learn it, or choose a file."
                    text("p", words, "muted")
                self.other = ModelChoice(self.site, "/count", self.take_model)
            with panel("2 · New pictures"):
                uploader(self.site, ("picture",), self.dropped,
                         label="Drop pictures here, or use +", multiple=True)  # fmt: skip
                with ui.expansion("From a folder that is open").props("dense").classes("w-full"):
                    Browser(self.site, ("picture",), self.take, folders=True,
                            label="Folders with pictures")  # fmt: skip
                self.have = text("p", "", "small").props("role=status")
        with panel("3 · Start"):
            self.starter = Starter(self.site, "Count", self.words)
        self.take_model(self.model)
        if file is not None:
            later(self.other.said, self.other.take(file))

    def take_run(self, path):
        """Use the model of a run; None where none is chosen."""
        self.other.said.clear()
        self.take_model(path)

    def take_model(self, path):
        """Use a model, and say how good it is, if a run does."""
        self.model = path
        self.verdict.set_text(self.verdicts.get(path, ""))
        self.changed()

    def dropped(self, paths):
        """Use the folder of the dropped files."""
        self.take(paths[0].parent)

    def take(self, path):
        """Use a folder of pictures, or one."""
        self.pictures = path
        self.have.set_text(f"{_how_many(pictures_in(path))}: {self.site.shown(path)}")
        self.changed()

    def words(self):
        """Return the command as words."""
        if self.model is None:
            raise ValueError("Choose a model first.")
        if self.pictures is None:
            raise ValueError("Drop pictures, or choose a folder with them.")
        return ["count", "predict", str(self.model), str(self.pictures)]

    def changed(self):
        """Update the page after a change."""
        self.starter.update()
