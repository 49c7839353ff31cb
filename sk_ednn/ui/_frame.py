"""The frame around each page, and the few elements that all pages are made of.

Texts are set as text, never as HTML: names of files and labels come from anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nicegui import background_tasks, run, ui
from nicegui.elements.mixins.text_element import TextElement

from ._words import readable

PAGES = (
    ("/", "Start"),
    ("/runs", "Runs"),
    ("/count", "Count"),
    ("/predict", "Predict"),
    ("/search", "Search"),
    ("/cluster", "Cluster"),
)
# s until a page is built, on a machine that is busy with fits.
PATIENCE = 60.0
# Columns that a table may have beside each other where the page is narrow.
_MOST_ON_PHONES = 3
THEME_COOKIE = "sk_ednn_theme"
_CSS = Path(__file__).with_name("_style.css").read_text(encoding="utf-8")
_TOGGLE_THEME = f"""() => {{
  const dark = !document.body.classList.contains("body--dark");
  document.cookie = "{THEME_COOKIE}=" + (dark ? "dark" : "light")
    + "; path=/; max-age=31536000; SameSite=Strict";
  Quasar.Dark.set(dark);
}}"""


def theme_of(request) -> bool | None:
    """Return whether a browser requested the dark theme; None if the system decides."""
    return {"dark": True, "light": False}.get(request.cookies.get(THEME_COOKIE, ""))


# Names for a screen reader of what Quasar leaves without one: the button of an upload, around an
# input that the keyboard does not reach, and the box that selects all rows.
_NAMES = """
new MutationObserver(() => {
  for (const e of document.querySelectorAll("input.q-uploader__input:not([aria-hidden])"))
    e.setAttribute("aria-hidden", "true");
  for (const e of document.querySelectorAll(".q-uploader a.q-btn:not([aria-label])"))
    e.setAttribute("aria-label", "Choose files");
  for (const e of document.querySelectorAll("th .q-checkbox:not([aria-label])"))
    e.setAttribute("aria-label", "Select all rows");
}).observe(document.documentElement, {childList: true, subtree: true});
"""


@contextmanager
def frame(request, title, lead=""):
    """Draw the head of a page; what follows goes into its main part.

    Parameters
    ----------
    request : Request
    title : str
    lead : str, default=""
        A sentence under the title.

    Yields
    ------
    TextElement
        The heading, for titles that change.
    """
    ui.page_title(f"{title} · sk-ednn")
    ui.add_css(_CSS)
    ui.add_body_html(f"<script>{_NAMES}</script>")
    ui.colors(primary="#005f99", negative="#b3261e", positive="#1b7a4b", dark_page="#13191e")
    ui.dark_mode(theme_of(request))
    here = request.url.path
    text("a", "Skip to the content", "skip").props("href=#content")
    with ui.element("header").classes("bar"), ui.element("div"):
        text("a", "sk-ednn", "brand").props("href=/")
        with ui.element("nav").props('aria-label="Pages"'):
            for path, name in PAGES:
                link = text("a", name).props(f"href={path}")
                if path == here or (path != "/" and here.startswith(f"{path}/")):
                    link.props("aria-current=page")
        button = ui.button(icon="contrast").props('flat round dense aria-label="Light or dark"')
        button.on("click", js_handler=_TOGGLE_THEME)
    with ui.element("div").classes("content").props("id=content"):
        with ui.element("div"):
            heading = text("h1", title)
            if lead:
                text("p", lead, "muted")
        yield heading


def text(tag, content, classes="") -> TextElement:
    """Return an element with a text, which is shown literally."""
    return TextElement(tag=tag, text=readable(content)).classes(classes)


@contextmanager
def panel(title="", classes="", label=""):
    """A box with a heading."""
    with ui.element("section").classes(f"panel {classes}") as box:
        name = title or label
        if name:
            box.props["aria-label"] = name
        if title:
            text("h2", title)
        yield box


def link(content, target, *, new_tab=False) -> TextElement:
    """Return a link to a page or a file of this server."""
    anchor = text("a", content)
    anchor.props["href"] = target
    if new_tab:
        anchor.props("target=_blank rel=noopener")
    return anchor


def picture(png: bytes | str, alt: str, classes="picture"):
    """Show a PNG, or the picture at an address."""
    from base64 import b64encode

    image = ui.element("img").classes(classes)
    source = png if isinstance(png, str) else "data:image/png;base64," + b64encode(png).decode()
    image.props["src"], image.props["alt"] = source, readable(alt)
    return image


def table(header: Sequence[str], rows, *, numbers=(), marked=(), caption=""):
    """Show a small table; cells are texts, or functions that draw into the cell.

    Parameters
    ----------
    header : sequence of str
    rows : iterable of sequences
    numbers : sequence of int, default=()
        Columns of numbers, aligned to the right.
    marked : collection of int, default=()
        Rows that are marked.
    caption : str, default=""
        For screen readers.
    """
    # On phones the rows of wide tables become blocks, each cell with the name of its column.
    blocks = len(header) > _MOST_ON_PHONES
    look = "plain blocks" if blocks else "plain"
    with ui.element("div").classes("scroll"), ui.element("table").classes(look) as whole:
        if caption:
            whole.props["aria-label"] = caption
        if header:
            with ui.element("thead"), ui.element("tr"):
                for k, name in enumerate(header):
                    text("th", name, "num" if k in numbers else "").props("scope=col")
        with ui.element("tbody"):
            for number, row in enumerate(rows):
                with ui.element("tr").classes("differs" if number in marked else ""):
                    for k, cell in enumerate(row):
                        classes = "num" if k in numbers else ""
                        if callable(cell):
                            with ui.element("td").classes(classes) as drawn:
                                cell()
                        elif k == 0 and not header:
                            drawn = text("th", cell, classes).props("scope=row")
                        else:
                            drawn = text("td", cell, classes)
                        if blocks and k and k < len(header):
                            drawn.props["data-label"] = readable(header[k])
    return whole


def command_line(words):
    """Show the command that does the same, with a button to copy it.

    Returns
    -------
    function
        Called with other words, it shows those.
    """
    from ._site import shown_command

    with ui.element("div").classes("line").style("align-items: flex-start; flex-wrap: nowrap"):
        shown = text("code", shown_command(words), "command")
        shown.props('aria-label="The same on the command line"')
        copy = ui.button(icon="content_copy").props('flat dense aria-label="Copy the command"')

    def show(words):
        shown.set_text(shown_command(words))

    # In the browser: no round trip, and nothing of the clipboard reaches the server.
    copy.on(
        "click",
        js_handler=f"() => navigator.clipboard.writeText(getElement({shown.id}).$el.innerText)",
    )
    copy.on("click", lambda: ui.notify("Copied.", timeout=1500))
    return show


async def aside(function, *arguments) -> Any:
    """Call a function in another thread, so that other pages are served meanwhile."""
    return await run.io_bound(function, *arguments)


def later(element, coroutine):
    """Let a coroutine draw into an element, after this event was answered.

    Errors are shown in the page; nothing happens if the element is gone by then.
    """

    async def guarded():
        try:
            with element:
                await coroutine
        except Exception as error:
            if not element.is_deleted:
                with element:
                    complain(error)

    background_tasks.create(guarded())


def complain(error):
    """Show an error in one line."""
    why = readable(error).partition("\n")[0] or type(error).__name__
    ui.notify(why[:600], type="negative", timeout=12000, close_button="Close", multi_line=True)
