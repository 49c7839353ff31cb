"""The choice of totals on the page Start: of the same file, of another one, or of structures."""

from __future__ import annotations

from nicegui import ui

from .._utils.wording import TOTAL_NAMES
from ._choose import Browser, uploader
from ._data import arrays_in, kind_of, number_columns, table_rows
from ._frame import aside, complain, text

_KINDS = ("arrays", "table")


class TotalsMenu:
    """Draw the choice, and keep it in a form.

    Parameters
    ----------
    site : Site
    fit : Fit
        The form, whose targets are set.
    data : Systems
        Of `sk_ednn.ui._preview`.
    arrays : list of Array
        Of the file of the systems.
    changed : function
        Called after a change.
    """

    def __init__(self, site, fit, data, arrays, changed):
        self.site, self.fit, self.data, self.changed = site, fit, data, changed
        structures = fit.structures
        # What is offered, by path and name.
        self.options: dict = {}
        if structures:
            text("p", data.labels)
            if data.has_energies:
                self.options[fit.fields, ""] = "in the files"
            where, unit = "Energies in a table", "Unit of energies in a table, such as kJ/mol"
        else:
            for each in arrays:
                is_total = len(each.shape) in (1, 2) and each.shape[0] == data.n
                if each.name != fit.fields_name and is_total:
                    self.options[fit.fields, each.name] = f"{each.name} ({each.dtype})"
            where, unit = "Totals in another file", "Unit of the totals, such as eV"
        value = (fit.fields, fit.targets_name)
        if value not in self.options:
            value = next(iter(self.options), None)
        self.menu = ui.select(
            self._labels(), value=_key(value), label="Energies" if structures else "Totals",
            on_change=self._chosen,
        ).props("outlined dense options-dense").classes("w-full")  # fmt: skip
        self._take(value)
        # Open where the file of the systems has none: they must be in another one.
        others = ui.expansion(where, value=value is None)
        with others.classes("w-full").props("dense"):
            self.files = Browser(site, _KINDS, self.add, label="Files with totals")
            self.files.open_beside(fit.fields)
            uploader(site, _KINDS, self.upload, label="or drop a table here")
        field = ui.input(unit, value=fit.unit, on_change=self._unit)
        field.props("outlined dense").classes("w-full")

    async def upload(self, paths):
        """Use a table that was dropped."""
        self.files.select(paths[0])
        await self.add(paths[0])

    async def add(self, path):
        """Add the columns or arrays of a file to the choice, and take the only one or the usual."""
        try:
            if kind_of(path) == "table":
                names = number_columns(*await aside(table_rows, path, 3)) or {"": ""}
            else:
                names = {a.name: a.name for a in await aside(arrays_in, path)
                         if len(a.shape) in (1, 2)}  # fmt: skip
        except Exception as error:
            complain(error)
            return
        if self.menu.is_deleted:  # other systems were chosen while the totals were read
            return
        if not names:
            complain(f"There are no totals in {path.name}.")
            return
        for name, title in names.items():
            self.options[path, name] = f"{path.name}: {title}" if name else path.name
        likely = [name for name in TOTAL_NAMES if name in names]
        chosen = None
        if len(names) == 1 or likely:
            chosen = (path, next(iter(likely or names)))
        else:
            ui.notify(f"{path.name} has several columns of numbers: choose one under Totals.")
        self._show(chosen)

    def choose(self, path, name):
        """Take totals of a file that was added, if they are offered."""
        if (path, name) in self.options:
            self._show((path, name))

    def _show(self, value):
        self._take(value)  # also where nothing was chosen before, which is no change
        self.menu.set_options(self._labels(), value=_key(value))
        self.changed()

    def _chosen(self, event):
        self._take(next((each for each in self.options if _key(each) == event.value), None))
        self.changed()

    def _unit(self, event):
        self.fit.unit = event.value
        self.changed()

    def _take(self, value):
        path, name = (None, "") if value is None else value
        self.fit.targets = None if path == self.fit.fields else path
        self.fit.targets_name = name

    def _labels(self):
        return {_key(value): words for value, words in self.options.items()}


def _key(value):
    return None if value is None else f"{value[0]}::{value[1]}"
