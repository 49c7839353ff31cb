"""Choose files of the opened folders, or upload some."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from nicegui import events, ui

from ._data import Entry, kind_of, listing
from ._frame import aside, complain, text
from ._security import MAX_UPLOAD_BYTES, Refused, plain_name
from ._words import size


class Browser:
    """A list of files to choose one from; folders open by a click.

    Parameters
    ----------
    site : Site
    kinds : collection of str
        Kinds of files that are shown, see `sk_ednn.ui._data.Entry`.
    choose : function of Path
        Called with what was chosen; may be a coroutine.
    folders : bool, default=False
        A folder that is open can be chosen, too.
    label : str
        For screen readers.
    nothing : str
        Shown in folders without such files.
    """

    def __init__(
        self, site, kinds, choose: Callable, *, folders=False, label="Files",
        nothing="Nothing here that can be used.",
    ):  # fmt: skip
        self.site, self.kinds, self.choose = site, frozenset(kinds), choose
        self.folders, self.nothing = folders, nothing
        self.chosen: Path | None = None
        self.here: Path | None = site.data[0] if len(site.data) == 1 else None
        self.trail = ui.element("div").classes("line small")
        self.rows = ui.element("div").classes("files").props("role=group")
        self.rows.props["aria-label"] = label
        self.draw()

    def draw(self):
        """Show the folder that is open, or the list of opened folders."""
        self.trail.clear()
        self.rows.clear()
        with self.trail:
            self._step("All folders", None)
            if self.here is not None:
                root = self._root()
                shown = [root]
                for part in self.here.relative_to(root).parts:
                    shown.append(shown[-1] / part)
                for folder in shown:
                    text("span", "/", "muted").props("aria-hidden=true")
                    self._step(folder.name or str(folder), folder)
        with self.rows:
            entries = self._entries()
            for entry in entries:
                self._row(entry)
            if not entries:
                text("p", self.nothing, "muted small").style("padding:.6rem")

    def select(self, path):
        """Mark a file as chosen, and open its folder."""
        self.chosen = Path(path)
        self.here = self.chosen.parent
        self.draw()

    def open_beside(self, path):
        """Open the folder of a file, if it is below an opened one."""
        folder = Path(path).parent
        if any(folder.is_relative_to(root) for root in self.site.opened):
            self.here = folder
            self.draw()

    def _root(self) -> Path:
        here = self.here
        return next(root for root in self.site.opened if here and here.is_relative_to(root))

    def _entries(self) -> list[Entry]:
        if self.here is None:
            return [Entry(root, "folder", None) for root in self.site.opened]
        try:
            entries = listing(self.site.path(self.here))
        except (Refused, OSError) as error:
            complain(error)
            return []
        # Runs have their own page.
        hidden = {self.site.folder} if self.site.folder not in self.site.opened else set()
        return [e for e in entries if (e.kind == "folder" or e.kind in self.kinds)
                and e.path.resolve() not in hidden]  # fmt: skip

    def _step(self, name, folder):
        button = ui.button(name, on_click=lambda: self._open(folder))
        button.props("flat dense no-caps padding='0 .25rem'")

    def _row(self, entry):
        button = ui.element("button").props("type=button")
        button.props["aria-pressed"] = "true" if entry.path == self.chosen else "false"
        with button:
            folder = entry.kind == "folder"
            text("b" if folder else "div", entry.path.name + ("/" if folder else ""))
            text("span", "folder" if folder else size(entry.n_bytes or 0))
        button.on("click", lambda: self._pick(entry))

    async def _pick(self, entry):
        if entry.kind == "folder":
            self._open(entry.path)
            if not self.folders:
                return
        try:
            path = self.site.path(entry.path)
        except Refused as error:
            complain(error)
            return
        self.chosen = entry.path
        self.draw()
        await _called(self.choose, path)

    def _open(self, folder):
        self.here = folder
        self.draw()


def _refusal(name, kinds) -> str:
    """Return why a file is not taken, and where it is.

    Examples
    --------
    >>> from sk_ednn.ui._choose import _refusal
    >>> print(_refusal("numbers.csv", ("picture",)))
    numbers.csv is a table, and pictures alone are counted here: drop them without it. A model
    learns from pictures and a table under “Learn to count”; “sk-ednn count report” compares counts
    with those of a table.
    >>> _refusal("notes.doc", ("picture", "table"))
    'notes.doc is none of: picture, table.'
    """
    kind = kind_of(plain_name(name))
    if kind == "table" and tuple(kinds) == ("picture",):
        return (
            f"{name} is a table, and pictures alone are counted here: drop them without it. A "
            "model learns from pictures and a table under “Learn to count”; “sk-ednn count report” "
            "compares counts with those of a table."
        )
    where = " Models are chosen under “A model file” of Predict and of “Count with a model”."
    return f"{name} is none of: {', '.join(kinds)}.{where if kind == 'model' else ''}"


async def _called(function, *arguments):
    result = function(*arguments)
    if hasattr(result, "__await__"):
        await result


def uploader(site, kinds: Sequence[str], done: Callable, *, label, multiple=False):
    """A place where files are dropped, or chosen from the machine of the browser.

    Parameters
    ----------
    site : Site
    kinds : sequence of str
        Kinds of files that are taken.
    done : function of list of Path
        Called with the files, once they are stored; may be a coroutine.
    label : str
    multiple : bool, default=False

    Returns
    -------
    ui.upload
    """

    async def store(event: events.MultiUploadEventArguments):
        wrong = [file.name for file in event.files if kind_of(plain_name(file.name)) not in kinds]
        if wrong:
            complain(_refusal(wrong[0], kinds))
            upload.reset()
            return
        folder = await aside(site.new_upload)
        stored = []
        for file in event.files:
            name = plain_name(file.name)
            path, k = folder / name, 1
            while path.exists():  # names may differ before they are made plain
                path, k = folder / f"{k} {name}", k + 1
            await file.save(path)
            stored.append(path)
        upload.reset()
        await _called(done, stored)

    upload = ui.upload(
        multiple=multiple,
        auto_upload=True,
        label=label,
        max_file_size=MAX_UPLOAD_BYTES,
        on_multi_upload=store,
        on_rejected=lambda: complain("A file was too large, or of another kind."),
    )
    upload.props("flat batch").props["aria-label"] = label
    # A button that is found by its name: the one of the uploader is an icon.
    upload.props["data-testid"] = "upload"
    return upload


def choose_model(models, run, take) -> Path | None:
    """Draw a choice among models of runs, and return the one that is chosen at first.

    Parameters
    ----------
    models : sequence of ModelFile
    run : str or None
        Run whose model is chosen at first.
    take : function
        Called with the path of the model that is chosen, or None.
    """
    first = next((model.path for model in models if model.run == run), None)
    select = ui.select(
        {str(model.path): model.words for model in models},
        value=None if first is None else str(first),
        label="Model of a run",
        on_change=lambda event: take(Path(event.value) if event.value else None),
    )
    select.props("outlined dense options-dense").classes("w-full")
    return first
