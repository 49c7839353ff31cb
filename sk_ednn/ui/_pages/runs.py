"""All runs in a table: sort, filter, tag, compare."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlencode

from fastapi import Request
from nicegui import ui

from .._frame import PATIENCE, aside, complain, frame, text
from .._run_table import ANY_STATUS, View

_REFRESH_SECONDS = 2.0
_COLUMNS = (
    # name, label, field that is sorted by, number
    ("id", "Run", "id", False),
    ("status", "Status", "status", False),
    ("progress", "Progress", "progress", False),
    ("data", "Data", "data", False),
    ("model", "Model", "model", False),
    ("error", "Error", "error", True),
    ("started", "Started", "started", False),
    ("seconds", "Duration", "seconds", True),
    ("tags", "Tags", "tags", False),
)
# Vue shows what is in {{ }} as text; addresses are encoded.
_CELL = (
    '<q-td key="{name}" :props="props" :data-empty="!props.row.{field}" data-label="{label}"'
    ' class="{look}">{content}</q-td>'
)
_SPECIAL = {
    "id": """<a :href="'/runs/' + encodeURIComponent(props.row.id)">
        {{ props.row.kind }} {{ props.row.id.slice(-4) }}</a>""",
    "status": """<span :class="'state ' + props.row.status" :title="props.row.message">
        {{ props.row.status }}</span>""",
    "tags": """<span v-for="tag in (props.row.tags ? props.row.tags.split(', ') : [])"
        class="tag">{{ tag }}</span>""",
}
_FIELDS = {field for _, _, field, _ in _COLUMNS}
_EMPTY = "There are no runs yet."
_NONE_FITS = "No run has this in it."
_SHOWN = {"error": "error_shown", "started": "started_shown", "seconds": "seconds_shown"}


def _body() -> str:
    """Return the template of a row."""
    cells = [
        """<q-td auto-width class="first"><q-checkbox v-model="props.selected" dense
        :aria-label="'Select run ' + props.row.id" /></q-td>"""
    ]
    for name, label, _, is_number in _COLUMNS:
        field = _SHOWN.get(name, name)
        content = _SPECIAL.get(name, "{{ props.row." + field + " }}")
        cells.append(
            _CELL.replace("{name}", name)
            .replace("{field}", field)
            .replace("{label}", label)
            .replace("{look}", "num" if is_number else "")
            .replace("{content}", content)
        )
    return f'<q-tr :props="props">{"".join(cells)}</q-tr>'


def register(site) -> None:
    """Add the page."""

    @ui.page("/runs", title="Runs", response_timeout=PATIENCE)
    async def runs(request: Request):
        with frame(request, "Runs", f"Everything that was recorded in {site.folder}."):
            await _Runs(site).draw()


class _Runs:
    """The state of one open page.

    The browser is sent the rows of one page of the table: with thousands of runs, all of them take
    longer to send and to set up than to read.
    """

    def __init__(self, site):
        self.site = site
        self.rows: list[dict] = []
        self.view = View()

    async def draw(self):
        """Draw the table."""
        self.rows = await aside(self.site.rows.read)
        with ui.element("section").classes("panel").props('aria-label="Runs"'):
            with ui.element("div").classes("line between tools"):
                with ui.element("div").classes("line"):
                    find = ui.input("Filter", on_change=self.find)
                    find.props("outlined dense clearable type=search debounce=150")
                    ui.select(
                        [ANY_STATUS, "running", "finished", "failed", "stopped", "killed"],
                        value=ANY_STATUS, on_change=self.choose,
                    ).props('outlined dense options-dense aria-label="Status"')  # fmt: skip
                with ui.element("div").classes("line"):
                    self.tag = ui.input("Tag").props("outlined dense").on("keydown.enter", self.add)
                    self.add_button = ui.button("Add tag", on_click=self.add)
                    self.compare = ui.button("Compare", on_click=self.go)
                    for button in (self.add_button, self.compare):
                        button.props("outline color=primary").disable()
            shown, self.view, n = self.view.of(self.rows)
            self.table = ui.table(
                columns=[self.column(*each) for each in _COLUMNS],
                rows=shown,
                row_key="id",
                selection="multiple",
                pagination=self.pagination(n),
                on_select=self.selected,
            ).classes("runs w-full")
            self.table.props("flat dense :rows-per-page-options='[25, 100, 0]'")
            self.table.props["aria-label"] = "Runs"
            self.table.props["no-data-label"] = _EMPTY if not self.rows else _NONE_FITS
            self.table.add_slot("body", _body())
            self.table.on("request", self.turn, [["pagination"]])
        if not self.rows:
            text("p", "Start a fit, a count or a search, and it appears here.", "muted")
        ui.timer(_REFRESH_SECONDS, self.refresh)

    @staticmethod
    def column(name, label, field, number):
        """Return a column of the table."""
        return {
            "name": name,
            "label": label,
            "field": field,
            "sortable": True,
            "align": "right" if number else "left",
        }

    def pagination(self, n):
        """Return the view in the form of the table in the browser; with `n`, it requests pages."""
        return {
            "sortBy": self.view.sort_by,
            "descending": self.view.descending,
            "page": self.view.page,
            "rowsPerPage": self.view.per_page,
            "rowsNumber": n,
        }

    async def refresh(self):
        """Show what changed."""
        rows = await aside(self.site.rows.read)
        if rows != self.rows:
            self.rows = rows
            self.show()

    def show(self, **changes):
        """Show another view of the rows, or the same again."""
        shown, self.view, n = replace(self.view, **changes).of(self.rows)
        pagination = self.pagination(n)
        if shown != self.table.rows:
            self.table.rows = shown
        if pagination != self.table.pagination:
            self.table.pagination = pagination
        self.table.props["no-data-label"] = _EMPTY if not self.rows else _NONE_FITS

    def find(self, event):
        """Show the rows with these words."""
        self.show(words=event.value or "", page=1)

    def choose(self, event):
        """Show the rows of this status."""
        self.show(status=event.value, page=1)

    def turn(self, event):
        """Show the page and the order that the browser requested."""
        wanted = event.args["pagination"]
        self.show(
            sort_by=wanted["sortBy"] if wanted["sortBy"] in _FIELDS else None,
            descending=bool(wanted["descending"]),
            page=int(wanted["page"]),
            per_page=int(wanted["rowsPerPage"]),
        )

    def selected(self):
        """Enable the actions for the number of chosen runs."""
        n = len(self.table.selected)
        self.compare.set_enabled(2 <= n <= 8)
        self.add_button.set_enabled(n >= 1)

    def go(self):
        """Open the comparison."""
        ids = [row["id"] for row in self.table.selected]
        ui.navigate.to("/compare?" + urlencode([("run", each) for each in ids]))

    async def add(self):
        """Give a tag to the runs that are selected."""
        tag = (self.tag.value or "").strip()
        if not tag or not self.table.selected:
            return
        try:
            for row in self.table.selected:
                run = self.site.run(row["id"])
                if run is not None:
                    await aside(run.tag, tag)
        except Exception as error:
            complain(error)
            return
        self.tag.set_value("")
        await self.refresh()
