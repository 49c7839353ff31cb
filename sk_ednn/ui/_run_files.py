"""The files of a run in groups, with what each kind contains."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import quote

from nicegui import ui

from ._frame import link, table, text
from ._run_gallery import PICTURES
from ._words import size

_IN_A_NEW_TAB = (".html", *PICTURES)  # these are shown; other files are downloaded
_MOST_FILES = 300  # of a group
_MOST_OPEN = 6  # longer groups of maps are folded

# Ends of names, what the files contain, and whether there is one for each picture.
_KINDS = (
    ("model.ednn", "the model, to be used on Count or Predict, here or on another computer"),
    ("counts.xlsx", "counts and intervals, for Excel and other spreadsheets"),
    ("counts.csv", "the same as text, for programs"),
    ("report.html", "a page for colleagues, with counts and small pictures"),
    ("totals.csv", "predicted totals and their intervals"),
    ("predictions.csv", "predictions, beside the true numbers where these are known"),
    ("predictions.npz", "predictions and maps, for Python"),
    ("clock.npz", "times of the training, to repeat the same fit exactly; not needed to predict"),
    ("training.ckpt", "the state of the training, from which it is resumed"),
)
_OF_PICTURES = (
    (" overlay.png", "Pictures with what was counted", "each picture with its map in colours"),
    (
        " peaks.csv",
        "Positions",
        "where the map is strongest (X, Y in pixels), with the share of the count; ImageJ opens "
        "them",
    ),
    (".tif", "Maps", "what each square adds to the count, for ImageJ and programs"),
    (".ome.zarr", "Maps of slides", "what each square adds to the count, for programs"),
)
_MAPS = "maps/"


class Group(NamedTuple):
    """Files of a kind: the title and the words above them, and sizes in bytes by name."""

    title: str
    words: str
    files: dict[str, int]


def words_on(name) -> str:
    """Return what a file contains; empty if its name does not say.

    Examples
    --------
    >>> from sk_ednn.ui._run_files import words_on
    >>> words_on("counts.csv"), words_on("else.txt")
    ('the same as text, for programs', '')
    """
    return next((words for end, words in _KINDS if name == end), "")


def groups_of(files) -> list[Group]:
    """Return the files of a run in groups: results first, then those of single pictures by kind.

    Examples
    --------
    >>> from sk_ednn.ui._run_files import groups_of
    >>> for group in groups_of({"counts.csv": 9, "maps/a peaks.csv": 5, "maps/b peaks.csv": 6}):
    ...     print(group.title, list(group.files))
    Results ['counts.csv']
    Positions ['maps/a peaks.csv', 'maps/b peaks.csv']
    """
    rest = {name: n for name, n in files.items() if not name.endswith(".lock")}
    of_pictures = []
    for end, title, words in _OF_PICTURES:
        kind = {
            name: n for name, n in rest.items()
            if name.startswith(_MAPS) and (name.endswith(end) or f"{end}/" in name)
        }  # fmt: skip
        rest = {name: n for name, n in rest.items() if name not in kind}
        if kind:
            of_pictures.append(Group(title, words, kind))
    order = [name for name, _ in _KINDS]
    names = sorted(rest, key=lambda name: order.index(name) if name in order else len(order))
    results = [Group("Results", "", {name: rest[name] for name in names})] if rest else []
    return results + of_pictures


def draw_files(run, files) -> None:
    """List the files of a run, to be downloaded."""
    base = f"/runs/{run.id}/files/"

    def name_of(name, shown):
        def cell():
            link(shown, base + quote(name), new_tab=name.lower().endswith(_IN_A_NEW_TAB))
            if words := words_on(name):
                text("span", f" – {words}", "muted")

        return cell

    def rows_of(group):
        rows = [
            (name_of(name, name.removeprefix(_MAPS) if group.words else name), size(n_bytes))
            for name, n_bytes in list(group.files.items())[:_MOST_FILES]
        ]
        with ui.element("div").classes("long"):
            table(("name", "size"), rows, numbers=(1,), caption=f"Files: {group.title}")

    groups = groups_of(files)
    if not groups:
        text("p", "None yet.", "muted")
        return
    for group in groups:
        if not group.words:
            rows_of(group)
            continue
        n, many = len(group.files), len(group.files) > _MOST_OPEN
        with ui.expansion(f"{group.title} ({n})", value=not many).props("dense").classes("w-full"):
            text("p", f"{group.words[0].upper()}{group.words[1:]}.", "small muted")
            rows_of(group)
    ui.button(
        "Download all", on_click=lambda: ui.navigate.to(f"/runs/{run.id}/all.zip")
    ).props("flat color=primary")  # fmt: skip
