"""One run as it goes: curves, totals, log, resources, files; stop, resume, repeat."""

from __future__ import annotations

from urllib.parse import urlencode

import numpy as np
from fastapi import Request
from nicegui import ui

from ..._utils.wording import about
from .. import _charts, _contributions
from .._frame import (
    PATIENCE,
    aside,
    command_line,
    complain,
    frame,
    later,
    link,
    panel,
    picture,
    table,
    text,
)
from .._live_charts import LiveCharts
from .._run_counts import (
    counting_of,
    furthest_of,
    longer_fit,
    recount_of,
    roughness_of,
    small_differences_of,
)
from .._run_counts_table import draw_counts, draw_download
from .._run_curves import curves_of, resources_of, seconds_left
from .._run_files import draw_files
from .._run_gallery import caption_of, draw_gallery, pictures_of
from .._run_results import errors_of, unit_of, verdict_in
from .._run_totals import predicted_of, totals_of
from .._run_verdict import verdict_lines
from .._runs import flat, given_of, identity_of, log_of, row_of, title_of
from .._words import duration, moment, number

_LIVE_SECONDS = 1.0
_ENDED_SECONDS = 10.0
_MOST_TOTALS = 200


def register(site) -> None:
    """Add the page."""

    @ui.page("/runs/{run}", title="Run", response_timeout=PATIENCE)
    async def show(request: Request, run: str):
        record = site.run(run)
        if record is None:
            with frame(request, "No such run"), panel():
                text("p", "There is no run of this name in the folder.")
                link("All runs", "/runs")
            return
        row = await aside(row_of, record)
        with frame(request, title_of(row), f"Run {row.id}") as heading:
            await _Run(site, record, heading).draw()


class _Run:
    """The state of one open page."""

    def __init__(self, site, run, heading):
        self.site, self.run, self.heading = site, run, heading
        self.seen: dict = {}

    async def draw(self):
        """Draw the page, and follow the run."""
        with panel(label="State"):
            with ui.element("div").classes("line between"):
                with ui.element("div").classes("facts"):
                    self.status = self.fact("Status", "state")
                    self.error = self.fact("Error on data held back")
                    self.time = self.fact("Duration")
                    self.left = self.fact("Remaining")
                    self.began = self.fact("Started")
                self.buttons = ui.element("div").classes("line")
            self.bar = ui.element("progress").props('max=100 aria-label="Progress"')
            self.bar.style("margin-top:.7rem")
            self.message = text("p", "", "small").style("margin:.5rem 0 0").props("role=status")
        self.earlier = text(
            "p", "From before the run was resumed; replaced when it ends.", "small warn"
        )
        self.earlier.set_visibility(False)
        self.result = ui.element("div")
        self.gallery = ui.element("div")
        self.curves = LiveCharts()
        self.totals = LiveCharts()
        self.contributions = ui.element("div")
        with panel("Files"):
            self.files = ui.element("div")
        # How a run goes is of interest while it does, and where it failed.
        with panel(label="Log"):
            open_log = self.run.status != "finished"
            with ui.expansion("Log", value=open_log).props("dense").classes("fold"):
                self.log = text("pre", "", "log").props('tabindex=0 aria-label="Log"')
        with panel(label="Settings, processor and memory"):
            with ui.expansion("Settings and data").props("dense").classes("fold"):
                self.settings = ui.element("div")
            self.machine = ui.expansion("Processor and memory").props("dense").classes("fold")
            with self.machine:
                self.resources = LiveCharts(low=True)
        with panel("The same on the command line", "stack"):
            if self.run.argv:
                command_line([*self.run.argv, *self.site.recorded])
            else:
                text("p", "This run was started in Python.", "muted")
            self.draw_tags()
        later(self.log, self.refresh())  # there may be much to read: the page comes first
        self.timer = ui.timer(_LIVE_SECONDS, self.refresh)

    @staticmethod
    def fact(name, classes=""):
        """Draw a number with its name."""
        with ui.element("div"):
            text("div", name)
            return text("div", "–", classes)

    def draw_tags(self):
        """Draw the field for tags."""
        with ui.element("div").classes("line"):
            tags = ui.input("Tags, with commas", value=", ".join(self.run.tags))
            tags.props("outlined dense")

            def keep():
                wanted = [tag.strip() for tag in (tags.value or "").split(",") if tag.strip()]
                try:
                    self.run.tag(*wanted, remove=[t for t in self.run.tags if t not in wanted])
                except ValueError as error:
                    complain(error)
                    return
                ui.notify("Tags are kept.", timeout=1500)

            ui.button("Keep tags", on_click=keep).props("outline color=primary")

    # --- what changes -----------------------------------------------------------------------

    async def refresh(self):
        """Show changes since the last refresh."""
        try:
            now = await aside(self.read)
        except Exception as error:  # files of a run may be anything
            self.message.set_text(str(error)[:300])
            return
        if self.status.is_deleted:
            return
        row = now["row"]
        shown = now["status"] if row.status == "running" else row.status
        self.heading.set_text(title_of(row))  # a run that begins has no data yet
        self.status.set_text(shown).classes(replace=f"state {row.status}")
        unit = unit_of(now["settings"]["settings"], now["result"])
        self.error.set_text(f"{number(row.error)} {unit}".rstrip())
        self.error.parent_slot.parent.set_visibility(row.error is not None)
        self.time.set_text(duration(row.seconds))
        self.left.set_text("" if now["left"] is None else about(now["left"]))
        self.left.parent_slot.parent.set_visibility(now["left"] is not None)
        self.began.set_text(moment(row.started))
        done = row.status == "finished"
        if row.progress is None and not done:
            self.bar.props.pop("value", None)
        else:
            self.bar.props["value"] = 100 if done else round(100 * (row.progress or 0.0), 1)
        self.bar.set_visibility(row.status == "running")
        self.message.set_text(row.message)
        self.message.classes(
            replace="small bad" if row.status in ("failed", "killed") else "small muted"
        )
        earlier = row.status == "running" and bool(now["result"]) and bool(self.run.resumed_after)
        self.earlier.set_visibility(earlier)
        for name, draw in (
            ("status", self.draw_buttons),
            ("result", self.draw_result),
            ("curves", self.draw_curves),
            ("totals", self.draw_totals),
            ("log", self.draw_log),
            ("resources", self.draw_resources),
            ("files", self.draw_files),
            ("gallery", self.draw_pictures),
            ("settings", self.draw_settings),
        ):
            if name not in self.seen or _differs(now[name], self.seen[name]):
                self.seen[name] = now[name]
                draw(now[name])
        if hasattr(self, "timer"):
            live = row.status == "running"
            self.timer.interval = _LIVE_SECONDS if live else _ENDED_SECONDS

    def read(self):
        """Read the run; in another thread, since there may be much."""
        return {
            "row": row_of(self.run),
            "status": "stopping" if self.run.stopping else self.run.status,
            "left": seconds_left(self.run),
            "result": self.run.result,
            "curves": curves_of(self.run),
            "totals": totals_of(self.run),
            "log": log_of(self.run),
            "resources": resources_of(self.run),
            "files": self.run.files(),
            "gallery": {
                name: (address, caption_of(name, self.run.result))
                for name, address in pictures_of(self.run).items()
            },
            "settings": {
                "settings": self.run.settings,
                "given": given_of(self.run),
                "data": self.run.data,
            },
        }

    def draw_buttons(self, status):
        """Offer what can be done in this state."""
        self.buttons.clear()
        with self.buttons:
            if status == "running":
                if self.run.kind == "search":
                    self.button("Pause", lambda: self.run.command("pause"))
                    self.button("Go on", lambda: self.run.command("resume"))
                self.button("Stop", self.run.stop)
            elif status in ("killed", "stopped", "failed") and self.run.argv:
                self.button("Resume", lambda: self.site.resume(self.run.id))
            if status == "stopping":
                text("p", "It ends after the present step, and keeps what it has.", "small muted")
                return
            longer = None if status == "running" else longer_fit(self.run)
            if longer is not None:
                minutes, argv = longer
                limit = f"{minutes} minute{'' if minutes == 1 else 's'}"
                self.button(
                    f"Train longer, up to {limit}",
                    lambda: self.site.start(argv, cwd=self.run.info.get("cwd")),
                ).tooltip(f"A new run from the beginning, of at most {limit}. This run is kept.")
            if status != "running" and self.run.argv:
                self.button("Repeat", self.repeat)
                if self.run.kind in ("count-fit", "fit"):
                    page = "/count" if self.run.kind == "count-fit" else "/"
                    to = f"{page}?{urlencode({'again': self.run.id})}"
                    ui.button("Change settings", on_click=lambda: ui.navigate.to(to)).props(
                        "outline color=primary"
                    ).tooltip("The form of a new run, filled as for this one.")
            model = next((n for n in self.run.files() if n.endswith(".ednn")), None)
            if model is not None and status != "running":
                page = "/count" if self.run.kind.startswith("count") else "/predict"
                query = urlencode({"model": self.run.id})
                ui.button(
                    "Count with it" if page == "/count" else "Predict with it",
                    on_click=lambda: ui.navigate.to(f"{page}?{query}"),
                ).props("unelevated color=primary")
            if self.run.kind == "search":
                ui.button(
                    "Structures", on_click=lambda: ui.navigate.to(f"/search?run={self.run.id}")
                ).props("unelevated color=primary")

    def button(self, name, act):
        """Draw a button that acts, and then shows the result."""

        async def pressed():
            try:
                result = await aside(act)
            except Exception as error:
                complain(error)
                return
            other = getattr(result, "id", None)
            if other is not None and other != self.run.id:
                ui.navigate.to(f"/runs/{other}")
            else:
                await self.refresh()

        return ui.button(name, on_click=pressed).props("outline color=primary")

    def repeat(self):
        """Start the same command once more, as a new run."""
        return self.site.start(self.run.repeat_argv, cwd=self.run.info.get("cwd"))

    def draw_result(self, result):
        """Show final numbers, and the verdict in words."""
        self.result.clear()
        if not result:
            return
        with self.result, panel("Result"):
            self.draw_verdict(result)
            for line in counting_of(result):
                text("p", line)
            for line in recount_of(result):
                text("p", line)
            for line in small_differences_of(result):
                text("p", line, "warn")
            errors = errors_of(self.run.settings, result)
            if errors:
                header, *rows = errors
                rows = [(part, *map(number, values)) for part, *values in rows]
                table(header, rows, numbers=range(1, len(header)))
            header, rows = predicted_of(self.run)
            if rows:
                with ui.element("div").classes("long"):
                    table(header, rows[:_MOST_TOTALS], numbers=range(1, len(header)))
                if len(rows) > _MOST_TOTALS:
                    words = f"The first {_MOST_TOTALS} of {len(rows):,}; all are in the files."
                    text("p", words, "muted")
            counts = result.get("counts")
            if isinstance(counts, list):
                draw_counts(counts, result.get("confidence"), result.get("columns"))
                for line in roughness_of(result.get("held_back")):
                    text("p", line, "small muted")
            draw_download(self.run)
            shown = [part for part in ("train", "test", "spreads")
                     if errors and isinstance(result.get(part), dict)]  # fmt: skip
            furthest = furthest_of(result) if self.run.kind == "count-fit" else []
            if furthest:
                header = ("learned", "picture not seen", "in the table", "counted")
                with ui.expansion("Furthest off").props("dense").classes("w-full"):
                    table(header, furthest, numbers=(2, 3), caption="Pictures furthest off")
            skip = {"confidence", "counts", "verdict", *shown}
            rest = [pair for key, value in result.items() if key not in skip
                    for pair in flat(value, str(key).replace("_", " "))]  # fmt: skip
            if self.run.kind.startswith("count"):
                rest = []  # all of it is said above, in words
            if rest:
                with ui.expansion("All numbers").props("dense").classes("w-full"):
                    table((), rest, caption="All results")

    def draw_verdict(self, result):
        """Show how good the model is."""
        if not self.run.kind.startswith("count"):
            words = verdict_in(result)
            if words is not None:
                text("p", f"Verdict: {words}")
            return
        first, *rest = verdict_lines(result) or [""]
        if not first:
            return
        title = "The model: " if self.run.kind == "count-predict" else "Verdict: "
        text("p", f"{title}{first}", "verdict")
        for line in rest:
            text("p", line)

    def draw_curves(self, groups):
        """Draw what was measured in each epoch or stage."""
        self.curves.show(
            {
                title: _charts.curves(
                    series, x="step of the training", y=_charts.axis_of(title), title=title
                )
                for title, series in groups.items()
            }
        )

    def draw_totals(self, parts):
        """Draw predicted against true totals, and errors by size."""
        if not parts:
            self.totals.show({})
            return
        sized = all(one.sizes is not None for one in parts.values())
        several = sized and any(len(np.unique(one.sizes)) > 1 for one in parts.values())
        pairs = {part: (one.true, one.predicted) for part, one in parts.items()}
        errors = {
            part: (one.sizes if several else one.true, one.predicted - one.true)
            for part, one in parts.items()
        }
        self.totals.show(
            {
                "Predicted and true totals": _charts.scatter(
                    pairs, x="true", y="predicted", diagonal=True
                ),
                "Errors by size" if several else "Errors": _charts.scatter(
                    errors, x="size" if several else "true total", y="predicted − true"
                ),
            }
        )

    def draw_log(self, content):
        """Show the end of the log, and stay at its end."""
        self.log.set_text(content or "Nothing was printed yet.")
        ui.run_javascript(
            f"const e = getElement({self.log.id}); const b = e?.$el ?? e; "
            "if (b) b.scrollTop = b.scrollHeight"
        )

    def draw_resources(self, groups):
        """Draw processor and memory."""
        self.machine.set_visibility(bool(groups))
        self.resources.show(
            {
                title: _charts.curves(series, x="time / s", log=False, title=title)
                for title, series in groups.items()
            }
        )

    def draw_files(self, files):
        """List files to be downloaded."""
        self.files.clear()
        with self.files:
            draw_files(self.run, files)
        self.draw_contributions(files)

    def draw_pictures(self, pictures):
        """Show the pictures that the run has written."""
        self.gallery.clear()
        with self.gallery:
            draw_gallery(list(pictures.values()), self.run.kind.startswith("count"))

    def draw_contributions(self, files):
        """Offer maps of the contributions of tiles, if the run wrote them."""
        self.contributions.clear()
        name = _contributions.file_of(files)
        if name is None:
            return
        with self.contributions, panel("What the tiles contribute"):
            view = ui.element("div")

            async def draw(k=0):
                try:
                    png, words = await aside(
                        _contributions.drawn, self.site, self.run, name, int(k)
                    )
                except Exception as error:
                    png, words = None, str(error).partition("\n")[0]
                if view.is_deleted:
                    return
                view.clear()
                with view:
                    if png is not None:
                        picture(png, words)
                    text("p", words, "small muted")

            with ui.element("div").classes("line"):
                text("span", "Sample", "small muted")
                n = _contributions.number_of(self.run, name)
                slider = ui.slider(min=0, max=max(n - 1, 0), value=0, step=1).style("flex:1")
                slider.props('label aria-label="Which sample"').on("change", lambda e: draw(e.args))
                slider.set_visibility(n > 1)
            later(view, draw())

    def draw_settings(self, description):
        """Show settings, and what identifies the data."""
        self.settings.clear()
        with self.settings:
            given, defaults = (
                [pair for pair in flat(some) if pair[1] not in ("–", "False")]
                for some in description["given"]
            )
            given += [
                (f"data · {name}", identity_of(one)) for name, one in description["data"].items()
            ]
            table((), given or [("", "none")], caption="Settings and data")
            if defaults:  # among them those that do not matter for these data
                with ui.expansion("Settings left as they are").props("dense").classes("w-full"):
                    table((), defaults, caption="Settings left as they are")


def _differs(a, b) -> bool:
    """Compare what may contain arrays."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() != b.keys() or any(_differs(a[key], b[key]) for key in a)
    if isinstance(a, (tuple, list)) and isinstance(b, (tuple, list)):
        return len(a) != len(b) or any(map(_differs, a, b))
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return not np.array_equal(a, b, equal_nan=np.asarray(a).dtype.kind == "f")
    if hasattr(a, "true"):
        return _differs((a.true, a.predicted), (b.true, b.predicted))
    return a != b
