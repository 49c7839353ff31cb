"""One run as it goes: curves, totals, log, resources, files; stop, resume, repeat."""

from __future__ import annotations

from urllib.parse import quote, urlencode

import numpy as np
from fastapi import Request
from nicegui import ui

from ..._utils.wording import about, share_of_totals
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
    counts_in_words,
    furthest_of,
    longer_fit,
    recount_of,
    roughness_of,
    small_differences_of,
)
from .._run_curves import curves_of, resources_of, seconds_left
from .._run_gallery import PICTURES, draw_gallery, pictures_of
from .._run_results import errors_of, unit_of, verdict_in
from .._run_totals import PREDICTIONS, predicted_of, totals_of
from .._runs import flat, given_of, identity_of, log_of, row_of
from .._words import duration, kind_in_words, moment, number, size

_LIVE_SECONDS = 1.0
_ENDED_SECONDS = 10.0
_MOST_TOTALS = 200
# Tables of what was predicted, by the kind of the run.
_TABLES = {"count-predict": ("counts.xlsx", "counts.csv"), "predict": ("totals.csv", PREDICTIONS)}
_REPORT = "report.html"  # a page for colleagues
_IN_A_NEW_TAB = (".html", *PICTURES)  # these are shown; other files are downloaded


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
        with frame(request, f"{kind_in_words(row.kind).capitalize()} {row.id[-4:]}", row.data):
            await _Run(site, record).draw()


class _Run:
    """The state of one open page."""

    def __init__(self, site, run):
        self.site, self.run = site, run
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
        with panel("Log"):
            self.log = text("pre", "", "log").props('tabindex=0 aria-label="Log"')
        self.resources = LiveCharts(low=True)
        with ui.element("div").classes("columns"):
            with panel("Files"):
                self.files = ui.element("div")
            with panel("Settings and data"):
                self.settings = ui.element("div")
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
            ("pictures", self.draw_pictures),
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
            "pictures": pictures_of(self.run),
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
            words = verdict_in(result)
            if words is not None:
                title = "The model" if self.run.kind == "count-predict" else "Verdict"
                text("p", f"{title}: {words}")
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
                self.draw_counts(counts, result.get("confidence"), result.get("columns"))
                for line in roughness_of(result.get("held_back")):
                    text("p", line, "small muted")
            self.draw_download()
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

    def draw_download(self):
        """Offer the table and the report of a prediction, which are two of many files."""
        files = self.run.files()
        names = [name for name in _TABLES.get(self.run.kind, ()) if name in files]
        has_report = self.run.kind == "count-predict" and _REPORT in files
        if not names and not has_report:
            return
        with ui.element("div").classes("line").style("margin-top:.5rem"):
            for name in names:
                title = f"Download the table, {'Excel' if name.endswith('.xlsx') else 'CSV'}"
                address = f"/runs/{self.run.id}/files/{quote(name)}"
                button = ui.button(title, on_click=lambda to=address: ui.navigate.to(to))
                button.props("outline color=primary")
            if has_report:
                address = f"/runs/{self.run.id}/files/{_REPORT}"
                button = ui.button(
                    "Report for colleagues",
                    on_click=lambda: ui.navigate.to(address, new_tab=True),
                )
                button.props("outline color=primary").tooltip(
                    "One page with counts, what is known of their errors, and small maps, to be "
                    "saved and sent."
                )

    @staticmethod
    def draw_counts(counts, confidence, columns=None):
        """Show counts with intervals and what is unusual about the pictures."""
        # Runs of before do not say which share of the true counts their intervals contain.
        known = isinstance(confidence, float) and 0 < confidence < 1
        share = f"{share_of_totals(confidence)} " if known else ""
        # Runs of before do not name what they count.
        names = [str(name) for name in columns] if isinstance(columns, list) else []
        words = {
            "unlike": "unlike the pictures of the fit",
            "range": "fuller or emptier",
        }
        rows = []
        for one in counts[:500]:
            rows.append(
                (
                    one.get("name", ""),
                    *counts_in_words(one),
                    words.get(one.get("flag") or "", one.get("flag") or ""),
                )
            )  # fmt: skip
        with ui.element("div").classes("long"):
            what = ", ".join(names) or "count"
            header = ("picture", what, f"{share}true numbers lie between", "and", "")
            table(header, rows, numbers=(1, 2, 3))

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
        self.resources.show(
            {
                title: _charts.curves(series, x="time / s", log=False, title=title)
                for title, series in groups.items()
            }
        )

    def draw_files(self, files):
        """List files to be downloaded."""
        files = {name: n_bytes for name, n_bytes in files.items() if not name.endswith(".lock")}
        self.files.clear()
        base = f"/runs/{self.run.id}/files/"
        with self.files:
            if not files:
                text("p", "None yet.", "muted")

            def row(name, n_bytes):
                def cell():
                    link(name, base + quote(name), new_tab=name.lower().endswith(_IN_A_NEW_TAB))

                return cell, size(n_bytes)

            if files:
                with ui.element("div").classes("long"):
                    table(("name", "size"), [row(*each) for each in list(files.items())[:300]],
                          numbers=(1,), caption="Files of the run")  # fmt: skip
                ui.button(
                    "Download all", on_click=lambda: ui.navigate.to(f"/runs/{self.run.id}/all.zip")
                ).props("flat color=primary")
        self.draw_contributions(files)

    def draw_pictures(self, addresses):
        """Show the pictures that the run has written."""
        self.gallery.clear()
        with self.gallery:
            draw_gallery(addresses, self.run.kind.startswith("count"))

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
